"""The loop that scores recordings: what it tells, what it passes on, and where it stops."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.core.errors import SedgeError
from edge_app.scoring import run
from edge_app.scoring.build_export import build_export
from edge_app.scoring.run import score_recordings
from edge_app.scoring.spool import ScoreSpool
from tests.stream.fakes import EVENT_LABELS, bursts, fake_detector

RATE = 16_000


@pytest.fixture
def recordings(tmp_path) -> dict[str, Path]:
    (tmp_path / "bad.wav").write_bytes(b"RIFF, but not sound")
    for seed, name in enumerate(("one.wav", "two.wav")):
        soundfile.write(tmp_path / name, bursts(6 * RATE, seed=seed + 1), RATE)
    return {name: tmp_path / name for name in ("one.wav", "bad.wav", "two.wav")}


def test_what_fails_is_told_and_the_others_are_done(recordings) -> None:
    news, detector = [], fake_detector()
    assert score_recordings(detector, recordings, news.append)
    ends = {one.filename: one for one in news if one.stage != "working"}
    assert {name: one.stage for name, one in ends.items()} == {
        "one.wav": "done",
        "bad.wav": "failed",
        "two.wav": "done",
    }
    assert "bad.wav" in ends["bad.wav"].error
    for name in ("one.wav", "two.wav"):
        assert ends[name].detection == detector.detect_file(recordings[name])
        assert ends[name].done_s == 6.0
    assert [one.filename for one in news if one.done_s == 0 and one.stage == "working"] == list(recordings)


def test_progress_within_a_recording_grows(recordings, monkeypatch) -> None:
    monkeypatch.setattr(run, "TELL_S", -1.0)
    news = []
    score_recordings(fake_detector(), {"one.wav": recordings["one.wav"]}, news.append)
    done = [one.done_s for one in news]
    assert done == sorted(done)
    assert len(done) > 5
    assert done[-1] == 6.0


def test_every_score_is_passed_on_once(recordings) -> None:
    raw_parts, smoothed_parts, ended = [], [], []

    @contextmanager
    def open_take(filename):
        def take(raw, smoothed):
            raw_parts.append(raw)
            smoothed_parts.append(smoothed)

        yield take
        ended.append(filename)

    score_recordings(fake_detector(), recordings, lambda _: None, open_take)
    assert np.concatenate(raw_parts).shape == np.concatenate(smoothed_parts).shape == (600, len(EVENT_LABELS))
    assert ended == ["one.wav", "two.wav"]  # what fails is left through its error


@pytest.mark.parametrize("after", [0, 1, 3, 12])
def test_stopped_run_tells_nothing_of_the_recording_it_fell_into(recordings, after) -> None:
    asked, news, left = [], [], []

    @contextmanager
    def open_take(filename):
        try:
            yield None
        except BaseException:
            left.append(filename)
            raise

    def is_stopped() -> bool:
        asked.append(True)
        return len(asked) > after

    assert not score_recordings(fake_detector(), recordings, news.append, open_take, is_stopped)
    done = [one.filename for one in news if one.stage == "done"]
    begun = [one.filename for one in news if one.stage == "working" and not one.done_s]
    assert done == []
    assert begun == left == (["one.wav"] if after else [])


def test_what_cannot_be_opened_for_the_scores_fails_alone(recordings) -> None:
    @contextmanager
    def open_take(filename):
        if filename == "one.wav":
            raise SedgeError("scores: expected a folder, found a file")
        if filename == "two.wav":
            raise ZeroDivisionError("odd\nwords")
        yield None

    news = []
    score_recordings(fake_detector(), recordings, news.append, open_take)
    errors = [one.error for one in news if one.stage == "failed"]
    assert errors[0] == "scores: expected a folder, found a file"
    assert errors[2] == f"{recordings['two.wav']}: expected to be scored, found ZeroDivisionError: odd words"


def test_spooled_scores_are_the_model_s(recordings) -> None:
    detector, spool, news = fake_detector(), ScoreSpool(), []
    score_recordings(detector, recordings, news.append, lambda name: spool.take(name, detector.event_labels))
    detections = {one.filename: one.detection for one in news if one.stage == "done"}
    export = build_export(detector, recordings, detections, spool.scores())
    assert list(export.scores) == list(export.recordings) == ["one.wav", "two.wav"]
    parts = []
    detector.detect_file(recordings["two.wav"], lambda raw, _: parts.append(raw))
    np.testing.assert_array_equal(export.scores["two.wav"].whole(), np.concatenate(parts))
    assert export.scores["two.wav"].n_frames == 300
    assert {event.source for event in export.events} <= {str(path) for path in recordings.values()}
    spool.clear()
    with pytest.raises(SedgeError, match="cannot be read"):
        export.scores["two.wav"].whole()
    assert spool.scores() == {}


def test_disk_that_is_full_costs_the_scores_only(recordings, monkeypatch) -> None:
    detector, spool, news = fake_detector(), ScoreSpool(), []
    real = Path.open

    class FullDisk:
        def write(self, _):
            raise OSError(28, "No space left on device")

        def close(self):
            raise OSError(28, "No space left on device")

    def open_full(path, mode="r", *arguments, **options):
        return FullDisk() if path.suffix == ".float32" else real(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_full)
    score_recordings(detector, recordings, news.append, lambda name: spool.take(name, detector.event_labels))
    assert [one.stage for one in news if one.stage != "working"] == ["done", "failed", "done"]
    assert spool.scores() == {}
    spool.clear()
