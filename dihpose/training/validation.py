"""Validation during training, and a warning about stages that learn nothing."""

import copy
from collections.abc import Sequence

from . import batches, objectives, parallel
from .logs import Logs
from .objectives import Learner
from .run import Run

VALIDATIONS = 8  # of a run that is not validated once an epoch
# A stage learned nothing if this share of the loss of empty maps is left. Others leave 0.2 to 0.6 after 4,000 images.
IDLE = 0.9


def idle(name: str, validations: Sequence[dict]) -> str:
    """Return a warning for stages whose landmark maps are barely better than empty maps, or "".

    It happens to the second stage of a CPM, which has no batch norm.
    """
    last = validations[-1] if validations else {}
    shares = {key.removeprefix("unexplained_"): share for key, share in last.items() if key.startswith("unexplained_")}
    stages = [f"stage {stage} ({share:.2f})" for stage, share in shares.items() if not share < IDLE]  # NaN is idle too
    if not stages:
        return ""
    what = (
        f"{name}: landmark maps hardly better than empty maps (their loss over that of empty maps): {', '.join(stages)}"
    )
    return f"{what}; train longer, with another seed or at a lower rate"


def milestones(run: Run) -> set[int]:
    """The steps after which a run is validated; the last step is always among them.

    Example:
        >>> sorted(milestones(Run("r", images=900, batch=10, distinct=400, each_epoch=True)))
        [40, 80, 90]
        >>> len(milestones(Run("r", images=900, batch=10)))
        8
    """
    if run.each_epoch and run.epoch:
        epochs = run.images // run.epoch
        return {min(run.steps, -(-run.epoch * (i + 1) // run.batch)) for i in range(epochs)} | {run.steps}
    times = max(1, min(VALIDATIONS, run.steps // 4))
    return {-(-run.steps * (i + 1) // times) for i in range(times)}


def validate(run: Run, learner: Learner, mean: dict | None, step: int, logs: Logs) -> None:
    """Validate the network as it would be saved now, and log the result. Every process gets it, as the rate may follow."""
    found = _validated(run, learner, mean, step, logs)
    logs.validation({"step": step, "images": step * run.batch} | found)


@parallel.by_first
def _validated(run: Run, learner: Learner, mean: dict | None, step: int, logs: Logs) -> dict[str, float]:
    device = next(learner.parameters()).device
    trained = copy.deepcopy(learner).eval()
    if mean:
        trained.load_state_dict(mean)
    samples = batches.validation(run.data, run.validation, str(device))
    found, people = objectives.validate(run, trained.pose, samples)
    if run.domains:
        other = batches.validation(run.domains.target, run.validation, str(device))
        found["confusion"] = objectives.confusion(run, trained, samples, other)
        on_target, _ = objectives.validate(run, trained.pose, other)
        found |= {f"target_{name}": value for name, value in on_target.items()}
    if step:
        logs.samples(step * run.batch, samples.depth.cpu().numpy(), people)
    return found
