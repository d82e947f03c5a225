"""All stages of a run, one after the other: each is units of work that read and write named files.

prepare -> baseline; prepare -> fbcrnn -> pseudo-label -> mlfl -> tag -> tag-cnn -> ensemble -> report
"""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pydantic import BaseModel
from rich.console import Console

from edge_app.core.errors import SedgeError
from train.fitting import distributed
from train.fitting.loop_settings import LoopSettings
from train.models.baseline_crnn import BaselineCRNNConfig
from train.models.fbcrnn import FBCRNNConfig
from train.models.mlfl import MLFLConfig
from train.models.tag_cnn import TagCNNConfig
from train.pipeline.checks import check_prepared, check_seeds
from train.pipeline.ledger import Ledger, Unit
from train.pipeline.prepare import prepare, sources
from train.pipeline.run import DATA, MIXES, PSEUDO, Run, preset_config
from train.pipeline.systems import (
    CONDITIONING,
    choose_conditioning,
    ensemble_systems,
    score_baseline,
    score_mlfl,
    score_tag_cnn,
)
from train.pseudo.labels import make_pseudo_labels
from train.report.page import write_report
from train.stages.baseline import train_baseline
from train.stages.fbcrnn import train_fbcrnn
from train.stages.mlfl import train_mlfl
from train.stages.mlfl_settings import MLFLSettings
from train.stages.tag import tag_clips
from train.stages.tag_cnn import train_tag_cnn

DEPENDS: dict[str, tuple[str, ...]] = {
    "prepare": (),
    "baseline": ("prepare",),
    "fbcrnn": ("prepare",),
    "pseudo-label": ("fbcrnn",),
    "mlfl": ("pseudo-label",),
    "tag": ("mlfl",),
    "tag-cnn": ("tag",),
    "ensemble": ("tag-cnn", "baseline"),
    "report": ("ensemble",),
}
"""The stages in order, and those whose files each reads."""
STAGES = tuple(DEPENDS)
UNRECORDED = {"prepare": MIXES, "ensemble": "ensemble"}
"""Folders with files that no unit is recorded to have written."""
CLIPS = f"{DATA}/clips.json"
RESULT_METRICS = tuple(f"ensemble/result{number}/metrics.json" for number in (1, 2, 3, 4))


def run_stages(run: Run, first: str | None = None, until: str | None = None) -> None:
    """Do what is not done yet, up to stage `until`; do `first` and all that depends on it anew.

    Raises SedgeError where the inputs of what is done have changed, naming the stage to do anew; and, before any
    training, for what would stop a later stage.
    """
    _check_order(first, until)
    if until is None or STAGES.index(until) >= STAGES.index("ensemble"):
        check_seeds(run.recipe)
    ledger = Ledger(run.folder)
    if first is not None and distributed.is_first():
        _forget(run, ledger, first)
    distributed.wait_for_all()
    for unit in units(run):
        if until is not None and STAGES.index(unit.stage) > STAGES.index(until):
            return
        perform(ledger, unit)
        if unit.stage == "prepare":
            check_prepared(run, STAGES[: STAGES.index(until) + 1] if until else STAGES)


def _check_order(first: str | None, until: str | None) -> None:
    if first is not None and until is not None and STAGES.index(until) < STAGES.index(first):
        raise SedgeError(f"--until: expected {first}, as --from is, or a later stage, found {until}")


def stages_after(first: str) -> list[str]:
    """`first` and every stage that reads its files, directly or through others."""
    found = [first]
    for stage in STAGES:
        if stage not in found and any(before in found for before in DEPENDS[stage]):
            found.append(stage)
    return found


def units(run: Run) -> Iterator[Unit]:
    """The units of a run in the order of the stages; each is made when those before it are done."""
    yield _prepare_unit(run)
    yield from (_baseline_unit(run, seed) for seed in run.baseline_seeds)
    if run.pseudo_labelled:
        yield from (_fbcrnn_unit(run, seed) for seed in run.fbcrnn_seeds)
        yield _pseudo_label_unit(run)
    yield from (mlfl_unit(run, seed) for seed in run.recipe.seeds)
    yield from (_tag_unit(run, seed) for seed in run.recipe.seeds)
    yield from (_tag_cnn_unit(run, seed) for seed in run.recipe.seeds)
    yield from _ensemble_units(run)
    yield report_unit(run)


def _prepare_unit(run: Run) -> Unit:
    recipe = run.recipe.data
    settings = recipe.model_dump(mode="json", exclude={"workers", "desed", "also", "bank", "validation"})
    return Unit(
        name=DATA,
        stage="prepare",
        settings={"data": settings, **{f"folder {key}": value for key, value in sources(recipe).items()}},
        reads=(),
        writes=(CLIPS, f"{DATA}/waveforms.npy"),
        work=lambda: prepare(run),
        checks_itself=True,
    )


def _baseline_unit(run: Run, seed: int) -> Unit:
    recipe, name = run.recipe.baseline, f"baseline/{seed}"
    loop = _seeded(recipe.loop, seed)
    momentum = recipe.batch_norm_momentum
    config = preset_config(BaselineCRNNConfig, recipe.preset, run.n_labels, batch_norm_momentum=momentum)
    return _training_unit(
        "baseline",
        name,
        {"config": config, "loss": recipe.loss, "augment": recipe.augment, "loop": loop},
        (CLIPS,),
        lambda: train_baseline(run.clips, run.folder / name, config, recipe.loss, recipe.augment, loop),
        student=True,
    )


def _fbcrnn_unit(run: Run, seed: int) -> Unit:
    recipe, name = run.recipe.fbcrnn, f"fbcrnn/{seed}"
    loop = _seeded(recipe.loop, seed)
    fields = {"kernels": recipe.kernels, "memory_frames": recipe.memory_frames}
    config = preset_config(FBCRNNConfig, recipe.preset, run.n_labels, **fields)
    return _training_unit(
        "fbcrnn",
        name,
        {"config": config, "loss": recipe.loss, "augment": recipe.augment, "loop": loop},
        (CLIPS,),
        lambda: train_fbcrnn(run.clips, run.folder / name, config, recipe.loss, recipe.augment, loop),
    )


def _pseudo_label_unit(run: Run) -> Unit:
    settings = run.recipe.pseudo_label
    checkpoints = [f"fbcrnn/{seed}/model.safetensors" for seed in run.fbcrnn_seeds]

    def work() -> None:
        paths = [run.folder / name for name in checkpoints]
        folder = run.folder / PSEUDO
        make_pseudo_labels(run.clips, paths, folder, settings, run.device_name, run.threads, run.truth())

    return Unit(
        name=PSEUDO,
        stage="pseudo-label",
        settings={"pseudo_label": settings.model_dump(mode="json", exclude={"rows", "block_clips"})},
        reads=(CLIPS, *checkpoints),
        writes=(f"{PSEUDO}/choice.json", *run.pseudo_tables),
        work=work,
    )


def mlfl_unit(
    run: Run, seed: int, folder: str = "mlfl", stage: str = "mlfl", loss: MLFLSettings | None = None
) -> Unit:
    """Training of MLFL into `folder`/<seed>, with the recipe's losses or with `loss` and all else the same."""
    recipe, name = run.recipe.mlfl, f"{folder}/{seed}"
    loop, losses = _seeded(recipe.loop, seed), loss or recipe.loss
    momentum = recipe.batch_norm_momentum
    config = preset_config(MLFLConfig, recipe.preset, run.n_labels, batch_norm_momentum=momentum)

    def work() -> None:
        clips = run.with_fbcrnn_labels()
        train_mlfl(clips, run.folder / name, config, losses, recipe.augment, loop)

    settings = {"config": config, "loss": losses, "augment": recipe.augment, "loop": loop}
    return _training_unit(stage, name, settings, (CLIPS, *run.pseudo_tables), work, student=True)


def _tag_unit(run: Run, seed: int) -> Unit:
    settings, name, checkpoint = run.recipe.tag, f"tags/{seed}", f"mlfl/{seed}/model.safetensors"
    folder = run.folder / name
    return Unit(
        name=name,
        stage="tag",
        settings={"tag": settings.model_dump(mode="json")},
        reads=(CLIPS, checkpoint),
        writes=tuple(
            f"{name}/{file}"
            for file in ("tags.npz", "windows.json", "weak.tsv", "unlabelled.tsv", *score_files(run))
        ),
        work=lambda: tag_clips(run.clips, run.folder / checkpoint, folder, settings, run.device, run.threads),
    )


def _tag_cnn_unit(run: Run, seed: int) -> Unit:
    recipe, name, mlfl = run.recipe.tag_cnn, f"tag_cnn/{seed}", f"mlfl/{seed}/model.safetensors"
    loop = _seeded(recipe.loop, seed)
    config = preset_config(TagCNNConfig, recipe.preset, run.n_labels)

    def work() -> None:
        clips, checkpoint = run.with_mlfl_labels(seed), run.folder / mlfl
        train_tag_cnn(clips, checkpoint, run.folder / name, config, recipe.loss, recipe.augment, loop)

    settings = {"config": config, "loss": recipe.loss, "augment": recipe.augment, "loop": loop}
    tables = (f"tags/{seed}/weak.tsv", f"tags/{seed}/unlabelled.tsv")
    return _training_unit("tag-cnn", name, settings, (CLIPS, mlfl, *tables), work)


def _ensemble_units(run: Run) -> Iterator[Unit]:
    """Scores and figures of every single system, then of the ensembles."""
    measure = measure_settings(run)
    tags = tuple(f"tags/{seed}/tags.npz" for seed in run.recipe.seeds)
    models = tuple(f"tag_cnn/{seed}/model.safetensors" for seed in run.recipe.seeds)
    yield Unit(
        name=CONDITIONING,
        stage="ensemble",
        settings=measure,
        reads=(CLIPS, *tags, *models),
        writes=(CONDITIONING,),
        work=lambda: choose_conditioning(run),
    )
    for seed in run.baseline_seeds:
        reads: tuple[str, ...] = (f"baseline/{seed}/model.safetensors",)
        yield _scored_unit(run, f"baseline/{seed}", reads, measure, partial(score_baseline, run, seed))
    for seed, of_seed in zip(run.recipe.seeds, tags, strict=True):
        yield _scored_unit(run, f"mlfl/{seed}", (of_seed,), measure, partial(score_mlfl, run, seed))
    for seed, of_seed, model in zip(run.recipe.seeds, tags, models, strict=True):
        reads = (CONDITIONING, of_seed, model)
        yield _scored_unit(run, f"tag_cnn/{seed}", reads, measure, partial(score_tag_cnn, run, seed))
    yield Unit(
        name="ensemble/results",
        stage="ensemble",
        settings=measure,
        reads=(
            CLIPS,
            *(f"tag_cnn/{seed}/scores/{name}.npz" for seed in run.recipe.seeds for name in run.scored),
        ),
        writes=("ensemble/ranking.json", *RESULT_METRICS),
        work=lambda: ensemble_systems(run),
    )


def measure_settings(run: Run) -> dict[str, Any]:
    """What figures depend on, besides scores."""
    recipe = run.recipe
    return {
        "measure": recipe.measure.model_dump(mode="json"),
        "ensemble": recipe.ensemble.model_dump(mode="json"),
    }


def _scored_unit(
    run: Run, folder: str, reads: tuple[str, ...], settings: dict[str, Any], work: Callable[[], None]
) -> Unit:
    return Unit(
        name=f"{folder}/scores",
        stage="ensemble",
        settings=settings,
        reads=(CLIPS, *reads),
        writes=(f"{folder}/metrics.json", *(f"{folder}/{file}" for file in score_files(run))),
        work=work,
    )


def score_files(run: Run) -> list[str]:
    """Frame scores that each system leaves in its folder."""
    return [f"scores/{name}.npz" for name in run.scored]


def report_unit(run: Run) -> Unit:
    """The report, written from what the run has."""
    return Unit(
        name="report.html",
        stage="report",
        settings={},
        reads=RESULT_METRICS,
        writes=("report.html",),
        work=lambda: write_report(run.folder),
    )


def _training_unit(
    stage: str,
    name: str,
    settings: dict[str, Any],
    reads: tuple[str, ...],
    work: Any,
    student: bool = False,
) -> Unit:
    files = ("model.safetensors", "student.safetensors") if student else ("model.safetensors",)
    return Unit(
        name=name,
        stage=stage,
        settings={key: _plain(value) for key, value in settings.items()},
        reads=reads,
        writes=tuple(f"{name}/{file}" for file in files),
        work=work,
        everywhere=True,
    )


def _seeded(loop: LoopSettings, seed: int) -> LoopSettings:
    return loop.model_copy(update={"seed": seed})


def _plain(value: Any) -> Any:
    """Settings as JSON holds them, without what only says where and how fast they are trained."""
    if isinstance(value, LoopSettings):
        return value.identity()
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else vars(value)


def perform(ledger: Ledger, unit: Unit) -> None:
    """One unit, by all processes or by the first while the others wait."""
    if distributed.from_first(distributed.is_first() and ledger.is_done(unit)):
        return
    if distributed.is_first():
        Console(stderr=True).print(f"stage {unit.stage}: {unit.name}", highlight=False)
        ledger.perform(unit)
    elif unit.everywhere:
        unit.work()
    distributed.wait_for_all()


def _forget(run: Run, ledger: Ledger, first: str) -> None:
    """Remove the record and the files of a stage and of all that depends on it."""
    stages = stages_after(first)
    unrecorded = [folder for stage, folder in UNRECORDED.items() if stage in stages]
    for name in (*ledger.forget(stages), *unrecorded):
        path = run.folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
