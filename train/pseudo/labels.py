"""Stage: strong pseudo labels of the weak and unlabelled clips, from an ensemble of FBCRNN.

Windowed frame scores are masked by tags (weak clips: the given ones; unlabelled clips: the ensemble's), filtered
and compared with a threshold; runs of frames are events. Context, filter and threshold of each label are chosen
on development clips, by default for frame F1, as the published pseudo labels were.

Writes choice.json, weak.tsv and unlabelled.tsv, and quality.json where the truth is known. Blocks of labelled
clips wait in partial/ until all are there, so that a kill costs one block at most.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from pydantic import BaseModel, ConfigDict, Field, field_validator

from edge_app.core.bundle import file_sha256
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event, vectorise
from edge_app.formats.desed_tsv import read_events, write_events
from edge_app.formats.whole_file import write_whole
from train.data.clips import ClipSet
from train.fitting.device import DeviceName, choose_device, memory_errors_named
from train.fitting.loop import fingerprint
from train.measuring.evaluate import EventsByFile
from train.models.fbcrnn import FBCRNN
from train.pseudo.block_progress import track_blocks
from train.pseudo.choice import Choice, read_choice, write_choice
from train.pseudo.detection_choice import ContextScores, LabelChoice, Metric, choose_detection, detect
from train.pseudo.quality import pseudo_quality
from train.pseudo.tagging import give_tags, tag_thresholds
from train.pseudo.windowed import CLIPS_AT_ONCE, Indices, load_ensemble, mean_tag_scores, mean_window_scores

LABELLED_SETS = ("weak", "unlabelled")
CHOICE, QUALITY, PARTIAL = "choice.json", "quality.json", "partial"


class PseudoLabelSettings(BaseModel):
    """What is tried for each label, and how much is computed at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contexts: tuple[int, ...] = (5, 10, 15, 20)
    """Frames (20 ms) on either side of a frame that its window reaches; the grid is the published one."""
    filters: tuple[int, ...] = (11, 21, 31, 41, 51)
    """Widths of the median filter in frames, odd."""
    metric: Metric = "frame"
    """F1 that is maximised: of frames, as for the published pseudo labels, or of events (200 ms, 20 %)."""
    choose_clips: int = Field(200, ge=1)
    """Development clips that the choice is made on: every context has to be computed for each."""
    rows: int | None = Field(None, ge=1)
    """Windows computed at once: by default 4096 on a GPU, which fills it, and 512 on a processor, whose caches that
    fits. Fewer need less memory."""
    block_clips: int = Field(200, ge=1)
    """Clips labelled between two files in partial/: the most that a kill can cost."""

    @field_validator("contexts", "filters")
    @classmethod
    def _check_grid(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if not values or len(set(values)) < len(values) or min(values) < 1:
            raise ValueError("expected different numbers of frames from 1, at least one")
        return values

    @field_validator("filters")
    @classmethod
    def _check_odd(cls, filters: tuple[int, ...]) -> tuple[int, ...]:
        even = [width for width in filters if width % 2 == 0]
        if even:
            raise ValueError(f"expected odd widths, found {even}")
        return filters


@dataclass(frozen=True)
class Ensemble:
    """Models of one set of labels, and the clips that they are asked about."""

    models: Sequence[FBCRNN]
    clips: ClipSet
    settings: PseudoLabelSettings

    @property
    def rows(self) -> int:
        """Windows computed at once."""
        on_processor = next(self.models[0].parameters()).device.type == "cpu"
        return self.settings.rows or (512 if on_processor else 4096)


def make_pseudo_labels(
    clips: ClipSet,
    checkpoints: Sequence[Path],
    folder: Path,
    settings: PseudoLabelSettings,
    device: DeviceName = "auto",
    threads: int = 2,
    truth: Mapping[str, EventsByFile] | None = None,
) -> None:
    """Label the weak and unlabelled clips into `folder`; goes on where a kill ended an equal call.

    `truth` holds the true events of those sets where they are known, by set and file; it is only measured with.
    Raises SedgeError where there is nothing to choose on, or a checkpoint does not fit the clips.
    """
    torch.set_num_threads(threads)
    if not len(clips.indices("development")):
        raise SedgeError("pseudo labels: expected development clips to choose contexts on, found none")
    models = load_ensemble(checkpoints, clips.event_labels, choose_device(device))
    identity = settings.model_dump(mode="json", exclude={"rows"})
    hashes = [file_sha256(path) for path in checkpoints]
    made_from = fingerprint(checkpoints=hashes, settings=identity, clips=clips.source)
    folder.mkdir(parents=True, exist_ok=True)
    with memory_errors_named("pseudo labels", "rows"):
        _make_tables(Ensemble(models, clips, settings), folder, made_from)
    if truth is not None:
        _write_quality(folder, truth, clips)
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)


def _make_tables(ensemble: Ensemble, folder: Path, made_from: str) -> None:
    choice = read_choice(folder / CHOICE, made_from)
    if choice is None:
        _forget(folder)
        choice = choose(ensemble)
        write_choice(
            folder / CHOICE, choice, ensemble.clips.event_labels, ensemble.settings.metric, made_from
        )
    for set_name in LABELLED_SETS:
        if not (folder / f"{set_name}.tsv").exists():
            labelled = label_set(ensemble, set_name, choice, folder / PARTIAL, made_from)
            write_events(folder / f"{set_name}.tsv", labelled)


def choose(ensemble: Ensemble) -> Choice:
    """Tag thresholds on all held-out clips; context, filter and threshold on some of the development clips."""
    models, clips, settings = ensemble.models, ensemble.clips, ensemble.settings
    held_out = clips.indices("development", "weak_development")
    tag_scores = mean_tag_scores(models, clips, held_out)
    tags = tag_thresholds(tag_scores, clips.tags()[held_out])
    development = clips.indices("development")
    chosen = development[_spread(len(development), settings.choose_clips)]
    given = give_tags(tag_scores, np.array([tuned.threshold for tuned in tags]))
    detection = choose_detection(
        _scores_of_all_contexts(ensemble, chosen),
        given[np.searchsorted(held_out, chosen)],
        [clips.events[clip] for clip in chosen],
        clips.event_labels,
        settings.filters,
        settings.metric,
    )
    return Choice(detection, tuple(tags))


def label_set(
    ensemble: Ensemble, set_name: str, choice: Choice, partial: Path, made_from: str
) -> dict[str, list[Event]]:
    """Events of each clip of a set, block after block; blocks that `partial` holds already are taken from there."""
    indices, size = ensemble.clips.indices(set_name), ensemble.settings.block_clips
    key = fingerprint(made_from=made_from, choice=choice)
    partial.mkdir(parents=True, exist_ok=True)
    blocks = [indices[start : start + size] for start in range(0, len(indices), size)]
    events: list[list[Event]] = []
    for number, block in enumerate(track_blocks(blocks, f"pseudo {set_name}")):
        path = partial / f"{set_name}-{number:05}.json"
        labelled = _read_block(path, key)
        if labelled is None:
            labelled = label_clips(ensemble, block, choice)
            _write_block(path, key, labelled)
        events += labelled
    return dict(zip([ensemble.clips.filenames[clip] for clip in indices], events, strict=True))


def label_clips(ensemble: Ensemble, indices: Indices, choice: Choice) -> list[list[Event]]:
    """Events of the clips at `indices`; a tag that no run of frames survives for gets none."""
    clips, tags = ensemble.clips, mask_tags(ensemble, indices, choice)
    needed = contexts_needed(choice.detection, tags)
    scores = mean_window_scores(ensemble.models, clips, indices, needed, ensemble.rows)
    active = detect(scores, tags, choice.detection)
    return [vectorise(of_clip, clips.event_labels) for of_clip in active]


def mask_tags(ensemble: Ensemble, indices: Indices, choice: Choice) -> Bool[np.ndarray, "clip label"]:
    """Labels that a clip can have events of: its given tags, else those that the ensemble gives it."""
    clips = ensemble.clips
    given = [clips.given_tags[clip] for clip in indices]
    unknown = np.flatnonzero([tags is None for tags in given])
    rows = np.array([[label in (tags or ()) for label in clips.event_labels] for tags in given], bool)
    rows[unknown] = give_tags(
        mean_tag_scores(ensemble.models, clips, indices[unknown]), choice.tag_thresholds
    )
    return rows


def contexts_needed(
    detection: Sequence[LabelChoice], tags: Bool[np.ndarray, "clip label"]
) -> dict[int, Bool[np.ndarray, " clip"]]:
    """For each context that some label chose, the clips with a tag that needs it."""
    of_label = np.array([chosen.context for chosen in detection])
    return {int(context): np.any(tags[:, of_label == context], axis=1) for context in np.unique(of_label)}


def _scores_of_all_contexts(ensemble: Ensemble, indices: Indices) -> ContextScores:
    contexts, parts = ensemble.settings.contexts, []
    blocks = [indices[start : start + CLIPS_AT_ONCE] for start in range(0, len(indices), CLIPS_AT_ONCE)]
    for block in track_blocks(blocks, "pseudo contexts"):
        needed = {context: np.ones(len(block), bool) for context in contexts}
        parts.append(mean_window_scores(ensemble.models, ensemble.clips, block, needed, ensemble.rows))
    return {context: np.concatenate([part[context] for part in parts]) for context in contexts}


def _spread(count: int, wanted: int) -> Indices:
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def _forget(folder: Path) -> None:
    """Remove what was made from something else, before anything new joins it."""
    for name in (QUALITY, *(f"{set_name}.tsv" for set_name in LABELLED_SETS)):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)


def _read_block(path: Path, key: str) -> list[list[Event]] | None:
    if not path.exists():
        return None
    block = json.loads(path.read_text(encoding="utf-8"))
    if block["made_from"] != key:
        return None
    return [[Event(*event) for event in of_clip] for of_clip in block["events"]]


def _write_block(path: Path, key: str, labelled: Sequence[Sequence[Event]]) -> None:
    events = [[(event.onset, event.offset, event.event_label) for event in of_clip] for of_clip in labelled]
    write_whole(path, json.dumps({"made_from": key, "events": events}) + "\n")


def _write_quality(folder: Path, truth: Mapping[str, EventsByFile], clips: ClipSet) -> None:
    figures = {
        set_name: pseudo_quality(truth[set_name], labels, clips.event_labels, clips.n_frames)
        for set_name in LABELLED_SETS
        if set_name in truth and (labels := read_events(folder / f"{set_name}.tsv"))
    }
    write_whole(folder / QUALITY, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
