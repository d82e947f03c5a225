"""A folder of annotated clips, and a bundle's frame scores of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from rich.console import Console
from rich.progress import Progress

from edge_app.core.audio import read_blocks
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_durations, read_events
from train.data.desed import DesedSet, find_sets
from train.data.tables import annotated_durations
from train.measuring.evaluate import check_labels_known


@dataclass(frozen=True)
class ValidationSet:
    """Annotated clips: `audio` holds the files that the tables name."""

    audio: Path
    reference: dict[str, list[Event]]
    durations: dict[str, float]


def read_validation_set(folder: Path) -> ValidationSet:
    """Read `ground_truth.tsv` and `durations.tsv`, or the validation set of a DESED layout.

    The audio may lie elsewhere in the folder than it should.

    Raises SedgeError where the tables are missing, a clip is, or one has no duration.
    """
    tables = DesedSet.of(folder, "validation")
    if folder.is_dir() and not tables.strong.is_file():
        tables = find_sets(folder).get("validation", tables)
    if not tables.strong.is_file():
        raise SedgeError(
            f"{folder}: expected ground_truth.tsv, or the DESED layout; found no {tables.strong}"
        )
    reference = read_events(tables.strong)
    if not reference:
        raise SedgeError(f"{tables.strong}: expected clips, found none")
    durations = annotated_durations(tables, reference) or read_durations(tables.durations)
    audio = _audio_folder(folder, tables.audio, next(iter(reference)))
    missing = [filename for filename in reference if not (audio / filename).is_file()]
    if missing:
        raise SedgeError(
            f"{audio}: expected {len(reference)} clips, found {len(missing)} missing: {missing[:3]}"
        )
    return ValidationSet(audio, reference, durations)


def score_clips(detector: Detector, clips: ValidationSet) -> dict[str, Float32[np.ndarray, "frame label"]]:
    """Frame scores of every clip, in the order of the reference; shows progress on a terminal.

    Raises SedgeError where the reference has a label that the bundle lacks, AudioError for a broken clip.
    """
    check_labels_known("reference", clips.reference, detector.event_labels)
    scores = {}
    for filename in _shown(list(clips.reference), f"scoring, context {detector.context}"):
        scores[filename] = np.concatenate(list(detector.scores(read_blocks(clips.audio / filename))))
    return scores


def _audio_folder(folder: Path, likely: Path, first: str) -> Path:
    for candidate in (likely, folder, *sorted(folder.rglob("*"))):
        if (candidate / first).is_file():
            return candidate
    raise SedgeError(f"{folder}: expected the clip {first!r} in it, found none of that name")


def _shown(filenames: Iterable[str], title: str) -> Iterator[str]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(list(filenames), description=title)
