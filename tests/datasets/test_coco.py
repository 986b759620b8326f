"""COCO-keypoints JSON: writing and reading against pycocotools and numbers worked out by hand; the score against a loop."""

import contextlib
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from dihpose.association import Pose
from dihpose.common.errors import InputError
from dihpose.datasets.formats import coco, oks
from dihpose.sample import Sample
from dihpose.skeleton import FORMATS, INDEX, LANDMARKS, LIMBS

COCO17 = list(FORMATS["coco17"])


def image(people=(), name="a.png", visible=None, **more) -> coco.Image:
    """An image of 100 x 80 pixels with people, each {landmark: (x, y)}."""
    landmarks = np.full((len(people), 17, 2), np.nan, np.float32)
    for person, marked in enumerate(people):
        for landmark, xy in marked.items():
            landmarks[person, INDEX[landmark]] = xy
    there = ~np.isnan(landmarks).any(-1)
    return coco.Image(name, 100, 80, landmarks, there if visible is None else there & visible, **more)


def scored(one: coco.Image, *scores: float) -> coco.Image:
    return replace(one, scores=np.array(scores, float))


def by_pycocotools(path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


PERSON = {"neck": (10, 20), "left_wrist": (30, 60), "right_eye": (12.25, 15.5)}


# --- Writing --------------------------------------------------------------------------------------------------------------


def test_a_person_is_written_as_two_categories():
    visible = np.ones((1, 17), bool)
    visible[0, INDEX["left_wrist"]] = False
    found = coco.document([image([PERSON], visible=visible)])
    assert found["images"] == [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}]
    person, ours = found["annotations"]
    assert (person["id"], person["image_id"], person["category_id"], person["iscrowd"]) == (1, 1, 1, 0)
    assert (ours["id"], ours["image_id"], ours["category_id"], ours["iscrowd"]) == (2, 1, 2, 0)
    # COCO's order: the right eye is its third keypoint, the left wrist its tenth; it has no neck.
    assert person["keypoints"] == [0] * 6 + [12.25, 15.5, 2] + [0] * 18 + [30, 60, 1] + [0] * 21
    assert ours["keypoints"] == [10, 20, 2] + [0] * 21 + [30, 60, 1] + [0] * 21 + [12.25, 15.5, 2]
    assert (person["num_keypoints"], ours["num_keypoints"]) == (2, 3)
    # From the left edge of pixel 10 to the right edge of pixel 30, and from 15.5 (no whole pixel) to the end of 60.
    assert person["bbox"] == ours["bbox"] == [10, 15.5, 21, 45.5]
    assert person["area"] == ours["area"] == pytest.approx(0.53 * 21 * 45.5)
    assert "score" not in ours


def test_categories_have_their_names_and_limbs():
    person, ours = coco.document([])["categories"]
    assert (person["id"], person["name"], person["keypoints"]) == (1, "person", COCO17)
    assert (ours["id"], ours["keypoints"]) == (2, list(LANDMARKS))
    assert [(a - 1, b - 1) for a, b in ours["skeleton"]] == list(LIMBS)
    named = {frozenset((COCO17[a - 1], COCO17[b - 1])) for a, b in person["skeleton"]}
    for side in ("left", "right"):
        for a, b in (
            ("shoulder", "elbow"),
            ("elbow", "wrist"),
            ("hip", "knee"),
            ("knee", "ankle"),
            ("shoulder", "hip"),
        ):
            assert {f"{side}_{a}", f"{side}_{b}"} in named


def test_what_a_set_does_not_mark_is_told():
    marked = ("neck", "left_wrist")
    assert coco.document([], marked)["categories"][1]["marked"] == list(marked)
    assert coco.document([])["categories"][1]["marked"] == list(LANDMARKS)


def test_of_a_sample_what_is_labelled_and_on_the_image():
    landmarks = torch.full((1, 3, 17, 2), torch.nan)
    landmarks[0, 0, :3] = torch.tensor([[3.0, 4.0], [9.4, 7.4], [9.6, 2.0]])  # the last one beside the image
    landmarks[0, 1, 0] = torch.tensor([5.0, 5.0])
    labelled = ~landmarks.isnan().any(-1)
    labelled[0, 1, 0] = False
    visible = labelled.clone()
    visible[0, 0, 1] = False
    people = torch.zeros(1, 8, 10, dtype=torch.uint8)
    people[0, 1:4, 2:9] = 1
    found = coco.from_sample(Sample(torch.ones(1, 8, 10), landmarks, labelled, visible, people), "b.npy")
    assert (found.name, found.width, found.height) == ("b.npy", 10, 8)
    assert found.landmarks.shape == (1, 17, 2)  # neither the second person, who is not labelled, nor the third, nobody
    assert found.landmarks[0, :2].tolist() == landmarks[0, 0, :2].tolist() and np.isnan(found.landmarks[0, 2:]).all()
    assert found.visible[0].nonzero()[0].tolist() == [0]
    assert found.areas.tolist() == [21]
    _, ours = coco.document([found])["annotations"]
    assert ours["area"] == 21 and ours["num_keypoints"] == 2
    nobody_knows = coco.from_sample(Sample(torch.ones(1, 8, 10), landmarks, labelled, visible, people * 0), "b.npy")
    assert coco.document([nobody_knows])["annotations"][1]["area"] == pytest.approx(0.53 * 7.4 * 4.4)


coordinates = st.floats(-1000, 1000, width=32).map(np.float32)


@given(
    st.lists(st.dictionaries(st.sampled_from(LANDMARKS), st.tuples(coordinates, coordinates), min_size=1), max_size=3)
)
def test_what_is_written_is_read_the_same_to_the_bit(tmp_path_factory, people):
    path = tmp_path_factory.mktemp("coco") / "people.json"
    visible = np.arange(17 * len(people)).reshape(-1, 17) % 2 == 0
    given = [image(people, visible=visible, areas=np.full(len(people), 12.5)), image(name="empty.png")]
    coco.write(path, given)
    assert json.loads(path.read_text()) == coco.document(given)
    found = coco.read(path)
    assert found.landmarks == LANDMARKS
    for one, other in zip(given, found.images, strict=True):
        assert (one.name, one.width, one.height) == (other.name, other.width, other.height) and not other.broken
        assert np.array_equal(one.landmarks, other.landmarks, equal_nan=True)
        assert np.array_equal(one.visible, other.visible)
        assert other.scores is None
    assert coco.document(found.images) == coco.document(given)


def test_pycocotools_reads_annotations_and_results(tmp_path):
    given = [image([PERSON, {"left_hip": (50, 40)}]), image(name="b.png")]
    found = [scored(given[0], 0.75, 0.5), scored(given[1])]
    coco.write(tmp_path / "given.json", given)
    coco.write(tmp_path / "found.json", found, as_results=True)
    assert json.loads((tmp_path / "found.json").read_text()) == coco.results(coco.document(found))
    truth = by_pycocotools(tmp_path / "given.json")
    with contextlib.redirect_stdout(io.StringIO()):
        results = truth.loadRes(str(tmp_path / "found.json"))
    assert truth.getCatIds(["person"]) == [1] and sorted(truth.getImgIds()) == [1, 2]
    people = results.loadAnns(results.getAnnIds(imgIds=[1], catIds=[2]))
    assert [person["score"] for person in people] == [0.75, 0.5]
    assert people[0]["keypoints"][:3] == [10, 20, 2]


def test_nothing_is_left_where_writing_breaks_off(tmp_path):
    def images():
        yield image([PERSON])
        raise InputError("the next one is broken")

    with pytest.raises(InputError):
        coco.write(tmp_path / "below" / "a.json", images())
    assert list((tmp_path / "below").iterdir()) == []


# --- Reading ---------------------------------------------------------------------------------------------------------------


def written(folder, change=None, **parts):
    """A small COCO JSON of two images, in which ``change`` changes something, on disk."""
    found = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 100, "height": 80},
            {"id": "x", "file_name": "deep/b.png", "width": 100, "height": 80},
        ],
        "annotations": [
            {"id": 1, "image_id": "x", "category_id": 5, "keypoints": [1, 2, 2, 3, 4, 1, 0, 0, 0]},
            {"id": 2, "image_id": 7, "category_id": 5, "keypoints": [5.5, 6, 2, 7, 8, 2, 9, 10, 1]},
        ],
        "categories": [{"id": 5, "name": "person", "keypoints": ["left_knee", "nose", "right_knee"]}],
    } | parts
    if change:
        change(found)
    path = folder / "annotations.json"
    path.write_text(json.dumps(found))
    return path


def test_coco_keypoints_of_any_order_are_told_by_their_names(tmp_path):
    found = coco.read(written(tmp_path))
    assert found.landmarks == ("left_knee", "right_knee")
    a, b = found.images
    assert (a.name, b.name) == ("a.png", "deep/b.png")
    assert a.landmarks[0, INDEX["left_knee"]].tolist() == [5.5, 6]
    assert a.landmarks[0, INDEX["right_knee"]].tolist() == [9, 10]
    assert a.visible[0].sum() == 1 and a.visible[0, INDEX["left_knee"]]
    assert b.landmarks[0, INDEX["left_knee"]].tolist() == [1, 2]
    assert (~np.isnan(b.landmarks)).any(-1).sum() == 1  # the nose has no counterpart, and v = 0 is missing


@pytest.mark.parametrize(
    ("names", "landmarks"),
    [
        (["Neck", "Nose", "BodyCenter", "lShoulder", "rEar"], {"neck": 1, "left_shoulder": 4}),
        (["Head", "Torso", "RHand", "LFoot"], {"head": 1, "right_wrist": 3, "left_ankle": 4}),
        (["head_top", "neck", "left_eye"], {"head_top": 1, "neck": 2, "left_eye": 3}),
        (["right_ear", "left_eye", "left_hip"], {"left_eye": 2, "left_hip": 3}),
    ],
)
def test_conventions(tmp_path, names, landmarks):
    keypoints = [n for i in range(1, len(names) + 1) for n in (i, 10 * i, 2)]
    annotations = [{"id": 1, "image_id": 7, "category_id": 5, "keypoints": keypoints}]
    categories = [{"id": 5, "name": "person", "keypoints": names}]
    found = coco.read(written(tmp_path, annotations=annotations, categories=categories))
    assert set(found.landmarks) == set(landmarks)
    there = {LANDMARKS[i]: xy for i, xy in enumerate(found.images[0].landmarks[0].tolist()) if not math.isnan(xy[0])}
    assert there == {name: [i, 10 * i] for name, i in landmarks.items()}
    assert len(found.images[1].landmarks) == 0


def category(id_, *names):
    return {"id": id_, "name": f"kind {id_}", "keypoints": list(names)}


def marks(id_, image_id, category_id, *keypoints):
    return {"id": id_, "image_id": image_id, "category_id": category_id, "keypoints": list(keypoints)}


def test_of_several_categories_ours_goes_first_and_kinds_of_people_go_together(tmp_path):
    people = [marks(1, 7, 1, 1, 1, 2, 2, 2, 2), marks(2, 7, 2, 3, 3, 2, 4, 4, 2)]
    both = [category(1, "nose", "left_eye"), category(2, "left_eye", "nose"), {"id": 3, "name": "chair"}]
    chair = {"id": 9, "image_id": 7, "category_id": 3, "bbox": [0, 0, 5, 5]}
    found = coco.read(written(tmp_path, annotations=[*people, chair], categories=both))
    assert found.images[0].landmarks[:, INDEX["left_eye"]].tolist() == [[2, 2], [3, 3]]
    ours = [category(1, *COCO17), category(2, "neck")]
    people = [marks(1, 7, 1, *(51 * [0])), marks(2, 7, 2, 3, 3, 2)]
    found = coco.read(written(tmp_path, annotations=people, categories=ours))
    assert found.landmarks == ("neck",) and found.images[0].landmarks[:, INDEX["neck"]].tolist() == [[3, 3]]
    # A category that is only listed does not win over one that is used.
    found = coco.read(written(tmp_path, annotations=people[:1], categories=ours))
    assert len(found.landmarks) == 14
    assert found.images[0].landmarks.shape == (1, 17, 2) and np.isnan(found.images[0].landmarks).all()


def test_people_marked_in_another_way_only_are_not_overlooked(tmp_path):
    annotations = [marks(1, 7, 1, *(51 * [1])), marks(2, "x", 2, 3, 3, 2)]
    first, second = coco.read(
        written(tmp_path, annotations=annotations, categories=[category(1, *COCO17), category(2, "neck")])
    ).images
    assert "keypoints of another category only" in first.broken
    assert not second.broken


def test_the_landmarks_that_are_marked_are_kept(tmp_path):
    marked = ("neck", "left_knee", "right_knee")
    coco.write(tmp_path / "a.json", [image([PERSON])], marked)
    assert coco.read(tmp_path / "a.json").landmarks == marked


def test_areas_and_scores_are_kept_where_they_are_numbers(tmp_path):
    def change(found):
        found["annotations"][0] |= {"area": 321.5, "score": 0.5}
        found["annotations"][1] |= {"area": "much", "score": None}

    a, b = coco.read(written(tmp_path, change)).images
    assert np.isnan(a.areas).all() and a.scores is None
    assert b.areas.tolist() == [321.5] and b.scores.tolist() == [0.5]


def put(*path_and_value):
    """Puts a value in a place of a document."""
    *path, last, value = path_and_value

    def change(found):
        for key in path:
            found = found[key]
        found[last] = value

    return change


FAULTS = {
    "annotations[1] has the image_id 8": put("annotations", 1, "image_id", 8),
    "annotations[0] has the image_id a list": put("annotations", 0, "image_id", []),
    "annotations[0] has no id": put("annotations", 0, "nothing"),
    "annotations[1] has no id": put("annotations", 1, "id", None),
    "images[0] has no id": put("images", 0, "id", True),
    "images[1] has no id": put("images", 1, 3),
    "have one id": put("images", 1, "id", 7),
    "image 7 has the file_name None": put("images", 0, "file_name", None),
    r"file_name 'a\nb.png'": put("images", 0, "file_name", "a\nb.png"),
    r"file_name '\ud800.png'": put("images", 0, "file_name", "\ud800.png"),
    "have one file_name": put("images", 0, "file_name", "deep/b.png"),
    "categories[0] has no id": put("categories", 0, {"keypoints": ["neck"]}),
    "no names that dihpose knows (such as 'hip_center')": put(
        "categories", 0, "keypoints", ["neck", "hip_center", "x"]
    ),
    "no names that dihpose knows (such as 3)": put("categories", 0, "keypoints", [3]),
    "no names that dihpose knows (such as 'nose')": put("categories", 0, "keypoints", ["nose"]),
    "no names that dihpose knows (such as 'neck')": put("categories", 0, "keypoints", ["neck", "neck"]),
    "no keypoints": put("categories", 0, "keypoints", None),
    "is not COCO-keypoints JSON": put("images", {}),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_file_that_cannot_be_used_says_why(tmp_path, message):
    path = written(tmp_path, FAULTS[message])
    with pytest.raises(InputError) as error:
        coco.read(path)
    assert message in str(error.value) and str(error.value).startswith(f"{path}: ")
    assert len(str(error.value).splitlines()) == 1


def test_what_names_are_known_is_told(tmp_path):
    with pytest.raises(InputError, match=r"dihpose: neck, head.*coco17: nose.*panoptic19: Neck.*itop15: Head"):
        coco.read(written(tmp_path, put("categories", 0, "keypoints", ["hip_center"])))


BROKEN = {
    "annotation 2 has 8 numbers for keypoints in place of 9": put("annotations", 1, "keypoints", list(range(8))),
    "annotation 2 has None for keypoints": put("annotations", 1, "keypoints", None),
    "annotation 2: nan is no coordinate": put("annotations", 1, "keypoints", 0, math.nan),
    "annotation 2: -inf is no coordinate": put("annotations", 1, "keypoints", 1, -math.inf),
    "annotation 2: '3' is no coordinate": put("annotations", 1, "keypoints", 3, "3"),
    "annotation 2: True is no coordinate": put("annotations", 1, "keypoints", 3, True),
    "annotation 2: 1000000000": put("annotations", 1, "keypoints", 0, 10**400),
    "a keypoint with v = 3": put("annotations", 1, "keypoints", 2, 3),
    "a keypoint with v = a list": put("annotations", 1, "keypoints", 2, []),
    "annotation 2 has the category_id 9, which is not listed": put("annotations", 1, "category_id", 9),
    "annotation 2 has the category_id a dict": put("annotations", 1, "category_id", {}),
    "annotation 2 is a crowd": put("annotations", 1, "iscrowd", 1),
    "-5 is no width or height": put("images", 0, "width", -5),
    "'80' is no width or height": put("images", 0, "height", "80"),
}


@pytest.mark.parametrize("message", BROKEN)
def test_an_image_whose_annotations_are_wrong_is_broken_alone(tmp_path, message):
    path = written(tmp_path, BROKEN[message])
    first, second = coco.read(path).images
    assert message in first.broken and first.broken.startswith(f"{path}: a.png: ")
    assert len(first.broken) < 200 + len(str(path)) and len(first.broken.splitlines()) == 1
    assert not second.broken and len(second.landmarks) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\xff",
        b"[" * 200_000,
        b"[" + b"9" * 5000 + b"]",
        b"null",
        b'{"images": [], "annotations": []}',
    ],
)
def test_what_is_no_json_or_not_coco(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is broken JSON|is not COCO-keypoints JSON") as error:
        coco.read(path)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        coco.read(tmp_path / "a.json")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places(found, path=()):
    """The path to every value in a document."""
    keys = found if isinstance(found, dict) else range(len(found)) if isinstance(found, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(found[key], (*path, key))


@settings(max_examples=300)
@given(st.data())
def test_whatever_stands_anywhere_ends_in_an_error_or_in_images(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "a.json"
    found = coco.document([scored(image([PERSON]), 0.5), image([{"neck": (1, 2)}], "b.png")])
    place = data.draw(st.sampled_from(list(places(found))))
    put(*place, data.draw(values))(found)
    path.write_text(json.dumps(found))
    try:
        read = coco.read(path)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        coco.document(read.images)
        assert all(np.isfinite(one.landmarks[~np.isnan(one.landmarks)]).all() for one in read.images)


# --- Scores -----------------------------------------------------------------------------------------------------------


def test_sigmas_are_cocos_where_it_has_the_landmark():
    theirs = dict(zip(COCO17, Params("keypoints").kpt_oks_sigmas, strict=True))
    ours = dict(zip(LANDMARKS, oks.SIGMAS, strict=True))
    shared = theirs.keys() & ours.keys()
    assert len(shared) == 14
    assert all(ours[name] == pytest.approx(theirs[name]) for name in shared)
    assert {ours[name] for name in ("neck", "head", "head_top")} == {0.079}


def test_one_person_worked_out_by_hand():
    truth = image([{"left_hip": (40, 40)}], areas=np.array([900.0]))
    # OKS = exp(-d^2 / (2 area (2 sigma)^2)); for 0.72, which passes 0.50, 0.55, ... 0.70, five of ten thresholds:
    d = math.sqrt(-math.log(0.72) * 2 * 900 * (2 * 0.107) ** 2)
    found = scored(image([{"left_hip": (40 + d, 40), "neck": (90, 70)}]), 0.9)
    assert oks.score([truth], [found]) == pytest.approx({"ap": 0.5, "ap50": 1, "ap75": 0, "ar": 0.5})


def test_a_landmark_that_was_not_found_is_not_at_the_corner():
    truth = image([{"left_hip": (0, 0)}], areas=np.array([900.0]))
    found = scored(image([{"neck": (50, 50)}]), 0.9)
    assert oks.score([truth], [found])["ap50"] == 0


def test_images_in_which_nobody_was_found_or_is_count():
    truth = image([PERSON])
    nobody, right = scored(image()), scored(truth, 0.9)
    assert oks.score([truth, truth], [right, nobody])["ar"] == 0.5
    assert oks.score([truth, truth], [nobody, nobody]) == {"ap": 0, "ap50": 0, "ap75": 0, "ar": 0}
    # A better scored person where there is nobody: half of what is found is right.
    assert oks.score([truth, image()], [right, scored(truth, 0.95)])["ap"] == pytest.approx(0.5)
    assert all(math.isnan(score) for score in oks.score([image()], [right]).values())


def test_nothing_is_printed(capsys):
    oks.score([image([PERSON])], [scored(image([PERSON]), 1)])
    assert capsys.readouterr() == ("", "")


def brute_force(truths, found) -> dict[str, float]:
    """COCO's protocol in plain loops: OKS of all pairs, best people first, precision interpolated at 101 recalls."""
    precisions, recalls = {}, {}
    total = sum(len(one.landmarks) for one in truths)
    for threshold in np.arange(50, 100, 5) / 100:
        outcomes = []  # score, whether it is right
        for truth, image in zip(truths, found, strict=True):
            free = set(range(len(truth.landmarks)))
            for q in sorted(range(len(image.landmarks)), key=lambda q: -image.scores[q]):
                best, chosen = threshold, None
                for p in sorted(free):
                    if (score := similarity(truth, p, image.landmarks[q])) >= best:
                        best, chosen = score, p
                free -= {chosen}
                outcomes.append((image.scores[q], chosen is not None))
        outcomes.sort(key=lambda outcome: -outcome[0])
        right = np.cumsum([good for _, good in outcomes])
        precision, recall = right / np.arange(1, len(right) + 1), right / total
        at = [
            max((p for p, r in zip(precision, recall, strict=True) if r >= level), default=0)
            for level in np.linspace(0, 1, 101)
        ]
        precisions[threshold], recalls[threshold] = np.mean(at), recall[-1]
    return {
        "ap": np.mean(list(precisions.values())), "ap50": precisions[0.5], "ap75": precisions[0.75],
        "ar": np.mean(list(recalls.values())),
    }  # fmt: skip


def similarity(truth, person, found) -> float:
    terms = []
    for landmark, (x, y) in enumerate(truth.landmarks[person]):
        if math.isnan(x):
            continue
        if math.isnan(found[landmark][0]):
            terms.append(0)
            continue
        d2 = (x - found[landmark][0]) ** 2 + (y - found[landmark][1]) ** 2
        terms.append(math.exp(-d2 / (2 * truth.areas[person] * (2 * oks.SIGMAS[landmark]) ** 2)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_protocol_written_anew(seed):
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(8):
        people = rng.integers(0, 4)
        landmarks = rng.uniform(20, 400, (people, 1, 2)) + rng.normal(0, 40, (people, 17, 2))
        landmarks[rng.random((people, 17)) < 0.3] = np.nan
        areas = rng.uniform(5000, 20000, people)
        truths.append(
            coco.Image("a", 400, 400, landmarks.astype(np.float32), ~np.isnan(landmarks[..., 0]), areas=areas)
        )
        seen = np.concatenate([landmarks, landmarks[:1] + 8]) + rng.normal(0, 6, (people + len(landmarks[:1]), 17, 2))
        seen[rng.random(seen.shape[:2]) < 0.1] = np.nan
        found.append(
            coco.Image("a", 400, 400, seen.astype(np.float32), np.ones(seen.shape[:2], bool), rng.random(len(seen)))
        )
    score, expected = oks.score(truths, found), brute_force(truths, found)
    assert 0.1 < expected["ap75"] < expected["ap50"] < 1
    assert score == pytest.approx(expected, abs=1e-6)


def test_exported_files_score_alike_by_pycocotools_alone(tmp_path):
    """A reader's own way: the annotations' file, the results' file, COCO's defaults for category 1."""
    person = {name: (20 + 2 * i, 10 + 4 * i) for i, name in enumerate(LANDMARKS)}
    moved = {name: (x + 1.5, y) for name, (x, y) in person.items()}
    given, found = [image([person])], [scored(image([moved]), 0.9)]
    coco.write(tmp_path / "given.json", given)
    coco.write(tmp_path / "found.json", found, as_results=True)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "given.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "found.json")), "keypoints")
        evaluation.params.catIds = [coco.PERSON]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    area = 0.53 * 33 * 65
    shared = [name for name in LANDMARKS if name in COCO17]
    sigmas = dict(zip(LANDMARKS, oks.SIGMAS, strict=True))
    similarity = np.mean([math.exp(-(1.5**2) / (2 * area * (2 * sigmas[name]) ** 2)) for name in shared])
    passed = sum(similarity >= t / 100 for t in range(50, 100, 5)) / 10
    assert 0 < passed < 1 and evaluation.stats[0] == pytest.approx(passed)


def test_people_as_found():
    landmarks = np.full((17, 3), (np.nan, np.nan, 0))
    landmarks[:3] = (1.5, 2, 0.6)
    found = coco.from_people([Pose(landmarks, 0.6)], "c.npy", (8, 10))
    assert (found.width, found.height) == (10, 8)
    _, ours = coco.document([found])["annotations"]
    assert ours["keypoints"][:12] == [1.5, 2, 2] * 3 + [0, 0, 0] and ours["score"] == 0.6
    assert coco.document([coco.from_people([], "c.npy", (8, 10))])["annotations"] == []
