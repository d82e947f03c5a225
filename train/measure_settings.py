"""Settings of how every system of a run is measured."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from train.scoring import Gate, TagsAs


class MeasureSettings(BaseModel):
    """How scores become figures, alike for all systems of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tags_as: TagsAs | Literal["best"] = "best"
    """Tags that condition the tag-conditioned CNN; `best` takes the way with the higher PSDS on the development clips,
    for all systems alike."""
    gate: Gate | Literal["best"] = "best"
    """Whether its output is multiplied by the tags; `best` as above."""
    at_50: bool = True
    """Also PSDS at 50 thresholds by psds_eval, beside the exact one."""
    live: bool = True
    """Also with tags pooled over the past alone, as live detection has them."""
    true_tags: bool = True
    """Also with the true tags, which nobody has at inference: how much better tags could give."""
