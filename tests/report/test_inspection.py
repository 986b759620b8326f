"""What notebooks 03 and 04 show of trained networks is computed once, stored, and correct."""

import shutil
import threading

import numpy as np
import pytest
import torch

from dihpose import models
from dihpose.experiments import results, runner, tables
from dihpose.report import inspection, lessons
from dihpose.training import run

STUDENTS = ("cpm-2s-dih", "mpm-2s-dih", "mpm-2s-stagewise-dih")


pytestmark = pytest.mark.usefixtures("root")


def trained(name: str, model: str = "MPM-1S", profile: str = "smoke"):
    """The folder of a run that has weights, of an untrained network."""
    folder = run.make_folder(results.root(profile), tables.find_run(name, profile))
    torch.manual_seed(0)
    models.save(models.create(model), folder / "weights.safetensors", images="12")
    return folder


# --- Kept ---------------------------------------------------------------------------------------------------------------


def test_stored_looks_need_no_weights():
    def count(network):
        looks.append(network.name)
        return {"parameters": models.count_parameters(network)}

    looks = []
    assert inspection.seen("count", "smoke", ["mpm-1s"], count) is None
    folder = trained("mpm-1s")
    first = inspection.seen("count", "smoke", ["mpm-1s"], count)
    assert first["parameters"] == 99_890 and {"commit", "versions"} <= first.keys()
    shutil.copytree(folder / "seen", results.committed() / "runs" / folder.name / "seen")  # as it is committed
    shutil.rmtree(folder)
    assert inspection.seen("count", "smoke", ["mpm-1s"], count) == first
    assert looks == ["MPM-1S"]


def test_nothing_is_looked_at_while_another_notebook_trains():
    """Its training may store the set that is looked at with fewer images."""
    looks = []
    trained("mpm-1s")
    other = threading.Thread(
        target=inspection.seen, args=("count", "smoke", ["mpm-1s"], lambda n: looks.append(n) or {})
    )
    with runner.lock("smoke"):
        other.start()
        other.join(timeout=0.5)
        assert other.is_alive() and not looks
    other.join(timeout=30)
    assert len(looks) == 1


def test_a_run_that_a_profile_does_not_have_is_not_seen():
    assert inspection.seen("count", "laptop", ["mpm-2s-hints"], lambda network: {}) is None


def test_absent_names_files_and_commands():
    trained("mpm-2s-dih")
    assert inspection.absent("smoke", ["mpm-2s-dih"]) == ""
    # mpm-1s is trained on the way to mpm-2s, so one command does.
    assert inspection.absent("smoke", ["mpm-1s", "mpm-2s", "mpm-2s-dih"]) == (
        "Not here: weights.safetensors of mpm-1s, mpm-2s; made by `dihpose train mpm-2s --profile smoke`."
    )
    assert inspection.absent("laptop", ["mpm-2s-hints"]) == "Not run at profile laptop: mpm-2s-hints."
    assert inspection.absent("smoke", ["mpm-2s-dih"], "log.jsonl").startswith("Not here: log.jsonl of mpm-2s-dih; ")


# --- Found --------------------------------------------------------------------------------------------------------------


def test_out_of_reach_of_features_by_hand():
    """Squares are 9 + 9, 4 + 4 and 1 + 1 along three axes; the mean does not count."""
    features = torch.tensor([[3.0, 0, 0], [-3, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 1], [0, 0, -1]])
    turned = torch.linalg.qr(torch.tensor([[1.0, 2, 0], [0, 1, 1], [1, 0, 3]])).Q
    found = inspection.out_of_reach(features @ turned + 7)
    torch.testing.assert_close(found, torch.tensor([10 / 28, 2 / 28, 0]).double(), atol=1e-6, rtol=0)


def test_principal_directions_keep_the_groups_apart_along_the_widest():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(50, 8, generator=generator) for _ in range(2))
    second[:, 3] += 40
    a, b = inspection.principal(first, second)
    assert a.shape == b.shape == (50, 2)
    assert float((a[:, 0].mean() - b[:, 0].mean()).abs()) == pytest.approx(40, rel=0.02)


def test_hits_are_near_enough_and_sure_enough():
    given = np.full((2, 17, 2), np.nan)
    given[0, :3] = (10, 0), (10, 50), (10, 100)  # 100 high: within 10
    given[1, :2] = (60, 0), (60, 20)  # 20 high: within 2
    found = np.full((1, 17, 3), np.nan)
    found[0, :3] = (10, 9, 0.9), (60, 21, 0.9), (10, 100, 0.2)
    hits = inspection.hits(given, found, threshold=0.5)
    assert np.argwhere(hits).tolist() == [[0, 0], [1, 1]]
    assert not inspection.hits(given, np.zeros((0, 17, 3)), 0.5).any()


def test_domains_and_spectrum_of_a_smoke_run():
    trained("rpm-2s"), trained("rpm-2s-ada"), trained("cpm-2s-dih")
    found = inspection.domains("rpm-2s-ada", "smoke")
    assert np.shape(found["places"]["before"]["synthetic"]) == np.shape(found["places"]["after"]["target"]) == (6, 2)
    assert found["places"]["before"] == found["places"]["after"]  # the same network
    assert found["places"]["before"]["synthetic"] != found["places"]["before"]["target"]
    assert 0 < found["holes"]["synthetic"] < 1 and 0 < found["holes"]["target"] < 1
    spectrum = inspection.spectrum("cpm-2s-dih", "smoke")
    assert len(spectrum["beyond"]) == 64 and spectrum["cells"] == 2 * 8 * 10
    assert spectrum["what"] == "2 frames of dih-sim-seq-validation, synthetic"
    assert all(a >= b for a, b in zip(spectrum["beyond"], spectrum["beyond"][1:], strict=False))


def test_missed_counts_add_up():
    for name, model in zip(STUDENTS, ("MPM-4S", "MPM-2S", "MPM-4S"), strict=True):  # teacher and student are the same
        folder = run.make_folder(results.root("smoke"), tables.find_run(name, "smoke"))
        shutil.copyfile(models.SHIPPED / f"{model}.safetensors", folder / "weights.safetensors")
    found = inspection.missed(*STUDENTS, "smoke")
    teacher, plain, distilled = (np.array(one["found"]) for one in found["roles"].values())
    assert (distilled == teacher).all() and not any(found["roles"]["distilled student"]["lost"])
    of_plain = found["roles"]["plain student"]
    assert (teacher - of_plain["lost"] + of_plain["gained"] == plain).all()
    assert found["back"] == sum(of_plain["lost"]) >= found["frame"]["back"]
    assert (teacher <= found["labelled"]).all()
    frame = found["frame"]
    assert inspection.unpacked(frame["depth"]).shape == (64, 78)
    assert len(frame["roles"]["plain student"]["lost"]) == frame["back"]
    assert np.shape(frame["roles"]["teacher"]["highest"]) == (8, 10)
    assert len(lessons.missed_frame(frame).axes) == 4 + 1  # and the scale


def test_depth_is_kept_to_the_millimetre():
    depth = np.array([[0, 1.2344, 7.9996]], np.float32)
    np.testing.assert_allclose(inspection.unpacked(inspection._packed(depth)), [[0, 1.234, 8.0]], atol=1e-6)
