"""One JSON object with everything of an export but frame scores: events, gaps, marks, and what they were found with."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent, ExportGap, ExportMark, tidy
from edge_app.formats.side_files import read_object
from edge_app.formats.whole_file import write_whole

SCHEMA = 1
ABOUT_FIELDS = ("app", "model", "settings", "source", "sample_rate", "latency")
_OWN_FIELDS = ("schema", "durations", "unrecorded", "recordings", "events", "gaps", "marks")
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


def write_json(path: str | Path, export: Export) -> int:
    """Write everything in full precision; returns how many events were left out.

    Raises SedgeError as `tidy` does, and where `about` has a field of the format's own or is no JSON.
    """
    taken = sorted(set(_OWN_FIELDS) & set(export.about))
    if taken:
        raise SedgeError(f"{path}: about: expected other fields than {list(_OWN_FIELDS)}, found {taken}")
    export, left_out = tidy(export)
    document = {
        "schema": SCHEMA,
        **{name: export.about.get(name) for name in ABOUT_FIELDS if name != "latency"},
        "durations": dict(export.durations),
        "unrecorded": sorted(export.unrecorded),
        "recordings": dict(export.recordings),
        "events": [_fields(event) for event in export.events],
        "gaps": [dataclasses.asdict(gap) for gap in export.gaps],
        "marks": [dataclasses.asdict(mark) for mark in export.marks],
        "latency": export.about.get("latency"),
        **{name: value for name, value in export.about.items() if name not in ABOUT_FIELDS},
    }
    try:
        text = json.dumps(document, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SedgeError(f"{path}: expected what JSON can hold, found: {error}") from error
    write_whole(path, text + "\n")
    return left_out


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
