"""``dihpose data``: sets of recorded frames looked at, made in small, exported and scored."""

import argparse

from . import scores


def add(commands: argparse._SubParsersAction) -> None:
    data = commands.add_parser("data", help="sets of recorded frames: check, make, export, score")
    kinds = data.add_subparsers(required=True, dest="what", metavar="WHAT")
    scores.add(kinds)
