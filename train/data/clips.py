"""Clips ready for training: all waveforms of several sets in one memory-mapped array, with what is known of them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int16

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event, frame_span
from edge_app.core.labels import check_labels
from edge_app.formats.whole_file import write_whole
from train.data.bank import SAMPLE_RATE
from train.data.desed import DesedSet, find_set, find_sets
from train.data.tables import NAMED_MISSING, SetTable, check_known, hold_out, notice, present, read_set
from train.data.waveforms import (
    ARRAY,
    FULL_SCALE,
    HOP_LENGTH,
    Track,
    audio_fingerprint,
    decode_clips,
    read_array,
)

__all__ = [
    "FULL_SCALE",
    "HOP_LENGTH",
    "ClipSet",
    "find_set",
    "find_sets",
    "load_clips",
    "prepare_clips",
    "prepare_sets",
]
TABLE = "clips.json"
HELD_OUT = "weak_development"
"""Name of the set of held-out weak clips."""
_SCHEMA = 2
_EVENT_SLACK_S = 0.2  # two events of the real validation set end .11 s after their clip
_FOREIGN_PREFIX = "merge_separated_"  # released pseudo labels have it before each file name


@dataclass(frozen=True)
class ClipSet:
    """Clips of one length (padded with zeros) at 16 kHz, of several sets, with their events and tags.

    `waveforms` is memory-mapped, 32768 being full scale; `n_samples` counts each clip's real samples.
    `filenames` are those of each set's own table, `sets` the set of each clip. `events` are in seconds, none
    where unknown; `given_tags` are those of weakly labelled clips, None for the others. `source` is a hash of
    what all of it was made from.
    """

    waveforms: Int16[np.ndarray, "clip sample"]
    filenames: tuple[str, ...]
    sets: tuple[str, ...]
    events: tuple[tuple[Event, ...], ...]
    given_tags: tuple[tuple[str, ...] | None, ...]
    event_labels: tuple[str, ...]
    n_samples: Int[np.ndarray, " clip"]
    source: str

    @property
    def n_frames(self) -> int:
        """Frames in a clip, padding included."""
        return self.waveforms.shape[1] // HOP_LENGTH

    def frame_valid(self) -> Bool[np.ndarray, "clip frame"]:
        """Which frames are signal; the others are padding."""
        return np.arange(self.n_frames) < self._n_valid()[:, None]

    def strong_labels(self) -> Bool[np.ndarray, "clip frame label"]:
        """Activity of each label in each 20 ms frame; each event has one valid frame at least.

        Raises SedgeError where an event has another label.
        """
        active = np.zeros((len(self.filenames), self.n_frames, len(self.event_labels)), bool)
        for clip, (events, n_valid) in enumerate(zip(self.events, self._n_valid(), strict=True)):
            for event in events:
                first, end = frame_span(event.onset, event.offset)
                first = max(0, min(first, n_valid - 1))  # it may begin in the slack after the clip's end
                active[clip, first : max(first + 1, min(end, n_valid)), self._column(event.event_label)] = (
                    True
                )
        return active

    def tags(self) -> Bool[np.ndarray, "clip label"]:
        """Labels of each clip: the given tags where there are any given, else those of its events."""
        tags = np.zeros((len(self.filenames), len(self.event_labels)), bool)
        for clip, (given, events) in enumerate(zip(self.given_tags, self.events, strict=True)):
            labels = given if given is not None else {event.event_label for event in events}
            tags[clip, [self._column(label) for label in labels]] = True
        return tags

    def indices(self, *sets: str) -> Int[np.ndarray, " clip"]:
        """Indices of the clips of these sets, ascending."""
        return np.flatnonzero([name in sets for name in self.sets])

    def with_events(self, set_name: str, by_file: Mapping[str, Sequence[Event]]) -> "ClipSet":
        """These clips with other (pseudo) events, in seconds, for one set; its files that are not named get none.

        Raises SedgeError where a file is not of the set, or an event has another label or starts after its clip.
        """
        rows = self.indices(set_name)
        known = {self.filenames[row] for row in rows}
        _check_files(set_name, by_file, known)
        events = list(self.events)
        for row in rows:
            events[row] = tuple(by_file.get(self.filenames[row], ()))
            self._check_events(row, events[row])
        written = [[name, *map(_written, by_file[name])] for name in sorted(by_file)]
        source = _hash(self.source, set_name, json.dumps(written))
        return replace(self, events=tuple(events), source=source)

    def reference(self, set_name: str) -> dict[str, list[Event]]:
        """Events of each file of a set."""
        return {self.filenames[row]: list(self.events[row]) for row in self.indices(set_name)}

    def durations(self, set_name: str) -> dict[str, float]:
        """Duration of each file of a set in seconds, as decoded."""
        return {
            self.filenames[row]: float(self.n_samples[row]) / SAMPLE_RATE for row in self.indices(set_name)
        }

    def _n_valid(self) -> Int[np.ndarray, " clip"]:
        return self.n_samples // HOP_LENGTH

    def _column(self, label: str) -> int:
        if label not in self.event_labels:
            raise SedgeError(f"event label {label!r}: expected one of {list(self.event_labels)}")
        return self.event_labels.index(label)

    def _check_events(self, row: int, events: Sequence[Event]) -> None:
        for event in events:
            self._column(event.event_label)
            if event.onset > float(self.n_samples[row]) / SAMPLE_RATE + _EVENT_SLACK_S:
                raise SedgeError(
                    f"{self.sets[row]} set: {self.filenames[row]}: expected events within "
                    f"{self.n_samples[row] / SAMPLE_RATE:.3f} s, found one from {event.onset:.3f} s"
                )


def prepare_clips(
    clips: DesedSet,
    out: Path,
    event_labels: Sequence[str] | None = None,
    track: Track = lambda done, _: done,
    allow_missing: bool = False,
) -> ClipSet:
    """Prepare one set with strong labels, as the set "synthetic"; see `prepare_sets`."""
    return prepare_sets({"synthetic": clips}, out, event_labels, 0.0, track, allow_missing)


def prepare_sets(
    sets: Mapping[str, DesedSet],
    out: Path,
    event_labels: Sequence[str] | None = None,
    weak_held_out: float = 0.0,
    track: Track = lambda done, _: done,
    allow_missing: bool = False,
) -> ClipSet:
    """Decode sets into `out`, one after the other, or take what is there if it was made from the same.

    `event_labels` are all of the tables unless given. The share `weak_held_out` of the weak clips becomes the
    set "weak_development". `track` wraps the loop over clips, to show progress. A run that was stopped goes on.
    Raises SedgeError where audio is missing (unless `allow_missing`), broken or too long, or a table is wrong:
    an event with an unknown label or after its clip, a set without clips.
    """
    tables = _read_tables(sets, out, weak_held_out, allow_missing)
    event_labels = check_labels(event_labels if event_labels is not None else _labels(tables))
    for rows in tables:
        check_known(rows, event_labels)
    source = _fingerprint(tables, event_labels)
    if not _is_made(out, source):
        _make(tables, out, event_labels, source, track)
    return load_clips(out)


def load_clips(folder: Path) -> ClipSet:
    """The clips that `prepare_sets` wrote. Raises SedgeError where they are missing or of another version."""
    table = folder / TABLE
    if not (table.is_file() and (folder / ARRAY).is_file()):
        raise SedgeError(f"{folder}: expected {TABLE} and {ARRAY} of prepared clips, found no such files")
    rows = json.loads(table.read_text(encoding="utf-8"))
    if rows["schema_version"] != _SCHEMA:
        raise SedgeError(f"{table}: schema_version: expected {_SCHEMA}, found {rows['schema_version']}")
    return ClipSet(
        read_array(folder),
        tuple(rows["filenames"]),
        tuple(rows["sets"]),
        tuple(tuple(Event(*event) for event in of_clip) for of_clip in rows["events"]),
        tuple(None if tags is None else tuple(tags) for tags in rows["given_tags"]),
        tuple(rows["event_labels"]),
        np.array(rows["n_samples"], np.int64),
        rows["source"],
    )


def _read_tables(
    sets: Mapping[str, DesedSet], out: Path, weak_held_out: float, allow_missing: bool
) -> list[SetTable]:
    if not sets or not 0 <= weak_held_out < 1:
        raise SedgeError(
            f"expected at least one set and a held-out share from 0 to below 1, found {list(sets)}, {weak_held_out}"
        )
    tables: list[SetTable] = []
    for name, clips in sets.items():
        rows = present(read_set(name, clips), out, allow_missing)
        if name == "weak" and weak_held_out > 0:
            tables += hold_out(rows, weak_held_out, HELD_OUT)
        else:
            tables.append(rows)
    return tables


def _labels(tables: Sequence[SetTable]) -> list[str]:
    """All labels of events and tags, sorted."""
    of_events = {event.event_label for rows in tables for events in rows.events for event in events}
    return sorted(of_events | {tag for rows in tables for tags in rows.given_tags for tag in tags or ()})


def _fingerprint(tables: Sequence[SetTable], event_labels: Sequence[str]) -> str:
    parts = [str(_SCHEMA), *event_labels]
    for rows in tables:
        parts += [rows.name, audio_fingerprint(rows.paths()), json.dumps(_written_rows(rows))]
    return _hash(*parts)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _written_rows(rows: SetTable) -> dict[str, Any]:
    events = [[_written(event) for event in of_clip] for of_clip in rows.events]
    return {"filenames": rows.filenames, "events": events, "given_tags": rows.given_tags}


def _written(event: Event) -> tuple[float, float, str]:
    return event.onset, event.offset, event.event_label


def _is_made(out: Path, source: str) -> bool:
    table = out / TABLE
    if not (table.is_file() and (out / ARRAY).is_file()):
        return False
    found: dict[str, Any] = json.loads(table.read_text(encoding="utf-8"))
    return found.get("source") == source and found.get("schema_version") == _SCHEMA


def _make(
    tables: Sequence[SetTable], out: Path, event_labels: Sequence[str], source: str, track: Track
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / TABLE).unlink(missing_ok=True)
    places = [(rows, index) for rows in tables for index in range(len(rows.filenames))]
    cut: list[int] = []

    def check(clip: int, n_samples: int) -> None:
        cut.append(_count_late(*places[clip], n_samples))

    n_samples = decode_clips([path for rows in tables for path in rows.paths()], out, check, track)
    if sum(cut):
        notice(f"{out}: {sum(cut)} events end up to {_EVENT_SLACK_S} s after their clip and were cut there")
    written = [_written_rows(rows) for rows in tables]
    joined = {key: [entry for rows in written for entry in rows[key]] for key in written[0]}
    sets = [rows.name for rows in tables for _ in rows.filenames]
    head = {"schema_version": _SCHEMA, "source": source, "event_labels": list(event_labels), "sets": sets}
    write_whole(out / TABLE, json.dumps({**head, "n_samples": n_samples, **joined}) + "\n")


def _count_late(rows: SetTable, index: int, n_samples: int) -> int:
    """How many events of a clip end after it. Raises SedgeError where one ends more than the slack later."""
    duration = n_samples / SAMPLE_RATE
    for event in rows.events[index]:
        if event.offset > duration + _EVENT_SLACK_S:
            raise SedgeError(
                f"{rows.clips.table}: {rows.filenames[index]} {event.onset:.3f} {event.offset:.3f} "
                f"{event.event_label}: offset: expected at most {duration:.3f} s, the clip's end"
            )
    return sum(event.offset > duration + 1 / SAMPLE_RATE for event in rows.events[index])


def _check_files(set_name: str, by_file: Mapping[str, Sequence[Event]], known: set[str]) -> None:
    """Raise SedgeError where a file is not among those of the set, telling of a prefix that would explain it."""
    unknown = [name for name in by_file if name not in known]
    if not unknown:
        return
    prefixed = sum(name.removeprefix(_FOREIGN_PREFIX) in known for name in unknown)
    hint = f"; without the prefix {_FOREIGN_PREFIX!r}, {prefixed} of them are" if prefixed else ""
    raise SedgeError(
        f"events of the {set_name} set: expected files of its {len(known)}, found {len(unknown)} that are not: "
        f"{', '.join(unknown[:NAMED_MISSING])}{hint}"
    )
