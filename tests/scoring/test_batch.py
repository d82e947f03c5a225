"""A run over a journal: what is handed out, recorded and told, and where it stops."""

from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import pytest

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.scoring.batch import BatchNews, run_batch
from edge_app.scoring.journal import Identity, Journal
from edge_app.scoring.local_workers import LocalWorkers
from edge_app.scoring.task import Outcome, Progress, Task
from tests.scoring.planted import SETTINGS, FakeWorker, write_recordings

IDENTITY = Identity("1.0", "tiny", "ab" * 32)


class InOrder:
    """Does the tasks one after the other; those in `bad` fail; ends through an error after `most`."""

    def __init__(self, bad: tuple[str, ...] = (), most: int = 1000) -> None:
        self.bad, self.most, self.done, self.is_closed = bad, most, [], False

    def run(
        self, tasks: Iterable[Task], tell: Callable[[Progress], None], is_stopped: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        try:
            for task in tasks:
                if is_stopped():
                    return
                if len(self.done) == self.most:
                    raise SedgeError("workers: expected some, found none left")
                tell(Progress(task.position, 0.5, 1.0))
                self.done.append(task.filename)
                error = f"{task.path}: bad" if task.filename in self.bad else ""
                yield Outcome(task.position, () if error else (Event(0.0, 1.0, "Cat", 0.5),), 1.0, error)
        finally:
            self.is_closed = True


@pytest.fixture
def journal(tmp_path):
    (tmp_path / "out").mkdir()
    found = {name: tmp_path / name for name in ("a.wav", "b.wav", "c.wav")}
    with Journal.create(tmp_path / "out", IDENTITY, found) as journal:
        yield journal


def test_everything_is_recorded_and_told(journal) -> None:
    news: list[BatchNews] = []
    assert run_batch(journal, InOrder(bad=("b.wav",)), news.append)
    assert [(one.task.filename, one.done_s, one.outcome is not None) for one in news] == [
        (name, done_s, ended)
        for name in ("a.wav", "b.wav", "c.wav")
        for done_s, ended in ((0.5, False), (1.0, True))
    ]
    assert {one.length_s for one in news} == {1.0}
    assert [result.filename for result in journal.results()] == ["a.wav", "c.wav"]
    assert journal.counts().failed == 1
    again = InOrder()
    assert run_batch(journal, again, news.append)
    assert again.done == []
    assert run_batch(journal, again, news.append, retry_failed=True)
    assert again.done == ["b.wav"]
    assert journal.counts().done == 3


def test_stopped_run_says_so_and_goes_on(journal) -> None:
    first, news = InOrder(), []
    assert not run_batch(journal, first, news.append, lambda: len(first.done) == 2)
    assert journal.counts().done == 2
    rest = InOrder()
    assert run_batch(journal, rest, news.append, lambda: len(rest.done) == 1)
    assert rest.done == ["c.wav"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_error_while_telling_ends_the_workers_and_costs_no_result(journal, error) -> None:
    def tell(news: BatchNews) -> None:
        if news.outcome is not None and news.task.filename == "b.wav":
            raise error

    workers = InOrder()
    with pytest.raises(error):
        run_batch(journal, workers, tell)
    assert workers.is_closed
    out = journal.out
    journal.close()
    with Journal.open(out, IDENTITY) as journal:
        assert [task.filename for task in journal.tasks()] == ["c.wav"]


def test_workers_that_give_up_cost_no_result(journal) -> None:
    with pytest.raises(SedgeError, match="workers: expected some"):
        run_batch(journal, InOrder(most=1), lambda _: None)
    assert journal.counts().done == 1


def test_recording_that_changes_is_scored_when_the_run_goes_on(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    found = write_recordings(tmp_path / "in", 3, seconds=4.0)
    with Journal.create(tmp_path / "out", IDENTITY, found) as journal:
        found["a/000.wav"].write_bytes(found["a/002.wav"].read_bytes())
        workers = LocalWorkers(SETTINGS, 1, FakeWorker)
        assert run_batch(journal, workers, lambda _: None)
        [failure] = journal.failures()
        assert failure.filename == "a/000.wav"
        assert "expected the recording as it was listed" in failure.error
        assert journal.reconcile(found).changed == 1
        assert run_batch(journal, workers, lambda _: None)
        first, _, third = journal.results()
        assert first.events == third.events != ()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_ten_thousand_short_files(tmp_path) -> None:
    """Each is done once, in order, and the memory of this process stays what it was."""
    out: Path = tmp_path / "out"
    out.mkdir()
    kinds = list(write_recordings(tmp_path / "kinds", 10, seconds=0.5).values())
    found = {}
    for number in range(10_000):
        found[f"{number:05d}.wav"] = path = tmp_path / f"{number:05d}.wav"
        path.hardlink_to(kinds[number % 10])
    with Journal.create(out, IDENTITY, found) as journal:
        assert run_batch(journal, LocalWorkers(SETTINGS, 2, FakeWorker), lambda _: None)
        assert journal.counts().done == 10_000
        results = list(journal.results())
    assert [result.filename for result in results] == list(found)
    assert [result.events for result in results] == [result.events for result in results[:10]] * 1000
