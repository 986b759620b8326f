"""The pictures of notebooks 03 and 04 show the numbers that they get."""

import math

import numpy as np
import torch
from matplotlib.colors import to_rgb

from dihpose.report import lessons


def test_a_boundary_lies_where_the_logit_changes_its_sign():
    points = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.tensor([0.0, 1.0])
    image = lessons.boundary(lambda at: at[:, 0], points, points).astype(int)  # the right half is the second class
    assert image.shape == (252, 316, 3)
    blue, yellow = (np.array([int(255 * v + 0.5) for v in to_rgb(c)]) for c in ("#cfe3f3", "#fbecc9"))
    assert np.abs(image[20, 40] - blue).max() <= 1 and np.abs(image[20, 280] - yellow).max() <= 1


def test_ceilings_show_every_beginning_and_their_mean():
    fig = lessons.ceilings(
        {0.0: np.zeros((2, 2, 3)), 3.0: np.zeros((2, 2, 3))}, {"right": {0.0: (0.6, 0.7), 3.0: (0.5, 0.9)}}
    )
    *dots, mean = fig.axes[-1].lines
    assert [line.get_ydata().tolist() for line in dots] == [[0.6, 0.5], [0.7, 0.9]]
    np.testing.assert_allclose(mean.get_ydata(), [0.65, 0.7])
    assert [t.get_text() for t in fig.axes[-1].get_xticklabels()] == ["0", "3"]


def test_terms_are_balanced_at_the_end_by_the_loss_over_ln_2():
    fig = lessons.balance(200.0, {"ours": 200 / math.log(2), "half": 100 / math.log(2)})
    ends = [line.get_ydata()[-1] for line in fig.axes[0].lines[:2]]
    np.testing.assert_allclose(ends, [1, 0.5], rtol=1e-3)


def test_adaptation_s_criteria_are_marked_where_they_choose():
    rows = [{"images": i, "loss": 10 - i, "confusion": i / 10, "target_f": 0.1} for i in range(4)]
    fig = lessons.along_adaptation(rows, {"least pose loss": rows[3], "most confusion": rows[1]})
    _, least, most = fig.axes[0].lines
    assert (least.get_xdata()[0], least.get_ydata()[0]) == (3, 7)
    assert (most.get_xdata()[0], most.get_ydata()[0]) == (1, 9)


def test_what_was_not_run_along_distillation_says_so():
    logged = {
        "no teacher": [{"images": 10, "pose": 3.0}],
        "the control": [],
        "stagewise": [{"images": 10, "pose": 4.0, "teacher": 2.0}],
        "stagewise + hints": [],
    }
    fig = lessons.along_distillation(logged, {name: [{"images": 5, "f": 0.5}] for name in logged}, begins=8)
    said = [[t.get_text() for t in ax.texts] for ax in fig.axes]
    assert said == [[], [], ["not run here"], []]
    assert fig.axes[1].lines[2].get_ydata().tolist() == [2.0]


def test_missed_landmarks_in_percent_of_the_labelled():
    labelled = [4] + [10] * 15 + [0]
    lost = {"plain student": [1] + [0] * 16, "distilled student": [0] * 17}
    ax = lessons.missed(lost, labelled).axes[0]
    plain, distilled = ([bar.get_width() for bar in bars] for bars in ax.containers)
    assert plain == [25.0] + [0.0] * 16 and distilled == [0.0] * 17
    assert not ax.texts
    nothing = lessons.missed(dict.fromkeys(lost, [0] * 17), labelled).axes[0]
    assert [t.get_text() for t in nothing.texts] == ["none: the students find all that the teacher finds"]


def test_a_spectrum_is_marked_at_the_students_width():
    ax = lessons.spectrum([0.5, 0.02, 0.0], width=2).axes[0]
    assert [t.get_text() for t in ax.texts] == ["2 channels: 2 %"]
    assert ax.lines[0].get_ydata()[:2].tolist() == [50.0, 2.0] and np.isnan(ax.lines[0].get_ydata()[2])
