"""What recordings go through on their way: each changes a clip's samples, and leaves its times as they are.

Gain is that of a louder or softer source: nothing clips, which is a perturbation of its own. A room smears the end
of every event, so that the annotation's offsets are no longer exactly true of what is heard.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args
from zlib import crc32

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32

from benchmarks.recording import SAMPLE_RATE
from edge_app.core.errors import SedgeError
from train.data.extents import from_db, rms
from train.data.rooms import Room, impulse_response, reverberate

PerturbationName = Literal["gain-up", "gain-down", "white", "pink", "reverb", "mp3", "clipping", "8khz"]
NAMES: tuple[PerturbationName, ...] = get_args(PerturbationName)

Samples = Float32[np.ndarray, " sample"]
Change = Callable[[Samples, np.random.Generator], Samples]

GAIN_DB = 20.0
CLIP_DB = 12.0
"""How far the loudest sample is over the level where it is cut off."""
LIVING_ROOM = Room(low_rt60_s=0.72, rt60_s=0.6, high_rt60_s=0.39)
DIRECT_DB = 0.0
"""Energy of the direct sound over that of all reflections: some metres from the source."""
MP3_LEVEL = 96 / 152
"""libsndfile takes 160 - 152 x level kbit/s at 16 kHz: 64."""
NARROW_HZ = 8000


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One row of the robustness table."""

    name: str
    """Short, unique."""
    title: str
    change: Change

    def apply(self, samples: Samples, filename: str) -> Samples:
        """A clip at 16 kHz, changed; as long as it was. What is drawn depends on the names only.

        Raises SedgeError where the codec fails.
        """
        if not len(samples):
            return samples
        changed = self.change(samples, np.random.default_rng([0, crc32(f"{self.name} {filename}".encode())]))
        return _as_long(changed, len(samples))


def perturbations(names: Sequence[PerturbationName], noise_snr_db: Sequence[float]) -> Iterator[Perturbation]:
    """Those of these names, or all of them where none is named; each noise once for each SNR in dB."""
    for name in names or NAMES:
        if name in ("white", "pink"):
            for snr_db in noise_snr_db:
                change = partial(_with_noise, snr_db=snr_db, pink=name == "pink")
                yield Perturbation(f"{name}-{snr_db:g}", f"{name} noise, {snr_db:g} dB SNR", change)
        else:
            title, change_of_name = _CHANGES[name]
            yield Perturbation(name, title, change_of_name)


def _as_long(samples: Samples, n_samples: int) -> Samples:
    padded = np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))
    return padded.astype(np.float32, copy=False)


def _amplified(samples: Samples, _: np.random.Generator, decibels: float) -> Samples:
    return samples * np.float32(from_db(decibels))


def _with_noise(samples: Samples, rng: np.random.Generator, snr_db: float, pink: bool) -> Samples:
    """The clip with noise that is `snr_db` under the RMS of the whole clip; pink: its power falls as 1 / f."""
    noise = rng.standard_normal(len(samples))
    if pink:
        spectrum = np.fft.rfft(noise)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
        spectrum[0] = 0
        noise = np.fft.irfft(spectrum, len(noise))
    noise *= rms(samples) * from_db(-snr_db) / rms(noise.astype(np.float32))
    return samples + noise.astype(np.float32)


def _in_a_room(samples: Samples, rng: np.random.Generator) -> Samples:
    """The clip in a living room; each clip at another place of it."""
    return reverberate(samples, impulse_response(LIVING_ROOM, DIRECT_DB, SAMPLE_RATE, rng))


def mp3_bytes(samples: Samples) -> bytes:
    """A clip at 16 kHz as MP3 of constant 64 kbit/s, by libsndfile's LAME. Raises SedgeError where it cannot."""
    encoded = io.BytesIO()
    try:
        with soundfile.SoundFile(
            encoded,
            "w",
            SAMPLE_RATE,
            1,
            "MPEG_LAYER_III",
            format="MP3",
            compression_level=MP3_LEVEL,
            bitrate_mode="CONSTANT",
        ) as sound:
            sound.write(np.clip(samples, -1, 1))
    except (ValueError, soundfile.LibsndfileError) as error:
        raise SedgeError(f"mp3: expected a libsndfile that writes MP3, found: {error}") from error
    return encoded.getvalue()


def _through_mp3(samples: Samples, _: np.random.Generator) -> Samples:
    decoded, _rate = soundfile.read(io.BytesIO(mp3_bytes(samples)), dtype="float32")
    return np.asarray(decoded, np.float32)


def _clipped(samples: Samples, _: np.random.Generator) -> Samples:
    limit = np.float32(np.abs(samples).max(initial=0.0) * from_db(-CLIP_DB))
    return np.clip(samples, -limit, limit)


def _narrow(samples: Samples, _: np.random.Generator) -> Samples:
    """Through a rate of 8 kHz and back: nothing is left over 4 kHz."""
    narrow = soxr.resample(samples, SAMPLE_RATE, NARROW_HZ)
    return np.asarray(soxr.resample(narrow, NARROW_HZ, SAMPLE_RATE), np.float32)


_CHANGES: dict[str, tuple[str, Change]] = {
    "gain-up": (f"gain +{GAIN_DB:.0f} dB", partial(_amplified, decibels=GAIN_DB)),
    "gain-down": (f"gain -{GAIN_DB:.0f} dB", partial(_amplified, decibels=-GAIN_DB)),
    "reverb": (f"reverberation, {LIVING_ROOM.rt60_s:g} s", _in_a_room),
    "mp3": ("MP3, 64 kbit/s", _through_mp3),
    "clipping": (f"clipping at -{CLIP_DB:.0f} dB of the peak", _clipped),
    "8khz": ("8 kHz sample rate", _narrow),
}
