"""The few figures that the README shows, of the many that results hold."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figure, Result


@dataclass(frozen=True, slots=True)
class Headline:
    """Figures of one benchmark that a pattern finds by their whole names."""

    benchmark: str
    pattern: str
    title: str
    """How the row is called; `\\1` stands for what the pattern's first group found."""

    @property
    def command(self) -> str:
        """What measures it."""
        return f"sedge bench-{self.benchmark}"

    def found(self, result: Result) -> Iterator[tuple[str, Figure]]:
        """Titles and figures, in the order of the result."""
        for figure in result.figures:
            match = re.fullmatch(self.pattern, figure.name)
            if match:
                yield match.expand(self.title), figure


HEADLINES = (
    Headline(
        "latency",
        r"(\S+) / hop of (10|25) frames / (hot|paced) / whole hop",
        r"live step of \2 frames of 20 ms, \3, \1",
    ),
    Headline("latency", r"(\S+) / clip, 1 a call / each", r"clip of ten seconds, \1"),
    Headline(
        "latency",
        r"(\S+) / window by live step / (\w+)",
        r"live step, times cheaper than its window, \2, \1",
    ),
    Headline(
        "live",
        r"load (\d+) / (provisional|confirmed) / onset to news",
        r"onset to \2 event, busy processes beside: \1",
    ),
    Headline(
        "throughput", r"one core / (.+) / (score, context \w+|score, \d+ files.*|listen)", r"\2: \1, one core"
    ),
    Headline(
        "throughput", r"one core / (.+) / speed by the baseline's", r"times as fast as the baseline CRNN: \1"
    ),
    Headline("throughput", r"workers / (\d+) / speed", r"score, workers: \1"),
    Headline("throughput", r"journal / share of the run", "of a run of score, spent on its journal"),
    Headline("memory", r"(score|listen .+) / long / peak", r"most memory, long recording: \1"),
    Headline("peers", r"(.+) / share of a core", r"share of a core for sound in real time: \1"),
    Headline("memory", r"(score --workers \d+) / long / together", r"most memory of all processes: \1"),
)
