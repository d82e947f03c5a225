"""The user's settings of the desktop program: one JSON file, never half written, never the end of a start."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_app.core.decode import LabelDecoding
from edge_app.core.errors import SedgeError
from edge_app.core.runtimes import RuntimeChoice
from edge_app.formats.whole_file import write_whole
from edge_app.store.clips import ClipWishes
from edge_app.store.places import settings_path
from edge_app.store.schema import told

Theme = Literal["system", "dark", "light"]


class LabelSettings(BaseModel):
    """What the user changed for one label; what is None is as the model has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = True
    """Whether the label is detected: some sounds of a home are of no interest."""
    threshold_on: float | None = Field(None, gt=0, lt=1)
    """Score at which an event begins."""
    threshold_off: float | None = Field(None, gt=0, lt=1)
    """Score below which it ends; follows `threshold_on` where only that one is given."""
    median_frames: int | None = Field(None, ge=1, le=501)
    """Width of the median filter in frames, odd; half of it is delay."""
    min_on_s: float | None = Field(None, ge=0, le=60)
    """Shortest event in seconds; all of it is delay before an event is confirmed."""
    min_off_s: float | None = Field(None, ge=0, le=60)
    """Shortest silence between two events in seconds."""
    save_audio: bool = False
    """Whether clips of its events are kept; off until asked, because a home is private."""

    @model_validator(mode="after")
    def _check(self) -> "LabelSettings":
        if self.median_frames is not None and self.median_frames % 2 == 0:
            raise ValueError(f"median_frames: expected an odd number, found {self.median_frames}")
        if self.threshold_on and self.threshold_off and self.threshold_off > self.threshold_on:
            raise ValueError("threshold_off: expected at most threshold_on, found more")
        return self

    def decoding(self, shipped: LabelDecoding) -> LabelDecoding:
        """The decoding in force: the model's own with what the user changed."""
        names = ("threshold_on", "threshold_off", "median_frames", "min_on_s", "min_off_s")
        changed = {name: value for name in names if (value := getattr(self, name)) is not None}
        fields = {**shipped.model_dump(), **changed}
        if "threshold_on" in changed and "threshold_off" not in changed:
            fields["threshold_off"] = None  # the model's was meant for its own `threshold_on`
        fields["threshold_on"] = max(fields["threshold_on"], fields["threshold_off"] or 0)
        return LabelDecoding(**fields)


class AppSettings(BaseModel):
    """All settings of the desktop program."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: str = "mic"
    """What is listened to: mic, or the path of a recording."""
    device: str | None = None
    """Name and host API of the microphone, which outlive a restart, as an index does not; None for the default."""
    bundle: str | None = None
    """Folder of the model; None for the built-in one."""
    runtime: RuntimeChoice = "auto"
    """What runs the model."""
    hop_frames: int | None = Field(None, ge=1, le=500)
    """Frames from one step to the next; None for the model's own. Fewer react sooner and cost more."""
    labels: dict[str, LabelSettings] = Field(default_factory=dict)
    """Settings of single labels; a label that is not here is as the model has it."""
    theme: Theme = "system"
    """Colours of the windows."""
    view_s: int = Field(60, ge=10, le=600)
    """Seconds that the live page shows: a minute leaves lanes readable."""
    pre_roll_s: float = Field(3.0, ge=0, le=20)
    """Seconds of sound kept before an event: enough to recognise what led to it."""
    post_roll_s: float = Field(3.0, ge=0, le=20)
    """Seconds of sound kept after an event."""
    history_s: int = Field(60, ge=30, le=600)
    """Seconds of sound held in memory for clips and playback; a minute is 4 MB."""
    retention_days: float = Field(30.0, gt=0, le=3650)
    """Events older than this are deleted unless reviewed."""
    retention_bytes: int = Field(2_000_000_000, ge=10_000_000)
    """The oldest is deleted beyond this size of database and clips, reviewed events excepted."""
    resumes: bool = False
    """Whether the program listens at once when it starts, to what it listened to last; off until asked."""
    records_sound: bool = False
    """Whether the whole sound of a session is kept, about 100 MB an hour; off until asked, as a home is private."""
    is_introduced: bool = False
    """Whether the check at the first start has been gone through."""
    save_scores: bool = True
    """Whether frame scores are kept, 1.8 MB an hour at ten labels: other thresholds can then be tried on the past."""

    def label(self, event_label: str) -> LabelSettings:
        """Settings of a label."""
        return self.labels.get(event_label, LabelSettings())

    def decoding(self, shipped: Mapping[str, LabelDecoding]) -> dict[str, LabelDecoding]:
        """The decoding in force of every label of a model."""
        return {label: self.label(label).decoding(decoding) for label, decoding in shipped.items()}

    @property
    def clip_wishes(self) -> ClipWishes:
        """Of which events clips are kept."""
        wanted = frozenset(label for label, settings in self.labels.items() if settings.save_audio)
        return ClipWishes(event_labels=wanted, pre_roll_s=self.pre_roll_s, post_roll_s=self.post_roll_s)


def save_settings(settings: AppSettings, path: Path | None = None) -> None:
    """Write settings whole. Raises SedgeError where the folder cannot be written."""
    path = path or settings_path()
    with told(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, settings.model_dump_json(indent=2, exclude_defaults=True) + "\n")


def load_settings(path: Path | None = None) -> tuple[AppSettings, str | None]:
    """Settings, and a sentence where some or all of the file could not be used and defaults stand for it.

    A file that is not there means defaults. A damaged one is kept beside as `.damaged`.
    """
    path = path or settings_path()
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return AppSettings(), None
    except OSError as error:
        return AppSettings(), f"{path}: cannot be read ({error.strerror}); defaults are used"
    except ValueError as error:  # JSON and UTF-8 errors are both one
        return AppSettings(), f"{path}: expected JSON ({error}); defaults are used{_set_aside(path)}"
    if not isinstance(found, dict):
        return (
            AppSettings(),
            f"{path}: expected an object, found another kind; defaults are used{_set_aside(path)}",
        )
    return _salvaged(path, found)


def _salvaged(path: Path, found: dict[str, Any]) -> tuple[AppSettings, str | None]:
    """What is valid of a file's fields and labels, with defaults for the others."""
    bad: set[str] = set()
    reason = ""
    while True:
        try:
            settings = AppSettings.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            reason = reason or f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            found, name = _without(found, *map(str, first["loc"][:2]))
            bad.add(name)
        else:
            break
    if not bad:
        return settings, None
    names = ", ".join(sorted(bad))
    return settings, f"{path}: {reason}; defaults are used for {names}{_set_aside(path)}"


def _without(found: dict[str, Any], name: str, label: str = "") -> tuple[dict[str, Any], str]:
    """The fields without one, or without one label's settings; and the name of what was left out."""
    labels = found.get("labels")
    if name == "labels" and isinstance(labels, dict) and label in labels:
        kept = {other: settings for other, settings in labels.items() if other != label}
        return {**found, "labels": kept}, label
    return {other: value for other, value in found.items() if other != name}, name


def _set_aside(path: Path) -> str:
    """Keep a file that will be overwritten; gives what to say of it."""
    kept = path.with_name(f"{path.name}.damaged")
    try:
        write_whole(kept, path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, SedgeError):
        return ""
    return f", the file is kept as {kept.name}"
