"""The page of a run: counts by label and hour against plain loops, all text escaped, nothing from elsewhere."""

import re
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.scoring.journal_tables import Failure
from edge_app.scoring.name_time import start_in_name
from edge_app.scoring.summary_page import MOST_FAILURES, write_summary_page
from edge_app.scoring.tally import MOST_RECORDINGS, tally_of
from tests.scoring.made import made_facts, made_result

FACTS = made_facts()


class Tags(HTMLParser):
    """Checks that every tag is closed in order, and keeps tags and texts."""

    EMPTY = ("meta", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag not in self.EMPTY or not (self.get_starttag_text() or "").endswith("/>"):
            self.open += [tag] if tag != "meta" else []

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def read_page(path: Path) -> Tags:
    tags = Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    tags.close()
    assert tags.open == []
    return tags


@pytest.mark.parametrize(
    ("filename", "moment"),
    [
        ("20260131_235959.WAV", "2026-01-31 23:59:59"),
        ("site/SM4_20260131_235959.wav", "2026-01-31 23:59:59"),
        ("A01_0+1_20260131$060000.wav", "2026-01-31 06:00:00"),
        ("20260131T235959Z.flac", "2026-01-31 23:59:59"),
        ("rec-20260131-235959-1.flac", "2026-01-31 23:59:59"),
        ("20260131235959.wav", "2026-01-31 23:59:59"),
        ("2026-01-31T23-59-59.wav", "2026-01-31 23:59:59"),
        ("2026-01-31T23:59:59.wav", "2026-01-31 23:59:59"),
        ("2026-01-31_23-59-59.wav", "2026-01-31 23:59:59"),
        ("2026-01-31 23.59.59.wav", "2026-01-31 23:59:59"),
        ("2026_01_31_23_59_59.wav", "2026-01-31 23:59:59"),
        ("2026-01-31/23.59.wav", "2026-01-31 23:59:00"),
        ("20260131_2359.wav", "2026-01-31 23:59:00"),
        ("20250101_000000/20260131_235959.wav", "2026-01-31 23:59:59"),
        ("20260131.wav", None),
        ("20261331_235959.wav", None),
        ("20260131_246000.wav", None),
        ("18260131_235959.wav", None),
        ("120260131_235959.wav", None),
        ("20260131_2359591.wav", None),
        ("2026-0131_235959.wav", None),
        ("4f2a90c1.wav", None),
    ],
)
def test_the_time_is_in_the_name(filename: str, moment: str | None) -> None:
    found = start_in_name(filename)
    assert (None if found is None else str(found)) == moment


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
            st.integers(1, 200_000),
            st.lists(st.tuples(st.floats(0, 1), st.sampled_from(FACTS.event_labels)), max_size=4),
        ),
        max_size=30,
    )
)
def test_counts_are_those_of_plain_loops(drawn: list) -> None:
    results, minutes = [], [0] * 24
    by_hour = {label: [0] * 24 for label in FACTS.event_labels}
    for number, (start, length, places) in enumerate(drawn):
        spans = [(place * length, place * length + 1, label) for place, label in places]
        stamp = "" if start is None else f"_{start:%Y%m%d_%H%M%S}"
        results.append(made_result(f"{number}{stamp}.wav", spans, float(length)))
        if start is None:
            continue
        whole = start.replace(microsecond=0)
        for minute in range(length // 60):
            minutes[(whole + timedelta(minutes=minute)).hour] += 1
        for onset, _, label in spans:
            by_hour[label][(whole + timedelta(seconds=onset)).hour] += 1
    tally = tally_of(iter(results), FACTS.event_labels)
    assert {label: one.by_hour for label, one in tally.labels.items()} == by_hour
    assert sum(tally.recorded_s) == pytest.approx(sum(length for start, length, _ in drawn if start))
    assert max(
        abs(found / 60 - counted) for found, counted in zip(tally.recorded_s, minutes, strict=True)
    ) <= max(1, 2 * len(drawn))
    ranked = sorted(results, key=lambda result: -len(result.events))[:MOST_RECORDINGS]
    assert [one.filename for one in tally.busiest] == [one.filename for one in ranked if one.events]
    assert tally.n_events == sum(len(places) for _, _, places in drawn)
    assert tally.n_silent == sum(not places for _, _, places in drawn)


def test_a_page_says_what_was_found(tmp_path: Path) -> None:
    results = [
        made_result("g/20260131_235930.wav", [(1.0, 2.5, "Dog"), (40.0, 45.0, "Dog"), (0.0, 9.0, "Speech")]),
        made_result("note.wav", [(1.0, 2.0, "Cat")]),
        made_result("silent.wav"),
    ]
    failures = [Failure("bad.wav", "bad.wav: expected sound, found none")]
    write_summary_page(tmp_path / "report.html", iter(results), iter(failures), FACTS, 75.0, n_waiting=2)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    tags = read_page(tmp_path / "report.html")
    for words in (
        *("Sound events in 3 recordings", "6.5 s", "3 min 00 s", "1 min 15 s", "g/20260131_235930.wav"),
        *("bad.wav: expected sound, found none", FACTS.graph_sha256, "no GPU", "some runtime"),
    ):
        assert words in tags.texts, words
    assert "Dog, 23:00 to 24:00: 1<" in text
    assert "Dog, 00:00 to 01:00: 1<" in text
    assert "No time known of 2 recordings" in text
    row = re.search(r'<th scope="row">Dog</th><td>(\d+)</td>', text)
    assert row is not None
    assert row[1] == "2"
    totals = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", text))
    assert (totals["Not done yet"], totals["Failed"], totals["Recordings without events"]) == ("2", "1", "1")


def test_a_page_needs_nothing_else_and_runs_nothing(tmp_path: Path) -> None:
    odd = "<script>alert(1)</script>\x1b[2J & \"'\udce9.wav"
    results = [made_result(odd, [(0.0, 1.0, "Dog")])]
    write_summary_page(tmp_path / "a.html", results, [Failure(odd, odd)], FACTS, 1.0)
    tags = read_page(tmp_path / "a.html")
    assert not tags.seen & {"script", "link", "img", "iframe", "object"}
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src=|href=|url\(|@import|https?:)", text)
    assert "\x1b" not in text
    assert sum("<script>alert(1)</script>\\x1b[2J" in words for words in tags.texts) >= 3


def test_a_page_without_events_or_times_says_so(tmp_path: Path) -> None:
    write_summary_page(tmp_path / "a.html", [], [], FACTS, 0.0)
    texts = " ".join(read_page(tmp_path / "a.html").texts)
    assert "No time known: no recording has a date" in texts
    assert "No events were found." in texts
    assert "Sound events in 0 recordings" in texts


def test_many_failures_are_counted_and_some_are_named(tmp_path: Path) -> None:
    failures = (Failure(f"{number}.wav", "no sound") for number in range(MOST_FAILURES + 7))
    write_summary_page(tmp_path / "a.html", [], failures, FACTS, 0.0)
    texts = read_page(tmp_path / "a.html").texts
    assert texts.count("no sound") == MOST_FAILURES
    assert "And 7 more failures: summary.json has all of them." in texts
    assert str(MOST_FAILURES + 7) in texts
