"""One long soundscape of given recordings in a given order, with pauses: how the bundled demo was made.

python -m train.data.long_soundscape BANK OUT --recordings LIST
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import tyro
from jaxtyping import Float

from edge_app.core.errors import SedgeError
from edge_app.formats.desed_tsv import write_events
from edge_app.formats.whole_file import whole_file, write_whole
from train.data.bank import SAMPLE_RATE, Recording, attribution_lines, read_bank
from train.data.extents import HOP_LENGTH, audible_runs, from_db, merge_labels, rms
from train.data.soundscape import AUDIBLE_DB, Soundscape, place, scale_to_snr, set_level

FADE = 1_600  # samples over which a cut recording ends
CROSSFADE = 8_000  # samples over which one cut of a background gives way to the next


@dataclass(frozen=True)
class LongSoundscape:
    """Arguments of the module."""

    bank: tyro.conf.Positional[Path]
    """Sound bank."""
    out: tyro.conf.Positional[Path]
    """Folder for soundscape.flac, soundscape.tsv and ATTRIBUTION.md."""
    recordings: Path
    """Text file with a recording of the bank a line, backgrounds among them; lines with # are remarks."""
    duration_s: float = 90.0
    """Length of the soundscape."""
    max_event_s: float = 3.6
    """Recordings are cut to this."""
    snr_db: tuple[float, float] = (12.0, 25.0)
    """RMS of a recording over the background's RMS."""
    level_dbfs: float = -26.0
    """RMS level of the whole, lower where a peak would pass 0.95."""
    seed: int = 1
    """Seed of pauses, levels and the background's cuts."""


def make_soundscape(recordings: Sequence[Recording], args: LongSoundscape) -> Soundscape:
    """The recordings in order, random pauses between, over their backgrounds. Raises SedgeError if too long."""
    rng = np.random.default_rng(args.seed)
    n_samples = round(args.duration_s * SAMPLE_RATE)
    events = [recording for recording in recordings if recording.role == "foreground"]
    cuts = [cut(recording.waveform(), round(args.max_event_s * SAMPLE_RATE)) for recording in events]
    starts = _starts([len(waveform) for waveform in cuts], n_samples, rng)
    mix = _long_background([r for r in recordings if r.role == "background"], n_samples, rng)
    spans = defaultdict(list)
    for recording, waveform, start in zip(events, cuts, starts, strict=True):
        snr_db = float(rng.uniform(*args.snr_db))
        layer = place(scale_to_snr(waveform, 1.0, snr_db), start, n_samples)
        mix += layer
        spans[str(recording.event_label)].append(audible_runs(layer, floor_rms=from_db(AUDIBLE_DB)))
    return Soundscape(set_level(mix, args.level_dbfs), merge_labels(spans), [r.name for r in recordings])


def cut(waveform: Float[np.ndarray, " sample"], n_samples: int) -> Float[np.ndarray, " sample"]:
    """The first `n_samples`, faded out where something is cut off."""
    if len(waveform) <= n_samples:
        return waveform
    short = waveform[:n_samples].copy()
    short[-FADE:] *= np.linspace(1, 0, FADE, dtype=np.float32)
    return short


def _starts(lengths: Sequence[int], n_samples: int, rng: np.random.Generator) -> list[int]:
    """First samples on the 20 ms grid, the time that is left shared out as pauses of like lengths."""
    pause = n_samples - sum(lengths)
    if pause < len(lengths) * SAMPLE_RATE // 2:
        raise SedgeError(
            f"recordings: expected half a second of pause for each, found {pause / SAMPLE_RATE:.1f} s"
        )
    shares = rng.uniform(0.5, 1.5, len(lengths) + 1)
    pauses = np.cumsum(shares / shares.sum() * pause)[:-1]
    starts = pauses + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return [int(start) // HOP_LENGTH * HOP_LENGTH for start in starts]


def _long_background(
    recordings: Sequence[Recording], n_samples: int, rng: np.random.Generator
) -> Float[np.ndarray, " sample"]:
    """Random cuts of the backgrounds, each cross-faded into the next, at unit RMS."""
    if not recordings:
        raise SedgeError("recordings: expected a background among them, found none")
    angle = np.linspace(0, np.pi / 2, CROSSFADE, dtype=np.float32)
    mix = np.zeros(0, np.float32)
    while len(mix) < n_samples:
        waveform = recordings[int(rng.integers(len(recordings)))].waveform()
        start = int(rng.integers(len(waveform) // 4))
        part = waveform[start:] / rms(waveform[start:])
        if len(mix):
            part[:CROSSFADE] = part[:CROSSFADE] * np.sin(angle) + mix[-CROSSFADE:] * np.cos(angle)
        mix = np.concatenate([mix[: max(0, len(mix) - CROSSFADE)], part])
    mix = mix[:n_samples]
    return mix / rms(mix)


def write_soundscape(args: LongSoundscape) -> Soundscape:
    """Make the soundscape and write its audio, annotation and attribution. Raises SedgeError on an unknown name."""
    by_name = {recording.name: recording for recording in read_bank(args.bank).recordings}
    lines = args.recordings.read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise SedgeError(f"{args.recordings}: expected recordings of {args.bank}, found {', '.join(unknown)}")
    soundscape = make_soundscape([by_name[name] for name in names], args)
    args.out.mkdir(parents=True, exist_ok=True)
    with whole_file(args.out / "soundscape.flac") as file:
        soundfile.write(file, soundscape.waveform, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    write_events(args.out / "soundscape.tsv", {"soundscape.flac": soundscape.events})
    write_whole(args.out / "ATTRIBUTION.md", _attribution([by_name[name] for name in dict.fromkeys(names)]))
    return soundscape


def _attribution(recordings: Sequence[Recording]) -> str:
    head = (
        "# Attribution\n\n"
        "`soundscape.flac` is mixed from the recordings below: cut, set to other levels, added together.\n"
        "Those by way of github.com/karoldvl/ESC-10 are from Freesound, by the people named, chosen for ESC-10 by\n"
        "Karol J. Piczak. Licences: creativecommons.org/publicdomain/zero/1.0 (CC0),\n"
        "creativecommons.org/licenses/by/3.0 and /by/4.0 (CC BY), apache.org/licenses/LICENSE-2.0 (Apache-2.0).\n\n"
    )
    return head + "\n".join(attribution_lines(recordings)) + "\n"


if __name__ == "__main__":
    write_soundscape(tyro.cli(LongSoundscape, prog="python -m train.data.long_soundscape"))
