"""Ways to train faster: bfloat16, channels last, compiling. They change the time and, but for rounding, nothing else."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dihpose import InputError
from dihpose.common import files
from dihpose.training import batches, checkpoint, loop, objectives
from dihpose.training.loop import train, train_with_ancestors
from dihpose.training.objectives import Learner
from dihpose.training.run import Distillation

from .conftest import TINY, steps

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = replace(TINY, name="short", images=12, averaging=0.0)


def losses_of(run, steps: int = 3) -> list[float]:
    """Of the first steps, in torch's own memory format."""
    torch.manual_seed(run.seed)
    learner = Learner(run).train()
    optimizer, data = loop._optimizer(run, learner), batches.Batches(run, learner.pose.stride)
    return [loop._learn(run, i, learner, optimizer, data[i], None)["total"].item() for i in range(steps)]


def test_bfloat16_is_where_networks_compute_and_nowhere_else(tmp_path, monkeypatch):
    run, seen = replace(SHORT, precision="bf16"), {"outputs": set(), "losses": set(), "parameters": set()}
    calculate = objectives.terms

    def watched(run, learner, batch, *others):
        hook = learner.pose.register_forward_hook(lambda _, __, stages: seen["outputs"].add(stages[-1][0].dtype))
        found = calculate(run, learner, batch, *others)
        hook.remove()
        seen["losses"] |= {value.dtype for value in found.values()}
        seen["parameters"] |= {parameter.dtype for parameter in learner.parameters()}
        return found

    monkeypatch.setattr(objectives, "terms", watched)
    path = train(run, tmp_path, save_every=1, workers=0)
    assert seen == {"outputs": {torch.bfloat16}, "losses": {torch.float32}, "parameters": {torch.float32}}
    assert {value.dtype for value in load_file(path).values()} == {torch.float32, torch.int64}
    assert steps(path.parent) == [1, 2, 3]


def test_bfloat16_s_losses_are_near_float32_s():
    full, half = losses_of(SHORT), losses_of(replace(SHORT, precision="bf16"))
    assert half[0] == pytest.approx(full[0], rel=0.01) and half[0] != full[0]
    assert half == pytest.approx(full, rel=0.05)
    with pytest.raises(InputError, match="unknown precision 'fp8'; there are fp32, bf16"):
        losses_of(replace(SHORT, precision="fp8"))


def test_channels_last_is_how_networks_compute_and_the_first_loss_is_the_same(tmp_path, monkeypatch):
    formats, calculate = set(), objectives.terms

    def watched(run, learner, batch, *others):
        hook = learner.pose.features.register_forward_hook(
            lambda _, __, x: formats.add(x.is_contiguous(memory_format=torch.channels_last))
        )
        found = calculate(run, learner, batch, *others)
        hook.remove()
        return found

    monkeypatch.setattr(objectives, "terms", watched)
    path = train(SHORT, tmp_path, save_every=1, workers=0)
    assert formats == {True}
    first = files.read_log(path.parent / "log.jsonl")[0]["total"]
    assert first == pytest.approx(losses_of(SHORT, steps=1)[0], rel=1e-4)


def test_compiling_is_for_long_runs_on_cuda():
    long = replace(TINY, images=TINY.batch * loop.COMPILED_FROM)
    almost = replace(long, images=long.images - 1)
    worth = {(run.steps, d): loop.worth_compiling(run, d) for run in (long, almost) for d in ("cpu", "cuda", "cuda:1")}
    assert {pair for pair, answer in worth.items() if answer} == {(2000, "cuda"), (2000, "cuda:1")}


def test_network_and_teacher_are_compiled_where_it_is_worth_it_and_not_otherwise(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(loop, "_compile", lambda *networks: compiled.append([n.name for n in networks]))
    student = replace(
        SHORT, name="student", images=4, distillation=Distillation(replace(SHORT, model="MPM-2S", images=4))
    )
    monkeypatch.setattr(loop, "COMPILED_FROM", 1)
    train_with_ancestors(student, tmp_path / "cpu", workers=0)
    assert compiled == []
    monkeypatch.setattr(loop, "worth_compiling", lambda run, device: run == student)
    train_with_ancestors(student, tmp_path / "cuda", workers=0)
    assert compiled == [["MPM-1S", "MPM-2S"]]


def test_a_compiled_network_learns_the_same_and_is_averaged_validated_saved_and_resumed(tmp_path, monkeypatch):
    """Captured and differentiated ahead of time as on CUDA, then run op by op: making code of it takes a minute here."""
    make, captured = nn.Module.compile, []

    def compile_(module):
        captured.append(type(module).__name__)
        make(module, backend="aot_eager")

    run = replace(SHORT, averaging=0.9, validation=2)
    plain = train(run, tmp_path / "plain", save_every=1, workers=0)
    monkeypatch.setattr(nn.Module, "compile", compile_)
    monkeypatch.setattr(loop, "worth_compiling", lambda run, device: True)
    write = checkpoint.write

    def stop(*arguments):
        write(*arguments)
        raise InterruptedError

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(checkpoint, "write", stop)
        train(run, tmp_path / "compiled", save_every=1, workers=0)
    compiled = train(run, tmp_path / "compiled", save_every=1, workers=0)
    assert len(captured) == 2 * 2 and len(set(captured)) == 2  # features and the one stage, twice
    for name, keys in (("log.jsonl", ("total",)), ("validation.jsonl", ("loss", "f"))):
        one, other = (files.read_log(path.parent / name) for path in (plain, compiled))
        assert [row["step"] for row in one] == [row["step"] for row in other]
        for key in keys:
            assert [row[key] for row in one] == pytest.approx([row[key] for row in other], rel=1e-3), key
    assert load_file(plain).keys() == load_file(compiled).keys()
