"""`sedge listen` telling others: a real server, real commands, and news that come as if nobody were told."""

import json
import os
import shlex
import sys
import time
from datetime import datetime
from functools import partial, partialmethod
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tyro

from edge_app import cli
from edge_app.actions.action import Action
from edge_app.commands import listen
from tests.actions.receivers import nobody, receiver, silent_server
from tests.stream.fakes import ScriptedSource, bursts, fake_detector

RATE = 16_000
APPEND = "import os, sys; open(sys.argv[1], 'a').write(sys.stdin.read())"
UNIT = Path(listen.__file__).parents[1] / "service" / "sedge.service"


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    monkeypatch.setattr(listen, "open_detector", lambda *arguments: fake_detector(hop_frames=arguments[-1]))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "my clip\t№1.wav"
    soundfile.write(path, bursts(20 * RATE), RATE, subtype="PCM_16")
    return path


def run(capsys, recording: Path, *arguments: str) -> tuple[list[dict], str]:
    fast = ["listen", "--source", str(recording), "--no-realtime", "--format", "jsonl"]
    assert cli.main([*fast, *arguments]) == 0
    captured = capsys.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err


def first_of_each_label(news: list[dict]) -> list[dict]:
    confirmed = [one for one in news if one["type"] == "confirmed"]
    return [
        one
        for place, one in enumerate(confirmed)
        if one["event_label"] not in [other["event_label"] for other in confirmed[:place]]
    ]


def test_confirmed_events_are_posted_once_a_label_and_nothing_else_is(recording, capsys):
    with receiver() as server:
        news, err = run(capsys, recording, "--webhook", f"{server.url}/T0P-s3cret")
    around = {"source": str(recording), "model": "fake"}
    assert server.told == [one | around for one in first_of_each_label(news)]
    assert len(server.told) == 3
    confirmed = sum(one["type"] == "confirmed" for one in news)
    assert confirmed > 3
    assert err.splitlines()[-1] == (
        f"sedge: webhook {server.url}: told of 3 events, {confirmed - 3} held back by the cooldown"
    )


def test_without_a_cooldown_every_confirmed_event_is_told_in_order(recording, capsys):
    with receiver() as server:
        news, _ = run(capsys, recording, "--webhook", server.url, "--cooldown-s", "0")
    assert [one["id"] for one in server.told] == [one["id"] for one in news if one["type"] == "confirmed"]


def test_a_command_is_run_without_getting_into_the_news(recording, capsys, tmp_path):
    target = tmp_path / "it's told.jsonl"
    command = shlex.join([sys.executable, "-S", "-c", f"print('not seen'); {APPEND}", str(target)])
    news, err = run(capsys, recording, "--on-event", command)
    told = [json.loads(line) for line in target.read_text().splitlines()]
    assert [one["id"] for one in told] == [one["id"] for one in first_of_each_label(news)]
    assert "told of 3 events" in err


def test_pitfall_told_while_the_event_still_sounds(capsys, monkeypatch):
    """The rest of the sound is held back until the receiver knows of the event: told at its end, it never would."""
    loud = bursts(8000, seed=3)
    loud = np.tile(loud / np.abs(loud).max(), 6)
    with receiver() as server:
        steps = [
            np.zeros(2 * RATE, np.float32),
            loud,
            lambda: server.wait_for(1),
            loud,
            np.zeros(RATE, np.float32),
        ]
        monkeypatch.setattr(listen, "_open_source", lambda _: ScriptedSource(steps))
        assert cli.main(["listen", "--format", "jsonl", "--webhook", server.url]) == 0
    news = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    event = server.told[0]
    [end] = [one["offset"] for one in news if one["type"] == "closed" and one["id"] == event["id"]]
    assert event["offset"] < 5.0 < end


@pytest.mark.parametrize("kind", ["error", "nobody", "silent", "command"])
def test_pitfall_a_receiver_in_trouble_changes_neither_news_nor_their_time(
    kind, recording, capsys, monkeypatch
):
    monkeypatch.setattr(Action, "close", partialmethod(Action.close, grace_s=0.05))
    begin = time.perf_counter()
    expected, _ = run(capsys, recording)
    alone_s = time.perf_counter() - begin
    with receiver(*[500] * 99) as failing, nobody() as dead, silent_server() as silent:
        url = {"error": failing.url, "nobody": dead, "silent": silent}.get(kind)
        stuck = shlex.join([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        arguments = ["--webhook", url] if url else ["--on-event", stuck]
        begin = time.perf_counter()
        news, err = run(capsys, recording, *arguments, "--cooldown-s", "0")
        beside_s = time.perf_counter() - begin
    assert news[:-1] == expected[:-1]
    assert "told of 0 events" in err
    assert ("failed" if kind in ("error", "nobody") else "given up at the end") in err
    assert "Traceback" not in err
    assert "/hook" not in err
    assert beside_s < alone_s + 8.0  # a single attempt may take ten, and twenty events are told


def test_drops_are_counted_at_the_end(recording, capsys, monkeypatch):
    monkeypatch.setattr(Action, "close", partialmethod(Action.close, grace_s=0.0))
    monkeypatch.setattr(listen, "Action", partial(Action, capacity=1))
    with silent_server() as url:
        news, err = run(capsys, recording, "--webhook", url, "--cooldown-s", "0")
    confirmed = sum(one["type"] == "confirmed" for one in news)
    assert err.splitlines()[-1].endswith(
        f"told of 0 events, {confirmed - 2} dropped because 1 were waiting, 2 given up at the end"
    )


def test_in_real_time_the_time_of_day_is_told(tmp_path, capsys):
    path = tmp_path / "short.wav"
    soundfile.write(path, bursts(RATE), RATE)
    with receiver() as server:
        before = time.time()
        assert cli.main(["listen", "--source", str(path), "--webhook", server.url]) == 0
        after = time.time()
    assert server.told
    for one in server.told:
        begin = datetime.fromisoformat(one["onset_utc"]).timestamp() - one["onset"]
        assert before - 0.1 <= begin <= after - 1.0 + 0.1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--on-event", ""], "command: expected a program"),
        (["--on-event", "no-such-program --key T0P"], "found none called no-such-program"),
        (["--webhook", "ftp://example.org/T0P"], "webhook: expected a URL that begins with http"),
        (["--webhook", "@no such T0P-less file"], "--webhook: no such T0P-less file: expected a file"),
        (["--cooldown-s", "-1"], "--cooldown-s: expected 0 or more"),
        (["--cooldown-s", "nan"], "--cooldown-s: expected 0 or more"),
    ],
)
def test_wrong_use_is_told_before_the_model_is_loaded(arguments, words, monkeypatch, capsys, recording):
    def loaded(*_):
        raise AssertionError("loaded")

    monkeypatch.setattr(listen, "open_detector", loaded)
    assert cli.main(["listen", "--source", str(recording), *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "T0P" not in err.replace("T0P-less", "")


def test_the_address_may_come_from_a_file(recording, capsys, tmp_path):
    with receiver() as server:
        secret = tmp_path / "web hook"
        secret.write_text(f"{server.url}/T0P-s3cret?k=1\nsecond line\n")
        _, err = run(capsys, recording, "--webhook", f"@{secret}")
    assert {path for _, path, *_ in server.requests} == {"/T0P-s3cret?k=1"}
    assert "T0P" not in err


def test_the_service_runs_what_the_command_takes(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    lines = UNIT.read_text().splitlines()
    [start] = [line for line in lines if line.startswith("ExecStart=")]
    program, command, *arguments = shlex.split(
        start.removeprefix("ExecStart=").replace("%h", os.environ["HOME"])
    )
    assert (Path(program).name, command) == ("sedge", "listen")
    args = tyro.cli(listen.ListenArgs, args=arguments)
    listen._check(args)
    assert args.store == tmp_path / ".local/share/sedge/history.sqlite"
