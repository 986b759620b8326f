"""What trained networks show of themselves in notebooks 03 and 04. It is found from their weights once and kept beside the run,
as ``seen/NAME.json`` of its folder, so that it can be shown where the weights themselves are not."""

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
from ..experiments import results, tables
from ..sample import Sample
from ..training import batches, evaluation, objectives
from ..training.run import Run, ancestors

WEIGHTS = "weights.safetensors"


def folders(profile: str, names: Sequence[str]) -> dict[str, Path]:
    """Where these runs are, or will be: those of them that a profile has."""
    plan = tables.wanted(profile)
    return {name: results.folder_of(plan[name], profile) for name in names if name in plan}


def absent(profile: str, names: Sequence[str], file: str = WEIGHTS) -> str:
    """One line on those runs of which a file is not there: which, and what makes it; empty where all have it."""
    plan, found = tables.wanted(profile), folders(profile, names)
    lacking = [name for name, folder in found.items() if not (folder / file).exists()]
    on_the_way = {run.name for name in lacking for run in ancestors(plan[name])}
    commands = ", ".join(f"`dihpose train {n} --profile {profile}`" for n in lacking if n not in on_the_way)
    never = [name for name in names if name not in found]
    said = [f"Not here: {file} of {', '.join(lacking)}; made by {commands}."] if lacking else []
    return " ".join(said + ([f"Not run at profile {profile}: {', '.join(never)}."] if never else []))


def seen(name: str, profile: str, runs: Sequence[str], look: Callable[..., dict]) -> dict | None:
    """What ``look`` finds in the trained networks of these runs: as it is kept beside the last one, in a file that names the
    others, or found and kept now. None where nothing is kept and weights are missing."""
    found = folders(profile, runs)
    path = found[runs[-1]] / "seen" / f"{'-'.join([name, *runs[:-1]])}.json" if len(found) == len(runs) else None
    if path and not path.exists() and not absent(profile, runs):
        networks = [models.load(found[run] / WEIGHTS) for run in runs]
        with torch.inference_mode():
            what = look(*networks)
        path.parent.mkdir(exist_ok=True)
        files.write_json(path, what | machine.provenance())
    return files.read_json(path) if path and path.exists() else None


# --- Two domains (notebook 03) ----------------------------------------------------------------------------------------


def principal(*groups: torch.Tensor) -> list[torch.Tensor]:
    """Groups of features (N, C) -> coordinates (N, 2) along the two directions in which all of them together spread most."""
    centre = torch.cat(groups).mean(0)
    directions = torch.linalg.svd(torch.cat(groups) - centre, full_matrices=False).Vh[:2]
    return [(group - centre) @ directions.T for group in groups]


def domains(adapted: str, profile: str, most: int = 40) -> dict | None:
    """Validation images of both domains by an adaptation's features. ``places`` has, by ``before`` and ``after`` and by domain,
    where images (N, 2) lie by the means of their features over the map, along the two main directions of all; ``holes``, by
    domain, the share of pixels without a reading."""
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
    images = run.preprocessing.normalise(sample.depth)[:, None]
    return torch.cat([network.features(part).mean((2, 3)) for part in images.split(8)])


# --- Teacher and students (notebook 04) -------------------------------------------------------------------------------


def chosen_by(run: Run, most: int = 60) -> tuple[Sample, str]:
    """Frames of the fold that networks finetuned as ``run`` are chosen by, as those see them; and what they are."""
    samples = batches.validation(run.data, min(most, run.validation))
    kind = "real" if named.about(run.data.set).real else "synthetic"
    return samples, f"{len(samples)} frames of {run.data.set.replace('-train', '-validation')}, {kind}"


def out_of_reach(features: torch.Tensor) -> torch.Tensor:
    """Features (N, C) -> for k = 1 to C the share of their squares, about their mean, that lies beyond their k main directions:
    what no affine image of k numbers can have (Eckart and Young)."""
    energy = torch.linalg.svdvals((features - features.mean(0)).double()).square()
    return (1 - energy.cumsum(0) / energy.sum()).clamp(min=0)


def spectrum(teacher: str, profile: str) -> dict | None:
    """:func:`out_of_reach` of a network's features, cell by cell, on the frames that it was chosen by: ``beyond``, how many
    ``cells``, and which frames, ``what``."""
    run = tables.find_run(teacher, profile)

    def look(network: nn.Module) -> dict:
        samples, what = chosen_by(run)
        images = run.preprocessing.normalise(samples.depth)[:, None]
        features = torch.cat([network.features(part).movedim(1, -1).flatten(0, 2) for part in images.split(10)])
        return {"beyond": out_of_reach(features).tolist(), "cells": len(features), "what": what}

    return seen("spectrum", profile, (teacher,), look)


def hits(given: np.ndarray, found: np.ndarray, threshold: float, kappa: float = 0.1) -> np.ndarray:
    """Which of the given landmarks (P, 17, 2) any of the people found (Q, 17, 3) has, scored at least ``threshold`` and within
    ``kappa`` of the height of the box about the given person's landmarks -> (P, 17)."""
    counted = np.where(found[..., 2:] >= threshold, found[..., :2], np.nan)
    apart = np.linalg.norm(given[:, None] - counted, axis=-1)
    return (apart <= kappa * metrics.box_heights(given)[:, None, None]).any(1)


def missed(teacher: str, plain: str, distilled: str, profile: str) -> dict | None:
    """Who finds what on the frames that these finetuned networks were chosen by, each at its own best threshold.

    ``what``, which frames; ``labelled`` (17), how many landmarks there are. ``roles``, of teacher, plain and distilled student:
    ``f``, ``threshold``, and how many are ``found`` (17), ``lost`` (17; the teacher alone has them) and ``gained`` (17; the
    teacher alone has them not). ``back``, how many teacher and distilled student find and the plain one does not. ``frame``,
    the one with most of these: ``image``, ``back``, its ``depth`` (:func:`unpacked`), the ``given`` landmarks (P, 17, 2), and
    of each of its ``roles`` the ``highest`` part map (h, w) and where ``lost`` landmarks (N, 2) are.
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
    """Metres (H, W) as a 16-bit PNG of millimetres, in base64."""
    return base64.b64encode(cv2.imencode(".png", np.round(1000 * depth).astype(np.uint16))[1]).decode()


def unpacked(text: str) -> np.ndarray:
    """Depth (H, W), metres, as :func:`missed` keeps it."""
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED) / np.float32(1000)
