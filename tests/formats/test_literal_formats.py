"""One literal example of each format, other programs' variants, and what is wrong named with its place."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from edge_app.core.bundle import DEFAULT_BUNDLE, MANIFEST_FILE, load_bundle
from edge_app.core.errors import BundleError, SedgeError
from edge_app.formats.audacity import read_audacity, write_audacity
from edge_app.formats.csv_table import read_csv, write_csv
from edge_app.formats.desed_tsv import read_desed, read_durations, write_desed
from edge_app.formats.exchange import Export, ExportEvent, ExportGap, ExportMark
from edge_app.formats.frame_scores import FrameScoreWriter, read_frame_scores, write_stretches
from edge_app.formats.json_file import read_json, write_json
from edge_app.formats.json_lines import read_json_lines, write_json_lines
from edge_app.formats.raven import read_raven, write_raven
from edge_app.formats.registry import READERS, SUFFIXES, WRITERS
from edge_app.formats.rttm import read_rttm, write_rttm
from edge_app.formats.side_files import ABOUT_SUFFIX, read_gaps

DOG = ExportEvent("mic", "C:\\rec\\a.wav", 12.34, 13.12, "Dog", 0.91)
CAT = ExportEvent("mic", "b.wav", 0.5, 2.0, "Cat", 1.0)
DURATIONS = {DOG.file: 60.0, "silent.wav": 1.5, CAT.file: 4.0}


def test_audacity(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_audacity(path, Export([DOG]))
    assert path.read_bytes() == b"12.340000\t13.120000\tDog 0.91\n"
    path.write_bytes(b"1.0\t1.0\tmark\r\n\\\t300.000000\t4000.000000\r\n2\t3.5\tTake 2\r\n\r\n")
    events = read_audacity(path).events
    assert [(event.onset, event.offset, event.event_label, event.score) for event in events] == [
        (1.0, 1.0, "mark", 1.0),
        (2.0, 3.5, "Take 2", 1.0),
    ]
    with pytest.raises(SedgeError, match="expected events of one recording, found 2"):
        write_audacity(path, Export([DOG, CAT]))


def test_desed(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    write_desed(path, Export([CAT], (), {CAT.file: 4.0, "silent.wav": 1.5}))
    assert path.read_text() == (
        "filename\tonset\toffset\tevent_label\nb.wav\t0.500\t2.000\tCat\nsilent.wav\t\t\t\n"
    )
    assert read_durations(tmp_path / "a.durations.tsv") == {"b.wav": 4.0, "silent.wav": 1.5}
    write_desed(path, Export([CAT]))
    assert read_desed(path).durations == {}


def test_raven(tmp_path: Path) -> None:
    path = tmp_path / "a.selections.txt"
    write_raven(path, Export([CAT, DOG], (), DURATIONS))
    assert path.read_text().splitlines() == [
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin Path\t"
        "File Offset (s)\tSpecies\tConfidence",
        "1\tSpectrogram 1\t1\t12.340\t13.120\t0\t8000\tC:\\rec\\a.wav\t12.340\tDog\t0.9100",
        "2\tSpectrogram 1\t1\t62.000\t63.500\t0\t8000\tb.wav\t0.500\tCat\t1.0000",
    ]


def test_raven_has_only_rows_with_sound_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "a.selections.txt"
    tabbed = ExportEvent("mic", "a\tb.wav", 0.5, 2.0, "Cat", 1.0)
    durations = {DOG.file: 60.0, "a\tb.wav": 5.0, CAT.file: 4.0}
    export = Export([DOG, CAT, tabbed], (), durations, unrecorded=frozenset([DOG.file]))
    assert write_raven(path, export) == 2
    assert [event.file for event in read_raven(path).events] == ["b.wav"]
    assert path.read_text().splitlines()[1].startswith("1\tSpectrogram 1\t1\t0.500\t2.000\t")
    assert write_raven(path, Export([CAT])) == 1


def test_raven_opens_recordings_by_their_whole_path(tmp_path: Path) -> None:
    path = tmp_path / "a.selections.txt"
    export = Export([CAT], (), {CAT.file: 4.0, "lost.wav": 3.0}, recordings={CAT.file: "/rec/b.wav"})
    assert write_raven(path, export) == 0
    assert "\t/rec/b.wav\t0.500\tCat" in path.read_text()
    tabbed = Export([CAT], (), {CAT.file: 4.0}, recordings={CAT.file: "/a\tb/b.wav"})
    assert write_raven(path, tabbed) == 1


def test_raven_columns_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.selections.txt"
    path.write_text(
        "Selection\tSpecies\tConfidence\tBegin Time (s)\tEnd Time (s)\tBegin Path\tFile Offset (s)\n"
        "1\tCat\t0.5\t62\t63.5\tC:\\temp\\new.wav\t2.0\n"
    )
    assert read_raven(path).events == [ExportEvent("", "C:\\temp\\new.wav", 2.0, 3.5, "Cat", 0.5)]


def test_rttm(tmp_path: Path) -> None:
    event = ExportEvent("mic", "kitchen 1.wav", 0.5, 2.0, "Running water", 0.5)
    write_rttm(tmp_path / "a.rttm", Export([event]))
    line = "SPEAKER kitchen%201.wav 1 0.500 1.500 <NA> <NA> Running%20water <NA> <NA>\n"
    assert (tmp_path / "a.rttm").read_text() == line
    (tmp_path / "a.rttm").write_text(f"SPKR-INFO a 1 <NA> <NA> <NA> unknown x <NA>\n\n{line}")
    assert [event.event_label for event in read_rttm(tmp_path / "a.rttm").events] == ["Running water"]


def test_csv(tmp_path: Path) -> None:
    event = ExportEvent(
        source='USB "front"',
        file="a, b.wav",
        onset=12.34,
        offset=13.12,
        event_label="Dog",
        score=0.91,
        mean=0.5,
        onset_utc=datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC),
        session_id=3,
        event_id=17,
        cut=True,
        review="confirmed",
        note="not here",
        clip="clips/17.flac",
        model="default",
        threshold_on=0.5,
        threshold_off=0.35,
    )
    write_csv(tmp_path / "a.csv", Export([event, CAT]))
    assert (tmp_path / "a.csv").read_bytes().decode().split("\r\n") == [
        "session_id,event_id,source,file,onset_s,offset_s,duration_s,onset_utc,label,peak,mean,state,cut,review,"
        "model,threshold_on,threshold_off,clip",
        '3,17,"USB ""front""","a, b.wav",12.340000,13.120000,0.780000,2026-01-02T03:04:05.600000Z,Dog,0.910000,'
        "0.500000,closed,true,confirmed,default,0.500000,0.350000,clips/17.flac",
        ",,mic,b.wav,0.500000,2.000000,1.500000,,Cat,1.000000,,closed,false,,,,,",
        "",
    ]
    assert read_csv(tmp_path / "a.csv").events[1] == CAT


def test_json(tmp_path: Path) -> None:
    gap = ExportGap(1.0, 2.0, "lost", "b.wav")
    about = {"app": "sedge 1", "sample_rate": 16_000, "latency": {"p95_s": 0.4}}
    write_json(
        tmp_path / "a.json", Export([CAT], [gap], {"b.wav": 4.0}, about, frozenset(), [ExportMark(3.0)])
    )
    assert "".join((tmp_path / "a.json").read_text().split()) == (
        '{"schema":1,"app":"sedge1","model":null,"settings":null,"source":null,"sample_rate":16000,'
        '"durations":{"b.wav":4.0},"unrecorded":[],"recordings":{},"events":[{"source":"mic","file":"b.wav","onset":0.5,'
        '"offset":2.0,"event_label":"Cat","score":1.0,"mean":null,"onset_utc":null,"session_id":null,'
        '"event_id":null,"state":"closed","cut":false,"review":"","note":"","clip":"","model":"",'
        '"threshold_on":null,"threshold_off":null}],'
        '"gaps":[{"onset":1.0,"offset":2.0,"kind":"lost","file":"b.wav"}],"marks":[{"at":3.0,"note":"","file":"b.wav"}],'
        '"latency":{"p95_s":0.4}}'
    )
    assert read_json(tmp_path / "a.json").about == about


@pytest.mark.parametrize("about", [{"events": 1}, {"settings": object()}, {"latency": float("nan")}])
def test_what_json_cannot_hold_is_refused(tmp_path: Path, about: dict) -> None:
    with pytest.raises(SedgeError, match=r"a\.json: .*expected"):
        write_json(tmp_path / "a.json", Export([CAT], (), {}, about))
    assert list(tmp_path.iterdir()) == []


def test_json_lines(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "a.jsonl", Export([CAT], (), {}, {"app": "sedge 1"}))
    assert (tmp_path / "a.jsonl").read_text() == (
        '{"filename": "b.wav", "onset": 0.5, "offset": 2.0, "event_label": "Cat", "score": 1.0}\n'
    )
    assert read_json_lines(tmp_path / "a.jsonl").about == {"app": "sedge 1"}
    assert (tmp_path / f"a{ABOUT_SUFFIX}").is_file()


def test_gaps_in_frame_scores_are_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    gap = ExportGap(0.06, 0.12, "lost", "live")
    stretches = [(0, np.full((3, 2), 0.5, np.float32)), (6, np.full((1, 2), 1.0, np.float32))]
    write_stretches(path, ("Cat", "Dog"), stretches, 4000, [gap])
    labels, scores = read_frame_scores(path)
    assert labels == ("Cat", "Dog")
    assert scores[:, 0].tolist() == [0.5] * 3 + [0.0] * 3 + [1.0] + [0.0] * 3993
    assert read_gaps(tmp_path / "a.not_analysed.tsv") == [gap]
    with pytest.raises(SedgeError, match="within frames 3 to 10, found 2 to 3"):
        write_stretches(path, ("Cat", "Dog"), [stretches[0], (2, stretches[1][1])], 10)
    assert len(read_frame_scores(path)[1]) == 4000
    with FrameScoreWriter(path, ("Cat",)) as writer:
        writer.skip_to(2)
        with pytest.raises(ValueError, match="expected one from 2"):
            writer.skip_to(1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("desed", "filename\tonset\toffset\tevent_label\na.wav\tx\t1\tCat\n", "row 2: onset"),
        ("csv", "session_id,label\n1,Dog\n", "expected columns"),
        ("csv", "{header}\n1,1,m,a,0,1,1,noon,Dog,1,,closed,true,,,,,\n", "row 2: onset_utc.*'noon'"),
        ("csv", "{header}\n1,1,m,a,0,1,1,2026-01-01,Dog,1,,closed,true,,,,,\n", "time zone"),
        ("csv", "{header}\n1,1,m,a,0,1,1,,Dog,1,,closed,maybe,,,,,\n", "row 2: cut.*'maybe'"),
        ("csv", "{header}\nx,1,m,a,0,1,1,,Dog,1,,closed,true,,,,,\n", "row 2: session_id.*'x'"),
        ("csv", "{header}\n1,1,m,a,0,1,1,,Dog,high,,closed,true,,,,,\n", "row 2: peak.*'high'"),
        ("json", "[1]", "expected a JSON object, found list"),
        ("json", "{", "expected JSON"),
        ("json", '{"schema": 9}', "schema: expected 1, found 9"),
        ("json", '{"schema": 1, "events": {}}', "events: expected a list"),
        ("json", '{"schema": 1, "events": [{"onset": 1}]}', "event 1: expected .*event_label"),
        ("json", '{"schema": 1, "gaps": [{"onset": 1, "offset": "2"}]}', "gap 1: offset"),
        ("json", '{"schema": 1, "gaps": [{"when": 1}]}', "gap 1: expected fields"),
        ("json", '{"schema": 1, "durations": {"a": "b"}}', "durations"),
        ("json", '{"schema": 1, "marks": [{"note": "a"}]}', "mark 1: expected .*'at'"),
        ("json", '{"schema": 1, "recordings": {"a": 1}}', "recordings: expected paths"),
        ("frame-scores", "onset\toffset\n", "expected columns onset, offset and labels"),
        ("audacity", "1.0\t2.0\n", "line 1: expected onset, offset and label, found 2"),
        ("audacity", "0\t1\ta\n2.0\t1.0\tDog\n", "line 2: expected an onset before"),
        ("raven", "Selection\n1\n", "expected columns"),
        ("rttm", "SPEAKER a 1 0.5\n", "line 1: expected 10 fields, found 4"),
        ("rttm", "SPEAKER a 1 x 1 <NA> <NA> Dog <NA> <NA>\n", "line 1: onset.*'x'"),
        ("jsonl", '{"filename": "a"}\n', "line 1: expected an object"),
    ],
)
def test_a_wrong_file_is_named_with_its_place(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / f"a{SUFFIXES[name]}"
    WRITERS["csv"](tmp_path / "header.csv", Export())
    header = (tmp_path / "header.csv").read_text().strip()
    path.write_text(content.replace("{header}", header))
    with pytest.raises(SedgeError, match=f"a{SUFFIXES[name]}.*{message}") as caught:
        READERS[name](path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "label", ["Dog\tCat", "Dog\nCat", "Dog\rCat", "Dog\0", "\x1b[31mDog", "Dog\x85Cat", "Dog\udce9"]
)
def test_a_model_with_a_label_that_breaks_tables_is_refused(tmp_path: Path, label: str) -> None:
    manifest = json.loads((DEFAULT_BUNDLE / MANIFEST_FILE).read_text())
    manifest["event_labels"][0] = label
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"without tabs or line breaks|surrogate") as caught:
        load_bundle(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", list(READERS))
def test_a_missing_file_is_a_user_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(SedgeError, match="cannot be read"):
        READERS[name](tmp_path / f"none{SUFFIXES[name]}")
