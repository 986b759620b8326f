"""Profiles: how large everything is, from a test in minutes to the protocol as printed."""

import os
from dataclasses import dataclass, replace

from ..common.errors import InputError
from ..losses import Weighting
from ..targets import LIMB_RADIUS, SIGMA

# --- Scales -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """How large everything is at a profile; images are counted as often as they are seen."""

    profile: str
    height: int  # of the networks' input; crops are as high and as wide
    width: int
    fold: int  # images of the training fold, of which the paper has 230,934
    epochs: float  # passes over it
    real: float  # share of the measured sets that is used
    real_epochs: float
    adaptation: int  # images of the source domain, in adversarial adaptation
    classifier: int  # likewise, for a classifier on fixed features
    validation: int
    test: int  # images of a test set, at most
    batch: int = 10
    optimizer: str = "adam"
    rate: float = 4e-3
    real_rate: float = 1e-3  # of finetuning and adaptation
    schedule: str = "cosine"
    weighting: Weighting = Weighting(landmark=15.0, limb=6.0)
    sigma: float = 7.2
    radius: float = 6.4
    median: int = 3  # of synthetic images: without it the paper's recipe teaches speckle (notebook 05)
    averaging: float = 0.99
    precision: str = "fp32"
    imagenet: bool = False
    source: int = 0  # images that adaptation's source network is trained on; 0: it is Table II's
    decisive_only: bool = False  # rows that decide a table, and no others
    # For the hours that all of it takes, roughly: FLOPs a second of large layers, and images a second where nothing else
    # takes time, on two server cores (measured), on an H100 (a guess: no run of it has been made).
    machine: str = "two cores"
    flops_a_second: float = 7e10
    images_a_second: float = 20.0

    @property
    def as_printed(self) -> bool:
        return self.profile == "paper"


_LAPTOP = Scale(
    "laptop", height=128, width=154, fold=4_000, epochs=1, real=0.3, real_epochs=4, adaptation=2_000, classifier=1_000,
    validation=60, test=300, averaging=0.99, decisive_only=True,
)  # fmt: skip

SCALES = {
    scale.profile: scale
    for scale in (
        Scale("smoke", height=64, width=78, fold=16, epochs=0.5, real=0.002, real_epochs=2, adaptation=8, classifier=8,
              validation=2, test=3, batch=4),
        _LAPTOP,
        # What is committed. A server's cores multiply in bfloat16: four times as fast for RPM and CPM, slower on a laptop's.
        replace(_LAPTOP, profile="reference", precision="bf16", decisive_only=False, machine="two server cores with AMX",
                flops_a_second=2.5e11),
        Scale("gpu", height=184, width=222, fold=40_000, epochs=1, real=1.0, real_epochs=12, adaptation=20_000,
              classifier=5_000, validation=200, test=1_000, batch=20, averaging=0.999, precision="bf16", imagenet=True,
              machine="one H100 (a guess)", flops_a_second=1e14, images_a_second=1_500.0),
        # As printed: sections VII-C, VII-F and VII-G. The loss is a plain sum over cells.
        Scale("paper", height=368, width=444, fold=230_934, epochs=13, real=1.0, real_epochs=100, adaptation=1_000_000,
              classifier=100_000, validation=750, test=1_000, optimizer="sgd", schedule="plateau", weighting=Weighting(),
              sigma=SIGMA, radius=LIMB_RADIUS, median=0, averaging=0.0, imagenet=True, source=2_000_000,
              machine="one H100 (a guess)", flops_a_second=1e14, images_a_second=1_500.0),
    )
}  # fmt: skip

INPAINT = 3  # pixels, from each rim of a hole (our choice)


def scale_of(profile: str) -> Scale:
    if profile not in SCALES:
        raise InputError(f"profile {profile!r} trains nothing; use {', '.join(SCALES)}")
    return SCALES[profile]


@dataclass(frozen=True)
class Profile:
    """A scale of everything. ``toy`` results are marked wherever they appear, and so is a ``scale`` that is small."""

    name: str
    what: str
    toy: bool
    scale: str = ""


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("reference", "draws everything from the committed runs, and trains nothing", toy=False,
                scale="small scale: 4,000 synthetic images a network, where the paper has 3 million"),
        Profile("smoke", "runs every line at toy size in minutes", toy=True),
        Profile("laptop", "the decisive runs in eight hours on two cores", toy=True),
        Profile("gpu", "every run in a stated number of accelerator minutes", toy=False),
        Profile("paper", "the protocol as printed", toy=False),
    )
}  # fmt: skip
DEFAULT_PROFILE = "reference"


def resolve_profile(name: str = "") -> Profile:
    """A profile by name; empty means ``DIHPOSE_PROFILE``, then the default. InputError for one that cannot run."""
    name = name or os.environ.get("DIHPOSE_PROFILE") or DEFAULT_PROFILE
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]
