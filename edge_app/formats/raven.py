"""Selection tables of Raven: times run on over all recordings, in the order they are listed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent
from edge_app.formats.growing_table import GrowingTable, write_once
from edge_app.formats.rows import number, read_rows, seconds
from edge_app.formats.side_files import read_beside

COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin Path", "File Offset (s)", "Species", "Confidence"),
)
_READ_COLUMNS = (
    *("Begin Time (s)", "End Time (s)", "Begin Path", "File Offset (s)", "Species", "Confidence"),
)
DECIMALS = 3
HIGH_HZ = 8000


class RavenTable(GrowingTable):
    """The events whose sound can be opened.

    Left out are events of a file without a duration, of one that is `unrecorded`, and of one whose path has a
    tab or a line break.
    """

    decimals = DECIMALS
    header = "\t".join(COLUMNS) + "\n"

    def __init__(self, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
        super().__init__(path, about)
        self._elapsed_s = 0.0
        self._starts_ms: dict[str, int] = {}
        self._n_rows = 0

    def kept(self, export: Export) -> Export:
        """What goes in, which also places its recordings in the sequence of all of them."""
        self._starts_ms = self._place(export)
        tidied = super().kept(export)
        return replace(tidied, events=[event for event in tidied.events if event.file in self._starts_ms])

    def rows(self, kept: Export) -> Iterator[str]:
        """A row for each event."""
        for event in kept.events:
            self._n_rows += 1
            recording = kept.recordings.get(event.file, event.file)
            yield _row(self._n_rows, event, recording, self._starts_ms[event.file]) + "\n"

    def _place(self, export: Export) -> dict[str, int]:
        """Where each recording that Raven can open starts in the sequence, in milliseconds."""
        starts = {}
        for name, duration in export.durations.items():
            path = export.recordings.get(name, name)
            if name not in export.unrecorded and not any(character in path for character in "\t\r\n"):
                starts[name] = round(1000 * self._elapsed_s)
                self._elapsed_s += duration
        return starts


def write_raven(path: str | Path, export: Export) -> int:
    """Write the events whose sound can be opened; returns how many were left out, by that or by `tidy`.

    Raises SedgeError as `tidy` does.
    """
    return write_once(RavenTable, path, export)


def read_raven(path: str | Path) -> Export:
    """The export in a selection table and what lies beside it. Raises SedgeError, naming the row."""
    events = []
    for where, row in read_rows(path, _READ_COLUMNS, escaped=False):
        begin, end = seconds(where, row, "Begin Time (s)"), seconds(where, row, "End Time (s)")
        onset = seconds(where, row, "File Offset (s)")
        if begin >= end:
            raise SedgeError(f"{where}: expected a begin before the end, found {begin} and {end}")
        offset, score = round(onset + end - begin, DECIMALS), number(where, row, "Confidence")
        events.append(ExportEvent("", row["Begin Path"], onset, offset, row["Species"], score))
    return read_beside(path, events)


def _row(selection: int, event: ExportEvent, path: str, start_ms: int) -> str:
    # Whole milliseconds: the length of an event is the same in the sequence and in its file.
    onset_ms, offset_ms = round(1000 * event.onset), round(1000 * event.offset)
    return "\t".join(
        [
            *(str(selection), "Spectrogram 1", "1"),
            *(_seconds(start_ms + onset_ms), _seconds(start_ms + offset_ms), "0", str(HIGH_HZ)),
            *(path, _seconds(onset_ms), event.event_label, f"{event.score:.4f}"),
        ]
    )


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
