"""DIH: the synthetic part, as its generator writes it, and the real part, frames with annotations."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image

from dihpose import depth
from dihpose.common.errors import InputError
from dihpose.datasets import authors, generators
from dihpose.datasets.formats import coco, dih_real, dih_synthetic, reader, registry
from dihpose.datasets.generators import dih as generator
from dihpose.sample import inside, overlap
from dihpose.skeleton import INDEX, LANDMARKS
from dihpose.synthesis import recipes, scenes, sets
from dihpose.synthesis.camera import Camera, level
from dihpose.synthesis.scenes import Scenes

GOLDEN = Path(__file__).parents[1] / "golden" / "dih_synthetic"
TAKE = "MA_averageHeight_averageWeight_shortHair_01/02_01/kinect_1_1"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def golden(tmp_path) -> Path:
    """A copy of the independently made take, which a test may damage."""
    return Path(shutil.copytree(GOLDEN / TAKE, tmp_path / TAKE))


def persons(frame: int) -> list[dict]:
    return EXPECTED["frames"][str(frame)]["persons"]


# --- The independently made case --------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [dih_synthetic.TIFF, dih_synthetic.EXR])
def test_the_golden_take_comes_out(golden, images):
    """The expected landmarks, depth, people and masks were computed without this reader."""
    for other in {dih_synthetic.TIFF, dih_synthetic.EXR} - {images}:
        shutil.rmtree(golden / other)
    read = dih_synthetic.Synthetic(golden.parents[2])
    assert [read.name(i) for i in range(len(read))] == [
        f"{TAKE}/{images}/Image000{i}{'.exr' if images == dih_synthetic.EXR else ''}" for i in (1, 2)
    ]
    for index in range(2):
        sample, truth = read[index], persons(index + 1)
        assert sample.depth.shape == (1, 424, 512) and sample.landmarks.shape == (1, 2, 17, 2)
        assert sample.annotated.all()
        stored = np.array([person["uv"] for person in truth])
        np.testing.assert_allclose(sample.landmarks[0] + 0.5, stored, atol=0.01)  # counted from the image's edge
        inside = np.array([person["in_image"] for person in truth])
        np.testing.assert_array_equal(sample.visible[0], inside)  # what is in front lies less than 20 cm before
        assert sample.labelled.all()
        frame = EXPECTED["frames"][str(index + 1)]
        assert int((sample.people > 0).sum()) == frame["mask_pixels"]
        for number, person in enumerate(truth, 1):
            assert int((sample.people == number).sum()) == person["pixels_of_this_person"]
        for number, person in enumerate(truth, 1):
            for (u, v), on_top, metres in zip(
                person["uv"], person["own_disc_on_top"], person["exr_m_at_landmark"], strict=True
            ):
                if on_top:
                    assert sample.people[0, int(v), int(u)] == number
                if metres is not None:
                    cut = np.floor(metres * 1000) / 1000 if images == dih_synthetic.TIFF else metres
                    assert float(sample.depth[0, int(v), int(u)]) == pytest.approx(cut, abs=1e-6)
        for one in frame["exr_samples"]:
            metres, millimetres = one["exr_m"], one["tiff_mm"]
            there = 0 if metres >= 8 else metres if images == dih_synthetic.EXR else millimetres / 1000
            assert float(sample.depth[0, one["v"], one["u"]]) == pytest.approx(there, abs=1e-6)
        assert int((sample.depth == 0).sum()) == frame["pixels_beyond_8_m"]


def test_whole_images_of_the_golden_take_are_what_other_libraries_read():
    read = dih_synthetic.Synthetic(GOLDEN / TAKE)
    for index in range(2):
        raw = np.asarray(Image.open(GOLDEN / TAKE / dih_synthetic.TIFF / f"Image000{index + 1}"))
        np.testing.assert_allclose(read[index].depth[0], np.where(raw == 8500, 0, raw / 1000), atol=1e-6)
        colours = np.asarray(Image.open(GOLDEN / TAKE / dih_synthetic.MATERIAL / f"Image000{index + 1}.png"))
        np.testing.assert_array_equal(read[index].people[0] == 1, (colours == (255, 0, 0)).all(-1))
        np.testing.assert_array_equal(read[index].people[0] == 2, (colours == (0, 255, 0)).all(-1))
        mask = np.asarray(Image.open(GOLDEN / TAKE / dih_synthetic.MASK / f"Image000{index + 1}.png"))
        np.testing.assert_array_equal(read[index].people[0] > 0, mask == 255)


def test_depth_of_landmarks_in_the_golden_take():
    found = dih_synthetic._annotations(GOLDEN / TAKE / dih_synthetic.ANNOTATIONS, {1, 2})
    for frame in (1, 2):
        z = [[x[2] for x in person["camera_m"]] for person in persons(frame)]
        np.testing.assert_allclose(found.frames[frame].landmarks[..., 2], z, atol=1e-4)


def test_bones_are_those_of_the_golden_table():
    table = {name: (bone, *dih_synthetic.VECTORS[end]) for name, (bone, end) in dih_synthetic.BONES.items()}
    assert table == {name: tuple(row) for name, row in EXPECTED["from"].items()}
    assert list(table) and set(table) == set(LANDMARKS)


# --- Where the set is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", range(4))
def test_takes_are_found_wherever_they_are(up):
    folder = [GOLDEN / TAKE, *(GOLDEN / TAKE).parents][up]
    assert dih_synthetic.is_synthetic(folder) and registry.told(folder).name == "dih-synthetic"
    read = registry.opened(folder)
    assert isinstance(read, dih_synthetic.Synthetic) and len(read) == 2 and read.folder == folder
    assert read.name(1).endswith("depth_uint16_imgs/Image0002")
    assert {name: list(span) for name, span in read.takes()} == {str((GOLDEN / TAKE).relative_to(folder)): [0, 1]}
    assert len(list(read.files())) == 1 + 2 * 4 and len(reader.identity(read)) == 12


def test_a_folder_without_takes_is_refused(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert not dih_synthetic.is_synthetic(tmp_path)
    with pytest.raises(InputError, match=r"no image in any depth_uint16_imgs .*give the folder"):
        dih_synthetic.Synthetic(tmp_path)


def test_listing_opens_no_file_and_a_take_is_parsed_once(tmp_path, monkeypatch):
    for name in ("a", "b"):
        shutil.copytree(GOLDEN / TAKE, tmp_path / name)
    (tmp_path / "b" / dih_synthetic.ANNOTATIONS).write_text("<Annotations>")
    parsed = []

    def counted(path, numbers, parse=dih_synthetic._annotations):
        parsed.append(path.parts[-3])
        return parse(path, numbers)

    monkeypatch.setattr(dih_synthetic, "_annotations", counted)
    read = dih_synthetic.Synthetic(tmp_path, held=1)
    assert len(read) == 4 and not parsed
    for index in (0, 1, 2, 3, 0):
        if index < 2:
            assert len(read[index].landmarks[0]) == 2
        else:
            with pytest.raises(InputError, match="broken or truncated"):
                read[index]
    assert parsed == ["a", "b", "a"]
    left = reader.Skipped()
    assert [sample.landmarks.shape[1] for _, sample in reader.good(read, skipped=left)] == [2, 2]
    assert left.count == 2 and str(tmp_path / "b" / dih_synthetic.ANNOTATIONS) in left.first[0]
    for outside in (-1, 4):
        with pytest.raises(IndexError):
            read[outside]


def test_parts_say_what_is_missing(golden):
    assert all(part.good for part in dih_synthetic.Synthetic(golden).parts())
    shutil.rmtree(golden / dih_synthetic.EXR)  # as its generator does in the end
    (golden / dih_synthetic.ANNOTATIONS).unlink()
    parts = {part.what: part for part in dih_synthetic.Synthetic(golden).parts()}
    assert parts["depth images, EXR"].there == "missing" and parts["depth images, 16-bit TIFF"].there == "2"
    assert parts["annotations"].there == "of 0 takes" and not parts["annotations"].good


# --- Damage ---------------------------------------------------------------------------------------------------------------


def edit(take: Path, pattern: str, text: str, count: int = 1) -> None:
    path = take / dih_synthetic.ANNOTATIONS
    changed, found = re.subn(pattern, text, path.read_text(), count=count, flags=re.DOTALL)
    assert found, pattern
    path.write_text(changed)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# Name -> damage to the golden take, how many of its two frames are lost, what the error says, and which file it names.
XML = dih_synthetic.ANNOTATIONS
DAMAGE = {
    "no annotations": (lambda take: (take / XML).unlink(), 2, "is missing", XML),
    "annotations cut off": (lambda take: cut(take / XML), 2, "broken or truncated", XML),
    "annotations empty": (lambda take: (take / XML).write_text(""), 2, "broken or truncated", XML),
    "annotations a folder": (
        lambda take: ((take / XML).unlink(), (take / XML).mkdir()), 2, "broken or truncated", XML,
    ),
    "annotations of another kind": (lambda take: (take / XML).write_text("<html/>"), 2, "lacks resolution", XML),
    "an unknown encoding": (lambda take: edit(take, r'version="1.0"', r'\g<0> encoding="utf-99"'), 2, "broken", XML),
    "entities": (
        lambda take: edit(take, r"\?>", '?><!DOCTYPE a [<!ENTITY b "c">]>'), 2, "declares a document type", XML,
    ),
    "no camera": (lambda take: edit(take, "<scenecamera>.*</scenecamera>", ""), 2, "lacks resolution", XML),
    "an odd rotation": (lambda take: edit(take, 'row_2 value=" [^ ]* ', 'row_2 value="', 0), 2, "odd row_2", XML),
    "an odd size": (lambda take: edit(take, 'width="512"', 'width="inf"'), 2, "broken", XML),
    "another size": (lambda take: edit(take, 'width="512"', 'width="256"'), 2, "annotated are 256 x 424", dih_synthetic.TIFF),
    "frame left out": (lambda take: edit(take, 'frame id="2"', 'frame id="3"'), 1, "has no frame 2", XML),
    "frame without id": (lambda take: edit(take, 'frame id="2"', "frame"), 1, "has no frame 2", XML),
    "frame twice": (lambda take: edit(take, 'frame id="2"', 'frame id="1"'), 2, "frame", XML),
    "an odd coordinate": (
        lambda take: edit(take, '(<bone name="Neck">.*?<imgheadvector[^>]*>[^<]*<x value=)"[^"]*"', r'\1"1,5"'),
        1, "odd x in frame 1", XML,
    ),
    "a coordinate too many": (
        lambda take: edit(take, '(<bone name="Neck">.*?<imgheadvector dimension="2">)', r'\1<z value="1"/>'),
        1, "odd z in frame 1", XML,
    ),
    "a nameless bone": (lambda take: edit(take, 'bone name="Neck"', "bone"), 1, "odd bone in frame 1", XML),
    "a crowd": (
        lambda take: edit(take, '(<frame id="1">)', r"\1" + 40 * "<Person/>"), 1, "odd Person in frame 1", XML,
    ),
    "no depth image": (
        lambda take: [
            (take / folder / name).unlink()
            for folder, name in ((dih_synthetic.TIFF, "Image0002"), (dih_synthetic.EXR, "Image0002.exr"))
        ],
        1, "is missing, and so is its EXR", dih_synthetic.TIFF,
    ),
    "a depth image cut off": (
        lambda take: cut(take / dih_synthetic.TIFF / "Image0002"), 1, "broken or truncated", dih_synthetic.TIFF,
    ),
    "a mask missing": (
        lambda take: (take / dih_synthetic.MATERIAL / "Image0002.png").unlink(),
        1, "is missing; copy it again", dih_synthetic.MATERIAL,
    ),
    "a mask cut off": (
        lambda take: cut(take / dih_synthetic.MATERIAL / "Image0002.png"), 1, "broken or truncated", dih_synthetic.MATERIAL,
    ),
    "a mask of another size": (
        lambda take: Image.new("RGB", (2000, 2000)).save(take / dih_synthetic.MATERIAL / "Image0002.png"),
        1, "is 2000 x 2000 pixels, its depth image 512 x 424", dih_synthetic.MATERIAL,
    ),
    "no number in the name": (
        lambda take: [path.rename(path.with_name("Image" + path.suffix)) for path in take.glob("*_imgs/Image0002*")],
        1, "does not end in the number", dih_synthetic.TIFF,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named_and_costs_only_its_own_frames(golden, what):
    damage, lost, says, names = DAMAGE[what]
    damage(golden)
    read = dih_synthetic.Synthetic(golden)
    left = reader.Skipped()
    good = list(reader.good(read, skipped=left))
    assert (len(good), left.count) == (2 - lost, lost)
    for message in left.first:
        assert says in message and names in message and str(golden) in message and "\n" not in message
        assert re.search("copy|bring|rename", message)


def test_entities_that_unfold_to_gigabytes_cost_nothing(golden):
    bomb = "".join(f'<!ENTITY e{i} "{10 * f"&e{i - 1};"}">' for i in range(1, 12))
    (golden / dih_synthetic.ANNOTATIONS).write_text(f'<!DOCTYPE a [<!ENTITY e0 "ha">{bomb}]><a>&e11;</a>')
    with pytest.raises(InputError, match="declares a document type"):
        dih_synthetic.Synthetic(golden)[0]


def test_landmarks_that_are_not_there_or_mean_nothing_are_missing(golden):
    edit(golden, 'bone name="Neck"', 'bone name="Collar"')
    edit(golden, '(bone name="Head">.*?<worldheadvector.*?<z value=)"[^"]*"', r'\1"nan"')
    edit(golden, '(bone name="LeftArm">.*?<imgheadvector.*?<y value=)"[^"]*"', r'\1"1e300"')
    edit(golden, '(bone name="LeftHand">.*?<worldheadvector.*?<x value=)"[^"]*"', r'\1"50"')  # behind the camera
    sample = dih_synthetic.Synthetic(golden)[0]
    gone = [INDEX[name] for name in ("neck", "head", "left_shoulder", "left_wrist")]
    assert sample.landmarks[0, 0, :, 0].isnan().nonzero()[:, 0].tolist() == sorted(gone)
    assert not sample.labelled[0, 0, gone].any() and not sample.visible[0, 0, gone].any()
    assert not sample.landmarks[0, 1].isnan().any()


# --- A scene made by hand ---------------------------------------------------------------------------------------------


def by_hand() -> tuple[Scenes, torch.Tensor]:
    """One image of two people.

    The landmarks of the first lie 3 m away in row 100, 10 pixels apart. Her own arm is 0.5 m in front of her neck and head. The
    second person is 1 m in front of her last eight landmarks. Her eyes are elsewhere in the row.
    """
    column = torch.arange(100.0, 100 + 10 * 17, 10)
    landmarks = torch.full((1, 2, 17, 2), 100.0)
    landmarks[0, 0, :, 0] = column
    landmarks[0, 0, INDEX["left_eye"], 0] = 105.0  # behind the arm
    landmarks[0, 0, INDEX["right_eye"], 0] = -50.0  # outside the image
    landmarks[0, 1] = torch.tensor([240.0, 105.0])
    z = torch.tensor([3.0, 2.0])[None, :, None].expand(1, 2, 17)
    surface = torch.full((1, 424, 512), torch.inf)
    people = torch.zeros(1, 424, 512, dtype=torch.uint8)
    surface[0, 80:120, 90:300], people[0, 80:120, 90:300] = 2.9, 1
    surface[0, 80:120, 95:115] = 2.5
    surface[0, 80:120, 165:300], people[0, 80:120, 165:300] = 1.95, 2
    camera = Camera(level(*torch.zeros(3, 1)), torch.zeros(1, 3), torch.tensor([[560.0, 560.0, 255.5, 211.5]]))
    right, down = ((landmarks[..., i] - camera.intrinsics[0, 2 + i]) / 560 * z for i in (0, 1))
    world = torch.stack([right, z, -down], -1)
    truth = torch.ones(1, 2, 17, dtype=torch.bool)
    seen = Scenes(
        depth=surface, room=torch.full_like(surface, torch.inf), people=people, landmarks=landmarks,
        landmarks3d=torch.stack([right, down, z], -1), visible=truth, covered=~truth, camera=camera,
    )  # fmt: skip
    return seen, world


def test_hidden_by_another_is_not_labelled(tmp_path):
    seen, world = by_hand()
    generator.write_take(tmp_path, seen, world, "MA_tall", "02_01")
    sample = dih_synthetic.Synthetic(tmp_path)[0]
    torch.testing.assert_close(sample.landmarks, seen.landmarks, atol=0.01, rtol=0)
    names = [name for name, hidden in zip(LANDMARKS, ~sample.visible[0, 0], strict=True) if hidden]
    by_other = list(LANDMARKS[7:15])
    assert names == ["neck", "head", *by_other, "left_eye", "right_eye"]
    names = [name for name, taught in zip(LANDMARKS, sample.labelled[0, 0], strict=True) if not taught]
    assert names == [*by_other, "left_eye"]  # of what is outside the image nothing is known
    assert sample.labelled[0, 1].all() and sample.visible[0, 1].all()
    torch.testing.assert_close(sample.people, seen.people)


def test_without_knowing_whose_body_is_before_a_landmark_it_is_not_labelled(tmp_path):
    generator.write_take(tmp_path, *by_hand(), "MA_tall", "02_01")
    shutil.rmtree(tmp_path / dih_synthetic.MATERIAL)
    sample = dih_synthetic.Synthetic(tmp_path)[0]
    assert not sample.people.any()  # two people, one mask
    names = [name for name, taught in zip(LANDMARKS, sample.labelled[0, 0], strict=True) if not taught]
    assert names == ["neck", "head", *LANDMARKS[7:15], "left_eye"]


def test_one_person_s_mask_is_that_person(tmp_path):
    seen, world = by_hand()
    world[:, 1] = torch.nan
    generator.write_take(tmp_path, replace(seen, people=seen.people.clamp(max=1)), world, "MA_tall", "02_01")
    shutil.rmtree(tmp_path / dih_synthetic.MATERIAL)
    sample = dih_synthetic.Synthetic(tmp_path)[0]
    assert sample.landmarks.shape[1] == 1
    torch.testing.assert_close(sample.people, seen.people.clamp(max=1))
    shutil.rmtree(tmp_path / dih_synthetic.MASK)
    assert not dih_synthetic.Synthetic(tmp_path)[0].people.any()


def test_somebody_of_whom_nothing_is_seen_is_not_labelled(tmp_path):
    seen, world = by_hand()
    people = torch.where(seen.people == 1, 0, seen.people)
    generator.write_take(tmp_path, replace(seen, people=people), world, "MA_tall", "02_01")
    sample = dih_synthetic.Synthetic(tmp_path)[0]
    assert not sample.labelled[0, 0].any() and sample.labelled[0, 1].all()


def test_nobody(tmp_path):
    seen, world = by_hand()
    nobody = replace(seen, people=torch.zeros_like(seen.people))
    generator.write_take(tmp_path, nobody, torch.full_like(world, torch.nan), "MA_tall", "02_01")
    sample = dih_synthetic.Synthetic(tmp_path)[0]
    assert sample.landmarks.shape == (1, 0, 17, 2) and not sample.people.any() and not sample.depth.any()


def test_from_8_m_on_there_is_nothing(tmp_path):
    """In the files 7.9996 m is 7999 mm, cut off, and 8.3 m is 8500 mm in the TIFF."""
    seen, world = by_hand()
    surface = seen.depth.clone()
    surface[0, 90, 90:93] = torch.tensor([7.9996, 8.0, 8.3])
    generator.write_take(tmp_path, replace(seen, depth=surface), world, "MA_tall", "02_01")
    raw = np.asarray(Image.open(tmp_path / dih_synthetic.TIFF / "Image0001"))
    assert raw[90, 90:93].tolist() == [7999, 8000, 8500] and raw[0, 0] == 8500
    assert dih_synthetic.Synthetic(tmp_path)[0].depth[0, 90, 90:93].tolist() == pytest.approx([7.999, 0, 0])
    shutil.rmtree(tmp_path / dih_synthetic.TIFF)
    with OpenEXR.File(str(tmp_path / dih_synthetic.EXR / "Image0001.exr"), separate_channels=True) as file:
        red, green, blue = (file.channels()[name].pixels for name in "RGB")
    assert red.dtype == np.float32 and (red == green).all() and (red == blue).all() and red[0, 0] == np.float32(1e10)
    assert red[90, 92] == np.float32(8.3)
    assert dih_synthetic.Synthetic(tmp_path)[0].depth[0, 90, 90:93].tolist() == pytest.approx([7.9996, 0, 0])


# --- The generator ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two scenes as three cameras see them, and their takes."""
    folder = tmp_path_factory.mktemp("dih")
    config = replace(generator.SCENES, people=(0, 0, 1))
    cameras = [generator._camera(2, *view) for view in generator.CAMERAS]
    seen, world = scenes.views(2, torch.Generator().manual_seed(5), config, cameras, in_room=False)
    for number, view in enumerate(seen, 1):
        generator.write_take(folder / "WA_short" / "05_06" / f"kinect_1_{number}", view, world, "WA_short", "05_06")
    return folder, seen


@pytest.mark.parametrize("images", [dih_synthetic.TIFF, dih_synthetic.EXR])
def test_from_a_scene_to_files_and_back(made, tmp_path, images):
    folder, seen = made
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for other in tmp_path.rglob(dih_synthetic.TIFF if images == dih_synthetic.EXR else dih_synthetic.EXR):
        shutil.rmtree(other)
    read = dih_synthetic.Synthetic(tmp_path)
    assert len(read) == 6
    left, same = reader.Skipped(), []
    for index, sample in reader.good(read, skipped=left):
        view, row = seen[index // 2], index % 2
        assert sample.landmarks.shape[1] == 2
        torch.testing.assert_close(sample.landmarks[0], view.landmarks[row], atol=0.01, rtol=0)
        torch.testing.assert_close(sample.people[0], view.people[row])
        body = view.people[row] > 0
        lost = (view.depth[row] - sample.depth[0])[body]
        assert lost.min() > -1e-6 and lost.max() < (0.001 if images == dih_synthetic.TIFF else 1e-6)
        assert not sample.depth[0][~body].any() and body.sum() > 10_000
        assert (sample.visible[0] == view.visible[row]).float().mean() > 0.99  # by a millimetre another surface
        expected = ~view.covered[row]
        off = ~inside(view.landmarks[row], 424, 512)
        eyes = [INDEX["left_eye"], INDEX["right_eye"]]
        expected[:, eyes] &= (view.visible[row] | off)[:, eyes]
        expected &= torch.stack([(view.people[row] == person).any() for person in (1, 2)])[:, None]
        same.append((sample.labelled[0] == expected).float().mean())
    assert np.mean(same) > 0.97 and len(same) == 6  # but where one's own body hides the other who hides a landmark
    assert left.count == 0


def obeys_its_camera(path: Path) -> None:
    """The vectors and matrices of an annotation file agree with each other, as OpenCV projects."""
    root = ET.parse(path).getroot()
    camera = root.find("scenecamera")

    def matrix(tag):
        return np.array([row.get("value").split() for row in camera.find(tag)], float)

    def vector(parent, tag):
        return np.array([axis.get("value") for axis in parent.find(tag)], float)

    k, rotation, translation = (
        matrix("calibrationmatrix"),
        matrix("coordrotationmatrix"),
        vector(camera, "translationvector"),
    )
    np.testing.assert_array_equal(k, [[560, 0, 256], [0, 560, 212], [0, 0, 1]])
    lens, sensor = (float(camera.find("physical").get(key)) for key in ("lensmm", "widthccdmm"))
    assert k[0, 0] == lens / sensor * float(camera.find("resolution").get("width"))
    np.testing.assert_allclose(matrix("projectionmatrix"), k @ np.column_stack([rotation, translation]), atol=1e-3)
    np.testing.assert_allclose(vector(camera, "worldpos"), -rotation.T @ translation, atol=1e-5)
    pose = matrix("matrixworld")
    np.testing.assert_allclose(
        pose[:3], np.column_stack([rotation.T * (1, -1, -1), vector(camera, "worldpos")]), atol=1e-5
    )
    a, b, c = (vector(camera, "roteuler")[i] for i in range(3))
    about = [cv2.Rodrigues(angle * np.eye(3)[axis])[0] for axis, angle in enumerate((a, b, c))]
    np.testing.assert_allclose(about[2] @ about[1] @ about[0], pose[:3, :3], atol=1e-5)
    bones = list(root.iter("bone"))
    assert len(bones) % 33 == 0 and len(bones) > 0
    for world, image in dih_synthetic.VECTORS.values():
        points = np.array([vector(bone, world) for bone in bones])
        expected, _ = cv2.projectPoints(points, cv2.Rodrigues(rotation)[0], translation, k, None)
        np.testing.assert_allclose([vector(bone, image) for bone in bones], expected[:, 0], atol=1e-3)


def paths(path: Path) -> set:
    """Every chain of elements in a file with the attributes that they have, and the bones."""

    def below(element, before=()):
        own = (*before, (element.tag, tuple(sorted(element.attrib))))
        return {own, *(chain for child in element for chain in below(child, own))}

    root = ET.parse(path).getroot()
    bones = {(bone.get("name"), *sorted(child.tag for child in bone)) for bone in root.iter("bone")}
    return below(root) | bones


def test_annotations_are_made_as_the_golden_ones_are(made):
    folder, _ = made
    for path in folder.rglob("annotations.xml"):
        obeys_its_camera(path)
        assert paths(path) == paths(GOLDEN / TAKE / dih_synthetic.ANNOTATIONS)
        assert (
            path.read_text().splitlines()[0] == (GOLDEN / TAKE / dih_synthetic.ANNOTATIONS).read_text().splitlines()[0]
        )
    obeys_its_camera(GOLDEN / TAKE / dih_synthetic.ANNOTATIONS)


def test_files_are_made_as_the_golden_ones_are(made):
    """Folders, names, kinds and sizes."""

    def described(take: Path) -> dict:
        found = {}
        for path in take.rglob("*"):
            if path.is_file() and path.suffix not in (".xml", ".exr"):
                with Image.open(path) as image:
                    found[str(path.relative_to(take))] = image.format, image.mode, image.size
            elif path.is_file():
                found[str(path.relative_to(take))] = None
        return found

    for number in (1, 2, 3):
        assert described(made[0] / "WA_short" / "05_06" / f"kinect_1_{number}") == described(GOLDEN / TAKE)


def test_make_synthetic(tmp_path):
    format_ = registry.FORMATS["dih-synthetic"]
    generators.make(format_.name, tmp_path / "a", 8, 3)
    read = registry.opened(tmp_path / "a")
    assert read.kind == "dih-synthetic" and 8 <= len(read) <= 9
    models, sequences, cameras = ({name.split("/")[level] for name, _ in read.takes()} for level in range(3))
    assert len(models) == 3 and sequences == {"01_01"} and cameras == {"kinect_1_1", "kinect_1_2", "kinect_1_3"}
    number = [sample.landmarks.shape[1] for _, sample in reader.good(read)]
    assert len(number) == len(read) and set(number) <= {1, 2}
    generators.make(format_.name, tmp_path / "b", 8, 3)
    generators.make(format_.name, tmp_path / "c", 8, 4)
    a, b, c = ([path.read_bytes() for path in sorted((tmp_path / name).rglob("*")) if path.is_file()] for name in "abc")
    assert a == b != c


# --- The real part ------------------------------------------------------------------------------------------------------

X, Y, W, H = depth.CROPS["dih"]
NAME = "1524230525118271935"


def test_a_frame_to_files_and_back(tmp_path):
    sample = recipes.draw(1, torch.Generator().manual_seed(8), sets.DIH_SIM)
    image = generator.write_frame(tmp_path / f"{NAME}.npy", sample)
    coco.write(tmp_path / "annotations.json", [image])
    raw = np.load(tmp_path / f"{NAME}.npy")
    assert raw.dtype == np.uint16 and raw.shape == (540, 960)
    raw[Y : Y + H, X : X + W] = 0
    assert not raw.any()
    read = registry.opened(tmp_path)
    assert isinstance(read, dih_real.Real) and read.kind == "dih" and len(read) == 1 and read.name(0) == f"{NAME}.npy"
    again = read[0]
    torch.testing.assert_close(again.depth, sample.depth, atol=0.00051, rtol=0)
    column, row = sample.landmarks[0].unbind(-1)
    shown = sample.labelled[0] & (column > -0.5) & (column < W - 0.5) & (row > -0.5) & (row < H - 0.5)
    who = shown.any(1)
    assert who.sum() >= 2
    expected = torch.where(shown[..., None], sample.landmarks[0], torch.nan)[who]
    torch.testing.assert_close(again.landmarks[0], expected, atol=0.01, rtol=0, equal_nan=True)
    torch.testing.assert_close(again.labelled[0], shown[who])
    torch.testing.assert_close(again.visible[0], (sample.visible[0] & shown)[who])


@pytest.mark.parametrize("kind", ["npy", "tiff", "bin", "exr"])
def test_frames_of_all_kinds_are_cut_and_landmarks_moved(tmp_path, kind):
    """The neck is marked at column 100, row 50 of the frame: 36, 48 of the cut."""
    frame = np.full((540, 960), 7000, np.uint16)
    frame[50, 100] = 1234
    path = tmp_path / f"{NAME}.{kind}"
    if kind == "npy":
        np.save(path, frame)
    elif kind == "tiff":
        Image.fromarray(frame).save(path)
    elif kind == "bin":
        path.write_bytes(np.array([540, 960, 5], "<i4").tobytes() + frame.astype("<f4").tobytes())
    else:
        generator.write_exr(path, (frame / 1000).astype(np.float32))
    (tmp_path / "annotations.csv").write_text(f"file,person,landmark,x,y\n{path.name},1,neck,100,50\n")
    sample = registry.opened(tmp_path)[0]
    assert sample.depth.shape == (1, 537, 799)
    assert sample.landmarks[0, 0, INDEX["neck"]].tolist() == [36, 48]
    assert float(sample.depth[0, 48, 36]) == pytest.approx(1.234, abs=1e-6)
    assert (sample.depth < 2).sum() == 1


def test_frames_of_another_size_stay_whole(tmp_path):
    np.save(tmp_path / f"{NAME}.npy", np.full((537, 799), 3000, np.uint16))
    (tmp_path / "annotations.csv").write_text(f"file,person,landmark,x,y\n{NAME}.npy,1,neck,100,50\n")
    sample = dih_real.Real(tmp_path)[0]
    assert sample.depth.shape == (1, 537, 799) and sample.landmarks[0, 0, 0].tolist() == [100, 50]


def test_make_writes_all_folds(tmp_path):
    format_ = registry.FORMATS["dih"]
    generators.make(format_.name, tmp_path / "a", 6, 3)
    read = registry.opened(tmp_path / "a")
    assert read.kind == "dih" and len(read) == 6
    fold = [read.name(i).split("/")[0] for i in range(6)]
    assert {name: fold.count(name) for name in fold} == {
        "train": 2, "validation": 1, "test": 1, "unlabelled": 1, "occlusion": 1,
    }  # fmt: skip
    assert all(re.fullmatch(r"[a-z]+/[0-9]{19}\.npy", read.name(i)) for i in range(6))
    assert len({read.name(i).split("/")[1] for i in range(6)}) == 6
    assert all(part.good for part in read.parts()) and tuple(read.landmarks) == LANDMARKS
    assert len(list(read.files())) == 6 + 4 and len(reader.identity(read)) == 12
    for index, sample in reader.good(read):
        assert sample.depth.shape == (1, 537, 799)
        assert sample.annotated.any() == (fold[index] != "unlabelled")
        assert (sample.landmarks.shape[1] > 0) == (fold[index] != "unlabelled")
        if fold[index] == "occlusion":
            assert float(overlap(sample.landmarks, H, W)) > 0
            assert sample.landmarks.shape[1] == 3
        people = sample.landmarks.shape[1]
        assert len(read.areas(index) if people else []) == people
    alone = registry.opened(tmp_path / "a" / "test")
    assert alone.kind == "dih" and len(alone) == 1 and alone.name(0) == read.name(fold.index("test"))[5:]
    generators.make(format_.name, tmp_path / "b", 6, 3)
    a, b = ([path.read_bytes() for path in sorted((tmp_path / x).rglob("*")) if path.is_file()] for x in "ab")
    assert a == b


def test_annotations_beside_folders_of_frames_speak_for_all(tmp_path):
    (tmp_path / "frames").mkdir()
    for number in (1, 2):
        np.save(tmp_path / "frames" / f"152423052511827193{number}.npy", np.full((540, 960), 3000, np.uint16))
    assert [dih_real.Real(tmp_path).name(i) for i in (0, 1)] == [f"frames/152423052511827193{i}.npy" for i in (1, 2)]
    (tmp_path / "annotations.csv").write_text(
        "file,person,landmark,x,y\nframes/1524230525118271932.npy,1,neck,100,50\n"
    )
    read = registry.opened(tmp_path)
    assert read.kind == "dih" and len(read) == 1 and read.landmarks == ("neck",)
    assert read[0].landmarks[0, 0, 0].tolist() == [36, 48]


def test_what_is_no_dih(tmp_path):
    np.save(tmp_path / "frame_1.npy", np.full((540, 960), 3000, np.uint16))
    assert not dih_real.is_real(tmp_path) and registry.told(tmp_path).name == "folder"
    with pytest.raises(InputError, match="has no depth frame"):
        dih_real.Real(GOLDEN)
    with pytest.raises(InputError, match="cannot be read"):
        dih_real.Real(tmp_path / "elsewhere")


def test_a_real_frame_and_the_authors_people(mirror, official, tmp_path):
    """People whom the authors' own code found in the cut, annotated in the whole frame, come back where they were, and lie on
    bodies: nearly all of a person's landmarks have a depth within half a metre of their middle one."""
    path = authors.fetch("dih-frame")
    shutil.copy(path, tmp_path / path.name.split("-")[-1])
    people = authors.official_people()["mpm4s_dih__dih_frame"][..., :2]
    there = ~np.isnan(people).any(-1)
    frame = coco.Image(f"{NAME}.npy", 960, 540, people + np.array([X, Y]), there)
    coco.write(tmp_path / "annotations.json", [frame])
    sample = registry.opened(tmp_path)[0]
    assert sample.depth.shape == (1, 537, 799) and sample.landmarks.shape[1] == 3
    np.testing.assert_allclose(sample.landmarks[0], people, atol=0.01)
    np.testing.assert_array_equal(sample.labelled[0], there)
    np.testing.assert_array_equal(sample.depth[0], depth.crop(depth.read(path), depth.CROPS["dih"]))
    for landmarks, labelled in zip(sample.landmarks[0], sample.labelled[0], strict=True):
        column, row = landmarks[labelled].round().long().T
        metres = sample.depth[0, row.clamp(max=H - 1), column.clamp(max=W - 1)]
        metres = metres[metres > 0]
        assert len(metres) > 0.7 * labelled.sum()
        assert ((metres - metres.median()).abs() < 0.5).float().mean() > 0.9
