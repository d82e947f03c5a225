"""What an ensemble of FBCRNN says of clips: tags of whole clips, and frame scores of windowed detection.

Windowed detection is the costly part (a window of 2 c + 1 frames for every frame), so each clip goes through
each context once for all labels, and only where one of its tags needs that context.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor

from edge_app.core.errors import SedgeError
from train.data.clips import ClipSet
from train.fitting.batches import FeatureBatch, feature_batches
from train.fitting.checkpoint import load_model
from train.models.fbcrnn import FBCRNN, clip_tag_scores, window_scores

CLIPS_AT_ONCE = 32
Indices = Int[np.ndarray, " clip"]


def load_ensemble(
    checkpoints: Sequence[Path], event_labels: Sequence[str], device: torch.device
) -> list[FBCRNN]:
    """The models, on the device. Raises SedgeError where there are none, or one was trained on other labels."""
    if not checkpoints:
        raise SedgeError("FBCRNN: expected at least one checkpoint, found none; train some first")
    models = []
    for path in checkpoints:
        model, about = load_model(path, "fbcrnn")
        if tuple(about["event_labels"]) != tuple(event_labels):
            raise SedgeError(
                f"{path}: event_labels: expected those of the clips, {list(event_labels)}, "
                f"found {about['event_labels']}"
            )
        # channels last is the layout that convolutions are fastest in
        model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        models.append(cast(FBCRNN, model))
    return models


def mean_tag_scores(
    models: Sequence[FBCRNN], clips: ClipSet, indices: Indices, clips_at_once: int = CLIPS_AT_ONCE
) -> Float32[np.ndarray, "clip label"]:
    """Tag scores of the clips at `indices`, mean over models."""
    scores = np.zeros((len(indices), len(clips.event_labels)), np.float32)
    with _inference(models):
        for place, batch in _batches(models, clips, indices, clips_at_once):
            for model in models:
                output = model(batch.log_mel, batch.frame_valid)
                scores[place] += _array(clip_tag_scores(output, batch.frame_valid))
    return scores / np.float32(len(models))


def mean_window_scores(
    models: Sequence[FBCRNN],
    clips: ClipSet,
    indices: Indices,
    needed: Mapping[int, Bool[np.ndarray, " clip"]],
    windows_at_once: int,
    clips_at_once: int = CLIPS_AT_ONCE,
) -> dict[int, Float32[np.ndarray, "clip frame label"]]:
    """Frame scores of each context in `needed`, mean over models; 0 in padding and for clips not needed there."""
    shape = (len(indices), clips.n_frames, len(clips.event_labels))
    scores = {context: np.zeros(shape, np.float32) for context in needed}
    wanted = np.flatnonzero(np.any(list(needed.values()), axis=0))
    with _inference(models):
        for place, batch in _batches(models, clips, indices[wanted], clips_at_once):
            clip = wanted[place]
            for model in models:
                embedding = model.encode(batch.log_mel, batch.frame_valid)
                for context, is_needed in needed.items():
                    rows = torch.as_tensor(np.flatnonzero(is_needed[clip]), device=embedding.device)
                    if len(rows):
                        heard = window_scores(
                            model, embedding[rows], batch.frame_valid[rows], context, windows_at_once
                        )
                        scores[context][clip[is_needed[clip]]] += _array(heard)
    return {context: total / np.float32(len(models)) for context, total in scores.items()}


@contextmanager
def _inference(models: Iterable[FBCRNN]) -> Iterator[None]:
    """Evaluation mode, no autocast, no gradients; the models' modes are put back after."""
    modes = [(model, model.training) for model in models]
    place = next(modes[0][0].parameters()).device.type
    try:
        for model, _ in modes:
            model.eval()
        with torch.inference_mode(), torch.autocast(place, enabled=False):
            yield
    finally:
        for model, was_training in modes:
            model.train(was_training)


def _batches(
    models: Sequence[FBCRNN], clips: ClipSet, indices: Indices, clips_at_once: int
) -> Iterator[tuple[slice, FeatureBatch]]:
    """Batches, each with the place of its rows among `indices`."""
    device = next(models[0].parameters()).device
    start = 0
    for batch in feature_batches(clips, indices, clips_at_once, device):
        end = start + len(batch.indices)
        yield slice(start, end), batch
        start = end


def _array(rows: Tensor) -> np.ndarray:
    array: np.ndarray = rows.float().cpu().numpy()
    return array
