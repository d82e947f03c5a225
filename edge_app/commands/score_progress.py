"""How far `sedge score` is: on a terminal bars, elsewhere a line now and then, and failures as they happen."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from edge_app.scoring.batch import BatchNews

LINE_S = 30.0
"""Seconds from one line to the next at most, and from one to the next after a tenth of the work."""
TENTH_LINE_S = 5.0
SHOW_S = 0.1
MOST_BARS = 12
MOST_FAILURES = 100
"""Failures that are told as they happen; all of them are in summary.json."""


@dataclass
class InHand:
    """A recording that is under way."""

    filename: str
    size: int
    done_s: float
    length_s: float
    """What it has in all, as far as can be told; 0 where nothing is known."""

    @property
    def share(self) -> float:
        """How much of it is done, 0...1."""
        return min(1.0, self.done_s / self.length_s) if self.length_s > 0 else 0.0


@dataclass
class Tally:
    """What of a run is done, by files, bytes and seconds of sound."""

    files: int
    """Of the whole run."""
    total_bytes: int
    done: int = 0
    failed: int = 0
    done_bytes: int = 0
    """Of recordings that are over, well or not."""

    def __post_init__(self) -> None:
        self.in_hand: dict[int, InHand] = {}
        self._heard_s, self._heard_bytes = 0.0, 0

    def take(self, news: BatchNews) -> None:
        """Count news of a recording."""
        task, outcome = news.task, news.outcome
        if outcome is None:
            length_s = news.length_s or self._length_s(task.size)
            self.in_hand[task.position] = InHand(task.filename, task.size, news.done_s, length_s)
            return
        self.in_hand.pop(task.position, None)
        self.done_bytes += task.size
        if outcome.error:
            self.failed += 1
        else:
            self.done += 1
            self._heard_s += outcome.duration_s
            self._heard_bytes += task.size

    @property
    def share(self) -> float:
        """How much of the whole run is done, 0...1: by bytes, or by files where all are empty."""
        if self.total_bytes <= 0:
            return min(1.0, (self.done + self.failed) / max(1, self.files))
        return min(1.0, self._bytes_now() / self.total_bytes)

    def rate(self, elapsed_s: float) -> float:
        """Seconds of sound a second."""
        heard_s = self._heard_s + sum(recording.done_s for recording in self.in_hand.values())
        return heard_s / max(elapsed_s, 1e-9)

    def left_s(self, elapsed_s: float) -> float | None:
        """Seconds that the rest will take at this pace; None where nothing is done yet. Failures are no pace."""
        worked = self._heard_bytes + self._bytes_in_hand()
        if worked <= 0:
            return None
        return max(0.0, elapsed_s * (self.total_bytes - self._bytes_now()) / worked)

    def text(self, elapsed_s: float) -> str:
        """One line of it."""
        failed = f", {self.failed} failed" if self.failed else ""
        left_s = self.left_s(elapsed_s)
        left = "" if left_s is None else f", about {clock_text(left_s)} left"
        return (
            f"{100 * self.share:.0f} %: {self.done + self.failed} of {self.files} files{failed}, "
            f"{self.rate(elapsed_s):.1f} times real time{left}"
        )

    def _length_s(self, size: int) -> float:
        """Seconds that a recording of so many bytes may have, by those that are done; 0 where none is."""
        return size * self._heard_s / self._heard_bytes if self._heard_bytes else 0.0

    def _bytes_now(self) -> float:
        return self.done_bytes + self._bytes_in_hand()

    def _bytes_in_hand(self) -> float:
        return sum(one.size * one.share for one in self.in_hand.values())


class Show(Protocol):
    """What makes a tally visible; called after every change."""

    def update(self, tally: Tally, elapsed_s: float) -> None:
        """Take in what has changed."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Bars:
    """For a terminal: one bar for the run, and one for each recording in hand."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._bars = Progress(*columns, console=console, transient=True, refresh_per_second=5)
        self._total = self._bars.add_task("", total=1.0, note="")
        self._rows: dict[int, TaskID] = {}
        self._shown_s = -SHOW_S
        self._bars.start()

    def update(self, tally: Tally, elapsed_s: float) -> None:
        """Move the bars, a few times a second at most."""
        if elapsed_s - self._shown_s < SHOW_S:
            return
        self._shown_s = elapsed_s
        self._bars.update(self._total, completed=tally.share, description="all", note=tally.text(elapsed_s))
        heard = dict(tally.in_hand)
        for position in self._rows.keys() - heard.keys():
            self._bars.remove_task(self._rows.pop(position))
        for position, one in heard.items():
            self._move(position, one)

    def close(self) -> None:
        """Remove the bars."""
        self._bars.stop()

    def _move(self, position: int, recording: InHand) -> None:
        if position not in self._rows:
            if len(self._rows) == MOST_BARS:
                return
            name = shortened(printable(recording.filename))
            self._rows[position] = self._bars.add_task(name, total=1.0, note="")
        of = f" of {clock_text(recording.length_s)}" if recording.length_s else ""
        note = f"{clock_text(recording.done_s)}{of}"
        self._bars.update(self._rows[position], completed=recording.share, note=note)


class Lines:
    """For a file or a pipe: a line every 30 s, or sooner after a tenth of the work."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said_s, self._said_share = 0.0, 0.0

    def update(self, tally: Tally, elapsed_s: float) -> None:
        """Say a line if it is time for one."""
        since_s = elapsed_s - self._said_s
        is_tenth = tally.share - self._said_share > 0.0999
        if since_s >= LINE_S or (is_tenth and since_s >= TENTH_LINE_S):
            self._said_s, self._said_share = elapsed_s, tally.share
            self._say(f"sedge: {tally.text(elapsed_s)}")

    def close(self) -> None:
        """Nothing is left to do."""


class Display:
    """Takes the news of a run, and shows them on a console."""

    def __init__(self, console: Console, tally: Tally, now: Callable[[], float] = time.monotonic) -> None:
        self.tally, self._console, self._now = tally, console, now
        self._started, self._told = now(), 0
        self._show: Show = Bars(console) if console.is_terminal else Lines(self._say)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._now() - self._started

    def tell(self, news: BatchNews) -> None:
        """Count news, and show them where it is time to."""
        self.tally.take(news)
        self._show.update(self.tally, self.elapsed_s)
        if news.outcome is not None and news.outcome.error:
            self._tell_failure(news.outcome.error)

    def close(self) -> None:
        """End the display."""
        self._show.close()

    def _tell_failure(self, error: str) -> None:
        self._told += 1
        if self._told <= MOST_FAILURES:
            self._say(f"sedge: {error}")
        elif self._told == MOST_FAILURES + 1:
            self._say("sedge: further failures are not told one by one: summary.json will have them all")

    def _say(self, line: str) -> None:
        say(self._console, line)


def say(console: Console, line: str) -> None:
    """One line on the console, whatever is in it and however narrow the terminal."""
    console.print(printable(line), markup=False, highlight=False, emoji=False, soft_wrap=True)


def printable(text: str) -> str:
    """Text with what could break the line or steer the terminal written as an escape."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def shortened(name: str, most: int = 32) -> str:
    """A name of at most so many characters, its end kept."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def clock_text(seconds: float) -> str:
    """Seconds as minutes and seconds, with hours where there are any: 1:05, 23:59:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
