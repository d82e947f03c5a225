"""The baseline of DCASE 2021 Task 4 in torch, from a file to events: what the scoring of files is compared with.

Its own log-mel is in it: the published frames of 2048 samples every 256, at 16 kHz, in 128 bands. The network is
not trained, which changes neither its arithmetic nor its time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor

from benchmarks.fused.baseline import WholeClipGRU
from edge_app.core.audio import read_blocks
from edge_app.core.logmel import LogMelConfig, mel_filters
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig

FRONT_END = LogMelConfig(hop_length=256, window_length=2048, n_fft=2048, f_min=0.0)
CLIP_S = 10
THRESHOLD, MEDIAN_CELLS = 0.5, 7


class BaselineScorer:
    """The baseline CRNN, clip after clip of ten seconds, `batch` of them in a call.

    The threads of torch are the whole process's: whoever makes this sets them.
    """

    def __init__(self, n_labels: int = 10, batch: int = 1) -> None:
        torch.manual_seed(0)
        model = BaselineCRNN(BaselineCRNNConfig(n_labels=n_labels)).eval()
        model.gru = WholeClipGRU(model.gru)  # type: ignore[assignment]  # one operator a layer: the fastest there is
        self._model, self._batch = model, batch
        self._window = torch.hamming_window(FRONT_END.window_length)
        self._filters = torch.from_numpy(mel_filters(FRONT_END).astype(np.float32))

    @property
    def name(self) -> str:
        """What runs, in words."""
        return f"DCASE 2021 baseline CRNN, torch {torch.__version__}, threads: {torch.get_num_threads()}"

    def count_events(self, path: Path) -> int:
        """Events of one recording; of untrained weights, so that their number says nothing."""
        return sum(_count(scores) for scores in self.scores(path))

    @torch.inference_mode()
    def scores(self, path: Path) -> Iterator[NDArray[np.float32]]:
        """Scores of each clip of a recording, shape (cell, label); cells are four frames.

        Raises AudioError where the file cannot be read as audio.
        """
        clips: list[Tensor] = []
        for clip in _clips(path):
            if clips and (len(clips) == self._batch or len(clip) != len(clips[0])):
                yield from self._call(clips)
                clips = []
            clips.append(torch.from_numpy(clip))
        if clips:
            yield from self._call(clips)

    def _call(self, clips: list[Tensor]) -> NDArray[np.float32]:
        log_mel = self._log_mel(torch.stack(clips))
        output = self._model(log_mel, torch.ones(log_mel.shape[:2]))
        scores: NDArray[np.float32] = output.scores[:, :: self._model.frames_per_score].numpy()
        return scores

    def _log_mel(self, waveform: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch frame mel"]:
        """Decibels of the magnitude in each band, from -50 to 80."""
        spectrum = torch.stft(
            waveform,
            FRONT_END.n_fft,
            FRONT_END.hop_length,
            window=self._window,
            return_complex=True,
            pad_mode="constant",
        )
        magnitude = spectrum.abs().transpose(1, 2) @ self._filters
        return (20 * torch.log10(magnitude.clamp(min=1e-5))).clamp(-50, 80)


def _clips(path: Path) -> Iterator[NDArray[np.float32]]:
    """A recording in clips of ten seconds, the last one shorter, shape (sample,)."""
    length = CLIP_S * FRONT_END.sample_rate
    pending = np.empty(0, np.float32)
    for block in read_blocks(path, FRONT_END.sample_rate):
        pending = np.concatenate([pending, block])
        while len(pending) >= length:
            yield pending[:length]
            pending = pending[length:]
    if len(pending):
        yield pending


def _count(scores: NDArray[np.float32]) -> int:
    """Stretches over the threshold after the median, all labels together."""
    active = median_filter(scores > THRESHOLD, size=(MEDIAN_CELLS, 1))
    return int((np.diff(active.astype(np.int8), axis=0, prepend=0) > 0).sum())
