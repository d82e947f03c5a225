"""Detection of whole signals and files: however they are cut, the same scores and events."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_app.core.bundle import load_bundle
from edge_app.core.decode import decode
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.logmel import log_mel
from edge_app.core.runtime import FusedInput
from edge_app.core.runtime_onnx import OnnxRuntime

DEMO_CLIP = Path(__file__).resolve().parents[2] / "edge_app" / "demo" / "soundscape.flac"


@pytest.fixture(scope="module")
def detectors(tiny_bundle) -> dict[str, Detector]:
    """A detector of each context, by its name."""
    bundle = load_bundle(tiny_bundle)
    runtime = OnnxRuntime(bundle)
    return {
        "clip": Detector(bundle, runtime, "clip"),
        "live": Detector(bundle, runtime, "live", hop_frames=25),
    }


def waveform(seconds: float) -> np.ndarray:
    return soundfile.read(DEMO_CLIP, dtype="float32", frames=round(seconds * 16_000))[0]


def scores_of(detector: Detector, samples: np.ndarray, lengths: list[int]) -> np.ndarray:
    blocks = np.split(samples, np.minimum(np.cumsum(lengths, dtype=int), len(samples)))
    return np.concatenate([np.empty((0, 3), np.float32), *detector.scores(blocks)])


@given(
    st.sampled_from(["clip", "live"]),
    st.integers(0, 32_000),
    st.lists(st.integers(0, 20_000), max_size=5),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_blocks_do_not_show(detectors, context, n_samples, lengths) -> None:
    samples = waveform(2)[:n_samples]
    whole = scores_of(detectors[context], samples, [])
    assert whole.shape == (n_samples // 320, 3)
    assert np.array_equal(scores_of(detectors[context], samples, lengths), whole)


@pytest.mark.parametrize("context", ["clip", "live"])
@pytest.mark.parametrize("seconds", [0.01, 0.1, 11.3])
def test_events_of_a_file_are_its_decoded_scores(detectors, context, seconds, tmp_path) -> None:
    detector, path = detectors[context], tmp_path / "recording.wav"
    soundfile.write(path, waveform(seconds), 16_000, subtype="FLOAT")
    raw, smoothed = [], []

    def keep(scores: np.ndarray, filtered: np.ndarray) -> None:
        raw.append(scores)
        smoothed.append(filtered)

    found = detector.detect_file(path, keep)
    scores = np.concatenate([np.empty((0, 3), np.float32), *raw])
    decoding = detector.bundle.manifest.decoding
    assert found.duration_s == pytest.approx(seconds)
    assert found.events == decode(scores, detector.event_labels, decoding)
    assert np.array_equal(scores, scores_of(detector, waveform(seconds), []))
    assert np.concatenate(smoothed).shape == scores.shape
    assert detector.detect_file(path) == found


def test_a_clip_is_the_graph_run_once(detectors) -> None:
    samples = waveform(10)
    frames, ones = log_mel(samples)[None], np.ones((1, 500), np.float32)
    empty = np.zeros((1, 1, 0, 3), np.float32)
    output = detectors["clip"].runtime.run(FusedInput(frames, ones, ones, empty, empty))
    assert np.array_equal(scores_of(detectors["clip"], samples, [7000] * 20), output.scores[0])


def test_clips_in_one_batch_have_the_scores_and_events_of_each_alone() -> None:
    """The real model; arithmetic of another shape may differ in the last bits, and so near a threshold only."""
    bundle = load_bundle(None)
    runtime = OnnxRuntime(bundle)
    frames = np.stack([log_mel(samples) for samples in np.split(waveform(80), 8)])
    ones, empty = np.ones((8, 500), np.float32), np.zeros((8, len(bundle.manifest.members), 0, 8), np.float32)
    together = runtime.run(FusedInput(frames, ones, ones, empty, empty)).scores
    for clip in range(8):
        one = slice(clip, clip + 1)
        alone = runtime.run(FusedInput(frames[one], ones[one], ones[one], empty[one], empty[one])).scores[0]
        np.testing.assert_allclose(together[clip], alone, rtol=0, atol=1e-5)
        events = [
            decode(scores, bundle.manifest.event_labels, bundle.manifest.decoding)
            for scores in (together[clip], alone)
        ]
        assert [(e.event_label, e.onset, e.offset) for e in events[0]] == [
            (e.event_label, e.onset, e.offset) for e in events[1]
        ]


@given(st.integers(2, 6), st.integers(501, 1500), st.integers(0, 500))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_in_one_call_have_the_scores_and_events_of_each_alone(
    detectors, batch, n_frames, start
) -> None:
    alone = detectors["clip"]
    together = Detector(alone.bundle, alone.runtime, "clip", batch=batch)
    samples = waveform(40)[320 * start :][: 320 * n_frames]
    expected, found = scores_of(alone, samples, []), scores_of(together, samples, [50_000] * 9)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    labels, decoding = alone.event_labels, alone.bundle.manifest.decoding
    times = [
        [(e.event_label, e.onset, e.offset) for e in decode(scores, labels, decoding)]
        for scores in (found, expected)
    ]
    assert times[0] == times[1]


def test_a_longer_signal_is_the_mean_of_windows_that_start_every_five_seconds(detectors) -> None:
    samples = waveform(15)
    frames, valid = np.pad(log_mel(samples), ((12, 12), (0, 0))), np.pad(np.ones(750, np.float32), 12)
    pooled, empty = (
        np.pad(np.ones((1, 500), np.float32), ((0, 0), (12, 12))),
        np.zeros((1, 1, 0, 3), np.float32),
    )
    windows = []
    for start in (0, 250):
        fed = slice(start, start + 524)
        call = FusedInput(frames[None, fed], valid[None, fed], pooled, empty, empty)
        windows.append(detectors["clip"].runtime.run(call).scores[0, 12:-12])
    first, second = windows
    expected = np.concatenate([first[:250], (first[250:] + second[:250]) / 2, second[250:]])
    assert np.array_equal(scores_of(detectors["clip"], samples, [9000] * 40), expected)
    assert np.abs(first[250:] - second[:250]).max() > 1e-3


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_no_windows_is_refused(detectors, batch) -> None:
    with pytest.raises(SedgeError, match=rf"batch: expected 1 window or more, found {batch}"):
        Detector(detectors["clip"].bundle, detectors["clip"].runtime, batch=batch)


def test_contexts_differ_in_their_tags_only_where_they_must(detectors) -> None:
    live, clip = (scores_of(detectors[context], waveform(3), []) for context in ("live", "clip"))
    assert live.shape == clip.shape == (150, 3)
    assert np.abs(live[:50] - clip[:50]).max() > 1e-4
    # the last live hop has heard the whole recording, as the clip has
    np.testing.assert_allclose(live[-25:], clip[-25:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("hop", [0, 1, 24, 500, -25])
def test_a_hop_that_the_bundle_does_not_allow_is_refused(detectors, hop) -> None:
    bundle, runtime = detectors["live"].bundle, detectors["live"].runtime
    with pytest.raises(SedgeError, match=rf"hop: expected one of \[5, 10, 25, 50\] frames, found {hop}"):
        Detector(bundle, runtime, "live", hop_frames=hop)


def test_hop_is_the_bundles_own_by_default(detectors) -> None:
    bundle, runtime = detectors["live"].bundle, detectors["live"].runtime
    assert Detector(bundle, runtime, "live").hop_frames == bundle.manifest.hop_frames.default
    assert Detector(bundle, runtime, "live", hop_frames=5).hop_frames == 5


def test_labels_are_the_bundles(detectors) -> None:
    assert detectors["clip"].event_labels == ("Cat", "Dog", "Speech")
