"""`sedge listen --store`, then `sedge export`: what was told live is what the tables say."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app import cli
from edge_app.commands import export, listen
from edge_app.core.errors import SedgeError
from edge_app.formats.frame_scores import read_frame_scores
from edge_app.formats.registry import EVENT_FORMATS, READERS, WRITERS
from edge_app.formats.side_files import read_gaps
from edge_app.store.database import Store
from tests.stream.fakes import EVENT_LABELS, ScriptedSource, bursts, fake_detector

RATE = 16_000
LOST = 8_000


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    monkeypatch.setattr(listen, "open_detector", lambda *arguments: fake_detector(hop_frames=arguments[-1]))


def listened(store: Path, *arguments: str) -> list[dict]:
    """News of a session of 12 s in which half a second is lost."""
    steps = [bursts(6 * RATE), LOST, bursts(6 * RATE - LOST, seed=2)]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(out), redirect_stderr(err):
        patched.setattr(listen, "open_detector", lambda *_: fake_detector())
        patched.setattr(listen, "_open_source", lambda _: ScriptedSource(steps))
        assert listen.main(["--format", "jsonl", "--store", str(store), *arguments]) == 0
    assert f"sedge: {store}: keeps this as session " in err.getvalue()
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> tuple[Path, list[dict]]:
    store = tmp_path_factory.mktemp("store") / "what I heard" / "№1.sqlite"
    return store, listened(store)


def run(*arguments: object) -> int:
    return export.main(list(map(str, arguments)))


def test_the_store_holds_what_was_told(kept):
    path, news = kept
    with Store(path) as store:
        [session] = store.sessions()
        events, gaps = store.events(), store.gaps(session.id)
    told = [one for one in news if one["type"] == "closed"]
    assert sorted(
        (e.number, e.event_label, e.onset_sample, e.offset_sample, e.peak, e.cut) for e in events
    ) == sorted(
        (t["id"], t["event_label"], t["onset_sample"], t["offset_sample"], t["score"], t.get("cut", False))
        for t in told
    )
    assert [(gap.start_sample, gap.end_sample, gap.kind) for gap in gaps] == [
        (6 * RATE, 6 * RATE + LOST, "lost")
    ]
    assert session.ended
    assert session.end_sample == 12 * RATE
    assert (session.source, session.model_name) == ("script", "fake")
    settings = json.loads(session.settings_json)
    assert settings["hop_frames"] == 25
    assert set(settings["decoding"]) == set(EVENT_LABELS)


@pytest.mark.parametrize("format_name", EVENT_FORMATS)
def test_every_format_gives_the_events_back(format_name, kept, tmp_path, capsys):
    path, news = kept
    out = tmp_path / "out table"
    assert run(1, "--store", path, "--format", format_name, "--out", out) == 0
    told = sorted((t["onset"], t["offset"], t["event_label"]) for t in news if t["type"] == "closed")
    err = capsys.readouterr().err
    if format_name == "raven":  # its rows need sound behind them, and a session has none
        assert f"0 events of 1 session; {len(told)} left out" in err
        return
    read = READERS[format_name](out)
    assert sorted((round(e.onset, 3), round(e.offset, 3), e.event_label) for e in read.events) == told
    assert f"{out}: {len(told)} events of 1 session" in err
    assert [(gap.onset, gap.offset, gap.kind) for gap in read.gaps] == [(6.0, 6.5, "lost")]


def test_frame_scores_have_zeros_where_nothing_was_heard(kept, tmp_path, capsys):
    path, _ = kept
    out = tmp_path / "night.scores.tsv"
    assert run(1, "--store", path, "--format", "frame-scores", "--out", out) == 0
    assert f"{out}: 600 frames of 1 session\n" in capsys.readouterr().err
    labels, scores = read_frame_scores(out)
    assert labels == EVENT_LABELS
    assert scores.shape == (600, 3)
    lost = ~scores.any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(lost), np.arange(300, 325))
    assert [(gap.onset, gap.offset) for gap in read_gaps(tmp_path / "night.not_analysed.tsv")] == [(6.0, 6.5)]


def test_all_sessions_in_one_table(tmp_path):
    path, out = tmp_path / "a.sqlite", tmp_path / "all.csv"
    news = listened(path) + listened(path)
    assert run("--all", "--store", path, "--out", out) == 0
    events = READERS["csv"](out).events
    assert len(events) == sum(one["type"] == "closed" for one in news)
    assert {event.session_id for event in events} == {1, 2}


def test_formats_of_one_recording_have_a_file_for_each_session(tmp_path, capsys):
    path = tmp_path / "a.sqlite"
    first = listened(path)
    listened(path, "--no-store-scores")
    for format_name, suffix in (("audacity", ".txt"), ("frame-scores", ".scores.tsv")):
        out = tmp_path / format_name / f"all{suffix}"
        out.parent.mkdir()
        assert run("--all", "--store", path, "--format", format_name, "--out", out) == 0
    tracks = sorted((tmp_path / "audacity").glob("all.*.txt"))
    told = sum(one["type"] == "closed" for one in first)
    assert [len(READERS["audacity"](track).events) for track in tracks] == [told, told]
    assert len(list((tmp_path / "frame-scores").glob("*.scores.tsv"))) == 1
    err = capsys.readouterr().err
    assert f"{2 * told} events of 2 sessions" in err
    assert "1 have no scores" in err


def test_scores_are_left_out_where_that_is_asked_for(tmp_path, capsys):
    path = tmp_path / "a.sqlite"
    listened(path, "--no-store-scores")
    assert cli_error(
        capsys, "1", "--store", path, "--format", "frame-scores", "--out", tmp_path / "x.tsv"
    ) == (f"{tmp_path / 'x.tsv'}: expected frame scores, found that none were kept")


def test_a_recording_in_real_time_has_its_time_of_day(tmp_path, capsys):
    path, store = tmp_path / "short.wav", tmp_path / "a.sqlite"
    soundfile.write(path, bursts(RATE), RATE)
    assert cli.main(["listen", "--source", str(path), "--store", str(store)]) == 0
    with Store(store) as opened:
        [session] = opened.sessions()
        anchors = opened.anchors(session.id)
    assert anchors
    start_s = session.started_at.timestamp()
    assert all(abs(one.utc_ns / 1e9 - start_s - one.sample / RATE) < 0.5 for one in anchors)


def cli_error(capsys, *arguments: object) -> str:
    with pytest.raises(SedgeError) as raised:
        run(*arguments)
    return str(raised.value)


def test_wrong_use_is_a_sentence(kept, tmp_path, capsys):
    path, _ = kept
    out = tmp_path / "x.csv"
    assert "expected a store of sessions, found no file" in cli_error(capsys, "1", "--store", tmp_path / "no")
    assert not (tmp_path / "no").exists()
    assert "found none; " in cli_error(capsys, "--store", path, "--out", out)
    assert "UTC, script)" in cli_error(capsys, "--store", path, "--out", out)
    assert "found both" in cli_error(capsys, "1", "--all", "--store", path, "--out", out)
    assert "--out: expected a file" in cli_error(capsys, "1", "--store", path)
    assert "session 9: expected one of the store" in cli_error(capsys, "9", "--store", path, "--out", out)
    (tmp_path / "text").write_text("no database")
    assert "text" in cli_error(capsys, "1", "--store", tmp_path / "text", "--out", out)
    assert not out.exists()


def test_the_store_itself_is_never_written_over(kept, tmp_path, capsys):
    path, _ = kept
    before = path.read_bytes()
    link = tmp_path / "another name"
    link.symlink_to(path)
    for out in (path, link):
        assert "found the store itself" in cli_error(capsys, "1", "--store", path, "--out", out)
    assert path.read_bytes() == before


def test_a_session_that_is_not_there_is_wrong_use(kept, tmp_path, capsys):
    out = tmp_path / "x.csv"
    assert cli.main(["export", "9", "--store", str(kept[0]), "--out", str(out)]) == 2
    assert "session 9: expected one of the store, found none" in capsys.readouterr().err


def test_the_formats_offered_are_those_there_are():
    offered = set(export.FormatName.__args__)  # type: ignore[attr-defined]
    assert offered == set(WRITERS)


def test_a_store_that_cannot_be_opened_ends_it_before_listening(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(listen, "_open_source", lambda _: ScriptedSource([bursts(RATE)]))
    assert cli.main(["listen", "--store", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "cannot be opened" in captured.err
    assert "listening to" not in captured.err
    assert captured.out == ""
