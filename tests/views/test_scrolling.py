"""The scrolling image against a literal drawing, and the axes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.events import FRAME_S
from edge_app.core.logmel import LogMelConfig, mel_filters
from edge_app.views.timeline.spectrogram import MAX_COLUMNS, ScrollingImage, hz_text, mel_place


def drawn(blocks, n_columns: int, stride: int, rows: int):
    """Every column of the newest ones, the maximum of its frames, 0 where there is none."""
    frames = {first + i: row for first, block in blocks for i, row in enumerate(block)}
    newest = max(frames) // stride
    image = np.zeros((rows, n_columns), np.uint8)
    for frame, row in frames.items():
        place = frame // stride - (newest - n_columns + 1)
        if place >= 0:
            image[:, place] = np.maximum(image[:, place], row)
    return image


@given(
    sizes=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), min_size=1, max_size=12),
    view_s=st.sampled_from([0.02, 0.5, 1.0, 45.0, 90.0]),
)
def test_image_is_the_literal_drawing_however_it_is_cut(qapp, sizes, view_s):
    rng, rows, position, blocks = np.random.default_rng(3), 3, 0, []
    image = ScrollingImage(rows, view_s)
    for skipped, count in sizes:
        position += skipped
        block = rng.integers(1, 256, (count, rows)).astype(np.uint8)
        image.push(position, block)
        if count:
            blocks.append((position, block))
        position += count
    if not blocks:
        return
    stride = -(-round(view_s / FRAME_S) // MAX_COLUMNS)
    expected = drawn(blocks, image.item.cells.shape[1], stride, rows)
    np.testing.assert_array_equal(image.item.cells, expected)


def test_frames_that_come_again_are_passed_over(qapp):
    image = ScrollingImage(1, 1.0)
    image.push(0, np.full((10, 1), 7, np.uint8))
    image.push(5, np.full((10, 1), 9, np.uint8))
    assert image.end_frame == 15
    assert image.item.cells[0, -15:].tolist() == [7] * 10 + [9] * 5


def test_newest_frame_ends_where_it_was_heard(qapp):
    image = ScrollingImage(4, 10.0)
    image.push(0, np.ones((100, 4), np.uint8))
    image.place(now_s=2.5)
    right = image.item.boundingRect().right()
    assert right == pytest.approx(100 * FRAME_S - 2.5)


def test_frequencies_lie_in_their_bands():
    config = LogMelConfig()
    filters = mel_filters(config)
    for hz in (125, 500, 1000, 4000):
        place = mel_place(hz, config.n_mels, config.f_min, config.f_max)
        loudest = filters[round(hz / config.sample_rate * config.n_fft)].argmax()
        assert loudest - 1 <= place <= loudest + 2


def test_frequencies_are_written_as_people_say_them():
    assert (hz_text(500), hz_text(2000), hz_text(1500)) == ("500 Hz", "2 kHz", "1.5 kHz")
