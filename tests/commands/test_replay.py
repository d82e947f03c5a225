"""`sedge listen --store`, then `sedge replay`: the same again, and an exit status that says whether it is."""

import json
import sqlite3

import numpy as np
import pytest
import soundfile

from edge_app import cli
from edge_app.commands import listen, replay
from edge_app.store.database import Store
from tests.stream.fakes import ScriptedSource, bursts, fake_detector

RATE = 16_000


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    for command in (listen, replay):
        monkeypatch.setattr(command, "open_detector", lambda *_: fake_detector())


@pytest.fixture
def store(tmp_path, monkeypatch):
    path = tmp_path / "history.sqlite"
    steps = [bursts(5 * RATE) / 4, RATE // 2, bursts(4 * RATE, seed=2) / 4]
    with monkeypatch.context() as patched:
        patched.setattr(listen, "_open_source", lambda _: ScriptedSource(steps))
        assert (
            listen.main(["--store", str(path), "--store-sound", "--keep-days", "30", "--keep-gb", "1"]) == 0
        )
    return path


def test_a_session_is_the_same_again_and_0(store, capsys):
    assert cli.main(["replay", "1", "--store", str(store)]) == 0
    assert (
        "events in 9.0 s heard once more, the same as live; scores differ by at most 0.00"
        in capsys.readouterr().out
    )
    assert cli.main(["replay", "1", "--store", str(store), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == []


def test_differences_are_told_and_1(store, capsys):
    with sqlite3.connect(store) as opened:
        opened.execute("DELETE FROM event WHERE number = (SELECT min(number) FROM event)")
    assert cli.main(["replay", "1", "--store", str(store), "--format", "json"]) == 1
    [difference] = json.loads(capsys.readouterr().out)["differences"]
    assert difference["kind"] == "extra"
    assert cli.main(["replay", "1", "--store", str(store)]) == 1
    assert "1 not as live: " in capsys.readouterr().out


def test_a_file_that_was_heard_is_heard_again(tmp_path, capsys):
    path, recording = tmp_path / "history.sqlite", tmp_path / "room.flac"
    soundfile.write(recording, bursts(6 * RATE) / 4, RATE)
    arguments = ["--source", str(recording), "--no-realtime", "--duration", "4.99", "--store", str(path)]
    assert cli.main(["listen", *arguments]) == 0
    assert cli.main(["replay", "1", "--store", str(path)]) == 0
    assert "the same as live" in capsys.readouterr().out


def test_wrong_use_is_a_sentence(store, tmp_path, capsys):
    assert cli.main(["replay", "1", "--store", str(tmp_path / "none")]) == 2
    assert "expected a store of sessions, found no file" in capsys.readouterr().err
    assert cli.main(["replay", "9", "--store", str(store)]) == 2
    assert "session 9: expected one of the store, found none" in capsys.readouterr().err
    assert cli.main(["listen", "--store", str(store), "--keep-days", "-1"]) == 2
    assert "--keep-days: expected more than 0 and finite, found -1.0" in capsys.readouterr().err


def test_a_session_without_sound_is_wrong_use_and_2(store, capsys):
    for recording in store.with_name("history.clips").iterdir():
        recording.unlink()
    assert cli.main(["replay", "1", "--store", str(store)]) == 2
    assert "session 1: expected its sound, found none" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--store-sound",), ("--keep-days", "3"), ("--keep-gb", "3")])
def test_what_is_kept_needs_a_store(option, capsys):
    assert cli.main(["listen", "--source", "none.wav", *option]) == 2
    assert f"{option[0]}: expected --store beside it, found none" in capsys.readouterr().err


def test_sound_that_could_not_be_kept_is_told_and_1(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.clips").write_text("a file where the folder would be")
    monkeypatch.setattr(listen, "_open_source", lambda _: ScriptedSource([bursts(RATE)]))
    assert cli.main(["listen", "--store", str(tmp_path / "a.sqlite"), "--store-sound"]) == 1
    assert "a.clips: cannot be written" in capsys.readouterr().err


def test_sound_is_kept_only_where_it_was_asked_for(store, tmp_path, monkeypatch):
    with Store(store) as opened:
        [session] = opened.sessions()
    assert session.recording is not None
    assert len(soundfile.read(session.recording)[0]) == 9 * RATE + RATE // 2
    other = tmp_path / "other.sqlite"
    monkeypatch.setattr(listen, "_open_source", lambda _: ScriptedSource([np.zeros(RATE, np.float32)]))
    assert listen.main(["--store", str(other)]) == 0
    assert not (tmp_path / "other.clips").exists()
