"""What of DESED is in a folder: rows, audio, rates and labels of each set, beside what the published one has."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from edge_app.core.errors import SedgeError
from edge_app.formats.desed_tsv import read_durations
from train.data.desed import CLIP_S, KINDS, PLACES, DesedSet, audio_files, find_sets
from train.data.tables import SetTable, read_set

HEADERS = 50
"""Audio files of a set whose headers are read."""
NEEDED = ("synthetic", "weak", "unlabelled", "development", "validation")
"""Sets without which the report's system cannot be trained and measured."""
_PROJECT = "https://project.inria.fr/desed/"
_RECORDED = f"Python package `desed`, desed.download_audioset_data(FOLDER); missing files: see {_PROJECT}"
_GENERATED = "dcase_synth.zip of https://zenodo.org/record/6026841"


@dataclass(frozen=True)
class Published:
    """A set as published: how many clips, and where it is obtained."""

    clips: int | None
    source: str


PUBLISHED = {
    "synthetic": Published(10_000, _GENERATED),
    "weak": Published(1578, _RECORDED),
    "unlabelled": Published(14_412, _RECORDED),
    "development": Published(2500, _GENERATED),
    "validation": Published(1168, _RECORDED),
    "public": Published(692, "https://zenodo.org/record/3588172"),
}


@dataclass(frozen=True)
class SetSurvey:
    """One set: what is there. `clips` are those of its table; None where there is no table to read.

    `sample_rates` (Hz), `unreadable` and, where there is no table of durations, `too_long` are of a sample of
    the audio. `duration_rows` counts the table of durations, None where there is none.
    """

    name: str
    published_clips: int | None
    source: str
    table: str | None = None
    audio: str | None = None
    clips: int | None = None
    audio_found: int = 0
    missing: tuple[str, ...] = ()
    extra: int = 0
    sample_rates: tuple[int, ...] = ()
    unreadable: tuple[str, ...] = ()
    too_long: int = 0
    duration_rows: int | None = None
    event_labels: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every clip of the set is there and can be read, as far as was looked."""
        return self.audio_found > 0 and not (self.missing or self.unreadable or self.problem)


def survey_sets(folders: Sequence[Path]) -> list[SetSurvey]:
    """Look at each set of `KINDS` in these folders. Raises SedgeError where one of them is no folder."""
    found = find_sets(*folders)
    return [_survey(name, found[name]) if name in found else _absent(name) for name in KINDS]


def _absent(name: str) -> SetSurvey:
    published = PUBLISHED[name]
    problem = f"absent; looked for {PLACES[name][0].table}"
    return SetSurvey(name, published.clips, published.source, problem=problem)


def _survey(name: str, clips: DesedSet) -> SetSurvey:
    there = audio_files(clips.audio)
    problem, rows, durations = None, None, None
    try:
        rows = read_set(name, clips)
        durations = read_durations(clips.durations) if clips.durations.is_file() else None
    except SedgeError as error:
        problem = str(error)
    known = rows.filenames if rows else ()
    in_folder = set(there)
    missing = tuple(f for f in known if f not in in_folder and not (clips.audio / f).is_file())
    rates, lengths, unreadable = _headers(clips.audio, there)
    return SetSurvey(
        name,
        PUBLISHED[name].clips,
        PUBLISHED[name].source,
        table=str(clips.table) if clips.table.is_file() else None,
        audio=str(clips.audio),
        clips=len(known) if rows else None,
        audio_found=len(known) - len(missing) if rows else len(there),
        missing=missing,
        extra=len(in_folder.difference(known)),
        sample_rates=rates,
        unreadable=unreadable,
        too_long=sum(length > CLIP_S for length in (durations.values() if durations else lengths)),
        duration_rows=None if durations is None else len(durations),
        event_labels=_labels(rows) if rows else (),
        problem=problem,
    )


def _labels(rows: SetTable) -> tuple[str, ...]:
    of_events = {event.event_label for events in rows.events for event in events}
    return tuple(sorted(of_events | {tag for tags in rows.given_tags for tag in tags or ()}))


def _headers(folder: Path, filenames: Sequence[str]) -> tuple[tuple[int, ...], list[float], tuple[str, ...]]:
    """Rates, durations in seconds and unreadable files of a sample spread evenly over the names."""
    rates: set[int] = set()
    lengths: list[float] = []
    unreadable: list[str] = []
    step = max(1, len(filenames) / HEADERS)
    for index in range(min(HEADERS, len(filenames))):
        filename = filenames[int(index * step)]
        try:
            header = soundfile.info(folder / filename)
        except (soundfile.SoundFileError, OSError):
            unreadable.append(filename)
            continue
        rates.add(header.samplerate)
        lengths.append(header.duration)
    return tuple(sorted(rates)), lengths, tuple(unreadable)
