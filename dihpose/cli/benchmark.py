"""``dihpose benchmark``: measure speed on this machine."""

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    benchmark = commands.add_parser("benchmark", help="measure speed on this machine")
    kinds = benchmark.add_subparsers(required=True, dest="what", metavar="WHAT")
    for what, repeats, text in (
        ("models", 2000, "forward pass of Table I's models, as its FPS column"),
        ("decoder", 50, "the association alone, on one core"),
        ("end-to-end", 50, "depth to people and each step of it, in fp32 and int8"),
        ("synthesis", 20, "scene to training sample, stage by stage"),
    ):
        kind = kinds.add_parser(what, help=text)
        kind.add_argument("--repeats", type=int, default=repeats, help=f"maximum number of rounds (default: {repeats})")
        kind.add_argument("--out", help="write the result to this JSON file too")
        kind.set_defaults(run=_benchmark, threads=None)
        if what != "decoder":
            kind.add_argument(
                "--threads", type=int, help="threads of torch and of the backends (default: torch's own choice)"
            )
        if what in ("models", "synthesis"):
            kind.add_argument("--device", default="cpu", help="torch device (default: cpu)")
        if what in ("models", "end-to-end"):
            kind.add_argument(
                "--backend", action="append", default=[], help="a backend; may be repeated (default: all)"
            )
        if what == "models":
            kind.add_argument("--model", action="append", default=[], help="a model; may be repeated (default: all 15)")
        if what == "end-to-end":
            kind.add_argument("--model", help="as in Table I (default: what the weights are of)")
            kind.add_argument(
                "--weights", help="file of weights, ours or the authors' (default: their MPM-4S, if downloaded)"
            )
            kind.add_argument(
                "--frames", type=int, default=0, help="also watch the memory over this many frames (default: 0)"
            )
        if what == "synthesis":
            kind.add_argument(
                "--size", type=int, default=184, help="side of the training samples, pixels (default: 184)"
            )


def _benchmark(arguments: argparse.Namespace) -> int:
    from ..benchmark import decoder, inference, synthesis
    from ..common import files, machine

    if arguments.out:
        Path(arguments.out).parent.mkdir(parents=True, exist_ok=True)  # fail now, not after minutes of measuring
    a = arguments
    measure, show = {
        "models": (lambda: inference.networks(a.model, a.backend, a.device, a.repeats), _show_models),
        "decoder": (lambda: decoder.measure(repeats=a.repeats), _show_decoder),
        "end-to-end": (
            lambda: inference.end_to_end(a.model, a.weights, a.backend, a.repeats, a.frames),
            _show_end_to_end,
        ),
        "synthesis": (lambda: synthesis.measure(a.size, a.device, a.repeats), _show_synthesis),
    }[a.what]
    with machine.threads(a.threads):
        found = measure()
    show(found)
    if arguments.out:
        files.write_json(Path(arguments.out), found)
    return 0


def _show_models(found: dict) -> None:
    print(f"{found['width']} x {found['height']}, batch 1, {found['weights']}, {_machine(found)}; "
          f"a dense matrix product: {found['peak_gflops']['median']:.0f} GFLOP/s")  # fmt: skip
    _print_rows([
        {
            "model": row["model"], "backend": f"{row['backend']} {row['layout']}".strip(), "GFLOP": f"{row['gflop']:.2f}",
            "ms (quartiles)": _ms(row), "rounds": row["repeats"], "of peak": f"{row['share_of_peak']:.2f}",
            "FPS": f"{row['fps']:.1f}", "paper": row["paper_fps"],
            "x CPM-2S": row["ratio"] and f"{row['ratio']:.2f}", "paper's": row["paper_ratio"] and f"{row['paper_ratio']:.2f}",
        }
        for row in found["models"]
    ])  # fmt: skip


def _show_decoder(found: dict) -> None:
    print(f"Maps to people, {_machine(found)}; milliseconds")
    _print_rows([
        {"maps": row["maps"], "people": row["people"], "peaks": row["peaks"], "ms (quartiles)": _ms(row["fast"])}
        | {f": {step}": f"{taken['median_ms']:.2f}" for step, taken in row["steps"].items()}
        | {"cores": f"{row['cores']:.2f}", "reference": row["slow"] and f"{row['slow']['median_ms']:.0f}",
           "ratio": row["ratio"] and f"{row['ratio']:.0f}"}
        for row in found["crowds"]
    ])  # fmt: skip


def _show_end_to_end(found: dict) -> None:
    print(f"{found['model']} ({found['weights']}), {found['image']}, {_machine(found)}; "
          f"ONNX Runtime's fp32 forward alone: {_ms(found['forward_alone'])} ms")  # fmt: skip
    _print_rows([
        {"backend": row["backend"], "": row["precision"], "people": row["people"], "ms (quartiles)": _ms(row["total"])}
        | {f": {step}": f"{taken['median_ms']:.2f}" for step, taken in row["steps"].items()}
        | {"over forward alone": f"{row['ratio']:.2f}", "target": f"{row['target']:.2f}"}
        for row in found["variants"]
    ])  # fmt: skip
    if memory := found.get("memory"):
        print(
            f"memory, {memory['backend']}: "
            + ", ".join(f"{p['mib']:.0f} MiB at {p['frame']}" for p in memory["resident"])
        )


def _show_synthesis(found: dict) -> None:
    print(f"{found['size']} x {found['size']}, batches of {found['batch']}, {found['people_per_image']:.2f} people an image, "
          f"{_machine(found)}")  # fmt: skip
    for row in found["stages"]:
        print(f"  {row['stage']:32} {row['median_ms']:8.2f} ms an image  ({row['q1_ms']:.2f} to {row['q3_ms']:.2f})  "
              f"{row['images_per_second']:8.0f} a second")  # fmt: skip
    if all_cores := found.get("all_cores"):
        print(f"  {all_cores['processes']} processes together: {all_cores['images_per_second']:.0f} samples a second")


def _machine(found: dict) -> str:
    threads = found["device"]["threads"]
    return f"{found['device_name']}, {threads} thread{'s' if threads > 1 else ''}"


def _ms(taken: dict) -> str:
    return f"{taken['median_ms']:.2f} ({taken['q1_ms']:.2f} to {taken['q3_ms']:.2f})"


def _print_rows(rows: list[dict]) -> None:
    """Print a table: the first column aligned left, the others right; None is a dash."""
    lines = [list(rows[0]), *(["–" if cell is None else str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        print("  ".join(["", first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]))
