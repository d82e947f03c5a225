"""`sedge train-mlfl` and `sedge train-tag-cnn`: from clips to a run's models, and what is refused before any work."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import write_events
from export.bundle import run_members
from train.commands import mix_soundscapes, train_mlfl, train_tag_cnn
from train.commands.training import TrainArguments, loop_settings
from train.fitting.checkpoint import load_model


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips of half a second in a folder of a single set."""
    folder = tmp_path / "clips"
    (folder / "audio").mkdir(parents=True)
    noise = np.random.default_rng(0).normal(0, 0.1, 8_000)
    for name in ("one.wav", "two.wav"):
        soundfile.write(folder / "audio" / name, noise, 16_000)
    write_events(
        folder / "ground_truth.tsv",
        {"one.wav": [Event(0.1, 0.3, "Cat")], "two.wav": [Event(0.2, 0.4, "Dog")]},
    )
    return folder


@pytest.mark.slow
def test_a_run_is_trained_with_few_words(clips: Path, tmp_path: Path) -> None:
    few = [str(clips), "--out", str(tmp_path / "run"), "--seed", "3", "--steps", "1", "--batch-size", "2"]
    assert train_mlfl.main(few) == 0
    assert train_tag_cnn.main(few) == 0
    (member,) = run_members(tmp_path / "run")
    assert member.event_labels == ("Cat", "Dog")
    _, mlfl_about = load_model(tmp_path / "run" / "mlfl" / "3" / "model.safetensors", "mlfl")
    assert mlfl_about["seed"] == 3
    assert member.provenance["tag_cnn"]["mlfl"].items() >= mlfl_about.items()


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--steps", "0", "greater than or equal to 1, found 0"),
        ("--batch-size", "-1", "greater than or equal to 0, found -1"),
        ("--checkpoint-steps", "0", "greater than or equal to 1, found 0"),
        ("--threads", "0", "greater than or equal to 1, found 0"),
        ("--seed", "-1", "greater than or equal to 0, found -1"),
        ("--learning-rate", "nan", "a finite number, found nan"),
    ],
)
def test_settings_out_of_range_are_refused(
    clips: Path, tmp_path: Path, option: str, value: str, expected: str
) -> None:
    with pytest.raises(SedgeError, match=f"^{option}: expected {expected}$"):
        train_mlfl.main([str(clips), "--out", str(tmp_path / "run"), option, value])
    assert not (clips / "prepared").exists()


def test_a_negative_seed_of_mixing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SedgeError, match=r"^--seed: expected greater than or equal to 0, found -1$"):
        mix_soundscapes.main([str(tmp_path), "--out", str(tmp_path / "mixes"), "--seed", "-1"])


def test_a_missing_compiler_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SedgeError, match=r"^compile: .* found no no-such-compiler"):
        loop_settings(TrainArguments(clips=tmp_path, out=tmp_path, compile=True))


def test_the_mlfl_of_the_run_is_looked_for(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(
        SedgeError, match=r"run/mlfl/4/model\.safetensors: expected a model of `sedge train-mlfl`"
    ):
        train_tag_cnn.main([str(clips), "--out", str(tmp_path / "run"), "--seed", "4"])
    assert not (clips / "prepared").exists()


def test_clips_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SedgeError, match=r"expected ground_truth\.tsv and audio/, or the DESED layout"):
        train_mlfl.main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "run")])
