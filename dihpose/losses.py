"""What the networks are taught by: the truth, equations (3) to (5), and a teacher, equations (9) to (14)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .skeleton import LIMBS

Stages = Sequence[tuple[torch.Tensor, torch.Tensor]]  # of each stage, limbs (B, 32, h, w) and parts (B, 18, h, w)


@dataclass(frozen=True)
class Weighting:
    """How much more the few cells that hold something count than the many that do not. All zero: the paper's losses.

    A cell of a landmark's map has the weight 1 + ``landmark`` x its target, a cell on a limb 1 + ``limb`` in that limb's
    two channels. The background's map is never weighted.
    """

    landmark: float = 0.0
    limb: float = 0.0


def part_loss(
    found: torch.Tensor, wanted: torch.Tensor, weighting: Weighting = Weighting(), truth: torch.Tensor | None = None
) -> torch.Tensor:
    """Equations (3) and (12): the sum over the cells of (B, 18, h, w) of |H - H*|^2, mean over the batch.

    ``truth`` says which cells weigh more, where ``wanted`` is a teacher's answer and not the truth itself.
    """
    weight = 1 + weighting.landmark * (wanted if truth is None else truth)
    weight = torch.cat([weight[:, :-1], torch.ones_like(wanted[:, -1:])], 1) if weighting.landmark else weight
    return (weight * (found - wanted).square()).sum() / len(found)


def limb_loss(
    found: torch.Tensor, wanted: torch.Tensor, weighting: Weighting = Weighting(), truth: torch.Tensor | None = None
) -> torch.Tensor:
    """Equations (4) and (13): the sum over the cells of (B, 32, h, w) of |V - V*|^2, mean over the batch; ``truth`` as in
    :func:`part_loss`."""
    fields = (wanted if truth is None else truth).unflatten(1, (-1, 2))
    on_limb = fields.abs().amax(2, keepdim=True).expand(-1, -1, 2, -1, -1).flatten(1, 2) > 0
    return ((1 + weighting.limb * on_limb) * (found - wanted).square()).sum() / len(found)


def pose_loss(
    stages: Stages,
    limbs: torch.Tensor,
    parts: torch.Tensor,
    weighting: Weighting = Weighting(),
    annotated: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Equation (5): both losses of every stage, against the same targets -> named terms, and their sum as ``"total"``.

    ``annotated`` (B, 17): the landmarks that an image's data set marks; the maps of others count nothing, nor those of limbs
    that end there, nor the background's, which is where no landmark is (default: all count).
    """
    if annotated is not None:
        *stages, (limbs, parts) = _marked([*stages, (limbs, parts)], annotated)
    terms = {}
    for number, (found_limbs, found_parts) in enumerate(stages, 1):
        terms[f"limbs_{number}"] = limb_loss(found_limbs, limbs, weighting)
        terms[f"parts_{number}"] = part_loss(found_parts, parts, weighting)
    return terms | {"total": sum(terms.values())}


def landmarks_left(
    stages: Stages, parts: torch.Tensor, weighting: Weighting = Weighting(), annotated: torch.Tensor | None = None
) -> torch.Tensor:
    """Equation (3) for the landmark maps alone, without the background's -> (S + 1,), of each of S stages and of an empty map.
    A stage whose loss is the empty map's has learned nothing."""
    background = torch.zeros_like(parts)
    background[:, -1] = parts[:, -1]
    limbs = parts.new_zeros(len(parts), 2 * len(LIMBS), *parts.shape[2:])
    answers = [torch.cat([found[:, :-1], parts[:, -1:]], 1) for _, found in stages]
    terms = pose_loss([(limbs, answer) for answer in [*answers, background]], limbs, parts, weighting, annotated)
    return torch.stack([terms[f"parts_{number}"] for number in range(1, len(stages) + 2)])


def _marked(stages: Stages, annotated: torch.Tensor) -> Stages:
    """Stages with zeros in the maps that do not count."""
    parts = torch.cat([annotated, annotated.all(1, keepdim=True)], 1)
    limbs = torch.stack([annotated[:, a] & annotated[:, b] for a, b in LIMBS], 1).repeat_interleave(2, 1)
    return [(one * limbs[..., None, None], other * parts[..., None, None]) for one, other in stages]


# --- A teacher (section VI) -------------------------------------------------------------------------------------------


def pairs(student: int, teacher: int, tau: int, last_only: bool = False) -> list[tuple[int, int]]:
    """Which stage of the student is to match which of the teacher's, equation (11): indices, last stages first.

    Counted from the last (our choice: the paper does not say what happens where their numbers differ). ``last_only``: the
    teacher's last stage is the model for all of them, Table V's "Stagewise*". ValueError where either has too few stages.
    """
    if not 1 <= tau <= min(student, teacher):
        raise ValueError(
            f"tau {tau}: the student has {student} stages, the teacher {teacher}; give 1 to the fewer of them"
        )
    return [(student - 1 - s, teacher - 1 - (0 if last_only else s)) for s in range(tau)]


def teacher_loss(
    stages: Stages,
    teacher: Stages,
    tau: int = 1,
    last_only: bool = False,
    weighting: Weighting = Weighting(),
    truth: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Equation (11): how far the student's last ``tau`` stages are from the teacher's; ``truth`` (limbs, parts) weighs."""
    limbs, parts = truth or (None, None)
    return sum(
        limb_loss(stages[i][0], teacher[j][0], weighting, limbs)
        + part_loss(stages[i][1], teacher[j][1], weighting, parts)
        for i, j in pairs(len(stages), len(teacher), tau, last_only)
    )


def hints_loss(features: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Equation (14): |F - F_tea|^2, the sum over channels and cells of (B, C, h, w), mean over the batch."""
    return (features - teacher).square().sum() / len(features)


def distillation_loss(
    pose: torch.Tensor, teacher: torch.Tensor, hints: torch.Tensor | float = 0.0, alpha: float = 0.5, gamma: float = 0.0
) -> torch.Tensor:
    """Equations (9) and (10): (1 - alpha) L_teacher + alpha L_PM + gamma L_hints."""
    return (1 - alpha) * teacher + alpha * pose + gamma * hints
