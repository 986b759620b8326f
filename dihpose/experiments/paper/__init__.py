"""The paper's Tables I to V as printed, so that ours can stand beside them."""

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
    """A count as printed ("12.93M", "99.8K") -> the range [low, high) of counts that are cut off to it."""
    unit = {"K": 1e3, "M": 1e6}[text[-1]]
    digits = len(text[:-1].partition(".")[2])
    low = round(float(text[:-1]) * 10**digits)
    return low * unit / 10**digits, (low + 1) * unit / 10**digits
