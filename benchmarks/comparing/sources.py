"""Results of several files side by side: each with a name of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Result, read_results


@dataclass(frozen=True, slots=True)
class Source:
    """One file of results."""

    name: str
    results: tuple[Result, ...]

    def of(self, benchmark: str) -> Result | None:
        """The newest of its results of a benchmark."""
        found = [result for result in self.results if result.benchmark == benchmark]
        return max(found, key=lambda result: result.measured_at, default=None)


def read_sources(paths: Sequence[Path]) -> list[Source]:
    """Read files, each named by its stem, or by its path where stems agree. Raises SedgeError for what is no result."""
    stems = [path.stem for path in paths]
    return [
        Source(path.stem if stems.count(path.stem) == 1 else str(path), tuple(read_results(path)))
        for path in paths
    ]


def benchmarks_of(sources: Sequence[Source]) -> list[str]:
    """Names of all benchmarks, in the order in which they appear."""
    return list(dict.fromkeys(result.benchmark for source in sources for result in source.results))
