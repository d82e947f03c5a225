"""What is shown of a run of `sedge score` while it is under way."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from edge_app.commands.score import _tally
from edge_app.commands.score_progress import (
    MOST_BARS,
    MOST_FAILURES,
    Display,
    Lines,
    Tally,
    clock_text,
    shortened,
)
from edge_app.scoring.batch import BatchNews
from edge_app.scoring.journal import Counts
from edge_app.scoring.task import Outcome, Task


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def task(position: int, size: int, filename: str = "") -> Task:
    return Task(position, filename or f"{position}.wav", Path(f"{position}.wav"), size, 1)


def moved(one: Task, done_s: float, length_s: float = 0.0) -> BatchNews:
    return BatchNews(one, done_s, length_s=length_s)


def ended(one: Task, duration_s: float = 0.0, error: str = "") -> BatchNews:
    return BatchNews(one, duration_s, outcome=Outcome(one.position, (), duration_s, error))


def test_a_tally_counts_bytes_of_recordings_done_and_under_way() -> None:
    tally = Tally(files=3, total_bytes=1000)
    first, second = task(0, 400), task(1, 600)
    assert (tally.share, tally.left_s(5)) == (0.0, None)
    tally.take(moved(first, 30.0, length_s=60.0))
    assert tally.share == pytest.approx(0.2)
    tally.take(ended(first, 60.0))
    assert (tally.share, tally.done, tally.failed) == (0.4, 1, 0)
    tally.take(moved(second, 30.0))  # claims no length: 600 bytes are 90 s, by the first one
    assert tally.share == pytest.approx(0.4 + 0.6 / 3)
    assert tally.rate(10.0) == pytest.approx((60 + 30) / 10)
    assert tally.left_s(30.0) == pytest.approx(30 * 400 / 600)
    tally.take(ended(second, error="expected sound, found none"))
    assert (tally.share, tally.done, tally.failed, tally.in_hand) == (1.0, 1, 1, {})
    assert tally.rate(10.0) == 6.0
    assert tally.left_s(30.0) == 0.0


def test_a_run_that_goes_on_counts_only_its_own_pace() -> None:
    tally = Tally(files=4, total_bytes=1000, done=2, done_bytes=500)
    assert (tally.share, tally.left_s(10)) == (0.5, None)
    tally.take(ended(task(2, 250), 100.0))
    assert tally.share == 0.75
    assert tally.left_s(10) == pytest.approx(10.0)
    assert tally.text(10) == "75 %: 3 of 4 files, 10.0 times real time, about 0:10 left"


@pytest.mark.parametrize(("retry_failed", "share"), [(False, 0.75), (True, 0.5)])
def test_what_failed_before_is_work_again_only_where_it_is_retried(retry_failed: bool, share: float) -> None:
    counts = Counts(2, 1, 1, 0, 60.0, 9.0, bytes_done=50, bytes_failed=25, bytes_waiting=25)
    tally = _tally(counts, retry_failed)
    assert (tally.files, tally.share) == (4, share)
    for position in range(2, 4 if retry_failed else 3):
        tally.take(ended(task(position, 25), 1.0))
    assert (tally.done + tally.failed, tally.share) == (4, 1.0)
    assert tally.done_bytes == 100


def test_failures_are_no_pace() -> None:
    tally = Tally(files=3, total_bytes=1000)
    tally.take(ended(task(0, 500), error="expected sound, found none"))
    assert (tally.share, tally.left_s(1)) == (0.5, None)
    tally.take(ended(task(1, 100), 60.0))
    assert tally.left_s(10) == pytest.approx(10 * 400 / 100)


def test_empty_files_are_counted_as_files() -> None:
    tally = Tally(files=2, total_bytes=0)
    tally.take(ended(task(0, 0), error="an empty file"))
    assert tally.share == 0.5
    assert tally.text(1) == "50 %: 1 of 2 files, 1 failed, 0.0 times real time"


def test_a_recording_that_runs_longer_than_it_claims_is_never_more_than_whole() -> None:
    tally = Tally(files=1, total_bytes=10)
    tally.take(moved(task(0, 10), 90.0, length_s=60.0))
    assert tally.share == 1.0


def test_lines_come_every_half_minute_or_with_a_tenth_of_the_work() -> None:
    said: list[str] = []
    lines, tally = Lines(said.append), Tally(files=100, total_bytes=100)
    for second in range(1, 121):  # a file a second, and from 60 on none
        if second < 60:
            tally.take(ended(task(second, 1), 1.0))
        lines.update(tally, float(second))
    shares = [line.split(" %")[0].removeprefix("sedge: ") for line in said]
    assert shares == ["10", "20", "30", "40", "50", "59", "59"]
    few: list[str] = []
    quick = Lines(few.append)
    for second in range(5):
        quick.update(Tally(files=1, total_bytes=1, done_bytes=1), float(second))
    assert few == []


def display(is_terminal: bool, files: int = 3) -> tuple[Display, io.StringIO, Clock]:
    written, clock = io.StringIO(), Clock()
    console = Console(file=written, force_terminal=is_terminal, width=100, color_system=None)
    return Display(console, Tally(files, 300), clock), written, clock


def test_a_pipe_gets_failures_at_once_and_no_bars() -> None:
    shown, written, clock = display(is_terminal=False)
    shown.tell(moved(task(0, 100), 1.0))
    shown.tell(ended(task(0, 100), error="a\x1b[31m.wav: expected sound, found none"))
    assert written.getvalue() == "sedge: a\\x1b[31m.wav: expected sound, found none\n"
    clock.now_s += 31
    shown.tell(ended(task(1, 100), 62.0))
    shown.close()
    assert written.getvalue().splitlines()[1:] == [
        "sedge: 67 %: 2 of 3 files, 1 failed, 2.0 times real time, about 0:31 left"
    ]


def test_failures_beyond_a_screenful_are_left_to_the_summary() -> None:
    shown, written, _ = display(is_terminal=False, files=300)
    for position in range(MOST_FAILURES + 50):
        shown.tell(ended(task(position, 1), error=f"{position}: expected sound"))
    lines = written.getvalue().splitlines()
    assert len(lines) == MOST_FAILURES + 1
    assert "summary.json" in lines[-1]


def test_a_terminal_shows_the_run_and_each_recording_in_hand() -> None:
    shown, written, clock = display(is_terminal=True)
    clock.now_s += 1
    shown.tell(moved(task(0, 100, "sub/[red]one\n.flac"), 65.0, 130.0))
    clock.now_s += 1
    shown.tell(moved(task(1, 100), 3700.0))
    shown._show._bars.refresh()  # type: ignore[attr-defined]
    text = written.getvalue()
    assert "sub/[red]one\\n.flac" in text
    assert "1:05 of 2:10" in text
    assert "1:01:40" in text
    assert "17 %: 0 of 3 files" in text
    clock.now_s += 1
    shown.tell(ended(task(0, 100), 130.0))
    assert list(shown._show._rows) == [1]  # type: ignore[attr-defined]
    for position in range(2, 40):
        clock.now_s += 1
        shown.tell(moved(task(position, 1), 1.0))
    assert len(shown._show._rows) == MOST_BARS  # type: ignore[attr-defined]
    shown.close()


def test_times_and_names_are_written_short() -> None:
    assert [clock_text(seconds) for seconds in (0, 59.6, 65, 3600, 86_399)] == [
        *("0:00", "1:00", "1:05", "1:00:00", "23:59:59")
    ]
    assert shortened("a" * 40 + ".wav", 10) == "…aaaaa.wav"
    assert shortened("short.wav", 10) == "short.wav"
