"""Random exports, and how much of one each format keeps."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from edge_app.formats.exchange import Export, ExportEvent, ExportGap, ExportMark

FILES = (
    "a.wav",
    "sub/b c.flac",
    "Küche 100%.ogg",
    "=sum,\"'.wav",
    "session 3",
    "caf\udce9.wav",
    "odd \ufffd.wav",
)
LABELS = ("Dog", "Running_water", "Vacuum cleaner 2", "日本 0.5", "50% off\u2028", 'a,"b"', " lead")
MOMENTS = st.datetimes(
    datetime(2000, 1, 1),
    datetime(2100, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
SCORES = st.floats(0, 1)
OPTIONAL_IDS = st.none() | st.integers(0, 2**40)


@st.composite
def spans(draw: st.DrawFn, duration: float) -> tuple[float, float]:
    """On the grid of frames; some reach over the end, and some begin before the start."""
    onset = draw(st.integers(-10, round(duration / 0.02) + 5))
    return onset * 0.02, (onset + draw(st.integers(1, 500))) * 0.02


@st.composite
def export_events(draw: st.DrawFn, file: str, duration: float) -> ExportEvent:
    onset, offset = draw(spans(duration))
    return ExportEvent(
        source=draw(st.sampled_from(["USB Audio, front", "C:\\rec\\new.wav", "line\nbreak", ""])),
        file=file,
        onset=onset,
        offset=offset,
        event_label=draw(st.sampled_from(LABELS)),
        score=draw(SCORES),
        mean=draw(st.none() | SCORES),
        onset_utc=draw(st.none() | MOMENTS),
        session_id=draw(OPTIONAL_IDS),
        event_id=draw(OPTIONAL_IDS),
        state=draw(st.sampled_from(["open", "closed"])),
        cut=draw(st.booleans()),
        review=draw(st.sampled_from(["", "confirmed", "rejected"])),
        note=draw(st.text(st.characters(codec="utf-8"), max_size=10)),
        clip=draw(st.sampled_from(["", "clips/1.flac"])),
        model=draw(st.sampled_from(["", "default"])),
        threshold_on=draw(st.none() | SCORES),
        threshold_off=draw(st.none() | SCORES),
    )


@st.composite
def exports(draw: st.DrawFn, most_files: int = 3) -> Export:
    files = draw(st.lists(st.sampled_from(FILES), unique=True, max_size=most_files))
    durations = {name: draw(st.integers(1, 10_000_000)) / 1000 for name in files}
    events, gaps, marks = [], [], []
    for name, duration in durations.items():
        events += draw(st.lists(export_events(name, duration), max_size=4))
        for onset, offset in draw(st.lists(spans(duration), max_size=2)):
            gaps.append(ExportGap(onset, offset, draw(st.sampled_from(["lost", "skipped"])), name))
        notes = st.sampled_from(["", "tab\t and line\n", "who?"])
        spots = st.lists(st.tuples(st.floats(-1, duration + 1), notes), max_size=2)
        marks += [ExportMark(at, note, name) for at, note in draw(spots)]
    about = draw(
        st.sampled_from(
            [{}, {"app": "sedge 1", "model": {"sha256": "ab"}, "latency": {"p95": 0.3}, "x": [1]}]
        )
    )
    return Export(draw(st.permutations(events)), gaps, durations, about, marks=marks)


def _span(event: ExportEvent, decimals: int) -> ExportEvent:
    return replace(event, onset=round(event.onset, decimals), offset=round(event.offset, decimals))


def _bare(event: ExportEvent, decimals: int, score: float = 1.0) -> ExportEvent:
    event = _span(event, decimals)
    return ExportEvent("", event.file, event.onset, event.offset, event.event_label, score)


def _six(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _csv(event: ExportEvent) -> ExportEvent:
    return replace(
        _span(event, 6),
        score=round(event.score, 6),
        mean=_six(event.mean),
        threshold_on=_six(event.threshold_on),
        threshold_off=_six(event.threshold_off),
        note="",
    )


KEPT: Mapping[str, Callable[[ExportEvent], ExportEvent]] = {
    "desed": lambda event: _bare(event, 3),
    "csv": _csv,
    "json": lambda event: event,
    "audacity": lambda event: replace(_bare(event, 6, round(event.score, 2)), file="one"),
    "raven": lambda event: _bare(event, 3, round(event.score, 4)),
    "rttm": lambda event: _bare(event, 3),
    "jsonl": lambda event: _bare(event, 6, round(event.score, 6)),
    "parquet": lambda event: replace(event, onset_utc=event.onset_utc and event.onset_utc.astimezone(UTC)),
}
"""What is left of an event after a format's own writer and reader."""


def expected_events(export: Export, name: str) -> list[ExportEvent]:
    """Literally: clip each event, drop what has no length, keep what the format keeps, sort."""
    decimals = {"desed": 3, "raven": 3, "rttm": 3, "json": 15, "parquet": 15}.get(name, 6)
    kept = []
    for event in export.events:
        duration = export.durations[event.file]
        onset, offset = max(event.onset, 0.0), min(event.offset, duration)
        if onset < duration and round(onset, decimals) < round(offset, decimals):
            kept.append(replace(event, onset=onset, offset=offset))
    files = list(export.durations)
    ranked = [(files.index(event.file), KEPT[name](event)) for event in kept]
    ranked.sort(key=lambda pair: (pair[0], pair[1].onset, pair[1].event_label, pair[1].offset))
    return [event for _, event in ranked]
