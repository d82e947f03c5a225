"""Label tracks of Audacity: onset, offset and text, without a header; one recording a file."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent
from edge_app.formats.growing_table import GrowingTable, write_once
from edge_app.formats.rows import read_text, seconds
from edge_app.formats.side_files import read_beside

DECIMALS = 6
_TEXT_WITH_SCORE = re.compile(r"(.+) (0\.\d\d|1\.00)", re.DOTALL)


class LabelTrack(GrowingTable):
    """The events of one recording, the score behind the label: there is no place for names of recordings."""

    decimals = DECIMALS

    def __init__(self, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
        super().__init__(path, about)
        self._files: set[str] = set()

    def kept(self, export: Export) -> Export:
        """What goes in. Raises SedgeError, as for `tidy`, where a second recording comes."""
        self._files.update(export.files)
        if len(self._files) > 1:
            raise SedgeError(
                f"{self.path}: expected events of one recording, found {len(self._files)} recordings"
            )
        return super().kept(export)

    def rows(self, kept: Export) -> Iterator[str]:
        """A line for each event."""
        for event in kept.events:
            yield f"{event.onset:.6f}\t{event.offset:.6f}\t{event.event_label} {event.score:.2f}\n"


def write_audacity(path: str | Path, export: Export) -> int:
    """Write the events of one recording; returns how many events were left out.

    Raises SedgeError as `tidy` does, and for more than one file.
    """
    return write_once(LabelTrack, path, export)


def read_audacity(path: str | Path) -> Export:
    """The export in a label track and what lies beside it; the file's stem names the recording.

    Points are events without length, and frequencies are passed over. Raises SedgeError, naming the line.
    """
    events = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip("\r") and not line.startswith("\\\t"):
            events.append(_event(f"{path}, line {number}", line.removesuffix("\r"), Path(path).stem))
    return read_beside(path, events)


def _event(where: str, line: str, file: str) -> ExportEvent:
    fields = line.split("\t")
    if len(fields) != 3:
        raise SedgeError(f"{where}: expected onset, offset and label, found {len(fields)} fields")
    row = dict(zip(("onset", "offset", "label"), fields, strict=True))
    onset, offset = seconds(where, row, "onset"), seconds(where, row, "offset")
    if onset > offset:
        raise SedgeError(f"{where}: expected an onset before the offset, found {onset} and {offset}")
    scored = _TEXT_WITH_SCORE.fullmatch(row["label"])
    label, score = (scored[1], float(scored[2])) if scored else (row["label"], 1.0)
    return ExportEvent("", file, onset, offset, label, score)
