"""One JSON object with everything of an export but frame scores: events, gaps, marks, and what they were found with."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_type_hints

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent, ExportGap, ExportMark
from edge_app.formats.growing_table import GrowingTable, write_once
from edge_app.formats.side_files import read_object
from edge_app.formats.spool import Spool

SCHEMA = 1
ABOUT_FIELDS = ("app", "model", "settings", "source", "sample_rate", "latency")
_OWN_FIELDS = ("schema", "durations", "unrecorded", "recordings", "events", "gaps", "marks")
_BRACKETS = {name: "{}" if name in ("durations", "recordings") else "[]" for name in _OWN_FIELDS[1:]}
_TYPES: Mapping[type, Mapping[str, Any]] = {
    kind: get_type_hints(kind) for kind in (ExportEvent, ExportGap, ExportMark)
}
_REQUIRED: Mapping[type, frozenset[str]] = {
    ExportEvent: frozenset({"onset", "offset", "event_label"}),
    ExportGap: frozenset({"onset", "offset"}),
    ExportMark: frozenset({"at"}),
}
_DEFAULTS: Mapping[type, Mapping[str, Any]] = {
    ExportEvent: {"source": "", "file": "", "score": 1.0},
    ExportGap: {"kind": ""},
    ExportMark: {},
}


class JsonFile(GrowingTable):
    """Everything in full precision, in one object.

    Its parts are put aside while it grows: durations come before events, and both come with each export.
    Raises SedgeError, where it is opened, for an `about` that has a field of the format's own or is no JSON.
    """

    @contextmanager
    def opened(self) -> Iterator[Self]:
        """Open for writing, as any table."""
        self._check_about()
        with ExitStack() as stack:
            self._parts = {name: stack.enter_context(Spool(self.path)) for name in _BRACKETS}
            self._unrecorded: set[str] = set()
            stack.enter_context(super().opened())
            yield self

    def append(self, kept: Export) -> None:
        """Put the parts of an export aside."""
        self._unrecorded |= kept.unrecorded
        for name, by_file in (("durations", kept.durations), ("recordings", kept.recordings)):
            for file, value in by_file.items():
                self._put_aside(name, f"{json.dumps(file)}: {self._text(value)}")
        for event in kept.events:
            self._put_aside("events", self._text(_fields(event)))
        for name, spans in (("gaps", kept.gaps), ("marks", kept.marks)):
            for span in spans:
                self._put_aside(name, self._text(dataclasses.asdict(span)))

    def finish(self) -> None:
        """Write the object."""
        for name in sorted(self._unrecorded):
            self._put_aside("unrecorded", json.dumps(name))
        before = {name: self.about.get(name) for name in ABOUT_FIELDS if name != "latency"}
        after = {name: value for name, value in self.about.items() if name not in ABOUT_FIELDS}
        self.put("{")
        self.put(",".join(self._entry(name, value) for name, value in {"schema": SCHEMA, **before}.items()))
        for name, brackets in _BRACKETS.items():
            self.put(f",\n  {json.dumps(name)}: {brackets[0]}")
            part = self._parts[name]
            part.copy_to(self.handle)
            self.put(brackets[1] if part.is_empty else f"\n  {brackets[1]}")
        for name, value in {"latency": self.about.get("latency"), **after}.items():
            self.put("," + self._entry(name, value))
        self.put("\n}\n")

    def _check_about(self) -> None:
        taken = sorted(set(_OWN_FIELDS) & set(self.about))
        if taken:
            raise SedgeError(
                f"{self.path}: about: expected other fields than {list(_OWN_FIELDS)}, found {taken}"
            )
        self._text(self.about)

    def _put_aside(self, name: str, text: str) -> None:
        part = self._parts[name]
        part.put(f"{'' if part.is_empty else ','}\n    {_indented(text, 4)}")

    def _entry(self, name: str, value: object) -> str:
        return f"\n  {json.dumps(name)}: {_indented(self._text(value), 2)}"

    def _text(self, value: object) -> str:
        try:
            return json.dumps(value, indent=2, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SedgeError(f"{self.path}: expected what JSON can hold, found: {error}") from error


def write_json(path: str | Path, export: Export) -> int:
    """Write everything in full precision; returns how many events were left out.

    Raises SedgeError as `tidy` does, and where `about` has a field of the format's own or is no JSON.
    """
    return write_once(JsonFile, path, export)


def read_json(path: str | Path) -> Export:
    """The export in a file. Raises SedgeError, naming the event or gap, where it is not as written."""
    document = read_object(path)
    if document.get("schema") != SCHEMA:
        raise SedgeError(f"{path}: schema: expected {SCHEMA}, found {document.get('schema')!r}")
    events = [ExportEvent(**fields) for fields in _items(path, document, "event", ExportEvent)]
    gaps = [ExportGap(**fields) for fields in _items(path, document, "gap", ExportGap)]
    marks = [ExportMark(**fields) for fields in _items(path, document, "mark", ExportMark)]
    about = {name: value for name, value in document.items() if name not in _OWN_FIELDS and value is not None}
    unrecorded = frozenset(map(str, _list(path, document, "unrecorded")))
    recordings = document.get("recordings", {})
    if not isinstance(recordings, dict) or not all(isinstance(value, str) for value in recordings.values()):
        raise SedgeError(f"{path}: recordings: expected paths by file, found {recordings!r:.60}")
    return Export(events, gaps, _durations(path, document), about, unrecorded, marks, recordings)


def utc_text(moment: datetime | None) -> str | None:
    """A moment in ISO 8601 with its time zone."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def utc_moment(where: str, text: str) -> datetime:
    """The moment that `utc_text` was given. Raises SedgeError for other text, and where the time zone is missing."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SedgeError(f"{where}: onset_utc: expected ISO 8601 with a time zone, found {text!r}")
    return moment


def _indented(text: str, width: int) -> str:
    """JSON further to the right; a string in it has no line break."""
    return text.replace("\n", "\n" + width * " ")


def _fields(event: ExportEvent) -> dict[str, Any]:
    return {**dataclasses.asdict(event), "onset_utc": utc_text(event.onset_utc)}


def _list(path: str | Path, document: Mapping[str, Any], name: str) -> list[Any]:
    found = document.get(name, [])
    if not isinstance(found, list):
        raise SedgeError(f"{path}: {name}: expected a list, found {type(found).__name__}")
    return found


def _durations(path: str | Path, document: Mapping[str, Any]) -> dict[str, float]:
    found = document.get("durations", {})
    if not isinstance(found, dict) or not all(_fits(value, float) for value in found.values()):
        raise SedgeError(f"{path}: durations: expected seconds by file, found {found!r:.60}")
    return {name: float(value) for name, value in found.items()}


def _items(path: str | Path, document: Mapping[str, Any], name: str, kind: type) -> Iterator[dict[str, Any]]:
    """The checked fields of each event, gap or mark."""
    for number, found in enumerate(_list(path, document, f"{name}s"), start=1):
        yield _checked(f"{path}, {name} {number}", found, kind)


def _checked(where: str, found: object, kind: type) -> dict[str, Any]:
    """The fields of one item, each of its type; numbers become floats where floats are meant."""
    types = _TYPES[kind]
    if not isinstance(found, dict) or not set(found) <= set(types):
        raise SedgeError(f"{where}: expected fields among {list(types)}, found {found!r:.80}")
    fields = dict(found)
    if isinstance(fields.get("onset_utc"), str):
        fields["onset_utc"] = utc_moment(where, fields["onset_utc"])
    missing = _REQUIRED[kind] - set(fields)
    if missing:
        raise SedgeError(f"{where}: expected {sorted(missing)}, found nothing there")
    for name, value in fields.items():
        if not _fits(value, types[name]):
            raise SedgeError(f"{where}: {name}: expected {types[name]}, found {value!r:.60}")
        if isinstance(value, int) and float in (get_args(types[name]) or (types[name],)):
            fields[name] = float(value)
    return {**_DEFAULTS[kind], **fields}


def _fits(value: object, expected: type | UnionType) -> bool:
    """Whether a value of JSON is of a type; a whole number is also a float, and true is no number."""
    options = get_args(expected) or (expected,)
    if isinstance(value, bool):
        return bool in options
    if value is None:
        return NoneType in options
    return isinstance(value, tuple(options)) or (isinstance(value, int) and float in options)
