"""Fuzz the readers: ``python -m tests.fuzz`` tries malformed inputs on each and counts what they get.

Right are a good frame, and an InputError in one line that names the file. Everything else is a defect: another exception, the
end of the process, more than 10 s of computing, or more memory than the input explains. Inputs are read in separate processes.
An input depends only on the seed and its number: ``--reader NAME --only NUMBER`` makes one again and prints more.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from .readers import READERS
from .trials import FINE, Result, Setting, malformed, run

PACKAGES = ("dihpose", "numpy", "pillow", "OpenEXR", "opencv-python-headless", "h5py", "onnxruntime", "torch")


def table(results: Sequence[Result]) -> str:
    """A table: how many inputs each reader got, and their outcomes."""
    kinds = (*FINE, *sorted({result.outcome for result in results} - set(FINE)))
    groups = {reader: [result for result in results if result.reader == reader] for reader in READERS} | {
        "together": results
    }
    rows = [["reader", "inputs", *kinds]]
    for name, group in groups.items():
        counts = Counter(result.outcome for result in group)
        rows += [[name, *map(str, (len(group), *(counts[kind] for kind in kinds)))]] if group else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)


def counted(results: Sequence[Result], seed: int, seconds: float) -> dict:
    """The same counts as values, with everything that is needed to repeat the run."""
    outcomes, by_mutation = {}, {}
    for result in results:
        outcomes.setdefault(result.reader, Counter())[result.outcome] += 1
        by_mutation.setdefault(result.mutation.partition(",")[0], Counter())[result.outcome] += 1
    return {
        "command": f"python -m tests.fuzz --seed {seed} --count {len(results)}",
        "seconds": round(seconds),
        "machine": f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in PACKAGES},
        "readers": outcomes,
        "mutations": by_mutation,
        "defects": [asdict(result) for result in results if result.outcome not in FINE],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="inputs, of all readers together (default: 10000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--reader",
        action="append",
        choices=list(READERS),
        metavar="NAME",
        help=f"only this reader; may be repeated: {', '.join(READERS)}",
    )
    parser.add_argument("--only", type=int, metavar="NUMBER", help="only this input, with details")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="folder to keep the inputs that show a defect in (with --only: the input)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for the counts")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), metavar="N")
    options = parser.parse_args(arguments)
    readers = options.reader or list(READERS)
    numbers = range(-(-options.count // len(readers))) if options.only is None else [options.only]
    tasks = [(reader, number) for number in numbers for reader in readers]
    results, begin = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dihpose-fuzz-") as folder:
        setting = Setting(options.seed, Path(folder) / "inputs", Path(folder))
        setting.make(readers)
        for result in run(setting, tasks, options.processes):
            results.append(result)
            if result.outcome not in FINE or options.only is not None:
                print(result, flush=True)
                if options.keep:
                    kept = options.keep / f"{result.reader} {result.number}"
                    shutil.rmtree(kept, ignore_errors=True)
                    kept.mkdir(parents=True)
                    malformed(setting, result.reader, result.number, kept)
            if len(results) % 1000 == 0:
                print(
                    f"{len(results)} of {len(tasks)} inputs, {time.monotonic() - begin:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
    seconds = time.monotonic() - begin
    results.sort(key=lambda result: (result.reader, result.number))
    print(table(results))
    print(f"seed {options.seed}: {len(results)} inputs in {seconds:.0f} s")
    if options.out:
        options.out.write_text(json.dumps(counted(results, options.seed, seconds), indent=1) + "\n")
    return int(any(result.outcome not in FINE for result in results))


if __name__ == "__main__":
    sys.exit(main())
