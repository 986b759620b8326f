"""Validate a network during training, and warn of stages that learn nothing."""

import copy
from collections.abc import Sequence

from . import batches, objectives, parallel
from .logs import Logs
from .objectives import Learner
from .run import Run

VALIDATIONS = 8  # of a run, at equal distances
# Share of an empty map's loss that a stage leaves if it learned nothing; after 4,000 images others leave 0.2 to 0.6.
IDLE = 0.9


def idle(name: str, validations: Sequence[dict]) -> str:
    """What is to be said of stages that ended with landmark maps hardly better than empty ones; nothing if there are none. A
    CPM's second stage may come to that, which has no batch norm."""
    last = validations[-1] if validations else {}
    shares = {key.removeprefix("unexplained_"): share for key, share in last.items() if key.startswith("unexplained_")}
    said = [f"stage {stage} ({share:.2f} of their loss)" for stage, share in shares.items() if not share < IDLE]
    if not said:
        return ""
    what = f"{name}: landmark maps hardly better than empty ones: {', '.join(said)}"
    return f"{what}; train longer, with another seed or at a lower rate"


def validate(run: Run, learner: Learner, mean: dict | None, step: int, logs: Logs) -> None:
    """The network that would be saved now, on images that choose; every process is told, for the rate follows from it."""
    found = parallel.by_first(lambda: _validated(run, learner, mean, step, logs))
    logs.validation({"step": step, "images": step * run.batch} | found)


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
