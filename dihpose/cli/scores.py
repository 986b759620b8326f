"""``dihpose data export | score``: write annotations or found people as COCO keypoints; score a network on a set."""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import InputError
from ..inference.runtime import BACKENDS

if TYPE_CHECKING:
    from ..datasets.formats.coco import Image
    from ..datasets.formats.reader import Recorded, Skipped
    from ..sample import Sample


def add(kinds: argparse._SubParsersAction) -> None:
    export = kinds.add_parser(
        "export",
        help="a set's annotations as a COCO-keypoints JSON; with --model or --weights, the people found instead",
    )
    export.add_argument(
        "--out", required=True, metavar="FILE", help="the JSON to write; pixels of the frames as read (DIH's are cut)"
    )
    export.add_argument(
        "--results", action="store_true",
        help="of the people found, write the list alone that pycocotools' loadRes takes, for a set's export without it",
    )  # fmt: skip
    export.set_defaults(run=_export)
    score = kinds.add_parser(
        "score", help="find the people in a set's frames: PCK as in the paper's tables, and COCO's OKS"
    )
    score.set_defaults(run=_score)
    for kind in (export, score):
        kind.add_argument("folder", metavar="DIR", help="the set's folder, in any format that dihpose data check knows")
        kind.add_argument("--model", help="as in Table I (default: what the weights are of)")
        kind.add_argument(
            "--weights", help="a .safetensors of ours, or a .pm of the authors' (default: MPM-2S of ours)"
        )
        kind.add_argument("--backend", choices=BACKENDS, default="auto", help="what runs the network (default: auto)")
        kind.add_argument(
            "--flip",
            action="store_true",
            help="average over the frame and its mirror image: fewer mistakes, twice the time",
        )
        kind.add_argument("--limit", type=int, metavar="N", help="use N frames, evenly spread (default: all)")
    export.add_argument("--threshold", type=float, help="least score of a landmark (default: what suits the weights)")
    score.add_argument(
        "--threshold", type=float, help="least score of a landmark (default: for PCK the best one, for OKS the lowest)"
    )


def _export(arguments: argparse.Namespace) -> int:
    from ..datasets.formats import coco, reader, registry

    find = arguments.model or arguments.weights
    if arguments.results and not find:
        raise InputError("--results needs a network: give --model or --weights too")
    estimator = _estimator(arguments, arguments.threshold) if find else None
    found, skipped, people = registry.opened(arguments.folder), reader.Skipped(), 0

    def images() -> Iterator[coco.Image]:
        nonlocal people
        for index, sample in _frames(found, arguments.limit, skipped):
            if estimator:
                depth = sample.depth[0].numpy()
                image = coco.from_people(estimator(depth), found.name(index), depth.shape)
            elif sample.annotated.any():
                image = _given(found, index, sample)
            else:
                continue  # no landmark is marked, so there may be people
            people += len(image.landmarks)
            yield replace(image, id=index + 1)

    marked = {} if estimator else {"marked": found.landmarks}
    listed = coco.write(Path(arguments.out), images(), **marked, as_results=arguments.results)
    _tell(skipped)
    frames = _counted(len(listed), "frame", "frames")
    print(f"{arguments.out}: {_counted(people, 'person', 'people')} in {frames}, {skipped.count:,} skipped")
    return 0


def _score(arguments: argparse.Namespace) -> int:
    from .. import metrics
    from ..datasets.formats import coco, oks, reader, registry
    from ..skeleton import N_LANDMARKS, UPPER_BODY
    from ..training import evaluation

    found, skipped = registry.opened(arguments.folder), reader.Skipped()
    if not found.landmarks:
        raise InputError(f"{arguments.folder}: has no annotations to compare with")
    thresholds = metrics.THRESHOLDS if arguments.threshold is None else (arguments.threshold,)
    estimator = _estimator(arguments, min(thresholds))
    evaluated, given, people, unlabelled = None, [], [], 0
    for index, sample in _frames(found, arguments.limit, skipped):
        if not sample.annotated.any():
            unlabelled += 1
            continue
        poses = estimator(sample.depth[0].numpy())
        own = evaluation.of_image(sample, 0, poses, thresholds)
        evaluated = own if evaluated is None else evaluated + own
        given.append(_given(found, index, sample))
        people.append(coco.from_people(poses, found.name(index), sample.depth.shape[1:]))
    _tell(skipped)
    if not given:
        raise InputError(f"{arguments.folder}: none of its frames can be used")
    there, seen = (sum(len(image.landmarks) for image in images) for images in (given, people))
    print(
        f"{arguments.folder} ({found.kind}) by {estimator.model}: {_counted(len(given), 'frame', 'frames')}, "
        f"{skipped.count:,} skipped{f', {unlabelled:,} unlabelled' if unlabelled else ''}; "
        f"{_counted(there, 'person', 'people')}, {seen:,} found at threshold {min(thresholds):g}"
    )
    print(f"the set marks {len(found.landmarks)} of {N_LANDMARKS} landmarks: {', '.join(found.landmarks)}")
    for what, landmarks in (("PCK, whole body", None), ("PCK, upper body", UPPER_BODY)):
        best = evaluated.best(landmarks)
        _show(what, best, ("ap", "ar", "f"), f"   at threshold {best['threshold']:g}")
    _show("OKS", oks.score(given, people), ("ap", "ar", "ap50", "ap75"))
    return 0


def _estimator(arguments: argparse.Namespace, threshold: float | None):
    from ..inference.estimator import PoseEstimator

    constants = {} if threshold is None else {"threshold": threshold}
    return PoseEstimator(arguments.model, arguments.weights, arguments.backend, flip=arguments.flip, **constants)


def _frames(found: "Recorded", limit: int | None, skipped: "Skipped") -> Iterator[tuple[int, "Sample"]]:
    """Yield the usable frames of a set, each with its index: of all frames, or of ``limit`` evenly spread ones."""
    from tqdm import tqdm

    from ..datasets.formats import reader

    which = reader.spread(len(found), limit)
    return reader.good(found, tqdm(which, unit="frame", disable=not sys.stderr.isatty()), skipped)


def _given(found: "Recorded", index: int, sample: "Sample") -> "Image":
    """Return the annotated people of a frame, with their areas if the annotations have them."""
    from ..datasets.formats import coco

    return coco.from_sample(sample, found.name(index), areas=found.areas(index))


def _tell(skipped: "Skipped") -> None:
    """Print why frames were left out: the first errors, and the number of the others."""
    for reason in skipped.first:
        print(f"dihpose: {reason}", file=sys.stderr)
    if skipped.count > len(skipped.first):
        print(f"dihpose: and {skipped.count - len(skipped.first):,} more frames like these", file=sys.stderr)


def _show(what: str, scores: dict[str, float], names: Sequence[str], note: str = "") -> None:
    values = (f"{name.upper()} {'–' if math.isnan(scores[name]) else f'{scores[name]:.3f}'}" for name in names)
    print(f"  {what:16}" + "  ".join(values) + note)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
