"""Measure the time of the association, by the number of people, beside a plain implementation."""

import itertools
import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from .. import skeleton, targets
from ..association import Association, assemble, associate, choose_pairs, score_pairs
from ..common.machine import threads
from ..datasets import authors
from ..inference.estimator import PoseEstimator
from ..peaks import find_peaks
from . import inference, slow_association
from .timing import machine, milliseconds, rounds


def crowd(count: int, seed: int = 0, height: int = 46, width: int = 56, stride: int = 8, noise: float = 0.02):
    """Make noisy maps of a crowd: ``count`` people stand in rows, as large as possible.

    Returns landmarks (count, 17, 2) in input pixels, limb fields (32, height, width), part maps (18, height, width).
    """
    rng = np.random.default_rng(seed)
    body = np.add(skeleton.standing(), (0, 95))  # centimetres around the hips

    def room(columns: int) -> float:  # pixels per centimetre, if each person needs 130 x 200 cm
        return min(1.2, stride * width / columns / 130, stride * height / math.ceil(count / columns) / 200)

    columns = max(range(1, count + 1), key=room, default=1)
    rows, scale = max(math.ceil(count / columns), 1), room(columns) if count else 1.0
    cells = itertools.islice(itertools.product(range(rows), range(columns)), count)
    middles = np.array([[(x + 0.5) / columns * width, (y + 0.5) / rows * height] for y, x in cells]).reshape(-1, 1, 2)
    people = stride * middles + scale * (body + rng.normal(0, 1.5, (count, *body.shape)))
    maps = targets.make(torch.from_numpy(people).float(), height, width, stride)
    limbs, parts = (m.numpy() + rng.normal(0, noise, m.shape).astype(np.float32) for m in maps)
    return people, limbs, parts


def measure(crowds: Sequence[int] = (0, 1, 3, 10, 20, 50), repeats: int = 50) -> dict:
    """Measure the association alone, maps to people, on one thread, as a whole and step by step.

    Args:
        crowds: Numbers of people. The authors' DIH frame is measured too, if it is available.
        repeats: Number of rounds. The slow reference gets at most 3, and only for 20 people or fewer.

    Returns:
        ``crowds``, a row for each case, and the machine. ``cores`` is processor time over elapsed time: 1 if no other
        core was used (by NumPy's BLAS).

    Raises:
        InputError: ``repeats`` is below 1.
    """
    inference.machine_limits(repeats, 1)
    cases = {f"{count} people": (*crowd(count)[1:], 8, Association()) for count in crowds}
    if at_hand := authors.at_hand("mpm-4s-dih", "dih-frame"):
        real = PoseEstimator("MPM-4S", at_hand[0], "torch")
        maps = real.maps(inference.cropped(at_hand[1]))
        cases["the authors' DIH frame, MPM-4S"] = (*maps, real.stride, real.association)
    with threads(1):
        rows = [{"maps": name} | _decoded(*case, repeats) for name, case in tqdm(cases.items(), disable=None)]
        return {"crowds": rows} | machine()


def _decoded(limbs: np.ndarray, parts: np.ndarray, stride: int, config: Association, repeats: int) -> dict:
    """Return one row of :func:`measure`."""
    landmarks, peaking = parts[: skeleton.N_LANDMARKS], {"scan_order": config.scan_order, "most": config.most}
    state: dict = {}
    steps = {
        "total": lambda: state.update(people=associate(limbs, parts, stride, config)),
        "peaks": lambda: state.update(peaks=find_peaks(landmarks, config.threshold, **peaking)),
        "pairs scored": lambda: state.update(pairs=score_pairs(limbs, state["peaks"], config)),
        "pairs chosen": lambda: state.update(chosen=choose_pairs(state["pairs"])),
        "people": lambda: assemble(state["peaks"], state["chosen"]),
    }
    clock, processor = time.perf_counter(), time.process_time()
    taken = {step: milliseconds(seconds) for step, seconds in rounds(steps, repeats).items()}
    cores = (time.process_time() - processor) / (time.perf_counter() - clock)
    row = {"people": len(state["people"]), "peaks": len(state["peaks"].kind), "cores": cores}
    row |= {"fast": taken.pop("total"), "steps": taken, "slow": None, "ratio": None}
    if row["people"] <= 20:
        slow = {"": lambda: slow_association.associate(limbs, parts, stride, config)}
        row["slow"] = milliseconds(rounds(slow, min(repeats, 3), warm_up=0)[""])
        row["ratio"] = row["slow"]["median_ms"] / row["fast"]["median_ms"]
    return row
