"""`sedge train-mlfl`: the model that tags clips."""

from collections.abc import Sequence

import tyro
from rich.console import Console

from edge_app.core.errors import EXIT_DONE
from train.commands.training import TrainArguments, loop_settings, prepared_clips
from train.fitting.augment import AugmentSettings
from train.models.mlfl import MLFLConfig
from train.stages.mlfl import MLFLSettings, train_mlfl


def main(argv: Sequence[str]) -> int:
    """`sedge train-mlfl`; returns 0, or raises SedgeError."""
    description = "Train MLFL, which tags clips, on soundscapes with strong labels. Run it again to resume."
    args = tyro.cli(TrainArguments, args=list(argv), prog="sedge train-mlfl", description=description)
    loop, clips = loop_settings(args), prepared_clips(args.clips)
    n_labels = len(clips.event_labels)
    config = MLFLConfig.small(n_labels) if args.preset == "small" else MLFLConfig(n_labels)
    folder = args.out / "mlfl" / str(args.seed)
    # one set with strong labels alone: no domain to adapt to, no unlabelled clips for a teacher
    settings = MLFLSettings(synthetic_clip_weight=1.0, mixup_share=0.0, consistency_weight=0.0)
    path = train_mlfl(clips, folder, config, settings, AugmentSettings(), loop)
    Console().print(f"model: {path}", soft_wrap=True, highlight=False)
    return EXIT_DONE
