"""The diagrams show the numbers of the models that they are drawn from."""

import pytest
from matplotlib.text import Annotation

from dihpose import InputError, models
from dihpose.report import diagrams


def words(fig) -> list[str]:
    return [text.get_text() for text in fig.axes[0].texts]


def test_figure_3_shows_the_model_s_own_numbers():
    text = "\n".join(words(diagrams.figure_3("RPM-3S", 72, 80)))
    network = models.create("RPM-3S")
    assert f"{models.count_parameters(network.features):,} parameters" in text
    assert f"{models.count_parameters(network.stages[2].limbs):,} parameters" in text
    assert "32×9×10" in text
    assert "1×72×80" in text


def test_figure_4_and_5_show_the_models_own_layers():
    text = words(diagrams.figure_4())
    assert text.count("Depth/point*, 64") == 2  # MPM's two strided modules
    assert text.count("5 × Conv 7×7, 64") == 1  # a later branch of RPM
    assert text.count("3 × Conv 3×3, 64") == 1  # its first
    assert text.count("5 × Fire 48, 32+32") == text.count("5 × Depth/point, 64") == 2
    assert text.count("2 × Residual, 64") == 1
    assert text.count("Average pool 2×2") == 6
    text = words(diagrams.figure_5())
    assert "Depthwise 3×3, 64" in text
    assert "concatenate" in text
    assert "4,672 weights; a plain 3×3 has 36,864" in text


def test_figure_6_shows_the_networks_own_numbers():
    text = words(diagrams.figure_6("RPM-1S", 72, 80))
    network = models.create("RPM-1S")
    assert f"features $G_f$, RPM-1S\n{models.count_parameters(network.features):,} parameters\n→ 64×9×10" in text
    assert f"stage 1\n{models.count_parameters(network.stages[0]):,} parameters\n→ 32×9×10 and 18×9×10" in text
    assert text.count("synthetic, with landmarks\n1×72×80") == text.count("real, without\n1×72×80") == 1
    # By hand, where cells that are half covered count: 64 x 32 + 32; 32 channels of 4 x 4 cells, 64 units; 64 + 1.
    for layer in ("average\npool\n→ 64×5×5", "conv 1×1, ReLU\n2,080 parameters\n→ 32×5×5", "average\npool\n→ 32×4×4",
                  "linear, ReLU\n32,832 parameters\n→ 64", "linear\n65 parameters\n→ 1"):  # fmt: skip
        assert layer in text
    assert "domain classifier $G_d$, 34,977 parameters" in text


def test_figure_7_shows_the_networks_own_numbers():
    text = words(diagrams.figure_7(size=64))
    assert "teacher CPM-2S, fixed, 17,079,844 parameters" in text
    assert "student MPM-2S, 168,240 parameters" in text
    assert "adapter, in training only\n1×1, 64 → 128, 8,320 parameters" in text  # 64 x 128 + 128
    assert "stage 2\n68,350 parameters\n→ 32×8×8 and 18×8×8" in text
    assert "features\n7,340,480 parameters\n→ 128×8×8" in text
    assert "depth\n1×64×64" in text
    without = "\n".join(words(diagrams.figure_7(hints=False, size=64)))
    assert "adapter" not in without and "hints" not in without


@pytest.mark.parametrize(
    ("how", "taught"),  # columns, counted from the first, of a teacher's and a student's stage
    [
        ({"tau": 1}, [(1, 1)]),
        ({"tau": 2}, [(0, 0), (1, 1)]),
        ({"tau": 2, "last_only": True}, [(1, 0), (1, 1)]),
        ({"tau": 1, "student": "MPM-1S"}, [(1, 1)]),  # the last stages stand above each other
        ({"tau": 2, "student": "MPM-3S"}, [(1, 1), (2, 2)]),
    ],
)
def test_figure_7_has_an_arrow_for_each_pair_of_stages(how, taught):
    ax = diagrams.figure_7(**how, hints=False, size=64).axes[0]
    stages = {t.get_position()[0] for t in ax.texts if t.get_text().startswith("stage")}
    column = {x: i for i, x in enumerate(sorted(stages))}
    arrows = [t for t in ax.texts if isinstance(t, Annotation)]
    orange = [a for a in arrows if a.arrowprops["color"] == "#D55E00"]
    assert sorted((column[a.get_position()[0]], column[a.xy[0]]) for a in orange) == taught


def test_figure_7_refuses_more_stages_than_there_are():
    with pytest.raises(InputError, match="tau 2: the student has 1 stages, the teacher 2"):
        diagrams.figure_7(student="MPM-1S", size=64)
