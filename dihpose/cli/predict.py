"""``dihpose predict``: find the people in depth files, videos of depth, or a folder that is being written to."""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from itertools import chain, count
from pathlib import Path

import numpy as np

from .. import depth
from ..association import Pose
from ..common.errors import InputError
from ..common.files import replacing
from ..depth import lifting, source, video
from ..inference.estimator import PoseEstimator
from ..inference.runtime import BACKENDS
from ..skeleton import LANDMARKS


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    predict = commands.add_parser("predict", help="find the people in depth files: a JSON and an overlay PNG for each")
    predict.add_argument(
        "files", nargs="+", metavar="FILE",
        help="depth images (NPY, PNG, TIFF, PGM, EXR, MAT, .bin), folders of them, 'DIR/%%05d.png' or 'DIR/*.png'; "
        "videos of 16-bit grey (FFV1 in .mkv)",
    )  # fmt: skip
    predict.add_argument("--follow", action="store_true", help="FILE is a folder: also wait for new files in it")
    predict.add_argument(
        "--idle", type=float, default=30.0, metavar="SECONDS",
        help="with --follow: end when no file has come for this long (default: 30); Ctrl-C ends it too",
    )  # fmt: skip
    predict.add_argument("--model", help="name of the network, as in Table I (default: that of the weights)")
    predict.add_argument("--weights", help="our .safetensors or the authors' .pm (default: our MPM-2S)")
    predict.add_argument("--backend", choices=BACKENDS, default="auto", help="what runs the network (default: auto)")
    predict.add_argument("--out", default="predictions", help="folder for the results (default: predictions)")
    predict.add_argument(
        "--overlay",
        action=argparse.BooleanOptionalAction,
        help="write an overlay PNG for each frame (default: yes, but not with --video)",
    )
    predict.add_argument("--coco", metavar="FILE", help="also write the people of all files as one COCO-keypoints JSON")
    predict.add_argument("--video", metavar="FILE", help="also write the overlays as a video, .mp4 or .avi")
    predict.add_argument("--fps", type=float, default=30.0, help="frames per second of the video (default: 30)")
    predict.add_argument(
        "--crop",
        help="look only at this part: dih, or X,Y,WIDTH,HEIGHT in pixels; results are in pixels of the whole file",
    )
    predict.add_argument("--unit", help="m, mm, or metres per unit (default: mm for whole numbers, m for fractions)")
    predict.add_argument(
        "--intrinsics", metavar="FX,FY,CX,CY",
        help="the camera's, in pixels of the whole file; adds landmarks_3d to the JSON: metres right, down, forward",
    )  # fmt: skip
    predict.add_argument(
        "--threshold", type=float, help="lowest score of a landmark (default: stored with the weights)"
    )
    predict.add_argument(
        "--flip",
        action="store_true",
        help="average over the image and its mirror image: fewer mistakes, twice the time",
    )
    predict.set_defaults(run=_predict)


def _predict(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..datasets.formats import coco

    box = depth.parse_crop(arguments.crop) if arguments.crop else None
    intrinsics = lifting.parse_intrinsics(arguments.intrinsics) if arguments.intrinsics else None
    constants = {} if arguments.threshold is None else {"threshold": arguments.threshold}
    estimator = PoseEstimator(arguments.model, arguments.weights, arguments.backend, flip=arguments.flip, **constants)
    overlays = arguments.overlay if arguments.overlay is not None else not arguments.video
    frames, target_of, total = _source(arguments, intrinsics, overlays)
    Path(arguments.out).mkdir(parents=True, exist_ok=True)
    done, failed, found, interrupted = 0, 0, [], False
    film = video.video(arguments.video, arguments.fps) if arguments.video else nullcontext()
    with frames, film as show:
        try:
            for item in tqdm(frames, unit="frame", total=total, disable=total == 1 or not sys.stderr.isatty()):
                try:
                    if isinstance(item, InputError):
                        raise item
                    people = _people(estimator, item, box)
                except InputError as error:
                    tqdm.write(f"dihpose: {error}", file=sys.stderr)
                    failed += 1
                    continue
                picture = depth.overlay(item.depth, people) if overlays or show else None
                written = _write(target_of(item.name), item, people, picture if overlays else None)
                if show:
                    show(picture)
                if arguments.coco:
                    found.append(coco.from_people(people, item.name, item.depth.shape))
                done += 1
                tqdm.write(f"{item.name}: {len(people)} {'person' if len(people) == 1 else 'people'} -> {written}")
                sys.stdout.flush()  # a program that reads the lines wants each at once
        except KeyboardInterrupt:
            if not arguments.follow or not done:
                raise
            interrupted = True  # the usual end of --follow: the video and the COCO file are completed below
    if arguments.coco:
        coco.write(Path(arguments.coco), found)
    for path in filter(None, (arguments.coco, arguments.video)):
        print(f"{path}: {done} {'frame' if done == 1 else 'frames'}")
    if interrupted:
        raise KeyboardInterrupt
    return 1 if failed else 0


def _source(
    arguments: argparse.Namespace, intrinsics: source.Intrinsics | None, overlays: bool
) -> tuple[depth.DepthSource, Callable[[str], Path], int | None]:
    """Open the source of the frames.

    Returns:
        The source, a function from a frame's name to the path of its results without suffix, and the number of frames,
        None where unknown.

    Raises:
        InputError: An overlay or the video would replace an input, or be read as one.
    """
    out = Path(arguments.out)
    if arguments.follow:
        if len(arguments.files) != 1:
            raise InputError(f"{' '.join(arguments.files)}: --follow takes one folder; run it once for each")
        (folder,) = arguments.files
        if overlays and out.resolve() == Path(folder).resolve():
            raise InputError(f"{folder}: overlays in it would be read as depth; choose another --out, or --no-overlay")
        return depth.Followed(folder, arguments.unit, intrinsics, arguments.idle), _one_by_one(out), None
    frames = depth.Files(arguments.files, arguments.unit, intrinsics)
    names = _names(frames.paths)
    inputs = {Path(path).resolve() for path in frames.paths}
    if overlays:
        for name in names.values():
            if (overlay := out / f"{name}.png").resolve() in inputs:
                raise InputError(f"{overlay}: is an input, and its overlay would replace it; choose another --out")
    if arguments.video and Path(arguments.video).resolve() in inputs:
        raise InputError(f"{arguments.video}: is an input, and would be replaced; choose another --video")

    def target_of(name: str) -> Path:
        if name in names:
            return out / names[name]
        file, _, number = name.rpartition(":")  # a frame of a video
        return out / f"{names[file]}_{number}"

    return frames, target_of, None if any(map(video.is_video, frames.paths)) else len(frames.paths)


def _people(estimator: PoseEstimator, frame: depth.Frame, box: tuple[int, int, int, int] | None) -> list[Pose]:
    """The people in a frame, or in its part ``box``, in pixels of the whole frame."""
    x, y, *_ = box or (0, 0)
    intrinsics = frame.intrinsics
    if intrinsics is not None:
        fx, fy, cx, cy = intrinsics
        intrinsics = (fx, fy, cx - x, cy - y)
    people = estimator(depth.crop(frame.depth, box, frame.name) if box else frame.depth, intrinsics=intrinsics)
    for person in people:
        person.landmarks[:, :2] += (x, y)
    return people


def _write(target: Path, frame: depth.Frame, people: Sequence[Pose], picture: np.ndarray | None) -> str:
    """Write a frame's JSON, and its overlay where there is one; returns the names of the files."""
    from PIL import Image

    with replacing(Path(f"{target}.json")) as partial:
        content = result(frame.name, frame.depth.shape, people, frame.timestamp)
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if picture is None:
        return f"{target}.json"
    with replacing(Path(f"{target}.png")) as partial:
        Image.fromarray(picture).save(partial)
    return f"{target}.json, {target}.png"


def result(name: str, shape: tuple[int, int], people: Sequence[Pose], timestamp: float | None = None) -> dict:
    """What ``dihpose predict`` writes for a frame.

    Args:
        name: The frame's name.
        shape: Height and width of the frame, pixels.
        people: People with landmarks in pixels of the frame.
        timestamp: Seconds, None where unknown.

    Returns:
        A dict for JSON. Each person has ``landmarks``, by name [x, y, score], and, where points in space were asked for,
        ``landmarks_3d``, by name [x, y, z] in metres. Landmarks that were not found are left out.
    """
    return {
        "file": name,
        **({} if timestamp is None else {"timestamp": round(timestamp, 6)}),
        "width": shape[1],
        "height": shape[0],
        "people": [
            {"score": round(float(person.score), 4), "landmarks": _by_name(person.landmarks, 4)}
            | ({} if person.xyz is None else {"landmarks_3d": _by_name(person.xyz, 3)})
            for person in people
        ],
    }


def _by_name(rows: Iterable[Sequence[float]], digits: int) -> dict[str, list[float]]:
    """The rows that are not NaN, one per landmark, by the landmark's name."""
    return {
        landmark: [round(float(value), digits) for value in row]
        for landmark, row in zip(LANDMARKS, rows, strict=True)
        if not math.isnan(row[0])
    }


def _names(files: Sequence[str]) -> dict[str, str]:
    """Give each file's results a name: its stem; where two are the same, its whole name, or its path.

    The results of a video's frames are called ``NAME_000000`` and so on.
    """
    for name_of in (
        lambda p: p.stem,
        lambda p: p.name,
        lambda p: "_".join(part for part in p.parts if part != p.anchor),
    ):
        names = [name_of(Path(file)) for file in files]
        videos = {name for file, name in zip(files, names, strict=True) if video.is_video(file)}
        alike = (re.fullmatch(r"(.*)_[0-9]{6,}", name) for name in names)  # may be the name of a video's frame
        if len(set(names)) == len(names) and not any(match and match[1] in videos for match in alike):
            break
    else:
        names = [f"{i}_{name}" for i, name in enumerate(names)]
    return dict(zip(files, names, strict=True))


def _one_by_one(out: Path) -> Callable[[str], Path]:
    """The same for files that are not known in advance: each gets its stem, or the first name that is not taken."""
    taken: dict[str, str] = {}

    def target_of(name: str) -> Path:
        path = Path(name)
        for own in chain((path.stem, path.name), (f"{i}_{path.name}" for i in count())):
            if taken.setdefault(own, name) == name:
                return out / own

    return target_of
