"""Untrained models for tests: small, seeded, and far enough from their start to be worth comparing."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from export.bundle import CHECKPOINT_FILE, Member, export_bundle
from train.fitting.checkpoint import save_model
from train.models.mlfl import MLFL, MLFLConfig
from train.models.tag_cnn import TagCNN, TagCNNConfig

DEMO_CLIP = Path(__file__).resolve().parent.parent / "edge_app" / "demo" / "soundscape.flac"
TINY_LABELS = ("Cat", "Dog", "Speech")


def stir(model: nn.Module, seed: int) -> nn.Module:
    """Give batch norms and zero-initialised heads values as if trained, so that nothing cancels by chance."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.bias.data.normal_(0.2, 0.2, generator=generator)
    if isinstance(model, MLFL):
        # log-mel values lie around -10; the published input norm would have learned that
        model.input_norm.running_mean = torch.full((64,), -10.0)
        model.input_norm.running_var = torch.full((64,), 10.0)
        model.attention.weight.data.normal_(0, 20, generator=generator)
        model.tagger.weight.data.normal_(0, 1, generator=generator)
    if isinstance(model, TagCNN):
        model.input_norm.set_statistics(torch.full((128,), -10.0), torch.full((128,), 10.0))
        model.output.weight.data.normal_(0, 0.2, generator=generator)
    return model.eval()


def tiny_member(n_labels: int, seed: int) -> tuple[MLFL, TagCNN]:
    """An untrained pair of very small models with the receptive fields of the real ones."""
    torch.manual_seed(seed)
    mlfl = MLFL(MLFLConfig(n_labels, channels=(8, 8, 8)))
    tag_cnn = TagCNN(TagCNNConfig(n_labels, channels=(4, 4, 4, 4, 4, 4, 8, 8, 8), row_channels=(8, 8)))
    return stir(mlfl, seed), stir(tag_cnn, seed + 1)  # type: ignore[return-value]


def write_tiny_run(run: Path, seeds: Iterable[int], first_weights: int = 0) -> Path:
    """Checkpoints of untrained pairs, as training leaves them; `first_weights` draws others for the same seeds."""
    for seed in seeds:
        pair = tiny_member(len(TINY_LABELS), seed + first_weights)
        for kind, model in zip(("mlfl", "tag_cnn"), pair, strict=True):
            save_model(run / kind / str(seed) / CHECKPOINT_FILE, kind, model, TINY_LABELS, {"seed": seed})
    return run


def write_tiny_bundle(out: Path, event_labels: tuple[str, ...] = TINY_LABELS, n_members: int = 1) -> Path:
    """Export untrained members as a bundle; returns its folder."""
    members = [
        Member(*tiny_member(len(event_labels), seed), event_labels, {"untrained": seed})
        for seed in range(n_members)
    ]
    weights = [1 / n_members] * n_members
    return export_bundle(members, weights, "soft", out, "tiny", DEMO_CLIP, "# Attribution\n\nUntrained.\n")
