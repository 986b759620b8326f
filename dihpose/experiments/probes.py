"""Probes of a run's checkpoints: fresh domain classifiers on frozen features, stored as ``probes.json`` in its folder.

Every run with domains has them: an adaptation for the network that it started from and for each of its checkpoints, a run
that only trains a classifier for its fixed network. The last weights also get the outline test of section VII-F1. The file
has:

- ``data``: which images the probes are trained and tested on, in words;
- ``checkpoints``: what :func:`dihpose.training.probe.measure` found, with the ``images`` of the adaptation seen so far;
- ``outlines``, the last to be computed: ``saliency`` (:func:`dihpose.training.outlines.shares`) of the probes of the last
  weights by domain and of both, and ``equalised``: probes of the same weights on equalised images, by the name of the change.
  It is null for a run whose holes are filled in, as there is nothing to test.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from .. import models
from ..common import files, machine
from ..training import checkpoint, outlines, probe
from ..training.run import Run, Weights, folder_of
from . import results, shipping

SALIENT = 100  # images of each domain for saliency


def update(folder: Path, run: Run, images: int, device: str = "cpu") -> None:
    """Train the probes that are missing in the folder of a trained run with domains.

    Each checkpoint is stored when it is done, so an interrupted call goes on where it was.

    Args:
        folder: The folder of the run. The folder of the run that it started from lies beside it, or its probes are left out.
        run: The run.
        images: Training images of each domain (:func:`dihpose.training.probe.folds`).
        device: torch device.
    """
    found = results.probes(folder)
    if "outlines" in found:
        return
    seen = {one["images"] for one in found["checkpoints"]}
    folds = probe.folds(run, images, device)
    found["data"] = (
        f"whole images, as many synthetic ones as frames of {run.domains.target.set}"
        f"{', in-painted' if run.domains.target.inpaint else ''}; tested on both validation folds"
    )

    def stored() -> None:
        files.write_json(folder / results.PROBES, found | machine.provenance())

    for after, weights in _checkpoints(folder, run):
        network, last = _network(weights, device), None
        if after not in seen:
            measured, last = probe.measure(run, network, folds)
            found["checkpoints"].append({"images": after, "weights": weights.name} | measured)
            stored()
    if run.domains.target.inpaint:
        found["outlines"] = None
    else:
        found["outlines"] = _outlines(run, network, folds, last or probe.measure(run, network, folds)[1])
    stored()


def _checkpoints(folder: Path, run: Run) -> Iterator[tuple[int, Path]]:
    """The weights to probe, each with the images of the adaptation that they have seen, in this order."""
    final = checkpoint.weights_of(folder)
    if run.domains.adversarial:
        start = run.start
        begun = Path(start.path) if isinstance(start, Weights) else start and _beside(folder, start)
        if begun and begun.exists():
            yield 0, begun
        for path in sorted((folder / "snapshots").glob("*.safetensors")):
            yield shipping.images_of(path), path
    yield shipping.images_of(final), final


def _beside(folder: Path, run: Run) -> Path:
    return checkpoint.weights_of(folder_of(folder.parents[1], run))


def _network(weights: Path, device: str) -> nn.Module:
    network = models.load(weights).to(device).to(memory_format=torch.channels_last)
    return network.eval().requires_grad_(False)


def _outlines(run: Run, network: nn.Module, folds: probe.Folds, probes: Sequence[probe.Probe]) -> dict:
    """The outline test: on which pixels the probes' mean logit depends, and new probes on equalised images."""

    def logit(images: torch.Tensor) -> torch.Tensor:
        features = network.features(images)
        return sum(one(features) for one in probes) / len(probes)

    weights, masks = {}, {}
    for name, sample in zip(("source", "target"), folds.test, strict=True):
        few = sample[:SALIENT]
        weights[name] = outlines.saliency(logit, run.preprocessing.normalise(few.depth)[:, None])
        masks[name] = outlines.areas(few.depth, few.people)
    weights["both"] = torch.cat(list(weights.values()))
    masks["both"] = {area: torch.cat([masks[name][area] for name in masks]) for area in masks["source"]}
    return {
        "saliency": {name: outlines.shares(weights[name], masks[name]) for name in weights},
        "saliency_images": len(weights["both"]),
        "equalised": {
            name: probe.measure(run, network, folds.changed(change))[0] for name, change in outlines.EQUALISED.items()
        },
    }
