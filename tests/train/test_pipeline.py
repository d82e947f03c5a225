"""`smoke.toml` from its clips to its report, what doing it again does, and what is refused and healed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_app.cli import main
from train.measuring.score_store import read_scores
from train.pipeline.recipe import RECIPES
from train.pipeline.units import STAGES, stages_after
from train.stages.tag import read_tags

pytestmark = pytest.mark.timeout(1200)  # the first test waits for the run
BANK = Path(__file__).resolve().parents[1] / "data" / "bank"
SEEDS = (1, 2, 3, 4)
MODEL_FILES = ("model.safetensors", "state.safetensors", "log.jsonl", "tensorboard/events.out.*")
SYSTEM_FILES = ("metrics.json", "scores/development.npz", "scores/validation.npz")
ARTEFACTS = (
    *("data/waveforms.npy", "data/clips.json", "mixes/metadata/train/synthetic.tsv"),
    *("mixes/metadata/train/weak.tsv", "mixes/metadata/validation/development.tsv"),
    *(f"baseline/1/{name}" for name in ("student.safetensors", *MODEL_FILES, *SYSTEM_FILES)),
    *(f"fbcrnn/1/{name}" for name in MODEL_FILES),
    *(f"pseudo/{name}" for name in ("weak.tsv", "unlabelled.tsv", "choice.json", "quality.json")),
    *(f"mlfl/{seed}/student.safetensors" for seed in SEEDS),
    *(f"mlfl/{seed}/{name}" for seed in SEEDS for name in (*MODEL_FILES, *SYSTEM_FILES)),
    *(f"tags/{seed}/{name}" for seed in SEEDS for name in ("tags.npz", "windows.json", *SYSTEM_FILES[1:])),
    *(f"tags/{seed}/{name}.tsv" for seed in SEEDS for name in ("synthetic", "weak", "unlabelled")),
    *(f"tag_cnn/{seed}/{name}" for seed in SEEDS for name in (*MODEL_FILES, *SYSTEM_FILES)),
    *(f"ensemble/result{n}/{name}" for n in SEEDS for name in ("scores.npz", "events.tsv", "metrics.json")),
    *("ensemble/conditioning.json", "ensemble/ranking.json"),
    *("ledger.json", "recipe.toml", "recipe.json", "report.html"),
)


def train(runs: Path, *more: str, recipe: str | Path = "smoke") -> int:
    return main(["train", str(recipe), "--runs", str(runs), "--threads", "1", *more])


def times(run: Path) -> dict[str, int]:
    """When each file was written; copies of the recipe are written at every start."""
    files = [path for path in run.rglob("*") if path.is_file() and path.stem != "recipe"]
    return {path.relative_to(run).as_posix(): path.stat().st_mtime_ns for path in files}


def write_recipe(folder: Path, bank: Path, *changes: tuple[str, str]) -> Path:
    """The recipe `smoke` in another folder, with parts of its text replaced."""
    text = (RECIPES / "smoke.toml").read_text().replace('"../../tests/data/bank"', json.dumps(str(bank)))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "smoke.toml"
    path.write_text(text)
    return path


def refusal(capsys: pytest.CaptureFixture[str], runs: Path, recipe: str | Path = "smoke") -> str:
    """The one line that a start ends with."""
    assert train(runs, recipe=recipe) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("sedge: ")
    return last


def test_every_stage_leaves_its_files(smoke_runs: Path) -> None:
    run = smoke_runs / "smoke"
    missing = [name for name in ARTEFACTS if not any(run.glob(name))]
    assert not missing
    assert not [path for path in run.rglob("*") if path.suffix == ".part"]
    units = json.loads((run / "ledger.json").read_text())["stages"].values()
    assert {unit["stage"] for unit in units} == set(STAGES)
    assert all("outputs" in unit for unit in units)


def test_a_run_says_what_it_does_and_ends_with_its_figures(smoke_runs: Path) -> None:
    log, said = (smoke_runs / "stderr.txt").read_text(), (smoke_runs / "stdout.txt").read_text()
    stages = [line.split()[1].rstrip(":") for line in log.splitlines() if line.startswith("stage ")]
    assert list(dict.fromkeys(stages)) == list(STAGES)
    for name in ("Baseline CRNN", "MLFL", "Tag-conditioned", "Result 4", "report.html"):
        assert name in said
    assert "Traceback" not in log


def test_results_are_the_weighted_means_of_the_ranked_systems(smoke_runs: Path) -> None:
    run = smoke_runs / "smoke"
    ranking = json.loads((run / "ensemble/ranking.json").read_text())
    order = [row["system"] for row in ranking["systems"]]
    assert ranking["set"] == "development"
    for number, weights in ((1, [1, 1, 1]), (2, [1, 1, 1, 1]), (3, [1, 1]), (4, [0.4, 0.2, 0.2, 0.2])):
        folder = run / f"ensemble/result{number}"
        figures = json.loads((folder / "metrics.json").read_text())
        assert figures["systems"] == order[: len(weights)]
        _, fused = read_scores(folder / "scores.npz")
        systems = [read_scores(run / f"tag_cnn/{seed}/scores/validation.npz")[1] for seed in order]
        for filename, scores in fused.items():
            parts = [weight * system[filename] for weight, system in zip(weights, systems, strict=False)]
            np.testing.assert_allclose(scores, np.sum(parts, axis=0) / np.sum(weights), atol=1e-6)


def test_every_clip_is_tagged(smoke_runs: Path) -> None:
    clips = json.loads((smoke_runs / "smoke/data/clips.json").read_text())
    labels, tags = read_tags(smoke_runs / "smoke/tags/1/tags.npz")
    assert list(labels) == clips["event_labels"]
    for name in set(clips["sets"]):
        expected = [file for file, of in zip(clips["filenames"], clips["sets"], strict=True) if of == name]
        assert list(tags[name].filenames) == expected


def test_a_second_start_does_nothing(smoke_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = times(smoke_runs / "smoke")
    assert train(smoke_runs) == 0
    assert times(smoke_runs / "smoke") == before
    assert "stage " not in capsys.readouterr().err


def test_labels_edited_by_hand_are_refused_and_made_anew(
    smoke_copy: Path, smoke_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, table = smoke_copy / "smoke", smoke_copy / "smoke/pseudo/weak.tsv"
    made = table.read_text()
    with table.open("a") as file:
        file.write("00001.flac\t0.0\t1.0\tSpeech\n")
    before = times(run)
    text = refusal(capsys, smoke_copy)
    assert str(table) in text
    assert "--from pseudo-label" in text
    assert times(run) == before
    assert train(smoke_copy, "--from", "pseudo-label", "--until", "pseudo-label") == 0
    assert table.read_text() == made
    redone = {"pseudo", "mlfl", "tags", "tag_cnn", "ensemble", "report.html"}
    left = {name.partition("/")[0] for name in times(run)}
    assert left & redone == {"pseudo"}
    for name, time in times(run).items():
        if name.startswith(("data/", "mixes/", "fbcrnn/", "baseline/1/model", "baseline/1/state")):
            assert time == before[name], name
    assert before["pseudo/weak.tsv"] < times(run)["pseudo/weak.tsv"]


@pytest.mark.parametrize(
    ("old", "new", "stage"),
    [
        ("weak_held_out = 0.2", "weak_held_out = 0.3", "prepare"),
        ("unlabelled = { clips = 4,", "unlabelled = { clips = 5,", "prepare"),
        ("[baseline.loop]", "[baseline.loop]\ngradient_norm = 1.0", "baseline"),
        ("[fbcrnn.loop]", "[fbcrnn.loop]\nweight_decay = 0.0", "fbcrnn"),
        ("filters = [11]", "filters = [21]", "pseudo-label"),
        ("batch_norm_momentum = 0.2", "batch_norm_momentum = 0.1", "mlfl"),
        ("[mlfl.loop]", "[mlfl.loss]\nmixup_share = 0.0\n[mlfl.loop]", "mlfl"),
        ("[mlfl.loop]", "[tag]\ntag_threshold = 0.4\n[mlfl.loop]", "tag"),
        ("[tag_cnn.loop]", "[tag_cnn.augment]\nsuperpose = 0.0\n[tag_cnn.loop]", "tag-cnn"),
        ("[measure]", "[ensemble]\nrank_by = 'psds1'\n[measure]", "ensemble"),
    ],
)
def test_a_changed_setting_is_refused_with_the_stage_to_do_anew(
    smoke_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, stage: str
) -> None:
    before = times(smoke_runs / "smoke")
    recipe = write_recipe(tmp_path, BANK, (old, new))
    text = refusal(capsys, smoke_runs, recipe)
    assert f"run stage {stage} again with --from {stage}" in text
    assert "expected setting" in text
    assert times(smoke_runs / "smoke") == before


def test_a_setting_that_only_says_how_fast_changes_nothing(smoke_runs: Path, tmp_path: Path) -> None:
    changes = [("workers = 1", "workers = 2"), ("checkpoint_steps = 1", "checkpoint_steps = 2")]
    before = times(smoke_runs / "smoke")
    assert train(smoke_runs, recipe=write_recipe(tmp_path, BANK, *changes)) == 0
    assert times(smoke_runs / "smoke") == before


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("data/waveforms.npy", "prepare"),
        ("baseline/1/student.safetensors", "baseline"),
        ("fbcrnn/1/model.safetensors", "fbcrnn"),
        ("mlfl/2/model.safetensors", "mlfl"),
        ("tags/3/tags.npz", "tag"),
        ("tag_cnn/4/model.safetensors", "tag-cnn"),
        ("ensemble/result2/metrics.json", "ensemble"),
        ("report.html", "report"),
    ],
)
def test_a_lost_file_is_missed_with_the_stage_that_makes_it(
    smoke_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, stage: str
) -> None:
    shutil.copytree(smoke_runs / "smoke", tmp_path / "smoke", copy_function=hard_link)
    (tmp_path / "smoke" / name).unlink()
    text = refusal(capsys, tmp_path)
    assert str(tmp_path / "smoke" / name) in text
    assert f"--from {stage}" in text


def hard_link(source: str, target: str) -> None:
    """A copy in no time of a file that nothing will write to."""
    if Path(source).stem == "recipe":
        shutil.copy2(source, target)
    else:
        Path(target).hardlink_to(source)


def test_a_lost_report_is_all_that_is_made_anew(smoke_copy: Path) -> None:
    run = smoke_copy / "smoke"
    (run / "report.html").unlink()
    before = times(run)
    assert train(smoke_copy, "--from", "report") == 0
    after = times(run)
    assert after.keys() - before.keys() == {"report.html"}
    assert {name for name in before if after[name] != before[name]} == {"ledger.json"}


@pytest.mark.slow
def test_figures_edited_by_hand_are_measured_anew(
    smoke_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = smoke_copy / "smoke"
    path = run / "ensemble/result1/metrics.json"
    made = json.loads(path.read_text())
    path.write_text(json.dumps({**made, "psds1": 1.0}))
    assert "--from ensemble" in refusal(capsys, smoke_copy)
    before = times(run)
    assert train(smoke_copy, "--from", "ensemble") == 0
    assert json.loads(path.read_text()) == made
    after = times(run)
    trained = [name for name in before if name.endswith((".safetensors", ".npy", "tags.npz", ".jsonl"))]
    assert trained
    assert all(after[name] == before[name] for name in trained)
    assert all(after[name] > before[name] for name in before if name.startswith("ensemble/"))


def test_a_recording_added_to_the_bank_is_noticed(
    smoke_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank = tmp_path / "bank"
    shutil.copytree(BANK, bank)
    recipe = write_recipe(tmp_path, bank)
    assert train(smoke_runs, recipe=recipe) == 0  # a bank is known by what it holds, not by where it is
    first = sorted((bank / "foreground/Dog").iterdir())[0]
    shutil.copy(first, first.with_name(f"more_{first.name}"))
    text = refusal(capsys, smoke_runs, recipe)
    assert "expected setting folder bank as when it was made" in text
    assert "--from prepare" in text


def test_until_stops_after_its_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "--until", "prepare") == 0
    run = tmp_path / "smoke"
    assert {name.partition("/")[0] for name in times(run)} == {"data", "mixes", "ledger.json"}
    assert "report" not in capsys.readouterr().out
    before = times(run)
    assert train(tmp_path, "--until", "prepare") == 0
    assert times(run) == before


def test_what_depends_on_a_stage_is_every_stage_that_reads_its_files() -> None:
    assert stages_after("prepare") == list(STAGES)
    assert stages_after("baseline") == ["baseline", "ensemble", "report"]
    assert stages_after("tag") == ["tag", "tag-cnn", "ensemble", "report"]
    assert stages_after("report") == ["report"]
