"""`sedge demo`: its own recording and annotation, and how found events are held against annotated ones."""

import os
from pathlib import Path
from typing import Any

import soundfile
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_app import cli
from edge_app.commands import demo
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_events
from edge_app.stream.messages import EventNews, News, Summary


def event(onset: float, offset: float, label: str = "Dog") -> Event:
    return Event(onset, offset, label, 0.9)


@st.composite
def event_lists(draw) -> list[Event]:
    spans = st.tuples(st.integers(0, 500), st.integers(1, 100), st.sampled_from(["Dog", "Cat"]))
    return [event(a / 50, (a + n) / 50, label) for a, n, label in draw(st.lists(spans, max_size=8))]


@given(event_lists(), event_lists())
def test_every_event_stands_in_exactly_one_row(annotated, found):
    rows = demo.compare(annotated, found)
    key = repr
    assert sorted((row.annotated for row in rows if row.annotated), key=key) == sorted(annotated, key=key)
    assert sorted((row.found for row in rows if row.found), key=key) == sorted(found, key=key)
    for row in rows:
        if row.annotated and row.found:
            assert demo.overlap_s(row.annotated, row.found) > 0


@given(event_lists())
def test_perfect_detection_is_found_throughout(annotated):
    distinct = list(dict.fromkeys(annotated))
    assert {row.verdict for row in demo.compare(distinct, distinct)} <= {"found"}


def test_verdicts():
    rows = demo.compare(
        [event(1.0, 2.0), event(5.0, 6.0), event(8.0, 9.0)],
        [event(1.15, 2.15), event(5.3, 6.0), event(8.0, 9.0, "Cat")],
    )
    assert [row.verdict for row in rows[:2]] == ["found", "found, times differ"]
    assert sorted(row.verdict for row in rows[2:]) == ["missed", "not in the recording"]
    assert demo.closing_text(rows) == (
        "2 of 3 annotated events found, 1 of them with onset and offset on time; 1 missed, 1 not in the recording."
    )


def test_second_part_of_a_found_event_is_not_called_made_up():
    rows = demo.compare([event(1.0, 5.0)], [event(1.0, 2.0), event(3.0, 5.0), event(6.0, 7.0)])
    assert [row.verdict for row in rows] == ["found, times differ", "another part", "not in the recording"]
    assert demo.closing_text(rows).startswith("1 of 1 annotated events found")


def test_table_has_one_line_a_row_at_80_columns(capsys):
    annotated = [event(82.36, 85.91, "Alarm_bell_ringing"), event(86.0, 87.0, "Running_water")]
    found = [event(82.0, 85.9, "Alarm_bell_ringing"), event(88.0, 89.5, "Running_water")]
    Console(width=80).print(demo.comparison_table(demo.compare(annotated, found)))
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["event", "annotated,", "s", "found,", "s", "score", "verdict"]
    assert len(rows) == 3
    for row, verdict in zip(rows, ["found, times differ", "missed", "not in the recording"], strict=True):
        assert row.rstrip().endswith(f"  {verdict}")


def test_recording_is_one_to_two_minutes_with_four_labels_annotated_inside_it():
    described = soundfile.info(demo.RECORDING)
    duration_s = described.frames / described.samplerate
    assert 60 <= duration_s <= 120
    (annotated,) = read_events(demo.ANNOTATION).values()
    assert len({one.event_label for one in annotated}) >= 4
    assert all(0 <= one.onset < one.offset <= duration_s for one in annotated)
    assert (demo.DEMO_FOLDER / "ATTRIBUTION.md").is_file()


def test_demo_finds_most_of_what_is_there(capsys):
    assert cli.main(["demo"]) == 0
    shown = capsys.readouterr().out
    assert "begins" in shown
    assert "real-time factor" in shown
    found, total = (
        int(shown.split(" annotated events found")[0].split("\n")[-1].split(" of ")[i]) for i in (0, 1)
    )
    assert found >= total / 2


def test_damaged_model_is_3(tmp_path: Path, capsys):
    assert cli.main(["demo", "--bundle", os.fspath(tmp_path)]) == 3
    assert "bundle.json" in capsys.readouterr().err


def test_timeline_is_printed_as_news_come_and_only_closed_events_count(capsys):
    def news(type_: Any, onset: float, offset: float) -> EventNews:
        samples = (round(onset * 16000), round(offset * 16000))
        return EventNews(type_, 1, "Alarm_bell_ringing", onset, offset, *samples, 0.9)

    summary = Summary(16000, 16000, 0, 0, 0, 0.1, "a runtime", 25, 16000, 1, 0.1)
    stream: list[News] = [
        news("provisional", 1.0, 1.1),
        news("confirmed", 1.0, 1.3),
        news("update", 1.0, 2.0),
        news("closed", 1.0, 2.5),
        summary,
    ]
    found, last = demo.follow(stream)
    assert found == [Event(1.0, 2.5, "Alarm_bell_ringing", 0.9)]
    assert last is summary
    assert capsys.readouterr().out == (
        "00:01.00  Alarm bell ringing begins\n"
        "00:02.50  Alarm bell ringing ends: since 00:01.00, 1.50 s, score 0.90\n"
    )
