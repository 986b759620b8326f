"""Pictures of depth, people and maps show what they get."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from dihpose import association, skeleton
from dihpose.report import plotting
from dihpose.synthesis.people import bodies


def person(**placed):
    landmarks = np.full((17, 3), (np.nan, np.nan, 0.0))
    for name, xy in placed.items():
        landmarks[skeleton.INDEX[name]] = (*xy, 1.0)
    return association.Pose(landmarks, 1.0)


@pytest.mark.parametrize(
    ("x", "y", "colour"),
    [(1, 0, "#009E73"), (0, 1, "#0072B2"), (-1, 0, "#CC79A7"), (0, -1, "#E69F00"), (0, 0, "#FFFFFF")],
)
def test_direction_colours(x, y, colour):
    (rgb,) = plotting.direction_colours(np.array([[x]], float), np.array([[y]], float))[0]
    assert "#" + "".join(f"{round(255 * v):02X}" for v in rgb) == colour


def test_portraits_show_bodies_with_their_landmarks_on_them():
    every = bodies.load()
    standing = torch.eye(3).repeat(2, len(every.bones), 1, 1)
    posed = bodies.pose(every, torch.tensor([5, 14]), standing)
    depth, landmarks = plotting.portraits(*posed, height=200, width=120)
    assert depth.shape == (2, 200, 120) and landmarks.shape == (2, 17, 2)
    for image, points in zip(depth, landmarks, strict=True):
        columns, rows = points[[0, 1, 3, 4]].round().astype(int).T  # neck, head, hip, knee
        assert np.isfinite(image[rows, columns]).all()
        seen = np.nonzero(np.isfinite(image))[0]
        assert 150 < np.ptp(seen) < 195  # most of 2 m


def test_tiles_stand_in_rows():
    images = np.arange(6)[:, None, None] * np.ones((1, 2, 3), int)
    sheet = plotting.tiled(images, 3)
    assert sheet.shape == (4, 9) and sheet[::2, ::3].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_slider_holds_every_picture_and_shows_the_first():
    pictures = [np.full((4, 6, 3), value, np.uint8) for value in (0, 120, 255)]
    html = plotting.slider(pictures, ["none", "some", "all"], "holes").data
    assert html.count("<img ") == 3 and html.count("<div hidden>") == 2 and 'max="2"' in html
    for picture, coded in zip(pictures, re.findall(r"base64,([^\"]+)", html), strict=True):
        with Image.open(io.BytesIO(base64.b64decode(coded))) as image:
            assert np.array_equal(np.asarray(image.convert("RGB")), picture)
    assert "holes: some" in html and "http" not in html


def test_depths_stand_in_rows_with_their_people_and_one_scale():
    images = [np.full((40, 60), z, np.float32) for z in (1.0, 2.0, 3.0, 0.0)]
    people = [[], [person(left_shoulder=(10, 5), left_elbow=(10, 25))], [], []]
    fig = plotting.depths(images, ("near", "far"), far=4.0, people=people, rows=("above", "below"))
    *panels, scale = fig.axes
    assert [ax.get_title() for ax in panels] == ["near", "far", "", ""]
    assert [ax.get_ylabel() for ax in panels] == ["above", "", "below", ""]
    assert scale.get_ylabel() == "depth (m)" and scale.get_ylim() == (0, 4)
    assert [len(ax.lines) for ax in panels] == [0, 2, 0, 0]  # a limb, and its rim
    assert panels[1].lines[1].get_xydata().tolist() == [[10, 5], [10, 25]]
    level, nothing = panels[1].images[0].get_array()[20, 30], panels[3].images[0].get_array()[20, 30]
    assert np.abs(level / 255 - plt.get_cmap("viridis")(0.5)[:3]).max() < 0.02  # half-way to 4 m
    assert nothing.tolist() == [0, 0, 0]
    assert panels[0].get_xlim() == (-0.5, 59.5) and panels[0].get_ylim() == (39.5, -0.5)


def test_large_depths_are_thinned_and_keep_coordinates():
    fig = plotting.depths([np.ones((300, 900), np.float32)])
    (image,) = fig.axes[0].images
    assert image.get_array().shape == (100, 300, 3)
    assert image.get_extent() == [-0.5, 899.5, 299.5, -0.5]


def test_windows_stand_about_their_centre():
    _, ax = plt.subplots()
    ax.imshow(np.zeros((100, 200)))
    plotting.draw_windows(ax, (50, 40), {"small": 20, "large": 400}, {"small": "red", "large": "blue"})
    assert [patch.get_bbox().bounds for patch in ax.patches] == [(40, 30, 20, 20), (-150, -160, 400, 400)]
    assert [text.get_position() for text in ax.texts] == [(45, 45), (5, 95)]  # the second's corner lies outside


def test_names_of_points_do_not_overlap():
    fig, ax = plt.subplots(figsize=(4, 3), layout="constrained")
    places = [(0.5, 0.5), (0.52, 0.5), (0.5, 0.53), (0.99, 0.1), (0.2, 0.99)]
    points = dict(zip(("first", "second", "third", "far right", "top"), places, strict=True))
    ax.set(xlim=(0, 1), ylim=(0, 1))
    plotting.label_points(ax, points)
    fig.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert [text.get_text() for text in ax.texts] == list(points)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    reach = 4 * fig.dpi / 72
    for x, y in ax.transData.transform(list(points.values())):
        assert not any(b.x0 - reach < x < b.x1 + reach and b.y0 - reach < y < b.y1 + reach for b in boxes)
    assert all(ax.bbox.x0 <= b.x0 and b.x1 <= ax.bbox.x1 and ax.bbox.y0 <= b.y0 and b.y1 <= ax.bbox.y1 for b in boxes)
    nearest = [np.hypot(*(np.clip(at, b.min, b.max) - at)) for at, b in
               zip(ax.transData.transform(list(points.values())), boxes, strict=True)]  # fmt: skip
    assert max(nearest) < 12 * fig.dpi / 72  # beside its own point
