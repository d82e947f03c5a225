"""The delay computed from the settings against the frames that the live code really waits for."""

import dataclasses
import math

import numpy as np
import pytest

from edge_app.core.decode import Decoder
from edge_app.core.delay import FRAME_MS, algorithmic_delay
from edge_app.core.detect import Detector
from edge_app.core.logmel import StreamingLogMel
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.tag_memory import HostTagMemory
from tests.stream.fakes import EVENT_LABELS, fake_bundle

MARGIN_MS = 20
FIRST_ONSET = 100  # frames; a multiple of every hop


class MarkRuntime:
    """Scores are the first mel bands, so that a test says which frames are on."""

    name = "marks"

    def run(self, call: FusedInput) -> FusedOutput:
        scores = call.log_mel[:, :, : len(EVENT_LABELS)]
        memory = np.zeros((1, 1, scores.shape[1], len(EVENT_LABELS)), np.float32)
        return FusedOutput(scores, np.zeros((1, 1, len(EVENT_LABELS)), np.float32), memory, memory)

    def tag_memory(self, slots: int) -> HostTagMemory:
        return HostTagMemory(self, slots, 1, len(EVENT_LABELS))


def news_after_ms(detector: Detector, onset_frame: int) -> dict[str, float]:
    """When the news come after the onset of a sound at the very start of a frame, by type of the news."""
    scorer, found = detector.scorer(), {}
    decoder = Decoder(EVENT_LABELS, detector.bundle.manifest.decoding)
    for frame in range(onset_frame + 200):
        mark = np.full((1, 128), float(frame >= onset_frame), np.float32)
        for hop in scorer.push(mark):
            for message in decoder.push(hop.scores):
                # frame `frame` is there when its cell and the margin of its window have been heard
                found.setdefault(message.type, (frame + 1 - onset_frame) * FRAME_MS + MARGIN_MS)
    return found


@pytest.mark.parametrize("hop_frames", [5, 10, 25])
def test_delay_is_what_the_live_code_waits_for(hop_frames):
    detector = Detector(fake_bundle(), MarkRuntime(), "live", hop_frames)
    delay = algorithmic_delay(detector.bundle.manifest, hop_frames)
    waits = [news_after_ms(detector, FIRST_ONSET + phase) for phase in range(hop_frames)]
    for label in delay.labels:
        for kind, span in (("provisional", label.provisional), ("confirmed", label.confirmed)):
            measured = [wait[kind] for wait in waits]
            assert max(measured) == pytest.approx(span.most_ms)
            # a sound at the end of a frame would wait for a frame less, so the least is never quite reached
            assert min(measured) == pytest.approx(span.least_ms + FRAME_MS)
            assert np.mean(measured) == pytest.approx(span.mean_ms + FRAME_MS / 2)


def test_parts_sum_to_the_whole():
    manifest = fake_bundle().manifest
    delay = algorithmic_delay(manifest, 25)
    assert (delay.hop_wait.least_ms, delay.hop_wait.mean_ms, delay.hop_wait.most_ms) == (0, 250, 500)
    assert (delay.context_ms, delay.features_ms) == (240, 20)
    for label in delay.labels:
        assert (label.half_median_ms, label.min_on_ms) == (60, 100)
        assert label.provisional.mean_ms == 250 + 240 + 20 + 60
        assert label.confirmed.mean_ms == label.provisional.mean_ms + 80
    assert "up to 500 ms" in delay.sentences()[0]
    assert "240 ms" in delay.sentences()[0]


def test_features_come_after_their_margin():
    features, config = StreamingLogMel(), fake_bundle().manifest.log_mel
    look_ahead = round(algorithmic_delay(fake_bundle().manifest, 25).features_ms * config.sample_rate / 1000)
    assert len(features.push(np.zeros(config.hop_length + look_ahead - 1, np.float32))) == 0
    assert len(features.push(np.zeros(1, np.float32))) == 1


def test_labels_have_delays_of_their_own():
    manifest = fake_bundle().manifest
    wide = manifest.decoding["Dog"].model_copy(update={"median_frames": 21, "min_on_s": 0.3})
    manifest = manifest.model_copy(update={"decoding": {**manifest.decoding, "Dog": wide}})
    by_label = {
        label.event_label: dataclasses.asdict(label) for label in algorithmic_delay(manifest, 10).labels
    }
    assert by_label["Dog"]["half_median_ms"] == 200
    assert by_label["Dog"]["confirmed"]["most_ms"] == pytest.approx(200 + 240 + 20 + 200 + 280)
    assert by_label["Cat"]["half_median_ms"] == 60


def test_settings_of_the_user_take_the_place_of_the_bundles():
    manifest = fake_bundle().manifest
    mine = manifest.decoding["Dog"].model_copy(update={"median_frames": 1, "min_on_s": 0.02})
    dog = next(
        label for label in algorithmic_delay(manifest, 10, {"Dog": mine}).labels if label.event_label == "Dog"
    )
    assert dog.provisional == dog.confirmed
    assert dog.sentence == (
        "Dog is marked within 460 ms (360 ms in the mean) and confirmed within 460 ms (360 ms in the mean)."
    )


@pytest.mark.parametrize("hop_frames", [5, 10, 25])
def test_scores_of_an_onset_are_first_seen_and_final_when_the_delay_says(hop_frames):
    detector = Detector(fake_bundle(), MarkRuntime(), "live", hop_frames)
    delay = algorithmic_delay(detector.bundle.manifest, hop_frames)
    seen, final = [], []
    for onset in range(FIRST_ONSET, FIRST_ONSET + hop_frames):
        scorer, first_seen_ms, final_ms = detector.scorer(), math.inf, math.inf
        for frame in range(onset + 100):
            for hop in scorer.push(np.full((1, 128), float(frame >= onset), np.float32)):
                now_ms = (frame + 1 - onset) * FRAME_MS + MARGIN_MS
                if math.isinf(final_ms) and hop.scores[:, 0].any():
                    final_ms = now_ms
                if math.isinf(first_seen_ms) and np.concatenate([hop.scores, hop.preview])[:, 0].any():
                    first_seen_ms = now_ms
        seen.append(first_seen_ms)
        final.append(final_ms)
    for measured, span in ((seen, delay.previewed), (final, delay.scored)):
        assert (max(measured), min(measured)) == pytest.approx((span.most_ms, span.least_ms + FRAME_MS))
