"""Clips that a very small model can learn in seconds: Cat is a low tone, Dog a high one."""

from collections.abc import Sequence

import numpy as np

from edge_app.core.events import Event
from train.data.clips import ClipSet
from train.fitting.augment import AugmentSettings
from train.fitting.loop_settings import BatchSettings, LoopSettings
from train.fitting.schedule import ScheduleSettings
from train.models.fbcrnn import FBCRNNConfig

LABELS = ("Cat", "Dog")
N_SAMPLES = 12_800
N_FRAMES = 40
TINY = FBCRNNConfig(
    2, channels=(4,) * 5, pool_after=(1, 2, 3, 4, 5), row_channels=(8,), gru_width=16, gru_layers=1
)
STILL = AugmentSettings(
    gain_log_std=0, superpose=0, warp_log_std=0, mel_mask_bands=0, noise_std=0, filter_db=0, warp_break=0
)


def tone_clips(sets: Sequence[str]) -> tuple[ClipSet, tuple[tuple[Event, ...], ...]]:
    """Clips and the events that they really have: a Cat in every second clip, a Dog in the first two of four.

    The clip set itself knows the tags of weak and nothing of unlabelled clips.
    """
    random = np.random.default_rng(0)
    waveforms, events = [], []
    for clip in range(len(sets)):
        first = int(random.integers(5, 20))
        waveform, of_clip = 0.001 * random.standard_normal(N_SAMPLES), []
        for label, hz, sounds in (("Cat", 400, clip % 2 == 0), ("Dog", 3000, clip % 4 < 2)):
            if sounds:
                waveform += _tone(hz, first * 320, (first + 15) * 320)
                of_clip.append(Event(round(first * 0.02, 6), round((first + 15) * 0.02, 6), label))
        waveforms.append(waveform)
        events.append(tuple(of_clip))
    hidden = [name in ("weak", "weak_development", "unlabelled") for name in sets]
    clips = ClipSet(
        waveforms=np.round(np.stack(waveforms) * 32_767).astype(np.int16),
        filenames=tuple(f"{clip}.wav" for clip in range(len(sets))),
        sets=tuple(sets),
        events=tuple(() if is_hidden else own for own, is_hidden in zip(events, hidden, strict=True)),
        given_tags=tuple(
            tuple(event.event_label for event in own) if name.startswith("weak") else None
            for own, name in zip(events, sets, strict=True)
        ),
        event_labels=LABELS,
        n_samples=np.full(len(sets), N_SAMPLES),
        source="clips",
    )
    return clips, tuple(events)


def tiny_loop(**changes) -> LoopSettings:
    """A few steps on one core."""
    settings = {
        "steps": 3,
        "batch": BatchSettings(synthetic=2, weak=2),
        "schedule": ScheduleSettings(peak=2e-2, warmup_steps=1),
        "checkpoint_steps": 2,
        "threads": 1,
        "device": "cpu",
        "precision": "float32",
    }
    return LoopSettings(**{**settings, **changes})


def _tone(hz: float, first: int, end: int) -> np.ndarray:
    place = np.arange(N_SAMPLES)
    return np.where((place >= first) & (place < end), 0.2 * np.sin(2 * np.pi * hz * place / 16_000), 0)
