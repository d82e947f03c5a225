"""Bundles of untrained systems, where it is the width that is measured and there is no trained one of it."""

from pathlib import Path

from benchmarks.files.arguments import Preset
from edge_app.commands.demo import RECORDING


def write_untrained(preset: Preset, event_labels: tuple[str, ...], folder: Path) -> Path:
    """Export a bundle of one untrained member of that width; returns its folder."""
    from benchmarks.fused.fused_graphs import untrained_pairs
    from export.bundle import Member, export_bundle

    member = Member(*untrained_pairs(1, len(event_labels), preset)[0], event_labels, {"untrained": preset})
    name = f"untrained-{preset}"
    return export_bundle(
        [member], [1.0], "none", folder / name, name, RECORDING, "# Attribution\n\nUntrained.\n"
    )
