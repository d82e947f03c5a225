"""Selection tables of Raven: times run on over all recordings, in the order they are listed."""

from pathlib import Path

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent, tidy
from edge_app.formats.rows import number, read_rows, seconds
from edge_app.formats.side_files import read_beside, write_beside
from edge_app.formats.whole_file import write_whole

COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin Path", "File Offset (s)", "Species", "Confidence"),
)
_READ_COLUMNS = (
    *("Begin Time (s)", "End Time (s)", "Begin Path", "File Offset (s)", "Species", "Confidence"),
)
DECIMALS = 3
HIGH_HZ = 8000


def write_raven(path: str | Path, export: Export) -> int:
    """Write the events whose sound can be opened; returns how many were left out.

    Those are events of a file without a duration, of one that is `unrecorded`, or of one whose path has a tab
    or a line break, and those that `tidy` leaves out. Raises SedgeError as `tidy` does.
    """
    n_events = len(export.events)
    export, _ = tidy(export, DECIMALS)
    starts = _starts_ms(export)
    rows = ["\t".join(COLUMNS)]
    for event in export.events:
        if event.file in starts:
            recording = export.recordings.get(event.file, event.file)
            rows.append(_row(len(rows), event, recording, starts[event.file]))
    write_beside(path, export)
    write_whole(path, "\n".join(rows) + "\n")
    return n_events - (len(rows) - 1)


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


def _starts_ms(export: Export) -> dict[str, int]:
    """Where each recording that Raven can open starts in the sequence of all of them, in milliseconds."""
    starts, elapsed_s = {}, 0.0
    for name, duration in export.durations.items():
        path = export.recordings.get(name, name)
        if name not in export.unrecorded and not any(character in path for character in "\t\r\n"):
            starts[name] = round(1000 * elapsed_s)
            elapsed_s += duration
    return starts


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
