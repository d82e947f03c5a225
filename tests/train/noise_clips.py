"""Clips for tests of the training: a tone for each label, over noise, in clips of about a second."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Generator

from edge_app.core.events import Event
from train.data.clips import ClipSet
from train.fitting.batches import Batch

LABELS = ("Cat", "Dog", "Speech")
TONES_HZ = (500.0, 1500.0, 4000.0)
STRONG_SETS = ("synthetic", "development", "validation", "public")
WEAK_SETS = ("weak", "weak_development")
SAMPLE_RATE = 16_000


def noise_clips(counts: Mapping[str, int], seconds: float = 1.0, seed: int = 0) -> ClipSet:
    """`counts` clips of each set; the last one of each set has only half of its length in signal.

    Strong sets have their events, weak ones their tags, others nothing. Names repeat from set to set.
    """
    source = np.random.default_rng(seed)
    n_samples = round(seconds * SAMPLE_RATE)
    rows, names, sets, events, tags, lengths = [], [], [], [], [], []
    for set_name, count in counts.items():
        for clip in range(count):
            length = n_samples // 2 if clip == count - 1 and count > 1 else n_samples
            label, onset = int(source.integers(3)), round(float(source.uniform(0, 0.2)), 2)
            event = Event(onset, round(onset + 0.2, 2), LABELS[label])
            rows.append(_waveform(event, TONES_HZ[label], length, n_samples, source))
            names.append(f"{clip}.flac")
            sets.append(set_name)
            events.append((event,) if set_name in STRONG_SETS else ())
            tags.append((event.event_label,) if set_name in WEAK_SETS else None)
            lengths.append(length)
    return ClipSet(
        waveforms=np.stack(rows),
        filenames=tuple(names),
        sets=tuple(sets),
        events=tuple(events),
        given_tags=tuple(tags),
        event_labels=LABELS,
        n_samples=np.array(lengths),
        source=f"noise {seed} {seconds} {dict(counts)}",
    )


def noise_batch(sets: tuple[str, ...], n_frames: int, n_labels: int) -> Batch:
    """A clip for each entry of `sets`, of noise as loud as log-mel is, with sparse labels; the last is padded from
    frame 50 on."""
    shape = (len(sets), n_frames, 128)
    log_mel = torch.randn(shape, generator=Generator().manual_seed(0)) * 3 - 10
    cells = torch.rand(len(sets), n_frames, n_labels, generator=Generator().manual_seed(1))
    valid = torch.ones(len(sets), n_frames)
    valid[-1, 50:] = 0
    active = (cells < 0.01).float() * valid[:, :, None]
    return Batch(log_mel, active, active.amax(1), valid, sets)


def _waveform(
    event: Event, tone_hz: float, length: int, n_samples: int, source: np.random.Generator
) -> np.ndarray:
    """Int16 samples with zeros after `length`."""
    waveform = source.normal(0, 300, n_samples)
    first, end = round(event.onset * SAMPLE_RATE), round(event.offset * SAMPLE_RATE)
    waveform[first:end] += 6000 * np.sin(2 * np.pi * tone_hz * np.arange(end - first) / SAMPLE_RATE)
    waveform[length:] = 0
    return waveform.astype(np.int16)
