"""`sedge export-bundle`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

from edge_app.commands.demo import RECORDING


@dataclass(frozen=True, kw_only=True)
class ExportBundle:
    """Arguments of `sedge export-bundle`."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs; each finished pair mlfl/<seed>, tag_cnn/<seed> in them is one member."""
    out: Path
    """Folder of the bundle to write. An older bundle there is replaced, once the new one is whole."""
    weights: tuple[float, ...] = ()
    """Weight of each member, in order; they must sum to 1. By default all alike."""
    gate: Literal["none", "soft"] = "soft"
    """Whether scores are multiplied by the tags."""
    name: str = "sedge"
    """Name of the model."""
    bank: Path | None = None
    """Sound bank that the clips were mixed from: its train recordings go into ATTRIBUTION.md."""
    parity_clip: Path = RECORDING
    """Recording whose first seconds, with the scores on them, are stored to check runtimes by."""


def main(argv: Sequence[str]) -> int:
    """`sedge export-bundle`; returns 0, or raises SedgeError."""
    description = "Fuse trained models into one graph and write the bundle that detection runs."
    args = tyro.cli(ExportBundle, args=list(argv), prog="sedge export-bundle", description=description)
    from edge_app.core.bundle import load_bundle
    from edge_app.core.errors import SedgeError
    from edge_app.core.parity import check_parity
    from edge_app.core.runtime_onnx import OnnxRuntime
    from export import bundle

    members = [member for run in args.runs for member in bundle.run_members(run)]
    weights = args.weights or tuple(1 / len(members) for _ in members)
    if len(weights) != len(members) or abs(sum(weights) - 1) > 1e-6:
        raise SedgeError(f"--weights: expected {len(members)} that sum to 1, found {list(weights)}")
    attribution = _attribution(args.bank)
    bundle.export_bundle(members, weights, args.gate, args.out, args.name, args.parity_clip, attribution)
    exported = load_bundle(args.out)
    result = check_parity(exported, OnnxRuntime(exported))
    if not result.passed:
        raise SedgeError(
            f"{args.out}: scores: expected those of torch within {result.tolerance}, "
            f"found a difference of {result.max_difference}"
        )
    size = exported.graph_path.stat().st_size / 1e6
    Console().print(
        f"bundle: {args.out} ({len(members)} members, graph {size:.1f} MB, "
        f"largest difference from torch {result.max_difference:.1e})",
        soft_wrap=True,
        highlight=False,
    )
    return 0


def _attribution(bank: Path | None) -> str:
    from train.data.bank import attribution_lines, read_bank

    if bank is None:
        return "# Attribution\n\nThe recordings that this model was trained on are not recorded here.\n"
    head = (
        "# Attribution\n\nThis model was trained on soundscapes mixed from the recordings below (source, licence, "
        "files). It holds none of them.\n\n"
    )
    return head + "\n".join(attribution_lines(read_bank(bank, "train").recordings)) + "\n"
