"""Runs beyond the paper: the networks that ship, and trials that change one thing."""

from dataclasses import replace

from ..losses import Weighting
from ..synthesis.recipes import RECIPES, SyntheticConfig
from ..training.run import Run

# All of these are trained on synthetic images alone. A network of s stages starts from one of s - 1 (section VII-C).
_ONE_STAGE = Run("mpm-1s-sensor", model="MPM-1S", images=6_000, averaging=0.998, median=3)
_TWO_STAGES = Run("mpm-2s-sensor", images=36_000, averaging=0.999, median=3, start=_ONE_STAGE)
_CAPTURED = SyntheticConfig(scene=replace(SyntheticConfig().scene, mocap=0.4))  # 40 % of people move as in CMU's clips
_FOUR_STAGES = replace(
    _TWO_STAGES, name="mpm-4s-sensor", model="MPM-4S", images=48_000, data=_CAPTURED, precision="bf16", start=_TWO_STAGES,
)  # fmt: skip
# The heavier design. Its cascade has no batch norm, so it takes a quarter of the learning rate.
_RESIDUAL = replace(
    _FOUR_STAGES, name="rpm-1s-for-use", model="RPM-1S", images=4_000, averaging=0.99, rate=1e-3, start=None
)
_RESIDUALS = replace(_RESIDUAL, name="rpm-2s-for-use", model="RPM-2S", images=12_000, averaging=0.998, start=_RESIDUAL)
_TRAINED_ON = replace(_RESIDUALS, name="rpm-2s-sensor", images=20_000, averaging=0.999, start=_RESIDUALS)
# The runs whose weights ship with the package, by model.
SHIPPED = {run.model: run for run in (_TWO_STAGES, _FOUR_STAGES, _TRAINED_ON)}


def _small(recipe: str) -> Run:
    """A run that compares recipes: a sixth of the shipped network's images, with the median filter that is used in
    inference."""
    data = SyntheticConfig(recipe=recipe)
    start = replace(_ONE_STAGE, name=f"mpm-1s-{recipe}", data=data)
    return replace(_TWO_STAGES, name=f"recipe-{recipe}", images=6_000, averaging=0.998, data=data, start=start)


_TRIAL = replace(_small("sensor"), name="trial", start=None)
TRIALS = {
    run.name: run
    for run in (
        *SHIPPED.values(),
        _RESIDUALS,
        *map(_small, RECIPES),
        # From scratch, each with one change.
        _TRIAL,
        replace(_TRIAL, name="trial-no-median", median=0),
        replace(_TRIAL, name="trial-plain-loss", weighting=Weighting()),
        replace(_TRIAL, name="trial-last-weights", averaging=0.0),
        # The paper's optimizer. Its learning rates are for plain sums of losses.
        replace(_TRIAL, name="trial-sgd", optimizer="sgd", rate=4e-6, weighting=Weighting()),
    )
}
WITH_TRIALS = ("smoke", "laptop")  # the profiles that have them


def trials(profile: str) -> dict[str, Run]:
    """The trials by name: a few steps of each at profile ``smoke``, in full elsewhere."""

    def few(run: Run) -> Run:
        return replace(run, images=12, batch=4, size=96, start=run.start and few(run.start))

    return {name: few(run) for name, run in TRIALS.items()} if profile == "smoke" else dict(TRIALS)
