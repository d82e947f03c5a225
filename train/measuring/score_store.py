"""Frame scores of many clips in one file: a compressed .npz without pickles, exact to the last bit of float32.

It holds `scores`, all clips' frames one after the other, and `about`, JSON text that names labels, files and
how many frames each file has.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from edge_app.core.errors import SedgeError
from edge_app.core.labels import check_labels
from edge_app.formats.whole_file import whole_file

FORMAT = "sedge frame scores 1"


def write_scores(
    path: Path, scores: Mapping[str, Float32[np.ndarray, "frame label"]], event_labels: Sequence[str]
) -> None:
    """Write the scores of clips by file name, whole or not at all.

    Raises SedgeError for scores that are not finite float32 of shape (frame, label).
    """
    labels = check_labels(event_labels)
    for filename, clip in scores.items():
        if clip.dtype != np.float32 or clip.ndim != 2 or clip.shape[1] != len(labels):
            found = f"{clip.dtype} {clip.shape}"
            raise SedgeError(
                f"{path}: scores of {filename!r}: expected float32 (frame, {len(labels)}), found {found}"
            )
        if not np.isfinite(clip).all():
            raise SedgeError(f"{path}: scores of {filename!r}: expected finite numbers, found others")
    files = {filename: len(clip) for filename, clip in scores.items()}
    about = json.dumps({"format": FORMAT, "event_labels": labels, "frames": files})
    rows = np.concatenate([np.empty((0, len(labels)), np.float32), *scores.values()])
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as handle:
        np.savez_compressed(handle, scores=rows, about=np.frombuffer(about.encode(), np.uint8))


def read_scores(path: Path) -> tuple[tuple[str, ...], dict[str, Float32[np.ndarray, "frame label"]]]:
    """Labels, and scores by file name, of a file of `write_scores`. Raises SedgeError where it is not one."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            rows, about = arrays["scores"], json.loads(arrays["about"].tobytes())
        return _unpacked(rows, about)
    except OSError as error:
        raise SedgeError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # a damaged header makes zipfile and NumPy raise errors of any kind
        said = " ".join(str(error).split()) or type(error).__name__
        raise SedgeError(f"{path}: expected frame scores of Sedge, found: {said}") from error


def _unpacked(
    rows: np.ndarray, about: Any
) -> tuple[tuple[str, ...], dict[str, Float32[np.ndarray, "frame label"]]]:
    if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']!r}")
    labels, frames = tuple(about["event_labels"]), about["frames"]
    if rows.dtype != np.float32 or rows.shape != (sum(frames.values()), len(labels)):
        raise ValueError(
            f"{rows.dtype} {rows.shape} for {sum(frames.values())} frames of {len(labels)} labels"
        )
    ends = np.cumsum(list(frames.values()), dtype=np.int64)
    return labels, dict(zip(frames, np.split(rows, ends[:-1]), strict=True)) if frames else {}
