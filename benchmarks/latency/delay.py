"""The delay of the resampler, counted in samples; that of the settings is in `edge_app.core.delay`."""

import numpy as np

from edge_app.core.audio import MonoResampler


def resampler_delay_ms(rate_in: int, rate_out: int, block_s: float, span_s: float = 3.0) -> float:
    """Most sound that the resampler ever holds back right after a block of `block_s` seconds, in milliseconds.

    Counted in samples over the second half of `span_s` seconds, so it is the same on every machine.
    """
    resampler, length = MonoResampler(rate_in, rate_out), round(block_s * rate_in)
    held_s, given, n_blocks = [], 0, round(span_s / block_s)
    for block in range(1, n_blocks + 1):
        given += len(resampler.push(np.zeros(length, np.float32)))
        held_s.append(block * length / rate_in - given / rate_out)
    return 1000 * max(held_s[n_blocks // 2 :])
