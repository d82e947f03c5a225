"""`sedge train`: what is wrong with its words, its data or its recipe is told in one line, before any training."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.cli import main
from tests.train.layouts import COUNTS, write_layout
from tests.train.noise_clips import noise_clips
from train.pipeline.units import STAGES

RECIPE = """
name = "tiny"
seeds = [1, 2, 3, 4]
[data]
desed = "clips"
weak_held_out = 0.0
[fbcrnn]
loop = { steps = 1, batch = { synthetic = 1, weak = 1 } }
[mlfl]
loop = { steps = 1, batch = { synthetic = 1, weak = 1, unlabelled = 1 } }
[tag_cnn]
loop = { steps = 1, batch = { synthetic = 1, weak = 1, unlabelled = 1 } }
[baseline]
loop = { steps = 1, batch = { synthetic = 1, weak = 1, unlabelled = 1 } }
"""


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of about a second in all sets, in the DESED layout. Not to be written to."""
    folder = tmp_path_factory.mktemp("layout") / "clips"
    write_layout(noise_clips(COUNTS), folder)
    return folder


@pytest.fixture
def folder(layout: Path, tmp_path: Path) -> Path:
    """A recipe beside a copy of the clips."""
    shutil.copytree(layout, tmp_path / "clips")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


def change(folder: Path, old: str, new: str) -> None:
    """Replace a part of the recipe."""
    text = (folder / "tiny.toml").read_text()
    assert old in text
    (folder / "tiny.toml").write_text(text.replace(old, new))


def told(folder: Path, capsys: pytest.CaptureFixture[str], *more: str, code: int = 2) -> str:
    """The last line of a start that must fail, without training anything."""
    assert main(["train", str(folder / "tiny.toml"), "--runs", str(folder / "runs"), *more]) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "stage baseline" not in error
    assert not list(folder.rglob("*.safetensors"))
    last = error.splitlines()[-1]
    assert last.startswith("sedge: ")
    return last.removeprefix("sedge: ")


@pytest.mark.parametrize("option", ["--from", "--until"])
def test_an_unknown_stage_lists_the_known_ones(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    text = told(folder, capsys, option, "pseudo")
    assert text == f"{option}: expected one of {', '.join(STAGES)}, found 'pseudo'"
    assert not (folder / "runs").exists()


def test_an_end_before_the_start_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(folder, capsys, "--from", "mlfl", "--until", "fbcrnn")
    assert text == "--until: expected mlfl, as --from is, or a later stage, found fbcrnn"


def test_words_that_are_no_options_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--form", "mlfl"], ["--threads", "two"], []):
        arguments = [str(folder / "tiny.toml"), *words] if words else []
        assert main(["train", *arguments]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_no_threads_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "threads: Input should be greater than or equal to 1, found 0" in told(
        folder, capsys, "--threads", "0"
    )


def test_a_folder_that_is_not_there_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = folder / "absent"
    text = told(folder, capsys, "--data", str(absent))
    assert text.startswith(f"--data {absent}: expected a folder of clips or a sound bank, found no such")
    text = told(folder, capsys, "--validation", str(absent))
    assert text == f"{absent}: expected a folder of clips or a sound bank, found no such folder"
    change(folder, '"clips"', '"elsewhere"')
    assert told(folder, capsys).startswith(f"{folder / 'elsewhere'}: expected a folder of clips")


def test_a_folder_that_is_neither_layout_nor_bank_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = folder / "other"
    (other / "music").mkdir(parents=True)
    text = told(folder, capsys, "--data", str(other))
    assert text.startswith(
        f"{other}: expected the sets synthetic, development, validation, found no synthetic"
    )
    assert "sedge desed-check" in text
    text = told(folder, capsys, "--validation", str(other), "--from", "prepare")
    assert text.startswith(f"{other}: expected audio/ with ground_truth.tsv, or a DESED layout")


def test_a_bank_needs_recordings_and_a_recipe_that_mixes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank = folder / "bank"
    (bank / "background").mkdir(parents=True)
    text = told(folder, capsys, "--data", str(bank))
    assert text.startswith(f"data.mix: expected the sets to mix from the sound bank {bank}, found none")
    change(folder, "[fbcrnn]", "[data.mix]\nsynthetic = { clips = 2 }\n[fbcrnn]")
    assert str(bank) in told(folder, capsys, "--data", str(bank), "--from", "prepare")


def test_a_recipe_without_data_says_what_names_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(folder, 'desed = "clips"', "")
    assert told(folder, capsys).startswith("data: expected desed or bank, or --data FOLDER")


def test_absent_audio_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audio = folder / "clips/audio/train/weak"
    (audio / "1.flac").unlink()
    text = told(folder, capsys)
    listing = folder / "runs/tiny/data/missing_weak.txt"
    assert text.startswith(f"{audio}: 1 of 2 files of the weak set are absent: 1.flac (all: {listing})")
    assert listing.read_text() == "1.flac\n"
    change(folder, "weak_held_out = 0.0", "weak_held_out = 0.0\nallow_missing = true")
    words = ["train", str(folder / "tiny.toml"), "--runs", str(folder / "runs"), "--until", "prepare"]
    assert main(words) == 0, "what was begun with other settings was never finished, and goes on with these"
    assert "going on without them" in capsys.readouterr().err


def test_corrupt_audio_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "clips/audio/validation/development/0.flac"
    path.write_bytes(b"fLaC" + bytes(100))
    assert str(path) in told(folder, capsys, code=1)


def test_an_empty_weak_set_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = folder / "clips/metadata/train/weak.tsv"
    table.write_text("filename\tevent_labels\n")
    assert told(folder, capsys) == f"{table}: expected at least one clip in the weak set, found none"


def test_a_label_that_the_recipe_does_not_have_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "weak_held_out = 0.0", 'weak_held_out = 0.0\nevent_labels = ["Cat", "Speech"]')
    text = told(folder, capsys)
    assert "event label: expected one of ['Cat', 'Speech'], found 'Dog'" in text


def test_fewer_than_four_systems_are_refused_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "seeds = [1, 2, 3, 4]", "seeds = [1, 2]")
    text = told(folder, capsys)
    assert text.startswith("seeds: expected at least 4, one for each system of the ensemble, found 2")
    assert "ensemble.few = true" in text
    assert not (folder / "runs/tiny/data").exists()
    words = ["train", str(folder / "tiny.toml"), "--runs", str(folder / "runs"), "--until", "prepare"]
    assert main(words) == 0


@pytest.mark.parametrize("stage", ["baseline", "fbcrnn", "mlfl", "tag_cnn"])
def test_a_batch_of_clips_that_are_not_there_is_refused_before_any_training(
    folder: Path, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    (folder / "clips/metadata/train/weak.tsv").unlink()
    text = (folder / "tiny.toml").read_text()
    for table in text.split("\n[")[1:]:
        if table.partition("]")[0] != stage:
            text = text.replace(table, table.replace("weak = 1", "weak = 0"))
    (folder / "tiny.toml").write_text(text)
    found = told(folder, capsys)
    assert found == f"{stage}.loop.batch.weak: expected 0 as the data have no weak clips, found 1"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "[tag_cnn]\nloop = { ",
            "[tag_cnn]\nloop = { shards = 2, ",
            "tag_cnn.loop.batch.synthetic: expected a",
        ),
        (
            "[mlfl]\nloop = { steps = 1, batch = { synthetic = 1, weak = 1, unlabelled = 1 } }",
            "[mlfl]\nloop = { batch = { synthetic = 0 } }",
            "mlfl.loop.batch: expected clips of at least one set, found none",
        ),
    ],
)
def test_a_batch_that_cannot_be_made_is_refused_before_any_training(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, expected: str
) -> None:
    change(folder, old, new)
    assert told(folder, capsys).startswith(expected)


def test_clips_without_events_are_not_measured_with(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = folder / "clips/metadata/validation/validation.tsv"
    lines = table.read_text().splitlines()
    silent = [f"{line.split(chr(9))[0]}\t\t\t" for line in lines[1:]]
    table.write_text("\n".join([lines[0], *silent]) + "\n")
    assert told(folder, capsys) == "validation set: expected at least one event to measure with, found none"


def test_a_folder_that_cannot_be_written_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "runs").write_text("a file")
    assert "runs" in told(folder, capsys)


def test_short_clips_are_prepared_as_they_are(folder: Path) -> None:
    soundfile.write(folder / "clips/audio/train/weak/0.flac", np.zeros(400, np.int16), 16_000)
    words = ["train", str(folder / "tiny.toml"), "--runs", str(folder / "runs"), "--until", "prepare"]
    assert main(words) == 0
