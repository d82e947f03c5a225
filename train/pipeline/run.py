"""A run: its folder, its recipe, and the files that stages hand to each other (all by name, none by memory)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_events
from train.data.clips import ClipSet, load_clips
from train.data.desed import DesedSet
from train.fitting.device import DeviceName, choose_device
from train.pipeline.recipe import Preset, Recipe
from train.stages.tag import with_pseudo_labels

DATA, MIXES, PSEUDO = "data", "mixes", "pseudo"
PSEUDO_LABELLED = ("weak", "unlabelled")
REPORTED = ("validation", "public")


@dataclass(frozen=True)
class Run:
    """Folder and recipe, and what the stages read out of the folder."""

    folder: Path
    recipe: Recipe
    threads: int = 2

    @cached_property
    def clips(self) -> ClipSet:
        """The prepared clips with the labels that came with them."""
        return load_clips(self.folder / DATA)

    @property
    def device_name(self) -> DeviceName:
        """What the stages that do not train compute on, as the recipe has it for MLFL."""
        return self.recipe.mlfl.loop.device

    @property
    def device(self) -> torch.device:
        """The same as torch knows it."""
        return choose_device(self.device_name)

    @property
    def reported(self) -> tuple[str, ...]:
        """Sets that figures are reported on."""
        return tuple(name for name in REPORTED if name in self.clips.sets)

    @property
    def fbcrnn_seeds(self) -> tuple[int, ...]:
        """Seeds of the models that make the pseudo labels."""
        return self.recipe.fbcrnn.seeds or self.recipe.seeds

    @property
    def baseline_seeds(self) -> tuple[int, ...]:
        """Seeds of the baseline."""
        return self.recipe.baseline.seeds or self.recipe.seeds

    @property
    def n_labels(self) -> int:
        """Number of labels of the clips."""
        return len(self.clips.event_labels)

    @property
    def scored(self) -> tuple[str, ...]:
        """Sets that systems are scored on: the reported ones, and the one that choices are made on."""
        return ("development", *self.reported)

    @property
    def pseudo_labelled(self) -> tuple[str, ...]:
        """Sets that get pseudo labels."""
        return tuple(name for name in PSEUDO_LABELLED if name in self.clips.sets)

    @property
    def pseudo_tables(self) -> tuple[str, ...]:
        """The FBCRNN's pseudo labels, as files of the run."""
        return tuple(f"{PSEUDO}/{name}.tsv" for name in self.pseudo_labelled)

    def with_fbcrnn_labels(self) -> ClipSet:
        """The clips with the FBCRNN's strong pseudo labels: what MLFL is trained on."""
        clips = self.clips
        for name in self.pseudo_labelled:
            clips = clips.with_events(name, read_events(self.folder / PSEUDO / f"{name}.tsv"))
        return clips

    def with_mlfl_labels(self, seed: int) -> ClipSet:
        """The clips with MLFL's strong pseudo labels: what the tag-conditioned CNN is trained on."""
        return with_pseudo_labels(self.clips, self.folder / "tags" / str(seed))

    def truth(self) -> dict[str, dict[str, list[Event]]]:
        """Events of the weak and unlabelled clips where the run mixed them itself; no model sees them."""
        paths = {name: DesedSet.named(self.folder / MIXES, "train", name).table for name in PSEUDO_LABELLED}
        tables = {name: path.with_name(f"{name}_truth.tsv") for name, path in paths.items()}
        return {name: read_events(path) for name, path in tables.items() if path.is_file()}


def preset_config(kind: Any, preset: Preset, n_labels: int, **fields: Any) -> Any:
    """Configuration of a model at one of its widths, with further fields."""
    return replace(kind.small(n_labels) if preset == "small" else kind(n_labels), **fields)


def shown(clips: Iterable[Any], count: int) -> Iterable[Any]:
    """Progress of what goes clip by clip."""
    return track(clips, "decoding clips", count)
