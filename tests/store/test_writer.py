"""The writer of a live session: a slow, full or write-protected disk holds nothing up and loses no event."""

import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.store.clips import ClipKeeper, ClipWishes
from edge_app.store.clock import NS, to_ns
from edge_app.store.database import Store
from edge_app.store.history import History
from edge_app.store.queries import EventFilter
from edge_app.store.writer import StoreWriter
from tests.store.told import RATE, STARTED, event, facts, gap

REPOSITORY = Path(__file__).resolve().parents[2]
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX systems")


def run_recorder(what: str, path: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "tests.store.recorder", what, str(path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_a_session_is_written_and_ended(tmp_path):
    path = tmp_path / "history.sqlite"
    writer = StoreWriter(path)
    writer.begin(facts())
    for number in range(1, 51):
        writer.take(event("provisional", number, number * RATE, number * RATE + 320))
        writer.take(event("confirmed", number, number * RATE, number * RATE + 320))
        writer.scores(number * 50, ("Dog",), np.full((50, 1), 0.5, np.float32))
        writer.take(event("closed", number, number * RATE, number * RATE + 640))
        writer.anchor(number * RATE, number * NS, to_ns(STARTED) + number * NS)
    writer.take(gap(51 * RATE, 52 * RATE))
    assert writer.close() is None
    assert (writer.waiting, writer.dropped) == (0, 0)
    with Store(path) as store:
        assert store.recovered == []
        events = store.events()
        assert [record.number for record in events] == list(range(1, 51))
        assert [record.mean for record in events] == [pytest.approx(128 / 255)] * 50
        assert [one.sample // RATE for one in store.anchors(1)] == [1, 11, 21, 31, 41]
        assert sum(len(block.scores) for block in store.score_blocks(1)) == 50 * 50
    assert not [thread for thread in threading.enumerate() if thread.name == "sedge-store"]


def test_closing_a_writer_that_never_began_does_nothing(tmp_path):
    assert StoreWriter(tmp_path / "history.sqlite").close() is None
    assert list(tmp_path.iterdir()) == []


def test_pitfall_slow_disk_holds_nothing_up_and_the_queue_stays_bounded(tmp_path):
    path = tmp_path / "history.sqlite"
    writer = StoreWriter(path, capacity=1000, spare_capacity=20)
    writer.begin(facts())
    assert writer.flush()
    disk = sqlite3.connect(path, isolation_level=None)
    disk.execute("BEGIN IMMEDIATE")  # from here on the writer waits
    for number in range(1, 501):
        writer.take(event("closed", number, number * RATE, number * RATE + 320))
        writer.take(event("update", number, number * RATE, number * RATE + 320))
        writer.scores(number * 1000, ("Dog",), np.zeros((500, 1), np.float32))
    waiting, dropped = writer.waiting, writer.dropped
    disk.execute("ROLLBACK")
    disk.close()
    assert waiting >= 500
    assert writer.max_depth <= 1000 + 20 + 500  # and one batch on its way
    assert dropped > 0
    assert writer.close() == f"{path}: items of this session that could not be kept: {writer.dropped}"
    assert writer.problem is not None
    with Store(path) as store:
        assert [record.number for record in store.events()] == list(range(1, 501))
        assert all(record.state == "open" for record in store.events()) is False
        assert len(store.score_blocks(1)) < 500


def test_an_item_that_cannot_be_written_does_not_stop_the_others(tmp_path):
    path = tmp_path / "history.sqlite"
    writer = StoreWriter(path)
    writer.begin(facts())
    writer.take(event("closed", 1, 0, 320))
    writer.take(event("closed", 2, 0, 2**70))
    writer.take(event("closed", 3, 0, 320))
    assert str(writer.close()).endswith("that could not be kept: 1")
    assert writer.dropped == 1
    with Store(path) as store:
        assert [record.number for record in store.events()] == [1, 3]


@on_posix
def test_a_database_that_is_removed_meanwhile_is_told_and_what_waits_is_kept_once_it_is_back(tmp_path):
    path, elsewhere = tmp_path / "history.sqlite", tmp_path / "elsewhere.sqlite"
    writer = StoreWriter(path)
    writer.begin(facts())
    assert writer.flush()
    path.rename(elsewhere)
    writer.take(event("closed", 1, 0, 320))
    assert not writer.flush()
    assert writer.problem == f"{path}: expected the database of this session, found it gone"
    elsewhere.rename(path)
    assert writer.close() is None
    with Store(path) as store:
        assert [record.number for record in store.events()] == [1]


def test_clips_are_cut_and_found_beside_their_events(tmp_path):
    path = tmp_path / "history.sqlite"
    history = History(RATE, 10)
    history.write(0, np.random.default_rng(0).uniform(-1, 1, 5 * RATE).astype(np.float32))
    wishes = ClipWishes(event_labels=frozenset({"Dog"}), pre_roll_s=1, post_roll_s=3)
    writer = StoreWriter(path, ClipKeeper(history, wishes))
    writer.begin(facts())
    writer.take(event("closed", 1, 2 * RATE, 3 * RATE))
    writer.take(event("closed", 2, 2 * RATE, 3 * RATE, "Cat"))
    assert writer.close() is None
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in (path, path.with_name("history.clips")):
        file.rename(moved / file.name)
    with Store(moved / path.name) as store:
        (record,) = store.events(EventFilter(has_clip=True))
    assert record.clip_path is not None
    assert (record.number, record.clip_path.parent) == (1, moved / "history.clips")
    assert soundfile.info(record.clip_path).frames == 4 * RATE  # the session ended before the post-roll did


def test_an_event_stays_where_its_clip_cannot_be_written(tmp_path):
    path = tmp_path / "history.sqlite"
    path.with_name("history.clips").write_text("a file where the folder would be")
    history = History(RATE, 10)
    history.write(0, np.zeros(5 * RATE, np.float32))
    writer = StoreWriter(path, ClipKeeper(history, ClipWishes(event_labels=frozenset({"Dog"}))))
    writer.begin(facts())
    writer.take(event("closed", 1, 0, RATE))
    assert "cannot be written" in str(writer.close())
    with Store(path) as store:
        assert [record.clip_path for record in store.events()] == [None]
        assert store.sessions()[0].recovered is False


@on_posix
def test_pitfall_full_disk_is_told_and_nothing_is_lost_once_there_is_space(tmp_path):
    path = tmp_path / "history.sqlite"
    problem = run_recorder("fill", path)
    assert problem.startswith(f"{path}: cannot be written (")
    assert "\n" not in problem
    with Store(path) as store:
        assert [record.number for record in store.events()] == list(range(1, 300))
        assert store.events()[0].offset_sample == 640
        assert (store.recovered, store.sessions()[0].recovered) == ([], False)


@on_posix
def test_a_disk_that_stays_full_ends_in_a_sentence_that_counts(tmp_path):
    path = tmp_path / "history.sqlite"
    said = run_recorder("fill_to_the_end", path)
    assert said.startswith(f"{path}: cannot be written (")
    assert said.endswith("; 1 items of this session are lost")
    with Store(path) as store:
        assert store.recovered == [1]


@on_posix
def test_pitfall_write_protected_folder_ends_in_a_sentence():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite"
        Store(path).close()
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        said = run_recorder("write_protected", path)
        Path(folder).chmod(0o755)
    assert said.startswith(f"{path}: cannot be ")
    assert "\n" not in said


def test_a_disk_that_cannot_be_written_from_the_start_loses_the_record_and_not_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    writer = StoreWriter(tmp_path / "file" / "history.sqlite")
    writer.begin(facts())
    assert not writer.flush()
    writer.take(event("closed", 1, 0, 320))
    assert "cannot be opened" in str(writer.problem)
    assert str(writer.close()).endswith("2 items of this session are lost")
