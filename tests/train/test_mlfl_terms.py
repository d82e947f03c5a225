"""The terms of MLFL's loss: which there are, what they are made of, what they reach, and that each can be learned."""

import copy
import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from tests.models import tiny_member
from tests.train.noise_clips import noise_batch
from train.fitting.batches import Batch
from train.fitting.losses import DomainFrames, clip_loss, consistency_loss, focal_loss, ifdc_loss
from train.fitting.teaching import perturb, ramp_up
from train.models.mlfl import MLFL, MLFLConfig, pool_tag_logit
from train.stages.mlfl import Lesson, make_lesson, mlfl_loss_terms, trailing_tags
from train.stages.mlfl_settings import MLFLSettings

N_LABELS, N_FRAMES = 3, 110
SETS = ("synthetic",) * 2 + ("weak",) * 2 + ("unlabelled",) * 3
ALL_TERMS = {"clip", "clip_synthetic", "detection", "trailing", "ifdc", "consistency"}


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def mlfl() -> MLFL:
    return tiny_member(N_LABELS, seed=2)[0]


@pytest.fixture(scope="module")
def teacher() -> MLFL:
    return tiny_member(N_LABELS, seed=3)[0].requires_grad_(False)


@pytest.fixture
def batch() -> Batch:
    """Two synthetic, two weak and three unlabelled clips, not all sharing labels."""
    noise = noise_batch(SETS, N_FRAMES, N_LABELS)
    active = noise.active.clone()
    active[:3, :, :2] = 0
    return replace(noise, active=active, tags=active.amax(1))


@pytest.fixture
def lesson(batch) -> Lesson:
    return Lesson(batch, trailing_tags(batch.active))


def only(batch: Batch, *sets: str) -> Batch:
    chosen = [row for row, name in enumerate(batch.sets) if name in sets]
    return Batch(
        batch.log_mel[chosen],
        batch.active[chosen],
        batch.tags[chosen],
        batch.frame_valid[chosen],
        tuple(batch.sets[row] for row in chosen),
    )


def test_trailing_tags_stay_once_a_label_has_sounded(batch) -> None:
    seen = trailing_tags(batch.active)
    for frame in range(N_FRAMES):
        assert torch.equal(seen[:, frame], batch.active[:, : frame + 1].amax(1))


def test_the_loss_is_the_weighted_sum_of_its_parts(mlfl, teacher, lesson) -> None:
    settings = MLFLSettings(
        clip_weight=2.0, synthetic_clip_weight=0.3, unlabelled_clip_weight=0.1, detection_weight=3.0, ifdc_weight=0.7,
        trailing_weight=0.5, consistency_weight=4.0, perturbation_std=0,
        consistency_outputs=("tag", "detection", "frame"),
    )  # fmt: skip
    batch = lesson.batch
    with torch.no_grad():
        terms = mlfl_loss_terms(mlfl, lesson, settings, teacher, share=0.125)
        output, judged = (model(batch.log_mel, batch.frame_valid) for model in (mlfl, teacher))
        tags, judged_tags = (pool_tag_logit(o.logit, o.evidence, batch.frame_valid) for o in (output, judged))
        embedding = mlfl.project(output.embedding)
    assert terms.keys() == {*ALL_TERMS, "clip_unlabelled"}
    torch.testing.assert_close(terms["clip"], 2 * clip_loss(tags[2:4], batch.tags[2:4]))
    torch.testing.assert_close(terms["clip_synthetic"], 0.3 * clip_loss(tags[:2], batch.tags[:2]))
    torch.testing.assert_close(terms["clip_unlabelled"], 0.1 * clip_loss(tags[4:], batch.tags[4:]))
    detection = focal_loss(output.detection_logit, batch.active, frame_valid=batch.frame_valid)
    torch.testing.assert_close(terms["detection"], 3 * detection)
    domains = [
        DomainFrames(embedding[rows], batch.active[rows], batch.tags[rows], batch.frame_valid[rows])
        for rows in (slice(2, 4), slice(0, 2))
    ]
    assert terms["ifdc"] > 0
    torch.testing.assert_close(terms["ifdc"], 0.7 * ifdc_loss(domains[0], domains[1]))
    agreement = consistency_loss(tags, judged_tags) + sum(
        consistency_loss(getattr(output, name), getattr(judged, name), batch.frame_valid)
        for name in ("detection_logit", "frame_logit")
    )
    torch.testing.assert_close(terms["consistency"], 4 * math.exp(-5 * 0.25) * agreement)


def test_the_trailing_loss_is_the_clip_loss_after_each_hop(mlfl, lesson) -> None:
    batch, settings = (
        lesson.batch,
        MLFLSettings(trailing_weight=0.5, trailing_sets=("synthetic", "unlabelled")),
    )
    rows = [0, 1, 4, 5, 6]
    with torch.no_grad():
        term = mlfl_loss_terms(mlfl, lesson, settings)["trailing"]
        output = mlfl(batch.log_mel, batch.frame_valid)
    hops = []
    for hop in range(0, N_FRAMES, 25):
        end = min(hop + 25 + 7, N_FRAMES)
        pooled = pool_tag_logit(output.logit[:, :end], output.evidence[:, :end], batch.frame_valid[:, :end])
        hops.append(clip_loss(pooled[rows], batch.active[rows, :end].amax(1)))
    torch.testing.assert_close(term, 0.5 * torch.stack(hops).mean())


@pytest.mark.parametrize(
    ("switch", "term"),
    [
        ({"clip_weight": 0}, "clip"),
        ({"synthetic_clip_weight": 0}, "clip_synthetic"),
        ({"detection_weight": 0}, "detection"),
        ({"detection_sets": ()}, "detection"),
        ({"trailing_weight": 0}, "trailing"),
        ({"ifdc_weight": 0}, "ifdc"),
        ({"consistency_weight": 0}, "consistency"),
    ],
)
def test_an_ablation_removes_exactly_its_term(mlfl, teacher, lesson, switch, term) -> None:
    with torch.no_grad():
        settings = MLFLSettings(perturbation_std=0)
        whole = mlfl_loss_terms(mlfl, lesson, settings, teacher)
        without = mlfl_loss_terms(mlfl, lesson, MLFLSettings(perturbation_std=0, **switch), teacher)
    assert whole.keys() == ALL_TERMS
    assert without.keys() == ALL_TERMS - {term}
    for name, value in without.items():
        assert torch.equal(value, whole[name])


def test_a_set_without_clips_has_no_terms(mlfl, teacher, batch) -> None:
    expected = {
        ("synthetic",): {"clip_synthetic", "detection", "trailing", "consistency"},
        ("synthetic", "weak"): ALL_TERMS,
        ("weak", "unlabelled"): {"clip", "detection", "consistency"},
    }
    for sets, names in expected.items():
        part = only(batch, *sets)
        terms = mlfl_loss_terms(mlfl, Lesson(part, trailing_tags(part.active)), MLFLSettings(), teacher)
        assert terms.keys() == names
    assert "consistency" not in mlfl_loss_terms(mlfl, Lesson(batch, batch.active), MLFLSettings())


def test_detection_learns_from_the_sets_it_is_told_to(mlfl, lesson) -> None:
    batch = lesson.batch
    with torch.no_grad():
        logit = mlfl(batch.log_mel, batch.frame_valid).detection_logit
        for sets, rows in ((("synthetic",), [0, 1]), (("synthetic", "unlabelled"), [0, 1, 4, 5, 6])):
            for kind, alpha, gamma, scale in (("focal", 0.25, 2.0, 1.0), ("bce", 0.5, 0.0, 2.0)):
                term = mlfl_loss_terms(mlfl, lesson, MLFLSettings(detection_sets=sets, detection=kind))[
                    "detection"
                ]
                loss = focal_loss(logit[rows], batch.active[rows], alpha, gamma, batch.frame_valid[rows])
                torch.testing.assert_close(term, scale * loss)


def test_pairs_within_a_domain_are_a_flag(mlfl, lesson) -> None:
    with torch.no_grad():
        across, both = (
            mlfl_loss_terms(mlfl, lesson, MLFLSettings(ifdc_in_domain=flag))["ifdc"] for flag in (False, True)
        )
    assert both > across


def test_pitfall_mixup_versus_ifdc(mlfl, batch) -> None:
    """Mixed steps have no inter-frame distance loss, whose masks need sets of labels."""
    for share, names in ((1.0, ALL_TERMS - {"ifdc", "consistency"}), (0.0, ALL_TERMS - {"consistency"})):
        lesson = make_lesson(batch, MLFLSettings(mixup_share=share), generator(), generator(1))
        assert lesson.is_mixed == (share == 1)
        assert mlfl_loss_terms(mlfl, lesson, MLFLSettings()).keys() == names


def test_the_teacher_gets_no_gradient_and_keeps_its_statistics(mlfl, batch, lesson) -> None:
    student, average = (
        copy.deepcopy(mlfl).train(),
        copy.deepcopy(mlfl).eval(),
    )  # even one that could have gradients
    before = copy.deepcopy(average.state_dict())
    for sets in (SETS, ("synthetic",)):
        part = only(batch, *sets)
        terms = mlfl_loss_terms(student, Lesson(part, part.active), MLFLSettings(), average, generator())
        torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad is None for parameter in average.parameters())
    # the bias of the attention shifts all frames alike: the agreement and the losses cannot see it
    reached = {name for name, parameter in student.named_parameters() if parameter.grad is not None}
    assert reached == set(dict(student.named_parameters()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in average.state_dict().items())


def test_student_and_teacher_hear_noise_of_their_own() -> None:
    heard: list[Tensor] = []

    class Listener(nn.Module):
        def forward(self, log_mel: Tensor, frame_valid: Tensor) -> None:
            heard.append(log_mel)
            raise InterruptedError

    log_mel = torch.zeros(2, 400, 128)
    batch = Batch(log_mel, torch.zeros(2, 400, 3), torch.zeros(2, 3), torch.ones(2, 400), ("synthetic",) * 2)
    student = tiny_member(N_LABELS, seed=2)[0]
    student.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    for _ in range(2):
        with pytest.raises(InterruptedError):
            mlfl_loss_terms(student, Lesson(batch, batch.active), MLFLSettings(), Listener(), generator(5))
    assert torch.equal(heard[0], heard[2])  # the same draws
    assert torch.equal(heard[1], heard[3])
    for noise in heard[:2]:
        assert noise.std().item() == pytest.approx(0.15, rel=0.02)
    assert abs(torch.corrcoef(torch.stack([row.flatten() for row in heard[:2]]))[0, 1]) < 0.01
    assert perturb(log_mel, 0.0, generator()) is log_mel


def test_the_ramp_is_that_of_the_baseline() -> None:
    for share, expected in ((0.0, math.exp(-5)), (0.125, math.exp(-1.25)), (0.25, 1.0), (0.9, 1.0)):
        assert ramp_up(share, 0.25) == pytest.approx(expected)
    assert ramp_up(0.0, 0.0) == 1
    shares = [ramp_up(step / 100, 0.5) for step in range(101)]
    assert all(before <= after for before, after in itertools.pairwise(shares))


def memorise(batch: Batch, settings: MLFLSettings, steps: int) -> list[dict[str, float]]:
    """Losses over the steps of a tiny model that sees one batch again and again."""
    torch.manual_seed(0)
    model = MLFL(MLFLConfig(N_LABELS, channels=(8, 8, 8), batch_norm_momentum=0.1))
    teacher = tiny_member(N_LABELS, seed=3)[0].requires_grad_(False)
    slow = [parameter for name, parameter in model.named_parameters() if "attention" not in name]
    groups: list[dict[str, Any]] = [
        {"params": slow},
        {"params": list(model.attention.parameters()), "lr": 0.1},
    ]
    optimiser = torch.optim.Adam(groups, lr=1e-2)
    history, lesson = [], Lesson(batch, trailing_tags(batch.active))
    for _ in range(steps):
        terms = mlfl_loss_terms(model, lesson, settings, teacher, generator())
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        history.append({name: term.item() for name, term in terms.items()})
    return history


@pytest.mark.parametrize("term", sorted(ALL_TERMS))
def test_training_reduces_each_loss_on_a_batch_that_it_can_memorise(batch, term) -> None:
    weights = {
        "clip": "clip_weight", "clip_synthetic": "synthetic_clip_weight", "detection": "detection_weight",
        "trailing": "trailing_weight", "ifdc": "ifdc_weight", "consistency": "consistency_weight",
    }  # fmt: skip
    active = torch.zeros(7, 60, N_LABELS)
    for clip in range(7):
        active[clip, 15 : 15 + 6 * clip, clip % 3] = 1
    log_mel = batch.log_mel[:, :60] + 4 * active.repeat_interleave(43, 2)[:, :, :128]
    small = Batch(log_mel, active, active.amax(1), torch.ones(7, 60), SETS)
    off = {weight: 0.0 for name, weight in weights.items() if name != term}
    history = memorise(small, MLFLSettings(perturbation_std=0.01, **off), 40)
    assert history[0].keys() == {term}
    assert history[-1][term] < 0.7 * history[0][term]
