"""The stage that tags clips: files of every set, pseudo labels within the tags, nothing gated in what is kept."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.decode import LabelDecoding, decode
from edge_app.core.errors import SedgeError
from edge_app.core.events import rasterise, vectorise
from edge_app.formats.desed_tsv import read_events, write_events
from tests.models import tiny_member
from tests.train.noise_clips import LABELS, noise_clips
from train.fitting.checkpoint import load_model, save_model
from train.measuring.score_store import read_scores
from train.measuring.scoring import by_file, mlfl_scores
from train.stages.tag import (
    TagSettings,
    majority,
    pseudo_label_activity,
    read_tags,
    tag_clips,
    with_pseudo_labels,
)

COUNTS = {
    "synthetic": 3,
    "weak": 4,
    "unlabelled": 3,
    "weak_development": 2,
    "development": 2,
    "validation": 3,
}
CLIPS = noise_clips(COUNTS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mlfl = tiny_member(len(LABELS), seed=4)[0]
    # tags and frame scores on both sides of their thresholds
    with torch.no_grad():
        mlfl.attention.bias.sub_(mlfl_frame_logit(mlfl).median())
    path = tmp_path_factory.mktemp("mlfl") / "model.safetensors"
    save_model(path, "mlfl", mlfl, LABELS, {})
    return path


def mlfl_frame_logit(mlfl) -> torch.Tensor:
    scores = mlfl_scores(mlfl, CLIPS, CLIPS.indices("weak")).scores
    return torch.logit(torch.from_numpy(scores[scores > 0]))


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tags") / "0"
    assert tag_clips(CLIPS, checkpoint, folder, TagSettings(), threads=1) == folder / "tags.npz"
    return folder


def scores_of(checkpoint: Path, name: str):
    return mlfl_scores(load_model(checkpoint, "mlfl")[0], CLIPS, CLIPS.indices(name))  # type: ignore[arg-type]


def test_tags_of_every_clip_of_every_set(checkpoint, folder) -> None:
    labels, by_set = read_tags(folder / "tags.npz")
    assert labels == LABELS
    for name, count in COUNTS.items():
        assert by_set[name].filenames == tuple(f"{clip}.flac" for clip in range(count))
        assert np.array_equal(by_set[name].tags, scores_of(checkpoint, name).tags)


def test_pitfall_exported_scores_and_tags_are_ungated(checkpoint, folder) -> None:
    """K's program masks its scores in place, so that what it exports is masked already."""
    for name in ("development", "validation"):
        labels, kept = read_scores(folder / "scores" / f"{name}.npz")
        found = scores_of(checkpoint, name)
        expected = by_file(CLIPS, CLIPS.indices(name), found.scores)
        assert tuple(labels) == LABELS
        assert list(kept) == list(expected)
        for filename, of_clip in expected.items():
            assert np.array_equal(kept[filename], of_clip)
        untagged = found.tags < 0.5
        assert untagged.any()
        assert found.scores.max(1)[untagged].min() > 0


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_pitfall_pseudo_labels_leave_what_they_are_made_of_unchanged(seed) -> None:
    source = np.random.default_rng(seed)
    scores, tags = source.random((3, 20, 2), np.float32), source.random((3, 2)) < 0.5
    kept_scores, kept_tags = scores.copy(), tags.copy()
    pseudo_label_activity(scores, tags, (3, 5), 0.5)
    assert np.array_equal(scores, kept_scores)
    assert np.array_equal(tags, kept_tags)


def test_only_sets_that_are_measured_on_keep_scores_unless_all_are_asked_for(
    checkpoint, folder, tmp_path
) -> None:
    assert sorted(path.stem for path in (folder / "scores").iterdir()) == ["development", "validation"]
    tag_clips(CLIPS, checkpoint, tmp_path, TagSettings(scores="all"), threads=1)
    assert sorted(path.stem for path in (tmp_path / "scores").iterdir()) == sorted(COUNTS)


def test_pseudo_labels_are_what_the_decoder_makes_of_masked_scores(checkpoint, folder) -> None:
    windows = json.loads((folder / "windows.json").read_text())["median_frames"]
    decoding = {
        label: LabelDecoding(threshold_on=0.5, threshold_off=0.5, median_frames=windows[label])
        for label in LABELS
    }
    n_events = 0
    for name in ("synthetic", "weak", "unlabelled"):
        indices, found = CLIPS.indices(name), scores_of(checkpoint, name)
        written = read_events(folder / f"{name}.tsv")
        mask = CLIPS.tags()[indices] if name == "weak" else found.tags >= 0.5
        rows = by_file(CLIPS, indices, (found.scores * mask[:, None]).astype(np.float32))
        assert list(written) == list(rows)
        for filename, scores in rows.items():
            expected = [(e.onset, e.offset, e.event_label) for e in decode(scores, LABELS, decoding)]
            assert [(e.onset, e.offset, e.event_label) for e in written[filename]] == expected
            n_events += len(expected)
    assert n_events > 3


def test_pitfall_weak_clips_keep_their_given_tags_even_where_mlfl_disagrees(checkpoint, folder) -> None:
    given_tags = [set(CLIPS.given_tags[clip] or ()) for clip in CLIPS.indices("weak")]
    found = scores_of(checkpoint, "weak").tags >= 0.5
    assert any(
        {label for label, is_tagged in zip(LABELS, row, strict=True) if is_tagged} != tags
        for row, tags in zip(found, given_tags, strict=True)
    )
    for events, tags in zip(read_events(folder / "weak.tsv").values(), given_tags, strict=True):
        assert {event.event_label for event in events} <= tags


def test_pitfall_unlabelled_pseudo_labels_lie_within_mlfls_tags(checkpoint, folder) -> None:
    found = scores_of(checkpoint, "unlabelled").tags >= 0.5
    for events, row in zip(read_events(folder / "unlabelled.tsv").values(), found, strict=True):
        assert {event.event_label for event in events} <= {
            label for label, is_tagged in zip(LABELS, row, strict=True) if is_tagged
        }


def test_the_detection_branch_can_be_the_source(checkpoint, tmp_path) -> None:
    tag_clips(CLIPS, checkpoint, tmp_path, TagSettings(source="detection"), threads=1)
    _, kept = read_scores(tmp_path / "scores" / "development.npz")
    expected = by_file(CLIPS, CLIPS.indices("development"), scores_of(checkpoint, "development").detection)
    assert all(np.array_equal(kept[filename], of_clip) for filename, of_clip in expected.items())


def test_windows_come_from_synthetic_durations(folder) -> None:
    made_by = json.loads((folder / "windows.json").read_text())
    # every event of these clips lasts ten frames: a third of that is three
    heard = {event.event_label for events in CLIPS.reference("synthetic").values() for event in events}
    assert {made_by["median_frames"][label] for label in heard} == {3}
    assert made_by["settings"] == TagSettings().model_dump()
    assert len(made_by["mlfl_sha256"]) == 64


@given(st.integers(0, 10_000), st.sampled_from([1, 3, 7, 31, 101]))
@settings(max_examples=40)
def test_pitfall_median_of_masked_scores_has_an_odd_width_and_zeros_outside(seed, width) -> None:
    source = np.random.default_rng(seed)
    scores = source.random((2, 40)).astype(np.float32)
    found = majority(scores >= 0.5, width)
    half = width // 2
    for clip in range(2):
        padded = np.concatenate([np.zeros(half), scores[clip], np.zeros(half)])
        medians = [np.median(padded[frame : frame + width]) for frame in range(40)]
        assert np.array_equal(found[clip], np.array(medians) >= 0.5)


def test_pitfall_masking_precedes_the_median() -> None:
    """A median of masked scores: untagged labels are zero before the filter, and stay so after it."""
    scores = np.full((1, 9, 2), 0.9, np.float32)
    active = pseudo_label_activity(scores, np.array([[True, False]]), (3, 3), 0.5)
    assert active[0, :, 0].all()
    assert not active[0, :, 1].any()
    # at the edges most of a wide window is outside
    assert not pseudo_label_activity(scores[:, :4], np.array([[True, True]]), (9, 9), 0.5).any()


def test_pitfall_an_event_of_one_frame_survives_the_tables(tmp_path) -> None:
    active = np.zeros((50, 3), bool)
    active[[7, 49], [0, 2]] = True
    write_events(tmp_path / "weak.tsv", {"0.flac": vectorise(active, LABELS)})
    assert np.array_equal(rasterise(read_events(tmp_path / "weak.tsv")["0.flac"], LABELS, 50), active)


def test_the_labels_go_into_the_clips(folder) -> None:
    labelled = with_pseudo_labels(CLIPS, folder)
    assert labelled.source != CLIPS.source
    for name in ("weak", "unlabelled"):
        written = list(read_events(folder / f"{name}.tsv").values())
        assert [list(labelled.events[clip]) for clip in labelled.indices(name)] == written
    assert [labelled.events[clip] for clip in labelled.indices("synthetic")] == [
        CLIPS.events[clip] for clip in CLIPS.indices("synthetic")
    ]
    # given tags stay what weak clips are trained on
    weak = CLIPS.indices("weak")
    assert np.array_equal(labelled.tags()[weak], CLIPS.tags()[weak])


def test_synthetic_clips_alone_are_tagged(checkpoint, tmp_path) -> None:
    clips = noise_clips({"synthetic": 2})
    tag_clips(clips, checkpoint, tmp_path, TagSettings(), threads=1)
    assert read_events(tmp_path / "weak.tsv") == {}
    assert not (tmp_path / "scores").exists()
    assert with_pseudo_labels(clips, tmp_path) is clips


def test_a_set_is_tagged_alike_in_chunks(checkpoint, folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("train.stages.tag._CHUNK", 2)
    tag_clips(CLIPS, checkpoint, tmp_path, TagSettings(), threads=1)
    for name in ("weak.tsv", "unlabelled.tsv", "synthetic.tsv", "windows.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_mlfl_of_other_labels_is_refused(checkpoint, tmp_path) -> None:
    clips = replace(CLIPS, event_labels=("Cat", "Dog", "Kettle"))
    with pytest.raises(
        SedgeError, match=r"event_labels: expected those of the clips, .*'Kettle'.*found .*'Speech'"
    ):
        tag_clips(clips, checkpoint, tmp_path, TagSettings(), threads=1)


def test_what_is_no_table_of_tags_is_refused(tmp_path) -> None:
    (tmp_path / "tags.npz").write_bytes(b"no archive")
    with pytest.raises(SedgeError, match=r"tags\.npz: expected tags of clips, found"):
        read_tags(tmp_path / "tags.npz")
