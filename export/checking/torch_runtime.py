"""The torch reference of a bundle: the fused module, rebuilt from the checkpoints that it was exported from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from edge_app.core.bundle import MANIFEST_FILE, Bundle, file_sha256
from edge_app.core.errors import SedgeError
from edge_app.core.runtime import INPUT_NAMES, FusedInput, FusedOutput
from edge_app.core.tag_memory import HostTagMemory, TagMemory
from export.bundle import CHECKPOINT_FILE
from export.fuse import FusedEnsemble
from train.fitting.checkpoint import load_model
from train.models.mlfl import MLFL
from train.models.tag_cnn import TagCNN

KINDS = ("mlfl", "tag_cnn")


class TorchRuntime:
    """Runtime that runs the fused module itself, in float32 on the CPU: what the others are compared with."""

    def __init__(self, fused: FusedEnsemble) -> None:
        self._fused = fused.eval()

    @property
    def name(self) -> str:
        """What runs, in words."""
        return f"torch {torch.__version__}, float32 on the CPU"

    def run(self, call: FusedInput) -> FusedOutput:
        """Run the module once."""
        with torch.no_grad():
            outputs = self._fused(*(torch.from_numpy(getattr(call, name)) for name in INPUT_NAMES))
        return FusedOutput(*(output.numpy() for output in outputs))

    def tag_memory(self, slots: int) -> TagMemory:
        """An empty memory of `slots` frames for one gapless stretch."""
        return HostTagMemory(self, slots, len(self._fused.members), self._fused.n_labels)


@dataclass(frozen=True)
class _Checkpoint:
    path: Path
    sha256: str

    @property
    def kind(self) -> str:
        """Name of the folder two above the file, where a run has it: mlfl/<seed>/model.safetensors."""
        return self.path.resolve().parent.parent.name


def rebuild(bundle: Bundle, places: Sequence[Path]) -> TorchRuntime:
    """The torch reference out of checkpoints that lie in `places`, folders of runs or files.

    They are found by the hashes in the manifest's provenance. Raises SedgeError that names the first checkpoint
    which is not among them, with the one that lies where it should.
    """
    manifest, checkpoints = bundle.manifest, list(_checkpoints(places))
    recorded = manifest.provenance.get("members")
    if not isinstance(recorded, list) or len(recorded) != len(manifest.members):
        raise SedgeError(
            f"{bundle.folder / MANIFEST_FILE}: provenance.members: expected {len(manifest.members)} members with "
            "the hashes of their checkpoints, found something else"
        )
    members = [
        tuple(_model(bundle, f"member {number}", kind, origin, checkpoints) for kind in KINDS)
        for number, origin in enumerate(recorded, start=1)
    ]
    pairs = [(cast(MLFL, mlfl), cast(TagCNN, tag_cnn)) for mlfl, tag_cnn in members]
    return TorchRuntime(FusedEnsemble(pairs, manifest.members, manifest.gate))


def _checkpoints(places: Sequence[Path]) -> Iterator[_Checkpoint]:
    for place in places:
        found = [_Checkpoint(path, file_sha256(path)) for path in _paths(place)]
        if not found:
            raise SedgeError(
                f"{place}: expected mlfl/<seed>/{CHECKPOINT_FILE} and tag_cnn/<seed>/{CHECKPOINT_FILE}, found neither"
            )
        yield from found


def _paths(place: Path) -> list[Path]:
    """A file whatever its name; in a folder what lies where a run has its checkpoints."""
    if place.is_file():
        return [place]
    paths = sorted(place.rglob(CHECKPOINT_FILE))
    return [path for path in paths if path.is_file() and path.resolve().parent.parent.name in KINDS]


def _model(
    bundle: Bundle, member: str, kind: str, origin: Any, checkpoints: Sequence[_Checkpoint]
) -> torch.nn.Module:
    about = origin.get(kind, {}) if isinstance(origin, dict) else {}
    wanted = about.get("sha256")
    if wanted is None:
        raise SedgeError(
            f"{bundle.folder / MANIFEST_FILE}: provenance: {member}: {kind}.sha256: expected the hash of a checkpoint, "
            "found nothing"
        )
    for checkpoint in checkpoints:
        if checkpoint.sha256 == wanted:
            return load_model(checkpoint.path, kind)[0]
    of_kind = [checkpoint for checkpoint in checkpoints if checkpoint.kind == kind]
    seed = about.get("seed")
    there = [found for found in of_kind if found.path.resolve().parent.name == str(seed)] or of_kind
    found_text = "; ".join(f"{found.path} with {found.sha256}" for found in there) or "none of that kind"
    raise SedgeError(
        f"{member}: {kind}: expected the checkpoint (seed {seed}) with sha256 {wanted}, found {found_text}"
    )
