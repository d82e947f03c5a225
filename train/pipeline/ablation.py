"""What each ingredient of MLFL is worth: variants without it, trained and measured as the full model is.

A variant differs from the run's MLFL in a few settings of its losses and in nothing else: the clips, the pseudo
labels, the draws of each seed, the length of the training and the decision are the same.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import write_whole
from train.fitting import distributed
from train.measuring.evaluate import FrameScores
from train.measuring.measure import TagsByFile
from train.measuring.score_store import write_scores
from train.measuring.scoring import by_file, mlfl_scores
from train.pipeline.ledger import Ledger, Unit
from train.pipeline.run import Run
from train.pipeline.systems import measure_mlfl
from train.pipeline.units import (
    CLIPS,
    RESULT_METRICS,
    measure_settings,
    mlfl_unit,
    perform,
    report_unit,
    score_files,
    units,
)
from train.stages.mlfl_settings import MLFLSettings
from train.stages.tag import load_mlfl

STAGE = "ablation"
REQUIRED_STAGES = ("prepare", "fbcrnn", "pseudo-label")
REPORT = "report.html"


@dataclass(frozen=True)
class Variant:
    """What a variant changes in the settings of MLFL's losses."""

    about: str
    """What it leaves out, and what goes with that."""
    values: Mapping[str, Any]
    """Settings that it has instead of the recipe's."""
    factors: Mapping[str, float] = field(default_factory=dict)
    """Settings of the recipe that it multiplies."""

    def overrides(self, settings: MLFLSettings) -> dict[str, Any]:
        """What is changed, with the values that it is changed to."""
        scaled = {name: factor * getattr(settings, name) for name, factor in self.factors.items()}
        return {**self.values, **scaled}

    def applied(self, settings: MLFLSettings) -> MLFLSettings:
        """The settings with what the variant changes."""
        return MLFLSettings.model_validate({**settings.model_dump(), **self.overrides(settings)})


# At a score of .5, where training begins, half a cross-entropy pulls an inactive cell by .25 and the focal loss by
# .22 (a whole cross-entropy by .5); later no one factor keeps the two alike, which is what focal means.
VARIANTS: dict[str, Variant] = {
    "no-focal": Variant(
        "half of a binary cross-entropy on the detection branch, which is the focal loss with its two constants "
        "neutral (alpha .5, gamma 0)",
        {"detection": "bce"},
        {"detection_weight": 0.5},
    ),
    "no-ifdc": Variant("no inter-frame distance loss between real and synthetic clips", {"ifdc_weight": 0.0}),
    "no-mean-teacher": Variant(
        "no agreement with the teacher, nor the noise that the two hear; what is kept stays the average of the "
        "weights as in every row, since averaging teaches nothing",
        {"consistency_weight": 0.0},
    ),
    "no-pseudo-labels": Variant(
        "strong labels of synthetic clips alone; the inter-frame distance loss needs pseudo labels and goes with them",
        {
            "detection_sets": ("synthetic",),
            "trailing_sets": ("synthetic",),
            "ifdc_weight": 0.0,
            "unlabelled_clip_weight": 0.0,
        },
    ),
    "no-mixup": Variant(
        "no mixed clips; every step has the inter-frame distance loss then, which mixed ones lack",
        {"mixup_share": 0.0},
    ),
    "frame-consistency": Variant(
        "agreement with the teacher on the specialised decision surface as well",
        {"consistency_outputs": ("tag", "detection", "frame")},
    ),
    "focal-.5-1": Variant(
        "the focal loss with the constants of the laboratory's other system (alpha .5, gamma 1)",
        {"detection": "focal", "focal_alpha": 0.5, "focal_gamma": 1.0},
    ),
}


class AblationLedger(Ledger):
    """The run's record with that of the variants, which has a file of its own, beside a copy of the run's.

    `sedge train` may be at work in the same run, and each of the two would write over what the other recorded.
    """

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        own = Ledger(run / STAGE)
        self._path = own._path
        variants = {name: unit for name, unit in own._units.items() if unit["stage"] == STAGE}
        self._units = {**variants, **self._units}

    def is_done(self, unit: Unit) -> bool:
        """As of any unit; where a variant is refused, the message names the option of this command."""
        try:
            return super().is_done(unit)
        except SedgeError as error:
            if unit.stage != STAGE:
                raise
            _, variant, *_ = unit.name.split("/")
            raise SedgeError(str(error).replace(f"--from {STAGE}", f"--anew {variant}")) from error

    def is_begun(self, name: str) -> bool:
        """Whether a unit was begun."""
        return name in self._units

    def drop(self, folder: str) -> None:
        """Forget the units of a folder."""
        self._units = {
            name: unit for name, unit in self._units.items() if not f"{name}/".startswith(f"{folder}/")
        }
        self._write()


def ablate(run: Run, variants: Sequence[str], seeds: Sequence[int], anew: Sequence[str] = ()) -> None:
    """Train and measure what is not done yet of each variant, one seed of all of them before the next.

    The variants of `anew` are done again. Raises SedgeError where the run has no pseudo labels yet, where the
    inputs of what is done have changed, and where the run's MLFL of these seeds was made with other settings.
    """
    ledger = AblationLedger(run.folder)
    check_run(run, ledger, seeds)
    if distributed.is_first():
        (run.folder / STAGE).mkdir(exist_ok=True)
        for folder in (f"{STAGE}/{variant}/{seed}" for variant in anew for seed in seeds):
            ledger.drop(folder)
            shutil.rmtree(run.folder / folder, ignore_errors=True)
    distributed.wait_for_all()
    for seed in seeds:
        for variant in variants:
            for unit in variant_units(run, variant, seed):
                perform(ledger, unit)


def check_run(run: Run, ledger: AblationLedger, seeds: Sequence[int]) -> None:
    """Raise SedgeError unless the run has what variants are trained on, and a full model like them if it has one."""
    compared = {f"mlfl/{seed}{part}" for seed in seeds for part in ("", "/scores")}
    for unit in units(run):
        if unit.stage in REQUIRED_STAGES and not ledger.is_done(unit):
            raise SedgeError(
                f"{run.folder / unit.name}: expected stage {unit.stage} to be done, found it is not; "
                "run `sedge train RECIPE --until pseudo-label` first"
            )
        if unit.name in compared and ledger.is_begun(unit.name):
            ledger.is_done(unit)


def variant_units(run: Run, name: str, seed: int) -> Iterator[Unit]:
    """A variant's training from one seed, then its scores and figures."""
    base, variant, folder = run.recipe.mlfl.loss, VARIANTS[name], f"{STAGE}/{name}/{seed}"
    yield mlfl_unit(run, seed, f"{STAGE}/{name}", STAGE, variant.applied(base))
    about = {"variant": name, "seed": seed, "overrides": variant.overrides(base)}
    yield Unit(
        name=f"{folder}/scores",
        stage=STAGE,
        settings={**measure_settings(run), "source": run.recipe.tag.source},
        reads=(CLIPS, f"{folder}/model.safetensors"),
        writes=tuple(f"{folder}/{file}" for file in ("metrics.json", *score_files(run))),
        work=partial(score_folder, run, folder, about),
    )


def score_folder(run: Run, folder: str, about: Mapping[str, Any]) -> None:
    """Frame scores and figures of the MLFL in a folder of the run: frame scores times tags, as the full model's.

    `metrics.json` begins with `about`.
    """
    torch.set_num_threads(run.threads)
    model, _ = load_mlfl(run.folder / folder / "model.safetensors", run.clips)
    raw: dict[str, FrameScores] = {}
    tags: dict[str, TagsByFile] = {}
    for name in run.scored:
        indices = run.clips.indices(name)
        found = mlfl_scores(model, run.clips, indices, run.device)
        rows = found.scores if run.recipe.tag.source == "sds" else found.detection
        raw[name] = by_file(run.clips, indices, rows)
        tags[name] = dict(zip(raw[name], found.tags, strict=True))
    scores, measured = measure_mlfl(run, raw, tags)
    for name, of_set in scores.items():
        write_scores(run.folder / folder / f"scores/{name}.npz", of_set, run.clips.event_labels)
    write_whole(run.folder / folder / "metrics.json", json.dumps({**about, **measured}, indent=1) + "\n")


def rewrite_report(run: Run) -> bool:
    """Write the run's report again, with the variants, where it has one; whether it has."""
    if not all((run.folder / name).is_file() for name in (REPORT, *RESULT_METRICS)):
        return False
    Ledger(run.folder).perform(report_unit(run))
    return True
