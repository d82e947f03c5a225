"""`sedge desed-check` counts what is there and says where the rest is obtained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from edge_app.core.errors import EXIT_DONE, EXIT_SOME_FAILED, EXIT_USAGE, SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import write_durations, write_events
from train.commands.desed_check import main
from train.data.desed import SPLITS, DesedSet
from train.data.tables import write_filenames, write_tags


@pytest.fixture
def desed(tmp_path: Path) -> Path:
    """Three clips of each set, complete."""
    names = ["a.wav", "b.wav", "c.wav"]
    for name in SPLITS:
        clips = DesedSet.named(tmp_path, SPLITS[name], name)
        clips.audio.mkdir(parents=True)
        clips.table.parent.mkdir(parents=True, exist_ok=True)
        for filename in names:
            soundfile.write(clips.audio / filename, np.zeros(4410), 44_100)
        if clips.kind == "strong":
            write_events(clips.table, {filename: [Event(0, 0.1, "Dog")] for filename in names})
        elif clips.kind == "weak":
            write_tags(clips.table, dict.fromkeys(names, ("Dog", "Cat")))
        else:
            write_filenames(clips.table, names)
    return tmp_path


def summary(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON object of a run."""
    status = main([*map(str, argv), "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return status, found


def test_a_complete_folder(desed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = summary(capsys, desed)
    assert status == EXIT_DONE
    assert found["complete"]
    assert not found["lacking"]
    for survey in found["sets"].values():
        assert (survey["clips"], survey["audio_found"], survey["extra"], survey["missing"]) == (3, 3, 0, [])
        assert survey["sample_rates"] == [44_100]
    assert found["sets"]["weak"]["published_clips"] == 1578
    assert found["sets"]["unlabelled"]["published_clips"] == 14_412
    assert found["sets"]["weak"]["event_labels"] == ["Cat", "Dog"]
    assert main([str(desed)]) == EXIT_DONE
    shown = capsys.readouterr().out
    assert "14,412" in shown
    assert "complete: all that training needs" in shown
    assert "obtained" not in shown


def test_what_is_missing_and_what_is_too_much(desed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weak, validation = (DesedSet.named(desed, SPLITS[name], name) for name in ("weak", "validation"))
    (weak.audio / "b.wav").rename(weak.audio / "z.wav")
    (validation.audio / "c.wav").write_bytes(b"no audio")
    write_durations(validation.durations, dict.fromkeys(["a.wav", "b.wav", "c.wav", "d.wav"], 10.5))
    status, found = summary(capsys, desed)
    assert status == EXIT_SOME_FAILED
    assert found["lacking"] == ["weak", "validation"]
    assert found["sets"]["weak"]["missing"] == ["b.wav"]
    assert found["sets"]["weak"]["extra"] == 1
    assert found["sets"]["validation"]["unreadable"] == ["c.wav"]
    assert found["sets"]["validation"]["too_long"] == 4
    assert main([str(desed)]) == EXIT_SOME_FAILED
    shown = capsys.readouterr().out
    assert "weak: 1 files missing in" in shown
    assert "weak: obtained from: Python package `desed`" in shown
    assert "validation: durations of 4 files, 3 of them annotated" in shown
    assert "not complete: weak, validation" in shown


def test_absent_sets_and_wrong_tables(desed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synthetic, weak = (DesedSet.named(desed, SPLITS[name], name) for name in ("synthetic", "weak"))
    synthetic.table.unlink()
    weak.table.write_text("filename\tevent_labels\na.wav\tDog\na.wav\tCat\n")
    DesedSet.named(desed, "eval", "public").table.unlink()
    status, found = summary(capsys, desed)
    assert status == EXIT_SOME_FAILED
    assert found["lacking"] == ["synthetic", "weak"]
    assert found["sets"]["synthetic"]["problem"].startswith(
        "absent; looked for metadata/train/synthetic21_train"
    )
    assert "row 3" in found["sets"]["weak"]["problem"]
    assert found["sets"]["weak"]["clips"] is None
    assert found["sets"]["weak"]["audio_found"] == 3
    main([str(desed)])
    assert "synthetic: obtained from: dcase_synth.zip" in capsys.readouterr().out


def test_parts_in_two_folders(desed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = desed.parent / "synthetic part"
    for kind, name in (("audio", "synthetic"), ("metadata", "synthetic.tsv")):
        (other / kind / "train").mkdir(parents=True)
        (desed / kind / "train" / name).rename(other / kind / "train" / name)
    assert summary(capsys, desed)[1]["lacking"] == ["synthetic"]
    assert summary(capsys, desed, "--also", other)[0] == EXIT_DONE


def test_no_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(SedgeError, match="no such folder") as raised:
        main([str(tmp_path / "nowhere")])
    assert raised.value.exit_code == EXIT_USAGE
