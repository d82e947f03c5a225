"""The baseline in torch that scoring is compared with: its features, its network and its clips."""

import librosa
import numpy as np
import pytest
import torch

from benchmarks.files.baseline_scorer import FRONT_END, BaselineScorer
from benchmarks.recording import soundscape, write_files
from edge_app.core.logmel import mel_filters
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A clip and a half, and a rest that is shorter than a window."""
    return write_files(tmp_path_factory.mktemp("sound"), 1, 20.05, 16_000)["000000.flac"]


@torch.inference_mode()
def reference(samples):
    """Scores of one clip: librosa's spectrogram, and the network as it is trained."""
    spectrum = librosa.stft(samples, n_fft=2048, hop_length=256, window="hamming", pad_mode="constant")
    decibels = 20 * np.log10(np.maximum(np.abs(spectrum).T @ mel_filters(FRONT_END), 1e-5))
    log_mel = torch.from_numpy(np.clip(decibels, -50, 80).astype(np.float32))[None]
    torch.manual_seed(0)
    model = BaselineCRNN(BaselineCRNNConfig()).eval()
    return model(log_mel, torch.ones(log_mel.shape[:2])).scores[0, ::4].numpy()


def test_scores_are_those_of_the_network_on_its_own_features(recording):
    scores = list(BaselineScorer().scores(recording))
    assert [len(clip) for clip in scores] == [157, 157, 1]
    samples = soundscape()
    for number in range(2):
        expected = reference(samples[160_000 * number : 160_000 * (number + 1)])
        np.testing.assert_allclose(scores[number], expected, atol=2e-3)
    assert scores[0].std() > 0


def test_batch_changes_nothing(recording):
    one, two = (list(BaselineScorer(3, batch).scores(recording)) for batch in (1, 2))
    assert len(one) == len(two) == 3
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
