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
from train.evaluate import check_files, check_labels_known


@dataclass(frozen=True)
class ValidationSet:
    """Annotated clips: `audio` holds the files that the tables name."""

    audio: Path
    reference: dict[str, list[Event]]
    durations: dict[str, float]


def read_validation_set(folder: Path) -> ValidationSet:
    """Read `ground_truth.tsv` and `durations.tsv` and find the audio, in `audio/` or elsewhere in the folder.

    Raises SedgeError where the tables name different files or a clip is missing.
    """
    reference = read_events(folder / "ground_truth.tsv")
    durations = read_durations(folder / "durations.tsv")
    check_files(str(folder / "durations.tsv"), durations, reference)
    if not reference:
        raise SedgeError(f"{folder / 'ground_truth.tsv'}: expected clips, found none")
    audio = _audio_folder(folder, next(iter(reference)))
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


def _audio_folder(folder: Path, first: str) -> Path:
    for candidate in (folder / "audio", folder, *sorted(folder.rglob("*"))):
        if (candidate / first).is_file():
            return candidate
    raise SedgeError(f"{folder}: expected the clip {first!r} in it, found none of that name")


def _shown(filenames: Iterable[str], title: str) -> Iterator[str]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(list(filenames), description=title)
