"""`sedge ablate`: one variant of a tiny run trained and measured, what its overrides reach, what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from edge_app.core.errors import SedgeError
from tests.train.layouts import COUNTS, write_layout
from tests.train.noise_clips import noise_clips
from train.commands import ablate
from train.commands import train as train_command
from train.commands.ablate import Ablate, chosen_seeds, chosen_variants
from train.commands.run_arguments import RunArguments, find_run
from train.fitting.checkpoint import load_model
from train.fitting.losses import focal_loss
from train.pipeline.ablation import VARIANTS, Variant, rewrite_report, variant_units
from train.pipeline.ledger import Ledger, Unit
from train.pipeline.run import Run
from train.pipeline.systems import score_mlfl
from train.pipeline.units import RESULT_METRICS
from train.stages.mlfl import learnable
from train.stages.mlfl_settings import MLFLSettings
from train.stages.tag import tag_clips

RECIPE = """
name = "tiny"
seeds = [1, 2]
[data]
desed = "clips"
weak_held_out = 0.0
[fbcrnn]
preset = "small"
seeds = [1]
loop = { steps = 1, batch = { synthetic = 1, weak = 1 } }
[pseudo_label]
contexts = [5]
filters = [11]
choose_clips = 1
[mlfl]
preset = "small"
loop = { steps = 2, checkpoint_steps = 1, batch = { synthetic = 1, weak = 1, unlabelled = 1 } }
[baseline]
preset = "small"
seeds = [1]
loop = { steps = 1, batch = { synthetic = 1, weak = 1, unlabelled = 1 } }
[measure]
at_50 = false
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its clips, and a run of it that has come as far as the pseudo labels."""
    root = tmp_path_factory.mktemp("ablation")
    (root / "tiny.toml").write_text(RECIPE)
    write_layout(noise_clips(COUNTS), root / "clips")
    assert train_command.main([*words(root), "--until", "pseudo-label"]) == 0
    return root


@pytest.fixture(scope="module")
def ablated(folder: Path) -> Path:
    """The same with a variant of one seed."""
    assert ablate.main([*words(folder), "--variants", "no-focal", "--seeds", "2"]) == 0
    return folder


@pytest.fixture
def copy(ablated: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil; the clips lie where they were."""
    shutil.copytree(ablated / "runs", tmp_path / "runs")
    recipe = RECIPE.replace('"clips"', json.dumps(str(ablated / "clips")))
    (tmp_path / "tiny.toml").write_text(recipe)
    return tmp_path


def words(root: Path) -> list[str]:
    return [str(root / "tiny.toml"), "--runs", str(root / "runs"), "--threads", "1"]


def run_of(root: Path) -> Run:
    return find_run(RunArguments(root / "tiny.toml", runs=root / "runs", threads=1))


def again(root: Path, *more: str) -> int:
    return ablate.main([*words(root), "--variants", "no-focal", "--seeds", "2", *more])


def times(root: Path) -> dict[str, int]:
    files = [path for path in (root / "runs/tiny/ablation").rglob("*") if path.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_a_variant_is_trained_and_measured_with_its_overrides(ablated: Path) -> None:
    variant = ablated / "runs/tiny/ablation/no-focal/2"
    figures = json.loads((variant / "metrics.json").read_text())
    overrides = {"detection": "bce", "detection_weight": 0.5}
    assert (figures["variant"], figures["seed"], figures["overrides"]) == ("no-focal", 2, overrides)
    assert {"psds1", "psds2", "event_f1_macro", "per_class", "tuned_on"} <= figures.keys()
    for name in ("model", "student"):
        _, about = load_model(variant / f"{name}.safetensors", "mlfl")
        assert about["seed"] == 2
        expected = MLFLSettings.model_validate(overrides).model_dump(mode="json")
        assert about["settings"] == expected
    for name in ("development", "validation"):
        assert (variant / f"scores/{name}.npz").is_file()
    assert not (ablated / "runs/tiny/report.html").exists()


def test_resuming_does_nothing_and_anew_does_it_again(copy: Path) -> None:
    before = times(copy)
    assert again(copy) == 0
    assert times(copy) == before
    assert again(copy, "--anew", "no-focal") == 0
    assert all(time != before.get(path) for path, time in times(copy).items())


def test_a_variant_that_lost_its_figures_is_measured_and_not_trained_again(copy: Path) -> None:
    ledger = copy / "runs/tiny/ablation/ledger.json"
    record = json.loads(ledger.read_text())
    del record["stages"]["ablation/no-focal/2/scores"]
    ledger.write_text(json.dumps(record))
    (copy / "runs/tiny/ablation/no-focal/2/metrics.json").unlink()
    before = times(copy)
    assert again(copy) == 0
    changed = {Path(path).name for path, time in times(copy).items() if before.get(path) != time}
    assert changed == {"ledger.json", "metrics.json", "development.npz", "validation.npz"}


def test_the_record_of_a_training_that_goes_on_meanwhile_is_left_alone(ablated: Path) -> None:
    record = json.loads((ablated / "runs/tiny/ledger.json").read_text())
    assert {unit["stage"] for unit in record["stages"].values()} == {
        "prepare", "baseline", "fbcrnn", "pseudo-label",
    }  # fmt: skip


def test_other_settings_are_refused_with_the_option_that_trains_anew(copy: Path) -> None:
    recipe = copy / "tiny.toml"
    recipe.write_text(recipe.read_text().replace("steps = 2", "steps = 3"))
    with pytest.raises(
        SedgeError, match=r"found it changed .* run stage ablation again with --anew no-focal"
    ):
        again(copy)


def test_changed_pseudo_labels_are_refused(copy: Path) -> None:
    table = copy / "runs/tiny/pseudo/weak.tsv"
    table.write_text(table.read_text() + "0.flac\t0.1\t0.2\tCat\n")
    with pytest.raises(SedgeError, match=r"weak\.tsv: expected the file that stage pseudo-label wrote"):
        again(copy)


@pytest.mark.parametrize(("stage", "lost"), [("pseudo-label", "pseudo"), ("prepare", "")])
def test_a_run_without_pseudo_labels_is_refused(copy: Path, stage: str, lost: str) -> None:
    ledger = copy / "runs/tiny/ledger.json"
    record = json.loads(ledger.read_text())
    record["stages"] = {name: unit for name, unit in record["stages"].items() if lost and name != lost}
    ledger.write_text(json.dumps(record))
    with pytest.raises(
        SedgeError, match=rf"expected stage {stage} .* `sedge train RECIPE --until pseudo-label`"
    ):
        again(copy)


def test_a_full_model_with_other_settings_is_no_comparison(copy: Path) -> None:
    unit = Unit("mlfl/2", "mlfl", {"loss": "another"}, (), (), lambda: None)
    Ledger(copy / "runs/tiny").perform(unit)
    with pytest.raises(SedgeError, match=r"mlfl/2: expected .* run stage mlfl again"):
        again(copy)


def test_figures_are_the_full_models_where_the_weights_are(copy: Path) -> None:
    run = run_of(copy)
    checkpoint = "ablation/no-focal/2/model.safetensors"
    tag_clips(run.clips, run.folder / checkpoint, run.folder / "tags/2", run.recipe.tag, "cpu", 1)
    score_mlfl(run, 2)
    full, variant = (run.folder / name for name in ("mlfl/2", "ablation/no-focal/2"))
    (expected, found) = (json.loads((place / "metrics.json").read_text()) for place in (full, variant))
    assert {key: value for key, value in found.items() if key in expected} == expected
    for name in run.scored:
        assert (full / f"scores/{name}.npz").read_bytes() == (variant / f"scores/{name}.npz").read_bytes()


def test_differences_are_shown_where_the_full_model_has_the_same_seed(copy: Path, capsys) -> None:
    assert again(copy) == 0
    assert "±" not in capsys.readouterr().out
    figures = json.loads((copy / "runs/tiny/ablation/no-focal/2/metrics.json").read_text())
    for seed, gain in (("1", 0.5), ("2", 0.25)):
        path = copy / f"runs/tiny/mlfl/{seed}/metrics.json"
        path.parent.mkdir(parents=True)
        values = {name: figures[name] + gain for name in ("psds1", "psds2", "event_f1_macro")}
        path.write_text(json.dumps(values))
    assert again(copy) == 0
    shown = capsys.readouterr().out
    assert shown.count("−0.250") == 3
    assert "full MLFL" in shown


def test_the_report_is_written_again_and_recorded(copy: Path) -> None:
    run = run_of(copy)
    assert not rewrite_report(run)

    def work() -> None:
        for name in (*RESULT_METRICS, "report.html"):
            path = run.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")

    Ledger(run.folder).perform(Unit("results", "ensemble", {}, (), (*RESULT_METRICS, "report.html"), work))
    assert rewrite_report(run)
    assert "No focal" in (run.folder / "report.html").read_text()
    assert "report.html" in json.loads((run.folder / "ledger.json").read_text())["stages"]


def test_seeds_come_before_variants_and_training_before_figures(folder: Path) -> None:
    run = run_of(folder)
    args = Ablate(folder / "tiny.toml", runs=folder / "runs")
    assert chosen_seeds(args, run) == (1, 2)
    assert chosen_variants(args, run) == tuple(VARIANTS)
    names = [unit.name for unit in variant_units(run, "no-ifdc", 1)]
    assert names == ["ablation/no-ifdc/1", "ablation/no-ifdc/1/scores"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--variants", "no-focl"], "no-focl: unknown variant: did you mean no-focal?"),
        (["--variants", "x"], "x: unknown variant: expected some of no-focal, no-ifdc"),
        (["--variants", "no-ifdc", "--anew", "no-focal"], "--anew no-focal: expected one of --variants"),
        (["--seeds", "-1"], "--seeds: expected numbers from 0, found -1"),
    ],
)
def test_unknown_variants_and_seeds_are_refused(folder: Path, more: list[str], message: str) -> None:
    with pytest.raises(SedgeError) as refused:
        ablate.main([*words(folder), *more])
    assert str(refused.value).startswith(message)


def test_a_variant_that_the_recipe_is_already_is_left_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE + "[mlfl.loss]\nifdc_weight = 0.0\n")
    run = run_of(tmp_path)
    assert "no-ifdc" not in chosen_variants(Ablate(tmp_path / "tiny.toml"), run)
    with pytest.raises(SedgeError, match="no-ifdc: expected a variant of"):
        chosen_variants(Ablate(tmp_path / "tiny.toml", variants=("no-ifdc",)), run)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_what_it_says_and_nothing_else(name: str) -> None:
    base = MLFLSettings(detection_weight=3.0, trailing_sets=("synthetic", "weak"), unlabelled_clip_weight=0.1)
    variant = VARIANTS[name]
    found, before = variant.applied(base).model_dump(), base.model_dump()
    assert {key for key in found if found[key] != before[key]} <= variant.overrides(base).keys()
    assert found != before
    assert {key: found[key] for key in variant.overrides(base)} == variant.overrides(base)


def test_overrides_are_checked_as_settings_are() -> None:
    with pytest.raises(ValueError, match="focal"):
        Variant("a name that no setting has", {"focal": 1}).applied(MLFLSettings())


def test_without_focal_is_half_a_cross_entropy_with_the_slope_of_the_focal_loss_at_the_start() -> None:
    def slope(alpha: float, gamma: float) -> float:
        logit = torch.zeros(1, 1, 1, requires_grad=True)
        (found,) = torch.autograd.grad(focal_loss(logit, torch.zeros(1, 1, 1), alpha, gamma), logit)
        return found.item()

    settings = VARIANTS["no-focal"].applied(MLFLSettings())
    assert (settings.detection, settings.detection_weight) == ("bce", 0.5)
    assert slope(0.5, 0.0) == pytest.approx(0.25)
    assert slope(0.25, 2.0) == pytest.approx(0.22, abs=0.01)


def test_without_pseudo_labels_no_loss_reads_them(ablated: Path) -> None:
    clips = run_of(ablated).with_fbcrnn_labels()
    settings = learnable(clips, VARIANTS["no-pseudo-labels"].applied(MLFLSettings()))
    assert settings.detection_sets == settings.trailing_sets == ("synthetic",)
    assert settings.ifdc_weight == settings.unlabelled_clip_weight == 0
