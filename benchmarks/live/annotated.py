"""Real sound with known onsets, as one recording: the bundled soundscape, or the clips of a labelled folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from edge_app.commands.demo import ANNOTATION, RECORDING
from edge_app.core.audio import read_blocks
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_events

SAMPLE_RATE = 44_100  # as microphones have it, so that resampling is part of what is measured
AUDIO_FOLDER, GROUND_TRUTH = "audio", "ground_truth.tsv"


@dataclass(frozen=True, slots=True)
class Annotated:
    """A recording and what is in it."""

    path: Path
    duration_s: float
    events: tuple[Event, ...]
    """Sorted by onset; their scores mean nothing."""
    what: str
    """In words."""


def join(source: Path | None, seconds: float, out: Path) -> Annotated:
    """Write the soundscape, or a folder's clips one after the other, as a mono WAV of at most `seconds`.

    The folder holds `audio/` and `ground_truth.tsv` (filename, onset, offset, event_label). An event that is cut
    is left out. Raises SedgeError where the folder is not so, or a clip cannot be read.
    """
    done, events, n_clips = 0, [], 0
    limit = round(seconds * SAMPLE_RATE)
    with soundfile.SoundFile(out, "w", SAMPLE_RATE, 1, "PCM_16", format="WAV") as sound:
        for path, annotated in _clips(source):
            samples = np.concatenate(list(read_blocks(path, SAMPLE_RATE)))[: limit - done]
            sound.write(samples)
            events += _placed(annotated, done, samples)
            done, n_clips = done + len(samples), n_clips + 1
            if done >= limit:
                break
    if not events:
        raise SedgeError(
            f"{source or RECORDING}: expected an event in the first {done / SAMPLE_RATE:g} s, found none"
        )
    what = "the bundled soundscape" if source is None else f"{n_clips} clips of {source}"
    events.sort(key=lambda event: (event.onset, event.event_label))
    return Annotated(out, done / SAMPLE_RATE, tuple(events), what)


def _clips(source: Path | None) -> Iterator[tuple[Path, list[Event]]]:
    if source is None:
        yield RECORDING, read_events(ANNOTATION)[RECORDING.name]
        return
    table, folder = source / GROUND_TRUTH, source / AUDIO_FOLDER
    if not table.is_file() or not folder.is_dir():
        raise SedgeError(f"{source}: expected a folder with {AUDIO_FOLDER}/ and {GROUND_TRUTH}, found none")
    for filename, events in read_events(table).items():
        yield folder / filename, events


def _placed(events: list[Event], first: int, samples: NDArray[np.float32]) -> list[Event]:
    """Events of a clip whose samples begin at `first`, at their time in the whole."""
    begin_s, duration_s = first / SAMPLE_RATE, len(samples) / SAMPLE_RATE
    return [
        Event(event.onset + begin_s, event.offset + begin_s, event.event_label, event.score)
        for event in events
        if event.offset <= duration_s
    ]
