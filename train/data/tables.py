"""What the tables of a set of clips say: file names, events, tags; and tables of tags and of names themselves."""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_durations, read_events
from edge_app.formats.rows import escape, unescape
from edge_app.formats.whole_file import write_whole
from train.data.desed import DesedSet, audio_files
from train.data.overlaps import merged

NAMED_MISSING = 10
"""Missing files that a message names; the list beside the prepared clips has all."""

Tags = tuple[str, ...]


@dataclass(frozen=True)
class SetTable:
    """The clips of one set: names, events in seconds (none where unknown) and tags (None where not given)."""

    name: str
    clips: DesedSet
    filenames: tuple[str, ...]
    events: tuple[tuple[Event, ...], ...]
    given_tags: tuple[Tags | None, ...]

    def paths(self) -> list[Path]:
        """The audio file of each clip."""
        return [self.clips.audio / filename for filename in self.filenames]

    def only(self, kept: Sequence[bool], name: str | None = None) -> "SetTable":
        """The clips for which `kept` is true, as a set of another name where one is given."""
        rows = [index for index, keep in enumerate(kept) if keep]
        return SetTable(
            name or self.name,
            self.clips,
            tuple(self.filenames[index] for index in rows),
            tuple(self.events[index] for index in rows),
            tuple(self.given_tags[index] for index in rows),
        )


def read_set(name: str, clips: DesedSet) -> SetTable:
    """Read a set's table; overlapping events of one label are merged, and a notice on stderr counts them.

    Events of no length are kept: tables of frame centres have them. Raises SedgeError where the table is
    missing, wrong or empty, or its table of durations lacks a file.
    """
    events: Mapping[str, Sequence[Event]] = {}
    tags: Mapping[str, Tags] = {}
    if clips.kind == "strong":
        events = read_events(clips.table, instants=True)
    elif clips.kind == "weak":
        tags = read_tags(clips.table)
    filenames = tuple(events or tags or _unlabelled_names(clips))
    if not filenames:
        place = clips.table if clips.table.is_file() else clips.audio
        raise SedgeError(f"{place}: expected at least one clip in the {name} set, found none")
    _check_names(clips, filenames)
    annotated_durations(clips, filenames)
    whole = tuple(tuple(merged(events.get(filename, ()))) for filename in filenames)
    _notice_merged(clips, events, whole)
    return SetTable(name, clips, filenames, whole, tuple(tags.get(name) for name in filenames))


def read_tags(path: Path) -> dict[str, Tags]:
    """Tags by file of a weak table: columns filename and event_labels, the labels separated by commas.

    Raises SedgeError for missing columns, and where a file stands there twice with different tags.
    """
    by_file: dict[str, Tags] = {}
    for where, (filename, written) in _rows(path, ("filename", "event_labels")):
        tags = tuple(sorted({label.strip() for label in written.split(",") if label.strip()}))
        if by_file.setdefault(filename, tags) != tags:
            raise SedgeError(
                f"{where}: event_labels of {filename!r}: expected {','.join(by_file[filename])!r} as above, "
                f"found {written!r}"
            )
    return by_file


def write_tags(path: Path, by_file: Mapping[str, Iterable[str]]) -> None:
    """Write the tags of files as a weak table. Raises SedgeError where a tag holds a comma."""
    rows = ["filename\tevent_labels"]
    for filename, tags in by_file.items():
        if any("," in tag for tag in tags):
            raise SedgeError(f"{path}: event_labels of {filename!r}: expected no comma in {list(tags)}")
        rows.append(f"{escape(filename)}\t{escape(','.join(sorted(tags)))}")
    write_whole(path, "\n".join(rows) + "\n")


def read_filenames(path: Path) -> list[str]:
    """Names in the column filename, each once, in the table's order. Raises SedgeError where it is missing."""
    return list(dict.fromkeys(filename for _, (filename,) in _rows(path, ("filename",))))


def write_filenames(path: Path, filenames: Iterable[str]) -> None:
    """Write names of files as an unlabelled table."""
    write_whole(path, "\n".join(["filename", *map(escape, filenames)]) + "\n")


def annotated_durations(clips: DesedSet, filenames: Iterable[str]) -> dict[str, float]:
    """Durations in seconds of these files; empty where the set has no such table.

    A table of durations may have more files than the annotated ones: a notice on stderr counts them.
    Raises SedgeError where it lacks one.
    """
    if not clips.durations.is_file():
        return {}
    durations, wanted = read_durations(clips.durations), list(filenames)
    lacking = [filename for filename in wanted if filename not in durations]
    if lacking:
        raise SedgeError(
            f"{clips.durations}: expected the {len(wanted)} files of {clips.table}, found {len(lacking)} of them "
            f"lacking: {', '.join(lacking[:NAMED_MISSING])}"
        )
    if len(durations) > len(wanted):
        notice(
            f"{clips.durations}: {len(durations) - len(wanted)} of {len(durations)} files are not in "
            f"{clips.table} and left out"
        )
    return {filename: durations[filename] for filename in wanted}


def present(rows: SetTable, out: Path, allow_missing: bool) -> SetTable:
    """The clips whose audio is there; a list of the others is left in `out`/missing_<set>.txt.

    Raises SedgeError where some are absent unless `allow_missing`, and where all are.
    """
    there = [path.is_file() for path in rows.paths()]
    absent = [filename for filename, is_there in zip(rows.filenames, there, strict=True) if not is_there]
    listing = out / f"missing_{rows.name}.txt"
    if not absent:
        listing.unlink(missing_ok=True)
        return rows
    out.mkdir(parents=True, exist_ok=True)
    write_whole(listing, "".join(f"{filename}\n" for filename in absent))
    named = ", ".join(absent[:NAMED_MISSING]) + (" ..." if len(absent) > NAMED_MISSING else "")
    text = (
        f"{rows.clips.audio}: {len(absent)} of {len(rows.filenames)} files of the {rows.name} set are absent: "
        f"{named} (all: {listing})"
    )
    if len(absent) == len(rows.filenames):
        raise SedgeError(text)
    if not allow_missing:
        raise SedgeError(f"{text}; allow_missing goes on without them")
    notice(f"{text}; going on without them")
    return rows.only(there)


def hold_out(rows: SetTable, share: float, name: str) -> tuple[SetTable, SetTable]:
    """Part a set: what stays, and about `share` of its clips as the set `name`, by a hash of the file name.

    Raises SedgeError where fewer than two clips leave nothing on one side.
    """
    hashes = [int(hashlib.sha256(f.encode()).hexdigest()[:8], 16) / 2**32 for f in rows.filenames]
    if len(hashes) < 2:
        raise SedgeError(f"{rows.clips.table}: expected two clips or more to hold some out, found one")
    # both parts have a clip at least, however few there are
    held = [h == min(hashes) or (h < share and h != max(hashes)) for h in hashes]
    return rows.only([not part for part in held]), rows.only(held, name)


def check_known(rows: SetTable, event_labels: Sequence[str]) -> None:
    """Raise SedgeError, naming file and label, where an event or a tag has another label than these."""
    for filename, events, tags in zip(rows.filenames, rows.events, rows.given_tags, strict=True):
        for label in (*(event.event_label for event in events), *(tags or ())):
            if label not in event_labels:
                raise SedgeError(
                    f"{rows.clips.table}: {filename}: event label: expected one of {list(event_labels)}, "
                    f"found {label!r}"
                )


def notice(text: str) -> None:
    """Say on stderr what a user should know of the tables and need not mend."""
    print(f"notice: {text}", file=sys.stderr)


def _unlabelled_names(clips: DesedSet) -> list[str]:
    if clips.kind != "unlabelled":
        return []
    return read_filenames(clips.table) if clips.table.is_file() else audio_files(clips.audio)


def _check_names(clips: DesedSet, filenames: Iterable[str]) -> None:
    for filename in filenames:
        if Path(filename).is_absolute() or ".." in Path(filename).parts:
            raise SedgeError(
                f"{clips.table}: filename: expected a name inside {clips.audio}, found {filename!r}"
            )


def _notice_merged(
    clips: DesedSet, events: Mapping[str, Sequence[Event]], merged: Iterable[tuple[Event, ...]]
) -> None:
    fewer = sum(map(len, events.values())) - sum(map(len, merged))
    if fewer:
        notice(f"{clips.table}: {fewer} events overlap another one of their label and were merged with it")


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each row that is not empty, with the place it stands in, reduced to the columns asked for."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SedgeError(f"{path}: cannot be read as a table ({error})") from error
    header = [name.strip() for name in lines[0].split("\t")] if lines else []
    missing = [column for column in columns if column not in header]
    if missing:
        raise SedgeError(f"{path}: expected columns {list(columns)} separated by tabs, found {header}")
    places = [header.index(column) for column in columns]
    for number, line in enumerate(lines[1:], start=2):
        fields = [unescape(field) for field in line.split("\t")]
        if not any(fields):
            continue
        if len(fields) <= max(places) or not fields[header.index("filename")]:
            raise SedgeError(f"{path}, row {number}: expected {header}, found {line!r}")
        yield f"{path}, row {number}", [fields[place] for place in places]
