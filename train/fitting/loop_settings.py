"""Settings of the training loop."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from train.fitting.device import DeviceName, Precision
from train.fitting.schedule import ScheduleSettings


class BatchSettings(BaseModel):
    """Clips of each set in a step's batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    synthetic: int = Field(24, ge=0)
    weak: int = Field(0, ge=0)
    unlabelled: int = Field(0, ge=0)

    @property
    def size(self) -> int:
        """Clips in a batch."""
        return self.synthetic + self.weak + self.unlabelled


class LoopSettings(BaseModel):
    """How long and how a model is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(3000, ge=1)
    """Optimiser steps."""
    batch: BatchSettings = BatchSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    fast_scale: float = Field(10.0, gt=0)
    """Factor on the learning rate of the parameters that a stage names as fast."""
    optimiser: Literal["adam", "adamw"] = "adamw"
    """`adam` adds the weight decay to the gradient, as published; `adamw` shrinks the weights themselves."""
    weight_decay: float = Field(1e-4, ge=0)
    gradient_norm: float = Field(5.0, gt=0)
    """Gradients are cut to this norm."""
    average_decay: float = Field(0.998, ge=0, lt=1)
    """Decay of the exponential average of the weights: the mean teacher, and the model that is kept."""
    checkpoint_steps: int = Field(100, ge=1)
    """Steps between checkpoints: the most that a kill can cost."""
    validation_steps: int = Field(0, ge=0)
    """Steps between measurements of the average on the development clips, the best of which is kept (a multiple of
    `checkpoint_steps`); 0 keeps the last, which is the better choice where the rate falls to zero and the
    development clips are few."""
    precision: Precision = "auto"
    """Arithmetic of the network: bfloat16 is several times faster on devices that have it."""
    shards: int = Field(1, ge=1)
    """Parts that a batch is computed in: a multiple of the number of processes; more parts need less memory."""
    seed: int = Field(0, ge=0)
    threads: int = Field(2, ge=1)
    """Processor threads."""
    compile: bool = False
    """Compile the network before training: minutes less for long runs, a minute more for short ones."""
    device: DeviceName = "auto"

    def identity(self) -> dict[str, Any]:
        """The settings that make a run what it is: not those that only say where and how fast it runs."""
        return self.model_dump(mode="json", exclude={"threads", "compile", "device", "checkpoint_steps"})
