"""The MLFL stage: settings, a whole small training and what it writes, what it is measured by."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from tests.models import tiny_member
from tests.train.noise_clips import LABELS, noise_clips
from train.data.clips import ClipSet
from train.fitting.augment import AugmentSettings
from train.fitting.checkpoint import load_model
from train.fitting.loop import LoopSettings
from train.fitting.loop_settings import BatchSettings
from train.fitting.schedule import ScheduleSettings
from train.models.mlfl import MLFL, MLFLConfig
from train.stages.disentangled import attended_components
from train.stages.mlfl import learnable, train_mlfl
from train.stages.mlfl_quality import domain_variance, mlfl_quality
from train.stages.mlfl_settings import MLFLSettings

N_LABELS = 3
ALL_TERMS = {"clip", "clip_synthetic", "detection", "trailing", "ifdc", "consistency"}


@pytest.fixture(scope="module")
def mlfl() -> MLFL:
    return tiny_member(N_LABELS, seed=2)[0]


def test_settings_are_checked() -> None:
    for wrong in (
        {"focal_alpha": 1.5}, {"clip_weight": -1}, {"detection": "hinge"}, {"ifdc_sets": ("validation",)},
        {"consistency_outputs": ()}, {"mixup_share": 2}, {"mixup_beta": 0}, {"focal": 1},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            MLFLSettings.model_validate(wrong)


LOOP = LoopSettings(
    steps=4, checkpoint_steps=2, batch=BatchSettings(synthetic=2, weak=2, unlabelled=2), threads=1, device="cpu",
    precision="float32", schedule=ScheduleSettings(warmup_steps=1), average_decay=0.9,
)  # fmt: skip
COUNTS = {"synthetic": 3, "weak": 3, "unlabelled": 2, "development": 2, "weak_development": 2}


def pseudo_labelled(clips: ClipSet) -> ClipSet:
    for name in ("weak", "unlabelled"):
        rows = clips.indices(name)
        labels = [(clips.given_tags[row] or LABELS)[0] for row in rows]
        events = {
            clips.filenames[row]: [Event(0.1, 0.4, label)] for row, label in zip(rows, labels, strict=True)
        }
        clips = clips.with_events(name, events)
    return clips


def run(folder: Path, clips: ClipSet, loop: LoopSettings = LOOP, **settings: object) -> Path:
    config = MLFLConfig(N_LABELS, channels=(8, 8, 8))
    return train_mlfl(clips, folder / "mlfl" / "0", config, MLFLSettings(**settings), AugmentSettings(), loop)


def logged(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()]


def test_the_stage_trains_repeats_itself_and_writes_teacher_and_student(tmp_path) -> None:
    clips = pseudo_labelled(noise_clips(COUNTS))
    loop = LOOP.model_copy(update={"validation_steps": 2})
    paths = [run(tmp_path / name, clips, loop, mixup_share=0.5) for name in ("one", "two")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    model, about = load_model(paths[0], "mlfl")
    student, _ = load_model(paths[0].with_name("student.safetensors"), "mlfl")
    assert (about["event_labels"], about["clips"], about["steps"]) == (list(LABELS), clips.source, 4)
    assert about["settings"]["ifdc_weight"] == 1
    state, other = model.state_dict(), student.state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in state.values())  # the teacher's statistics too
    assert not torch.equal(state["tagger.weight"], other["tagger.weight"])
    assert (state["input_norm.running_mean"] != 0).all()
    lines = logged(paths[0])
    assert set().union(*lines) >= ALL_TERMS
    figures = ["tag_f1", "development_tag_f1", "weak_development_tag_f1", "domain_variance"]
    assert all(list(line["quality"]) == figures for line in lines)  # type: ignore[call-overload]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_pitfall_attention_bias_stays_zero_whatever_rounding_leaves_of_its_gradient(
    precision, tmp_path
) -> None:
    loop = LOOP.model_copy(update={"precision": precision, "steps": 8})
    model, _ = load_model(run(tmp_path, pseudo_labelled(noise_clips(COUNTS)), loop), "mlfl")
    learnt = dict(model.named_parameters())
    assert (learnt["attention.bias"] == 0).all()
    assert (learnt["attention.weight"] != 0).any()


def test_synthetic_clips_alone_are_enough(tmp_path) -> None:
    loop = LOOP.model_copy(update={"batch": BatchSettings(synthetic=3), "steps": 2})
    (line,) = logged(run(tmp_path, noise_clips({"synthetic": 3}), loop, consistency_weight=0))
    assert {"clip_synthetic", "detection", "trailing"} == line.keys() & {*ALL_TERMS, "quality"}


def test_without_pseudo_labels_real_clips_do_not_pass_for_silent_ones(tmp_path) -> None:
    clips = noise_clips(COUNTS)
    used = learnable(clips, MLFLSettings(unlabelled_clip_weight=1))
    assert (used.detection_sets, used.ifdc_sets, used.unlabelled_clip_weight) == (("synthetic",), (), 0)
    assert learnable(pseudo_labelled(clips), MLFLSettings()) == MLFLSettings()
    lines = logged(run(tmp_path, clips, LOOP))
    assert set().union(*lines) >= ALL_TERMS - {"ifdc"}
    assert all("ifdc" not in line for line in lines)


def test_a_disentangled_model_is_one_of_its_own(tmp_path) -> None:
    clips = noise_clips({"synthetic": 6, "weak": 6}, seconds=0.4)
    loop = LOOP.model_copy(update={"batch": BatchSettings(synthetic=2, weak=2), "steps": 1})
    model, _ = load_model(run(tmp_path, clips, loop, disentangled_m=0.5), "mlfl")
    weak = clips.tags()[clips.indices("weak")]
    assert isinstance(model, MLFL)
    assert model.config.attended == attended_components(weak, LABELS, 8, 1, 0.5)


def test_nothing_to_learn_is_refused(tmp_path) -> None:
    weights = ("clip", "synthetic_clip", "detection", "ifdc", "consistency", "trailing")
    with pytest.raises(SedgeError, match="mlfl: expected a loss, found none"):
        run(tmp_path, noise_clips(COUNTS, seconds=0.4), LOOP, **{f"{name}_weight": 0 for name in weights})


def test_quality_is_the_f1_of_tags_at_one_half(mlfl) -> None:
    clips = noise_clips({"synthetic": 1, "development": 6, "weak_development": 5})
    figures = mlfl_quality(clips)(mlfl)
    assert figures["tag_f1"] == pytest.approx(
        (figures["development_tag_f1"] + figures["weak_development_tag_f1"]) / 2
    )
    sure = copy.deepcopy(mlfl)
    nn.init.zeros_(sure.tagger.weight)
    nn.init.constant_(sure.tagger.bias, 5)  # says every label of every clip
    nn.init.zeros_(sure.projector.weight)
    tags = clips.tags()[clips.indices("development")]
    shares = tags.mean(0)[tags.any(0)]
    figures = mlfl_quality(clips)(sure)
    assert figures["development_tag_f1"] == pytest.approx(float(np.mean(2 * shares / (1 + shares))))
    assert figures["domain_variance"] == 0
    assert mlfl_quality(noise_clips({"synthetic": 2}))(mlfl) == {}


def test_pitfall_collapse_shows_in_the_variance_of_the_domain_embedding(mlfl) -> None:
    clips = noise_clips({"development": 2})
    fresh = MLFL(MLFLConfig(N_LABELS, channels=(8, 8, 8)))
    assert fresh.projector.weight.abs().max() > 0.05  # a start of zeros would be the collapse
    assert domain_variance(mlfl, clips, np.arange(2), torch.device("cpu")) > 1e-4
