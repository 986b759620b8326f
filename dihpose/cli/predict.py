"""``dihpose predict``: depth files -> people, as JSON and pictures."""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from ..errors import InputError
from ..files import replacing
from ..runtime import BACKENDS


def add(commands: argparse._SubParsersAction) -> None:
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
    predict.add_argument("--coco", metavar="FILE", help="put the people of all files into this COCO-keypoints JSON too")
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


def _predict(arguments: argparse.Namespace) -> int:
    from PIL import Image
    from tqdm import tqdm

    from .. import PoseEstimator, coco, depth, frames, lifting, plotting

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
    failed, found = 0, []
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
            if arguments.coco:
                found.append(coco.from_people(people, name, frame.shape))
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
    if arguments.coco:
        coco.write(Path(arguments.coco), found)
        print(f"{arguments.coco}: {len(found)} {'frame' if len(found) == 1 else 'frames'}")
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
    from ..skeleton import LANDMARKS

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
