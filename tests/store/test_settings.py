"""Settings come back, and no file, however damaged, keeps the program from starting."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_app.core.decode import LabelDecoding
from edge_app.core.errors import SedgeError
from edge_app.store.clips import ClipWishes
from edge_app.store.settings import AppSettings, LabelSettings, load_settings, save_settings

CHANGED = AppSettings(
    device="USB Mic (ALSA)",
    theme="dark",
    hop_frames=10,
    labels={"Dog": LabelSettings(threshold_on=0.7, save_audio=True), "Cat": LabelSettings(enabled=False)},
)


NAMES = st.sampled_from(["labels", "theme", "Dog", "view_s"])
DAMAGED_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)


def test_settings_come_back(tmp_path):
    path = tmp_path / "new" / "settings.json"
    assert load_settings(path) == (AppSettings(), None)
    save_settings(CHANGED, path)
    assert load_settings(path) == (CHANGED, None)
    assert [file.name for file in path.parent.iterdir()] == ["settings.json"]


def test_what_cannot_be_used_is_told_and_the_rest_is_used(tmp_path):
    path = tmp_path / "settings.json"
    stored = json.loads(CHANGED.model_dump_json())
    stored |= {"view_s": -3, "from_a_later_version": True}
    stored["labels"]["Cat"] = {"threshold_on": 7}
    path.write_text(json.dumps(stored))
    settings, message = load_settings(path)
    assert settings == CHANGED.model_copy(update={"labels": {"Dog": CHANGED.labels["Dog"]}})
    assert message is not None
    assert "defaults are used for Cat, from_a_later_version, view_s" in message
    assert json.loads((tmp_path / "settings.json.damaged").read_text()) == stored


@given(st.binary(max_size=60) | DAMAGED_JSON.map(lambda value: json.dumps(value).encode()))
def test_no_file_keeps_the_program_from_starting(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "damaged-settings.json"
    path.write_bytes(content)
    settings, message = load_settings(path)
    assert isinstance(settings, AppSettings)
    assert message is None or ("\n" not in message and str(path) in message)


def test_a_folder_that_cannot_be_written_ends_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SedgeError, match="cannot be written"):
        save_settings(CHANGED, tmp_path / "file" / "settings.json")
    assert load_settings(tmp_path / "file" / "settings.json")[0] == AppSettings()


@given(
    st.floats(0.05, 0.95),
    st.none() | st.floats(0.05, 0.95),
    st.none() | st.floats(0.01, 0.99),
    st.none() | st.floats(0.01, 0.99),
)
def test_any_change_gives_a_decoding(shipped_on, shipped_off, on, off):
    shipped_off = None if shipped_off is None else min(shipped_on, shipped_off)
    shipped = LabelDecoding(threshold_on=shipped_on, threshold_off=shipped_off, median_frames=7)
    if on and off and off > on:
        with pytest.raises(ValidationError):
            LabelSettings(threshold_on=on, threshold_off=off)
        return
    decoding = LabelSettings(threshold_on=on, threshold_off=off).decoding(shipped)
    assert decoding.median_frames == 7
    assert decoding.threshold_on == max(on or shipped_on, off or 0)
    assert decoding.off == off or off is None
    if on is None and off is None:
        assert decoding == shipped


def test_clips_are_kept_of_no_label_until_asked():
    assert AppSettings().clip_wishes == ClipWishes()
    assert AppSettings().clip_wishes.event_labels == frozenset()
    assert CHANGED.clip_wishes == replace(ClipWishes(), event_labels=frozenset({"Dog"}))
