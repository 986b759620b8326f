"""Profiles: how much is trained and tested, from a run of a few minutes to the protocol printed in the paper."""

import os
from dataclasses import dataclass, replace

from ..common.errors import InputError
from ..losses import Weighting
from ..targets import LIMB_RADIUS, SIGMA


@dataclass(frozen=True)
class Profile:
    """The sizes of all data sets and runs, and the settings of training that depend on them.

    An image that is used twice counts as two images.

    Attributes:
        name: The name that ``--profile`` and ``DIHPOSE_PROFILE`` take.
        what: What the profile does, in words.
        height, width: Size of the network's input in pixels; crops have this size.
        fold: Images in the synthetic training fold (paper: 230,934).
        epochs: Passes over that fold.
        real: Share of the real sets that is used, from 0 to 1.
        real_epochs: Passes over the real training set in finetuning.
        adaptation: Images of the source domain in adversarial adaptation.
        classifier: Images of the source domain for a domain classifier on fixed features.
        probe: Images of each domain that probes of adaptation are trained on (:mod:`dihpose.training.probe`); half as many
            test them. 0: no probes.
        validation: Validation images.
        test: Upper limit of images in a test set.
        rate, real_rate: Learning rate from scratch; in finetuning and adaptation.
        median: Side in pixels of the median filter on synthetic training images, 0 for none. Without it, recipe "paper"
            trains networks on speckle that test images do not have (notebook 05).
        source: Images for the network that adaptation starts from; 0 uses the network of Table II.
        sequences: The stand-ins for the real sets are sequences (``dih-sim-seq``); False: frames drawn one by one
            (``dih-sim``), as in the first runs.
        any_way: Synthetic people are turned any way, as in the paper; False: three quarters of them face the camera.
        own_fold: Every seed trains on other synthetic scenes; False: all seeds share one fold.
        controls: Tables have our rows of equal numbers of images, and other controls.
        seeds, seeds_of_light: Seeds of a run, and of one behind which all networks are MPM or SPM.
        outputs_apart: Outputs go to ``build/<profile>/``, as at toy scale, because ``figures/`` shows another profile.
        keeps_images: Training images and teachers' answers are kept on disk, about 1 GB for 16,000 images of 128 pixels.
        decisive_only: Train only the runs behind rows that decide a table.
        toy: The sizes are too small for the results to mean anything, so every output says so.
        scale: How small the sizes are, written on every output; empty at full size.
        machine: The machine behind ``flops_a_second`` and ``images_a_second``. These two estimate hours: the first limits
            large layers, the second limits everything else.

    Example:
        >>> PROFILES["paper"].fold, PROFILES["paper"].toy
        (230934, False)
    """

    name: str
    what: str
    height: int
    width: int
    fold: int
    epochs: float
    real: float
    real_epochs: float
    adaptation: int
    classifier: int
    validation: int
    test: int
    batch: int = 10
    optimizer: str = "adam"
    rate: float = 4e-3
    real_rate: float = 1e-3
    schedule: str = "cosine"
    weighting: Weighting = Weighting(landmark=15.0, limb=6.0)
    sigma: float = 7.2
    radius: float = 6.4
    median: int = 3
    averaging: float = 0.99
    precision: str = "fp32"
    imagenet: bool = False
    source: int = 0
    probe: int = 1_000
    sequences: bool = True
    any_way: bool = True
    own_fold: bool = True
    controls: bool = True
    seeds: int = 1
    seeds_of_light: int = 1
    outputs_apart: bool = False
    keeps_images: bool = False
    decisive_only: bool = False
    toy: bool = False
    scale: str = ""
    machine: str = "two cores"
    flops_a_second: float = 7e10
    images_a_second: float = 20.0

    @property
    def as_printed(self) -> bool:
        """Whether this is the protocol that the paper prints."""
        return self.name == "paper"


_LAPTOP = Profile(
    "laptop", "trains the decisive runs in eight hours on two cores", height=128, width=154,
    fold=4_000, epochs=1, real=0.3, real_epochs=4, adaptation=2_000, classifier=1_000, validation=60, test=300,
    probe=500, keeps_images=True, decisive_only=True, toy=True,
)  # fmt: skip
# bfloat16 is four times as fast for RPM and CPM on server cores with AMX; on a laptop it is slower.
_REFERENCE = replace(
    _LAPTOP, name="reference", what="reads the committed runs; `make runs` trains those that are missing", precision="bf16",
    fold=16_000, real=1.0, adaptation=4_000, classifier=2_000, probe=1_000, validation=100, test=1_000, decisive_only=False,
    toy=False, seeds=3, seeds_of_light=5,
    scale="small scale: at most 16,000 synthetic images a stage, where the paper has 3 million a network",
    machine="two server cores with AMX", flops_a_second=2.5e11,
)  # fmt: skip
# The first runs. A table shows them until it has enough runs of profile `reference`.
_SMALL = replace(
    _REFERENCE, name="small", what="reads the first runs, with 4,000 images a stage", fold=4_000, real=0.3, adaptation=2_000,
    classifier=1_000, probe=0, validation=60, test=300, sequences=False, any_way=False, own_fold=False,
    controls=False, seeds=2, seeds_of_light=2, outputs_apart=True,
    scale="small scale: 4,000 synthetic images a stage, where the paper has 3 million a network",
)  # fmt: skip

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke", "runs every line at toy size in minutes", height=64, width=78,
            fold=16, epochs=0.5, real=0.002, real_epochs=2, adaptation=8, classifier=8, validation=2, test=3,
            batch=4, probe=8, toy=True,
        ),
        _LAPTOP,
        _REFERENCE,
        _SMALL,
        # The speed of an H100 is a guess: nothing was run on one.
        Profile(
            "gpu", "trains every run on one accelerator", height=184, width=222,
            fold=40_000, epochs=1, real=1.0, real_epochs=12, adaptation=20_000, classifier=5_000, validation=200, test=1_000,
            batch=20, averaging=0.999, precision="bf16", imagenet=True,
            machine="one H100 (a guess)", flops_a_second=1e14, images_a_second=1_500.0,
        ),
        # Sections VII-C, VII-F and VII-G. The loss is a plain sum over cells.
        Profile(
            "paper", "follows the protocol as printed", height=368, width=444,
            fold=230_934, epochs=13, real=1.0, real_epochs=100, adaptation=1_000_000, classifier=100_000, validation=750,
            test=1_000, optimizer="sgd", schedule="plateau", weighting=Weighting(), sigma=SIGMA, radius=LIMB_RADIUS,
            median=0, averaging=0.0, imagenet=True, source=2_000_000, own_fold=False,
            machine="one H100 (a guess)", flops_a_second=1e14, images_a_second=1_500.0,
        ),
    )
}  # fmt: skip
DEFAULT_PROFILE = "reference"

RATES = (4e-10, 4e-5)  # the paper's range of learning rates
CHARACTERS = (0, 24)  # those with the names of the paper's characters: the first, and the one after the last
INPAINT = 3  # pixels filled in from the edge of each hole (our choice)


def resolve_profile(name: str = "") -> Profile:
    """Look up a profile.

    Args:
        name: Its name. If empty, the environment variable ``DIHPOSE_PROFILE`` is used, then ``reference``.

    Returns:
        The profile.

    Raises:
        InputError: There is no profile of this name.

    Example:
        >>> resolve_profile("laptop").test
        300
    """
    name = name or os.environ.get("DIHPOSE_PROFILE") or DEFAULT_PROFILE
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]
