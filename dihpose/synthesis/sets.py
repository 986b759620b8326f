"""Synthetic sets by name: the paper's folds, and stand-ins for its real data sets.

The stand-ins share nothing with the training sets: they have other characters, motions, rooms, sensors and seeds.
"""

from dataclasses import dataclass, replace

from ..common.config import later
from ..common.errors import InputError
from .recipes import SyntheticConfig
from .scenes import SceneConfig
from .sensors import RegisteredKinect2
from .sequences import Sequences

# Training uses seeds below 2**31, tests use those from 2**31 on; after them each set has SEEDS seeds of its own.
FIRST_SEED, SEEDS = 2**31 + 2**24, 2**24


@dataclass(frozen=True)
class SyntheticSet:
    """A synthetic set. Image i is row i % 10 of the batch with the seed ``seed + i // 10``, or a frame of a sequence.

    Attributes:
        name: Name in :data:`SETS`.
        what: Description for people.
        config: Which images are drawn.
        count: Number of images.
        seed: Seed of the first batch.
        labelled: False: landmarks are stored, but no image may be used with labels.
        sequences: The sequences that the images are frames of; None: every image has a scene of its own.
    """

    name: str
    what: str
    config: SyntheticConfig
    count: int
    seed: int
    labelled: bool = True
    sequences: Sequences | None = later(None)

    # The same attributes as dihpose.datasets.paper_sets.RealSet; not fields, because they are the same for every set.
    real = False
    identity = ""

    def group(self, number: int) -> int:
        """The number of the sequence that an image belongs to; of the image itself in a set without sequences."""
        return number % self.sequences.number if self.sequences else number


# Section III-A: 71,711 of the paper's 264,432 images show two people; 1.27 people per image on average.
_TWO = 71_711 / 264_432
_PAPER = SyntheticConfig(scene=SceneConfig(height=368, width=444, people=(0, 1 - _TWO, _TWO), distance=(0.7, 8.0)))
_ONE = replace(_PAPER, scene=replace(_PAPER.scene, people=(0, 1)))
_HALF = replace(_PAPER, scene=replace(_PAPER.scene, people=(0, 0.5, 0.5)))

# Stand-in for DIH: up to three people in an office, seen by a robot's Kinect 2 (registered to its colour camera).
DIH_SIM = SyntheticConfig(
    scene=SceneConfig(
        height=537, width=799, people=(0, 0.4, 0.35, 0.25), distance=(0.8, 4.5), camera_height=(1.1, 1.3), roll=2.0,
        focal=(0.66, 0.69), aspect=(1.0, 1.0), characters=(120, 136), motions="robot", room="office", furniture=6,
    ),
    sensors=(RegisteredKinect2(),),
)  # fmt: skip
# Stand-in for CMU Panoptic: up to eight people in a dome, seen from its wall by a Kinect 2.
PANOPTIC_SIM = SyntheticConfig(
    scene=SceneConfig(
        height=424, width=512, people=(0, 0.4, 0.05, 0.35, 0.04, 0.04, 0.04, 0.04, 0.04), distance=(1.2, 4.0), spread=1.0,
        together=0.1, camera_height=(1.0, 2.6), roll=1.0, focal=(0.70, 0.73), aspect=(1.0, 1.0), characters=(136, 152),
        motions="studio", room="dome", facing=0.4,
    ),
    sensors=(RegisteredKinect2(baseline=0.0, reach=12.0, noise=0.0003, hair=(0.01, 0.2)),),
)  # fmt: skip
# Stand-in for Table III's test subset: three people whose boxes overlap by 12.38 to 15.4 %.
_OCCLUDED = replace(DIH_SIM, scene=replace(DIH_SIM.scene, people=(0, 0, 0, 1), together=0.8, overlap=(0.1238, 0.154)))

# The stand-ins in sequences. Nobody appears in two of the folds train, validation and test.
_DIH_PEOPLE = {"train": tuple(range(120, 126)), "validation": tuple(range(126, 130)), "test": tuple(range(130, 136))}
_PANOPTIC_PEOPLE = {
    "train": tuple(range(136, 142)),
    "validation": tuple(range(142, 146)),
    "test": tuple(range(146, 152)),
}


def _dih(number: int, fold: str) -> Sequences:
    return Sequences(number, _DIH_PEOPLE[fold])


def _panoptic(number: int, fold: str) -> Sequences:
    return Sequences(number, _PANOPTIC_PEOPLE[fold], motions="studio at work", roam=0.9)


# As many pieces of furniture as find a place where nobody walks.
_OFFICE = replace(DIH_SIM, scene=replace(DIH_SIM.scene, room="workplace", furniture=24))
_IN_THE_WAY = replace(_OFFICE, scene=replace(_OFFICE.scene, people=(0, 0, 0, 1), overlap=(0.1238, 0.154)))
_STUDIO = replace(PANOPTIC_SIM, scene=replace(PANOPTIC_SIM.scene, people=(0, 0.4, 0.1, 0.3, 0.1, 0.05, 0.05)))

_ROWS = (
    ("train", "the paper's training fold", _PAPER, 230_934),
    ("validation", "the paper's validation fold", _PAPER, 22_333),
    ("test", "the paper's test fold", _PAPER, 11_165),
    ("1p", "Table III: images of one person", _ONE, 100_000),
    ("2p", "Table III: half of the images with two people", _HALF, 100_000),
    ("dih-sim-train", "stand-in for DIH's 7 training sequences", DIH_SIM, 1_750),
    ("dih-sim-validation", "stand-in for DIH's 5 validation sequences", DIH_SIM, 750),
    ("dih-sim-test", "stand-in for DIH's 4 test sequences", DIH_SIM, 1_000),
    ("dih-sim-unlabelled", "stand-in for DIH's images without labels", DIH_SIM, 4_828),
    ("dih-sim-occlusion", "stand-in for Table III's subset: three people, boxes overlap", _OCCLUDED, 211),
    ("panoptic-sim-train", "stand-in for Panoptic's 2 training sequences", PANOPTIC_SIM, 2_000),
    ("panoptic-sim-validation", "the same domain, to choose by (the paper names no such fold)", PANOPTIC_SIM, 500),
    ("panoptic-sim-test", "stand-in for Panoptic's 2 test sequences", PANOPTIC_SIM, 1_000),
    ("panoptic-sim-unlabelled", "the same domain without labels", PANOPTIC_SIM, 2_000),
    ("dih-sim-seq-train", "stand-in for DIH's 7 training sequences", _OFFICE, 1_750, _dih(7, "train")),
    ("dih-sim-seq-validation", "stand-in for DIH's 5 validation sequences", _OFFICE, 750, _dih(5, "validation")),
    ("dih-sim-seq-test", "stand-in for DIH's 4 test sequences: 40 short ones", _OFFICE, 1_000, _dih(40, "test")),
    ("dih-sim-seq-unlabelled", "stand-in for DIH's images without labels", _OFFICE, 4_828, _dih(68, "train")),
    ("dih-sim-seq-occlusion", "stand-in for Table III's subset: three people, boxes overlap", _IN_THE_WAY, 211,
     _dih(40, "test")),
    ("panoptic-sim-seq-train", "stand-in for Panoptic's 2 training sequences: 10", _STUDIO, 2_000, _panoptic(10, "train")),
    ("panoptic-sim-seq-validation", "the same domain, to choose by (the paper names no such fold)", _STUDIO, 500,
     _panoptic(10, "validation")),
    ("panoptic-sim-seq-test", "stand-in for Panoptic's 2 test sequences: 40", _STUDIO, 1_000, _panoptic(40, "test")),
    ("panoptic-sim-seq-unlabelled", "the same domain without labels", _STUDIO, 2_000, _panoptic(20, "train")),
)  # fmt: skip
SETS = {
    name: SyntheticSet(name, what, config, count, FIRST_SEED + i * SEEDS, not name.endswith("-unlabelled"), *sequences)
    for i, (name, what, config, count, *sequences) in enumerate(_ROWS)
}


def named(name: str, recipe: str = "") -> SyntheticSet:
    """Return a set by its name.

    Args:
        name: A name in :data:`SETS`.
        recipe: Another recipe for the paper's folds; "": the set's own, "sensor".

    Returns:
        The set.

    Raises:
        InputError: The name is unknown, or a recipe is given for a stand-in (stand-ins are always measured).

    Example:
        >>> named("test").count
        11165
        >>> named("train", "clean").config.recipe
        'clean'
    """
    if name not in SETS:
        raise InputError(f"unknown set {name!r}; there are {', '.join(SETS)}")
    chosen = SETS[name]
    if recipe and recipe != chosen.config.recipe:
        if "-sim-" in name:
            raise InputError(f"set {name}: stands in for real frames, which have no recipe; leave --recipe out")
        return replace(chosen, config=replace(chosen.config, recipe=recipe))
    return chosen
