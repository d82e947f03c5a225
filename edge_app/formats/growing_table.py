"""Tables that grow: exports go in one after the other, and the file appears when all of them are in it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol, Self

from edge_app.formats.exchange import Export, ExportGap, ExportMark, tidy
from edge_app.formats.side_files import write_beside
from edge_app.formats.whole_file import encoded, whole_file


class TableWriter(Protocol):
    """Takes exports one after the other; all events of a recording come in one of them."""

    def write(self, export: Export) -> int:
        """Append the events of an export; returns how many of them were left out.

        What the export is about was said when the table was opened. Raises SedgeError as `tidy` does.
        """


class GrowingTable:
    """A table with a row for each event, and beside it gaps, marks and what the events were found with.

    It has the same bytes whether recordings come at once or in several exports. A subclass says what a row is.
    """

    decimals: ClassVar[int | None] = None
    """Of times; None leaves them as they are."""
    header: ClassVar[str] = ""
    """What comes before the first row, with its line break."""

    about_beside: ClassVar[bool] = True
    """Whether the table has no place of its own for what its events were found with."""

    def __init__(self, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        self.about = dict(about or {})
        self._gaps: list[ExportGap] = []
        self._marks: list[ExportMark] = []
        self._handle: IO[bytes] | None = None

    @contextmanager
    def opened(self) -> Iterator[Self]:
        """Open for writing; leaving it through an error leaves the former file, and no other."""
        with whole_file(self.path) as self._handle:
            self.begin()
            yield self
            self.finish()

    def write(self, export: Export) -> int:
        """Append the events of an export, as TableWriter says."""
        kept = self.kept(export)
        self.append(kept)
        self._gaps += kept.gaps
        self._marks += kept.marks
        return len(export.events) - len(kept.events)

    @property
    def handle(self) -> IO[bytes]:
        """Where the table goes. Raises ValueError where it is not open."""
        if self._handle is None:
            raise ValueError("the table is not open: use it in a with statement")
        return self._handle

    def begin(self) -> None:
        """Write what comes before the first row."""
        self.put(self.header)

    def kept(self, export: Export) -> Export:
        """What of an export goes in."""
        return tidy(export, self.decimals)[0]

    def append(self, kept: Export) -> None:
        """Write the rows of what `kept` gave."""
        self.put("".join(self.rows(kept)))

    def rows(self, kept: Export) -> Iterable[str]:
        """The rows of an export, each with its line break."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what lies beside, and what comes after the last row."""
        about = self.about if self.about_beside else {}
        write_beside(self.path, Export((), self._gaps, about=about, marks=self._marks))

    def put(self, text: str) -> None:
        """Write text as it is."""
        self.handle.write(encoded(self.path, text))


def write_once(kind: type[GrowingTable], path: str | Path, export: Export) -> int:
    """Write a table of one export; returns how many events were left out."""
    with kind(path, export.about).opened() as table:
        return table.write(export)
