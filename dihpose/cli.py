"""The command line: ``dihpose predict | reproduce | synthesize | train | export | benchmark | fetch``."""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from .errors import InputError
from .files import replacing
from .runtime import BACKENDS


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, or 1 after one line on standard error per thing that went wrong."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except InputError as error:
        print(f"dihpose: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a folder that cannot be written to, a disk that is full
        print(f"dihpose: {error}; check that it can be written to and has room", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dihpose: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dihpose", description="People's poses out of depth images.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="find the people in depth files: a JSON and an overlay PNG for each")
    predict.add_argument(
        "files", nargs="+", metavar="FILE",
        help="depth images (NPY, PNG, TIFF, PGM, EXR, MAT, .bin), folders of them, 'DIR/%%05d.png' or 'DIR/*.png'",
    )  # fmt: skip
    predict.add_argument("--model", help="as in Table I (default: what the weights are of)")
    predict.add_argument("--weights", help="a .safetensors of ours, or a .pm of the authors' (default: MPM-2S of ours)")
    predict.add_argument("--backend", choices=BACKENDS, default="auto", help="what runs the network (default: auto)")
    predict.add_argument("--out", default="predictions", help="folder for the results (default: predictions)")
    predict.add_argument(
        "--overlay",
        action=argparse.BooleanOptionalAction,
        help="write the PNGs, or not (default: unless --video is given)",
    )
    predict.add_argument("--video", metavar="FILE", help="put the overlays, in order, into this .mp4 or .avi")
    predict.add_argument("--fps", type=float, default=30.0, help="the video's frames per second (default: 30)")
    predict.add_argument("--crop", help="dih, or X,Y,WIDTH,HEIGHT: look at this part only; pixels stay the file's")
    predict.add_argument("--unit", help="m, mm, or metres per unit (default: mm for integers, m for floats)")
    predict.add_argument(
        "--intrinsics", metavar="FX,FY,CX,CY",
        help="of the camera, in pixels of the file's frame: the JSON gets landmarks_3d too, metres right, down, forward",
    )  # fmt: skip
    predict.add_argument("--threshold", type=float, help="least score of a landmark (default: what suits the weights)")
    predict.set_defaults(run=_predict)

    reproduce = commands.add_parser("reproduce", help="execute the notebooks: every table and figure, and REPORT.md")
    reproduce.add_argument("--profile", default="", help="smoke, laptop, gpu, paper or reference")
    reproduce.add_argument("--notebook", action="append", default=[], metavar="NN", help="only this one, as 03")
    reproduce.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter")
    reproduce.add_argument("--keep-outputs", action="store_true", help="put the outputs into the committed notebooks")
    reproduce.set_defaults(run=_reproduce)

    synthesize = commands.add_parser(
        "synthesize", help="write a synthetic set to disk, or go on writing it; the same command resumes"
    )
    synthesize.add_argument("--set", dest="set_name", metavar="NAME", help="which (default: say what there is)")
    synthesize.add_argument("--count", type=int, help="its first so many images (default: all that it has)")
    synthesize.add_argument("--out", help="folder (default: data/NAME)")
    synthesize.add_argument("--recipe", default="", help="sensor (default), paper or clean")
    synthesize.add_argument("--workers", type=int, help="processes (default: one per core)")
    synthesize.add_argument("--repair", action="store_true", help="look into every shard, make broken ones again")
    synthesize.set_defaults(run=_synthesize)

    train = commands.add_parser(
        "train", help="train and test a run, or go on with it: the same command resumes what was interrupted"
    )
    train.add_argument("run_name", nargs="?", metavar="RUN", help="which (default: say what there is)")
    train.add_argument("--all", action="store_true", help="every run of the profile, what decides each table first")
    train.add_argument("--decisive", action="store_true", help="with --all: those that decide a table, and no others")
    train.add_argument("--profile", default="laptop", help="laptop (default), gpu, paper; or smoke: a few steps only")
    train.add_argument("--device", default="cpu", help="torch's name of it (default: cpu)")
    train.add_argument("--seed", type=int, default=0, help="of the run and all that it needs (default: 0)")
    train.set_defaults(run=_train)

    export = commands.add_parser("export", help="write a network as an ONNX file, for other programs or in 8 bits")
    export.add_argument("model", nargs="?", metavar="MODEL", help="as in Table I (default: what the weights are of)")
    export.add_argument("--weights", help="a .safetensors of ours, or a .pm of the authors' (default: those that ship)")
    export.add_argument("--int8", action="store_true", help="8-bit weights and activations, and what that costs")
    export.add_argument("--out", help="the file (default: MODEL.onnx or MODEL.int8.onnx)")
    export.set_defaults(run=_export)

    benchmark = commands.add_parser("benchmark", help="measure how fast things are here")
    kinds = benchmark.add_subparsers(required=True, dest="what", metavar="WHAT")
    for what, repeats, text in (
        ("models", 2000, "forward pass of Table I's models, as its FPS column"),
        ("decoder", 50, "the association alone, on one core"),
        ("end-to-end", 50, "depth to people and each step of it, in fp32 and int8"),
        ("synthesis", 20, "scene to training sample, stage by stage"),
    ):
        kind = kinds.add_parser(what, help=text)
        kind.add_argument("--repeats", type=int, default=repeats, help=f"rounds, at most (default: {repeats})")
        kind.add_argument("--out", help="write the result to this JSON file too")
        kind.set_defaults(run=_benchmark, threads=None)
        if what != "decoder":
            kind.add_argument("--threads", type=int, help="of torch and of the backends (default: as torch chooses)")
        if what in ("models", "synthesis"):
            kind.add_argument("--device", default="cpu", help="torch's name of it (default: cpu)")
        if what in ("models", "end-to-end"):
            kind.add_argument("--backend", action="append", default=[], help="only this one, or these (default: all)")
        if what == "models":
            kind.add_argument("--model", action="append", default=[], help="only this one, or these (default: all 15)")
        if what == "end-to-end":
            kind.add_argument("--model", help="as in Table I (default: what the weights are of)")
            kind.add_argument("--weights", help="ours or the authors' (default: their MPM-4S, where it is at hand)")
            kind.add_argument("--frames", type=int, default=0, help="watch the memory over so many, too (default: 0)")
        if what == "synthesis":
            kind.add_argument("--size", type=int, default=184, help="of the training samples, pixels (default: 184)")

    fetch = commands.add_parser(
        "fetch", help="download the authors' sample frames and weights (GPL-3), hashes checked, or CMU's motion capture"
    )
    fetch.add_argument("names", nargs="*", metavar="NAME", help="what (default: what the notebooks use), or: mocap")
    fetch.add_argument("--list", action="store_true", help="say what there is and stop")
    fetch.set_defaults(run=_fetch)
    return parser


def _predict(arguments: argparse.Namespace) -> int:
    from PIL import Image
    from tqdm import tqdm

    from . import PoseEstimator, depth, frames, lifting, plotting

    box = depth.parse_crop(arguments.crop) if arguments.crop else None
    x, y, *_ = box or (0, 0)
    intrinsics = None
    if arguments.intrinsics:
        fx, fy, cx, cy = lifting.parse_intrinsics(arguments.intrinsics)
        intrinsics = (fx, fy, cx - x, cy - y)
    constants = {} if arguments.threshold is None else {"threshold": arguments.threshold}
    estimator = PoseEstimator(arguments.model, arguments.weights, arguments.backend, **constants)
    out = Path(arguments.out)
    overlays = arguments.overlay if arguments.overlay is not None else not arguments.video
    targets = _targets(frames.listed(arguments.files), out, overlays)
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    with frames.video(Path(arguments.video), arguments.fps) if arguments.video else nullcontext() as show:
        for name, target in tqdm(targets, unit="frame", disable=len(targets) == 1 or not sys.stderr.isatty()):
            try:
                frame = depth.read(name, arguments.unit)
                people = estimator(depth.crop(frame, box, name) if box else frame, intrinsics=intrinsics)
            except InputError as error:
                tqdm.write(f"dihpose: {error}", file=sys.stderr)
                failed += 1
                continue
            for person in people:
                person.landmarks[:, :2] += (x, y)
            written = f"{target}.json"
            with replacing(Path(written)) as partial:
                partial.write_text(json.dumps(result(name, frame.shape, people), indent=1) + "\n", encoding="utf-8")
            picture = plotting.overlay(frame, people) if overlays or show else None
            if overlays:
                with replacing(Path(f"{target}.png")) as partial:
                    Image.fromarray(picture).save(partial)
                written += f", {target}.png"
            if show:
                show(picture)
            tqdm.write(f"{name}: {len(people)} {'person' if len(people) == 1 else 'people'} -> {written}")
    if arguments.video:
        print(f"{arguments.video}: {len(targets) - failed} {'frame' if len(targets) - failed == 1 else 'frames'}")
    return 1 if failed else 0


def result(name: str, shape: tuple[int, int], people: Sequence) -> dict:
    """What ``dihpose predict`` writes: pixels of the file's frame, landmarks that were found by name as [x, y, score]; where
    points in space were asked for, those found as [x, y, z], metres."""
    return {
        "file": name,
        "width": shape[1],
        "height": shape[0],
        "people": [
            {"score": round(float(person.score), 4), "landmarks": _named(person.landmarks, 4)}
            | ({} if person.xyz is None else {"landmarks_3d": _named(person.xyz, 3)})
            for person in people
        ],
    }


def _named(rows: Iterable[Sequence[float]], digits: int) -> dict[str, list[float]]:
    """One row per landmark -> those that are not NaN, by name."""
    from .skeleton import LANDMARKS

    return {
        landmark: [round(float(value), digits) for value in row]
        for landmark, row in zip(LANDMARKS, rows, strict=True)
        if not math.isnan(row[0])
    }


def _targets(files: Sequence[str], out: Path, overlays: bool) -> list[tuple[str, Path]]:
    """Each file with where its results go: its stem, or its whole name or path where stems collide. InputError where an
    overlay would replace an input."""
    for name_of in (
        lambda p: p.stem,
        lambda p: p.name,
        lambda p: "_".join(part for part in p.parts if part != p.anchor),
    ):
        names = [name_of(Path(file)) for file in files]
        if len(set(names)) == len(names):
            break
    else:
        names = [f"{i}_{name}" for i, name in enumerate(names)]
    inputs = {Path(file).resolve() for file in files} if overlays else ()
    for name in names:
        if (overlay := out / f"{name}.png").resolve() in inputs:
            raise InputError(f"{overlay}: is an input, and its overlay would replace it; choose another --out")
    return [(file, out / name) for file, name in zip(files, names, strict=True)]


def _reproduce(arguments: argparse.Namespace) -> int:
    from . import reproduce

    try:
        parameters = dict(arguments.p)
        profile = parameters.pop("profile", "")
        parameters = {name: _value(text) for name, text in parameters.items()}
        reproduce.run(arguments.profile or profile, arguments.notebook, parameters, arguments.keep_outputs)
    except reproduce.NotebookError as error:
        print(f"dihpose: {error}", file=sys.stderr)
        return 1
    return 0


def _synthesize(arguments: argparse.Namespace) -> int:
    from .datasets import sets, stored

    if arguments.set_name is None:
        for one in sets.SETS.values():
            print(f"{one.name}: {one.what}; {one.count:,} images, {one.config.scene.width} x {one.config.scene.height}")
        return 0
    chosen = sets.named(arguments.set_name, arguments.recipe)
    out = Path(arguments.out or Path("data") / chosen.name)
    stored.write(chosen, out, arguments.count, arguments.workers, repair=arguments.repair)
    print(f"{chosen.name}: {arguments.count or chosen.count:,} images in {out}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    import onnx

    from . import evaluation, export, models

    weights = models.chosen(arguments.model, arguments.weights)
    network = models.load(weights, expect=arguments.model)
    path = Path(arguments.out or f"{network.name}{'.int8' if arguments.int8 else ''}.onnx")
    if path.suffix != ".onnx":
        raise InputError(f"{path}: an ONNX file is told by its name; let it end in .onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = onnx.load_model_from_string(export.cached(network))
    apart = export.difference(graph, network)
    if not arguments.int8:
        export.save(graph, path)
        print(f"{path}: {network.name}, {path.stat().st_size / 1e6:.2f} MB, maps within {apart:.0e} of torch's")
        return 0
    export.save(export.int8(network), path)
    cost = evaluation.of_int8(weights, path)
    print(f"{path}: {network.name}, {path.stat().st_size / 1e6:.2f} MB")
    print(
        f"On {cost['images']} synthetic images: F {cost['f_int8']:.3f}, in fp32 {cost['f']:.3f}; of {cost['landmarks']:,} "
        f"landmarks found in fp32, {cost['agree']:.1%} are found within {cost['tolerance']:g} pixels of the network's input"
    )
    return 0


def _benchmark(arguments: argparse.Namespace) -> int:
    from . import benchmark, store

    if arguments.out:
        Path(arguments.out).parent.mkdir(parents=True, exist_ok=True)  # before, not after, minutes of work
    measure, show = _BENCHMARKS[arguments.what]
    with benchmark.threads(arguments.threads):
        found = measure(benchmark, arguments)
    show(found)
    if arguments.out:
        store.write(Path(arguments.out), found)
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


# What `dihpose benchmark` measures: what does it, and what prints what it found.
_BENCHMARKS = {
    "models": (lambda b, a: b.models(a.model, a.backend, a.device, a.repeats), _show_models),
    "decoder": (lambda b, a: b.decoder(repeats=a.repeats), _show_decoder),
    "end-to-end": (lambda b, a: b.end_to_end(a.model, a.weights, a.backend, a.repeats, a.frames), _show_end_to_end),
    "synthesis": (lambda b, a: b.synthesis(a.size, a.device, a.repeats), _show_synthesis),
}


def _machine(found: dict) -> str:
    threads = found["device"]["threads"]
    return f"{found['device_name']}, {threads} thread{'s' if threads > 1 else ''}"


def _ms(taken: dict) -> str:
    return f"{taken['median_ms']:.2f} ({taken['q1_ms']:.2f} to {taken['q3_ms']:.2f})"


def _print_rows(rows: list[dict]) -> None:
    """As a table: the first column to the left, the others to the right, a dash for None."""
    lines = [list(rows[0]), *(["–" if cell is None else str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        print("  ".join(["", first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]))


def _train(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from . import experiments, outputs, parallel, perform

    profile = outputs.resolve_profile(arguments.profile).name
    if not (arguments.all or arguments.run_name):
        _show_runs(profile)
        return 0
    with parallel.group(arguments.device) as device:
        how, first = {"device": device, "seed": arguments.seed}, parallel.rank() == 0
        if arguments.all:
            total = len(experiments.wanted(profile, arguments.decisive))
            done = perform.everything(profile, decisive=arguments.decisive, **how)
            for name, folder in tqdm(done, total=total, unit="run", disable=not (first and sys.stderr.isatty())):
                if first:
                    tqdm.write(f"{name}: {_scores(folder)}")
        else:
            folder = perform.perform(arguments.run_name, profile, **how)
            if first:
                print(f"{arguments.run_name}: {_scores(folder)}: {folder}")
    return 0


def _show_runs(profile: str) -> None:
    """The runs of a profile with what they cost, and the sum."""
    from . import experiments

    decisive = experiments.wanted(profile, decisive=True)
    for run in experiments.wanted(profile).values():
        cost = experiments.budget(run)
        start = f", from {run.start.name}" if run.start else ""
        mark = " *" if run.name in decisive else ""
        print(f"{run.name}: {run.model}, {cost.images:,} images, {cost.flops / 1e12:,.1f} TFLOP{start}{mark}")
    cost, scale = experiments.total(profile), experiments.scale_of(profile)
    print(
        f"In all {cost.images:,} images, {cost.flops / 1e12:,.0f} TFLOP, about {experiments.hours(profile):.1f} hours on "
        f"{scale.machine}; * decides a table"
    )
    if profile in experiments.WITH_TRIALS:
        for run in experiments.trials(profile).values():
            print(f"{run.name}: a trial, {run.model}, {run.images:,} images, recipe {run.data.recipe}")


def _scores(folder: Path) -> str:
    """What a run's tests found, in a line."""
    from . import store

    found = [store.read(path) for path in sorted((folder / "results").glob("*.json"))]
    if (folder / "metrics.json").exists():
        found.append(store.read(folder / "metrics.json"))
    said = (
        ", ".join(f"{k.upper()} {one['whole_body'][k] or 0:.3f}" for k in ("ap", "ar", "f")) + f" on {one['data']}"
        for one in found
    )
    return "; ".join(said) or "trained"


def _value(text: str):
    """A parameter as papermill's ``-p`` reads it: a number, true, false or null where it looks like one, else text."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except json.JSONDecodeError:
        return text


def _fetch(arguments: argparse.Namespace) -> int:
    from . import fetch

    if arguments.names == ["mocap"]:
        from .synthesis import mocap

        print(f"mocap: {mocap.fetch()}")
        return 0
    print(f"From {fetch.REPOSITORY}, licence {fetch.LICENCE}.")
    failed = 0
    for name in arguments.names or (fetch.ASSETS if arguments.list else fetch.DEFAULT):
        try:
            if arguments.list:
                print(f"{name}: {fetch.asset(name).what}")
            else:
                print(f"{name}: {fetch.fetch(name)}")
        except InputError as error:
            print(f"dihpose: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0
