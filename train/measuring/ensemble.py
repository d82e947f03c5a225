"""Systems ranked on the development set, and the four fusions of the best: Results 1 to 4 of the report (section 3.1).

Writes `ranking.json` and `result1` ... `result4`, each with `metrics.json` and, for every reported set, frame
scores and events: `scores.npz` and `events.tsv` of the first set, `scores-<set>.npz` and `events-<set>.tsv` of others.
What is there already and was made of the same inputs stays.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict

from edge_app.core.errors import SedgeError
from edge_app.formats.desed_tsv import write_events
from edge_app.formats.whole_file import write_whole
from train.measuring.evaluate import FrameScores, check_files
from train.measuring.measure import TUNED_ON, Measured, Mode, Truth, decode_parts, measure, tuned_parts
from train.measuring.score_store import write_scores
from train.measuring.tune import REPORT_GRID, Grid, halves_of

DEVELOPMENT = "development"
RESULT_WEIGHTS: dict[int, tuple[float, ...]] = {
    1: (1, 1, 1),
    2: (1, 1, 1, 1),
    3: (1, 1),
    4: (0.4, 0.2, 0.2, 0.2),
}
"""Weights of the systems, best first, of each result; only their ratios count."""
RANKED_BY = ("psds1", "psds2", "event_f1_macro")
"""The three figures of the report's table."""
OWN_SELECTION = "systems are ranked, and decoding is tuned, on the clips that are scored, as the report did"
HONEST_SELECTION = "systems are ranked on the development set"

SystemScores = Mapping[str, FrameScores]
"""A system's frame scores of every clip, by set."""


class EnsembleSettings(BaseModel):
    """How systems are ranked and results decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank_by: Literal["mean", "psds1", "psds2", "event_f1_macro"] = "mean"
    """Figure that ranks the systems; `mean` is that of the other three, since the report sorts by all of them."""
    selection: Literal["development", "reported"] = "development"
    """Set that ranks systems. `reported` is the report's own choice: ranked and tuned on the clips that are scored,
    which flatters every figure; results carry a sentence that says so."""
    decoding: Literal["auto", "halves", "development"] = "auto"
    """Where medians and thresholds are tuned: on the other half of the reported set (files a_... and b_...), or on
    the development set. `auto` takes halves where the files come in them."""
    at_50: bool = True
    """Whether to give PSDS at the field's 50 operating points too, by psds_eval: half of the time of a result."""
    few: bool = False
    """Whether fewer than four systems will do; results are then made of as many as there are. For trial runs."""


@dataclass(frozen=True)
class Task:
    """What all results have in common."""

    truths: Mapping[str, Truth]
    event_labels: Sequence[str]
    settings: EnsembleSettings
    windows: Mapping[str, int] | None = None
    grid: Grid = REPORT_GRID

    @property
    def reported(self) -> list[str]:
        """Sets that are reported on, the main one first."""
        return [name for name in self.truths if name != DEVELOPMENT]

    @property
    def selection(self) -> str:
        """What chose the systems, in words."""
        return OWN_SELECTION if self.settings.selection == "reported" else HONEST_SELECTION


def make_results(
    systems: Mapping[str, SystemScores],
    truths: Mapping[str, Truth],
    event_labels: Sequence[str],
    settings: EnsembleSettings,
    folder: Path,
    windows: Mapping[str, int] | None = None,
    grid: Grid = REPORT_GRID,
) -> list[Measured]:
    """Rank the systems and write Results 1 to 4; their figures, of the first reported set at the top.

    `truths` holds the set "development" and those that are reported, the main one first; every system has scores
    of all of them. `windows` are medians (frames) of the fixed rule, `grid` what tuning tries. Raises SedgeError
    for fewer than four systems, unless `few` allows them, and for sets, files or shapes that do not fit each other.
    """
    task = Task(truths, event_labels, settings, windows, grid)
    _check_systems(systems, task)
    order = [row["system"] for row in rank(systems, task, folder)]
    made = []
    for number, weights in RESULT_WEIGHTS.items():
        chosen = order[: len(weights)]
        about = {
            "result": number,
            "systems": chosen,
            "weights": _shares(weights[: len(chosen)]),
            "systems_intended": len(weights),
            "systems_trained": len(systems),
            "selection": task.selection,
        }
        fused = {name: fuse([systems[system][name] for system in chosen], weights) for name in truths}
        made.append(_make_result(fused, task, folder / f"result{number}", about))
    return made


def rank(systems: Mapping[str, SystemScores], task: Task, folder: Path) -> list[dict[str, Any]]:
    """Systems and their figures, best first, equal ones by name; also written to `ranking.json`."""
    settings = task.settings
    set_name = DEVELOPMENT if settings.selection == "development" else task.reported[0]
    truth, scores = task.truths[set_name], {name: of_system[set_name] for name, of_system in systems.items()}
    inputs = digest([settings.rank_by, settings.selection, truth, scores, list(task.event_labels), task.grid])
    known = _kept(folder / "ranking.json", inputs)
    if known is None:
        halves = settings.selection == "development" and _has_halves(truth)
        mode: Mode = "halves" if halves else "reported"
        rows = [_ranking_row(name, of, truth, task, mode) for name, of in scores.items()]
        rows.sort(key=lambda row: (-row["figure"], row["system"]))
        about = {"set": set_name, "rank_by": settings.rank_by, "selection": task.selection}
        known = {**about, "tuned_on": TUNED_ON[mode], "systems": rows, "inputs": inputs}
        _write_json(folder / "ranking.json", known)
    ranked: list[dict[str, Any]] = known["systems"]
    return ranked


def fuse(
    systems: Sequence[FrameScores], weights: Sequence[float]
) -> dict[str, Float32[np.ndarray, "frame label"]]:
    """Weighted mean of systems' scores; weights beyond the systems there are count for nothing.

    Raises SedgeError where two systems scored different files or frames.
    """
    shares = _shares(weights[: len(systems)])
    first, *others = systems
    for other in others:
        check_files("frame scores", other, first)
    return {filename: _mean(filename, [of[filename] for of in systems], shares) for filename in first}


def mode_of(settings: EnsembleSettings, truth: Truth) -> Mode:
    """How the decoding of a reported set is tuned."""
    if settings.selection == "reported":
        return "reported"
    if settings.decoding != "auto":
        return settings.decoding
    return "halves" if _has_halves(truth) else "development"


def digest(value: Any) -> str:
    """Hash of nested tables, arrays, events and numbers: the same inputs give the same one."""
    hashed = hashlib.sha256()
    _feed(hashed, value)
    return hashed.hexdigest()


def _make_result(
    fused: Mapping[str, FrameScores], task: Task, folder: Path, about: Mapping[str, Any]
) -> Measured:
    main, *further = task.reported
    settings = task.settings.model_dump()
    inputs = digest([about, fused, task.truths, list(task.event_labels), settings, task.windows, task.grid])
    files = [folder / name for set_name in task.reported for name in _names(set_name, main)]
    known = _kept(folder / "metrics.json", inputs)
    if known is not None and all(path.is_file() for path in files):
        return known
    folder.mkdir(parents=True, exist_ok=True)
    figures = {name: _score_set(fused, task, name, folder) for name in task.reported}
    also = {name: figures[name] for name in further}
    result = {"set": main, **about, **figures[main], "also": also, "inputs": inputs}
    _write_json(folder / "metrics.json", result)
    return result


def _score_set(fused: Mapping[str, FrameScores], task: Task, set_name: str, folder: Path) -> Measured:
    scores, truth, labels = fused[set_name], task.truths[set_name], task.event_labels
    mode = mode_of(task.settings, truth)
    parts = tuned_parts(
        scores, truth, labels, mode, (fused[DEVELOPMENT], task.truths[DEVELOPMENT]), task.grid
    )
    score_name, event_name = _names(set_name, task.reported[0])
    write_scores(folder / score_name, scores, labels)
    write_events(folder / event_name, decode_parts(scores, labels, parts))
    return measure(scores, truth, labels, parts, mode, task.windows, at_50=task.settings.at_50)


def _ranking_row(name: str, scores: FrameScores, truth: Truth, task: Task, mode: Mode) -> dict[str, Any]:
    parts = tuned_parts(scores, truth, task.event_labels, mode, grid=task.grid)
    found = measure(scores, truth, task.event_labels, parts, mode, at_50=False)
    figures = {figure: float(found[figure]) for figure in RANKED_BY}
    rank_by = task.settings.rank_by
    return {"system": name, "figure": figures.get(rank_by, fmean(figures.values())), **figures}


def _check_systems(systems: Mapping[str, SystemScores], task: Task) -> None:
    few, truths = task.settings.few, task.truths
    fewest = 1 if few else max(map(len, RESULT_WEIGHTS.values()))
    if len(systems) < fewest:
        hint = "" if few else "; the setting `few` makes results of as many as there are"
        names = ", ".join(systems) or "none"
        raise SedgeError(
            f"ensemble: expected at least {fewest} systems, found {len(systems)} ({names}){hint}"
        )
    if DEVELOPMENT not in truths or not task.reported:
        raise SedgeError(
            f"ensemble: expected the development set and one to report on, found {sorted(truths)}"
        )
    for name, of_system in systems.items():
        for set_name, truth in truths.items():
            where = f"system {name}, set {set_name}"
            if set_name not in of_system:
                raise SedgeError(f"{where}: expected scores, found those of {sorted(of_system)}")
            check_files(where, of_system[set_name], truth.reference)
            _check_shapes(where, of_system[set_name], task.event_labels)


def _check_shapes(where: str, scores: FrameScores, event_labels: Sequence[str]) -> None:
    for filename, clip in scores.items():
        if clip.ndim != 2 or clip.shape[1] != len(event_labels):
            raise SedgeError(
                f"{where}: {filename!r}: expected (frame, {len(event_labels)}), found {clip.shape}"
            )


def _mean(
    filename: str, clips: Sequence[Float32[np.ndarray, "frame label"]], shares: Sequence[float]
) -> Float32[np.ndarray, "frame label"]:
    shapes = {clip.shape for clip in clips}
    if len(shapes) > 1:
        raise SedgeError(
            f"frame scores of {filename!r}: expected systems with the same frames, found {sorted(shapes)}"
        )
    return np.tensordot(np.array(shares), np.stack(clips).astype(np.float64), 1).astype(np.float32)


def _shares(weights: Sequence[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def _has_halves(truth: Truth) -> bool:
    try:
        halves_of(truth.reference)
    except SedgeError:
        return False
    return True


def _names(set_name: str, main: str) -> tuple[str, str]:
    mark = "" if set_name == main else f"-{set_name}"
    return f"scores{mark}.npz", f"events{mark}.tsv"


def _kept(path: Path, inputs: str) -> dict[str, Any] | None:
    """What was written before, if it was made of the same inputs."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and known.get("inputs") == inputs else None


def _write_json(path: Path, figures: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


def _feed(hashed: "hashlib._Hash", value: Any) -> None:
    if isinstance(value, np.ndarray):
        hashed.update(f"{value.dtype}{value.shape}".encode())
        hashed.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        hashed.update(b"{")
        for key, of_key in value.items():
            _feed(hashed, key)
            _feed(hashed, of_key)
        hashed.update(b"}")
    elif isinstance(value, Truth):
        _feed(hashed, [value.reference, value.durations])
    elif isinstance(value, list):
        hashed.update(b"[")
        for part in value:
            _feed(hashed, part)
        hashed.update(b"]")
    else:
        hashed.update(repr(value).encode("utf-8", "surrogatepass") + b"\0")
