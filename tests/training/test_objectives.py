"""What a run minimises, put together again from its parts; and what it is worth, on a network that knows the truth."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from dihpose import InputError, adaptation, losses, models, targets
from dihpose.datasets.named import Frames
from dihpose.losses import Weighting
from dihpose.sample import Sample
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.training import batches, objectives, schedule
from dihpose.training.batches import Batches
from dihpose.training.objectives import Learner
from dihpose.training.run import Distillation, Domains, Run

from .conftest import SMALL, same_state, state

PAPER = replace(SMALL, recipe="paper")
pytestmark = pytest.mark.usefixtures("one_thread")
RUN = Run("run", model="MPM-2S-8", data=PAPER, images=40, batch=4, size=24)
TEACHER = replace(RUN, name="teacher", model="MPM-3S-16")
REAL = Frames("dih-sim-unlabelled", 10, 48, 56)


@pytest.fixture(scope="module")
def batch() -> dict[str, torch.Tensor]:
    """A batch of RUN's, and four images that stand for another domain."""
    return Batches(RUN, 8)[0][0] | {
        "target": torch.rand(4, 1, 24, 24, generator=torch.Generator().manual_seed(0)) - 0.5
    }


def learner_of(run: Run, teacher: nn.Module | None = None) -> Learner:
    torch.manual_seed(1)
    return Learner(run, teacher).train()


def teacher_of(run: Run) -> nn.Module:
    torch.manual_seed(2)
    return models.create(run.model).eval().requires_grad_(False)


def gradients(value: torch.Tensor, module: nn.Module) -> dict[str, torch.Tensor]:
    """By name, of those parameters that it depends on."""
    named = dict(module.named_parameters())
    found = torch.autograd.grad(value, list(named.values()), retain_graph=True, allow_unused=True)
    return {name: gradient for name, gradient in zip(named, found, strict=True) if gradient is not None}


# --- Terms -------------------------------------------------------------------------------------------------------------


def test_a_plain_run_minimises_equation_5(batch):
    learner, twin = learner_of(RUN), learner_of(RUN)
    found = objectives.terms(RUN, learner, batch)
    wanted = losses.pose_loss(twin.pose(batch["depth"]), batch["limbs"], batch["parts"], RUN.weighting)
    assert list(found) == ["limbs_1", "parts_1", "limbs_2", "parts_2", "total"]
    assert all(found[name] == value for name, value in wanted.items())
    plain = objectives.terms(replace(RUN, weighting=Weighting()), learner_of(RUN), batch)
    assert plain["total"] < 0.5 * found["total"]  # a run's own weighting


@pytest.mark.parametrize("lambda_", [0.0, 3.0])
def test_equation_8_pulls_features_both_ways_and_the_classifier_one(batch, lambda_):
    run, batch = replace(RUN, domains=Domains(REAL)), {name: value.double() for name, value in batch.items()}
    learner = learner_of(run).double()  # gradients through batch norm nearly cancel
    found = objectives.terms(run, learner, batch, strength=lambda_)
    total = gradients(found["total"], learner)
    assert found["total"] == found["pose_only"] + found["domain"]

    # Each loss by itself, from the same features: no reversal anywhere.
    twin = learner_of(run).double()
    features = twin.pose.features(torch.cat([batch["depth"], batch["target"]]))
    stages = [(limbs.float(), parts.float()) for limbs, parts in twin.pose.cascade(features[:4])]
    pose = losses.pose_loss(stages, batch["limbs"], batch["parts"], run.weighting)["total"]
    logits = twin.classifier(features).float()
    domain = adaptation.domain_loss(logits[:4], logits[4:])
    of_pose, of_domain = gradients(pose, twin), gradients(domain, twin)
    assert (pose, domain) == (found["pose_only"], found["domain"])
    assert total.keys() == {name for name, _ in learner.named_parameters()}
    for name, gradient in total.items():
        wanted = (
            of_domain[name]
            if name.startswith("classifier.")
            else of_pose[name] - lambda_ * of_domain.get(name, torch.zeros(()))
        )
        assert torch.allclose(gradient, wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max()) + 1e-9), name
    assert any(name.startswith("pose.features.") for name in of_domain)


def test_with_a_ceiling_of_0_features_get_exactly_no_gradient_of_the_domain_loss(batch):
    """The control of Table IV: the same batches and the same classifier, but nothing pulls on the features."""
    run = replace(RUN, domains=Domains(REAL, ceiling=0.0))
    learner = learner_of(run)
    found = objectives.terms(run, learner, batch, strength=schedule.strength(run, run.steps // 2, []))
    of_domain = gradients(found["domain"], learner)
    assert any(name.startswith("pose.features.") for name in of_domain)  # they are reached
    for name, gradient in of_domain.items():
        assert bool(gradient.any()) == name.startswith("classifier."), name


def test_fixed_features_are_told_apart_and_left_as_they_are(batch):
    run = replace(RUN, domains=Domains(REAL, adversarial=False))
    learner = learner_of(run)
    before = state(learner.pose)
    found = objectives.terms(run, learner, batch, strength=5.0)
    assert list(found) == ["domain", "total"] and found["total"] == found["domain"]
    features = learner.pose.eval().features(torch.cat([batch["depth"], batch["target"]]))
    logits = learner.classifier(features)
    assert found["domain"] == adaptation.domain_loss(logits[:4], logits[4:])
    assert set(gradients(found["total"], learner)) == {
        f"classifier.{n}" for n, _ in learner.classifier.named_parameters()
    }
    assert same_state(learner.pose.state_dict(), before)
    assert {id(p) for p in learner.learning(run)} == {id(p) for p in learner.classifier.parameters()}
    assert len(learner.learning(replace(run, domains=Domains(REAL)))) == len(list(learner.parameters()))


@pytest.mark.parametrize(
    "how", [{}, {"tau": 2, "alpha": 0.25}, {"tau": 2, "last_only": True, "gamma": 0.5}, {"gamma": 1.0, "alpha": 0.0}]
)
def test_a_student_minimises_equation_9_and_its_teacher_learns_nothing(batch, how):
    run = replace(RUN, distillation=Distillation(TEACHER, **how))
    teacher = teacher_of(TEACHER)
    learner, twin = learner_of(run, teacher), learner_of(run, teacher)
    before = state(teacher)
    found = objectives.terms(run, learner, batch, teacher)

    d, truth = run.distillation, (batch["limbs"], batch["parts"])
    features, wanted_features = twin.pose.features(batch["depth"]), teacher.features(batch["depth"])
    student, wanted = twin.pose.cascade(features), teacher(batch["depth"])
    pose = losses.pose_loss(student, *truth, run.weighting)["total"].item()
    taught = 0.0
    for s in range(d.tau):
        of_teacher = wanted[-1 if d.last_only else -1 - s]
        taught += losses.limb_loss(student[-1 - s][0], of_teacher[0], run.weighting, truth[0])
        taught += losses.part_loss(student[-1 - s][1], of_teacher[1], run.weighting, truth[1])
    hints = (twin.adapter(features) - wanted_features).square().sum().item() / 4 if d.gamma else 0.0
    assert list(found) == ["pose", "teacher", *(["hints"] if d.gamma else []), "total"]
    assert found["total"].item() == pytest.approx(
        (1 - d.alpha) * taught.item() + d.alpha * pose + d.gamma * hints, rel=1e-5
    )
    found["total"].backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert same_state(teacher.state_dict(), before)
    # A student of 8 channels meets 16 through an adapter that is no part of it.
    assert hasattr(learner, "adapter") == (d.gamma > 0)
    assert models.count_parameters(learner.pose) == models.count_parameters(models.create(RUN.model))
    assert not d.gamma or learner.adapter.weight.shape == (16, 8, 1, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 44}, "run: crops of 44 px; give a multiple of MPM-2S-8's stride, 8"),
        ({"distillation": Distillation(TEACHER, tau=3)}, "run: tau 3: the student has 2 stages, the teacher 3"),
        ({"model": "HG", "distillation": Distillation(TEACHER, gamma=1.0)}, "run: HG has no features of its own"),
        ({"model": "HG", "distillation": Distillation(TEACHER)}, "run: HG has no features of its own"),
        (
            {"distillation": Distillation(replace(TEACHER, model="HG"))},
            "run: HG has no features of its own; give a pose",
        ),
        ({"model": "HG", "domains": Domains(REAL)}, "run: HG has no features of its own; give a pose machine"),
    ],
)
def test_what_cannot_be_learnt_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        run = replace(RUN, **change)
        Learner(run, teacher_of(run.teacher or TEACHER))


# --- What it is worth --------------------------------------------------------------------------------------------------


class Knowing(nn.Module):
    """Answers image i with its targets, to be told apart by the depth of its first pixel, which is i metres."""

    stride = 8

    def __init__(self, run: Run, sample: Sample, stages: int = 1, wrong: float = 0.0):
        super().__init__()
        height, width = sample.depth.shape[1:]
        self.maps = targets.make(sample.taught, height // 8, width // 8, 8, run.sigma, run.radius)
        self.stages, self.wrong, self.asked = stages, wrong, []

    def forward(self, depth: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        which = ((depth[:, 0, 0, 0] + 0.5) * 8).round().long()
        self.asked.append(which.tolist())
        limbs, parts = (maps[which] for maps in self.maps)
        return [(limbs + self.wrong, parts)] * self.stages


@pytest.fixture(scope="module")
def samples() -> Sample:
    """Seven images of one person each, 96 x 96, whose first pixels say which is which."""
    scene = SceneConfig(height=96, width=96, people=(0, 1), distance=(2.0, 3.0), furniture=0)
    drawn = batches.validation(SyntheticConfig(recipe="clean", scene=scene), 7)
    depth = drawn.depth.clone()
    depth[:, 0, 0] = torch.arange(7.0)
    return replace(drawn, depth=depth)


def test_the_truth_has_f_1_and_no_loss(samples):
    run = replace(RUN, data=replace(PAPER, scene=replace(PAPER.scene, height=96, width=96)), sigma=10.0)
    network = Knowing(run, samples)
    found, people = objectives.validate(run, network, samples, batch=3)
    assert network.asked == [[0, 1, 2], [3, 4, 5], [6]]
    assert found["loss"] == 0
    assert found["f"] == pytest.approx(1.0, abs=0.02)
    assert [len(p) for p in people] == [1] * 7
    for i, (person,) in enumerate(people):
        off = torch.as_tensor(person.landmarks[:, :2]) - samples.taught[i, 0]
        assert off.norm(dim=-1).nan_to_num(0).max() < 4  # half a cell


def test_the_loss_is_the_mean_over_images_and_the_sum_over_stages(samples):
    run = replace(RUN, weighting=Weighting())
    found, _ = objectives.validate(run, Knowing(run, samples, stages=2, wrong=0.5), samples, batch=4)
    assert found["loss"] == pytest.approx(2 * 0.25 * 32 * 12 * 12)  # limbs are off by a half everywhere, parts are not


def test_every_stage_says_how_much_of_the_landmarks_it_leaves_unexplained(samples):
    """A first stage that answers half of every map leaves a quarter of the squares, whatever their weights; a second that
    knows all leaves none; a third that says nothing, and answers the background, leaves all."""

    class Three(Knowing):
        def forward(self, depth):
            ((limbs, parts),) = super().forward(depth)
            empty = torch.zeros_like(parts)
            empty[:, -1] = 7.0
            return [(limbs, parts / 2), (limbs, parts), (limbs, empty)]

    for weighting in (Weighting(), Weighting(landmark=15.0, limb=6.0)):
        run = replace(RUN, weighting=weighting)
        found, _ = objectives.validate(run, Three(run, samples), samples, batch=3)
        assert [found[f"unexplained_{i}"] for i in (1, 2, 3)] == pytest.approx([0.25, 0, 1])


def test_where_no_landmark_is_no_share_is_said(samples):
    nobody = replace(samples, landmarks=torch.full_like(samples.landmarks, torch.nan))
    found, _ = objectives.validate(RUN, Knowing(RUN, nobody), nobody)
    assert found.keys() == {"loss", "f", "threshold"}


def test_who_finds_nobody_has_no_f(samples):
    class Blank(nn.Module):
        stride = 8

        def forward(self, depth):
            return [(torch.zeros(len(depth), 32, 12, 12), torch.zeros(len(depth), 18, 12, 12))]

    found, people = objectives.validate(RUN, Blank(), samples)
    assert found["f"] == 0 and people == [[]] * 7
    limbs, parts = targets.make(samples.taught, 12, 12, 8, RUN.sigma, RUN.radius)
    assert found["loss"] == pytest.approx(
        float(losses.pose_loss([(0 * limbs, 0 * parts)], limbs, parts, RUN.weighting)["total"])
    )


def test_confusion_is_counted_over_whole_sets_in_batches(samples):
    """Features are the depth's mean, the classifier a threshold at 2.5 m: images of 3 to 6 m are taken for real."""

    class Mean(nn.Module):
        def features(self, depth):
            return depth.mean((1, 2, 3)) * 8 + 4

    class AtTwoAndAHalf(nn.Module):
        def __init__(self):
            super().__init__()
            self.pose = Mean()

        def classifier(self, metres):
            return metres - 2.5

    def flat(*metres: float) -> Sample:
        depth = torch.tensor(metres)[:, None, None].expand(-1, 48, 56)
        return replace(samples[: len(metres)], depth=depth)

    source, target = flat(1, 2, 3, 1, 1), flat(4, 2, 5, 5, 5)
    assert objectives.confusion(RUN, AtTwoAndAHalf(), source, target, batch=2) == 2 / 10
