"""What a training benchmark trains: the models of a recipe with their stages' losses, on clips of the soundscape."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int16
from numpy.typing import NDArray
from torch import nn

from benchmarks.recording import SAMPLE_RATE, soundscape
from edge_app.core.events import Event
from train.data.clips import FULL_SCALE, ClipSet
from train.data.desed import CLIP_S
from train.fitting.batches import TRAINING_SETS
from train.fitting.loop_settings import LoopSettings
from train.fitting.training import LossTerms, Step
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig
from train.models.fbcrnn import FBCRNN, FBCRNNConfig
from train.models.mlfl import MLFL, MLFLConfig
from train.models.tag_cnn import TagCNN, TagCNNConfig
from train.pipeline.recipe import BaselineRecipe, FBCRNNRecipe, MLFLRecipe, Recipe, TagCNNRecipe
from train.pipeline.run import preset_config
from train.stages import baseline, fbcrnn, mlfl, tag_cnn

CLIPS_PER_SET = 100
EVENTS_PER_CLIP = 3

StageRecipe = FBCRNNRecipe | MLFLRecipe | TagCNNRecipe | BaselineRecipe


@dataclass(frozen=True)
class Trainee:
    """A model as its stage trains it."""

    model: nn.Module
    losses: Callable[[Step], LossTerms]
    """Of any step, the making of its batch included."""
    fast: tuple[nn.Parameter, ...] = ()


def stage_recipe(recipe: Recipe, name: str) -> StageRecipe:
    """The part of a recipe that a model is trained by."""
    stages: dict[str, StageRecipe] = {
        "fbcrnn": recipe.fbcrnn,
        "mlfl": recipe.mlfl,
        "tag_cnn": recipe.tag_cnn,
        "baseline_crnn": recipe.baseline,
    }
    return stages[name]


def seeds_of(recipe: Recipe, name: str) -> tuple[int, ...]:
    """Seeds that a recipe trains a model from."""
    stage = stage_recipe(recipe, name)
    own = stage.seeds if isinstance(stage, FBCRNNRecipe | BaselineRecipe) else ()
    return own or recipe.seeds


def soundscape_clips(event_labels: tuple[str, ...], folder: Path) -> ClipSet:
    """The soundscape's 10 s clips, over and over, as three training sets with random events, mapped from `folder`.

    What the sounds are makes no difference to the time that they take; their number and length do.
    """
    array = _mapped_waveforms(folder / "waveforms.npy", CLIPS_PER_SET * len(TRAINING_SETS))
    rng, numbers = np.random.default_rng(0), range(len(array))
    sets = tuple(name for name in TRAINING_SETS for _ in range(CLIPS_PER_SET))
    events = tuple(_random_events(event_labels, rng) for _ in numbers)
    tags = (tuple(sorted({event.event_label for event in of_clip})) for of_clip in events)
    return ClipSet(
        waveforms=array,
        filenames=tuple(f"{number:05}.flac" for number in numbers),
        sets=sets,
        events=events,
        given_tags=tuple(found if name == "weak" else None for name, found in zip(sets, tags, strict=True)),
        event_labels=event_labels,
        n_samples=np.full(len(array), array.shape[1]),
        source="soundscape",
    )


def trainee(name: str, recipe: Recipe, clips: ClipSet, loop: LoopSettings, device: torch.device) -> Trainee:
    """An untrained model of a recipe, on the device, with its stage's losses."""
    torch.manual_seed(loop.seed)
    make: Callable[..., Trainee] = {
        "fbcrnn": _fbcrnn,
        "mlfl": _mlfl,
        "tag_cnn": _tag_cnn,
        "baseline_crnn": _baseline,
    }[name]
    return make(recipe, clips, loop, device)


def _fbcrnn(recipe: Recipe, clips: ClipSet, loop: LoopSettings, device: torch.device) -> Trainee:
    stage = recipe.fbcrnn
    config = preset_config(FBCRNNConfig, stage.preset, len(clips.event_labels), kernels=stage.kernels)
    model = FBCRNN(config).to(device)
    return Trainee(model, fbcrnn.step_losses(model, clips, stage.loss, stage.augment, loop))


def _mlfl(recipe: Recipe, clips: ClipSet, loop: LoopSettings, device: torch.device) -> Trainee:
    model, stage = MLFL(_mlfl_config(recipe, clips)).to(device), recipe.mlfl
    losses = mlfl.step_losses(model, clips, stage.loss, stage.augment, loop)
    return Trainee(model, losses, tuple(model.attention.parameters()))


def _tag_cnn(recipe: Recipe, clips: ClipSet, loop: LoopSettings, device: torch.device) -> Trainee:
    stage, tagger = recipe.tag_cnn, MLFL(_mlfl_config(recipe, clips)).eval()
    model = TagCNN(preset_config(TagCNNConfig, stage.preset, len(clips.event_labels))).to(device)
    return Trainee(model, tag_cnn.step_losses(model, tagger, clips, stage.loss, stage.augment, loop))


def _baseline(recipe: Recipe, clips: ClipSet, loop: LoopSettings, device: torch.device) -> Trainee:
    stage = recipe.baseline
    model = BaselineCRNN(preset_config(BaselineCRNNConfig, stage.preset, len(clips.event_labels))).to(device)
    return Trainee(model, baseline.step_losses(model, clips, stage.loss, stage.augment, loop))


def _mlfl_config(recipe: Recipe, clips: ClipSet) -> MLFLConfig:
    stage = recipe.mlfl
    momentum = stage.batch_norm_momentum
    config = preset_config(MLFLConfig, stage.preset, len(clips.event_labels), batch_norm_momentum=momentum)
    return mlfl.disentangled(config, clips, stage.loss)


def _mapped_waveforms(path: Path, n_clips: int) -> Int16[NDArray[np.int16], "clip sample"]:
    n_samples = round(CLIP_S * SAMPLE_RATE)
    signal = soundscape()
    whole = signal[: len(signal) // n_samples * n_samples] * (FULL_SCALE - 1)
    cut = whole.round().astype(np.int16).reshape(-1, n_samples)
    array = np.lib.format.open_memmap(path, "w+", np.int16, (n_clips, n_samples))
    array[:] = cut[np.arange(n_clips) % len(cut)]
    array.flush()
    return np.load(path, mmap_mode="r")


def _random_events(event_labels: tuple[str, ...], rng: np.random.Generator) -> tuple[Event, ...]:
    onsets = rng.uniform(0, CLIP_S - 1, EVENTS_PER_CLIP)
    offsets = rng.uniform(onsets + 0.25, CLIP_S)
    labels = rng.choice(len(event_labels), EVENTS_PER_CLIP)
    return tuple(
        Event(float(onset), float(offset), event_labels[label])
        for onset, offset, label in sorted(zip(onsets, offsets, labels, strict=True))
    )
