"""Two hours of sound through the window: memory stays where it is, and the stop leaves nothing behind."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import theilslopes

from tests.stream.virtual_microphone import REPOSITORY

HOURS = 2.0
SPEED = 20.0
WARM_S = 3600.0
"""Of sound: what is bounded fills within the first hour (ten minutes of frames, 500 rows, 512 delays)."""
MOST_MB_AN_HOUR = 1.0


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_hours_at_twenty_times_real_time_take_no_more_memory(tmp_path: Path, record_property) -> None:
    words = [sys.executable, "-m", "tests.app.soak", "--seconds", str(3600 * HOURS), "--speed", str(SPEED)]
    done = subprocess.run(
        [*words, "--store", str(tmp_path / "history.sqlite")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    weights = np.array([(one["sound_s"], one["rss_mb"]) for one in told if "sound_s" in one])
    warm = weights[weights[:, 0] >= WARM_S]
    # The median of all slopes between two weighings: a leak shows in each, a block that the allocator takes does not.
    slope = float(theilslopes(warm[:, 1], warm[:, 0] / 3600).slope)
    print(f"memory {warm[-1, 1]:.0f} MB, slope {slope:+.2f} MB an hour of sound")
    record_property("slope_mb_an_hour", slope)
    assert slope < MOST_MB_AN_HOUR
    check_rest(told)


def check_rest(told: list[dict]) -> None:
    """All sound was analysed; threads and open files are those of before the run, and none are left at the end."""
    (ready,) = [one for one in told if "ready" in one]
    (stopped,) = [one for one in told if "stopped" in one]
    (closed,) = [one for one in told if "closed" in one]
    assert stopped["analysed"] + stopped["not_analysed"] == stopped["received"] == 3600 * HOURS * 16_000
    assert stopped["gap"] == 0
    assert stopped["threads"] == ready["threads"]
    assert stopped["handles"] <= ready["handles"]
    assert closed["threads"] == []
