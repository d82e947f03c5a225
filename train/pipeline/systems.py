"""Stage: what every trained system scores on the development and the reported clips, and how good that is.

How tags enter the tag-conditioned CNN, and whether they gate its output, is chosen once for all systems on the
development clips. Beside the figures of a tag-conditioned CNN stand those that live tags and true tags would give.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float32, Int

from edge_app.formats.whole_file import write_whole
from train.fitting.checkpoint import load_model
from train.measuring.ensemble import make_results, mode_of
from train.measuring.evaluate import FrameScores, psds
from train.measuring.measure import (
    Measured,
    TagsByFile,
    Truth,
    duration_windows,
    durations_by_label,
    fixed_rule,
    gate_areas,
    gated,
    measure,
    tuned_parts,
)
from train.measuring.score_store import read_scores, write_scores
from train.measuring.scoring import (
    Gate,
    TagsAs,
    Trailing,
    baseline_scores,
    by_file,
    mlfl_scores,
    tag_cnn_scores,
)
from train.models.baseline_crnn import BaselineCRNN
from train.models.mlfl import MLFL
from train.models.tag_cnn import TagCNN
from train.pipeline.run import Run
from train.stages.tag import read_tags

CONDITIONING = "ensemble/conditioning.json"
SetScores = dict[str, FrameScores]
"""Frame scores by file, by set."""
WAYS: tuple[tuple[TagsAs, Gate], ...] = (
    ("soft", "none"),
    ("soft", "soft"),
    ("binary", "none"),
    ("binary", "binary"),
)
"""How tags may condition the tag-conditioned CNN and gate its output. The released programs have soft with a soft
gate and binary with a binary one; which made the report's figures is not known."""


def choose_conditioning(run: Run) -> None:
    """Choose how tags condition and gate, by the mean PSDS of all systems on the development clips.

    Every way of `WAYS` is measured; the choice is among those that the settings allow.
    """
    settings = run.recipe.measure
    allowed = [
        way for way in WAYS if settings.tags_as in ("best", way[0]) and settings.gate in ("best", way[1])
    ]
    quality = {way: fmean(_quality(run, seed, way) for seed in run.recipe.seeds) for way in WAYS}
    best = max(allowed, key=lambda way: quality[way])
    tried = [{"tags_as": way[0], "gate": way[1], "mean_psds": round(quality[way], 4)} for way in WAYS]
    chosen = {"tags_as": best[0], "gate": best[1], "chosen_on": "development", "tried": tried}
    (run.folder / CONDITIONING).parent.mkdir(parents=True, exist_ok=True)
    write_whole(run.folder / CONDITIONING, json.dumps(chosen, indent=2) + "\n")


def score_baseline(run: Run, seed: int) -> None:
    """Frame scores and figures of one baseline, into its folder."""
    model = cast(
        BaselineCRNN, load_model(run.folder / f"baseline/{seed}/model.safetensors", "baseline_crnn")[0]
    )
    scores = {}
    for name in run.scored:
        indices = run.clips.indices(name)
        scores[name] = by_file(run.clips, indices, baseline_scores(model, run.clips, indices, run.device)[0])
    _write(run, f"baseline/{seed}", scores, measure_sets(run, scores))


def score_mlfl(run: Run, seed: int) -> None:
    """Frame scores and figures of one MLFL as a detector by itself."""
    folder = run.folder / f"tags/{seed}"
    _, by_set = read_tags(folder / "tags.npz")
    raw = {name: read_scores(folder / f"scores/{name}.npz")[1] for name in run.scored}
    tags = {name: dict(zip(by_set[name].filenames, by_set[name].tags, strict=True)) for name in run.scored}
    _write(run, f"mlfl/{seed}", *measure_mlfl(run, raw, tags))


def measure_mlfl(
    run: Run, raw: Mapping[str, FrameScores], tags: Mapping[str, TagsByFile]
) -> tuple[SetScores, Measured]:
    """Frame scores times tags of an MLFL as a detector, and their figures.

    The fixed rule has the published decision (Lin et al. 2020): the frame's score, in clips that are tagged. The
    gates are compared on scores that none has touched.
    """
    scores: SetScores = {
        name: {filename: clip * tags[name][filename] for filename, clip in of_set.items()}
        for name, of_set in raw.items()
    }
    return scores, measure_sets(run, scores, {name: (raw[name], tags[name]) for name in run.scored})


def score_tag_cnn(run: Run, seed: int) -> None:
    """Frame scores and figures of one system, MLFL and tag-conditioned CNN, in the chosen way."""
    way = read_conditioning(run.folder)
    tags = _mlfl_tags(run, seed)
    scores = {name: _tag_cnn(run, seed, run.clips.indices(name), tags[name], way) for name in run.scored}
    figures = measure_sets(run, scores)
    figures["conditioning"] = {"tags_as": way[0], "gate": way[1]}
    extra: list[tuple[bool, str, Callable[[str], np.ndarray]]] = [
        (run.recipe.measure.live, "live_tags", lambda name: _live_tags(run, seed, name)),
        (run.recipe.measure.true_tags, "true_tags", lambda name: _true_tags(run, name)),
    ]
    for is_wanted, key, tags_of in extra:
        if is_wanted:
            others = {
                name: _tag_cnn(run, seed, run.clips.indices(name), tags_of(name), way) for name in run.scored
            }
            figures[key] = {
                name: value for name, value in measure_sets(run, others).items() if name != "also"
            }
    _write(run, f"tag_cnn/{seed}", scores, figures)


def measure_sets(
    run: Run,
    scores: Mapping[str, FrameScores],
    ungated: Mapping[str, tuple[FrameScores, TagsByFile]] | None = None,
) -> Measured:
    """Figures on the reported sets: those of the first, and those of others under `also`.

    `ungated` are the scores before their tags were applied, and these tags, where there are such.
    """
    development = (scores["development"], truth_of(run, "development"))
    measured = {}
    for name in run.reported:
        before = ungated[name] if ungated else None
        measured[name] = _measure_set(run, name, scores[name], development, before)
    first, *others = run.reported
    return {"set": first, **measured[first], "also": {name: measured[name] for name in others}}


def _measure_set(
    run: Run,
    name: str,
    scores: FrameScores,
    development: tuple[FrameScores, Truth],
    ungated: tuple[FrameScores, TagsByFile] | None,
) -> Measured:
    truth, labels, settings = truth_of(run, name), run.clips.event_labels, run.recipe.measure
    mode, windows = mode_of(run.recipe.ensemble, truth), fixed_windows(run)
    parts = tuned_parts(scores, truth, labels, mode, development)
    if ungated is None:
        return measure(scores, truth, labels, parts, mode, windows, at_50=settings.at_50)
    figures = measure(scores, truth, labels, parts, mode, at_50=settings.at_50)
    figures["gates"] = gate_areas(*ungated, truth, labels, parts)
    figures["fixed_rule"] = fixed_rule(gated(*ungated, "half"), truth, labels, windows)
    return figures


def ensemble_systems(run: Run) -> None:
    """Rank the systems, and write Results 1 to 4."""
    folders = {str(seed): run.folder / f"tag_cnn/{seed}/scores" for seed in run.recipe.seeds}
    systems = {
        seed: {name: read_scores(folder / f"{name}.npz")[1] for name in run.scored}
        for seed, folder in folders.items()
    }
    truths = {name: truth_of(run, name) for name in run.scored}
    labels, settings = run.clips.event_labels, run.recipe.ensemble
    make_results(systems, truths, labels, settings, run.folder / "ensemble", fixed_windows(run))


def fixed_windows(run: Run) -> dict[str, int]:
    """Medians by the rule of durations, from the synthetic training clips."""
    labels = run.clips.event_labels
    return duration_windows(durations_by_label(run.clips.reference("synthetic"), labels))


def truth_of(run: Run, name: str) -> Truth:
    """Events and durations of a set."""
    return Truth(run.clips.reference(name), run.clips.durations(name))


def read_conditioning(folder: Path) -> tuple[TagsAs, Gate]:
    """How tags condition and gate in a run, as `choose_conditioning` wrote it."""
    chosen = json.loads((folder / CONDITIONING).read_text(encoding="utf-8"))
    return chosen["tags_as"], chosen["gate"]


def _quality(run: Run, seed: int, way: tuple[TagsAs, Gate]) -> float:
    """Mean of both PSDS on development clips, of scores as they are."""
    indices = run.clips.indices("development")[: run.recipe.measure.choose_clips]
    names = {run.clips.filenames[clip] for clip in indices}
    tags = _mlfl_tags(run, seed)["development"][: len(indices)]
    scores, truth = _tag_cnn(run, seed, indices, tags, way), truth_of(run, "development")
    area = psds(
        scores,
        {filename: events for filename, events in truth.reference.items() if filename in names},
        {filename: length for filename, length in truth.durations.items() if filename in names},
        run.clips.event_labels,
    )
    return (area.psds1 + area.psds2) / 2


def _tag_cnn(
    run: Run, seed: int, indices: Int[np.ndarray, " clip"], tags: np.ndarray, way: tuple[TagsAs, Gate]
) -> FrameScores:
    model = cast(TagCNN, load_model(run.folder / f"tag_cnn/{seed}/model.safetensors", "tag_cnn")[0])
    rows = tag_cnn_scores(model, run.clips, indices, tags, *way, device=run.device)
    return by_file(run.clips, indices, rows)


def _mlfl_tags(run: Run, seed: int) -> dict[str, Float32[np.ndarray, "clip label"]]:
    _, tags = read_tags(run.folder / f"tags/{seed}/tags.npz")
    return {name: of_set.tags for name, of_set in tags.items()}


def _live_tags(run: Run, seed: int, name: str) -> Float32[np.ndarray, "clip frame label"]:
    """MLFL's tags pooled over the past alone."""
    model = cast(MLFL, load_model(run.folder / f"mlfl/{seed}/model.safetensors", "mlfl")[0])
    trailing = mlfl_scores(model, run.clips, run.clips.indices(name), run.device, Trailing()).trailing
    assert trailing is not None
    return trailing


def _true_tags(run: Run, name: str) -> Float32[np.ndarray, "clip label"]:
    return run.clips.tags()[run.clips.indices(name)].astype(np.float32)


def _write(run: Run, folder: str, scores: Mapping[str, FrameScores], figures: dict[str, Any]) -> None:
    torch.set_num_threads(run.threads)
    for name, of_set in scores.items():
        write_scores(run.folder / folder / "scores" / f"{name}.npz", of_set, run.clips.event_labels)
    write_whole(run.folder / folder / "metrics.json", json.dumps(figures, indent=1) + "\n")
