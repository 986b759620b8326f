"""``dihpose data``: check, make, export and score sets of recorded frames."""

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import InputError
from . import scores

if TYPE_CHECKING:
    from ..datasets.check import Report


def add(commands: argparse._SubParsersAction) -> None:
    data = commands.add_parser("data", help="sets of recorded frames: check, make, export, score")
    kinds = data.add_subparsers(required=True, dest="what", metavar="WHAT")
    check = kinds.add_parser(
        "check",
        help="tell which set a folder holds, what is missing, how many frames can be used, and why others cannot",
        epilog="Exit code 0: there are frames to use, none is broken, and no part is marked with !; otherwise 1. "
        "A line that starts with ? points at what may be a mistake in the annotations.",
    )
    check.add_argument("folder", metavar="DIR", help="the folder that the set was unpacked into")
    check.add_argument("--limit", type=int, metavar="N", help="check N frames, evenly spread (default: all)")
    check.add_argument(
        "--sheet",
        metavar="FILE",
        help="draw frames with their annotations into this PNG (default: DIR's name.sheet.png)",
    )
    check.add_argument("--no-sheet", action="store_true", help="draw no picture")
    check.add_argument("--frames", type=int, default=20, metavar="N", help="frames in the picture (default: 20)")
    check.set_defaults(run=_check)
    make = kinds.add_parser("make", help="write a small set of synthetic people in the format of a recorded set")
    make.add_argument("format", metavar="FORMAT", nargs="?", help="its name (default: list all)")
    make.add_argument("--out", metavar="DIR", help="a new folder (default: data/FORMAT)")
    make.add_argument("--count", type=int, default=20, metavar="N", help="about how many frames (default: 20)")
    make.add_argument("--seed", type=int, default=0, metavar="S", help="another seed gives other frames (default: 0)")
    make.set_defaults(run=_make)
    scores.add(kinds)


def _check(arguments: argparse.Namespace) -> int:
    from ..datasets import check, contact_sheet
    from ..datasets.formats import registry

    found = registry.opened(arguments.folder)
    report = check.check(found, arguments.limit, progress=True)
    print(f"{report.folder}: {report.kind} ({registry.FORMATS[report.kind].what})")
    for line in _lines(report):
        print(line)
    if report.usable and not arguments.no_sheet:
        sheet = Path(arguments.sheet or f"{Path(arguments.folder).resolve().name}.sheet.png")
        contact_sheet.draw(found, sheet, arguments.frames)
        print(f"{sheet}: look at it")
    return 0 if report.good else 1


def _lines(report: "Report") -> list[str]:
    """Return a report as lines of text: ! marks an error, ? a possible mistake."""
    lines = [f"{' ' if part.good else '!'} {part.what}: {part.there}" for part in report.parts]
    of = "" if report.looked == report.listed else f" of {report.listed:,}"
    lines.append(
        f"frames looked at: {report.looked:,}{of}; {report.usable:,} usable, {report.looked - report.usable:,} broken"
    )
    for reason in report.broken:
        more = ", ..." if reason.count > len(reason.frames) else ""
        which = f" (of {reason.count:,} like it: {', '.join(reason.frames)}{more})" if reason.count > 1 else ""
        lines.append(f"! {reason.text}{which}")
    if not report.usable:
        return lines
    sizes = [f"{width} x {height} ({count:,})" for (width, height), count in report.sizes.items()]
    lines.append(f"  width x height (frames): {', '.join(sizes[:5])}{', ...' if len(sizes) > 5 else ''}")
    people = [f"{people} ({count:,})" for people, count in report.people.items()]
    people += [f"unlabelled ({report.unlabelled:,})"] * bool(report.unlabelled)
    lines.append(f"  people (frames): {', '.join(people)}")
    empty = f"; {report.empty:,} frames have none" if report.empty else ""
    if report.depth:
        least, low, middle, high, greatest = report.depth
        lines.append(
            f"  depth: {least:.2f} to {greatest:.2f} m, 98% from {low:.2f} to {high:.2f} m, half up to {middle:.2f} m; "
            f"{report.zeros:.0%} of the pixels have no reading{empty}"
        )
    else:
        lines.append("! depth: no frame has any reading")
    if report.landmarks:
        lines.append("  landmarks: known, labelled, visible")
        lines += [
            f"    {name:15} {' '.join(f'{count:9,}' for count in counts)}" for name, counts in report.landmarks.items()
        ]
    return lines + [f"? {note}" for note in report.notes]


def _make(arguments: argparse.Namespace) -> int:
    from ..datasets import generators
    from ..datasets.formats.registry import FORMATS

    if arguments.format is None:
        for format_ in FORMATS.values():
            print(f"{format_.name}: {format_.what}")
        return 0
    if arguments.format not in FORMATS:
        raise InputError(f"unknown format {arguments.format!r}; there are {', '.join(FORMATS)}")
    if arguments.count < 1:
        raise InputError(f"--count {arguments.count}: give at least 1")
    out = Path(arguments.out or Path("data") / arguments.format)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: already exists; choose another --out, or remove it")
    partial = out.with_name(f"{out.name}.partial")
    try:
        generators.make(arguments.format, partial, arguments.count, arguments.seed)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # it is there only if writing failed
    print(f"{out}: {arguments.format}; look at it with: dihpose data check {out}")
    return 0
