"""What `sedge score` leaves in a folder, as `sedge evaluate` reads it: tables of events, of durations and of scores."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from edge_app.core.errors import SedgeError
from edge_app.formats.frame_scores import read_frame_scores
from edge_app.formats.score_arrays import read_score_array

Scores = dict[str, Float32[np.ndarray, "frame label"]]
READERS = {".tsv": read_frame_scores, ".npz": read_score_array}


@dataclass(frozen=True)
class ScoreFolder:
    """The parts of a results folder."""

    events: Path
    durations: Path
    frame_scores: Path | None
    """None where the run wrote none."""


def find_parts(folder: Path) -> ScoreFolder:
    """The parts of a results folder. Raises SedgeError where its table of events or of durations is not there."""
    scores = folder / "scores"
    parts = ScoreFolder(folder / "events.tsv", folder / "durations.tsv", scores if scores.is_dir() else None)
    for path in (parts.events, parts.durations):
        if not path.is_file():
            raise SedgeError(
                f"{folder}: expected a folder that `sedge score` wrote with --format desed, found no {path.name}"
            )
    return parts


def read_scores(folder: Path, filenames: Iterable[str]) -> tuple[tuple[str, ...], Scores]:
    """Labels, and the scores of every file. Raises SedgeError for a table or array that belongs to none of them."""
    left = {path for path in folder.rglob("*") if path.suffix in READERS and path.is_file()}
    labels: tuple[str, ...] | None = None
    scores: Scores = {}
    for filename in filenames:
        path = _path(folder, filename, left)
        of_file, scores[filename] = READERS[path.suffix](path)
        if labels not in (None, of_file):
            raise SedgeError(f"{path}: expected labels {list(labels or ())}, found {list(of_file)}")
        labels = of_file
        left.discard(path)
    if left or labels is None:
        raise SedgeError(
            f"{folder}: expected scores of the {len(scores)} reference files, found {len(left)} others"
        )
    return labels, scores


def _path(folder: Path, filename: str, there: set[Path]) -> Path:
    """Where the scores of a file are: named with its suffix, or without; the latter as a table where nothing is."""
    stem = filename.removesuffix(Path(filename).suffix)
    ways = [folder / f"{name}{suffix}" for name in (filename, stem) for suffix in READERS]
    return next((path for path in ways if path in there), folder / f"{stem}.tsv")
