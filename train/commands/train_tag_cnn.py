"""`sedge train-tag-cnn`: the model that scores frames, given the tags."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from edge_app.core.errors import EXIT_DONE, SedgeError
from train.commands.training import TrainArguments, loop_settings, prepared_clips
from train.fitting.augment import AugmentSettings
from train.models.tag_cnn import TagCNNConfig
from train.stages.tag_cnn import TagCNNSettings, train_tag_cnn


@dataclass(frozen=True, kw_only=True)
class TrainTagCNN(TrainArguments):
    """Arguments of `sedge train-tag-cnn`."""

    mlfl: Path | None = None
    """model.safetensors of the MLFL whose tags condition this model; by default that of the same run and seed,
    which is the one it is exported with."""


def main(argv: Sequence[str]) -> int:
    """`sedge train-tag-cnn`; returns 0, or raises SedgeError."""
    description = (
        "Train the tag-conditioned CNN, which scores frames, on soundscapes and the tags of an MLFL model. "
        "Run it again to resume."
    )
    args = tyro.cli(TrainTagCNN, args=list(argv), prog="sedge train-tag-cnn", description=description)
    mlfl = args.mlfl or args.out / "mlfl" / str(args.seed) / "model.safetensors"
    if not mlfl.is_file():
        raise SedgeError(f"{mlfl}: expected a model of `sedge train-mlfl`, found no such file")
    loop, clips = loop_settings(args), prepared_clips(args.clips)
    n_labels = len(clips.event_labels)
    config = TagCNNConfig.small(n_labels) if args.preset == "small" else TagCNNConfig(n_labels)
    folder = args.out / "tag_cnn" / str(args.seed)
    path = train_tag_cnn(clips, mlfl, folder, config, TagCNNSettings(), AugmentSettings(), loop)
    Console().print(f"model: {path}", soft_wrap=True, highlight=False)
    return EXIT_DONE
