"""COCO's score of keypoints, object keypoint similarity (OKS), computed by pycocotools."""

import contextlib
import io
import math
from collections.abc import Sequence

import numpy as np

from ...common.errors import needs
from ...skeleton import LANDMARKS
from . import coco

# How far annotators differ about a landmark, as a share of the square root of the person's area. The numbers are COCO's; for
# the top of the head and the neck CrowdPose's; for the head, which was never measured, the same as for the neck.
_SIGMAS = {
    "neck": 0.079, "head": 0.079, "head_top": 0.079, "hip": 0.107, "knee": 0.087, "ankle": 0.089,
    "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "eye": 0.025,
}  # fmt: skip
SIGMAS = np.array([_SIGMAS[name.removeprefix("left_").removeprefix("right_")] for name in LANDMARKS])
_NOWHERE = -1e5  # pixels: takes the place of COCO's (0, 0) for missing landmarks, which could be near a true one


def score(truths: Sequence[coco.Image], found: Sequence[coco.Image]) -> dict[str, float]:
    """COCO's keypoint score, by pycocotools.

    Only labelled landmarks count: found landmarks that are not labelled cost nothing. An image in which nobody was found counts
    as any other. At most 20 people of an image count.

    Args:
        truths: The images with their labelled people.
        found: The same images with the people found in them, with scores.

    Returns:
        ``ap`` (mean over OKS 0.50, 0.55, ... 0.95), ``ap50``, ``ap75`` and ``ar``, from 0 to 1; NaN where nobody is labelled.

    Raises:
        InputError: pycocotools is not installed.
        ValueError: The lists differ in length.

    Example:
        >>> landmarks = 10.0 * np.arange(34).reshape(1, 17, 2)
        >>> truth = coco.Image("frame_1.png", 400, 400, landmarks, np.ones((1, 17), bool))
        >>> round(score([truth], [coco.Image("frame_1.png", 400, 400, landmarks, truth.visible, np.ones(1))])["ap"], 3)
        1.0
    """
    COCO = needs("pycocotools.coco", "COCO's score").COCO
    COCOeval = needs("pycocotools.cocoeval", "COCO's score").COCOeval
    if len(truths) != len(found):
        raise ValueError(f"{len(truths)} images with truths, and {len(found)} with people found")
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for images in (truths, found):
            side = COCO()
            side.dataset = coco.document(images)
            side.dataset["annotations"] = [a for a in side.dataset["annotations"] if a["category_id"] == coco.OURS]
            side.createIndex()
            sides.append(side)
        for annotation in sides[1].dataset["annotations"]:
            points = np.reshape(annotation["keypoints"], (-1, 3))
            points[points[:, 2] == 0, :2] = _NOWHERE
            annotation["keypoints"] = points.flatten().tolist()
        evaluation = COCOeval(*sides, "keypoints")
        evaluation.params.kpt_oks_sigmas = SIGMAS
        evaluation.params.catIds = [coco.OURS]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores = {name: float(evaluation.stats[i]) for name, i in (("ap", 0), ("ap50", 1), ("ap75", 2), ("ar", 5))}
    return {name: score if score >= 0 else math.nan for name, score in scores.items()}
