"""What notebooks 03 and 04 show of trained networks.

It is computed from the weights once and stored as ``seen/NAME.json`` in the folder of the run. The notebooks read that file
where the weights are not at hand.
"""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from .. import metrics, models
from ..common import files, machine
from ..datasets import named
from ..experiments import results, runner, tables
from ..sample import Sample
from ..training import batches, evaluation, objectives
from ..training.run import Run, ancestors

WEIGHTS = "weights.safetensors"


def folders(profile: str, names: Sequence[str]) -> dict[str, Path]:
    """The folders of those of the runs that a profile has, whether or not they exist yet."""
    plan = tables.wanted(profile)
    return {name: results.folder_of(plan[name], profile) for name in names if name in plan}


def absent(profile: str, names: Sequence[str], file: str = WEIGHTS) -> str:
    """Which of the runs lack a file and which commands make it, in one line; empty if none does."""
    plan, found = tables.wanted(profile), folders(profile, names)
    lacking = [name for name, folder in found.items() if not (folder / file).exists()]
    trained_with_others = {run.name for name in lacking for run in ancestors(plan[name])}
    commands = ", ".join(f"`dihpose train {n} --profile {profile}`" for n in lacking if n not in trained_with_others)
    never = [name for name in names if name not in found]
    sentences = [f"Not here: {file} of {', '.join(lacking)}; made by {commands}."] if lacking else []
    sentences += [f"Not run at profile {profile}: {', '.join(never)}."] if never else []
    return " ".join(sentences)


def seen(name: str, profile: str, runs: Sequence[str], look: Callable[..., dict]) -> dict | None:
    """What a function finds in the trained networks of some runs.

    Args:
        name: Name of what is looked at; the file is called by it and by all runs but the last.
        profile: Name of the profile.
        runs: The runs whose networks ``look`` takes, in this order. The file lies in the folder of the last.
        look: Takes the networks and returns a JSON object.

    Returns:
        The stored object. If there is none, ``look`` is called and its object stored. None if weights are missing too.
    """
    found = folders(profile, runs)
    path = found[runs[-1]] / "seen" / f"{'-'.join([name, *runs[:-1]])}.json" if len(found) == len(runs) else None
    if path and not path.exists() and not absent(profile, runs):
        networks = [models.load(found[run] / WEIGHTS) for run in runs]
        with torch.inference_mode(), runner.lock(profile):
            what = look(*networks)
        path.parent.mkdir(exist_ok=True)
        files.write_json(path, what | machine.provenance())
    return files.read_json(path) if path and path.exists() else None


# --- Two domains (notebook 03) ----------------------------------------------------------------------------------------


def principal(*groups: torch.Tensor) -> list[torch.Tensor]:
    """Project groups of features (N, C) on the first two principal directions of all groups together -> (N, 2) each."""
    centre = torch.cat(groups).mean(0)
    directions = torch.linalg.svd(torch.cat(groups) - centre, full_matrices=False).Vh[:2]
    return [(group - centre) @ directions.T for group in groups]


def domains(adapted: str, profile: str, most: int = 40) -> dict | None:
    """Compare validation images of both domains by their features, before and after adaptation.

    Returns None if nothing is stored and weights are missing, otherwise ``places``: by ``before`` and ``after`` and by domain,
    the images (N, 2) along the first two principal directions of their mean features; and ``holes``: by domain, the share of
    pixels without a reading.
    """
    run = tables.find_run(adapted, profile)

    def look(*networks: nn.Module) -> dict:
        count = min(most, 3 * run.validation)
        samples = {
            name: batches.validation(data, count)
            for name, data in (("synthetic", run.data), ("target", run.domains.target))
        }
        places = iter(principal(*(_means(run, one, sample) for one in networks for sample in samples.values())))
        return {
            "places": {when: {name: next(places).tolist() for name in samples} for when in ("before", "after")},
            "holes": {name: float((sample.depth == 0).float().mean()) for name, sample in samples.items()},
        }

    return seen("domains", profile, (run.start.name, adapted), look)


def _means(run: Run, network: nn.Module, sample: Sample) -> torch.Tensor:
    """The mean of each feature over the image -> (N, C)."""
    images = run.preprocessing.normalise(sample.depth)[:, None]  # (N, 1, H, W)
    return torch.cat([network.features(part).mean((2, 3)) for part in images.split(8)])


# --- Teacher and students (notebook 04) -------------------------------------------------------------------------------


def chosen_by(run: Run, most: int = 60) -> tuple[Sample, str]:
    """Validation frames of a finetuned run, as the network gets them, and a description of them."""
    samples = batches.validation(run.data, min(most, run.validation))
    kind = "real" if named.about(run.data.set).real else "synthetic"
    return samples, f"{len(samples)} frames of {run.data.set.replace('-train', '-validation')}, {kind}"


def out_of_reach(features: torch.Tensor) -> torch.Tensor:
    """The share of the variance of features (N, C) that lies outside their first k principal directions, for k = 1 to C.

    No affine map of k numbers can reproduce that share (Eckart and Young).
    """
    energy = torch.linalg.svdvals((features - features.mean(0)).double()).square()
    return (1 - energy.cumsum(0) / energy.sum()).clamp(min=0)


def spectrum(teacher: str, profile: str) -> dict | None:
    """:func:`out_of_reach` of a network's features on its validation frames, every cell a sample (``beyond``); with the number
    of ``cells``, and a description of the frames (``what``). None if nothing is stored and weights are missing."""
    run = tables.find_run(teacher, profile)

    def look(network: nn.Module) -> dict:
        samples, what = chosen_by(run)
        images = run.preprocessing.normalise(samples.depth)[:, None]
        features = torch.cat([network.features(part).movedim(1, -1).flatten(0, 2) for part in images.split(10)])
        return {"beyond": out_of_reach(features).tolist(), "cells": len(features), "what": what}

    return seen("spectrum", profile, (teacher,), look)


def hits(given: np.ndarray, found: np.ndarray, threshold: float, kappa: float = 0.1) -> np.ndarray:
    """Which of the true landmarks (P, 17, 2) are found by any of the people (Q, 17, 3) -> (P, 17).

    A landmark is found if a predicted one of its kind scores at least ``threshold`` and is closer than ``kappa`` times the
    height of the box around the true person's landmarks.
    """
    counted = np.where(found[..., 2:] >= threshold, found[..., :2], np.nan)
    apart = np.linalg.norm(given[:, None] - counted, axis=-1)
    return (apart <= kappa * metrics.box_heights(given)[:, None, None]).any(1)


def missed(teacher: str, plain: str, distilled: str, profile: str) -> dict | None:
    """Compare which landmarks a teacher, a plain student and a distilled student find on validation frames, each network at
    its own best threshold.

    Returns None if nothing is stored and weights are missing, otherwise a dictionary:

    - ``what``: a description of the frames; ``labelled`` (17): the number of true landmarks of each kind.
    - ``roles``: for each network its ``f`` and ``threshold``, and by kind of landmark (17) how many are ``found``, ``lost``
      (the teacher finds them, this network does not) and ``gained`` (the other way round).
    - ``back``: how many the teacher and the distilled student find and the plain student does not.
    - ``frame``: the frame with most of these, with its number ``image``, its ``back``, its ``depth`` (:func:`unpacked`) and its
      true landmarks ``given`` (P, 17, 2); for each role the ``highest`` part map (h, w) and the ``lost`` landmarks (N, 2).
    """
    run = tables.find_run(distilled, profile)
    roles = "teacher", "plain student", "distilled student"

    def look(*networks: nn.Module) -> dict:
        samples, what = chosen_by(run)
        given = [evaluation.truths(samples, i) for i in range(len(samples))]
        scores, has = {}, {}
        for role, network in zip(roles, networks, strict=True):
            scores[role], people = objectives.validate(run, network, samples)
            arrays = map(evaluation.as_array, people)
            has[role] = [hits(g, a, scores[role]["threshold"]) for g, a in zip(given, arrays, strict=True)]
        every = {role: np.concatenate(parts) for role, parts in has.items()}
        back = [int((t & d & ~p).sum()) for t, p, d in zip(*has.values(), strict=True)]
        image = int(np.argmax(back))
        depth = samples.depth[image]

        def of_role(role: str) -> dict:
            lost, gained = every["teacher"] & ~every[role], every[role] & ~every["teacher"]
            counts = {"found": every[role], "lost": lost, "gained": gained}
            return {k: scores[role][k] for k in ("f", "threshold")} | {k: v.sum(0).tolist() for k, v in counts.items()}

        def on_frame(role: str, network: nn.Module) -> dict:
            highest = network(run.preprocessing.normalise(depth)[None, None])[-1][1][0, :17].amax(0)
            lost = given[image][has["teacher"][image] & ~has[role][image]]
            return {"highest": [[round(v, 3) for v in row] for row in highest.tolist()], "lost": lost.tolist()}

        return {
            "what": what, "labelled": (~np.isnan(np.concatenate(given)[..., 0])).sum(0).tolist(), "back": sum(back),
            "roles": {role: of_role(role) for role in roles},
            "frame": {
                "image": image, "back": back[image], "depth": _packed(depth.numpy()), "given": given[image].tolist(),
                "roles": {role: on_frame(role, network) for role, network in zip(roles, networks, strict=True)},
            },
        }  # fmt: skip

    return seen("missed", profile, (teacher, plain, distilled), look)


def _packed(depth: np.ndarray) -> str:
    """Depth (H, W) in metres as a 16-bit PNG of millimetres, in base64."""
    return base64.b64encode(cv2.imencode(".png", np.round(1000 * depth).astype(np.uint16))[1]).decode()


def unpacked(text: str) -> np.ndarray:
    """Depth (H, W) in metres from the text that :func:`missed` stores."""
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED) / np.float32(1000)
