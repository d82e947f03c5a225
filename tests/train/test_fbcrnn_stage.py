"""The FBCRNN stage: it learns from tags alone, measures itself on held-out clips, and repeats."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_app.core.errors import SedgeError
from tests.train.tone_clips import LABELS, STILL, TINY, tiny_loop, tone_clips
from train.data.clips import ClipSet
from train.fitting.augment import AugmentSettings
from train.fitting.batches import BatchMaker
from train.fitting.checkpoint import load_model
from train.fitting.loop_settings import BatchSettings
from train.fitting.losses import max_branch_loss
from train.models.fbcrnn import FBCRNN, clip_tag_scores
from train.pseudo.tagging import best_macro_tag_f1
from train.stages.fbcrnn import FBCRNNSettings, fbcrnn_loss_terms, tagging_quality, train_fbcrnn

SETS = ("synthetic",) * 4 + ("weak",) * 4 + ("development",) * 2 + ("weak_development",) * 2


@pytest.fixture(scope="module")
def clips() -> ClipSet:
    return tone_clips(SETS)[0]


def without_times(clips: ClipSet) -> ClipSet:
    """The same clips with tags where they had events."""
    given = tuple(
        tags if tags is not None else tuple(sorted({event.event_label for event in events}))
        for tags, events in zip(clips.given_tags, clips.events, strict=True)
    )
    return replace(clips, events=((),) * len(clips.events), given_tags=given)


@pytest.mark.parametrize("loss", ["max", "last"])
@pytest.mark.parametrize("augment", [STILL, AugmentSettings(superpose=1)], ids=["still", "augmented"])
def test_pitfall_loss_is_unchanged_when_onsets_and_offsets_are_deleted(clips, loss, augment):
    torch.manual_seed(0)
    model = FBCRNN(TINY).eval()
    values = []
    for known in (clips, without_times(clips)):
        batch = BatchMaker(known, augment, tiny_loop()).batch(0)
        terms = fbcrnn_loss_terms(model, batch, FBCRNNSettings(loss=loss))
        values.append({name: term.item() for name, term in terms.items()})
    assert values[0] == values[1]
    scrambled = replace(batch, active=torch.rand_like(batch.active))
    scrambled_terms = fbcrnn_loss_terms(model, scrambled, FBCRNNSettings(loss=loss))
    assert scrambled_terms["tag"].item() == values[0]["tag"]


def test_setting_chooses_the_loss(clips):
    torch.manual_seed(0)
    model = FBCRNN(TINY).eval()
    batch = BatchMaker(clips, STILL, tiny_loop()).batch(0)
    output = model(batch.log_mel, batch.frame_valid)
    for loss in ("max", "last"):
        expected = max_branch_loss(
            output.forward_logit, output.backward_logit, batch.tags, batch.frame_valid, loss
        )
        found = fbcrnn_loss_terms(model, batch, FBCRNNSettings(loss=loss))
        torch.testing.assert_close(found, {"tag": expected})


def run(clips: ClipSet, folder: Path, **changes) -> Path:
    return train_fbcrnn(clips, folder, TINY, FBCRNNSettings(), STILL, tiny_loop(**changes))


def test_stage_writes_a_model_and_repeats_itself(clips, tmp_path):
    paths = [run(clips, tmp_path / name / "0") for name in ("one", "two")]
    assert paths[0] == tmp_path / "one" / "0" / "model.safetensors"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    model, about = load_model(paths[0], "fbcrnn")
    assert (about["event_labels"], about["clips"], about["steps"]) == (list(LABELS), "clips", 3)
    assert (model.state_dict()["input_norm.mean"].abs() > 0.1).all()


def test_synthetic_clips_alone_are_enough(clips, tmp_path):
    alone = replace(
        clips, sets=("synthetic",) * len(SETS), given_tags=(None,) * len(SETS), source="synthetic"
    )
    path = run(alone, tmp_path / "0", batch=BatchSettings(synthetic=4))
    assert path.is_file()


def test_unlabelled_clips_are_refused_until_they_have_pseudo_labels(tmp_path):
    clips, truth = tone_clips(("synthetic",) * 4 + ("unlabelled",) * 4)
    batch = BatchSettings(synthetic=2, unlabelled=2)
    with pytest.raises(SedgeError, match=r"unlabelled: expected 0 .* found 2"):
        run(clips, tmp_path / "0", batch=batch)
    pseudo = dict(zip(clips.filenames[4:], truth[4:], strict=True))
    assert run(clips.with_events("unlabelled", pseudo), tmp_path / "1", batch=batch).is_file()


def test_a_batch_is_memorised_and_the_best_average_kept(clips, tmp_path):
    path = run(clips, tmp_path / "0", steps=60, batch=BatchSettings(synthetic=2, weak=2),
               average_decay=0.8, checkpoint_steps=10, validation_steps=20)  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "0" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["tag"] < 0.5 * lines[0]["tag"]
    measured = [line["quality"]["tag_f1"] for line in lines if "quality" in line]
    assert len(measured) == 3
    model, _ = load_model(path, "fbcrnn")
    assert tagging_quality(clips)(model) == {"tag_f1": pytest.approx(max(measured))}
    assert max(measured) == 1


def test_quality_is_the_macro_f1_of_held_out_tags(clips):
    torch.manual_seed(1)
    model = FBCRNN(TINY)
    measured = tagging_quality(clips)(model)
    assert model.training
    truth = np.array([[True, True], [False, True], [True, False], [False, False]])
    held_out = clips.indices("development", "weak_development")
    np.testing.assert_array_equal(clips.tags()[held_out], truth)
    features = BatchMaker(clips, STILL, tiny_loop())._features
    log_mel = features(torch.from_numpy(clips.waveforms[held_out] / np.float32(32_768)))
    with torch.no_grad():
        valid = torch.ones(log_mel.shape[:2])
        scores = clip_tag_scores(model.eval()(log_mel, valid), valid).numpy()
    assert measured["tag_f1"] == pytest.approx(best_macro_tag_f1(scores, truth))
