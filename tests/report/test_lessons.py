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


def test_fresh_classifiers_stand_beside_the_one_trained_along_and_the_control():
    rows = [{"images": i, "loss": 10 - i, "confusion": i / 10, "target_f": 0.1} for i in range(4)]
    probed = [row | {"probe": 0.05 * row["images"], "probe_sd": 0.01} for row in rows[1:]]
    control = [row | {"probe": 0.02, "probe_sd": None} for row in rows]
    fig = lessons.along_adaptation([rows[0], *probed], {"a": probed[2], "b": probed[0]}, control)
    loss, confusion, target_f = fig.axes
    assert loss.lines[-1].get_ydata().tolist() == [10, 9, 8, 7] and target_f.lines[-1].get_label() == "λ = 0"
    marks = [line.get_ydata()[0] for line in confusion.lines[1:3]]
    assert marks == [0.05 * 3, 0.05]  # what the choice looked at
    names = [text.get_text() for text in confusion.get_legend().get_texts()]
    assert {"classifier trained along", "fresh classifiers", "fresh, λ = 0"} <= set(names)
    fresh, of_control = (container.lines[0].get_ydata().tolist() for container in confusion.containers)
    assert fresh == [0.05, 0.1, 0.05 * 3] and of_control == [0.02] * 4


def test_the_outline_test_shows_what_each_network_was_told():
    def probes(rate: float) -> dict:
        saliency = [{"area": "holes", "ratio": 20 * rate}, {"area": "people", "ratio": None}]
        return {
            "checkpoints": [{"mean": 0.9, "sd": 0.1}, {"mean": rate, "sd": 0.01}],
            "outlines": {"saliency": {"both": saliency}, "equalised": {"holes equalised": {"mean": 0.5, "sd": None}}},
        }

    left, right = lessons.outline_test({"before": probes(0.1), "after": probes(0.2)}).axes
    assert [[bar.get_width() for bar in bars] for bars in left.containers if len(bars) == 2] == [[2, 0], [4, 0]]
    widths = [[bar.get_width() for bar in bars] for bars in right.containers if hasattr(bars, "patches")]
    assert widths == [[0.1, 0.5], [0.2, 0.5]]
    assert [text.get_text() for text in right.get_yticklabels()] == ["as they are", "holes equalised"]
    assert [text.get_text() for text in left.get_yticklabels()] == ["holes", "people"]


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
