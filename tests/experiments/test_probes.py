"""Probes of a run's checkpoints: which there are, that a stopped call goes on, and what reads them."""

import shutil
from dataclasses import replace

import pytest
import torch

from dihpose import models
from dihpose.common import files
from dihpose.experiments import probes, results, runner, shipping, tables
from dihpose.models import SHIPPED
from dihpose.training import outlines, probe, run
from dihpose.training.checkpoint import snapshot

pytestmark = pytest.mark.usefixtures("project")
GOOD = SHIPPED / "MPM-2S.safetensors"
VALIDATIONS = (
    {"step": 0, "images": 0, "loss": 1.0, "confusion": 0.9},
    {"step": 1, "images": 4, "loss": 9.0, "confusion": 0.62},
    {"step": 2, "images": 8, "loss": 7.0, "confusion": 0.2},
    {"step": 3, "images": 12, "loss": 8.0, "confusion": 0.45},
)


def trained(one: run.Run, weights):
    folder = run.make_folder(results.root("smoke"), one)
    shutil.copyfile(weights, folder / "weights.safetensors")
    return folder


def result_of(method: str):
    rows = tables.all_tables("smoke")["table4_domain_adaptation"]
    (row,) = (row for row in rows if row.words["method"] == method)
    return row.results[""]


@pytest.fixture
def adapted(tmp_path):
    """An adaptation of twelve images with its start, validated three times."""
    torch.manual_seed(0)
    models.save(models.create("MPM-1S"), tmp_path / "untrained.safetensors", images="12")
    adaptation = result_of("ADA - Min Loss").run
    trained(adaptation.start, GOOD)
    folder = trained(adaptation, tmp_path / "untrained.safetensors")
    (folder / "snapshots").mkdir()
    for images in (4, 8):
        one = models.create("MPM-1S")
        models.save(one, snapshot(folder, images), images=str(images))
    for row in VALIDATIONS:
        files.append_log(folder / "validation.jsonl", row)
    return folder


def test_every_checkpoint_is_probed_once_and_a_stopped_call_goes_on(adapted, monkeypatch):
    one, measure, calls = result_of("ADA - Min Loss").run, probe.measure, []

    def until_third(*given):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(*given)

    monkeypatch.setattr(probe, "measure", until_third)
    with pytest.raises(KeyboardInterrupt):
        probes.update(adapted, one, 8)
    assert [row["images"] for row in results.probes(adapted)["checkpoints"]] == [0, 4]
    assert not results.done("rpm-2s-ada", "smoke")
    probes.update(adapted, one, 8)
    found = results.probes(adapted)
    assert [(row["images"], row["weights"]) for row in found["checkpoints"]] == [
        (0, "weights.safetensors"), (4, "000004.safetensors"), (8, "000008.safetensors"), (12, "weights.safetensors"),
    ]  # fmt: skip
    assert all(len(row["rates"]) == 5 and row["tested_on"] == 8 for row in found["checkpoints"])
    assert {"commit", "device", "data"} <= found.keys()
    count = len(calls)
    probes.update(adapted, one, 8)
    assert len(calls) == count == 5 + len(outlines.EQUALISED)  # two, one that stopped, two, and the equalised ones


def test_a_checkpoint_s_probe_is_of_its_own_weights(adapted):
    one = result_of("ADA - Min Loss").run
    probes.update(adapted, one, 8)
    found = results.probes(adapted)["checkpoints"]
    folds = probe.folds(one, 8)
    for row, weights in ((found[0], GOOD), (found[2], snapshot(adapted, 8))):
        again, _ = probe.measure(one, models.load(weights), folds)
        assert {key: row[key] for key in again} == again


def test_the_outline_test_is_of_the_last_weights(adapted):
    probes.update(adapted, result_of("ADA - Min Loss").run, 8)
    found = results.probes(adapted)["outlines"]
    assert list(found["equalised"]) == list(outlines.EQUALISED) and list(found["saliency"]) == [
        "source",
        "target",
        "both",
    ]
    for rows in found["saliency"].values():
        assert sum(row["saliency"] for row in rows) == pytest.approx(1)
        assert sum(row["pixels"] for row in rows) == pytest.approx(1)
    holes = [found["saliency"][name][0]["pixels"] for name in ("source", "target", "both")]
    assert holes[2] == pytest.approx((holes[0] + holes[1]) / 2, abs=1e-6) and found["saliency_images"] == 8


def test_most_confusion_is_chosen_by_probes_and_a_test_of_other_weights_is_repeated(adapted, tmp_path):
    most, least = result_of("ADA - Max Confusion"), result_of("ADA - Min Loss")
    rates = {0: 0.5, 4: 0.02, 8: 0.58, 12: 0.3}
    rows = [{"images": images, "mean": rate, "tested_on": 1000} for images, rate in rates.items()]
    runner.test(adapted, most, 1)  # before there are probes: the classifier that was trained along chooses
    assert (
        results.stored(most, "smoke")["after_images"] == 4 and results.stored(most, "smoke")["confusion_rate"] == 0.62
    )
    files.write_json(adapted / "probes.json", {"checkpoints": rows, "outlines": None})
    assert results.stored(most, "smoke")["confusion_rate"] == 0.02  # still that of the weights that were tested
    runner.perform("rpm-2s-ada", "smoke", quiet=True)
    found = results.stored(most, "smoke"), results.stored(least, "smoke")
    assert [(one["after_images"], one["confusion_rate"], one["confusion_by"]) for one in found] == [
        (8, 0.58, "probe")
    ] * 2
    assert [one["confusion_images"] for one in found] == [1000, 1000]
    assert [row.get("probe") for row in results.validations(adapted)] == [0.5, 0.02, 0.58, 0.3]
    assert results.done("rpm-2s-ada", "smoke")
    kept = shipping.keep(adapted)
    assert (kept / "probes.json").read_bytes() == (adapted / "probes.json").read_bytes()


def test_fixed_networks_have_one_probe_and_holes_that_are_filled_no_outline_test(monkeypatch):
    trained(result_of("Only synthetic").run, GOOD)
    for method in ("Only synthetic", "In-paint preprocessing"):
        told = result_of(method).told_apart
        folder = runner.perform(told.name, "smoke", quiet=True)
        found = results.probes(folder)
        (row,) = found["checkpoints"]
        assert (row["images"], row["tested_on"]) == (told.images // told.batch * told.batch, 8)
        assert (found["outlines"] is None) == ("in-painted" in found["data"]) == (method != "Only synthetic")
        runner.perform("rpm-2s", "smoke", quiet=True)
        stored = results.stored(result_of(method), "smoke")
        assert (stored["confusion_rate"], stored["confusion_by"]) == (row["mean"], "probe")


def test_a_run_without_domains_and_a_profile_without_probes_have_none(adapted, monkeypatch):
    monkeypatch.setattr(probes, "update", None)  # not called
    runner.perform("rpm-2s", "smoke", quiet=True)
    sizes = runner.scales.resolve_profile("smoke")
    monkeypatch.setitem(runner.scales.PROFILES, "smoke", replace(sizes, probe=0))
    runner.perform("rpm-2s-ada", "smoke", quiet=True)
    assert not (adapted / "probes.json").exists() and results.done("rpm-2s-ada", "smoke")


def test_a_control_with_a_ceiling_of_0_has_probes_too(adapted):
    ada = result_of("ADA - Min Loss").run
    control = replace(ada, name="rpm-2s-on", domains=replace(ada.domains, ceiling=0.0))
    folder = trained(control, adapted / "weights.safetensors")
    assert folder != adapted
    probes.update(folder, control, 8)
    assert [row["images"] for row in results.probes(folder)["checkpoints"]] == [0, 12]
