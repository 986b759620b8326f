"""COCO-keypoints JSON: writing, reading, and COCO's score (object keypoint similarity, OKS) by pycocotools.

A file that we write has every person twice: as category 1, ``person``, with COCO's 17 keypoints (we have no nose and ears, so
these are missing), and as category 2, ``person17``, with the 17 landmarks of :mod:`dihpose.skeleton`. A keypoint is x, y, v:
v = 0 missing, not labelled or off the image; 1 labelled but hidden; 2 visible (in predictions: found).

Pixels: in keypoints whole numbers are pixel centres, as in COCO's own annotations and in all of dihpose; numbers are read and
written unchanged. Boxes (x, y, width, height) count from the image's corner, so pixel i reaches from i to i + 1: landmarks in
the pixels (10, 20) and (30, 60) have the box (10, 20, 21, 41).
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...association import Pose
from ...common.errors import InputError, reason
from ...common.files import replacing
from ...skeleton import FORMATS, INDEX, LANDMARKS, LIMBS, N_LANDMARKS, to_format

if TYPE_CHECKING:
    from ...sample import Sample

PERSON, OURS = 1, 2  # ids of the categories
_COCO_LIMBS = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
# The share of a person's box that the person fills, where no mask is known: the number that CrowdPose's scorer takes.
FILLED = 0.53
_LISTS = ("images", "annotations", "categories")
FARTHEST = 1e6  # pixels: a number beyond is not taken for a coordinate


@dataclass(frozen=True, eq=False)
class Image:
    """An image and its P people.

    Attributes:
        name: The file's path within the folder.
        width: Pixels; None where the file does not say, as for ``height``.
        landmarks: Pixels (P, 17, 2), NaN where missing.
        visible: Which landmarks can be seen (P, 17).
        scores: (P,), where the people were found by a network.
        areas: Pixels (P,), NaN or None where unknown.
        broken: What is wrong with its annotations, and the fix.
        id: The id that it is written with.
    """

    name: str
    width: int | None
    height: int | None
    landmarks: np.ndarray
    visible: np.ndarray
    scores: np.ndarray | None = None
    areas: np.ndarray | None = None
    broken: str | None = None
    id: int | None = None


@dataclass(frozen=True, eq=False)
class Annotations:
    """A file of annotations: the images that it lists, and the names in ``skeleton.LANDMARKS`` that it marks."""

    path: Path
    landmarks: tuple[str, ...]
    images: tuple[Image, ...]


def from_sample(sample: "Sample", name: str, row: int = 0, areas: np.ndarray | None = None) -> Image:
    """Image ``row`` of a sample: the landmarks that are labelled and on the image, and the people who have any.

    ``areas`` (P,), default: the number of each person's pixels.
    """
    from ...sample import inside  # needs torch, which reading and writing COCO files do not

    height, width = sample.depth.shape[1:]
    shown = sample.labelled[row] & inside(sample.landmarks[row], height, width)
    pixels = sample.people[row].flatten().bincount(minlength=1 + len(shown))[1 : 1 + len(shown)]
    shown, visible, landmarks, pixels = (
        tensor.cpu().numpy() for tensor in (shown, sample.visible[row], sample.landmarks[row], pixels)
    )
    who = shown.any(1)
    landmarks = np.where(shown[..., None], landmarks, np.nan)[who]
    areas = np.where(pixels > 0, pixels, np.nan) if areas is None else areas
    return Image(name, width, height, landmarks, visible[who] & shown[who], areas=areas[who])


def from_people(people: Sequence[Pose], name: str, shape: tuple[int, int]) -> Image:
    """An image of the shape (H, W), and the people that were found in it."""
    landmarks = np.array([person.landmarks[:, :2] for person in people], np.float32).reshape(-1, N_LANDMARKS, 2)
    scores = np.array([person.score for person in people], float)
    return Image(name, shape[1], shape[0], landmarks, ~np.isnan(landmarks).any(-1), scores)


def unknown(name: str, broken: str | None = None) -> Image:
    """An image without annotations."""
    return Image(name, None, None, np.zeros((0, N_LANDMARKS, 2)), np.zeros((0, N_LANDMARKS), bool), broken=broken)


# --- Out --------------------------------------------------------------------------------------------------------------


def document(images: Iterable[Image], marked: Sequence[str] = LANDMARKS) -> dict:
    """The content of the file that :func:`write` writes."""
    listed: list[dict] = []
    annotations = list(_annotations(images, listed))
    return _frame(marked) | {"annotations": annotations, "images": listed}


def results(document: dict) -> list[dict]:
    """The people of a document who have a score, as the list that pycocotools' ``loadRes`` takes."""
    return [_result(annotation) for annotation in document["annotations"] if "score" in annotation]


def write(
    path: Path, images: Iterable[Image], marked: Sequence[str] = LANDMARKS, as_results: bool = False
) -> list[dict]:
    """Write images as a COCO-keypoints JSON, one annotation a line. Images are written as they come, so memory stays small.

    Args:
        path: The file; its folder is made.
        images: The images and their people. Image i gets the id i + 1 where it has none.
        marked: The landmarks that the data set marks at all, kept in category 2.
        as_results: Write only the people who were found, as the list that pycocotools' ``loadRes`` takes.

    Returns:
        The entries of the images written.

    Example:
        >>> import tempfile
        >>> write(Path(tempfile.mkdtemp()) / "annotations.json", [unknown("frame_1.png")])[0]["file_name"]
        'frame_1.png'
    """
    listed: list[dict] = []
    lines = (json.dumps(a, allow_nan=False) for a in _annotations(images, listed, as_results))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write("[" if as_results else json.dumps(_frame(marked))[:-1] + ', "annotations": [')
        for i, line in enumerate(lines):
            file.write((",\n" if i else "\n") + line)
        file.write("\n]\n" if as_results else '\n], "images": ' + json.dumps(listed) + "}\n")
    return listed


def _frame(marked: Sequence[str]) -> dict:
    """A document without images and annotations."""
    return {
        "info": {"description": "people in depth images, by dihpose; in keypoints, whole numbers are pixel centres"},
        "categories": [
            {"id": PERSON, "name": "person", "supercategory": "person", "keypoints": list(FORMATS["coco17"]),
             "skeleton": [list(limb) for limb in _COCO_LIMBS]},
            {"id": OURS, "name": "person17", "supercategory": "person", "keypoints": list(LANDMARKS),
             "skeleton": [[a + 1, b + 1] for a, b in LIMBS], "marked": [name for name in LANDMARKS if name in marked]},
        ],
    }  # fmt: skip


def _annotations(images: Iterable[Image], listed: list[dict], as_results: bool = False) -> Iterator[dict]:
    """The annotations of images, one by one; each image is added to ``listed`` before its annotations."""
    numbers = count(1)
    for image in images:
        id_ = len(listed) + 1 if image.id is None else image.id
        listed.append({"id": id_, "file_name": image.name, "width": image.width, "height": image.height})
        for person in np.flatnonzero(~np.isnan(image.landmarks).any(-1).all(-1)):
            for category in (PERSON, OURS):
                own = {"id": next(numbers), "image_id": id_, "category_id": category}
                annotation = own | _person(image, person, category)
                yield _result(annotation) if as_results else annotation


def _result(annotation: dict) -> dict:
    return {key: annotation[key] for key in ("image_id", "category_id", "keypoints", "score")}


def _person(image: Image, person: int, category: int) -> dict:
    landmarks = image.landmarks[person]
    there = ~np.isnan(landmarks).any(-1)
    flags = np.where(there, 1.0 + image.visible[person], np.nan)
    rows = np.concatenate([landmarks, flags[:, None]], 1)
    joints = rows if category == OURS else to_format(rows, "coco17")
    low, high = landmarks[there].min(0), landmarks[there].max(0) + 1
    box = [*low, *(high - low)]
    area = math.nan if image.areas is None else image.areas[person]
    return {
        "keypoints": [n for x, y, v in joints for n in ((0, 0, 0) if np.isnan(v) else (_short(x), _short(y), int(v)))],
        "num_keypoints": int((~np.isnan(joints[:, 2])).sum()),
        "bbox": [_short(n) for n in box],
        "area": _short(FILLED * box[2] * box[3] if math.isnan(area) else area),
        "iscrowd": 0,
    } | ({} if image.scores is None or math.isnan(image.scores[person]) else {"score": float(image.scores[person])})


def _short(value: float) -> float:
    """The shortest decimal number that reads as the same float32."""
    return float(str(np.float32(value)))


# --- In ---------------------------------------------------------------------------------------------------------------


def read(path: Path) -> Annotations:
    """Read a COCO-keypoints JSON of any tool.

    People are read from category 2 above, or from a category whose keypoints all have our names, COCO's, Panoptic's or ITOP's
    (``skeleton.FORMATS``), in any order. Of several such categories the one with our landmarks is taken first; a person listed
    in two categories (as above) is read once. A person without a single keypoint counts as nobody.

    Args:
        path: The file.

    Returns:
        Its images. An image is ``broken`` where its annotations are wrong, where it has a crowd (``iscrowd``: the file does
        not say who is in it), and where some of its people are marked in another category only.

    Raises:
        InputError: The file as a whole cannot be used.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "annotations.json"
        >>> landmarks = np.full((1, 17, 2), np.nan)
        >>> landmarks[0, INDEX["neck"]] = 251.5, 98
        >>> _ = write(path, [Image("frame_1.png", 512, 424, landmarks, ~np.isnan(landmarks[..., 0]))])
        >>> read(path).images[0].landmarks[0, INDEX["neck"]].tolist()
        [251.5, 98.0]
    """
    found = _loaded(path)
    images = {_id(path, f"images[{i}]", image): image for i, image in enumerate(found["images"])}
    if len(images) < len(found["images"]):
        raise InputError(f"{path}: two of its images have one id; give each its own")
    people: dict[int | str, list[dict]] = {id_: [] for id_ in images}
    for i, annotation in enumerate(found["annotations"]):
        _id(path, f"annotations[{i}]", annotation)
        image = annotation.get("image_id")
        if not isinstance(image, int | str) or image not in people:
            raise InputError(f"{path}: annotations[{i}] has the image_id {said(image)}; list that image in images")
        people[image].append(annotation)
    joints, marked = _categories(path, found)
    named = [_image(path, image, people[id_], joints) for id_, image in images.items()]
    if len({image.name for image in named}) < len(named):
        raise InputError(f"{path}: two of its images have one file_name; list each file once")
    return Annotations(path, marked, tuple(named))


def looks_like(path: Path) -> bool:
    """Whether a file looks like a COCO JSON of annotations (not of people found by a network), by a few words in it."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return all(f'"{key}"'.encode() in content for key in _LISTS) and b'"score"' not in content


def counterparts(names: Sequence[str]) -> list[str | None] | None:
    """Our names for the keypoints of one convention (None for one that we do not have); None where no convention has them all.

    Example:
        >>> counterparts(["nose", "left_eye"])
        [None, 'left_eye']
    """
    for table in ({name: name for name in LANDMARKS}, *FORMATS.values()):
        if all(name in table for name in names):
            return [table[name] for name in names]
    return None


def conventions() -> str:
    """The known conventions with their names of keypoints, for messages."""
    tables = {"dihpose": LANDMARKS, **FORMATS}
    return "; ".join(f"{name}: {', '.join(names)}" for name, names in tables.items())


def coordinate(value: object) -> float:
    """A number as a coordinate. Raises ValueError where it cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FARTHEST:  # NaN fails, too
        raise ValueError(f"{said(value)} is no coordinate")
    return float(value)


def said(value: object) -> str:
    """A value of a file as messages quote it: on one line, at most 60 characters."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def _loaded(path: Path) -> dict:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except (ValueError, RecursionError) as error:  # broken JSON, no text, too long numbers, too deep nesting
        raise InputError(f"{path}: is broken JSON ({reason(error)}); write it again") from None
    if not isinstance(found, dict) or not all(isinstance(found.get(key), list) for key in _LISTS):
        raise InputError(
            f"{path}: is not COCO-keypoints JSON, which has lists of {', '.join(_LISTS)}; write it as one, or move it away"
        )
    return found


def _id(path: Path, where: str, entry: object) -> int | str:
    id_ = entry.get("id") if isinstance(entry, dict) else None
    if isinstance(id_, bool) or not isinstance(id_, int | str):
        raise InputError(f"{path}: {where} has no id; give it a number")
    return id_


def _categories(path: Path, found: dict) -> tuple[dict[int | str, list[int | None] | None], tuple[str, ...]]:
    """The categories by id, and the landmarks that the file marks.

    A category that is read has for each keypoint the landmark's index, or None. A category that marks people by other keypoints
    has None, and a category without keypoints has an empty list.
    """
    used = {id_ for a in found["annotations"] if isinstance(id_ := a.get("category_id"), int | str)}
    known, unknown = {}, []
    for i, category in enumerate(found["categories"]):
        id_ = _id(path, f"categories[{i}]", category)
        names = category.get("keypoints")
        if not isinstance(names, list) or not names:
            continue
        texts = all(isinstance(name, str) for name in names)
        ours = counterparts(names) if texts and len(set(names)) == len(names) else None
        if ours is None or not any(ours):
            unknown.append(next((n for n in names if not isinstance(n, str) or counterparts([n]) is None), names[0]))
        else:
            known[id_] = names, ours, category.get("marked")
    if not known:
        what = f"no names that dihpose knows (such as {said(unknown[0])})" if unknown else "no keypoints"
        raise InputError(f"{path}: its categories have {what}; name them, each once, as one of {conventions()}")

    def rank(id_: int | str):
        names, ours, _ = known[id_]
        return id_ in used, list(names) == ours, sum(name is not None for name in ours)

    names, ours, marked = known[max(known, key=rank)]
    joints = {category["id"]: [] for category in found["categories"]} | {
        id_: [name and INDEX[name] for name in theirs] if set(listed) == set(names) else None
        for id_, (listed, theirs, _) in known.items()
    }
    marked = marked if isinstance(marked, list) else LANDMARKS
    return joints, tuple(name for name in LANDMARKS if name in ours and name in marked)


def _image(path: Path, image: dict, annotations: list[dict], joints: dict) -> Image:
    name = image.get("file_name")
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise InputError(f"{path}: image {said(image['id'])} has the file_name {said(name)}; give its file's path")
    try:
        size = [_size(image.get(key)) for key in ("width", "height")]
        read = [annotation for annotation in annotations if _joints(annotation, joints)]
        rows = [_landmarks(annotation, joints[annotation["category_id"]]) for annotation in read]
        others = Counter(a["category_id"] for a in annotations if joints[a["category_id"]] is None)
        if max(others.values(), default=0) > len(read):
            raise ValueError("some of its people have keypoints of another category only")
    except ValueError as error:
        return unknown(name, f"{path}: {name}: {error}; correct it, or leave the image out")
    landmarks = np.array(rows, np.float32).reshape(-1, N_LANDMARKS, 3)
    scores = np.array([_number(annotation.get("score")) for annotation in read])
    areas = np.array([_number(annotation.get("area"), above=0) for annotation in read])
    return Image(
        name, *size, landmarks[..., :2], landmarks[..., 2] == 2, None if np.isnan(scores).all() else scores, areas
    )


def _size(value: object) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= FARTHEST):
        raise ValueError(f"{said(value)} is no width or height")
    return value


def _joints(annotation: dict, joints: dict) -> list[int | None] | None:
    category = annotation.get("category_id")
    if not isinstance(category, int | str) or category not in joints:
        raise ValueError(
            f"annotation {said(annotation['id'])} has the category_id {said(category)}, which is not listed"
        )
    return joints[category]


def _number(value: object, above: float = -math.inf) -> float:
    """A number beside the keypoints; NaN where it is missing or out of range."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and above < value <= FARTHEST**2 else math.nan


def _landmarks(annotation: dict, joints: list[int | None]) -> np.ndarray:
    """An annotation's landmarks (17, 3): x, y and v, NaN where missing. Raises ValueError where it is malformed."""
    who, keypoints = f"annotation {said(annotation['id'])}", annotation.get("keypoints")
    if annotation.get("iscrowd"):
        raise ValueError(f"{who} is a crowd (iscrowd), which does not say who is where")
    if not isinstance(keypoints, list) or len(keypoints) != 3 * len(joints):
        length = f"{len(keypoints)} numbers" if isinstance(keypoints, list) else said(keypoints)
        raise ValueError(f"{who} has {length} for keypoints in place of {3 * len(joints)}")
    landmarks = np.full((N_LANDMARKS, 3), np.nan, np.float32)
    for joint, x, y, flag in zip(joints, keypoints[::3], keypoints[1::3], keypoints[2::3], strict=True):
        if not isinstance(flag, int | float) or flag not in (0, 1, 2):
            raise ValueError(f"{who} has a keypoint with v = {said(flag)}, not 0, 1 or 2")
        if flag:
            try:
                row = coordinate(x), coordinate(y), flag
            except ValueError as error:
                raise ValueError(f"{who}: {error}") from None
            if joint is not None:
                landmarks[joint] = row
    return landmarks
