"""The sets of a training run: what each is mixed from, that a kill costs nothing, and what is refused."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.core.errors import SedgeError
from edge_app.formats.desed_tsv import read_durations, read_events
from train.commands import mix_soundscapes
from train.data.bank import read_bank
from train.data.desed import find_sets
from train.data.mixes import mix_folder
from train.data.parts import hold_out
from train.data.plans import MIXED_SETS, SetPlan, mix_sets
from train.data.soundscape import REAL_LIKE, MixSettings
from train.data.tables import read_set

BANK = Path(__file__).parents[1] / "data" / "bank"
REPOSITORY = Path(__file__).parents[2]
SHORT = {"clip_s": 3.0}
PLAN = {
    "synthetic": SetPlan(clips=5, overrides=SHORT),
    "weak": SetPlan(clips=4, domain="real", overrides=SHORT),
    "unlabelled": SetPlan(clips=4, domain="real", overrides=SHORT),
    "development": SetPlan(clips=4, overrides=SHORT),
    "validation": SetPlan(clips=3, overrides=SHORT),
}

# Ends itself, without any farewell, in the middle of the clip whose number it is given.
KILLED = """
import os, signal, sys
from pathlib import Path
import train.data.mixes as mixes
from tests.train.test_plans import BANK, PLAN
from train.data.plans import mix_sets

whole = mixes._mix_all
def killed(*args):
    for number, clip in enumerate(whole(*args)):
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield clip

if __name__ == "__main__":
    mixes._mix_all = killed
    mix_sets(BANK, Path(sys.argv[1]), PLAN, 0.25, int(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    mix_sets(BANK, folder, PLAN, 0.25)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Files by name, journals with their lines sorted: processes finish clips in any order."""
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    found = {name: content for name, content in found.items() if not name.endswith(".part")}
    return {n: b"\n".join(sorted(c.split(b"\n"))) if n.endswith(".jsonl") else c for n, c in found.items()}


def recordings_of(folder: Path, name: str) -> set[str]:
    (journal,) = folder.rglob(f"{name}_mix.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    return {recording for line in lines for recording in line["recordings"]}


def test_every_set_lies_where_training_looks_for_it(mixed: Path):
    sets = find_sets(mixed)
    assert set(sets) == set(MIXED_SETS)
    for name, clips in sets.items():
        table = read_set(name, clips)
        assert table.filenames == tuple(f"{index:05d}.flac" for index in range(PLAN[name].clips))
        assert all(path.is_file() for path in table.paths())
        assert read_durations(clips.durations) == dict.fromkeys(table.filenames, 3.0)


def test_weak_clips_have_tags_and_unlabelled_ones_names_but_their_truth_is_kept(mixed: Path):
    sets, tables = find_sets(mixed), mixed / "metadata" / "train"
    truth = read_events(tables / "weak_truth.tsv")
    weak = read_set("weak", sets["weak"])
    assert (tables / "weak.tsv").read_text().startswith("filename\tevent_labels\n")
    assert weak.given_tags == tuple(tuple(sorted({e.event_label for e in truth[f]})) for f in weak.filenames)
    assert any(weak.given_tags)
    assert (tables / "unlabelled.tsv").read_text().splitlines() == ["filename", *weak.filenames]
    assert any(read_events(tables / "unlabelled_truth.tsv").values())
    assert sorted(path.name for path in mixed.rglob("*_truth.tsv")) == [
        "unlabelled_truth.tsv",
        "weak_truth.tsv",
    ]


def test_no_background_is_in_both_domains(mixed: Path):
    used = {name: {r for r in recordings_of(mixed, name) if "background/" in r} for name in MIXED_SETS}
    assert all(used.values())
    assert not used["synthetic"] & (used["weak"] | used["unlabelled"])
    assert not used["validation"] & (used["synthetic"] | used["weak"] | used["unlabelled"])


def test_what_is_held_out_is_in_the_development_set_only(tmp_path: Path):
    many = SetPlan(clips=8, overrides={"clip_s": 1.0, "event_weights": (0, 0, 0, 1)})
    mix_sets(BANK, tmp_path, {"synthetic": many, "weak": many, "development": many}, 0.25)
    group_of = {r.name: r.group for r in read_bank(BANK).recordings}
    dogs = {
        name: {group_of[r] for r in recordings_of(tmp_path, name) if "/Dog/" in r}
        for name in ("synthetic", "weak", "development")
    }
    assert all(dogs.values())
    assert not dogs["development"] & (dogs["synthetic"] | dogs["weak"])
    held = {r.group for r in hold_out(read_bank(BANK, "train"), 0.25).development.recordings}
    assert dogs["development"] <= held


def test_sets_of_one_seed_differ(mixed: Path):
    first = {
        name: (find_sets(mixed)[name].audio / "00000.flac").read_bytes() for name in ("weak", "unlabelled")
    }
    assert first["weak"] != first["unlabelled"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_kill_costs_no_set_a_clip(mixed: Path, tmp_path: Path):
    script, out, ages = tmp_path / "killed.py", tmp_path / "mixes", {}
    script.write_text(KILLED)
    for clip, workers in ((6, 1), (5, 2)):
        command = [sys.executable, str(script), str(out), str(clip), str(workers)]
        # its output ends when the last of its processes has
        done = subprocess.run(
            command, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        noted = [
            json.loads(line)
            for journal in out.rglob("*.jsonl")
            for line in journal.read_text().split("\n")[1:-1]
        ]
        ages[clip] = len(noted)
    assert ages == {6: 6, 5: 11}
    mix_sets(BANK, out, PLAN, 0.25)
    assert contents(out) == contents(mixed)


def test_each_set_goes_on_where_it_stopped(mixed: Path, tmp_path: Path):
    out = Path(shutil.copytree(mixed, tmp_path / "mixes"))
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("00000.flac")}
    for journal in list(out.rglob("*.jsonl")):
        journal.write_text(journal.read_text()[:-20])
    for path in [*out.rglob("00001.flac"), *out.rglob("*.tsv")]:
        path.unlink()
    mix_sets(BANK, out, PLAN, 0.25)
    assert contents(out) == contents(mixed)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    with pytest.raises(SedgeError, match=r"weak_mix\.jsonl: .*change --out"):
        mix_sets(BANK, out, {"weak": SetPlan(clips=4, overrides=SHORT)}, 0.25)


def test_a_bank_too_small_to_part_is_used_whole_with_a_notice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bank = Path(shutil.copytree(BANK, tmp_path / "bank"))
    rows = (bank / "SOURCES.tsv").read_text().splitlines()
    gone = ("background/kitchen20-D-Hotte", "background/freesound-17367")
    (bank / "SOURCES.tsv").write_text("\n".join(row for row in rows if not row.startswith(gone)) + "\n")
    plan = {name: PLAN[name].model_copy(update={"clips": 1}) for name in ("synthetic", "weak", "development")}
    mix_sets(bank, tmp_path / "mixes", plan, 0.25)
    said = capsys.readouterr().err
    assert "one group of backgrounds cannot be parted" in said
    assert "development clips have training recordings of Alarm_bell_ringing, Blender" in said
    used = [recordings_of(tmp_path / "mixes", name) for name in plan]
    assert all("background/freesound-17808_00.flac" in of_set for of_set in used)
    mix_folder(bank, tmp_path / "one", 1, "train", MixSettings(clip_s=1.0), domain="real")
    assert "cannot be parted" in capsys.readouterr().err


def test_a_plan_is_checked():
    assert SetPlan(clips=1, domain="real").settings("weak").rt60_s == REAL_LIKE.rt60_s
    assert SetPlan(clips=1, overrides={"snr_db": [3, 9]}).settings("weak").snr_db == (3, 9)
    again = SetPlan.model_validate(PLAN["weak"].model_dump(mode="json"))
    assert again.settings("weak") == PLAN["weak"].settings("weak")
    for wrong, said in (
        ({"snr": [0, 1]}, "unknown setting 'snr'; the nearest is 'snr_db'"),
        ({"seed": 3}, "unknown setting 'seed'"),
        ({"kept_share": 7}, r"overrides\.kept_share: .*, found 7"),
        ({"snr_db": [9, 3]}, "expected a range"),
    ):
        with pytest.raises(ValueError, match=said):
            SetPlan(clips=1, overrides=wrong)
    with pytest.raises(ValueError, match="clips"):
        SetPlan(clips=0)


def test_wrong_sets_are_refused(tmp_path: Path):
    with pytest.raises(SedgeError, match=r"expected some of synthetic, .*found 'public'"):
        mix_sets(BANK, tmp_path, {"public": SetPlan(clips=1)})
    with pytest.raises(SedgeError, match="expected one or more"):
        mix_sets(BANK, tmp_path, {})
    with pytest.raises(SedgeError, match=r"found .* and 1"):
        mix_sets(BANK, tmp_path, PLAN, 1.0)
    with pytest.raises(SedgeError, match="workers: expected 1 or more"):
        mix_sets(BANK, tmp_path, PLAN, 0.25, workers=0)
    assert not list(tmp_path.iterdir())


def test_the_command_mixes_sets_and_domains(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    given = [str(BANK), "--workers", "1", "--out"]
    assert mix_soundscapes.main([*given, str(tmp_path / "sets"), "--sets", "synthetic=1", "weak=2"]) == 0
    assert {
        name: len(read_set(name, clips).filenames) for name, clips in find_sets(tmp_path / "sets").items()
    } == {
        "synthetic": 1,
        "weak": 2,
    }
    assert mix_soundscapes.main([*given, str(tmp_path / "real"), "--clips", "1", "--domain", "real"]) == 0
    header = (tmp_path / "real" / "metadata" / "train" / "synthetic_mix.jsonl").read_text().splitlines()[0]
    assert MixSettings(**json.loads(header)["settings"]) == REAL_LIKE
    for wrong in ("weak", "weak=x", "weak=0"):
        with pytest.raises(SedgeError, match="expected"):
            mix_soundscapes.main([*given, str(tmp_path / "none"), "--sets", wrong])
    assert "synthetic=1, weak=2" in capsys.readouterr().out
