"""An export as files: one, or one for each recording; frame scores only of those that have some."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent, ExportGap, ExportMark, ExportScores
from edge_app.formats.export_files import write_export
from edge_app.formats.registry import EVENT_FORMATS, READERS

once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
EXPORT = Export(
    [
        ExportEvent("mic", "a b.wav", 0.5, 1.0, "Dog", 0.5),
        ExportEvent("mic", "c/d.wav", 1.0, 2.0, "Cat", 0.5),
    ],
    [ExportGap(2.0, 3.0, "lost", "c/d.wav")],
    {"a b.wav": 4.0, "c/d.wav": 4.0, "e.wav": 1.0},
)


def kept(value: float, n_frames: int = 10) -> ExportScores:
    return ExportScores(("Cat",), n_frames, lambda: [(2, np.full((3, 1), value, np.float32))])


@pytest.mark.parametrize("name", EVENT_FORMATS)
def test_every_event_is_in_one_of_the_files(tmp_path: Path, name: str) -> None:
    written = write_export(tmp_path / "all.txt", name, EXPORT)
    found = [event for path in written.files for event in READERS[name](path).events]
    assert sorted(event.event_label for event in found) == ["Cat", "Dog"]
    assert (written.n_events, written.n_left_out, written.n_frames) == (2, 0, 0)
    assert len(written.files) == (3 if name == "audacity" else 1)


def test_a_label_track_for_each_recording_has_its_own_gaps(tmp_path: Path) -> None:
    written = write_export(tmp_path / "night.txt", "audacity", EXPORT)
    assert [path.name for path in written.files] == [
        "night.a_b.wav.txt",
        "night.c_d.wav.txt",
        "night.e.wav.txt",
    ]
    assert [len(READERS["audacity"](path).gaps) for path in written.files] == [0, 1, 0]


def test_one_recording_keeps_the_name_that_was_asked_for(tmp_path: Path) -> None:
    for export in (Export(), Export((), (), {"a": 1.0})):
        assert write_export(tmp_path / "x", "audacity", export).files == (tmp_path / "x",)


@pytest.mark.parametrize("name", ["audacity", "frame-scores"])
def test_two_recordings_with_one_name_are_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    names = ("a/b", "a b")
    export = Export((), (), dict.fromkeys(names, 1.0), scores=dict.fromkeys(names, kept(0.5)))
    with pytest.raises(SedgeError, match="expected a name of its own"):
        write_export(tmp_path / "x", name, export)
    assert list(tmp_path.iterdir()) == []


def test_frame_scores_of_those_that_have_some(tmp_path: Path) -> None:
    marked = replace(EXPORT, marks=[ExportMark(1.5, "hm", "c/d.wav")])
    export = replace(marked, scores={"a b.wav": kept(0.25), "c/d.wav": kept(0.5, 7)})
    written = write_export(tmp_path / "x.scores.tsv", "frame-scores", export)
    assert [path.name for path in written.files] == ["x.a_b.wav.scores.tsv", "x.c_d.wav.scores.tsv"]
    assert (written.n_events, written.n_left_out, written.n_frames, written.n_without) == (0, 0, 17, 1)
    first, second = (READERS["frame-scores"](path) for path in written.files)
    assert first.scores["x.a_b.wav"].whole()[:, 0].tolist() == [0, 0, 0.25, 0.25, 0.25, 0, 0, 0, 0, 0]
    assert second.scores["x.c_d.wav"].n_frames == 7
    assert (first.gaps, first.marks) == ([], [])
    assert [gap.file for gap in second.gaps] == [mark.file for mark in second.marks] == ["c/d.wav"]


def test_scores_beyond_the_end_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    export = Export((), (), {"a": 1.0}, scores={"a": kept(0.5, 4)})
    with pytest.raises(SedgeError, match="expected scores within frames"):
        write_export(tmp_path / "x", "frame-scores", export)
    with pytest.raises(SedgeError, match="none were kept"):
        write_export(tmp_path / "x", "frame-scores", EXPORT)
    assert list(tmp_path.iterdir()) == []


@once
@given(random=st.data())
def test_every_frame_score_is_read_back_and_gaps_are_zeros(tmp_path: Path, random: st.DataObject) -> None:
    lengths = random.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 60)), max_size=5))
    rng = np.random.default_rng(random.draw(st.integers(0, 99)))
    expected, stretches = np.zeros((0, 3), np.float32), []
    for lost, length in lengths:
        scores = rng.random((length, 3), np.float32)
        stretches.append((len(expected) + lost, scores))
        expected = np.concatenate([expected, np.zeros((lost, 3), np.float32), scores])
    labels = ("Dog", "Running_water", "日本 0.5")
    held = ExportScores(labels, len(expected) + 7, lambda: iter(stretches))
    path = tmp_path / "a.scores.tsv"
    gap = ExportGap(0.02, 0.5, "lost", "live")
    write_export(path, "frame-scores", Export((), [gap], {"live": 99.0}, {"app": "x"}, scores={"live": held}))
    read = READERS["frame-scores"](path)
    assert read.scores["a"].event_labels == labels
    np.testing.assert_allclose(read.scores["a"].whole()[:-7], expected, atol=0.5e-5 + 1e-7)
    assert not read.scores["a"].whole()[-7:].any()
    assert (read.gaps, read.about) == ([gap], {"app": "x"})
    first = path.read_bytes()
    write_export(path, "frame-scores", read)
    assert path.read_bytes() == first
