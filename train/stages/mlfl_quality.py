"""What MLFL's training is measured by: its tags on held-out clips, and whether the domain embedding has collapsed."""

from typing import cast

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from train.data.clips import ClipSet
from train.fitting.batches import feature_batches
from train.fitting.loop import Quality
from train.measuring.scoring import mlfl_scores
from train.models.mlfl import MLFL
from train.pseudo.tagging import macro_tag_f1

HELD_OUT = ("development", "weak_development")
_THRESHOLD = 0.5  # the published decision; the best threshold of each label would flatter few clips
_VARIANCE_CLIPS = 32


def mlfl_quality(clips: ClipSet) -> Quality:
    """Measures a model by the macro F1 of its tags, averaged over the held-out sets (first) and on each.

    A `domain_variance` near 0 says that the domain embedding has collapsed: the inter-frame distance loss has no
    gradient there.
    """
    truth = clips.tags()
    held_out = {name: clips.indices(name) for name in HELD_OUT if name in clips.sets}
    thresholds = np.full(len(clips.event_labels), _THRESHOLD)

    def quality(model: nn.Module) -> dict[str, float]:
        mlfl, device = cast(MLFL, model), next(model.parameters()).device
        f1 = {}
        for name, indices in held_out.items():
            tags = mlfl_scores(mlfl, clips, indices, device).tags
            f1[f"{name}_tag_f1"] = macro_tag_f1(tags, truth[indices], thresholds)
        if not f1:
            return {}
        first = np.concatenate(list(held_out.values()))[:_VARIANCE_CLIPS]
        variance = domain_variance(mlfl, clips, first, device)
        return {"tag_f1": float(np.mean(list(f1.values()))), **f1, "domain_variance": variance}

    return quality


@torch.no_grad()
def domain_variance(
    model: MLFL, clips: ClipSet, indices: Int[np.ndarray, " clip"], device: torch.device
) -> float:
    """Variance of the domain embedding over the valid frames of some clips, mean over its components."""
    (batch,) = feature_batches(clips, indices, len(indices), device)
    embedding = model.project(model.encode(batch.log_mel, batch.frame_valid))
    return embedding[batch.frame_valid > 0].var(0, correction=0).mean().item()
