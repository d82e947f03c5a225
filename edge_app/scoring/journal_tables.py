"""The tables of a journal, and what is read from them and written to them."""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import edge_app
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.registry import SUFFIXES
from edge_app.scoring.recordings import score_names
from edge_app.scoring.task import Outcome, ScoreSettings, Task

JOURNAL_SCHEMA_VERSION = 1
_TABLES = (
    "CREATE TABLE run(identity TEXT NOT NULL, wall_s REAL NOT NULL DEFAULT 0)",
    """CREATE TABLE recording(
        position INTEGER PRIMARY KEY, filename NOT NULL UNIQUE, path NOT NULL, size INTEGER NOT NULL,
        modified_ns INTEGER NOT NULL, score_name, state TEXT NOT NULL DEFAULT 'waiting', error NOT NULL DEFAULT '',
        duration_s REAL NOT NULL DEFAULT 0, wall_s REAL NOT NULL DEFAULT 0, n_events INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE event(
        position INTEGER NOT NULL, number INTEGER NOT NULL, onset REAL NOT NULL, offset REAL NOT NULL,
        event_label TEXT NOT NULL, score REAL NOT NULL, PRIMARY KEY (position, number)
    ) WITHOUT ROWID""",
)


@dataclass(frozen=True)
class Identity:
    """What the results of a run depend on, besides the recordings."""

    sedge_version: str
    bundle: str
    """Name of the model."""
    graph_sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Those that change results; plain values."""
    schema_version: int = JOURNAL_SCHEMA_VERSION

    @classmethod
    def of(cls, detector: Detector, settings: ScoreSettings) -> "Identity":
        """The identity of a run with these settings, whose runtime must be one by name."""
        manifest = detector.bundle.manifest
        return cls(
            sedge_version=edge_app.__version__,
            bundle=manifest.name,
            graph_sha256=manifest.graph.sha256,
            settings={
                "runtime": settings.runtime,
                "context": settings.context,
                "hop_frames": detector.hop_frames if settings.context == "live" else None,
                "frame_scores": settings.frame_scores,
                "score_format": settings.score_format if settings.frame_scores else None,
                "decoding": {label: rules.model_dump() for label, rules in manifest.decoding.items()},
            },
        )

    @property
    def score_suffix(self) -> str | None:
        """Suffix of the files of frame scores; None where they are not wanted."""
        if not self.settings.get("frame_scores"):
            return None
        return f".{self.settings.get('score_format') or 'tsv'}"


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of a run is done."""

    done: int
    failed: int
    waiting: int
    events: int
    audio_s: float
    """Seconds of sound in the recordings that are done."""
    wall_s: float
    """Seconds that the run has taken so far, all its parts together."""
    bytes_done: int
    bytes_failed: int
    bytes_waiting: int


@dataclass(frozen=True, slots=True)
class Result:
    """What was found in one recording."""

    filename: str
    path: Path
    duration_s: float
    events: tuple[Event, ...]
    """Sorted by onset, then label."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A recording that was not scored."""

    filename: str
    error: str
    """What was wrong, one line."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A recording of the list."""

    position: int
    filename: str
    path: Path
    size: int
    modified_ns: int
    score_name: str | None

    def task(self, scores: Path) -> Task:
        """The task of scoring it, with frame scores in the folder `scores` if any are wanted."""
        scores_path = None if self.score_name is None else scores / self.score_name
        return Task(self.position, self.filename, self.path, self.size, self.modified_ns, scores_path)


def kept(text: str) -> str | bytes:
    """A name as SQLite keeps it: as bytes where the system could not decode it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def text_of(value: str | bytes) -> str:
    """A name that was kept."""
    return os.fsdecode(value) if isinstance(value, bytes) else value


def is_begun(connection: sqlite3.Connection) -> bool:
    """Whether a run was begun; not where the program was ended while it made the tables."""
    found = connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'run'").fetchone()
    return bool(found[0])


def make(connection: sqlite3.Connection, identity: Identity) -> None:
    """Make the tables in a new file."""
    for table in _TABLES:
        connection.execute(table)
    connection.execute("INSERT INTO run(identity) VALUES (?)", [json.dumps(vars(identity), indent=1)])


def read_identity(path: Path, connection: sqlite3.Connection) -> Identity:
    """The identity of the run. Raises SedgeError where another version wrote it in a way of its own."""
    fields = json.loads(connection.execute("SELECT identity FROM run").fetchone()[0])
    version = fields.get("schema_version")
    if version != JOURNAL_SCHEMA_VERSION:
        raise SedgeError(f"{path}, schema_version: expected {JOURNAL_SCHEMA_VERSION}, found {version}")
    return Identity(**fields)


def check_same(out: Path, begun: Identity, wanted: Identity) -> None:
    """Raise SedgeError that names the first field in which a run that goes on is not the one that was begun."""
    was, now = _fields(begun), _fields(wanted)
    for name in [*was, *(set(now) - set(was))]:
        if was.get(name) != now.get(name):
            raise SedgeError(
                f"{out}: a run goes on with what it was begun with: {name}: expected {was.get(name)!r}, "
                f"found {now.get(name)!r}"
            )


def _fields(identity: Identity) -> dict[str, Any]:
    """Every value by its way through the nested settings, with dots, as JSON holds it."""
    return dict(_flat("", json.loads(json.dumps(vars(identity)))))


def _flat(way: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield way, value
        return
    for name, inner in value.items():
        yield from _flat(f"{way}.{name}" if way else name, inner)


def read_tasks(connection: sqlite3.Connection, after: int, most: int, retry_failed: bool) -> list[TaskRow]:
    """The next recordings that are to be scored."""
    states = ("waiting", "failed") if retry_failed else ("waiting", "waiting")
    rows = connection.execute(
        "SELECT position, filename, path, size, modified_ns, score_name FROM recording "
        "WHERE position > ? AND state IN (?, ?) ORDER BY position LIMIT ?",
        [after, *states, most],
    )
    return [
        TaskRow(position, text_of(name), Path(text_of(path)), size, modified_ns, score and text_of(score))
        for position, name, path, size, modified_ns, score in rows
    ]


def put_outcome(connection: sqlite3.Connection, outcome: Outcome) -> None:
    """Write what became of a recording in place of what is there. Raises ValueError for one that is not listed."""
    changed = connection.execute(
        "UPDATE recording SET state = ?, error = ?, duration_s = ?, wall_s = ?, n_events = ? WHERE position = ?",
        [
            *("failed" if outcome.error else "done", kept(outcome.error), outcome.duration_s, outcome.wall_s),
            *(len(outcome.events), outcome.position),
        ],
    )
    if not changed.rowcount:
        raise ValueError(f"position {outcome.position}: expected one of the list")
    connection.execute("DELETE FROM event WHERE position = ?", [outcome.position])
    connection.executemany(
        "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)",
        [
            (outcome.position, number, event.onset, event.offset, event.event_label, float(event.score))
            for number, event in enumerate(outcome.events)
        ],
    )


def read_counts(connection: sqlite3.Connection) -> Counts:
    """Sums over the whole list."""
    rows = connection.execute(
        "SELECT state, COUNT(*), SUM(n_events), SUM(duration_s), SUM(size) FROM recording GROUP BY state"
    )
    sums = {state: numbers for state, *numbers in rows}
    done, failed, waiting = (sums.get(state, (0, 0, 0.0, 0)) for state in ("done", "failed", "waiting"))
    [wall_s] = connection.execute("SELECT wall_s FROM run").fetchone()
    return Counts(
        done=done[0],
        failed=failed[0],
        waiting=waiting[0],
        events=done[1],
        audio_s=done[2],
        wall_s=wall_s,
        bytes_done=done[3],
        bytes_failed=failed[3],
        bytes_waiting=waiting[3],
    )


def add_wall(connection: sqlite3.Connection, seconds: float) -> None:
    """Count time that the run has taken."""
    connection.execute("UPDATE run SET wall_s = wall_s + ?", [seconds])


def read_results(connection: sqlite3.Connection, after: int, most: int) -> list[tuple[int, Result]]:
    """The next recordings that are done, with their positions."""
    rows = connection.execute(
        "SELECT position, filename, path, duration_s FROM recording "
        "WHERE position > ? AND state = 'done' ORDER BY position LIMIT ?",
        [after, most],
    ).fetchall()
    events = dict(_events(connection, rows[0][0], rows[-1][0])) if rows else {}
    return [
        (position, Result(text_of(name), Path(text_of(path)), duration_s, events.get(position, ())))
        for position, name, path, duration_s in rows
    ]


def _events(connection: sqlite3.Connection, first: int, last: int) -> Iterator[tuple[int, tuple[Event, ...]]]:
    rows = connection.execute(
        "SELECT position, onset, offset, event_label, score FROM event "
        "WHERE position BETWEEN ? AND ? ORDER BY position, number",
        [first, last],
    )
    for position, events in groupby(rows, lambda row: int(row[0])):
        yield position, tuple(Event(*values) for _, *values in events)


def read_failures(connection: sqlite3.Connection, after: int, most: int) -> list[tuple[int, Failure]]:
    """The next recordings that have failed, with their positions."""
    rows = connection.execute(
        "SELECT position, filename, error FROM recording "
        "WHERE position > ? AND state = 'failed' ORDER BY position LIMIT ?",
        [after, most],
    )
    return [(position, Failure(text_of(name), text_of(error))) for position, name, error in rows]


def written_names(connection: sqlite3.Connection, scores: str, labels: str) -> Iterator[str]:
    """The names of all files of frame scores and label tracks, written or not, in the folders of these names."""
    filenames = []
    for filename, name in connection.execute("SELECT filename, score_name FROM recording"):
        filenames.append(text_of(filename))
        if name is not None:
            yield f"{scores}/{text_of(name)}"
    for name in score_names(filenames, SUFFIXES["audacity"]).values():
        yield f"{labels}/{name}"
