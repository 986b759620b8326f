"""Tables and figures show the numbers of stored results, which these tests write; nothing is trained."""

import numpy as np
import pytest

from dihpose.common import files
from dihpose.experiments import paper, results, runner, tables
from dihpose.experiments.results import folder_of
from dihpose.report import comparison, curves
from dihpose.report.curves import figure_11
from dihpose.skeleton import LANDMARKS, N_LANDMARKS
from dihpose.training import loop, run

TABLES = ("table1_dih", "table1_panoptic", "table2_synthetic_amount", "table3_two_people", "table4_domain_adaptation",
          "table5_distillation")  # fmt: skip


@pytest.fixture(autouse=True)
def _no_training(root, monkeypatch):

    def never(*_, **__):
        raise AssertionError("a table or figure trained something")

    for module, name in ((loop, "train"), (runner, "train_with_ancestors"), (runner, "test"), (runner, "perform")):
        monkeypatch.setattr(module, name, never)


def tell(table: str, ap=0.5, ar=0.25, f=1 / 3, seed=0, prefix="", profile="smoke", bootstrap=None, **words) -> None:
    """Store the result of a row: a curve of two thresholds, scores of the upper body 0.1 higher."""
    results = comparison.results_of(table, profile, **words)[prefix]
    upper = {k: None if v is None else v + 0.1 for k, v in (("ap", ap), ("ar", ar), ("f", f))}
    best = {"ap": ap, "ar": ar, "f": f}
    curve = [
        {"threshold": t}
        | {f"{k}{suffix}": v for suffix, part in (("", best), ("_upper", upper)) for k, v in part.items()}
        for t in (0.05, 0.5)
    ]
    path = folder_of(results.run, profile, seed) / "results" / results.file
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, {
        "data": f"{results.test}, 3 images (made up)", "whole_body": best, "upper_body": upper, "curve": curve,
        "bootstrap": bootstrap or {"f": [f] * 4},
        "per_landmark": [
            {"landmark": n, "precision": None if i == 3 else 0.05 * i, "recall": 0.02 * i} for i, n in enumerate(LANDMARKS)
        ],
    })  # fmt: skip


def row_of(rows: list[dict], **words: str) -> dict:
    (row,) = (row for row in rows if all(row["words"][k] == v for k, v in words.items()))
    return row


# --- Numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_the_paper_s_numbers_are_those_printed(table):
    rows = [row for row in comparison.values(table, "smoke") if not row["beyond"]]
    for line, row in zip(paper.table(table), rows, strict=True):
        assert row["words"].items() <= line.items()
        for prefix, pair in row["columns"].items():
            assert pair["ours"] is None
            printed = pair["paper"]
            assert [printed[k] for k in ("ap", "ar", "f")] == [float(line[f"{prefix}{k}"]) for k in ("ap", "ar", "f")]
            assert ("upper_f" in printed) == ("upper_f" in line)
    if table == "table4_domain_adaptation":
        rates = {row["words"]["method"]: row["columns"][""]["paper"]["confusion_rate"] for row in rows}
        assert list(rates.values()) == [0.2, 0.5, 0.04, 0.03, 0.15]  # without the stars


def test_ours_stand_beside_them_in_the_units_of_the_paper():
    tell("table1_dih", ap=0.9, ar=0.6, f=0.72, architecture="MPM-2S", bootstrap={"f": list(np.linspace(0.6, 0.8, 201))})
    ours = row_of(comparison.values("table1_dih", "smoke"), architecture="MPM-2S")["columns"][""]["ours"]
    assert (ours["ap"], ours["ar"], ours["f"]) == pytest.approx((90, 60, 0.72))
    assert (ours["upper_ap"], ours["upper_ar"], ours["upper_f"]) == pytest.approx((100, 70, 0.82))
    assert ours["f_interval"] == pytest.approx((0.605, 0.795)) and ours["f_seeds"] == [0.72]
    lines = {line["architecture"]: line for line in comparison.compared("table1_dih", "smoke")}
    assert lines["MPM-2S"] == {
        "architecture": "MPM-2S", "AP / AR / F, paper": "92.56 / 78.63 / 0.85", "AP / AR / F, ours": "90.00 / 60.00 / 0.72",
        "ΔF": "-0.13", "F, 95 %": "0.60 to 0.80", "": "",
    }  # fmt: skip
    assert lines["MPM-1S"] == {
        "architecture": "MPM-1S", "AP / AR / F, paper": "88.52 / 71.36 / 0.79", "AP / AR / F, ours": "not run here",
        "ΔF": "–", "F, 95 %": "–", "": "",
    }  # fmt: skip
    assert lines["MPM-1S, equal images"][""] == "beyond the paper"
    upper = {line["architecture"]: line for line in comparison.compared("table1_dih", "smoke", upper=True)}["MPM-2S"]
    assert upper == {
        "architecture": "MPM-2S", "AP / AR / F, paper": "94.97 / 89.92 / 0.92",
        "AP / AR / F, ours": "100.00 / 70.00 / 0.82", "ΔF": "-0.10", "": "",
    }  # fmt: skip


def test_results_of_another_scale_are_not_shown():
    tell("table1_dih", profile="laptop", architecture="MPM-2S")
    assert row_of(comparison.values("table1_dih", "laptop"), architecture="MPM-2S")["columns"][""]["ours"]
    assert not row_of(comparison.values("table1_dih", "smoke"), architecture="MPM-2S")["columns"][""]["ours"]


def test_a_network_that_finds_nobody_has_zeros():
    tell("table1_dih", ap=None, ar=0.0, f=0.0, architecture="MPM-1S")
    (line,) = (line for line in comparison.compared("table1_dih", "smoke") if line["architecture"] == "MPM-1S")
    assert line["AP / AR / F, ours"] == "0.00 / 0.00 / 0.00" and line["ΔF"] == "-0.79"


def test_seeds_are_averaged_and_their_range_is_shown():
    for seed, f in ((0, 0.5), (1, 0.7), (4, 0.6)):
        tell("table1_dih", ap=f, ar=f, f=f, seed=seed, architecture="MPM-4S", bootstrap={"f": [f] * 50})
    ours = row_of(comparison.values("table1_dih", "smoke"), architecture="MPM-4S")["columns"][""]["ours"]
    assert ours["f"] == pytest.approx(0.6) and ours["ap"] == pytest.approx(60) and ours["f_seeds"] == [0.5, 0.7, 0.6]
    (line,) = (line for line in comparison.compared("table1_dih", "smoke") if line["architecture"] == "MPM-4S")
    assert line["F, 95 %"] == "0.50 to 0.70; seeds 0.50 to 0.70" and line["ΔF"] == "-0.28"


def test_each_column_of_a_row_stands_by_itself():
    tell("table2_synthetic_amount", f=0.25, prefix="synthetic_only_", synthetic_data="25%")
    tell("table2_synthetic_amount", f=0.9, prefix="synthetic_only_", synthetic_data="100%, recipe sensor")
    lines = {line["synthetic data"]: line for line in comparison.compared("table2_synthetic_amount", "smoke")}
    assert lines["25%"]["synthetic only ΔF"] == "-0.16" and lines["25%"]["finetuned ΔF"] == "–"
    assert lines["25%"]["finetuned AP / AR / F, ours"] == comparison.NOT_RUN and lines["25%"][""] == ""
    beyond = lines["100%, recipe sensor"]
    assert beyond["synthetic only AP / AR / F, ours"] == "50.00 / 25.00 / 0.90" and beyond[""] == "beyond the paper"
    assert beyond["synthetic only AP / AR / F, paper"] == beyond["synthetic only ΔF"] == "–"
    assert beyond["finetuned AP / AR / F, ours"] == "–"  # never meant to be run


@pytest.mark.parametrize("table", [name for name, rows in tables.all_tables("smoke").items() if rows])
@pytest.mark.parametrize("upper", [False, True])
def test_all_rows_of_a_table_have_the_same_columns(table, upper):
    first, *others = comparison.compared(table, "smoke", upper)
    assert all(list(line) == list(first) for line in others)
    assert all(isinstance(value, str) for line in (first, *others) for value in line.values())
    assert ("" in first) == (table not in ("table3_two_people", "real_only"))  # which rows are ours


def test_table_4_has_the_confusion_rates():
    tell("table4_domain_adaptation", method="ADA - Min Loss")
    tell("table4_domain_adaptation", method="Only synthetic")
    tell("table4_domain_adaptation", method="Finetuning")
    adapted, plain = (
        comparison.results_of("table4_domain_adaptation", "smoke", method=m)[""]
        for m in ("ADA - Min Loss", "Only synthetic")
    )
    log = results.folder_of(adapted.run, "smoke") / "validation.jsonl"
    for row in ({"step": 0, "loss": 1, "confusion": 0.5}, {"step": 2, "loss": 5, "confusion": 0.25},
                {"step": 4, "loss": 6, "confusion": 0.75}):  # fmt: skip
        files.append_log(log, row)
    told = run.make_folder(results.root("smoke"), plain.told_apart)
    files.append_log(told / "validation.jsonl", {"step": 2, "loss": 1, "confusion": 0.125})
    lines = {line["method"]: line for line in comparison.compared("table4_domain_adaptation", "smoke")}
    assert {name: line["confusion, ours"] for name, line in lines.items()} == {
        "ADA - Min Loss": "0.25", "ADA - Max Confusion": "–", "Only synthetic": "0.12", "In-paint preprocessing": "–",
        "Finetuning": "–", tables.KEPT_ON: "–",
    }  # fmt: skip
    assert [line["confusion, paper"] for line in lines.values()] == ["0.20", "0.50", "0.04", "0.03", "0.15", "–"]
    tell("table4_domain_adaptation", seed=1, method="Only synthetic")
    told = run.make_folder(results.root("smoke"), run.reseeded(plain.told_apart, 1))
    files.append_log(told / "validation.jsonl", {"step": 2, "loss": 1, "confusion": 0.375})
    lines = {line["method"]: line for line in comparison.compared("table4_domain_adaptation", "smoke")}
    assert lines["Only synthetic"]["confusion, ours"] == "0.25"  # the mean of both seeds


def test_a_fresh_classifier_s_rate_comes_first_and_the_caption_says_whose_it_is():
    plain = comparison.results_of("table4_domain_adaptation", "smoke", method="Only synthetic")[""]
    assert comparison.confusion("smoke") == ""
    for seed in (0, 1):
        tell("table4_domain_adaptation", seed=seed, method="Only synthetic")
        told = run.make_folder(results.root("smoke"), run.reseeded(plain.told_apart, seed))
        files.append_log(told / "validation.jsonl", {"step": 2, "loss": 1, "confusion": 0.625})
    assert "out of step" in comparison.confusion("smoke") and "(" not in comparison.confusion("smoke")
    files.write_json(
        told / "probes.json", {"checkpoints": [{"images": 8, "mean": 0.125, "tested_on": 8}]}
    )  # of seed 1 alone: the mean is of fresh classifiers only
    lines = {line["method"]: line for line in comparison.compared("table4_domain_adaptation", "smoke")}
    assert lines["Only synthetic"]["confusion, ours"] == "0.12"
    assert "fresh classifier on the fixed features" in comparison.confusion("smoke")
    tuned = comparison.results_of("table4_domain_adaptation", "smoke", method="Finetuning")[""]
    tell("table4_domain_adaptation", method="Finetuning")
    told = run.make_folder(results.root("smoke"), tuned.told_apart)
    files.append_log(told / "validation.jsonl", {"step": 2, "loss": 1, "confusion": 0.25})
    said = comparison.confusion("smoke")
    assert "cannot be told apart (Only synthetic). " in said and said.endswith("not more confusion (Finetuning)")


def test_captions_say_what_was_tested_on():
    assert comparison.data("table1_dih", "smoke") == "none, for nothing was run here"
    tell("table3_two_people", prefix="all_", fold="1P-Fold")
    tell("table3_two_people", prefix="occlusion_", fold="2P-Fold")
    assert comparison.data("table3_two_people", "smoke") == (
        "dih-sim-seq-occlusion, 3 images (made up); dih-sim-seq-test, 3 images (made up); synthetic throughout, no real frame"
    )


# --- Figures -----------------------------------------------------------------------------------------------------------


def lines_of(ax) -> dict[str, list[list[float]]]:
    return {line.get_label(): [list(map(float, v)) for v in line.get_data()] for line in ax.lines}


def words_in(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_figure_8_draws_what_was_run_and_names_what_was_not():
    tell("table1_dih", ap=0.8, ar=0.4, f=0.53, architecture="CPM-2S")
    fig, missing = curves.figure_8("smoke")
    assert missing == ["CPM-1S", "RPM-1S", "RPM-2S", "RPM-3S", "HG", "MPM-4S", "SPM-4S"]  # each once
    for ax in fig.axes:  # CPM-2S is in both panels
        assert lines_of(ax)["CPM-2S: F 0.53"] == [[0.4, 0.4], [0.8, 0.8]]  # recall across, precision up
        assert words_in(ax) == [] and "recall" in ax.get_xlabel() and "precision" in ax.get_ylabel()


def test_figures_without_results_say_so():
    fig, missing = curves.figure_8("smoke")
    assert len(missing) == 8 and all(words_in(ax) == [comparison.NOT_RUN] and not ax.lines for ax in fig.axes)
    assert all(words_in(ax) == [comparison.NOT_RUN] for ax in curves.figure_9("smoke").axes)
    fig, missing = curves.figure_11("smoke")
    assert len(missing) == 6 + 5 + 5 and all(words_in(ax) == [comparison.NOT_RUN] for ax in fig.axes)


def test_curves_skip_thresholds_without_predictions():
    tell("table1_dih", ap=None, ar=0.0, f=0.0, architecture="HG")
    fig, missing = curves.figure_8("smoke")
    assert "HG" not in missing and lines_of(fig.axes[1]) == {"HG: F 0.00": [[], []]}
    assert words_in(fig.axes[1]) == ["no landmark was found"] and words_in(fig.axes[0]) == [comparison.NOT_RUN]


def test_networks_of_a_figure_can_be_told_apart():
    for name in ("CPM-1S", "CPM-2S", "RPM-1S", "RPM-2S", "RPM-3S"):
        tell("table1_dih", architecture=name)
    fig, _ = curves.figure_8("smoke")
    looks = {(line.get_color(), line.get_linestyle()) for line in fig.axes[0].lines if line.get_label()[0] != "_"}
    assert len(looks) == 5


def test_figure_9_has_a_bar_for_each_landmark_of_each_network():
    tell("table1_dih", architecture="RPM-3S")
    precision, recall = curves.figure_9("smoke").axes
    assert [bar.get_width() for bar in recall.patches] == pytest.approx([0.02 * i for i in range(N_LANDMARKS)])
    widths = [bar.get_width() for bar in precision.patches]
    assert np.isnan(widths[3]) and widths[4] == pytest.approx(0.2)  # a landmark never predicted has no precision
    names = [label.get_text() for label in precision.get_yticklabels()]
    assert names == [name.replace("_", " ") for name in LANDMARKS]
    assert [text.get_text() for text in precision.get_legend().get_texts()] == ["RPM-3S"]
    bold = {label.get_text() for label in precision.get_yticklabels() if label.get_fontweight() == "bold"}
    assert bold == {"head", "neck", *(f"{s} {p}" for s in ("left", "right") for p in ("shoulder", "elbow", "wrist"))}


def test_figure_11_shows_partitions_before_and_after_and_the_ways_of_adapting():
    tell("table2_synthetic_amount", f=0.11, prefix="synthetic_only_", synthetic_data="100%")
    tell("table2_synthetic_amount", f=0.22, prefix="finetuned_", synthetic_data="50%")
    tell("real_only", f=0.44, synthetic_data="real only")
    tell("table4_domain_adaptation", f=0.55, method="In-paint preprocessing")
    fig, missing = figure_11("smoke")
    curves = [{label for label in lines_of(ax) if label[0] != "_"} for ax in fig.axes]
    assert curves == [
        {"50%: F 0.22", "real only: F 0.44"},
        {"100%: F 0.11"},
        {"In-paint preprocessing: F 0.55", "Only synthetic: F 0.11"},  # Table II's 100 % is Table IV's
    ]
    assert len(missing) == 16 - 5 and not any("sensor" in name for name in missing)
