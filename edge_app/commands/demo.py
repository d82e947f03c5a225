"""`sedge demo`: a bundled recording through the live engine, then found against annotated events."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

import edge_app
from edge_app.commands.detector import RuntimeOption, open_detector
from edge_app.commands.news_text import as_text
from edge_app.core.errors import EXIT_DONE
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_events
from edge_app.stream.engine import Engine
from edge_app.stream.messages import EventNews, News, Summary
from edge_app.stream.sources import FileSource

DEMO_FOLDER = Path(edge_app.__file__).parent / "demo"
RECORDING = DEMO_FOLDER / "soundscape.flac"
ANNOTATION = DEMO_FOLDER / "soundscape.tsv"
TOLERANCE_S = 0.2  # of an onset, and of an offset where the event is short
OFFSET_SHARE = 0.2  # of an event's length, where that is more

DESCRIPTION = """Hear Sedge work without a microphone: a soundscape that comes with the program, mixed from real
recordings, runs through the same live engine that a microphone uses. Prints each event as it begins and ends, and
at the end a table of what was found against what is in the recording."""


@dataclass(frozen=True)
class DemoArgs:
    """Arguments of `sedge demo`."""

    realtime: bool = False
    """Take as long as the recording lasts, instead of going as fast as this machine can."""
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """The model to use, a bundle's folder; the built-in one unless given."""
    runtime: RuntimeOption = "auto"


@dataclass(frozen=True)
class Comparison:
    """One row of the table: an annotated event and the found one that it overlaps most; either may be missing."""

    annotated: Event | None
    found: Event | None
    is_part: bool = False
    """Whether the found one is a further part of an annotated event that has a row of its own."""

    @property
    def verdict(self) -> str:
        """What became of the event, in words."""
        if self.annotated is None:
            return "another part" if self.is_part else "not in the recording"
        if self.found is None:
            return "missed"
        return "found" if is_on_time(self.annotated, self.found) else "found, times differ"


def main(argv: list[str]) -> int:
    """Run the demo; raises SedgeError where the model or the recording is damaged."""
    args = tyro.cli(
        DemoArgs,
        args=argv,
        prog="sedge demo",
        description=DESCRIPTION,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    detector = open_detector(args.bundle, args.runtime, "live")
    annotated = read_events(ANNOTATION)[RECORDING.name]
    print(f"Listening to {RECORDING.name} with {detector.runtime_text}.\n", flush=True)
    begin = time.perf_counter()
    with Engine(FileSource(RECORDING, realtime=args.realtime), detector) as engine:
        found, summary = follow(engine)
    wall_s = time.perf_counter() - begin
    comparisons = compare(annotated, found)
    print()
    Console().print(comparison_table(comparisons))
    print(f"\n{closing_text(comparisons)}")
    if summary is not None:
        print(
            f"{summary.samples_received / summary.sample_rate:.0f} s of sound heard in {wall_s:.1f} s, "
            f"real-time factor of the analysis {summary.real_time_factor:.4f}."
        )
    print(f"The recording's sources and licences: {DEMO_FOLDER / 'ATTRIBUTION.md'}")
    return EXIT_DONE


def follow(news_stream: Iterable[News]) -> tuple[list[Event], Summary | None]:
    """Print beginnings and ends as they come; give the closed events and the summary that came last."""
    found: list[Event] = []
    summary = None
    for news in news_stream:
        if isinstance(news, Summary):
            summary = news
        elif isinstance(news, EventNews):
            if news.type in ("confirmed", "closed"):
                print(as_text(news), flush=True)
            if news.type == "closed":
                found.append(Event(news.onset, news.offset, news.event_label, news.score))
    return sorted(found, key=lambda event: (event.onset, event.event_label)), summary


def compare(annotated: list[Event], found: list[Event]) -> list[Comparison]:
    """Pair events of one label, the longest overlap first, each used once; what is left stands alone."""
    pairs = sorted(
        ((overlap_s(one, other), i, j) for i, one in enumerate(annotated) for j, other in enumerate(found)),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for shared_s, i, j in pairs:
        if shared_s > 0 and i not in partner and j not in taken:
            partner[i] = j
            taken.add(j)
    rows = [
        Comparison(event, found[partner[i]] if i in partner else None) for i, event in enumerate(annotated)
    ]
    rows += [
        Comparison(None, event, is_part=any(overlap_s(one, event) > 0 for one in annotated))
        for j, event in enumerate(found)
        if j not in taken
    ]
    return sorted(rows, key=_onset)


def _onset(comparison: Comparison) -> float:
    event = comparison.annotated or comparison.found
    return event.onset if event else 0.0


def overlap_s(one: Event, other: Event) -> float:
    """Seconds that two events share; 0 for different labels."""
    if one.event_label != other.event_label:
        return 0.0
    return max(0.0, min(one.offset, other.offset) - max(one.onset, other.onset))


def is_on_time(annotated: Event, found: Event) -> bool:
    """Whether onset and offset are as near as event-based F-scores ask: 0.2 s, or a fifth of the length at the end."""
    offset_tolerance_s = max(TOLERANCE_S, OFFSET_SHARE * (annotated.offset - annotated.onset))
    return (
        abs(found.onset - annotated.onset) <= TOLERANCE_S
        and abs(found.offset - annotated.offset) <= offset_tolerance_s
    )


def comparison_table(comparisons: list[Comparison]) -> Table:
    """One row a comparison, in order of time."""
    table = Table("event", "annotated, s", "found, s", "score", "verdict", box=None, pad_edge=False)
    styles = {"found": "green", "found, times differ": "yellow", "another part": "yellow"}
    for row in comparisons:
        event = row.annotated or row.found
        table.add_row(
            event.event_label.replace("_", " ") if event else "",
            _span_text(row.annotated),
            _span_text(row.found),
            f"{row.found.score:.2f}" if row.found else "",
            row.verdict,
            style=styles.get(row.verdict, "red"),
        )
    return table


def _span_text(event: Event | None) -> str:
    return f"{event.onset:.2f} - {event.offset:.2f}" if event else "-"


def closing_text(comparisons: list[Comparison]) -> str:
    """How many events were found, on time, missed and made up."""
    verdicts = [row.verdict for row in comparisons]
    on_time, near = verdicts.count("found"), verdicts.count("found, times differ")
    n_annotated = sum(row.annotated is not None for row in comparisons)
    return (
        f"{on_time + near} of {n_annotated} annotated events found, {on_time} of them with onset and offset on time; "
        f"{verdicts.count('missed')} missed, {verdicts.count('not in the recording')} not in the recording."
    )
