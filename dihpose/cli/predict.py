"""``dihpose predict``: depth files, videos of depth, a folder being written to -> people, as JSON and pictures."""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from itertools import chain, count
from pathlib import Path

from .. import depth
from ..association import Pose
from ..common.errors import InputError
from ..common.files import replacing
from ..depth import source, video
from ..inference.estimator import PoseEstimator
from ..inference.runtime import BACKENDS


def add(commands: argparse._SubParsersAction) -> None:
    predict = commands.add_parser("predict", help="find the people in depth files: a JSON and an overlay PNG for each")
    predict.add_argument(
        "files", nargs="+", metavar="FILE",
        help="depth images (NPY, PNG, TIFF, PGM, EXR, MAT, .bin), folders of them, 'DIR/%%05d.png' or 'DIR/*.png'; "
        "videos of 16-bit grey (FFV1 in .mkv)",
    )  # fmt: skip
    predict.add_argument("--follow", action="store_true", help="FILE is a folder: go on with what is written to it")
    predict.add_argument(
        "--idle", type=float, default=30.0, metavar="SECONDS",
        help="end following when nothing has come for so long (default: 30; Ctrl-C ends it at any time)",
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
    predict.add_argument(
        "--flip", action="store_true", help="look at every image's mirror image too: fewer mistakes, twice the time"
    )
    predict.set_defaults(run=_predict)


def _predict(arguments: argparse.Namespace) -> int:
    from PIL import Image
    from tqdm import tqdm

    from .. import depth
    from ..datasets.formats import coco
    from ..depth import lifting, video

    box = depth.parse_crop(arguments.crop) if arguments.crop else None
    intrinsics = lifting.parse_intrinsics(arguments.intrinsics) if arguments.intrinsics else None
    constants = {} if arguments.threshold is None else {"threshold": arguments.threshold}
    estimator = PoseEstimator(arguments.model, arguments.weights, arguments.backend, flip=arguments.flip, **constants)
    out = Path(arguments.out)
    overlays = arguments.overlay if arguments.overlay is not None else not arguments.video
    source, target_of, total = _source(arguments, intrinsics, overlays)
    out.mkdir(parents=True, exist_ok=True)
    done, failed, found, interrupted = 0, 0, [], False
    video = video.video(Path(arguments.video), arguments.fps) if arguments.video else nullcontext()
    with source, video as show:
        try:
            for item in tqdm(source, unit="frame", total=total, disable=total == 1 or not sys.stderr.isatty()):
                try:
                    if isinstance(item, InputError):
                        raise item
                    people = _people(estimator, item, box)
                except InputError as error:
                    tqdm.write(f"dihpose: {error}", file=sys.stderr)
                    failed += 1
                    continue
                target = target_of(item.name)
                written = f"{target}.json"
                with replacing(Path(written)) as partial:
                    content = result(item.name, item.depth.shape, people, item.timestamp)
                    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
                picture = depth.overlay(item.depth, people) if overlays or show else None
                if overlays:
                    with replacing(Path(f"{target}.png")) as partial:
                        Image.fromarray(picture).save(partial)
                    written += f", {target}.png"
                if show:
                    show(picture)
                if arguments.coco:
                    found.append(coco.from_people(people, item.name, item.depth.shape))
                done += 1
                tqdm.write(f"{item.name}: {len(people)} {'person' if len(people) == 1 else 'people'} -> {written}")
                sys.stdout.flush()  # whoever follows wants to see it now
        except KeyboardInterrupt:
            if not arguments.follow or not done:
                raise
            interrupted = True  # that is how following ends: what belongs to all frames is finished
    if arguments.coco:
        coco.write(Path(arguments.coco), found)
        print(f"{arguments.coco}: {len(found)} {'frame' if len(found) == 1 else 'frames'}")
    if arguments.video:
        print(f"{arguments.video}: {done} {'frame' if done == 1 else 'frames'}")
    if interrupted:
        raise KeyboardInterrupt
    return 1 if failed else 0


def _source(
    arguments: argparse.Namespace, intrinsics: source.Intrinsics | None, overlays: bool
) -> tuple[depth.DepthSource, Callable[[str], Path], int | None]:
    """Where the frames come from, where the results of the frame of a name go, and how many frames there are, if known.
    InputError where an overlay or the video would replace an input, or become one."""
    out = Path(arguments.out)
    if arguments.follow:
        if len(arguments.files) != 1:
            raise InputError(f"{' '.join(arguments.files)}: --follow goes with one folder; run it once for each")
        (folder,) = arguments.files
        if overlays and out.resolve() == Path(folder).resolve():
            raise InputError(
                f"{folder}: overlays in it would be taken for depth; choose another --out, or --no-overlay"
            )
        return depth.Followed(folder, arguments.unit, intrinsics, arguments.idle), _one_by_one(out), None
    source = depth.Files(arguments.files, arguments.unit, intrinsics)
    names = _names(source.paths)
    inputs = {Path(path).resolve() for path in source.paths}
    if overlays:
        for name in names.values():
            if (overlay := out / f"{name}.png").resolve() in inputs:
                raise InputError(f"{overlay}: is an input, and its overlay would replace it; choose another --out")
    if arguments.video and Path(arguments.video).resolve() in inputs:
        raise InputError(f"{arguments.video}: is an input, and would be replaced; choose another --video")

    def target_of(name: str) -> Path:
        if name in names:
            return out / names[name]
        file, _, number = name.rpartition(":")  # of a video's frame
        return out / f"{names[file]}_{number}"

    return source, target_of, None if any(map(video.is_video, source.paths)) else len(source.paths)


def _people(estimator: PoseEstimator, frame: depth.Frame, box: tuple[int, int, int, int] | None) -> list[Pose]:
    """The people in a frame, or in that part of it, in pixels of the frame."""
    x, y, *_ = box or (0, 0)
    intrinsics = frame.intrinsics
    if intrinsics is not None:
        fx, fy, cx, cy = intrinsics
        intrinsics = (fx, fy, cx - x, cy - y)
    people = estimator(depth.crop(frame.depth, box, frame.name) if box else frame.depth, intrinsics=intrinsics)
    for person in people:
        person.landmarks[:, :2] += (x, y)
    return people


def result(name: str, shape: tuple[int, int], people: Sequence, timestamp: float | None = None) -> dict:
    """What ``dihpose predict`` writes: pixels of the file's frame, landmarks that were found by name as [x, y, score]; where
    points in space were asked for, those found as [x, y, z], metres; the frame's timestamp, seconds, where it is known."""
    return {
        "file": name,
        **({} if timestamp is None else {"timestamp": round(timestamp, 6)}),
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


def _names(files: Sequence[str]) -> dict[str, str]:
    """Each file with what its results are called: its stem, or its whole name or path where these collide. Results of a
    video's frames are called ``NAME_000000`` and so on."""
    for name_of in (
        lambda p: p.stem,
        lambda p: p.name,
        lambda p: "_".join(part for part in p.parts if part != p.anchor),
    ):
        names = [name_of(Path(file)) for file in files]
        videos = {name for file, name in zip(files, names, strict=True) if video.is_video(file)}
        alike = (re.fullmatch(r"(.*)_[0-9]{6,}", name) for name in names)  # a frame of this video could be called so
        if len(set(names)) == len(names) and not any(match and match[1] in videos for match in alike):
            break
    else:
        names = [f"{i}_{name}" for i, name in enumerate(names)]
    return dict(zip(files, names, strict=True))


def _one_by_one(out: Path) -> Callable[[str], Path]:
    """Where the results of files go of which nobody knows which others will come: by the stem, or by what is not taken."""
    taken: dict[str, str] = {}

    def target_of(name: str) -> Path:
        path = Path(name)
        for own in chain((path.stem, path.name), (f"{i}_{path.name}" for i in count())):
            if taken.setdefault(own, name) == name:
                return out / own

    return target_of
