"""Systems side by side as a table, and as figures to compare by."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from rich.table import Table

from benchmarks.peers.judging import Judged
from benchmarks.peers.peer import Cost
from benchmarks.report import Figure

TITLES = {
    "segment_f1": "segment-F1",
    "event_f1": "event-F1",
    "frame_f1": "frame-F1",
    "frame_auc": "frame AUC",
    "clip_auc": "clip AUC",
}


@dataclass(frozen=True)
class Measured:
    """One system."""

    name: str
    cost: Cost
    judged: Judged


def cost_table(systems: Mapping[str, Measured]) -> Table:
    """What hearing costs."""
    table = Table(
        "", "sound a step", "ms a step: p50", "p95", "p99", "max", "real-time factor", "share of a core"
    )
    for key, system in systems.items():
        cost = system.cost
        step = "a clip" if cost.step_s is None else f"{1000 * cost.step_s:.0f} ms"
        table.add_row(key, step, *cost.step.cells(), f"{cost.real_time_factor:.4f}", f"{cost.cpu_share:.1%}")
    return table


def judged_table(systems: Mapping[str, Measured], label: str) -> Table:
    """How well one label is heard."""
    table = Table(label, *TITLES.values())
    for key, system in systems.items():
        values = asdict(system.judged)
        table.add_row(key, *("-" if values[key] is None else f"{values[key]:.3f}" for key in TITLES))
    return table


def peer_figures(systems: Mapping[str, Measured], label: str, n_clips: int) -> Iterator[Figure]:
    """Every figure that results are compared by."""
    for key, system in systems.items():
        cost = system.cost
        yield from cost.step.tail_figures(f"{key} / step")
        yield Figure(f"{key} / real-time factor", "", "lower", cost.real_time_factor, count=n_clips)
        yield Figure(f"{key} / share of a core", "%", "lower", 100 * cost.cpu_share, count=n_clips)
        for name, value in asdict(system.judged).items():
            if value is not None:
                yield Figure(f"{key} / {label} / {TITLES[name]}", "of 1", "higher", value, count=n_clips)
