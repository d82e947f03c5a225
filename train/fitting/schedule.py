"""Learning rates over the steps of a training."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ScheduleSettings(BaseModel):
    """How the learning rate rises and falls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cosine", "steps", "ramp"] = "cosine"
    """`cosine`: linear warm-up, then half a cosine down to zero, for short trainings whose last weights are kept;
    `steps`: linear warm-up, then one drop, as the FBCRNN and the tag-conditioned CNN were published;
    `ramp`: exponential warm-up, then constant, as the baseline of the task was."""
    peak: float = Field(2e-3, gt=0, allow_inf_nan=False)
    """Highest learning rate."""
    warmup_steps: int = Field(100, ge=0)
    """Steps until the peak."""
    refresh_steps: int = Field(100, ge=1)
    """`steps` only: the rate changes every so many steps, so that it is zero for the first ones."""
    drop_step: int = Field(15_000, ge=1)
    """`steps` only: the step of the drop."""
    drop_factor: float = Field(0.2, gt=0, le=1)
    """`steps` only: what the drop multiplies the rate by."""


def learning_rate(settings: ScheduleSettings, step: int, steps: int) -> float:
    """Learning rate of step `step` (from 0) out of `steps`."""
    if settings.kind == "steps":
        refreshed = step // settings.refresh_steps * settings.refresh_steps
        warm = min(1.0, refreshed / max(1, settings.warmup_steps))
        return settings.peak * warm * (settings.drop_factor if refreshed >= settings.drop_step else 1.0)
    if settings.kind == "ramp":
        return settings.peak * exponential_ramp(step, settings.warmup_steps)
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return settings.peak * warm * math.cos(step / steps * math.pi / 2) ** 2


def exponential_ramp(step: int, length: int) -> float:
    """exp(-5 (1 - s/S)^2) up to step S = `length`, then 1 (Laine and Aila 2017, as the task's baseline uses it)."""
    return math.exp(-5.0 * (1.0 - min(1.0, step / max(1, length))) ** 2)
