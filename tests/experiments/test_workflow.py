"""workflow/Snakefile has all runs as a graph, and Snakemake executes it."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dihpose.common import files
from dihpose.experiments import results, tables
from dihpose.training import checkpoint
from dihpose.training.loop import train
from dihpose.training.run import ancestors

SNAKEFILE = Path(__file__).resolve().parents[2] / "workflow" / "Snakefile"
GRAPHS = {
    "smoke": {"profile": "smoke"},
    "laptop": {"profile": "laptop"},
    "gpu": {"profile": "gpu", "device": "cuda", "seed": 3},
    "gpu, decisive": {"profile": "gpu", "decisive": 1},
}


def snakemake(root: Path, *arguments: str, **config) -> tuple[int, str]:
    """Run Snakemake; returns its exit status and its output."""
    root.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--nocolor", *arguments]
    said = ["--config", *(f"{key}={value}" for key, value in config.items())] if config else []
    done = subprocess.run(
        [*command, *said], cwd=root, env=os.environ | {"DIHPOSE_ROOT": str(root)}, text=True, timeout=600,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


def jobs(said: str) -> dict[str, dict]:
    """The jobs that a dry run lists; ``after`` are the jobs that make its inputs."""
    found = {}
    for block in re.split(r"^\[.*\]$", said, flags=re.M)[1:]:
        name = re.search(r"^(?:local)?rule (.*):$", block, re.M)[1]
        keys = dict(re.findall(r"^    (\w+): (.*)$", block, re.M))
        command = re.search(r"^Shell command: (.*)$", block, re.M)
        found[name] = {
            "input": [f for f in keys.get("input", "").split(", ") if f],
            "output": [f.removesuffix(" (update)") for f in keys.get("output", "").split(", ") if f],
            "priority": int(keys.get("priority", 0)), "threads": int(keys.get("threads", 1)),
            "resources": keys["resources"], "command": command and command[1],
        }  # fmt: skip
    makers = {file: name for name, job in found.items() for file in job["output"]}
    for job in found.values():
        job["after"] = {makers[file] for file in job["input"]}
    return found


def finished(said: str) -> list[str]:
    return re.findall(r"^Finished jobid: \d+ \(Rule: (.*)\)$", said, re.M)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory) -> dict[str, dict[str, dict]]:
    folder = tmp_path_factory.mktemp("graphs")

    def dry(name: str) -> dict[str, dict]:
        status, said = snakemake(folder / name, "--dry-run", "--printshellcmds", **GRAPHS[name])
        assert status == 0, said
        return jobs(said)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(GRAPHS, pool.map(dry, GRAPHS), strict=True))


@pytest.mark.parametrize("name", GRAPHS)
def test_jobs_are_runs_and_edges_are_ancestors(graphs, name):
    graph, profile = graphs[name], GRAPHS[name]["profile"]
    runs = tables.wanted(profile, decisive="decisive" in name)
    sets = {job for job in graph if "-sim-" in job}
    assert set(graph) == {*runs, *sets, "everything"}
    for run in runs.values():
        teacher = run.distillation.teacher.name if run.distillation else None
        assert graph[run.name]["after"] - sets == {run.start.name if run.start else None, teacher} - {None}
        reached, todo = set(), [run.name]
        while todo:
            reached |= (after := graph[todo.pop()]["after"] - sets)
            todo += after
        assert reached == {one.name for one in ancestors(run)}
    assert graph["everything"]["after"] == set(runs)
    assert all(graph[one]["after"] == set() for one in sets)


@pytest.mark.parametrize("name", GRAPHS)
def test_jobs_run_the_command_and_make_the_files(graphs, name, tmp_path, monkeypatch):
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    config = {"device": "cpu", "seed": 0} | GRAPHS[name]
    profile, seed = config["profile"], config["seed"]
    runs = tables.wanted(profile, decisive="decisive" in name)
    for place, run in enumerate(runs.values()):
        job = graphs[name][run.name]
        folder = results.folder_of(run, profile, seed)
        files = {folder / "weights.safetensors"}
        files |= {folder / "results" / results.file for results in tables.asked_of(run.name, profile)}
        files |= {folder / "probes.json"} if run.domains else set()
        assert {tmp_path / file for file in job["output"]} == files
        command = f" -m dihpose train {run.name} --profile {profile} --device {config['device']} --seed {seed}"
        assert job["command"].endswith(command) and sys.executable in job["command"]
        assert job["priority"] == len(runs) - place  # the order of their value
        assert (job["threads"], "gpu=1" in job["resources"]) == (2, config["device"] == "cuda")
    made = [file for job in graphs[name].values() for file in job["output"]]
    assert len(made) == len(set(made))


def test_runs_wait_for_their_sets(graphs):
    def sets(name: str, profile: str = "gpu") -> set[str]:
        return {job for job in graphs[profile][name]["after"] if "-sim-" in job}

    dih = {"dih-sim-seq-train", "dih-sim-seq-validation", "dih-sim-seq-test"}
    assert sets("mpm-1s") == set()
    assert sets("mpm-1s-dih") == dih
    assert sets("mpm-4s-panoptic") == {"panoptic-sim-seq-train", "panoptic-sim-seq-validation", "panoptic-sim-seq-test"}
    assert sets("rpm-2s-1p-dih") == dih | {"dih-sim-seq-occlusion"}
    assert sets("rpm-2s") == {"dih-sim-seq-test"}
    assert sets("rpm-2s-ada") == {"dih-sim-seq-unlabelled", "dih-sim-seq-validation", "dih-sim-seq-test"}
    assert sets("rpm-2s-told-apart-synthetic") == {"dih-sim-seq-unlabelled", "dih-sim-seq-validation"}
    # Each set has enough images for the run that needs most, at two profiles.
    stores = {p: {n: j["command"] for n, j in graphs[p].items() if "-sim-" in n} for p in ("gpu", "smoke")}
    counts = {p: {n: int(re.search(rf"{n}.*?, (\d+),", c)[1]) for n, c in found.items()} for p, found in stores.items()}
    # Probes are tested on 500 validation images, at smoke scale on 4.
    assert counts["gpu"] == {
        "dih-sim-seq-train": 1750, "dih-sim-seq-validation": 500, "dih-sim-seq-test": 1000, "dih-sim-seq-unlabelled": 4828,
        "dih-sim-seq-occlusion": 211, "panoptic-sim-seq-train": 2000,
        "panoptic-sim-seq-validation": 200, "panoptic-sim-seq-test": 1000,
    }  # fmt: skip
    # A batch of 4 where 0.2 % of a set is less, but 10 of 4,828.
    assert counts["smoke"] == {
        "dih-sim-seq-train": 4, "dih-sim-seq-validation": 4, "dih-sim-seq-test": 3, "dih-sim-seq-unlabelled": 10,
        "dih-sim-seq-occlusion": 3, "panoptic-sim-seq-train": 4, "panoptic-sim-seq-validation": 2, "panoptic-sim-seq-test": 3,
    }  # fmt: skip
    first = {p: next(n for n in tables.wanted(p) if "dih-sim-seq-unlabelled" in sets(n, p)) for p in ("gpu", "smoke")}
    for profile, name in first.items():
        assert graphs[profile]["dih-sim-seq-unlabelled"]["priority"] == graphs[profile][name]["priority"]


@pytest.mark.slow
def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    """mpm-1s-ours, mpm-2s-ours from it, and the set that the latter is tested on. The former has a checkpoint."""
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    first, second = (tables.find_run(f"mpm-{n}s-ours", "smoke") for n in (1, 2))
    folder, other = (results.folder_of(run, "smoke") for run in (first, second))
    write = checkpoint.write

    def stop(*arguments):
        write(*arguments)
        raise InterruptedError

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(checkpoint, "write", stop)
        train(first, results.root("smoke"), save_every=1, workers=0)
    begun = (folder / "checkpoint.pt").read_bytes()

    status, failed = snakemake(tmp_path, second.name, device="nope")
    assert status and "device 'nope': cannot be used here" in failed
    assert (folder / "checkpoint.pt").read_bytes() == begun and not (other / "config.json").exists()

    status, said = snakemake(tmp_path, second.name)
    assert status == 0, said
    assert finished(failed) + finished(said) == ["dih-sim-seq-test", first.name, second.name]
    # A new start would have reported once, at its end.
    assert [row["step"] for row in files.read_log(folder / "log.jsonl")] == [1, 2]
    tested, log = other / "results" / "dih-sim-seq-test.json", other / "log.jsonl"
    assert files.read_json(tested)["run"] == other.name and not (folder / "checkpoint.pt").exists()

    status, said = snakemake(tmp_path, second.name, device="nope")  # another device is no reason to train again
    assert status == 0 and "Nothing to be done" in said

    stamp = log.stat().st_mtime_ns
    tested.unlink()  # as if it was killed between training and test
    status, said = snakemake(tmp_path, second.name)
    assert (status, finished(said)) == (0, [second.name]), said
    assert tested.exists() and log.stat().st_mtime_ns == stamp
