"""The command line: ``dihpose predict | reproduce | synthesize | train | benchmark | fetch``."""

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
        "train", help="train a run, or go on with it: the same command resumes what was interrupted"
    )
    train.add_argument("run_name", nargs="?", metavar="RUN", help="which (default: say what there is)")
    train.add_argument("--profile", default="laptop", help="laptop (default), or smoke: a few steps only")
    train.add_argument("--device", default="cpu", help="torch's name of it (default: cpu)")
    train.set_defaults(run=_train)

    benchmark = commands.add_parser("benchmark", help="measure how fast things are here")
    benchmark.add_argument("what", choices=["synthesis"])
    benchmark.add_argument("--size", type=int, default=184, help="of the training samples, pixels (default: 184)")
    benchmark.add_argument("--device", default="cpu", help="torch's name of it (default: cpu)")
    benchmark.add_argument("--repeats", type=int, default=20, help="rounds (default: 20)")
    benchmark.add_argument("--out", help="write the result to this JSON file too")
    benchmark.set_defaults(run=_benchmark)

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


def _benchmark(arguments: argparse.Namespace) -> int:
    from . import benchmark, store

    if arguments.out:
        Path(arguments.out).parent.mkdir(parents=True, exist_ok=True)  # before, not after, minutes of work
    found = benchmark.synthesis(arguments.size, arguments.device, arguments.repeats)
    print(f"{found['size']} x {found['size']}, batches of {found['batch']}, {found['people_per_image']:.2f} people an image, "
          f"{found['device_name']}, {found['device']['threads']} threads")  # fmt: skip
    for row in found["stages"]:
        print(f"  {row['stage']:32} {row['median_ms']:8.2f} ms an image  ({row['q1_ms']:.2f} to {row['q3_ms']:.2f})  "
              f"{row['images_per_second']:8.0f} a second")  # fmt: skip
    if all_cores := found.get("all_cores"):
        print(f"  {all_cores['processes']} processes together: {all_cores['images_per_second']:.0f} samples a second")
    if arguments.out:
        store.write(Path(arguments.out), found)
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from . import experiments, store

    if arguments.run_name is None:
        for run in experiments.RUNS.values():
            print(f"{run.name}: {run.model}, {run.images:,} images, recipe {run.data.recipe}")
        return 0
    folder = experiments.perform(arguments.run_name, arguments.profile, arguments.device)
    found = store.read(folder / "metrics.json")
    scores = (f"{name.upper()} {found['whole_body'][name] or 0:.3f}" for name in ("ap", "ar", "f"))
    print(f"{arguments.run_name}: {', '.join(scores)} on {found['data']}: {folder}")
    return 0


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
