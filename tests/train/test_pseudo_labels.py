"""Pseudo labels of tiny models on tones: masks, choice, tables, and going on after a kill."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S, Event, rasterise, vectorise
from edge_app.formats.desed_tsv import read_events, write_events
from tests.train.tone_clips import LABELS, N_FRAMES, STILL, TINY, tiny_loop, tone_clips
from train.fitting.batches import feature_batches
from train.fitting.checkpoint import load_model, save_model
from train.fitting.loop_settings import BatchSettings
from train.models.fbcrnn import clip_tag_scores, window_scores
from train.pseudo import labels as pseudo_labels
from train.pseudo.choice import Choice, read_choice
from train.pseudo.detection_choice import LabelChoice
from train.pseudo.labels import (
    Ensemble,
    PseudoLabelSettings,
    choose,
    contexts_needed,
    label_clips,
    label_set,
    make_pseudo_labels,
    mask_tags,
)
from train.pseudo.quality import pseudo_quality
from train.pseudo.tagging import Tuned
from train.pseudo.windowed import load_ensemble, mean_tag_scores, mean_window_scores
from train.stages.fbcrnn import FBCRNNSettings, train_fbcrnn

SETS = (
    *(("synthetic",) * 8 + ("weak",) * 5 + ("unlabelled",) * 7),
    *(("development",) * 8 + ("weak_development",) * 3),
)
CLIPS, EVENTS = tone_clips(SETS)
TRUTH = {
    name: {CLIPS.filenames[clip]: EVENTS[clip] for clip in CLIPS.indices(name)}
    for name in ("weak", "unlabelled")
}
SETTINGS = PseudoLabelSettings(contexts=(2, 4), filters=(1, 3, 5), choose_clips=6, block_clips=3)
EITHER = Choice(
    (LabelChoice(2, 3, 0.5, None), LabelChoice(4, 1, 0.4, None)), (Tuned(0.5, None), Tuned(0.5, None))
)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> list[Path]:
    """A model that knows the tones, and a slightly different one."""
    folder = tmp_path_factory.mktemp("fbcrnn")
    loop = tiny_loop(steps=60, batch=BatchSettings(synthetic=4), average_decay=0.8, checkpoint_steps=60)
    path = train_fbcrnn(CLIPS, folder / "0", TINY, FBCRNNSettings(), STILL, loop)
    model, _ = load_model(path, "fbcrnn")
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.add_(0.03 * torch.randn(parameter.shape, generator=generator))
    other = folder / "1" / "model.safetensors"
    save_model(other, "fbcrnn", model, LABELS, {})
    return [path, other]


@pytest.fixture(scope="module")
def ensemble(checkpoints) -> Ensemble:
    return Ensemble(load_ensemble(checkpoints, LABELS, torch.device("cpu")), CLIPS, SETTINGS)


def make(checkpoints: list[Path], folder: Path, clips=CLIPS, settings=SETTINGS, truth=None) -> dict[str, str]:
    """Run the stage; the text of each file it leaves."""
    make_pseudo_labels(clips, checkpoints, folder, settings, "cpu", 1, truth)
    assert all(path.is_file() for path in folder.iterdir())
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_every_clip_is_labelled_and_measured(checkpoints, tmp_path):
    files = make(checkpoints, tmp_path, truth=TRUTH)
    assert files.keys() == {"choice.json", "quality.json", "weak.tsv", "unlabelled.tsv"}
    for name in ("weak", "unlabelled"):
        assert read_events(tmp_path / f"{name}.tsv").keys() == TRUTH[name].keys()
        CLIPS.with_events(name, read_events(tmp_path / f"{name}.tsv"))
    choice = json.loads(files["choice.json"])
    assert (choice["metric"], list(choice["labels"])) == ("frame", list(LABELS))
    for label in choice["labels"].values():
        assert label["context_frames"] in SETTINGS.contexts
        assert label["filter_frames"] in SETTINGS.filters
        assert 0 < label["threshold"] < 1
        assert 0 < label["tag_threshold"] < 1
        assert label["f1"] > 0.6
    quality = json.loads(files["quality.json"])
    assert quality["weak"]["clips"] == 5
    assert quality["weak"]["frame_f1_macro"] > 0.6
    assert quality["unlabelled"]["tag_f1_macro"] > 0.6


@pytest.mark.parametrize("kill_at", [0, 1, 2, 4])
def test_a_killed_run_goes_on_to_the_same_tables(checkpoints, tmp_path, monkeypatch, kill_at):
    whole = make(checkpoints, tmp_path / "whole")
    labelled: list[int] = []
    real = pseudo_labels.label_clips

    def dying(ensemble, indices, choice):
        if len(labelled) == kill_at:
            raise KeyboardInterrupt
        labelled.append(len(indices))
        return real(ensemble, indices, choice)

    with monkeypatch.context() as patched:
        patched.setattr(pseudo_labels, "label_clips", dying)
        with pytest.raises(KeyboardInterrupt):
            make_pseudo_labels(CLIPS, checkpoints, tmp_path / "cut", SETTINGS, "cpu", 1)
        kept = len(list((tmp_path / "cut" / "partial").glob("*.json")))
        assert kept == kill_at
        kill_at = 100
        assert make(checkpoints, tmp_path / "cut") == whole
    assert sum(labelled) == 12  # no clip twice


def test_a_finished_run_is_not_repeated_and_another_one_is_not_mixed_in(checkpoints, tmp_path, monkeypatch):
    first = make(checkpoints, tmp_path / "pseudo", truth=TRUTH)
    with monkeypatch.context() as patched:
        patched.setattr(pseudo_labels, "label_clips", None)
        assert make(checkpoints, tmp_path / "pseudo", truth=TRUTH) == first
    (tmp_path / "pseudo" / "partial").mkdir()
    stale = tmp_path / "pseudo" / "partial" / "weak-00000.json"
    stale.write_text(json.dumps({"made_from": "something else", "events": [[]] * 3}))
    changed = SETTINGS.model_copy(update={"filters": (1,)})
    again = make(checkpoints, tmp_path / "pseudo", settings=changed)
    assert again == make(checkpoints, tmp_path / "new", settings=changed)
    assert "quality.json" not in again
    assert make(checkpoints[:1], tmp_path / "pseudo", settings=changed) != again


def test_rows_and_blocks_change_nothing(checkpoints, tmp_path):
    whole = make(checkpoints, tmp_path / "one")
    settings = SETTINGS.model_copy(update={"rows": 17})
    assert make(checkpoints, tmp_path / "two", settings=settings) == whole
    settings = SETTINGS.model_copy(update={"block_clips": 100})
    other = make(checkpoints, tmp_path / "three", settings=settings)
    assert other["weak.tsv"] == whole["weak.tsv"]


def test_pitfall_pseudo_labels_are_among_the_tags_and_weak_clips_keep_their_given_ones(ensemble):
    weak, unlabelled = CLIPS.indices("weak"), CLIPS.indices("unlabelled")
    # given tags that no model would give: the first clip has both sounds, the last has neither
    given = list(CLIPS.given_tags)
    given[weak[0]], given[weak[1]], given[weak[3]] = ("Dog",), (), ("Cat",)
    contrary = replace(ensemble, clips=replace(CLIPS, given_tags=tuple(given)))
    choice = replace(EITHER, tags=(Tuned(0.99, None), Tuned(0.01, None)))
    masks = mask_tags(contrary, weak, choice)
    assert masks.tolist() == [[label in given[clip] for label in LABELS] for clip in weak]
    for clip, events in zip(weak, label_clips(contrary, weak, choice), strict=True):
        assert {event.event_label for event in events} <= set(given[clip])
    scores = mean_tag_scores(ensemble.models, CLIPS, unlabelled)
    found = label_clips(ensemble, unlabelled, EITHER)
    for row, events in zip(scores, found, strict=True):
        allowed = {label for label, score in zip(LABELS, row, strict=True) if score > 0.5}
        assert {event.event_label for event in events} <= allowed
    assert any(found)


def test_an_unlabelled_clip_without_tags_has_an_empty_row(ensemble, tmp_path):
    choice = replace(EITHER, tags=(Tuned(1.0, None), Tuned(1.0, None)))
    labelled = label_set(ensemble, "unlabelled", choice, tmp_path / "partial", "key")
    assert labelled == {name: [] for name in TRUTH["unlabelled"]}
    write_events(tmp_path / "unlabelled.tsv", labelled)
    rows = (tmp_path / "unlabelled.tsv").read_text().splitlines()[1:]
    assert rows == [f"{name}\t\t\t" for name in TRUTH["unlabelled"]]


def test_a_tag_whose_run_does_not_survive_has_no_event(ensemble):
    detection = tuple(replace(chosen, threshold=0.999999) for chosen in EITHER.detection)
    weak = CLIPS.indices("weak")
    assert label_clips(ensemble, weak, replace(EITHER, detection=detection)) == [[]] * len(weak)


activities = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=500).map(np.array)


@given(activities)
def test_pitfall_labels_to_events_to_labels_is_the_identity(tmp_path_factory, active):
    path = tmp_path_factory.getbasetemp() / "round_trip.tsv"
    write_events(path, {"a.wav": vectorise(active, LABELS)})
    events = read_events(path)["a.wav"]
    np.testing.assert_array_equal(rasterise(events, LABELS, len(active)), active)
    assert vectorise(rasterise(events, LABELS, len(active)), LABELS) == events


def test_pitfall_one_frame_events_survive(ensemble, tmp_path):
    weak = CLIPS.indices("weak")
    scores = mean_window_scores(ensemble.models, CLIPS, weak, {2: np.ones(5, bool)}, 512)[2]
    peak = np.sort(scores[0, :, 0])[-2:].astype(np.float64).mean()  # only the highest frame is above
    choice = replace(EITHER, detection=(LabelChoice(2, 1, float(peak), None), EITHER.detection[1]))
    labelled = label_set(ensemble, "weak", choice, tmp_path / "partial", "key")
    write_events(tmp_path / "weak.tsv", labelled)
    cats = [e for e in read_events(tmp_path / "weak.tsv")[CLIPS.filenames[weak[0]]] if e.event_label == "Cat"]
    assert [event.offset - event.onset for event in cats] == [pytest.approx(FRAME_S)]
    pseudo = CLIPS.with_events("weak", read_events(tmp_path / "weak.tsv"))
    assert pseudo.strong_labels()[weak[0], :, 0].sum() == 1


def test_each_context_is_computed_where_a_tag_needs_it_and_the_labels_are_the_same(ensemble):
    tags = np.array([[True, False], [False, True], [True, True], [False, False]])
    needed = contexts_needed(EITHER.detection, tags)
    assert {context: clips.tolist() for context, clips in needed.items()} == {
        2: [True, False, True, False],
        4: [False, True, True, False],
    }
    clips = CLIPS.indices("development")[:4]
    some = mean_window_scores(ensemble.models, CLIPS, clips, needed, 512)
    every = mean_window_scores(ensemble.models, CLIPS, clips, {c: np.ones(4, bool) for c in (2, 4)}, 512)
    for context in (2, 4):
        chosen = needed[context]
        np.testing.assert_allclose(some[context][chosen], every[context][chosen], atol=1e-6)
        assert not some[context][~chosen].any()


def test_scores_are_means_over_models_of_each_clip_alone(ensemble):
    short = replace(CLIPS, n_samples=np.where(np.arange(len(SETS)) == 1, 5_000, CLIPS.n_samples))
    short = replace(short, waveforms=short.waveforms * (np.arange(12_800) < short.n_samples[:, None]))
    scores = mean_window_scores(ensemble.models, short, np.arange(3), {3: np.ones(3, bool)}, 50)[3]
    tags = mean_tag_scores(ensemble.models, short, np.arange(3))
    for clip in range(3):
        (batch,) = feature_batches(short, np.array([clip]), 1, torch.device("cpu"))
        with torch.no_grad():
            pairs = [
                (
                    window_scores(
                        model, model.encode(batch.log_mel, batch.frame_valid), batch.frame_valid, 3
                    ),
                    clip_tag_scores(model(batch.log_mel, batch.frame_valid), batch.frame_valid),
                )
                for model in ensemble.models
            ]
        windows, whole = (torch.stack(parts).mean(0)[0].numpy() for parts in zip(*pairs, strict=True))
        np.testing.assert_allclose(scores[clip], windows, atol=1e-6)
        np.testing.assert_allclose(tags[clip], whole, atol=1e-6)
    assert not scores[1, 15:].any()


def test_choice_is_kept_exactly(ensemble, checkpoints, tmp_path):
    made = choose(ensemble)
    make(checkpoints, tmp_path)
    made_from = json.loads((tmp_path / "choice.json").read_text())["made_from"]
    assert read_choice(tmp_path / "choice.json", made_from) == made
    assert read_choice(tmp_path / "choice.json", "another") is None


def test_event_metric_and_absent_sets(checkpoints, tmp_path):
    clips, _ = tone_clips(("synthetic",) * 2 + ("development",) * 6)
    settings = SETTINGS.model_copy(update={"metric": "event"})
    files = make(checkpoints[:1], tmp_path, clips=clips, settings=settings, truth={})
    assert files["weak.tsv"] == files["unlabelled.tsv"] == "filename\tonset\toffset\tevent_label\n"
    assert json.loads(files["choice.json"])["metric"] == "event"
    assert json.loads(files["quality.json"]) == {}


def test_quality_is_the_f1_of_frames_events_and_tags():
    truth = {"a.wav": [Event(0.0, 0.2, "Cat")], "b.wav": [Event(0.2, 0.4, "Cat")], "c.wav": []}
    found = {"a.wav": [Event(0.0, 0.1, "Cat")], "b.wav": [Event(0.2, 0.8, "Cat")]}
    quality = pseudo_quality(truth, found, LABELS, N_FRAMES)
    assert quality["frame_f1_macro"] == pytest.approx(2 * 15 / (20 + 35))
    assert quality["event_f1_macro"] == pytest.approx(0.5)
    assert quality["tag_f1_macro"] == 1
    assert quality["per_label"]["Dog"] == {"frame_f1": None, "event_f1": None, "tag_f1": None}


def test_what_cannot_be_labelled_is_refused(checkpoints, tmp_path):
    with pytest.raises(SedgeError, match="expected development clips"):
        make(checkpoints, tmp_path, clips=tone_clips(("synthetic", "weak"))[0])
    with pytest.raises(SedgeError, match="expected at least one checkpoint"):
        make([], tmp_path)
    with pytest.raises(SedgeError, match=r"event_labels: expected .*'Bee'.* found .*'Cat'"):
        make(checkpoints, tmp_path, clips=replace(CLIPS, event_labels=("Bee", "Dog")))
    with pytest.raises(SedgeError, match="expected"):
        make(checkpoints, tmp_path, truth={"weak": {}})


@pytest.mark.parametrize(
    ("grid", "complaint"),
    [
        ({"filters": (4,)}, "odd"),
        ({"filters": ()}, "at least one"),
        ({"contexts": (5, 5)}, "different"),
        ({"contexts": (0,)}, "from 1"),
    ],
)
def test_grids_that_make_no_sense_are_refused(grid, complaint):
    with pytest.raises(ValidationError, match=complaint):
        PseudoLabelSettings(**grid)
