"""The journal of a run: what it keeps, what it refuses, and what it makes of a list that has changed."""

import os
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.scoring import journal as journal_module
from edge_app.scoring.journal import Counts, Failure, Identity, Journal, Reconciled, Result, has_run
from edge_app.scoring.task import Outcome

IDENTITY = Identity("1.0", "tiny", "ab" * 32, {"context": "clip", "frame_scores": None})
WITH_SCORES = replace(IDENTITY, settings={"frame_scores": "raw", "score_format": "npz"})
EVENTS = (Event(0.1 + 0.2, 1.02, "Cat", 1 / 3), Event(0.3, 0.34, "Dog", 0.1))


@pytest.fixture
def out(tmp_path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def found(tmp_path) -> dict[str, Path]:
    return {name: put(tmp_path / name, name) for name in ("b.wav", "a.wav", "c.flac")}


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def filenames(journal: Journal, **options) -> list[str]:
    return [task.filename for task in journal.tasks(**options)]


def test_what_is_recorded_comes_back_exactly(out, found) -> None:
    with Journal.create(out, IDENTITY, found) as journal:
        first, second, third = journal.tasks()
        assert (first.position, first.filename, first.path) == (0, "b.wav", found["b.wav"])
        assert (first.size, first.modified_ns) == (5, found["b.wav"].stat().st_mtime_ns)
        assert first.scores_path is None
        journal.record(Outcome(2, (), 1.5))
        journal.record(Outcome(0, EVENTS, 10 / 3, wall_s=0.1))
        journal.record(Outcome(1, error="a.wav: expected sound, found none"))
    with Journal.open(out, IDENTITY) as journal:
        assert list(journal.results()) == [
            Result("b.wav", found["b.wav"], 10 / 3, EVENTS),
            Result("c.flac", found["c.flac"], 1.5, ()),
        ]
        assert list(journal.failures()) == [Failure("a.wav", "a.wav: expected sound, found none")]
        counts = journal.counts()
        assert counts == Counts(2, 1, 0, 2, 10 / 3 + 1.5, counts.wall_s, 11, 5, 0)
        assert filenames(journal) == []
        assert filenames(journal, retry_failed=True) == ["a.wav"]
        journal.record(Outcome(1, EVENTS[:1], 2.0))
        assert list(journal.failures()) == []
        assert [result.filename for result in journal.results()] == ["b.wav", "a.wav", "c.flac"]
    assert list(found) == [second.filename if name == "a.wav" else name for name in found]
    assert third.filename == "c.flac"


def test_numbers_are_kept_to_the_last_bit(out) -> None:
    events = st.builds(Event, st.floats(0, 1e6), st.floats(0, 1e6), st.text(max_size=9), st.floats(0, 1))
    with Journal.create(out, IDENTITY, {"a.wav": out / "a.wav"}) as journal:

        @given(st.lists(events, max_size=5), st.floats(0, 1e6))
        def check(events: list[Event], duration_s: float) -> None:
            journal.record(Outcome(0, tuple(events), duration_s))
            [result] = journal.results()
            assert (list(result.events), result.duration_s) == (events, duration_s)

        check()


def test_names_that_the_system_cannot_decode_are_kept(out, tmp_path) -> None:
    name = os.fsdecode(b"caf\xe9/\xff.wav")
    with Journal.create(out, WITH_SCORES, {name: tmp_path / name}) as journal:
        [task] = journal.tasks()
        assert (task.filename, task.path) == (name, tmp_path / name)
        assert task.scores_path == out / "scores" / os.fsdecode(b"caf\xe9/\xff.npz")
        assert (task.size, task.modified_ns) == (0, 0)
        journal.record(Outcome(0, error=f"{name}: expected sound"))
        assert list(journal.failures()) == [Failure(name, f"{name}: expected sound")]
        assert journal.reconcile({name: tmp_path / name}) == Reconciled()


def test_scores_of_files_alike_keep_their_suffix(out, tmp_path) -> None:
    found = {name: tmp_path / name for name in ("x/a.wav", "y/a.wav", "x/b.wav", "x/a.flac")}
    with Journal.create(out, WITH_SCORES, found) as journal:
        names = [task.scores_path.relative_to(out).as_posix() for task in journal.tasks()]
    assert names == ["scores/x/a.wav.npz", "scores/y/a.npz", "scores/x/b.npz", "scores/x/a.flac.npz"]


def test_second_run_in_one_folder_is_refused(out, found) -> None:
    with Journal.create(out, IDENTITY, found):
        for begin in (
            lambda: Journal.open(out, IDENTITY),
            lambda: Journal.create(out, IDENTITY, found, overwrite=True),
        ):
            with pytest.raises(SedgeError, match="expected a folder that no other run works in") as told:
                begin()
            assert str(told.value).startswith(f"{out}: ")
    assert not (out / "journal.lock").exists()
    Journal.open(out, IDENTITY).close()


def test_run_that_was_begun_is_not_begun_again(out, found) -> None:
    assert not has_run(out)
    with pytest.raises(SedgeError, match="expected a folder with a run to go on with"):
        Journal.open(out)
    with Journal.create(out, WITH_SCORES, found):
        pass
    assert has_run(out)
    with pytest.raises(SedgeError, match="expected a folder without a run"):
        Journal.create(out, IDENTITY, found)
    (out / "scores").mkdir()
    (out / "labels" / "deep").mkdir(parents=True)
    for name in ("scores/a.npz", "scores/other.npz", "labels/a.txt", "labels/c.txt"):
        (out / name).touch()
    with Journal.create(out, IDENTITY, {}, overwrite=True) as journal:
        assert journal.counts() == Counts(0, 0, 0, 0, 0.0, 0.0, 0, 0, 0)
    assert [path.name for path in (out / "scores").iterdir()] == ["other.npz"]
    assert not (out / "labels").exists()


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (replace(IDENTITY, sedge_version="2.0"), "sedge_version: expected '1.0', found '2.0'"),
        (replace(IDENTITY, graph_sha256="cd" * 32), "graph_sha256: expected 'abab"),
        (
            replace(IDENTITY, settings={"context": "live", "frame_scores": None}),
            "settings.context: expected 'clip'",
        ),
        (
            replace(IDENTITY, settings={**IDENTITY.settings, "gain": 2}),
            "settings.gain: expected None, found 2",
        ),
    ],
)
def test_run_goes_on_only_with_what_it_was_begun_with(out, found, other, field) -> None:
    Journal.create(out, IDENTITY, found).close()
    with pytest.raises(SedgeError) as told:
        Journal.open(out, other)
    assert field in str(told.value)
    with Journal.open(out) as journal:
        assert journal.identity == IDENTITY


def test_journal_that_is_none_or_of_another_version_is_told(out, found) -> None:
    (out / "journal.sqlite").write_text("not a database, but more than a hundred bytes long" * 9)
    for begin in (lambda: has_run(out), lambda: Journal.open(out), lambda: Journal.create(out, IDENTITY, {})):
        with pytest.raises(SedgeError, match=r"journal\.sqlite: expected a journal"):
            begin()
    Journal.create(out, replace(IDENTITY, schema_version=9), found, overwrite=True).close()
    with pytest.raises(SedgeError, match="schema_version: expected 1, found 9"):
        Journal.open(out, IDENTITY)


def test_begin_that_was_cut_short_leaves_nothing(out, found) -> None:
    class Interrupted(dict):
        def items(self):
            yield from super().items()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Journal.create(out, IDENTITY, Interrupted(found))
    assert not has_run(out)
    with Journal.create(out, IDENTITY, found) as journal:
        assert filenames(journal) == list(found)


def test_list_that_has_changed(out, found, tmp_path) -> None:
    with Journal.create(out, IDENTITY, found) as journal:
        for position in (0, 1):
            journal.record(Outcome(position, EVENTS, 1.0))
        put(found["a.wav"], "longer than before")
        new = {"d.wav": put(tmp_path / "d.wav", "d"), "a.wav": found["a.wav"]}
        assert journal.reconcile(new) == Reconciled(added=1, changed=1, dropped=1)
        assert filenames(journal) == ["a.wav", "d.wav"]
        assert [result.filename for result in journal.results()] == ["b.wav"]
        assert journal.counts().events == 2
        [task, _] = journal.tasks()
        assert task.size == 18


def test_own_list_is_looked_through_again(out, found) -> None:
    with Journal.create(out, IDENTITY, found) as journal:
        journal.record(Outcome(0, EVENTS, 1.0))
        journal.record(Outcome(1, EVENTS, 1.0))
        found["b.wav"].unlink()  # done: what is known of it stays
        os.utime(found["a.wav"], ns=(1, 1))
        found["c.flac"].unlink()  # waiting: opening it says what is wrong
        assert journal.reconcile() == Reconciled(changed=1)
        assert [(task.filename, task.modified_ns) for task in journal.tasks()] == [
            ("a.wav", 1),
            ("c.flac", 0),
        ]


def test_scores_that_get_another_name_are_written_again(out, found, tmp_path) -> None:
    with Journal.create(out, WITH_SCORES, found) as journal:
        for position in range(3):
            journal.record(Outcome(position))
        (out / "scores").mkdir()
        for name in ("a.npz", "b.npz"):
            (out / "scores" / name).touch()
        found["a.mp3"] = put(tmp_path / "a.mp3", "a")
        assert journal.reconcile(found) == Reconciled(added=1)
        names = {task.filename: task.scores_path.name for task in journal.tasks()}
    assert names == {"a.wav": "a.wav.npz", "a.mp3": "a.mp3.npz"}
    assert [path.name for path in (out / "scores").iterdir()] == ["b.npz"]


def test_pages_leave_nothing_out_while_outcomes_come_in(out, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(journal_module, "PAGE", 3)
    found = {f"{number}.wav": tmp_path / f"{number}.wav" for number in range(11)}
    with Journal.create(out, IDENTITY, found) as journal:
        for task in journal.tasks():
            error = "bad" if task.position % 4 == 0 else ""
            journal.record(Outcome(task.position, EVENTS, 1.0, error))
        assert len(list(journal.results())) == 8
        retried = []
        for task in journal.tasks(retry_failed=True):
            retried.append(task.position)
            journal.record(Outcome(task.position, error="bad again"))
        assert retried == [0, 4, 8]
        assert [failure.error for failure in journal.failures()] == ["bad again"] * 3


def test_what_is_recorded_is_soon_on_the_disk(out, tmp_path, monkeypatch) -> None:
    def on_disk() -> int:
        reader = sqlite3.connect(out / "journal.sqlite")
        try:
            return int(reader.execute("SELECT COUNT(*) FROM recording WHERE state = 'done'").fetchone()[0])
        finally:
            reader.close()

    found = {f"{number}.wav": tmp_path / f"{number}.wav" for number in range(300)}
    with Journal.create(out, IDENTITY, found) as journal:
        now = [1000.0]
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        journal.commit()
        for position in range(99):
            journal.record(Outcome(position))
        assert on_disk() == 0
        journal.record(Outcome(99))
        assert on_disk() == 100
        journal.record(Outcome(100))
        now[0] += journal_module.COMMIT_S
        journal.settle()
        assert on_disk() == 101


def test_time_that_a_run_takes_adds_up(out, found, monkeypatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Journal.create(out, IDENTITY, found) as journal:
        now[0] += 0.1
        journal.record(Outcome(0))
        now[0] += 0.2
        journal.record(Outcome(1))
    now[0] += 50
    with Journal.open(out, IDENTITY) as journal:
        now[0] += 4
        journal.commit()
        assert journal.counts().wall_s == pytest.approx(0.1 + 0.2 + 4)


def test_full_disk_is_told_as_what_it_is(out, found) -> None:
    def fill(journal: Journal) -> None:
        try:  # as a run does
            for _ in range(9):
                journal.record(Outcome(1, EVENTS * 500, 1.0))
        finally:
            journal.commit()

    with Journal.create(out, IDENTITY, found) as journal:
        journal.record(Outcome(0, EVENTS, 1.0))
        journal.commit()
        journal._connection.execute("PRAGMA max_page_count = 1")  # no more than it has
        with pytest.raises(SedgeError) as told:
            fill(journal)
    path = out / "journal.sqlite"
    assert str(told.value) == (
        f"{path}: expected a journal that can be read and written, found: database or disk is full"
    )
    with Journal.open(out, IDENTITY) as journal:
        assert [result.filename for result in journal.results()] == ["b.wav"]


def test_any_thread_may_use_it(out, found) -> None:
    with Journal.create(out, IDENTITY, found) as journal:
        thread = threading.Thread(target=lambda: journal.record(Outcome(1, EVENTS, 1.0)))
        thread.start()
        thread.join()
        assert [result.filename for result in journal.results()] == ["a.wav"]
        with pytest.raises(ValueError, match="position 7"):
            journal.record(Outcome(7))


def test_what_a_killed_run_began_to_write_is_removed(out, found) -> None:
    Journal.create(out, IDENTITY, found).close()
    for folder in ("", "labels/deep", "scores/deep"):
        (out / folder).mkdir(parents=True, exist_ok=True)
        (out / folder / ".x.tsv.123-0a1b2c3d.part").touch()
        (out / folder / "own.part").touch()
    Journal.open(out, IDENTITY).close()
    left = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.part"))
    assert left == ["labels/deep/own.part", "own.part", "scores/deep/own.part"]
