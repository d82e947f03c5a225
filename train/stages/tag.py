"""Stage: what a trained MLFL says of every clip: its tags, its frame scores, and strong pseudo labels.

Tags and frame scores are written as they are, without a gate: what is masked is a copy.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from pydantic import BaseModel, ConfigDict, Field

from edge_app.core.bundle import file_sha256
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event, vectorise
from edge_app.formats.desed_tsv import read_events, write_events
from edge_app.formats.whole_file import whole_file, write_whole
from train.data.clips import HOP_LENGTH, ClipSet
from train.fitting.checkpoint import load_model
from train.measuring.score_store import write_scores
from train.measuring.scoring import MLFLScores, by_file, mlfl_scores
from train.models.mlfl import MLFL

TAGS = "tags.npz"
WINDOWS = "windows.json"
SCORES = "scores"
LABELLED_SETS = ("synthetic", "weak", "unlabelled")
"""Sets that get strong pseudo labels; those of synthetic clips are there to be looked at."""
PSEUDO_LABELLED_SETS = ("weak", "unlabelled")
EVALUATED_SETS = ("development", "validation", "public")
_CHUNK = 1024  # clips whose frame scores are in memory at once: 40 MB


class TagSettings(BaseModel):
    """How MLFL's scores become tags and strong pseudo labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["sds", "detection"] = "sds"
    """Frame scores that pseudo labels are made of: the specialised decision surface, which the published decision
    uses, or the detection branch."""
    tag_threshold: float = Field(0.5, gt=0, lt=1)
    """A label is tagged where the clip's score reaches this (Lin et al. 2020)."""
    frame_threshold: float = Field(0.5, gt=0, lt=1)
    """A label sounds where the filtered frame score reaches this (Lin et al. 2020)."""
    scores: Literal["evaluated", "all"] = "evaluated"
    """Sets whose frame scores are kept: those that something is measured on, or all (500 MB for DESED)."""


@dataclass(frozen=True)
class Tags:
    """Tags of the clips of one set."""

    filenames: tuple[str, ...]
    tags: Float32[np.ndarray, "clip label"]


def tag_clips(
    clips: ClipSet,
    mlfl_checkpoint: Path,
    folder: Path,
    settings: TagSettings,
    device: str | torch.device = "cpu",
    threads: int = 2,
) -> Path:
    """Write tags.npz, scores/<set>.npz, <set>.tsv and windows.json into `folder`; returns the path of tags.npz.

    Raises SedgeError where MLFL was trained on other labels than those of `clips`.
    """
    torch.set_num_threads(threads)
    model, about = load_mlfl(mlfl_checkpoint, clips)
    folder.mkdir(parents=True, exist_ok=True)
    windows = median_windows(clips)
    write_windows(folder / WINDOWS, windows, about["sha256"], settings)
    tags = {}
    for name in dict.fromkeys((*LABELLED_SETS, *clips.sets)):
        tags[name] = _tag_set(name, clips, model, folder, settings, windows, device)
    path = folder / TAGS
    write_tags(path, tags, clips.event_labels)
    return path


def load_mlfl(checkpoint: Path, clips: ClipSet) -> tuple[MLFL, dict]:
    """The MLFL of a checkpoint, and what is known about it with the file's `sha256`.

    Raises SedgeError where it was trained on other labels than those of `clips`.
    """
    model, about = load_model(checkpoint, "mlfl")
    if tuple(about["event_labels"]) != clips.event_labels:
        raise SedgeError(
            f"{checkpoint}: event_labels: expected those of the clips, {list(clips.event_labels)}, "
            f"found {about['event_labels']}"
        )
    return cast(MLFL, model), {"sha256": file_sha256(checkpoint), **about}


def with_pseudo_labels(clips: ClipSet, folder: Path) -> ClipSet:
    """The clips with the strong pseudo labels that `tag_clips` wrote for weak and unlabelled ones."""
    for name in PSEUDO_LABELLED_SETS:
        if name in clips.sets:
            clips = clips.with_events(name, read_events(folder / f"{name}.tsv"))
    return clips


def median_windows(clips: ClipSet) -> dict[str, int]:
    """Median window of each label in frames, by the durations of synthetic events.

    Those are training data, as the durations of clips that are reported on must not be.
    """
    from train.measuring.measure import duration_windows, durations_by_label  # takes seconds to import

    return duration_windows(durations_by_label(clips.reference("synthetic"), clips.event_labels))


def pseudo_label_activity(
    scores: Float[np.ndarray, "clip frame label"],
    tags: Bool[np.ndarray, "clip label"],
    window_frames: Sequence[int],
    threshold: float,
) -> Bool[np.ndarray, "clip frame label"]:
    """Which labels sound: scores masked by tags, a median of odd width for each label, then the threshold.

    The scores must be 0 in padding. `scores` is not changed.
    """
    above = (scores >= threshold) & tags[:, None]
    return np.stack(
        [majority(above[:, :, label], width) for label, width in enumerate(window_frames)], axis=2
    )


def majority(above: Bool[np.ndarray, "clip frame"], width: int) -> Bool[np.ndarray, "clip frame"]:
    """Whether most of the `width` (odd) frames around each are True; there are none outside the clip.

    Equal to comparing with the threshold after a median filter, at a fraction of the work.
    """
    half, n_frames = width // 2, above.shape[1]
    counts = np.pad(np.cumsum(above, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    frames = np.arange(n_frames)
    ends, starts = np.minimum(frames + half + 1, n_frames), np.maximum(frames - half, 0)
    around: Int[np.ndarray, "clip frame"] = counts[:, ends] - counts[:, starts]
    return around > half


def write_tags(path: Path, by_set: Mapping[str, Tags], event_labels: Sequence[str]) -> None:
    """Write tags of sets into one .npz without pickles."""
    arrays: dict[str, np.ndarray] = {"event_labels": np.array(event_labels, np.str_)}
    for name, of_set in by_set.items():
        arrays[f"{name}/filenames"] = np.array(of_set.filenames, np.str_)
        arrays[f"{name}/tags"] = of_set.tags
    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_tags(path: Path) -> tuple[tuple[str, ...], dict[str, Tags]]:
    """Labels, and tags by set, of a file of `write_tags`. Raises SedgeError where it is not one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [key.removesuffix("/tags") for key in file.files if key.endswith("/tags")]
            by_set = {
                name: Tags(tuple(map(str, file[f"{name}/filenames"])), file[f"{name}/tags"]) for name in names
            }
            return tuple(map(str, file["event_labels"])), by_set
    except (OSError, KeyError, ValueError) as error:
        raise SedgeError(f"{path}: expected tags of clips, found: {error}") from error


def write_windows(path: Path, windows: Mapping[str, int], mlfl_sha256: str, settings: TagSettings) -> None:
    """Write the median window of each label (frames) with what else the pseudo labels were made by."""
    made_by = {"mlfl_sha256": mlfl_sha256, "settings": settings.model_dump()}
    write_whole(path, json.dumps({"median_frames": dict(windows), **made_by}, indent=2) + "\n")


def _tag_set(
    name: str,
    clips: ClipSet,
    model: MLFL,
    folder: Path,
    settings: TagSettings,
    windows: Mapping[str, int],
    device: str | torch.device,
) -> Tags:
    """Tag the clips of one set, and write its frame scores and pseudo labels where it has them."""
    tags: list[Float32[np.ndarray, "clip label"]] = [np.zeros((0, len(clips.event_labels)), np.float32)]
    kept: dict[str, Float32[np.ndarray, "frame label"]] = {}
    events: dict[str, list[Event]] = {}
    keeps_scores = settings.scores == "all" or name in EVALUATED_SETS
    for indices, found in _scored(clips, name, model, device):
        tags.append(found.tags)
        frame_scores = found.scores if settings.source == "sds" else found.detection
        if keeps_scores:
            kept |= by_file(clips, indices, frame_scores)
        if name in LABELLED_SETS:
            events |= _pseudo_events(clips, indices, found.tags, frame_scores, settings, windows)
    indices = clips.indices(name)
    if name in LABELLED_SETS:
        write_events(folder / f"{name}.tsv", events)
    if keeps_scores and len(indices):
        write_scores(folder / SCORES / f"{name}.npz", kept, clips.event_labels)
    return Tags(tuple(clips.filenames[clip] for clip in indices), np.concatenate(tags))


def _scored(
    clips: ClipSet, name: str, model: MLFL, device: str | torch.device
) -> Iterator[tuple[Int[np.ndarray, " clip"], MLFLScores]]:
    """Scores of a set, some clips at a time."""
    indices = clips.indices(name)
    for start in range(0, len(indices), _CHUNK):
        chosen = indices[start : start + _CHUNK]
        yield chosen, mlfl_scores(model, clips, chosen, device)


def _pseudo_events(
    clips: ClipSet,
    indices: Int[np.ndarray, " clip"],
    tags: Float32[np.ndarray, "clip label"],
    scores: Float32[np.ndarray, "clip frame label"],
    settings: TagSettings,
    windows: Mapping[str, int],
) -> dict[str, list[Event]]:
    """Strong pseudo labels of clips, within the tags that they were given or else within MLFL's."""
    labels, mask = clips.event_labels, tags >= settings.tag_threshold
    for row, clip in enumerate(indices):
        known = clips.given_tags[clip]
        if known is not None:
            mask[row] = [label in known for label in labels]
    widths = [windows[label] for label in labels]
    active = pseudo_label_activity(scores, mask, widths, settings.frame_threshold)
    lengths = clips.n_samples[indices] // HOP_LENGTH
    return {
        clips.filenames[clip]: vectorise(rows[:n_frames], labels)
        for clip, rows, n_frames in zip(indices, active, lengths, strict=True)
    }
