"""Every printed row has a run, every run its ancestors, and the protocol of the paper is as printed."""

import re
from dataclasses import replace
from functools import cache

import pytest

from dihpose import InputError, models
from dihpose.common import config
from dihpose.datasets.named import Frames
from dihpose.experiments import paper
from dihpose.experiments.budget import Budget, budget, total
from dihpose.experiments.plan import Plan, predecessor
from dihpose.experiments.scales import PROFILES, resolve_profile
from dihpose.experiments.tables import (
    ALONE,
    EMPTY,
    EQUAL,
    KEPT_ON,
    MEDIAN,
    SELF,
    SHUFFLED,
    all_tables,
    asked_of,
    every_row,
    find_run,
    wanted,
)  # fmt: skip
from dihpose.experiments.trials import SHIPPED, trials
from dihpose.losses import Weighting
from dihpose.models import summary
from dihpose.synthesis import material, sets
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.targets import LIMB_RADIUS, SIGMA
from dihpose.training.run import Run, ancestors, reseeded, sharded
from dihpose.training.validation import milestones

PRINTED = (
    "table1_dih", "table1_panoptic", "table2_synthetic_amount", "table3_two_people", "table4_domain_adaptation",
    "table5_distillation",
)  # fmt: skip
EVERYWHERE = pytest.mark.parametrize("profile", PROFILES)


@cache
def rows_of(profile: str) -> dict:
    return all_tables(profile)


def runs_of(profile: str) -> dict[str, Run]:
    """All runs of all rows and their ancestors, also those that the profile leaves out."""
    every = [run for rows in rows_of(profile).values() for row in rows for r in row.results.values() for run in r.runs]
    return {run.name: run for one in every for run in (*ancestors(one), one)}


def stand_in(name: str, profile: str) -> str:
    """The stand-in of "dih" or "panoptic": the first runs have frames drawn one by one, all others have sequences."""
    return f"{name}-sim" if profile == "small" else f"{name}-sim-seq"


TWO_STAGES = SHIPPED["MPM-2S"]

# --- Rows --------------------------------------------------------------------------------------------------------------


@EVERYWHERE
@pytest.mark.parametrize("table", PRINTED)
def test_printed_rows_have_results_and_others_are_marked(profile, table):
    printed, listed = paper.table(table), rows_of(profile)[table]
    as_printed = [row.words for row in listed if not row.beyond]
    assert as_printed == [{key: line[key] for key in as_printed[0]} for line in printed]
    for line, row in zip(printed, [row for row in listed if not row.beyond], strict=True):
        scores = {
            key.removesuffix("_f") + "_" if key != "f" else "" for key in line if key == "f" or key.endswith("_f")
        }
        assert set(row.results) == scores - {"upper_"}  # one for each printed group of columns
        assert all(line[f"{prefix}ap"] for prefix in row.results)
    words = [tuple(row.words.items()) for row in listed]
    assert len(set(words)) == len(words)


@EVERYWHERE
def test_there_are_no_tables_but_the_paper_s_and_three_lists(profile):
    assert set(rows_of(profile)) == {*PRINTED, "real_only", "sensor", "scaling"}
    assert all(row.beyond for table in ("sensor", "scaling") for row in rows_of(profile)[table])
    assert bool(rows_of(profile)["scaling"]) == (profile == "reference")
    (row,) = rows_of(profile)["real_only"]
    run = row.results[""].run
    assert run.model == "RPM-2S" and run.start.model == "RPM-1S" and run.start.start is None
    assert all(isinstance(one.data, Frames) for one in (run, run.start))  # Figure 11: no synthetic image anywhere


@EVERYWHERE
def test_table_2_s_partitions_are_quarters_of_one_fold(profile):
    rows = {row.words["synthetic_data"]: row.results for row in rows_of(profile)["table2_synthetic_amount"]}
    fold, batch = PROFILES[profile].fold, PROFILES[profile].batch
    for share in (25, 50, 75, 100):
        run, tuned = rows[f"{share}%"]["synthetic_only_"].run, rows[f"{share}%"]["finetuned_"].run
        assert run.distinct == max(batch, round(fold * share / 100)) and run.data.recipe == "paper"
        assert run.start.distinct == run.distinct  # its ancestor saw the same images
        assert tuned.start == run and tuned.data.set == f"{stand_in('dih', profile)}-train"
    bare = rows["100% no BG"]["synthetic_only_"].run
    assert (bare.data.recipe, bare.distinct) == ("clean", fold) and bare.start.data.recipe == "clean"
    assert rows["100%"]["synthetic_only_"].run.name == "rpm-2s"  # Table I's


@EVERYWHERE
def test_what_each_row_is_tested_on(profile):
    rows = rows_of(profile)

    def tests(table: str) -> set[str]:
        return {results.test for row in rows[table] for results in row.results.values()}

    dih, panoptic = (stand_in(name, profile) for name in ("dih", "panoptic"))
    for table in ("table1_dih", "table2_synthetic_amount", "table4_domain_adaptation"):
        assert tests(table) == {f"{dih}-test"}
    assert tests("table1_panoptic") == {f"{panoptic}-test"}
    for row in rows["table3_two_people"]:
        assert {prefix: results.test for prefix, results in row.results.items()} == {
            "all_": f"{dih}-test", "occlusion_": f"{dih}-occlusion",
        }  # fmt: skip
    for row in rows["table5_distillation"]:
        domain = stand_in(row.words["dataset"].lower(), profile)
        assert (row.results[""].test, row.results[""].run.data.set) == (f"{domain}-test", f"{domain}-train")
    for row in (row for table in ("table1_dih", "table1_panoptic") for row in rows[table]):
        assert row.results[""].run.model == row.words["architecture"].removesuffix(EQUAL).removesuffix(MEDIAN)


@EVERYWHERE
def test_rows_of_equal_images_see_what_four_stages_see(profile):
    """EVIDENCE of depth or design: every network beside MPM-4S with as many synthetic images, those of its starts included."""
    rows = {row.words["architecture"]: row.results[""].run for row in rows_of(profile)["table1_dih"]}

    def synthetic(run: Run) -> int:
        return sum(one.images for one in (*ancestors(run), run) if isinstance(one.data, SyntheticConfig))

    equal = {name: run for name, run in rows.items() if name.endswith(EQUAL)}
    assert bool(equal) == (profile != "small")
    for name, run in equal.items():
        assert synthetic(run) == synthetic(rows["MPM-4S"]) == synthetic(rows["SPM-4S"]), name
        plain = rows[name.removesuffix(EQUAL)]
        assert replace(run, name="", start=None) == replace(plain, name="", start=None)  # finetuned alike
        assert run.start.start == plain.start.start and run.start.images > plain.start.images


def test_scaling_curves_split_their_images_among_the_stages():
    for row in rows_of("reference")["scaling"]:
        run = row.results["synthetic_only_"].run
        family = [*ancestors(run), run]
        stages = models.parse(row.words["architecture"])[1]
        assert [one.images for one in family] == [
            int(row.words["images"].replace(",", "")) // stages // 10 * 10
        ] * stages
        assert {(one.distinct, one.apart, one.data) for one in family} == {
            (0, 0, run.data)
        }  # new people in every batch
        assert row.results["finetuned_"].run.start == run


def test_light_folds_see_equally_many_images():
    rows = [row for row in rows_of("reference")["table2_synthetic_amount"] if "MPM-2S" in row.words["synthetic_data"]]
    assert [row.words["synthetic_data"] for row in rows] == [
        f"{count} images, MPM-2S" for count in ("250", "1,000", "4,000", "16,000")
    ]
    runs = [row.results["synthetic_only_"].run for row in rows]
    assert [run.distinct for run in runs] == [run.start.distinct for run in runs] == [250, 1_000, 4_000, 16_000]
    assert {run.images + run.start.images for run in runs} == {40_000}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_seeds_have_folds_of_their_own_but_in_the_first_runs_and_the_paper(seed):
    """The paper has one fold; at profile ``reference`` folds of different seeds share no scene."""
    run = reseeded(find_run("mpm-1s", "reference"), seed)
    scenes = {run.seed * run.apart + index for index in range(run.distinct // run.batch)}
    others = {(seed + 1) * run.apart + index for index in range(run.distinct // run.batch)}
    assert len(scenes) == 1_600 and not scenes & others
    assert find_run("mpm-1s", "small").apart == find_run("mpm-1s", "paper").apart == 0


@EVERYWHERE
def test_table_4_compares_the_five_ways_of_one_network(profile):
    rows = {row.words["method"]: row.results[""] for row in rows_of(profile)["table4_domain_adaptation"]}
    control = rows.pop(KEPT_ON, None)
    least, most, plain, inpainted, tuned = rows.values()
    dih = stand_in("dih", profile)
    assert least.run == most.run and (least.selected, most.selected) == ("min-loss", "max-confusion")
    assert least.run.domains.adversarial and least.run.domains.target.set == f"{dih}-unlabelled" and least.run.snapshots
    assert (control is None) == (profile == "small")
    if control:  # trained on for as long, but no gradient of the domain loss reaches the features
        same = replace(control.run, name=least.run.name, domains=least.run.domains)
        assert same == least.run and control.run.domains == replace(least.run.domains, ceiling=0.0)
    assert plain.run == inpainted.run == tuned.run.start
    assert (plain.inpaint, inpainted.inpaint, tuned.inpaint) == (0, 3, 0)
    # The starred confusion rates: a classifier on the fixed features of the row's network, and on its images.
    for results in (plain, inpainted, tuned):
        assert results.told_apart.start == results.run and not results.told_apart.domains.adversarial
        assert results.told_apart.domains.target.inpaint == results.inpaint
        assert (
            results.told_apart.data == plain.run.data
        )  # synthetic images are the other domain, for the finetuned one too
    files = [results.file for results in rows.values()]
    assert files == [
        f"{dih}-test-min-loss.json", f"{dih}-test-max-confusion.json", f"{dih}-test.json",
        f"{dih}-test-inpaint.json", f"{dih}-test.json",
    ]  # fmt: skip


@EVERYWHERE
def test_table_5_s_students_are_taught_as_their_rows_say(profile):
    for row in rows_of(profile)["table5_distillation"]:
        run, words = row.results[""].run, row.words
        assert run.model == words["student"]
        if row.beyond:
            continue
        if not words["teacher"]:  # Table I's
            assert run.distillation is None and run.name == f"{run.model}-{words['dataset']}".lower()
            continue
        first = run.start
        assert first.start is None  # from scratch
        assert isinstance(first.data, SyntheticConfig) and isinstance(run.data, Frames)
        for one in (first, run):
            how = one.distillation
            assert how.teacher.model == words["teacher"] == "CPM-2S" and how.teacher.data.set == run.data.set
            stages = min(models.parse(run.model)[1], 2)
            assert how.tau == (1 if words["distillation"] == "Standard (tau=1)" else stages)
            assert how.last_only == ("*" in words["distillation"])
            assert (how.gamma > 0) == ("Hints" in words["distillation"])
            assert (how.alpha, how.gamma or 1.0, one.schedule) == (0.5, 1.0, "linear")


@EVERYWHERE
def test_the_controls_of_table_5_differ_only_in_the_teacher(profile):
    ours = [row for row in rows_of(profile)["table5_distillation"] if row.beyond]
    controls = {(row.words["student"], row.words["distillation"]): row for row in ours}
    runs = runs_of(profile)

    def without_teacher(run: Run) -> Run:
        return replace(run, name="", start=run.start and without_teacher(run.start), distillation=None)

    for (model, how), row in controls.items():
        run, student = row.results[""].run, runs[f"{model.lower()}-stagewise-dih"]
        assert run != student and without_teacher(run) == without_teacher(student)
        assert (run.distillation is None is run.start.distillation) == (how == ALONE)
    assert controls["MPM-2S", ALONE].decisive
    if profile == "small":
        assert list(controls) == [("MPM-2S", ALONE)]
        return
    assert list(controls) == [("MPM-2S", ALONE), ("MPM-1S", ALONE)] + [
        ("MPM-2S", how) for how in (EMPTY, SHUFFLED, SELF)
    ]
    taught = {how: controls["MPM-2S", how].results[""].run for how in (EMPTY, SHUFFLED, SELF)}
    stagewise = runs["mpm-2s-stagewise-dih"].distillation
    assert taught[EMPTY].distillation == replace(stagewise, control="empty")
    assert taught[SHUFFLED].distillation == replace(stagewise, control="shuffled")
    assert taught[SELF].distillation == replace(stagewise, teacher=controls["MPM-2S", ALONE].results[""].run)


# --- Runs --------------------------------------------------------------------------------------------------------------


@EVERYWHERE
def test_no_two_runs_share_a_name_or_a_folder(profile):
    runs = runs_of(profile) | trials(profile)
    assert len(runs) == len(runs_of(profile)) + len(trials(profile))
    assert len({config.digest(run) for run in runs.values()}) == len(runs)
    assert all(run.steps >= 1 for run in runs.values())


def test_no_two_scales_share_a_run():
    digests = [config.digest(run) for profile in PROFILES for run in runs_of(profile).values()]
    assert len(set(digests)) == len(digests)


@EVERYWHERE
def test_networks_start_from_one_stage_less(profile):
    """Section VII-C. Students and their control start from scratch (section VII-G)."""
    for run in runs_of(profile).values():
        assert run.start is None or isinstance(run.start, Run)
        if run.model == "HG" or run.distillation or run.name in ("mpm-1s-alone", "mpm-2s-alone"):
            continue
        family, stages, width, extractor = models.parse(run.model)
        if run.start and run.start.model == run.model:  # trained further on other data: finetuned, adapted, told apart
            assert isinstance(run.data, Frames) or run.domains, run.name
        elif stages == 1:
            assert run.start is None, run.name
        else:
            assert models.parse(run.start.model) == (family, stages - 1, width, extractor), run.name
            assert (run.start.data, run.start.distinct) == (run.data, run.distinct), run.name


def test_ancestors_that_no_table_lists_exist():
    """Table I mixes SPM's extractors, and has one network of 128 features (protocol.md)."""
    networks = {run.model for run in wanted("gpu").values()}
    assert {"SPM-1S-flat", "SPM-2S-wide", "SPM-3S-wide", "RPM-1S-128"} <= networks
    assert set(models.names()) <= networks
    chain = {
        name: predecessor(name) for name in ("SPM-4S", "SPM-3S-wide", "SPM-2S-wide", "SPM-2S", "SPM-1S-flat", "HG")
    }
    assert chain == {
        "SPM-4S": "SPM-3S-wide", "SPM-3S-wide": "SPM-2S-wide", "SPM-2S-wide": "SPM-1S", "SPM-2S": "SPM-1S-flat",
        "SPM-1S-flat": "", "HG": "",
    }  # fmt: skip


@EVERYWHERE
def test_order_of_runs(profile):
    order = list(wanted(profile))
    assert set(order) <= set(runs_of(profile))
    for i, name in enumerate(order):
        assert {run.name for run in ancestors(find_run(name, profile))} <= set(order[:i]), name
    decisive = list(wanted(profile, decisive=True))
    assert [name for name in order if name in decisive] == decisive
    rows = [row for _, row in every_row(profile)]
    first = [row.decisive or row.turn == 1 for row in rows]
    assert first == sorted(first, reverse=True)
    for part in (True, False):
        turns = [row.turn for row, early in zip(rows, first, strict=True) if early == part]
        assert turns == sorted(turns)
    for turn in range(10):  # in a turn, rows that decide come before others, and the paper's before ours
        ranks = [(not row.decisive, row.beyond) for row in rows if row.turn == turn]
        assert ranks == sorted(ranks)
    needed = {run.name for row in rows if row.decisive for r in row.results.values() for one in r.runs
              for run in (*ancestors(one), one)}  # fmt: skip
    assert needed == set(decisive)


def test_smoke_runs_all_that_gpu_runs_and_laptop_what_decides():
    scaled = {name for name in wanted("reference") if re.search(r"-(1|4|16|64|160)000\b", name)}
    light = {name for name in wanted("reference") if "-fold-" in name}
    deep = {"cpm-3s", "cpm-3s-dih"}
    assert set(wanted("gpu")) == set(runs_of("gpu")) == set(wanted("smoke")) | light | deep
    assert set(wanted("reference")) - scaled == set(wanted("smoke")) | light
    assert set(wanted("small")) < set(wanted("gpu"))
    assert set(wanted("laptop")) == set(wanted("gpu", decisive=True)) < set(wanted("gpu"))
    in_each_table = {table: any(row.decisive for row in rows) for table, rows in rows_of("laptop").items()}
    assert in_each_table == dict.fromkeys(PRINTED, True) | {
        "real_only": False, "sensor": True, "scaling": False
    }  # fmt: skip
    with pytest.raises(
        InputError,
        match="profile 'laptop' has no run 'hg-dih'; profiles that have it: smoke, reference, small, gpu, paper",
    ):
        find_run("hg-dih", "laptop")
    with pytest.raises(InputError, match="unknown run 'mpm-5s'; there are "):
        find_run("mpm-5s", "gpu")
    with pytest.raises(
        InputError, match="unknown profile 'huge'; there are smoke, laptop, reference, small, gpu, paper"
    ):
        resolve_profile("huge")


def test_a_run_is_asked_for_each_test_once():
    assert [results.file for results in asked_of("rpm-2s", "smoke")] == [
        "dih-sim-seq-test.json",
        "dih-sim-seq-test-inpaint.json",
    ]
    assert [r.file for r in asked_of("rpm-2s-2p-dih", "gpu")] == [
        "dih-sim-seq-test.json", "dih-sim-seq-occlusion.json",
    ]  # fmt: skip
    assert asked_of("rpm-1s-128", "gpu") == [] == asked_of("hg-dih", "laptop")  # an ancestor only; not at this profile


# --- As printed --------------------------------------------------------------------------------------------------------


@pytest.fixture
def printed(monkeypatch, tmp_path) -> dict[str, Run]:
    """The runs where neither real backgrounds nor motion capture are at hand."""
    _without_material(monkeypatch, tmp_path)
    return wanted("paper")


def _without_material(monkeypatch, tmp_path) -> None:
    for name in ("DIHPOSE_BACKGROUNDS", "DIHPOSE_MOCAP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DIHPOSE_CACHE", str(tmp_path))


def test_the_synthetic_protocol_is_as_printed(printed):
    run = printed["mpm-4s"]
    assert (run.images, run.distinct) == (13 * 230_934, 230_934) == (3_002_142, 230_934)
    assert (run.batch, run.size, run.frame_size) == (10, 368, (368, 444))
    assert (run.optimizer, run.schedule, run.weighting) == ("sgd", "plateau", Weighting())
    assert (run.sigma, run.radius, run.averaging, run.median) == (SIGMA, LIMB_RADIUS, 0.0, 0)
    # At its own size, with the paper's 24 characters, turned any way.
    scene = replace(sets.SETS["train"].config.scene, facing=0.0, characters=(0, 24))
    assert scene.distance == (0.7, 8.0)
    assert run.data == SyntheticConfig(recipe="paper", scene=scene, median=0)
    assert run.data.pixel_drop == 0.2


def test_finetuning_is_100_epochs_of_1750(printed):
    run = printed["mpm-4s-dih"]
    assert (run.images, run.data.count, run.data.set) == (175_000, 1_750, "dih-sim-seq-train")
    assert (run.optimizer, run.schedule) == ("sgd", "plateau")
    run = printed["mpm-4s-panoptic"]
    assert (run.images, run.data.count) == (200_000, 2_000)


def test_every_rate_is_in_the_printed_range_but_the_hourglass_s(printed):
    drawn = [run for run in printed.values() if run.optimizer == "sgd"]
    assert len(drawn) > 100 and {(run.rate_from, run.rate) for run in drawn} == {(4e-10, 4e-5)}
    assert {run.optimizer for run in printed.values()} == {"sgd", "rmsprop", "adam"}
    for run in printed.values():
        if run.model == "HG":
            assert (run.optimizer, run.rate) == ("rmsprop", 2.5e-4)
        if run.optimizer == "adam":  # a classifier on fixed features, of which the paper says nothing
            assert run.domains and not run.domains.adversarial and run.highest_rate == 1e-3


def test_a_seed_draws_one_rate_for_all_networks(printed):
    drawn = {
        seed: {reseeded(run, seed).highest_rate for run in printed.values() if run.optimizer == "sgd"}
        for seed in range(200)
    }
    assert all(len(rates) == 1 for rates in drawn.values())
    rates = [rates.pop() for rates in drawn.values()]
    assert len(set(rates)) == 200 and min(rates) >= 4e-10 and max(rates) <= 4e-5
    assert sum(rate < 2e-5 for rate in rates) == pytest.approx(100, abs=30)  # evenly over the range


def test_one_preprocessing_throughout(printed):
    filtered = {name for name in printed if "-median" in name}
    assert filtered == {"rpm-1s-median", "rpm-2s-median", "rpm-2s-median-dih"}
    for name, run in printed.items():
        side = 3 if name in filtered else 0
        validated = run.data.validation(10)
        sides = {run.preprocessing.median, run.data.median, validated.preprocessing.median}
        if run.domains:
            sides.add(run.domains.target.median)
        if isinstance(run.data, SyntheticConfig):
            sides.add(run.median)
        assert sides == {side}, name
    (row,) = (row for row in rows_of("paper")["table1_dih"] if row.words["architecture"] == "RPM-2S" + MEDIAN)
    assert row.beyond and not any("-median" in name for name in wanted("gpu"))


def test_validation_once_an_epoch(printed):
    def times(name: str) -> int:
        return len(milestones(printed[name]))

    assert (times("mpm-4s"), times("rpm-2s-25"), times("rpm-2s-1p"), times("mpm-2s-stagewise")) == (13, 13, 13, 10)
    assert (times("mpm-4s-dih"), times("mpm-4s-panoptic")) == (100, 100)
    assert times("rpm-2s-source") == 9  # 2,000,000 images: after 8 passes, and at the end
    assert times("rpm-2s-source-ada") == 8  # Table IV chooses among these
    assert {len(milestones(run)) for name, run in wanted("gpu").items() if run.steps > 32} == {8}


def test_real_backgrounds_and_motion_capture_where_they_are_at_hand(tmp_path, monkeypatch):
    _without_material(monkeypatch, tmp_path)
    rooms, clips = tmp_path / "rooms", tmp_path / "clips"
    rooms.mkdir(), clips.mkdir()
    plain = wanted("paper")["mpm-1s"]
    assert (plain.data.backgrounds, plain.data.scene.mocap, plain.data.material) == ("", 0.0, "")
    monkeypatch.setenv("DIHPOSE_BACKGROUNDS", str(rooms))
    monkeypatch.setenv("DIHPOSE_MOCAP", str(clips))
    assert wanted("paper")["mpm-1s"] == plain  # the folders are empty
    material._backgrounds.cache_clear(), material._clips.cache_clear()
    for i in range(30):
        (rooms / f"{i}.png").write_bytes(b"frame")
    (clips / "walk.bvh").write_bytes(b"walk")
    before = wanted("gpu")
    data = wanted("paper")["mpm-1s"].data
    assert (data.backgrounds, data.scene.mocap) == ("train", 1.0)
    assert re.fullmatch(r"30 real backgrounds \(\w{12}\), 1 clips of motion capture \(\w{12}\)", data.material)
    assert data.validation(5).backgrounds == "validation"
    assert wanted("paper")["rpm-2s-no-bg"].data.backgrounds == ""  # Table II's row without backgrounds
    assert "motion capture" in wanted("paper")["rpm-2s-no-bg"].data.material
    assert config.described(data)["material"] == data.material  # in the run's config.json
    assert before == wanted("gpu") and before["mpm-1s"].data.material == ""


def test_partitions_and_folds_are_as_large_as_printed(printed):
    assert {share: printed[f"rpm-2s-{share}"].distinct for share in (25, 50, 75)} == {
        25: 57_734, 50: 115_467, 75: 173_200,
    }  # fmt: skip
    assert all(printed[f"rpm-2s-{n}p"].distinct == 100_000 for n in (1, 2))
    assert printed["rpm-2s-1p"].data.scene.people == (0, 1)
    assert printed["rpm-2s-2p"].data.scene.people == (0, 0.5, 0.5)
    assert printed["rpm-2s-1p"].images == 1_300_000  # 13 epochs


def test_adaptation_is_100_k_iterations_from_200_k(printed):
    run = printed["rpm-2s-source-ada"]
    assert (run.steps, run.start.steps, run.domains.ceiling) == (100_000, 200_000, 100.0)
    assert run.start.name == "rpm-2s-source" and run.start.model == "RPM-2S"
    assert run.domains.target.count == 4_828
    assert find_run("rpm-2s-ada", "gpu").domains.ceiling is None  # other losses have another range


def test_distillation_is_10_epochs_then_100(printed):
    run = printed["mpm-2s-stagewise"]
    assert (run.images, run.schedule, run.distillation.alpha) == (2_309_340, "linear", 0.5)
    assert printed["mpm-2s-stagewise-dih"].images == 175_000 and printed["mpm-2s-stagewise-dih"].start == run
    assert printed["mpm-2s-hints"].distillation.gamma == 1.0
    assert run.distillation.teacher == printed["cpm-2s-dih"]


def test_cpm_s_first_network_starts_from_imagenet_and_no_other(printed):
    from_imagenet = {name for name, run in printed.items() if run.imagenet}
    assert from_imagenet == {"cpm-1s"} == {name for name, run in wanted("gpu").items() if run.imagenet}
    assert not any(run.imagenet for run in wanted("smoke").values())  # 548 MB


# --- Seeds, shards, hashes ---------------------------------------------------------------------------------------------


def test_another_seed_is_another_run_throughout():
    run = find_run("mpm-2s-hints-dih", "gpu")
    other = reseeded(run, 3)
    family = [*ancestors(other), other]
    assert {one.seed for one in family} == {3} and {one.seed for one in (*ancestors(run), run)} == {0}
    assert [one.name for one in family] == [one.name for one in (*ancestors(run), run)]
    assert not {config.digest(one) for one in family} & {config.digest(one) for one in (*ancestors(run), run)}
    assert reseeded(run, 0) == run
    assert {one.shards for one in (*ancestors(sharded(run, 2)), sharded(run, 2))} == {2}
    assert find_run("rpm-2s-ada", "gpu") == replace(reseeded(find_run("rpm-2s-ada", "gpu"), 1), seed=0,
                                                 start=find_run("rpm-2s", "gpu"))  # fmt: skip


def test_ancestors_come_once_each_after_their_own():
    a = Run("a")
    b, c = Run("b", start=a), Run("c", start=a)
    d = replace(find_run("mpm-2s-stagewise", "smoke"), name="d", start=b)
    d = replace(d, distillation=replace(d.distillation, teacher=c))
    assert ancestors(a) == [] and ancestors(d) == [a, b, c]


def test_hashes_of_earlier_runs_stand():
    assert config.digest(TWO_STAGES) == "1bdc6495c016"
    assert config.digest(TWO_STAGES.start) == config.digest(trials("laptop")["mpm-2s-sensor"].start)
    assert (
        config.digest(replace(TWO_STAGES, distinct=1))
        != config.digest(TWO_STAGES)
        == config.digest(replace(TWO_STAGES, distinct=0))
    )


# --- Budgets -----------------------------------------------------------------------------------------------------------


def test_a_plain_run_costs_three_forward_passes_an_image():
    """FLOPs of the first layer of an MPM by hand; of the whole network by the summary."""
    run = Run("r", model="MPM-1S", images=7, size=64)
    first = 2 * 7 * 7 * 32 * 32 * 32  # multiply-adds twice, of a 7 x 7 kernel on 32 x 32 places in 32 channels
    features = models.create("MPM-1S").features
    assert summary.flops(features[0], 64, 64) == first
    assert budget(run) == Budget(7, 7 * 3 * summary.flops(models.create("MPM-1S"), 64, 64))


def test_cost_of_teachers_and_second_domains():
    network = models.create("RPM-2S")
    forward, features = summary.flops(network, 64, 64), summary.flops(network.features, 64, 64)
    plan = Plan(PROFILES["smoke"])
    source = plan.synthetic("RPM-2S")
    assert budget(source).flops == 3 * forward * source.images
    assert budget(plan.adapted(source)).flops == (3 * forward + 3 * features) * 8
    assert budget(plan.told_apart(source, source, "x")).flops == 2 * features * 8
    student = plan.distilled("MPM-1S", source, "x").start
    own = summary.flops(models.create("MPM-1S"), 64, 64)
    assert budget(student).flops == (3 * own + forward) * student.images


@pytest.mark.parametrize("profile", ["smoke", "laptop"])
def test_the_total_is_the_sum_of_all_runs(profile):
    runs, found, part = wanted(profile).values(), total(profile), total(profile, decisive=True)
    assert found.images == sum(run.images for run in runs)
    assert found.flops == pytest.approx(sum(budget(run).flops for run in runs), rel=1e-12)
    assert part.images <= found.images and (part == found) == (profile == "laptop")
