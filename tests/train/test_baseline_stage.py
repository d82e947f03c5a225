"""The stage of the baseline: its loss as published, a teacher without gradient, mixing within sets."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.models import stir
from tests.train.noise_clips import LABELS, noise_clips
from train.data.clips import ClipSet
from train.fitting.augment import AugmentSettings
from train.fitting.batches import Batch, BatchMaker
from train.fitting.checkpoint import load_model
from train.fitting.loop_settings import BatchSettings, LoopSettings
from train.fitting.schedule import ScheduleSettings
from train.fitting.training import Step
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig, BaselineOutput
from train.stages.baseline import (
    BaselineSettings,
    baseline_loss_terms,
    development_quality,
    mixed,
    score_loss,
    train_baseline,
)

N_LABELS = 3
TINY = BaselineCRNNConfig(N_LABELS, channels=(4,) * 7, gru_width=8, gru_layers=1, dropout=0.0)
SETS = ("synthetic", "synthetic", "weak", "weak", "unlabelled", "unlabelled")
INERT = AugmentSettings(
    gain_log_std=0, superpose=0, warp_log_std=0, mel_mask_bands=0, noise_std=0, filter_db=0
)
LOOP = LoopSettings(
    steps=4,
    checkpoint_steps=2,
    batch=BatchSettings(synthetic=2, weak=2, unlabelled=2),
    schedule=ScheduleSettings(kind="ramp", peak=1e-3, warmup_steps=2),
    average_decay=0.9,
    precision="float32",
    threads=1,
    device="cpu",
)
COUNTS = {"synthetic": 3, "weak": 3, "unlabelled": 3, "weak_development": 2, "development": 2}


def crnn(seed: int) -> BaselineCRNN:
    torch.manual_seed(seed)
    return stir(BaselineCRNN(TINY), seed)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def clips() -> ClipSet:
    return noise_clips(COUNTS, seconds=0.64)


@pytest.fixture
def batch(clips) -> Batch:
    """Two clips of each set; the last one of each may be half padding."""
    return BatchMaker(clips, INERT, LOOP).batch(0)


def output(scores: Tensor, tags: Tensor):
    return lambda log_mel, frame_valid: BaselineOutput(scores, tags)


def test_every_term_is_its_equation(batch) -> None:
    source = torch.Generator().manual_seed(0)
    rows = [torch.rand(6, batch.active.shape[1], 3, generator=source) for _ in range(2)]
    tags = [torch.rand(6, 3, generator=source) for _ in range(2)]
    settings = BaselineSettings(strong_weight=1.5, weak_weight=0.5)
    terms = baseline_loss_terms(
        output(rows[0], tags[0]), output(rows[1], tags[1]), batch, settings, share=0.1
    )
    strong, weak, frames = [], [], []
    for clip, name in enumerate(SETS):
        for frame in torch.flatten(torch.nonzero(batch.frame_valid[clip])).tolist():
            for label in range(3):
                score, truth = rows[0][clip, frame, label].item(), batch.active[clip, frame, label].item()
                frames.append((score - rows[1][clip, frame, label].item()) ** 2)
                if name == "synthetic":
                    strong.append(-math.log(score if truth else 1 - score))
        if name == "weak":
            pairs = zip(tags[0][clip].tolist(), batch.tags[clip].tolist(), strict=True)
            weak += [-math.log(score if truth else 1 - score) for score, truth in pairs]
    weight = 2 * math.exp(-5 * (1 - 0.1 / 0.25) ** 2)
    clip_difference = ((tags[0] - tags[1]) ** 2).mean().item()
    expected = {
        "strong": 1.5 * sum(strong) / len(strong),
        "weak": 0.5 * sum(weak) / len(weak),
        "frame_consistency": weight * sum(frames) / len(frames),
        "clip_consistency": weight * clip_difference,
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_the_consistency_weight_rises_to_2_over_the_first_quarter(batch) -> None:
    frames, tags = torch.ones(6, batch.active.shape[1], 3), torch.ones(6, 3)
    student, teacher = output(frames, tags), output(frames - 1, tags - 1)
    weights = [
        baseline_loss_terms(student, teacher, batch, BaselineSettings(), share)["clip_consistency"].item()
        for share in (0.0, 0.125, 0.25, 1.0)
    ]
    assert weights == pytest.approx([2 * math.exp(-5), 2 * math.exp(-1.25), 2, 2])


def test_pitfall_the_teacher_receives_no_gradient(batch) -> None:
    student, teacher = crnn(0), crnn(1)
    terms = baseline_loss_terms(student, teacher, batch, BaselineSettings(), share=1.0)
    assert terms["frame_consistency"] > 0
    torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert any(
        parameter.grad.abs().sum() > 0 for parameter in student.parameters() if parameter.grad is not None
    )


def test_unlabelled_clips_teach_by_consistency_alone(batch) -> None:
    student, teacher = crnn(0), crnn(1)
    rows = batch.rows("unlabelled")
    terms = baseline_loss_terms(student, teacher, batch, BaselineSettings(), share=1.0)
    batch.active[rows], batch.tags[rows] = 1, 1
    again = baseline_loss_terms(student, teacher, batch, BaselineSettings(), share=1.0)
    assert {name: term.item() for name, term in terms.items()} == {
        name: term.item() for name, term in again.items()
    }


def test_a_teacher_that_is_not_asked_for_is_not_heard(batch) -> None:
    def silent(*_: Tensor) -> BaselineOutput:
        raise AssertionError("asked")

    terms = baseline_loss_terms(crnn(0), silent, batch, BaselineSettings(consistency_weight=0), share=1.0)
    assert terms.keys() == {"strong", "weak"}


def test_synthetic_clips_teach_tags_where_none_are_weak(clips) -> None:
    loop = LOOP.model_copy(update={"batch": BatchSettings(synthetic=2)})
    batch = BatchMaker(clips, INERT, loop).batch(0)
    model = crnn(0)
    terms = baseline_loss_terms(model, model, batch, BaselineSettings(), share=1.0)
    expected = score_loss(model(batch.log_mel, batch.frame_valid).tags, batch.tags).mean()
    torch.testing.assert_close(terms["weak"], expected)


def test_score_loss_is_finite_at_the_ends_and_in_autocast() -> None:
    scores = torch.tensor([[0.0, 1.0, 0.25]])
    labels = torch.tensor([[1.0, 0.0, 1.0]])
    with torch.autocast("cpu", torch.bfloat16):
        loss = score_loss(scores, labels)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss).all()
    assert loss[0, 2].item() == pytest.approx(-math.log(0.25))


def step(number: int) -> Step:
    return Step(number, shard=0, share=0.0, average=torch.nn.Identity())


def test_half_of_the_steps_mix_weak_and_synthetic_clips_within_their_sets(batch) -> None:
    count = 0
    for number in range(100):
        result = mixed(batch, BaselineSettings(), seed=1, step=step(number))
        count += result is not batch
        kept = batch.rows("unlabelled")
        assert torch.equal(result.log_mel[kept], batch.log_mel[kept])
        assert torch.equal(result.tags[kept], batch.tags[kept])
        for name in ("synthetic", "weak"):
            rows = batch.rows(name)
            # any mix of two clips leaves their mean, if each keeps the same share
            torch.testing.assert_close(result.tags[rows].sum(0), batch.tags[rows].sum(0))
            torch.testing.assert_close(result.active[rows].sum(0), batch.active[rows].sum(0))
    assert 35 < count < 65


def test_mixing_repeats_and_can_be_left_out(batch) -> None:
    always = BaselineSettings(mixup_share=1)
    one, other = (mixed(batch, always, seed=1, step=step(3)) for _ in range(2))
    assert torch.equal(one.log_mel, other.log_mel)
    assert torch.isfinite(one.log_mel).all()
    assert mixed(batch, BaselineSettings(mixup_share=0), seed=1, step=step(3)) is batch


def test_quality_is_of_tags_of_weak_clips_and_frames_of_strong_ones(clips) -> None:
    quality = development_quality(clips)
    assert quality is not None
    found = quality(crnn(2))
    assert list(found) == ["tag_and_frame_f1", "tag_f1", "frame_f1"]
    assert found["tag_and_frame_f1"] == found["tag_f1"] + found["frame_f1"]
    assert 0 < found["tag_f1"] <= 1
    assert 0 < found["frame_f1"] <= 1
    assert development_quality(noise_clips({"synthetic": 2}, seconds=0.64)) is None
    strong = development_quality(noise_clips({"development": 3}, seconds=0.64))
    weak = development_quality(noise_clips({"weak_development": 3}, seconds=0.64))
    assert strong is not None
    assert weak is not None
    assert strong(crnn(2))["tag_f1"] > 0
    assert weak(crnn(2))["frame_f1"] == 0


def run(folder: Path, clips: ClipSet, **loop: object) -> Path:
    settings = LOOP.model_copy(update=loop)
    return train_baseline(clips, folder, TINY, BaselineSettings(), INERT, settings)


def test_the_stage_writes_teacher_and_student_and_repeats_itself(clips, tmp_path) -> None:
    paths = [run(tmp_path / name / "0", clips, validation_steps=2) for name in ("one", "two")]
    for name in ("model.safetensors", "student.safetensors"):
        assert (paths[0].parent / name).read_bytes() == (paths[1].parent / name).read_bytes()
    teacher, about = load_model(paths[0], "baseline_crnn")
    student, _ = load_model(paths[0].parent / "student.safetensors", "baseline_crnn")
    assert (about["event_labels"], about["steps"], about["clips"]) == (list(LABELS), 4, clips.source)
    different = [
        not torch.equal(one, other)
        for one, other in zip(teacher.state_dict().values(), student.state_dict().values(), strict=True)
    ]
    assert any(different)
    lines = [json.loads(line) for line in (paths[0].parent / "log.jsonl").read_text().splitlines()]
    assert {"strong", "weak", "frame_consistency", "clip_consistency"} <= lines[-1].keys()
    assert "tag_and_frame_f1" in lines[-1]["quality"]


def test_the_stage_runs_on_synthetic_clips_alone(tmp_path) -> None:
    path = run(
        tmp_path / "0", noise_clips({"synthetic": 2}, seconds=0.64), batch=BatchSettings(synthetic=2), steps=2
    )
    assert load_model(path, "baseline_crnn")


def test_a_batch_that_fits_the_model_is_learnt(batch) -> None:
    torch.manual_seed(0)
    model = BaselineCRNN(
        BaselineCRNNConfig(N_LABELS, channels=(4,) * 7, gru_width=8, gru_layers=1, dropout=0.0)
    )
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    history: list[dict[str, float]] = []
    for _ in range(50):
        terms = baseline_loss_terms(model, model, batch, BaselineSettings(), share=1.0)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        history.append({name: term.item() for name, term in terms.items()})
    assert history[-1]["strong"] < 0.5 * history[0]["strong"]
    assert history[-1]["weak"] < 0.5 * history[0]["weak"]
