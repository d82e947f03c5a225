"""Settings of how every system of a run is measured."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from train.measuring.scoring import Gate, TagsAs


class MeasureSettings(BaseModel):
    """How scores become figures, alike for all systems of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tags_as: TagsAs | Literal["best"] = "soft"
    """Tags that condition the tag-conditioned CNN: soft, as a bundle has them, since PSDS needs low operating points;
    binary ones are measured beside. `best` takes the way with the higher PSDS on the development clips."""
    gate: Gate | Literal["best"] = "best"
    """Whether its output is multiplied by the tags; `best` as above, for all systems alike."""
    choose_clips: int = Field(400, ge=1)
    """Development clips that this is chosen on."""
    at_50: bool = True
    """Also PSDS at 50 thresholds by psds_eval, beside the exact one."""
    live: bool = True
    """Also with tags pooled over the past alone, as live detection has them."""
    true_tags: bool = True
    """Also with the true tags, which nobody has at inference: how much better tags could give."""

    @model_validator(mode="after")
    def _check(self) -> "MeasureSettings":
        if (self.tags_as, self.gate) in (("soft", "binary"), ("binary", "soft")):
            raise ValueError(f"gate: expected none, best or {self.tags_as} as tags_as is, found {self.gate}")
        return self
