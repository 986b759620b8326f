"""Losses: equations (3) to (5) against targets (section IV-C), and (9) to (14) against a teacher (section VI)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .skeleton import LIMBS

Stages = Sequence[tuple[torch.Tensor, torch.Tensor]]  # for each stage: limbs (B, 32, h, w), parts (B, 18, h, w)


@dataclass(frozen=True)
class Weighting:
    """Extra weight of cells that hold a landmark or a limb. With both 0, the losses are the paper's.

    Attributes:
        landmark: A cell of a landmark's map weighs 1 + ``landmark`` x its target. The background always weighs 1.
        limb: A cell on a limb weighs 1 + ``limb`` in the two channels of this limb.

    Example:
        >>> Weighting() == Weighting(landmark=0.0, limb=0.0)
        True
    """

    landmark: float = 0.0
    limb: float = 0.0


def part_loss(
    found: torch.Tensor, wanted: torch.Tensor, weighting: Weighting = Weighting(), truth: torch.Tensor | None = None
) -> torch.Tensor:
    """Part loss: sum over cells of |H - H*|^2, mean over the batch; equations (3) and (12).

    Args:
        found: Part maps of one stage, (B, 18, h, w).
        wanted: Part maps that they should be, (B, 18, h, w): the target, or a teacher's.
        weighting: Extra weight of cells that hold a landmark.
        truth: Target that decides the weights, (B, 18, h, w); default: ``wanted``.

    Returns:
        A scalar.

    Example:
        >>> part_loss(torch.full((2, 18, 1, 1), 0.5), torch.zeros(2, 18, 1, 1)).item()  # 18 channels x 0.25
        4.5
    """
    weight = 1 + weighting.landmark * (wanted if truth is None else truth)
    weight = torch.cat([weight[:, :-1], torch.ones_like(wanted[:, -1:])], 1) if weighting.landmark else weight
    return (weight * (found - wanted).square()).sum() / len(found)


def limb_loss(
    found: torch.Tensor, wanted: torch.Tensor, weighting: Weighting = Weighting(), truth: torch.Tensor | None = None
) -> torch.Tensor:
    """Limb loss: sum over cells of |V - V*|^2, mean over the batch; equations (4) and (13).

    Args:
        found: Limb fields of one stage, (B, 32, h, w).
        wanted: Limb fields that they should be, (B, 32, h, w): the target, or a teacher's.
        weighting: Extra weight of cells on a limb.
        truth: Target that decides the weights, (B, 32, h, w); default: ``wanted``.

    Returns:
        A scalar.

    Example:
        >>> limb_loss(torch.full((2, 32, 1, 1), 0.5), torch.zeros(2, 32, 1, 1)).item()  # 32 channels x 0.25
        8.0
    """
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
    """Pose loss: limb loss and part loss of every stage against the same targets; equation (5).

    Args:
        stages: Output of a network: for each stage, limbs (B, 32, h, w) and parts (B, 18, h, w).
        limbs: Target, (B, 32, h, w).
        parts: Target, (B, 18, h, w).
        weighting: Extra weight of cells that hold a landmark or a limb.
        annotated: Landmarks that the data set marks, bool (B, 17); default: all. Maps of other landmarks do not count,
            nor do limbs that end there. The background of such an image does not count either.

    Returns:
        Scalars by name: ``limbs_1``, ``parts_1``, ... for each stage, and their sum ``total``.

    Example:
        >>> limbs, parts = torch.zeros(1, 32, 2, 2), torch.zeros(1, 18, 2, 2)
        >>> {name: term.item() for name, term in pose_loss([(limbs + 1, parts)], limbs, parts).items()}
        {'limbs_1': 128.0, 'parts_1': 0.0, 'total': 128.0}
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
    """Return equation (3) without the background channel: of each of S stages, and of an empty map, (S + 1,).

    A stage whose loss is as large as the empty map's has learned nothing.
    """
    background = torch.zeros_like(parts)
    background[:, -1] = parts[:, -1]
    limbs = parts.new_zeros(len(parts), 2 * len(LIMBS), *parts.shape[2:])
    answers = [torch.cat([found[:, :-1], parts[:, -1:]], 1) for _, found in stages]
    terms = pose_loss([(limbs, answer) for answer in [*answers, background]], limbs, parts, weighting, annotated)
    return torch.stack([terms[f"parts_{number}"] for number in range(1, len(stages) + 2)])


def _marked(stages: Stages, annotated: torch.Tensor) -> Stages:
    """Return stages with zeros in the maps that do not count; ``annotated`` (B, 17)."""
    parts = torch.cat([annotated, annotated.all(1, keepdim=True)], 1)
    limbs = torch.stack([annotated[:, a] & annotated[:, b] for a, b in LIMBS], 1).repeat_interleave(2, 1)
    return [(one * limbs[..., None, None], other * parts[..., None, None]) for one, other in stages]


# --- Distillation (section VI) -------------------------------------------------------------------------------------------


def pairs(student: int, teacher: int, tau: int, last_only: bool = False) -> list[tuple[int, int]]:
    """Return which stage of the student is compared with which of the teacher: pairs of indices; equation (11).

    Stages are counted from the last. The paper does not say what to do if the networks have different numbers of stages;
    this is our choice. With ``last_only``, every stage is compared with the teacher's last (Table V, "Stagewise*").

    Raises:
        ValueError: ``tau`` is larger than one of the numbers of stages, or below 1.
    """
    if not 1 <= tau <= min(student, teacher):
        raise ValueError(
            f"tau {tau}: the student has {student} stages, the teacher {teacher}; give 1 to the smaller of the two"
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
    """Teacher loss: distance of the student's last ``tau`` stages from the teacher's; equation (11) (section VI-A).

    Args:
        stages: Output of the student: for each stage, limbs (B, 32, h, w) and parts (B, 18, h, w).
        teacher: Output of the teacher, likewise, with maps of the same size.
        tau: How many stages are compared, from the last.
        last_only: Compare all of them with the teacher's last stage (Table V, "Stagewise*").
        weighting: Extra weight of cells that hold a landmark or a limb.
        truth: Targets (limbs, parts) that decide the weights; default: the teacher's maps.

    Returns:
        A scalar.

    Raises:
        ValueError: One of the networks has fewer than ``tau`` stages.

    Example:
        >>> limbs, parts = torch.zeros(1, 32, 1, 1), torch.zeros(1, 18, 1, 1)
        >>> student, teacher = [(limbs + 1, parts)], [(limbs + 9, parts), (limbs, parts + 1)]
        >>> teacher_loss(student, teacher).item()  # with the teacher's second stage: 32 + 18
        50.0
    """
    limbs, parts = truth or (None, None)
    return sum(
        limb_loss(stages[i][0], teacher[j][0], weighting, limbs)
        + part_loss(stages[i][1], teacher[j][1], weighting, parts)
        for i, j in pairs(len(stages), len(teacher), tau, last_only)
    )


def hints_loss(features: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Hints loss: sum over channels and cells of |F - F_tea|^2, mean over the batch; equation (14) (section VI-B).

    Args:
        features: Of the student, (B, C, h, w).
        teacher: Features of the teacher, (B, C, h, w).

    Returns:
        A scalar.

    Example:
        >>> hints_loss(torch.ones(2, 64, 1, 1), torch.zeros(2, 64, 1, 1)).item()
        64.0
    """
    return (features - teacher).square().sum() / len(features)


def distillation_loss(
    pose: torch.Tensor, teacher: torch.Tensor, hints: torch.Tensor | float = 0.0, alpha: float = 0.5, gamma: float = 0.0
) -> torch.Tensor:
    """Distillation loss: (1 - alpha) L_teacher + alpha L_PM + gamma L_hints; equations (9) and (10) (section VI).

    Args:
        pose: L_PM, the student's :func:`pose_loss`.
        teacher: L_teacher, :func:`teacher_loss`.
        hints: L_hints, :func:`hints_loss`.
        alpha: Weight of the targets, 0 to 1; the paper's is 0.5.
        gamma: Weight of the hints; 0 without.

    Returns:
        A scalar.

    Example:
        >>> distillation_loss(torch.tensor(2.0), torch.tensor(4.0), hints=10.0, alpha=0.5, gamma=0.1).item()
        4.0
    """
    return (1 - alpha) * teacher + alpha * pose + gamma * hints
