"""`sedge export-bundle`."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from edge_app.commands.demo import RECORDING
from edge_app.core.bundle import MANIFEST_FILE, Bundle, Precision, load_bundle
from edge_app.core.errors import EXIT_DONE, SedgeError

if TYPE_CHECKING:
    from export.convert import Target

PRECISIONS: dict[str, Precision] = {"fp32": "float32", "fp16": "float16", "int8": "int8"}


@dataclass(frozen=True, kw_only=True)
class ExportBundle:
    """Arguments of `sedge export-bundle`."""

    sources: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN|CHECKPOINTS|BUNDLE")
    ]
    """Folders of runs, whose finished pairs mlfl/<seed>, tag_cnn/<seed> are the members, best first where the run
    ranked them; or pairs of checkpoint files, MLFL TAG_CNN MLFL TAG_CNN; or one float32 bundle to convert."""
    out: Path
    """Folder of the bundle to write. An older bundle there is replaced, once the new one is whole."""
    members: int | None = None
    """How many members to take, the best of ranked runs; by default all."""
    weights: tuple[str, ...] = ()
    """Weight of each member, in order, with spaces or commas; they must sum to 1. By default all alike."""
    gate: Literal["none", "soft"] | None = None
    """Whether scores are multiplied by the tags; by default as the runs chose, or soft where they did not."""
    name: str = "sedge"
    """Name of the model."""
    bank: Path | None = None
    """Sound bank that the clips were mixed from: its train recordings go into ATTRIBUTION.md."""
    parity_clip: Path = RECORDING
    """Recording whose first seconds, with the scores on them, are stored to check runtimes by."""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """fp16 halves the file and is what GPUs are fast in; int8 is for CPUs and needs --calibration and --validation."""
    calibration: Path | None = None
    """Recordings, at best such as the model will hear, from which int8 takes the ranges of its numbers."""
    validation: Path | None = None
    """Annotated clips, as for `sedge tune-decoding`, on which both precisions are measured and printed."""


def main(argv: Sequence[str]) -> int:
    """`sedge export-bundle`; returns 0, or raises SedgeError."""
    description = "Fuse trained models into one graph and write the bundle that detection runs."
    args = tyro.cli(ExportBundle, args=list(argv), prog="sedge export-bundle", description=description)
    from export.bundle import check_place, check_scores

    if not args.name:
        raise SedgeError("--name: expected a name, found an empty one")
    check_place(args.out)
    target = _target(args)
    exported = _convert(args, target) if _is_bundle(args) else _export(args, target)
    result = check_scores(args.out)
    size = exported.graph_path.stat().st_size / 1e6
    Console().print(
        f"bundle: {args.out} ({len(exported.manifest.members)} members, {exported.manifest.graph.precision}, "
        f"graph {size:.1f} MB, largest difference from the recorded scores {result.max_difference:.1e})",
        soft_wrap=True,
        highlight=False,
    )
    if target.validation is not None:
        Console().print(_loss_table(exported.manifest.metrics["precision"], target.precision))
    return EXIT_DONE


def _is_bundle(args: ExportBundle) -> bool:
    return len(args.sources) == 1 and (args.sources[0] / MANIFEST_FILE).is_file()


def _target(args: ExportBundle) -> "Target":
    """What to convert to; what cannot work is refused before anything long begins."""
    from edge_app.scoring.recordings import collect
    from export.convert import Target
    from train.measuring.validation_set import read_validation_set

    if args.precision == "int8" and (args.calibration is None or args.validation is None):
        raise SedgeError(
            "--precision int8: expected --calibration CLIPS, whose ranges it takes, and --validation CLIPS, on which "
            "its loss is measured; found "
            + ("neither" if args.calibration is args.validation else "one of them")
        )
    if args.calibration is not None and args.precision != "int8":
        raise SedgeError(f"--calibration: expected with --precision int8 only, found {args.precision}")
    if args.validation is not None and args.precision == "fp32":
        raise SedgeError("--validation: expected with another precision than fp32, which it is compared with")
    if args.calibration is not None and not args.calibration.exists():
        raise SedgeError(
            f"--calibration: {args.calibration}: expected recordings, found no such file or folder"
        )
    calibration = tuple(collect([args.calibration]).recordings.values()) if args.calibration else ()
    validation = (args.validation.name, read_validation_set(args.validation)) if args.validation else None
    return Target(PRECISIONS[args.precision], calibration, validation)


def _convert(args: ExportBundle, target: "Target") -> Bundle:
    from export.convert import convert_bundle

    if args.members is not None or args.weights or args.gate is not None:
        raise SedgeError(
            f"{args.sources[0]}: a bundle is converted as it is: expected no --members, --weights and --gate"
        )
    return convert_bundle(load_bundle(args.sources[0]), target, args.out)


def _export(args: ExportBundle, target: "Target") -> Bundle:
    from export.bundle import export_bundle
    from export.convert import convert_bundle
    from export.members import choose_members, chosen_gate

    members = choose_members(args.sources, args.members)
    weights = _weights(args.weights, len(members))
    gate = args.gate or chosen_gate(args.sources)
    attribution = _attribution(args.bank)
    if target.precision == "float32":
        export_bundle(members, weights, gate, args.out, args.name, args.parity_clip, attribution)
        return load_bundle(args.out)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float32"
        export_bundle(members, weights, gate, plain, args.name, args.parity_clip, attribution)
        return convert_bundle(load_bundle(plain), target, args.out)


def _weights(given: Sequence[str], n_members: int) -> tuple[float, ...]:
    """Weights of the members, all alike where none are given; SedgeError where they do not fit."""
    if not given:
        return (1 / n_members,) * n_members
    parts = [part for text in given for part in text.split(",") if part]
    try:
        weights = tuple(map(float, parts))
    except ValueError:
        raise SedgeError(f"--weights: expected numbers, found {' '.join(given)!r}") from None
    fits = len(weights) == n_members and all(weight >= 0 for weight in weights)
    if not fits or not abs(sum(weights) - 1) <= 1e-6:
        raise SedgeError(f"--weights: expected {n_members} that sum to 1, found {list(weights)}")
    return weights


def _loss_table(measured: Mapping[str, Any], precision: Precision) -> Table:
    table = Table(f"{measured['set']}, {measured['clips']} clips", "float32", precision, "change")
    for name, before in measured["float32"].items():
        after = measured[precision][name]
        known = before is not None and after is not None
        cells = (f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}") if known else ("-", "-", "-")
        table.add_row(name, *cells)
    return table


def _attribution(bank: Path | None) -> str:
    from train.data.bank import attribution_lines, read_bank

    if bank is None:
        return "# Attribution\n\nThe recordings that this model was trained on are not recorded here.\n"
    head = (
        "# Attribution\n\nThis model was trained on soundscapes mixed from the recordings below (source, licence, "
        "files). It holds none of them.\n\n"
    )
    return head + "\n".join(attribution_lines(read_bank(bank, "train").recordings)) + "\n"
