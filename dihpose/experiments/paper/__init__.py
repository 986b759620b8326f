"""The paper's Tables I to V as printed."""

import csv
from importlib.resources import files


def table(name: str) -> list[dict[str, str]]:
    """The rows of a table, every cell as printed.

    Names: ``table1_dih``, ``table1_panoptic``, ``table2_synthetic_amount``, ``table3_two_people``,
    ``table4_domain_adaptation``, ``table5_distillation``.
    """
    with (files(__name__) / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def parameters(text: str) -> tuple[float, float]:
    """The range [low, high) of counts that print as ``text`` when further digits are cut off.

    Example:
        >>> parameters("99.8K")
        (99800.0, 99900.0)
    """
    unit = {"K": 1e3, "M": 1e6}[text[-1]]
    digits = len(text[:-1].partition(".")[2])
    low = round(float(text[:-1]) * 10**digits)
    return low * unit / 10**digits, (low + 1) * unit / 10**digits
