"""The networks that a run trains, its loss on a batch, and validation."""

import torch
from torch import nn

from .. import adaptation, losses, models, targets
from ..association import associate
from ..common.errors import InputError
from ..metrics import THRESHOLDS
from ..sample import Sample
from .batches import Batch
from .evaluation import of_image
from .run import Distillation, Run

CONTROLS = ("", "empty", "shuffled")  # answers that replace a teacher's


class Learner(nn.Module):
    """The networks of a run.

    ``pose`` is kept. Two others are needed in training only: ``classifier``, of domains, and ``adapter``, a 1 x 1
    convolution that brings the student's features to the width of the teacher's.

    Raises:
        InputError: The run is not possible with these networks.
    """

    def __init__(self, run: Run, teacher: nn.Module | None = None):
        super().__init__()
        self.pose = models.create(run.model)
        if run.size % self.pose.stride:
            raise InputError(
                f"{run.name}: crops of {run.size} px; give a multiple of {run.model}'s stride, {self.pose.stride}"
            )
        if run.domains:
            self.classifier = adaptation.DomainClassifier(_width(self.pose, run))
        if run.distillation:
            widths = _width(self.pose, run), _width(teacher, run)
            try:
                losses.pairs(len(self.pose.stages), len(teacher.stages), run.distillation.tau)
            except ValueError as error:
                raise InputError(f"{run.name}: {error}") from None
            if run.distillation.control not in CONTROLS:
                raise InputError(f"{run.name}: unknown control {run.distillation.control!r}; there are empty, shuffled")
            if run.distillation.gamma:
                self.adapter = nn.Conv2d(*widths, 1)

    def learning(self, run: Run) -> list[nn.Parameter]:
        """The parameters that are trained."""
        return list((self.classifier if _frozen(run) else self).parameters())


def _frozen(run: Run) -> bool:
    """Whether only the domain classifier is trained."""
    return run.domains is not None and not run.domains.adversarial


def _width(model: nn.Module, run: Run) -> int:
    """Channels of the features."""
    if not isinstance(model, models.PoseMachine):
        raise InputError(f"{run.name}: {model.name} has no features of its own; give a pose machine")
    return models.parse(model.name)[2]


def terms(
    run: Run, learner: Learner, batch: Batch, teacher: nn.Module | None = None, strength: float = 0.0
) -> dict[str, torch.Tensor]:
    """Compute the loss of a run on one batch: equation (5), (8) or (9).

    Args:
        run: The run.
        learner: Its networks.
        batch: A batch as :class:`dihpose.training.batches.Batches` makes it. Landmarks that are not ``"annotated"`` are
            left out of the loss.
        teacher: The teacher, for a run with distillation; not needed if its :func:`answers` are in the batch.
        strength: Lambda of equation (8), for a run with domains.

    Returns:
        The terms by name, such as ``"limbs_1"`` for the limbs of the first stage. ``"total"`` is minimised. A term whose
        name ends in ``_only`` is reported and is not a term of the total.

    Example:
        >>> run = Run("r", model="MPM-1S-8", size=48)
        >>> batch = {"depth": torch.zeros(2, 1, 48, 48), "limbs": torch.zeros(2, 32, 6, 6), "parts": torch.zeros(2, 18, 6, 6)}
        >>> list(terms(run, Learner(run), batch))
        ['limbs_1', 'parts_1', 'total']
    """
    if run.domains:
        return _across_domains(run, learner, batch, strength)
    if run.distillation:
        return _from_teacher(run, learner, batch, teacher)
    return _pose_loss(run, _float(learner.pose(batch["depth"])), batch)


def _pose_loss(run: Run, stages: losses.Stages, batch: Batch) -> dict[str, torch.Tensor]:
    return losses.pose_loss(stages, batch["limbs"], batch["parts"], run.weighting, batch.get("annotated"))


def _across_domains(run: Run, learner: Learner, batch: Batch, strength: float) -> dict[str, torch.Tensor]:
    """Equation (8). Both domains pass through the features in one batch, so batch norm sees a mixture (our choice)."""
    count = len(batch["depth"])
    both = torch.cat([batch["depth"], batch["target"]])  # (2 B, 1, S, S)
    if _frozen(run):
        with torch.no_grad():
            features = learner.pose.eval().features(both)
        found = {}
    else:
        features = learner.pose.features(both)
        stages = _float(learner.pose.cascade(features[:count]))
        found = _pose_loss(run, stages, batch)
    logits = learner.classifier(adaptation.reverse(features, strength)).float()
    domain = adaptation.domain_loss(logits[:count], logits[count:])
    pose = found.pop("total", 0.0)
    extra = {"pose_only": pose} if found else {}
    return found | extra | {"domain": domain, "total": pose + domain}


def _from_teacher(run: Run, learner: Learner, batch: Batch, teacher: nn.Module | None) -> dict[str, torch.Tensor]:
    """Equations (9) to (14)."""
    how, truth = run.distillation, (batch["limbs"], batch["parts"])
    features = learner.pose.features(batch["depth"])
    stages = _float(learner.pose.cascade(features))
    answered = batch if "teacher_limbs" in batch else answers(how, teacher, batch["depth"])
    wanted = [_replaced(how, answered[name].float()) for name in ("teacher_limbs", "teacher_parts")]
    pose = _pose_loss(run, stages, batch)["total"]
    taught = losses.teacher_loss(stages, list(zip(*wanted, strict=True)), how.tau, how.last_only, run.weighting, truth)
    found = {"pose": pose, "teacher": taught}
    if how.gamma:
        wanted_features = answered["teacher_features"].float()
        found["hints"] = losses.hints_loss(learner.adapter(features).float(), wanted_features)
    return found | {"total": losses.distillation_loss(pose, taught, found.get("hints", 0.0), how.alpha, how.gamma)}


@torch.no_grad()
def answers(how: Distillation, teacher: nn.Module, depth: torch.Tensor) -> Batch:
    """A teacher's answers to a batch of images (B, 1, S, S).

    Returns:
        ``"teacher_limbs"`` (stages, B, 32, h, w), ``"teacher_parts"`` (stages, B, 18, h, w) and, for hints,
        ``"teacher_features"`` (B, width, h, w).
    """
    features = teacher.features(depth)
    limbs, parts = (torch.stack(maps) for maps in zip(*teacher.cascade(features), strict=True))
    return {"teacher_limbs": limbs, "teacher_parts": parts} | (
        {"teacher_features": features.contiguous()} if how.gamma else {}
    )


def _replaced(how: Distillation, maps: torch.Tensor) -> torch.Tensor:
    """The maps (stages, B, C, h, w) that teach: the teacher's, or those of a control that knows nothing of the image."""
    if how.control == "empty":
        return torch.zeros_like(maps)
    return maps.roll(1, 1) if how.control == "shuffled" else maps


def _float(stages: losses.Stages) -> losses.Stages:
    """Convert to float32, from any precision."""
    return [(limbs.float(), parts.float()) for limbs, parts in stages]


@torch.no_grad()
def validate(run: Run, model: nn.Module, samples: Sample, batch: int = 10) -> tuple[dict[str, float], list]:
    """Validate a network on whole images.

    Args:
        run: The run, for its preprocessing and its loss.
        model: The network, in evaluation mode.
        samples: Images in metres, of the size that the network takes.
        batch: Images per pass.

    Returns:
        A dictionary and, for every image, the people found. The dictionary has ``"loss"`` (equation (5), mean over
        images); ``"f"``, the highest F, and its ``"threshold"``; and for each stage ``"unexplained_1"`` and so on, the
        loss of its landmark maps divided by that of empty maps (left out if no image has landmarks).

    Example:
        >>> from dihpose.training import batches
        >>> from dihpose.synthesis.recipes import SyntheticConfig
        >>> from dihpose.synthesis.scenes import SceneConfig
        >>> run = Run("r", "MPM-1S-8", SyntheticConfig(scene=SceneConfig(height=48, width=56, furniture=0)), size=48)
        >>> found, people = validate(run, models.create(run.model).eval(), batches.validation(run.data, 2))
        >>> sorted(found), len(people)
        (['f', 'loss', 'threshold', 'unexplained_1'], 2)
    """
    total, left, scores, found = 0.0, 0.0, [], []
    for rows in torch.arange(len(samples), device=samples.depth.device).split(batch):
        part = samples[rows]
        stages = _float(model(run.preprocessing.normalise(part.depth)[:, None]))
        limbs, parts = stages[-1]
        wanted = targets.make(part.taught, *parts.shape[2:], model.stride, run.sigma, run.radius)
        found_loss = losses.pose_loss(stages, *wanted, run.weighting, part.annotated)["total"]
        total += float(found_loss) * len(part)
        left = left + len(part) * losses.landmarks_left(stages, wanted[1], run.weighting, part.annotated)
        for i in range(len(part)):
            people = associate(
                limbs[i].cpu().numpy(), parts[i].cpu().numpy(), stride=model.stride, threshold=min(THRESHOLDS)
            )
            scores.append(of_image(part, i, people))
            found.append(people)
    best = sum(scores[1:], scores[0]).best()
    shares = left[:-1] / left[-1] if left[-1] else []
    unexplained = {f"unexplained_{i}": float(share) for i, share in enumerate(shares, 1)}
    return {"loss": total / len(samples), "f": best["f"], "threshold": best["threshold"]} | unexplained, found


@torch.no_grad()
def confusion(run: Run, learner: Learner, source: Sample, target: Sample, batch: int = 10) -> float:
    """The confusion rate of Table IV on whole images of both domains. ``learner`` must be in evaluation mode."""

    def logits(sample: Sample) -> torch.Tensor:
        images = run.preprocessing.normalise(sample.depth)[:, None].split(batch)
        return torch.cat([learner.classifier(learner.pose.features(image)) for image in images])

    return adaptation.confusion(logits(source), logits(target))
