"""The bundled soundscape as a small folder of annotated clips: the one labelled set that is always at hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from edge_app.commands.demo import ANNOTATION, RECORDING
from edge_app.core.audio import read_blocks
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_events, write_durations, write_events

CLIP_S = 10.0
LEAST_SILENCE_S = 0.5


def write_demo_clips(folder: Path) -> None:
    """Write `audio/`, `ground_truth.tsv` and `durations.tsv`: the soundscape, cut about every ten seconds.

    Cuts are where nothing sounds. Raises SedgeError where there is no space.
    """
    with soundfile.SoundFile(RECORDING) as sound:
        sample_rate, duration_s = sound.samplerate, sound.frames / sound.samplerate
    signal = np.concatenate(list(read_blocks(RECORDING, sample_rate)))
    events = read_events(ANNOTATION)[RECORDING.name]
    ends = cuts(events, duration_s)
    by_file: dict[str, list[Event]] = {}
    durations: dict[str, float] = {}
    try:
        (folder / "audio").mkdir(parents=True)
        for number, (begin, end) in enumerate(zip((0.0, *ends), (*ends, duration_s), strict=True)):
            name = f"soundscape_{number:02}.flac"
            part = signal[round(begin * sample_rate) : round(end * sample_rate)]
            soundfile.write(folder / "audio" / name, part, sample_rate, "PCM_16")
            durations[name] = len(part) / sample_rate
            by_file[name] = [_moved(event, begin) for event in events if begin <= event.onset < end]
    except (OSError, soundfile.LibsndfileError) as error:
        raise SedgeError(
            f"{folder}: expected space for a minute and a half of sound, found: {error}"
        ) from error
    write_events(folder / "ground_truth.tsv", by_file)
    write_durations(folder / "durations.tsv", durations)


def _moved(event: Event, begin: float) -> Event:
    return Event(
        round(event.onset - begin, 3), round(event.offset - begin, 3), event.event_label, event.score
    )


def cuts(events: Sequence[Event], duration_s: float) -> list[float]:
    """Seconds at which nothing sounds: of all silences' middles the nearest to each multiple of ten; ascending."""
    middles, end = [], 0.0
    for event in sorted(events, key=lambda event: event.onset):
        if event.onset - end >= LEAST_SILENCE_S:
            middles.append(round((end + event.onset) / 2, 2))
        end = max(end, event.offset)
    wanted = (CLIP_S * number for number in range(1, round(duration_s / CLIP_S)))
    return sorted({min(middles, key=lambda middle: abs(middle - each)) for each in wanted} if middles else [])
