"""`sedge bench-training`: that it trains what the stages train, and that its figures follow from each other."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.device_time import busy_s, lap_s
from benchmarks.report import read_result
from benchmarks.training import trainees
from benchmarks.training.forecast import Hours, forecast, labelled_clips, labelling_hours, training_hours
from benchmarks.training.trainees import seeds_of, soundscape_clips, stage_recipe, trainee
from benchmarks.training.training import check_models
from benchmarks.training.training_speed import Laps, speed_of
from edge_app import cli
from edge_app.core.errors import SedgeError
from train.fitting.checkpoint import MODELS
from train.fitting.loop_settings import BatchSettings, LoopSettings
from train.fitting.training import Training
from train.models.baseline_crnn import BaselineCRNNConfig
from train.models.fbcrnn import FBCRNNConfig
from train.models.mlfl import MLFLConfig
from train.pipeline.recipe import Recipe, find_recipe, read_recipe
from train.stages.baseline import train_baseline
from train.stages.fbcrnn import train_fbcrnn
from train.stages.mlfl import train_mlfl

LABELS = ("Cat", "Dog", "Speech")
RECIPE = """
name = "tiny"
seeds = [1, 2, 3]

[data]
event_labels = ["Cat", "Dog", "Speech"]

[data.mix]
synthetic = { clips = 5 }
weak = { clips = 20 }
unlabelled = { clips = 7 }
development = { clips = 3 }

[pseudo_label]
contexts = [1, 2]
rows = 256

[fbcrnn]
preset = "small"
seeds = [4]
[fbcrnn.loop]
steps = 8
batch = { weak = 1, synthetic = 1 }

[mlfl]
preset = "small"
[mlfl.loop]
steps = 6
shards = 2
batch = { synthetic = 2, weak = 2, unlabelled = 0 }

[tag_cnn]
preset = "small"
[tag_cnn.loop]
steps = 5
precision = "float32"
batch = { synthetic = 1, weak = 1, unlabelled = 1 }

[baseline]
preset = "small"
[baseline.loop]
steps = 7
batch = { synthetic = 1, weak = 1, unlabelled = 1 }
"""


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    monkeypatch.setattr(trainees, "CLIPS_PER_SET", 3)
    torch.set_num_threads(1)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate(tomllib.loads(RECIPE))


@pytest.fixture
def clips(tmp_path):
    return soundscape_clips(LABELS, tmp_path)


def first_losses(name: str, recipe: Recipe, clips, loop: LoopSettings) -> dict[str, float]:
    learner = trainee(name, recipe, clips, loop, torch.device("cpu"))
    values = Training(learner.model, loop, Path(), "", learner.fast).take_step(learner.losses)
    return {key: float(value) for key, value in values.items()}


def test_clips_are_the_soundscape_over_and_over_in_three_sets_with_labels(clips):
    assert clips.waveforms.shape == (9, 160_000)
    assert isinstance(clips.waveforms, np.memmap)
    assert clips.sets == ("synthetic",) * 3 + ("weak",) * 3 + ("unlabelled",) * 3
    assert len({row.tobytes() for row in clips.waveforms}) == 9
    assert abs(clips.waveforms).max(1).min() > 300
    assert clips.strong_labels().any((1, 2)).all()
    assert clips.tags().any(1).all()
    assert [tags is not None for tags in clips.given_tags] == [name == "weak" for name in clips.sets]


@pytest.mark.parametrize("name", ["fbcrnn", "mlfl", "baseline_crnn"])
def test_first_step_is_that_of_the_stage(name, recipe, clips, tmp_path):
    stage = stage_recipe(recipe, name)
    loop = stage.loop.model_copy(update={"steps": 1, "checkpoint_steps": 1, "device": "cpu", "threads": 1})
    stages: dict[str, tuple[Any, Any]] = {
        "fbcrnn": (train_fbcrnn, FBCRNNConfig),
        "mlfl": (train_mlfl, MLFLConfig),
        "baseline_crnn": (train_baseline, BaselineCRNNConfig),
    }
    train, config = stages[name]
    train(clips, tmp_path / name, config.small(len(LABELS)), stage.loss, stage.augment, loop)
    logged = json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[0])
    found = first_losses(name, recipe, clips, loop)
    assert found
    for key, value in found.items():
        assert value == pytest.approx(logged[key], rel=1e-5)


def test_conditioned_model_learns_from_every_set(recipe, clips):
    losses = first_losses("tag_cnn", recipe, clips, recipe.tag_cnn.loop.model_copy(update={"device": "cpu"}))
    assert set(losses) == {"frame_synthetic", "frame_weak", "frame_unlabelled"}
    assert all(value > 0 for value in losses.values())


def test_laps_count_the_calls():
    calls = []
    seconds = lap_s(lambda: calls.append(1), 4, torch.device("cpu"))
    assert len(seconds) == len(calls) == 4
    assert min(seconds) > 0


def test_share_outside_is_the_making_of_batches_on_a_processor():
    speed = speed_of(Laps((2.0, 4.0, 1.0), (0.1, 0.3, 0.5)), "full", "float32", 8)
    assert (speed.clips_per_s.median, speed.clips_per_s.min, speed.clips_per_s.max) == (4, 2, 8)
    assert (speed.step_ms.median, speed.batch_ms.max) == (2000, 500)
    assert speed.batch_share == speed.outside_share == pytest.approx(0.15)
    assert speed.gpu_wait_share is None
    assert speed.peak_gpu_bytes is None


def test_share_outside_is_all_but_the_networks_own_work_on_a_gpu():
    speed = speed_of(Laps((1.0,) * 3, (0.25,) * 3, 0.8, 0.1, 123), "full", "bfloat16", 8)
    assert speed.gpu_wait_share == pytest.approx(0.2)
    assert speed.outside_share == pytest.approx(0.3)
    assert speed.batch_share == 0.25
    assert speed.peak_gpu_bytes == 123


def test_gpu_that_is_never_idle_does_not_wait_less_than_nothing():
    assert speed_of(Laps((1.0,), (0.1,), 1.01, 0.0), "full", "bfloat16", 8).outside_share == 0


def test_hours_are_steps_times_clips_by_speed_for_each_seed():
    loop = LoopSettings(steps=1000, batch=BatchSettings(synthetic=30, weak=6))
    assert training_hours(loop, 4, 10.0).hours == pytest.approx(4)
    assert training_hours(loop, 1, 20.0) == Hours("1,000 steps of 36 clips", 1, 0.5)


def test_desed_labels_its_weak_and_unlabelled_clips_but_for_those_held_out():
    desed = read_recipe(find_recipe("desed.toml"))
    assert labelled_clips(desed) == 400 + 1420 + 14_412
    assert labelling_hours(desed, 4, 2.0).hours == pytest.approx(4 * 16_232 / 2 / 3600)


def test_recipe_of_mixes_labels_those(recipe):
    assert labelled_clips(recipe) == 3 + 18 + 7


def test_seeds_are_a_stages_own_or_the_runs(recipe):
    assert {name: len(seeds_of(recipe, name)) for name in MODELS} == {
        "fbcrnn": 1,
        "mlfl": 3,
        "tag_cnn": 3,
        "baseline_crnn": 3,
    }


def test_total_is_the_sum():
    parts = {"one": Hours("", 1, 0.5), "other": Hours("", 2, 1.25)}
    assert forecast(parts).total_hours == 1.75


def run(tmp_path, capsys, *words: str):
    """Details and output of a short run."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    path = tmp_path / "training.json"
    options = ["--steps", "1", "--threads", "1", "--json", str(path)]
    assert cli.main(["bench-training", str(tmp_path / "tiny.toml"), *options, *words]) == 0
    result = read_result(path)
    compared = {figure.name: figure for figure in result.figures}
    for name, speed in result.details["models"].items():
        clips, rate = compared[f"{name} / clips"], speed["clips_per_s"]
        assert (clips.value, clips.low, clips.high) == (rate["median"], rate["min"], rate["max"])
    assert result.settings["threads"] == 1
    return result.details, capsys.readouterr().out


def test_figures_agree(tmp_path, capsys):
    figures, out = run(tmp_path, capsys)
    assert list(figures["models"]) == list(MODELS)
    assert figures["recipe"] == "tiny"
    assert figures["event_labels"] == 3
    assert figures["waveform_bytes"] == 35 * 320_000
    assert figures["labelling"]["contexts"] == [1, 2]
    assert figures["labelling"]["rows"] == 256
    assert "torch" in figures["machine"]["libraries"]
    parts = figures["forecast"]["parts"]
    assert set(parts) == {*MODELS, "pseudo labels"}
    clips = {"fbcrnn": 8 * 2, "mlfl": 3 * 6 * 4, "tag_cnn": 3 * 5 * 3, "baseline_crnn": 3 * 7 * 3}
    for name, speed in figures["models"].items():
        rate = speed["clips_per_s"]
        assert 0 < rate["min"] <= rate["median"] <= rate["max"]
        assert rate["median"] == pytest.approx(1000 * speed["batch_clips"] / speed["step_ms"]["median"])
        assert parts[name]["hours"] == pytest.approx(clips[name] / rate["median"] / 3600)
        assert speed["outside_share"] > 0
        assert name in out
    assert parts["pseudo labels"]["hours"] == pytest.approx(28 / figures["labelling"]["clips_per_s"] / 3600)
    total = sum(part["hours"] for part in parts.values())
    assert figures["forecast"]["total_hours"] == pytest.approx(total)
    assert figures["models"]["tag_cnn"]["precision"] == "float32"
    assert "all of it" in out
    if figures["gpu"] is None:
        assert "no GPU" in out
        assert "not measured" in out


def test_total_of_some_models_says_which_are_missing(tmp_path, capsys):
    figures, out = run(tmp_path, capsys, "--models", "mlfl")
    assert list(figures["models"]) == ["mlfl"]
    assert figures["labelling"] is None
    assert "all but fbcrnn, tag_cnn, baseline_crnn" in out


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_gpu_is_watched(tmp_path, capsys):
    figures, out = run(tmp_path, capsys, "--models", "tag_cnn")
    speed = figures["models"]["tag_cnn"]
    assert speed["peak_gpu_bytes"] > 0
    assert 0 <= speed["gpu_wait_share"] < 1
    assert speed["outside_share"] >= speed["gpu_wait_share"]
    assert "no GPU" not in out


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_gpu_is_busy_for_less_than_the_laps_take():
    factor, device = torch.ones(4096, 4096, device="cuda"), torch.device("cuda")
    laps = lap_s(lambda: factor @ factor, 10, device)
    busy = busy_s(lambda: factor @ factor, 10)
    assert busy is not None
    assert 0 < busy < 1.2 * np.median(laps)


def test_unknown_model_is_refused_with_the_nearest(capsys):
    assert cli.main(["bench-training", "smoke.toml", "--models", "mlfl", "tagcnn"]) == 2
    known = "fbcrnn, mlfl, tag_cnn, baseline_crnn"
    assert capsys.readouterr().err == (
        f"sedge: --models: expected some of {known}, found 'tagcnn'; did you mean tag_cnn?\n"
    )


def test_no_model_is_refused():
    with pytest.raises(SedgeError, match="found none"):
        check_models(())


def test_wrong_use_is_told_in_one_line(capsys):
    assert cli.main(["bench-training", "smoke.toml", "--steps", "0"]) == 2
    assert capsys.readouterr().err == "sedge: --steps: expected more than 0, found 0\n"
    assert cli.main(["bench-training", "absent.toml"]) == 2
    assert "expected a recipe's file" in capsys.readouterr().err
