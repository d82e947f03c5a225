"""Which trained pairs become the members of a bundle, and how their scores are gated."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.core.errors import SedgeError
from export.bundle import Member, load_member, run_pairs
from export.fuse import Gate

RANKING, CONDITIONING = "ensemble/ranking.json", "ensemble/conditioning.json"
DEFAULT_GATE: Gate = "soft"


@dataclass(frozen=True)
class Pair:
    """Checkpoints of one member."""

    mlfl: Path
    tag_cnn: Path
    figure: float | None = None
    """What the run's ensemble stage ranked it by on the development clips; the larger the better."""


def choose_members(sources: Sequence[Path], n_members: int | None = None) -> list[Member]:
    """The members in runs, best first as their ensemble stages ranked them, or in pairs of checkpoint files.

    Runs without a ranking come in the order of their seeds, files in that of the arguments. `n_members` takes the
    first so many. Raises SedgeError where there are fewer, and where they are to be chosen from unranked runs.
    """
    are_runs = bool(sources) and all(source.is_dir() for source in sources)
    pairs = [pair for run in sources for pair in _run_pairs(run)] if are_runs else _file_pairs(sources)
    is_ranked = are_runs and all(pair.figure is not None for pair in pairs)
    if is_ranked:
        pairs.sort(key=lambda pair: -(pair.figure or 0.0))
    if n_members is not None:
        _check_choice(sources, pairs, n_members, is_ranked or not are_runs)
    return [load_member(pair.mlfl, pair.tag_cnn) for pair in pairs[:n_members]]


def chosen_gate(sources: Sequence[Path]) -> Gate:
    """How the runs gate scores by tags, as they chose on the development clips; by default soft.

    Raises SedgeError where runs differ, or chose what the fused graph cannot do: binary tags.
    """
    found = {run: _read(run / CONDITIONING) for run in sources if (run / CONDITIONING).is_file()}
    ways = {run: (chosen.get("tags_as"), chosen.get("gate")) for run, chosen in found.items()}
    gates: set[Gate] = set()
    for run, way in ways.items():
        if way == ("soft", "none"):
            gates.add("none")
        elif way == ("soft", "soft"):
            gates.add("soft")
        else:
            raise SedgeError(
                f"{run / CONDITIONING}: expected soft tags and a gate of none or soft, found {way[0]} and {way[1]}; "
                "--gate overrides"
            )
    if len(gates) > 1:
        raise SedgeError(f"gate: expected runs that chose alike, found {sorted(gates)}; --gate overrides")
    return gates.pop() if gates else DEFAULT_GATE


def _run_pairs(run: Path) -> Iterator[Pair]:
    """Pairs of a run: those of its ranking, in that order, or all where it has none."""
    pairs = run_pairs(run)
    if not (run / RANKING).is_file():
        yield from (Pair(*paths) for paths in pairs.values())
        return
    systems = _read(run / RANKING).get("systems", [])
    figures = {row["system"]: float(row["figure"]) for row in systems}
    missing = [seed for seed in figures if seed not in pairs]
    if missing:
        raise SedgeError(f"{run / RANKING}: expected systems that are in the run, found {', '.join(missing)}")
    yield from (Pair(*pairs[seed], figure) for seed, figure in figures.items())


def _file_pairs(sources: Sequence[Path]) -> list[Pair]:
    if not sources or len(sources) % 2 or any(source.is_dir() for source in sources):
        raise SedgeError(
            "expected folders of runs, or pairs of checkpoint files, MLFL TAG_CNN MLFL TAG_CNN, "
            f"found {' '.join(map(str, sources)) or 'nothing'}"
        )
    return [Pair(*paths) for paths in zip(sources[::2], sources[1::2], strict=True)]


def _check_choice(sources: Sequence[Path], pairs: Sequence[Pair], n_members: int, is_ordered: bool) -> None:
    if not 1 <= n_members <= len(pairs):
        raise SedgeError(f"--members: expected 1 to {len(pairs)}, found {n_members}")
    if n_members < len(pairs) and not is_ordered:
        unranked = next(run for run in sources if not (run / RANKING).is_file())
        raise SedgeError(
            f"--members: expected {unranked / RANKING}, which says which are the best, found no such file; "
            "finish the ensemble stage, or name the checkpoints"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SedgeError(f"{path}: expected readable JSON, found: {error}") from error
    if not isinstance(read, dict):
        raise SedgeError(f"{path}: expected an object, found {type(read).__name__}")
    return read
