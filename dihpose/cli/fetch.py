"""``dihpose fetch``: download the authors' files, or CMU's motion capture."""

import argparse
import sys

from ..common.errors import InputError


def add(commands: argparse._SubParsersAction) -> None:
    fetch = commands.add_parser(
        "fetch", help="download the authors' sample frames and weights (GPL-3), hashes checked, or CMU's motion capture"
    )
    fetch.add_argument("names", nargs="*", metavar="NAME", help="what (default: what the notebooks use), or: mocap")
    fetch.add_argument("--list", action="store_true", help="list all and stop")
    fetch.set_defaults(run=_fetch)


def _fetch(arguments: argparse.Namespace) -> int:
    from ..common import download
    from ..datasets import authors

    if arguments.names == ["mocap"]:
        from ..synthesis.people import mocap

        print(f"mocap: {mocap.fetch()}")
        return 0
    if not arguments.list:
        download.pooch()  # if it is not installed: one error, not one for each file
    print(f"From {authors.REPOSITORY}, licence {authors.LICENCE}.")
    failed = 0
    for name in arguments.names or (authors.ASSETS if arguments.list else authors.DEFAULT):
        try:
            if arguments.list:
                print(f"{name}: {authors.asset(name).what}")
            else:
                print(f"{name}: {authors.fetch(name)}")
        except InputError as error:
            print(f"dihpose: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0
