"""The command line: ``dihpose predict | reproduce | synthesize | train | finetune | data | export | benchmark | fetch``."""

import argparse
import sys
from collections.abc import Sequence

from ..common.errors import InputError, missing
from . import benchmark, data, export, fetch, finetune, predict, runs


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code: 0, or 1 after one line on standard error for each error."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except InputError as error:
        print(f"dihpose: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a folder that cannot be written to, a disk that is full
        print(f"dihpose: {error}; check that it can be written to and has room", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        said = missing(error, f"dihpose {(argv or sys.argv[1:])[0]}")
        if not isinstance(said, InputError):
            raise
        print(f"dihpose: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dihpose: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dihpose", description="People's poses out of depth images.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (predict, runs, finetune, data, export, benchmark, fetch):
        module.add(commands)
    return parser
