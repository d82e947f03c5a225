"""The sound bank: what is read, how it is split, and what is refused."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.errors import AudioError, SedgeError
from train.data.bank import attribution_lines, draw_splits, read_bank, read_waveform

BANK = Path(__file__).parents[1] / "data" / "bank"
LABELS = ("Alarm_bell_ringing", "Blender", "Dishes", "Dog", "Speech")


@pytest.fixture
def bank_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BANK, tmp_path / "bank"))


def write_noise(path: Path, seconds: float = 0.5, rate: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(1).normal(0, 0.1, round(seconds * rate)).astype(np.float32)
    soundfile.write(path, noise, rate)


def bare_bank(folder: Path) -> Path:
    for index in range(5):
        for inside in ("Dog", "Cat", "background"):
            write_noise(folder / inside / f"{index}.flac")
    return folder


def test_the_table_gives_roles_labels_and_splits():
    bank = read_bank(BANK)
    assert bank.event_labels == LABELS
    assert Counter(r.role for r in bank.recordings)["background"] >= 4
    assert Counter(r.role for r in bank.recordings)["distractor"] >= 2
    for label in LABELS:
        of_label = [r for r in bank.recordings if r.event_label == label]
        assert len(of_label) >= 3
        assert len({r.group for r in of_label}) >= 2


def test_no_group_is_in_both_splits_and_the_splits_make_the_bank():
    train, validation = read_bank(BANK, "train"), read_bank(BANK, "validation")
    assert not {r.group for r in train.recordings} & {r.group for r in validation.recordings}
    assert len(train.recordings) + len(validation.recordings) == len(read_bank(BANK).recordings)
    assert train.event_labels == validation.event_labels == LABELS


def test_labels_are_drawn_equally_often():
    bank, rng = read_bank(BANK), np.random.default_rng(3)
    counts = Counter(bank.draw_event(rng).event_label for _ in range(5_000))
    assert all(abs(counts[label] - 1_000) < 120 for label in LABELS)


@pytest.mark.parametrize("nested", [False, True])
def test_a_bare_bank_is_split_by_file(tmp_path: Path, nested: bool):
    folder = bare_bank(tmp_path / "bank")
    if nested:
        for label in ("Dog", "Cat"):
            shutil.move(folder / label, folder / "foreground" / label)
    bank = read_bank(folder)
    assert bank.event_labels == ("Cat", "Dog")
    assert len({r.group for r in bank.recordings}) == len(bank.recordings) == 15
    for split in ("train", "validation"):
        assert {r.event_label for r in read_bank(folder, split).recordings} == {"Cat", "Dog", None}


@given(st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=60))
def test_splits_are_stable_and_both_present(groups: set[str]):
    splits = draw_splits(sorted(groups))
    assert splits == draw_splits(sorted(groups, reverse=True))
    assert len(set(splits.values())) == min(2, len(groups))


def test_a_fifth_is_for_validation():
    splits = Counter(draw_splits([f"dog/{index}.flac" for index in range(2_000)]).values())
    assert 0.16 < splits["validation"] / 2_000 < 0.24


def test_what_is_missing_is_named(tmp_path: Path, bank_copy: Path):
    with pytest.raises(SedgeError, match="no such folder"):
        read_bank(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SedgeError, match="no labels"):
        read_bank(tmp_path / "empty")
    write_noise(tmp_path / "silent" / "Dog" / "a.flac")
    with pytest.raises(SedgeError, match="background/, found none"):
        read_bank(tmp_path / "silent")
    gone = [r.path for r in read_bank(bank_copy).of_role("distractor")][:2]
    for path in gone:
        path.unlink()
    with pytest.raises(SedgeError, match="2 files named") as error:
        read_bank(bank_copy)
    assert all(path.name in str(error.value) for path in gone)


def test_a_group_in_both_splits_is_refused(bank_copy: Path):
    table = bank_copy / "SOURCES.tsv"
    header, *rows = table.read_text().splitlines()
    rows[1] = (
        rows[1].replace("\ttrain\t", "\tvalidation\t").replace(rows[1].split("\t")[3], rows[0].split("\t")[3])
    )
    rows[0] = rows[0].replace("\tvalidation\t", "\ttrain\t")
    table.write_text("\n".join([header, *rows]) + "\n")
    with pytest.raises(SedgeError, match="each group in one split"):
        read_bank(bank_copy)


def test_a_split_without_a_label_is_refused(bank_copy: Path):
    table = bank_copy / "SOURCES.tsv"
    lines = [line for line in table.read_text().splitlines() if "Presse-agrumes" not in line]
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(SedgeError, match=r"validation split.*Blender"):
        read_bank(bank_copy, "validation")


@pytest.mark.parametrize("content", [b"", b"not audio at all", None])
def test_damaged_audio_is_named(tmp_path: Path, content: bytes | None):
    path = tmp_path / "damaged.flac"
    whole = read_bank(BANK).recordings[0].path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3] if content is None else content)
    with pytest.raises(AudioError, match=r"damaged\.flac"):
        read_waveform(path)


def test_other_rates_and_channels_become_16_khz_mono(tmp_path: Path):
    stereo = np.stack([np.sin(2 * np.pi * 440 * np.arange(22_050) / 44_100)] * 2, axis=1)
    soundfile.write(tmp_path / "tone.wav", stereo, 44_100)
    waveform = read_waveform(tmp_path / "tone.wav")
    assert waveform.shape == (8_000,)
    expected = np.sin(2 * np.pi * 440 * np.arange(8_000) / 16_000)
    assert np.abs(waveform - expected)[200:-200].max() < 1e-3


def test_attribution_names_every_file_with_its_licence():
    bank = read_bank(BANK)
    text = "\n".join(attribution_lines(bank.recordings))
    assert all(r.name in text and r.licence in text and r.source in text for r in bank.recordings)


def test_the_banks_licences_permit_copying():
    for recording in read_bank(BANK).recordings:
        licence = recording.licence
        permitted = (
            "CC0",
            "CC BY",
            "CC-BY",
            "Apache-2.0",
            "Creative Commons 0",
            "Public Domain",
            "public domain",
        )
        assert licence.startswith(permitted), recording.name
        assert not any(mark in licence for mark in ("NC", "SA", "GPL", "unconfirmed")), recording.name
