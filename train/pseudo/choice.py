"""The settings that pseudo labels are made with, label by label, and the file that keeps them: choice.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from edge_app.formats.whole_file import write_whole
from train.pseudo.detection_choice import LabelChoice
from train.pseudo.tagging import Tuned

_SCHEMA = 1


@dataclass(frozen=True)
class Choice:
    """Detection settings and tag threshold of each label, in the order of the labels."""

    detection: tuple[LabelChoice, ...]
    tags: tuple[Tuned, ...]

    @property
    def tag_thresholds(self) -> Float64[np.ndarray, " label"]:
        """Scores above these give a clip the tag."""
        return np.array([tuned.threshold for tuned in self.tags])


def write_choice(
    path: Path, choice: Choice, event_labels: Sequence[str], metric: str, made_from: str
) -> None:
    """Write the choice with the hash of what it was made from."""
    labels = {
        label: {
            "context_frames": detection.context,
            "filter_frames": detection.filter_frames,
            "threshold": detection.threshold,
            "f1": detection.f1,
            "tag_threshold": tag.threshold,
            "tag_f1": tag.f1,
        }
        for label, detection, tag in zip(event_labels, choice.detection, choice.tags, strict=True)
    }
    record = {"schema_version": _SCHEMA, "made_from": made_from, "metric": metric, "labels": labels}
    write_whole(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def read_choice(path: Path, made_from: str) -> Choice | None:
    """The choice that was written there, or None where there is none or it was made from something else."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # edited by hand: chosen anew
        return None
    if (record.get("schema_version"), record.get("made_from")) != (_SCHEMA, made_from):
        return None
    rows = record["labels"].values()
    return Choice(
        tuple(LabelChoice(r["context_frames"], r["filter_frames"], r["threshold"], r["f1"]) for r in rows),
        tuple(Tuned(r["tag_threshold"], r["tag_f1"]) for r in rows),
    )
