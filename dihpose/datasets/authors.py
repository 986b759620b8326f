"""The authors' public sample frames and weights: downloaded on request, hashes checked, never part of this project.

``DIHPOSE_MIRROR``: a folder with the same files under ``owner/repository/path``; they are copied from there.
``DIHPOSE_CACHE``: where the files are kept (default: the user's cache folder).
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from .. import depth
from ..common import download, files
from ..common.errors import InputError
from ..skeleton import INDEX, LANDMARKS, N_LANDMARKS

# The authors' public frames: asset, crop, and the result of the authors' program that counts as ground truth.
REAL = {
    "DIH frame": ("dih-frame", "dih", "mpm4s_dih__dih_frame"),
    "Panoptic frame": ("panoptic-frame", None, "mpm2s_distilled_panoptic__pose3"),
}


@cache  # without network and mirror, each attempt takes seconds
def real_frames() -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    """Return the two public frames by name: depth (H, W), and the people (P, 17, 2) that the authors' network finds.

    None, after one printed line, if the frames or these people are not available.
    """
    files = at_hand(*(asset for asset, *_ in REAL.values()))
    people = official_people() if files else None
    if not files or people is None:
        if files:
            print("Skipped: the authors' own results are not at hand (they lie beside the mirror).")
        return None
    frames = {}
    for file, (name, (_, crop, case)) in zip(files, REAL.items(), strict=True):
        frame = depth.read(file)
        frames[name] = (depth.crop(frame, depth.CROPS[crop]) if crop else frame, people[case][..., :2])
    return frames


# Our landmark -> UTD-MHAD's Kinect 1 joint. Its head is the middle of the head; ours is not exactly there.
SILHOUETTE_JOINTS = {
    "head": "head", "neck": "shoulder_center",
    **{f"{side}_{part}": f"{side}_{part}" for side in ("left", "right")
       for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")},
}  # fmt: skip


def _utd_mhad() -> Path | None:
    return download.beside_mirror("real/utd_mhad")


@cache
def silhouettes() -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Return 52 frames of UTD-MHAD: the depth (H, W) of one person, cut out, and the landmarks (1, 17, 2).

    The joints are the Kinect 1's own estimates, not ground truth. None, after one printed line, if the frames do not lie
    beside the mirror (``../real/utd_mhad``). :func:`subjects` says who is on each frame.
    """
    folder = _utd_mhad()
    if folder is None:
        print("Skipped: the silhouettes of UTD-MHAD are not at hand (they lie beside the mirror).")
        return None
    given = files.read_json(folder / "annotations.json")
    columns = [INDEX[landmark] for landmark in SILHOUETTE_JOINTS]
    joints = [given["joint_names"].index(joint) for joint in SILHOUETTE_JOINTS.values()]
    frames = []
    for frame in given["frames"]:
        person = np.full((1, N_LANDMARKS, 2), np.nan)
        person[0, columns] = np.array(frame["joints_2d_px"])[joints]
        frames.append((depth.read(folder / frame["file"]), person))
    return frames


def subjects() -> list[int]:
    """Return who is on each of :func:`silhouettes`: 1 to 4. They must be at hand."""
    return [frame["subject"] for frame in files.read_json(_utd_mhad() / "annotations.json")["frames"]]


REPOSITORY = "idiap/fast_pose_machines"
COMMIT = "72ed452469f9a8c6b166535bec4d17201b09e036"
LICENCE = "GPL-3.0, (c) Idiap Research Institute, Angel Martinez"


@dataclass(frozen=True)
class Asset:
    """A file of the authors' repository: its path there, its hash, and what it is."""

    path: str
    sha256: str
    what: str


ASSETS = {
    "dih-frame": Asset(
        "img_samples/DIH/1524230525118271935.npy",
        "ee906a8957a2b37185e82140d412e4170a63be58c65e213c3e221d9f74000d08",
        "a real DIH frame (Kinect 2 registered to colour, 960 x 540, three people)",
    ),
    "panoptic-frame": Asset(
        "img_samples/PANOPTIC/pose3_50_02/depth_02_000000000326.mat",
        "48267732b22facabcaeec3af4895d512b9ffff92068623861f182ba17c79adfc",
        "a real CMU Panoptic frame (Kinect 2, 512 x 424, one person)",
    ),
    "mpm-4s-dih": Asset(
        "trained_models/DIH/MPM4S/mpm_model_it_00014200.pm",
        "cd034ad131aa56e54e156a8cf5853bdcd8583260f176f5f3226e94d97ee27aa3",
        "the authors' MPM-4S, trained on DIH",
    ),
    "mpm-2s-distilled-panoptic": Asset(
        "trained_models/PANOPTIC/MPM2S_distilled/mpm_student_model_it_00021200.pm",
        "85f628aca8ddcb7758ee5b09826960e93e3f459f9e68a60ef60135b54a969dc9",
        "the authors' MPM-2S, distilled, trained on Panoptic",
    ),
    "spm-3s-dih": Asset(
        "trained_models/DIH/SPM3S/spm_model_it_00017300.pm",
        "fa17c63f40c930439521756e3ef536564323c489431c82395f55729680a2a694",
        "the authors' SPM-3S, trained on DIH",
    ),
    "mpm-4s-panoptic": Asset(
        "trained_models/PANOPTIC/MPM4S/mpm_model_it_00021200.pm",
        "5639a5091d72bdb1dabab4f879e9214bc8d9d5f6494f4b083c4c8c8d96504030",
        "the authors' MPM-4S, trained on Panoptic",
    ),
    "spm-3s-panoptic": Asset(
        "trained_models/PANOPTIC/SPM3S/spm_model_it_00021200.pm",
        "cabcda462de2cdc2d0aa15f6a5a6dc7615b688ca52e590f7401b864dbf36ec8d",
        "the authors' SPM-3S, trained on Panoptic",
    ),
}
# What the notebooks use.
DEFAULT = ("dih-frame", "panoptic-frame", "mpm-4s-dih", "mpm-2s-distilled-panoptic")


def asset(name: str) -> Asset:
    """Return the asset with this name; InputError if it is unknown."""
    if name not in ASSETS:
        raise InputError(f"nothing called {name!r} to fetch; there are {', '.join(ASSETS)}")
    return ASSETS[name]


def fetch(name: str) -> Path:
    """Download an asset if the cache does not have it, check its hash, and return its path.

    Args:
        name: A key of :data:`ASSETS`.

    Returns:
        The file in the cache folder.

    Raises:
        InputError: The name is unknown, the hash is wrong, or neither the network nor the mirror has the file.

    Example:
        >>> fetch("cat")
        Traceback (most recent call last):
        dihpose.common.errors.InputError: nothing called 'cat' to fetch; there are dih-frame, ...
    """
    wanted = asset(name)
    file = {Path(one.path).name: one for one in ASSETS.values()}
    registry = download.pooch().create(
        download.cache(),
        base_url="",
        registry={name: f"sha256:{one.sha256}" for name, one in file.items()},
        urls={
            name: f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/{one.path}" for name, one in file.items()
        },
    )
    bring = download.mirror_or_network(f"{REPOSITORY}/{wanted.path}")
    try:
        return Path(registry.fetch(Path(wanted.path).name, downloader=bring))
    except ValueError:
        raise InputError(
            f"{name}: what arrived is not the file that was asked for (its SHA-256 differs); fetch again, or mend the mirror"
        ) from None
    except OSError as error:  # requests' errors among them
        raise InputError(
            f"{name}: not at hand ({type(error).__name__}); it needs the network once, or DIHPOSE_MIRROR set to a folder "
            f"with {REPOSITORY}/{wanted.path}"
        ) from None


def at_hand(*names: str) -> list[Path] | None:
    """Fetch several assets, for notebooks that also run without them.

    Args:
        *names: Keys of :data:`ASSETS`.

    Returns:
        Their paths; None, after one printed line, if one of them is not available.

    Example:
        >>> at_hand("cat") is None
        Skipped: nothing called 'cat' to fetch; there are dih-frame, ...
        True
    """
    try:
        return [fetch(name) for name in names]
    except InputError as error:
        print(f"Skipped: {error}")
        return None


def official_people() -> dict[str, np.ndarray] | None:
    """Return the people that the authors' own program found on their frames.

    ``"<model>__<frame>"`` -> people (P, 17, 3): x and y in pixels of the frame (the DIH frame after its crop), and the
    score; NaN where missing. None if the results do not lie beside the mirror (``../official``).
    """
    path = download.beside_mirror("official/people.json")
    if path is None:
        return None
    missing = [np.nan] * 3
    return {
        case: np.array([[p["landmarks"].get(name, missing) for name in LANDMARKS] for p in found["people"]])
        for case, found in json.loads(path.read_text()).items()
    }
