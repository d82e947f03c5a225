"""The exported model: a folder with a manifest, the fused graph and a clip to check it by.

A bundle is data only. Whatever its manifest names is checked before it is used: paths stay in the folder,
files are there, hashes agree, and a schema version that this program does not know is refused.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from edge_app.core.decode import LabelDecoding
from edge_app.core.errors import BundleError, SedgeError
from edge_app.core.events import FRAME_S
from edge_app.core.labels import check_labels
from edge_app.core.logmel import LogMelConfig

SCHEMA_VERSION: Final = 1
MANIFEST_FILE = "bundle.json"
DEFAULT_BUNDLE = Path(__file__).resolve().parent.parent / "bundles" / "default"
"""The model that comes with the program."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Frames = Annotated[int, Field(ge=1)]
Precision = Literal["float32", "float16", "int8"]
"""In what most of the weights and activations of a graph are held; its inputs and outputs are float32 always."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class HopFrames(_Section):
    """Frames between two live steps; scores depend on it, so only measured ones are allowed."""

    default: Frames
    allowed: tuple[Frames, ...]

    @model_validator(mode="after")
    def _check(self) -> "HopFrames":
        if self.default not in self.allowed:
            raise ValueError(f"default: expected one of {list(self.allowed)}, found {self.default}")
        return self


class ReceptiveField(_Section):
    """Frames to either side that an output frame depends on."""

    mlfl: Annotated[int, Field(ge=0)]
    tag_cnn: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _check(self) -> "ReceptiveField":
        # The tags of a hop pool the frames whose own context is complete: that many fewer.
        if self.mlfl > self.tag_cnn:
            raise ValueError(f"mlfl: expected at most tag_cnn ({self.tag_cnn}), found {self.mlfl}")
        return self


class Graph(_Section):
    """The fused graph."""

    file: str
    sha256: Sha256
    precision: Precision
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Parity(_Section):
    """A clip and the scores that the graph must give on it, within `tolerance`."""

    file: str
    sha256: Sha256
    tolerance: Annotated[float, Field(gt=0)]


class BundleManifest(_Section):
    """What `bundle.json` holds."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: Annotated[str, Field(min_length=1)]
    created_at: str
    """ISO 8601, UTC."""
    sedge_version: str
    event_labels: tuple[str, ...]
    log_mel: LogMelConfig
    hop_frames: HopFrames
    tag_window_frames: Frames
    receptive_field_frames: ReceptiveField
    members: tuple[Annotated[float, Field(ge=0)], ...]
    """Weight of each member in the mean of scores; they sum to one."""
    gate: Literal["none", "soft"]
    """Whether scores are multiplied by the tag."""
    graph: Graph
    decoding: dict[str, LabelDecoding]
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    parity: Parity

    @field_validator("event_labels")
    @classmethod
    def _check_labels(cls, event_labels: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return check_labels(event_labels)
        except SedgeError as error:
            raise ValueError(str(error)) from error

    @field_validator("log_mel", mode="before")
    @classmethod
    def _check_settings(cls, log_mel: object) -> object:
        # A plain dataclass would pass over settings that it does not know, and so compute other features.
        known = set(LogMelConfig.__dataclass_fields__)
        if isinstance(log_mel, Mapping) and set(log_mel) != known:
            raise ValueError(f"expected exactly {sorted(known)}, found {sorted(map(str, log_mel))}")
        return log_mel

    @field_validator("log_mel")
    @classmethod
    def _check_frame(cls, log_mel: LogMelConfig) -> LogMelConfig:
        if abs(log_mel.frame_s - FRAME_S) > 1e-9:
            raise ValueError(f"expected frames of {FRAME_S} s, found {log_mel.frame_s} s")
        return log_mel

    @field_validator("members")
    @classmethod
    def _check_members(cls, members: tuple[float, ...]) -> tuple[float, ...]:
        if not abs(sum(members) - 1) < 1e-6:
            raise ValueError(f"expected weights that sum to 1, found {list(members)}")
        return members

    @model_validator(mode="after")
    def _check(self) -> "BundleManifest":
        if set(self.decoding) != set(self.event_labels):
            raise ValueError(f"decoding: expected {sorted(self.event_labels)}, found {sorted(self.decoding)}")
        longest = max(self.hop_frames.allowed)
        if longest > self.tag_window_frames:
            raise ValueError(
                f"hop_frames.allowed: expected at most tag_window_frames ({self.tag_window_frames}), "
                f"found {longest}"
            )
        return self


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its folder and its manifest."""

    folder: Path
    manifest: BundleManifest

    @property
    def graph_path(self) -> Path:
        """The fused graph."""
        return self.folder / self.manifest.graph.file

    @property
    def parity_path(self) -> Path:
        """The clip to check the graph by."""
        return self.folder / self.manifest.parity.file


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: BundleManifest) -> None:
    """Write `bundle.json` into an existing folder, whole or not at all."""
    partial = folder / f".{MANIFEST_FILE}.partial"
    partial.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / MANIFEST_FILE)


def load_bundle(folder: Path | None = None) -> Bundle:
    """Load and verify a bundle, by default the one that comes with the program.

    Raises BundleError, naming the file and field, the expected and the found value, where anything is amiss.
    """
    folder = DEFAULT_BUNDLE if folder is None else folder
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise BundleError(f"{folder}: expected a bundle folder, found {found}")
    bundle = Bundle(folder, _read_manifest(folder / MANIFEST_FILE))
    for field, section in (("graph", bundle.manifest.graph), ("parity", bundle.manifest.parity)):
        _check_file(folder, field, section)
    return bundle


def _read_manifest(path: Path) -> BundleManifest:
    if not path.is_file():
        raise BundleError(f"{path}: expected the manifest of a bundle, found no such file")
    try:
        text = path.read_text(encoding="utf-8")
        fields = json.loads(text)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: expected readable JSON, found: {error}") from error
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    # Before the other fields: a later version has others, and naming one of them would mislead.
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise BundleError(f"{path}: schema_version: expected {SCHEMA_VERSION}, found {_shown(version)}")
    try:
        return BundleManifest.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise BundleError(f"{path}: {_first_error(error.errors()[0])}") from error


def _first_error(error: ErrorDetails) -> str:
    """Pydantic's words for one error as: field: expected, found."""
    field = "".join(f"{part}: " for part in (".".join(map(str, error["loc"])),) if part)
    if error["type"] == "missing":
        return f"{field}expected a value, found no such field"
    if error["type"] == "extra_forbidden":
        return f"{field}expected no such field, found {_shown(error['input'])}"
    if error["type"] == "value_error":
        return field + str(error["ctx"]["error"])
    expected = error["msg"].removeprefix("Input should be ").removeprefix("String should ")
    return f"{field}expected {expected}, found {_shown(error['input'])}"


def _shown(value: object) -> str:
    """A value on one short line."""
    shown = "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _check_file(folder: Path, field: str, section: Graph | Parity) -> None:
    """Check that the named file is inside the folder, is there, and has the recorded hash."""
    manifest, name = folder / MANIFEST_FILE, section.file
    # Both kinds of path are looked at, so that a bundle is refused on every system or on none.
    parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
    if not name or absolute or ".." in parts or "\0" in name:
        raise BundleError(f"{manifest}: {field}.file: expected a path inside the bundle, found {name!r}")
    path = folder / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise BundleError(
            f"{manifest}: {field}.file: expected a path inside the bundle, found a link out of it: {name!r}"
        )
    if not path.is_file():
        raise BundleError(f"{manifest}: {field}.file: expected {path}, found no such file")
    try:
        found = file_sha256(path)
    except OSError as error:
        raise BundleError(f"{path}: expected a readable file, found: {error.strerror}") from error
    if found != section.sha256:
        raise BundleError(f"{path}: {field}.sha256: expected {section.sha256}, found {found}")
