"""Engines that were compiled on this device: what each was made for, and which of them may be used.

An engine is a pair of files in the folder: `STEM.engine`, the bytes that TensorRT loads, and `STEM.json`, what they
were made for with their hash. The stem holds a hash of the key and one of the engine, and the metadata is written
last: whatever interrupts a build, a stem with metadata is a whole engine, and the one before it is still there.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_app import __version__
from edge_app.core.bundle import Precision, Sha256, file_sha256
from edge_app.core.errors import RuntimeUnavailable, SedgeError

ProfileName = Literal["live", "clip"]
EngineInput = Literal["log-mel", "waveform"]
BUILD_COMMAND = "sedge export-tensorrt BUNDLE"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineKey(_Section):
    """What an engine was made of and for: it runs nowhere else."""

    graph_sha256: Sha256
    """Hash of the bundle's graph, as in its manifest, not of what the exporter made of it."""
    gpu_name: str
    compute_capability: tuple[int, int]
    driver_version: str
    tensorrt_version: str
    precision: Precision
    input: EngineInput
    profiles: Annotated[tuple[ProfileName, ...], Field(min_length=1)]
    """In the order of the engine's optimisation profiles."""
    max_batch: Annotated[int, Field(ge=1)]
    """Clips in one call."""
    version_compatible: bool
    """Whether later TensorRT versions of the same major number may run it, and the lean runtime."""


class EngineMetadata(_Section):
    """What is stored beside an engine."""

    key: EngineKey
    created_at: str
    """ISO 8601, UTC."""
    sedge_version: str
    engine_sha256: Sha256
    build_s: float
    """Seconds that the build took."""


class EngineWanted(_Section):
    """What an engine must be, to run a bundle here."""

    graph_sha256: Sha256
    gpu_name: str
    compute_capability: tuple[int, int]
    driver_version: str
    tensorrt_version: str
    """Version of the TensorRT that is installed."""
    lean: bool = False
    """Whether that is the lean runtime, which runs version-compatible engines only."""
    input: EngineInput = "log-mel"
    profile: ProfileName = "live"
    """What it will be asked for."""


@dataclass(frozen=True)
class EngineFile:
    """An engine in the cache."""

    path: Path
    metadata: EngineMetadata

    def read(self) -> bytes:
        """The engine's bytes; raises RuntimeUnavailable where they are not those that were written."""
        try:
            engine = self.path.read_bytes()
        except OSError as error:
            raise RuntimeUnavailable(f"{self.path}: expected an engine, found: {error.strerror}") from error
        _check_hash(self, hashlib.sha256(engine).hexdigest())
        return engine


def write_engine(folder: Path, key: EngineKey, engine: bytes, build_s: float) -> EngineFile:
    """Write an engine and its metadata, then remove what it replaces.

    Raises SedgeError where the folder cannot be written.
    """
    metadata = EngineMetadata(
        key=key,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        sedge_version=__version__,
        engine_sha256=hashlib.sha256(engine).hexdigest(),
        build_s=round(build_s, 3),
    )
    stem = f"{_key_hash(key)}-{metadata.engine_sha256[:12]}"
    file = EngineFile(folder / f"{stem}.engine", metadata)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_whole(file.path, engine)
        _write_whole(folder / f"{stem}.json", (metadata.model_dump_json(indent=2) + "\n").encode())
        _remove_replaced(folder, key, stem)
    except OSError as error:
        raise SedgeError(
            f"{folder}: expected a folder to keep engines in, found: {error.strerror or error}"
        ) from error
    return file


def find_engine(folder: Path, wanted: EngineWanted | EngineKey) -> EngineFile:
    """The newest whole engine that fits, or, where a key is given, that is of this very key.

    Raises RuntimeUnavailable where none does: it names the file that comes nearest, the first field in which that
    one differs, the expected and the found value.
    """
    fitting, refusals = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            file = _read_metadata(path)
            _check_fit(file, wanted)
            fitting.append(file)
        except EngineRefused as refusal:
            refusals.append(refusal)
    for file in sorted(fitting, key=lambda file: file.metadata.created_at, reverse=True):
        try:
            _check_hash(file, _engine_hash(file.path))
        except EngineRefused as refusal:
            refusals.append(refusal)
        else:
            return file
    found = (
        str(max(refusals, key=lambda refusal: refusal.rank)) if refusals else f"{folder}: no engine was found"
    )
    raise RuntimeUnavailable(f"{found}; make one: {BUILD_COMMAND}")


class EngineRefused(RuntimeUnavailable):
    """An engine that may not be used; the higher its rank, the later the check that it failed."""

    def __init__(self, path: Path, field: str, expected: object, found: object, rank: int) -> None:
        super().__init__(f"{path}: {field}: expected {_shown(expected)}, found {_shown(found)}")
        self.rank = rank


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _check_fit(file: EngineFile, wanted: EngineWanted | EngineKey) -> None:
    key = file.metadata.key
    checks = _same(key, wanted) if isinstance(wanted, EngineKey) else _runnable(key, wanted)
    for rank, (field, expected, fits) in enumerate(checks, start=1):
        if not fits:
            raise EngineRefused(file.path, field, expected, getattr(key, field), rank)


def _same(key: EngineKey, wanted: EngineKey) -> Iterator[tuple[str, object, bool]]:
    """Every field, the expected value, and whether the key has it."""
    for field in EngineKey.model_fields:
        expected = getattr(wanted, field)
        yield field, expected, expected == getattr(key, field)


def _runnable(key: EngineKey, wanted: EngineWanted) -> Iterator[tuple[str, object, bool]]:
    """Each field that decides where an engine runs, the expected value, and whether the key's will do."""
    for field in ("graph_sha256", "input", "gpu_name", "compute_capability"):
        expected = getattr(wanted, field)
        yield field, expected, expected == getattr(key, field)
    yield "tensorrt_version", wanted.tensorrt_version, _runs_on(key, wanted.tensorrt_version)
    yield "driver_version", wanted.driver_version, key.driver_version == wanted.driver_version
    # the lean runtime runs no other
    yield "version_compatible", True, key.version_compatible or not wanted.lean
    # whole clips come in every size that live steps have
    yield "profiles", wanted.profile, not {wanted.profile, "clip"}.isdisjoint(key.profiles)


def _runs_on(key: EngineKey, version: str) -> bool:
    if key.tensorrt_version == version or not key.version_compatible:
        return key.tensorrt_version == version
    built, running = _numbers(key.tensorrt_version), _numbers(version)
    return built[:1] == running[:1] and built <= running


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _check_hash(file: EngineFile, found: str) -> None:
    expected = file.metadata.engine_sha256
    if found != expected:
        raise EngineRefused(file.path, "engine_sha256", expected, found, rank=100)


def _engine_hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        return error.strerror or str(error)


def _read_metadata(path: Path) -> EngineFile:
    try:
        metadata = EngineMetadata.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "metadata"
        raise EngineRefused(
            path, field, "what `sedge export-tensorrt` writes", first["msg"], rank=0
        ) from error
    except OSError as error:
        raise EngineRefused(path, "metadata", "a readable file", error.strerror, rank=0) from error
    return EngineFile(path.with_suffix(".engine"), metadata)


def _key_hash(key: EngineKey) -> str:
    return hashlib.sha256(key.model_dump_json().encode()).hexdigest()[:12]


def _write_whole(path: Path, content: bytes) -> None:
    """Write beside `path`, then take its place; what a killed process leaves has another ending."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _remove_replaced(folder: Path, key: EngineKey, stem: str) -> None:
    """Remove other builds of the same key, metadata first, and what was left of builds that were killed."""
    for pattern in (f"{_key_hash(key)}-*.json", f"{_key_hash(key)}-*.engine", f".{_key_hash(key)}-*.part"):
        for path in folder.glob(pattern):
            if not path.name.startswith(f"{stem}."):
                with contextlib.suppress(
                    OSError
                ):  # Windows keeps a file that is open: the next build removes it
                    path.unlink()
