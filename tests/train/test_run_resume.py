"""A run that is killed in every stage, again and again, ends as one that was left alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.processes import KILLED, Moment, run_sedge
from train.fitting.checkpoint import read_tensors
from train.measuring.score_store import read_scores

pytestmark = pytest.mark.timeout(1800)  # the first test waits for a whole run
EARLY = {
    "prepare, mixing": Moment("mixes/audio/train/weak/00003.flac"),
    "prepare, decoding": Moment("data/waveforms.npy"),
    "baseline": Moment("baseline/1/state.safetensors", times=2),
    "fbcrnn": Moment("fbcrnn/1/state.safetensors", times=2),
    "pseudo-label": Moment("pseudo/partial/weak-00001.json"),
    "mlfl": Moment("mlfl/2/state.safetensors", times=2),
}
"""Where the process is killed: before a checkpoint that is not the first, or a file in the middle of the stage."""
LATE = {
    "tag": Moment("tags/3/tags.npz"),
    "tag-cnn": Moment("tag_cnn/2/state.safetensors", times=2),
    "ensemble, one system": Moment("tag_cnn/2/metrics.json"),
    "ensemble": Moment("ensemble/result3/metrics.json"),
    "report": Moment("report.html"),
}


def killed_again_and_again(folder: Path, moments: dict[str, Moment], *more: str) -> Path:
    """The run after a kill at each moment and a last start that was left alone."""
    words, log = ["train", "smoke", "--runs", str(folder), "--threads", "1", *more], folder / "log.txt"
    for where, moment in moments.items():
        assert run_sedge(words, log, moment) == KILLED, (where, log.read_text()[-2000:])
        assert unfinished(folder / "smoke") == [where.partition(",")[0]], where
    assert run_sedge(words, log) == 0, log.read_text()[-2000:]
    return folder / "smoke"


def unfinished(run: Path) -> list[str]:
    """Stages of the units that were begun and not finished."""
    units = json.loads((run / "ledger.json").read_text())["stages"].values()
    return [unit["stage"] for unit in units if "outputs" not in unit]


def assert_alike(found: Any, expected: Any, where: str = "") -> None:
    """The same but for rounding; hashes of what was rounded may differ."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected.keys() - {"inputs"}:
            assert_alike(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, pair in enumerate(zip(found, expected, strict=True)):
            assert_alike(*pair, f"{where}/{number}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4), where
    else:
        assert found == expected, where


def assert_same_model(run: Path, other: Path, name: str) -> None:
    found, _ = read_tensors(run / name)
    expected, _ = read_tensors(other / name)
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert (found[key] - tensor).abs().max() < 1e-5, f"{name}: {key}"


@pytest.mark.slow
def test_a_run_killed_in_every_stage_up_to_mlfl_has_the_same_models(smoke_runs: Path, tmp_path: Path) -> None:
    run = killed_again_and_again(tmp_path, EARLY, "--until", "mlfl")
    for name in ("baseline/1", "fbcrnn/1", "mlfl/1", "mlfl/2"):
        assert_same_model(run, smoke_runs / "smoke", f"{name}/model.safetensors")
    for name in ("weak.tsv", "unlabelled.tsv"):
        assert (run / "pseudo" / name).read_text() == (smoke_runs / "smoke/pseudo" / name).read_text()
    assert_went_on(tmp_path / "log.txt", ["baseline", "fbcrnn"], trainings=1)
    assert_went_on(tmp_path / "log.txt", ["mlfl"], trainings=4)
    assert not (run / "tags").exists()


def assert_same_scores(run: Path, other: Path, name: str) -> None:
    (_, found), (_, expected) = read_scores(run / name), read_scores(other / name)
    assert found.keys() == expected.keys()
    for filename, scores in expected.items():
        np.testing.assert_allclose(found[filename], scores, atol=1e-4, err_msg=f"{name}: {filename}")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_killed_in_every_stage_has_the_same_figures(smoke_runs: Path, tmp_path: Path) -> None:
    run = killed_again_and_again(tmp_path, {**EARLY, **LATE})
    for number in (1, 2, 3, 4):
        name = f"ensemble/result{number}/metrics.json"
        found, expected = (json.loads((of / name).read_text()) for of in (run, smoke_runs / "smoke"))
        assert_alike(found, expected, name)
        assert_same_scores(run, smoke_runs / "smoke", f"ensemble/result{number}/scores.npz")
    assert_went_on(tmp_path / "log.txt", ["tag_cnn"], trainings=4)
    assert (run / "report.html").stat().st_size > 100_000


def assert_went_on(log: Path, models: list[str], trainings: int) -> None:
    """No step of a training was taken twice but those that its last checkpoint had not."""
    text = log.read_text()
    for model in models:
        for step in (1, 2):
            assert text.count(f"\n{model} step {step}/2: ") == trainings, (model, step)


def test_a_kill_before_the_record_of_what_is_done_costs_nothing(smoke_copy: Path) -> None:
    run, log = smoke_copy / "smoke", smoke_copy / "log.txt"
    words = ["train", "smoke", "--runs", str(smoke_copy), "--threads", "1", "--until", "fbcrnn"]
    # the ledger is written when the stage is forgotten, begun and finished
    assert run_sedge([*words, "--from", "fbcrnn"], log, Moment("ledger.json", times=3)) == KILLED
    assert unfinished(run) == ["fbcrnn"]
    made = (run / "fbcrnn/1/model.safetensors").read_bytes()
    assert run_sedge(words, log) == 0, log.read_text()[-2000:]
    assert unfinished(run) == []
    assert (run / "fbcrnn/1/model.safetensors").read_bytes() == made
    assert_went_on(log, ["fbcrnn"], trainings=1)
