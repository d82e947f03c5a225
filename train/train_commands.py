"""`sedge train-mlfl` and `sedge train-tag-cnn`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from rich.console import Console

if TYPE_CHECKING:
    from train.data.clips import ClipSet
    from train.loop import LoopSettings


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """What both stages take."""

    clips: tyro.conf.Positional[Path]
    """Folder of training clips: the output of `sedge mix-soundscapes`, or a DESED layout."""
    out: Path
    """Folder of the run. A run that was stopped goes on from its last checkpoint here."""
    preset: Literal["small", "full"] = "small"
    """Widths: `full` as published, `small` with about a sixth of the arithmetic, for a CPU."""
    steps: int = 3000
    """Optimiser steps."""
    batch_size: int = 24
    """Clips a step."""
    learning_rate: float = 2e-3
    """Highest learning rate."""
    seed: int = 0
    """Seed of weights, order and augmentation."""
    checkpoint_steps: int = 100
    """Steps between checkpoints: the most that a kill can cost."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; `auto` takes bfloat16 where the processor has instructions for it."""
    threads: int = 2
    """Processor threads."""
    compile: bool = False
    """Compile the network first (needs a C++ compiler): pays in runs of more than a few minutes."""


@dataclass(frozen=True, kw_only=True)
class TrainMlfl(TrainArguments):
    """Arguments of `sedge train-mlfl`."""


@dataclass(frozen=True, kw_only=True)
class TrainTagCnn(TrainArguments):
    """Arguments of `sedge train-tag-cnn`."""

    mlfl: Path
    """model.safetensors of the MLFL run whose tags condition this model."""


def _prepared(args: TrainArguments) -> tuple["ClipSet", str]:
    """The clips as one array (made on first use, beside the run) and a hash of where they come from."""
    import json

    from rich.progress import track

    from train.data.clips import TABLE, find_set, prepare_clips

    folder = args.clips / "prepared"
    clips = prepare_clips(
        find_set(args.clips), folder, track=lambda done, count: track(done, "decoding clips", count)
    )
    return clips, json.loads((folder / TABLE).read_text(encoding="utf-8"))["source"]


def _loop(args: TrainArguments) -> "LoopSettings":
    from train.loop import LoopSettings

    precision = args.precision
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16() else "float32"
    return LoopSettings(
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        checkpoint_steps=args.checkpoint_steps,
        precision=precision,
        seed=args.seed,
        threads=args.threads,
        compile=args.compile,
    )


def _has_bfloat16() -> bool:
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported())


def train_mlfl(argv: Sequence[str]) -> int:
    """`sedge train-mlfl`; returns 0, or raises SedgeError."""
    from train.augment import AugmentSettings
    from train.models.mlfl import MLFLConfig
    from train.stages import mlfl

    args = _parse(
        TrainMlfl, argv, "train-mlfl", "Train MLFL, which tags clips, on soundscapes with strong labels."
    )
    clips, clips_id = _prepared(args)
    n_labels = len(clips.event_labels)
    config = MLFLConfig.small(n_labels) if args.preset == "small" else MLFLConfig(n_labels)
    folder = args.out / "mlfl" / str(args.seed)
    path = mlfl.train_mlfl(
        clips, folder, config, mlfl.MLFLSettings(), AugmentSettings(), _loop(args), clips_id
    )
    Console().print(f"model: {path}", soft_wrap=True, highlight=False)
    return 0


def train_tag_cnn(argv: Sequence[str]) -> int:
    """`sedge train-tag-cnn`; returns 0, or raises SedgeError."""
    from train.augment import AugmentSettings
    from train.models.tag_cnn import TagCNNConfig
    from train.stages import tag_cnn

    about = (
        "Train the tag-conditioned CNN, which scores frames, on soundscapes and the tags of an MLFL model."
    )
    args = _parse(TrainTagCnn, argv, "train-tag-cnn", about)
    clips, clips_id = _prepared(args)
    n_labels = len(clips.event_labels)
    config = TagCNNConfig.small(n_labels) if args.preset == "small" else TagCNNConfig(n_labels)
    folder = args.out / "tag_cnn" / str(args.seed)
    path = tag_cnn.train_tag_cnn(
        clips, args.mlfl, folder, config, tag_cnn.TagCNNSettings(), AugmentSettings(), _loop(args), clips_id
    )
    Console().print(f"model: {path}", soft_wrap=True, highlight=False)
    return 0


def _parse(arguments: Any, argv: Sequence[str], command: str, description: str) -> Any:
    return tyro.cli(arguments, args=list(argv), prog=f"sedge {command}", description=description)
