"""What `sedge export-check` finds: rows that pass or fail, and the runtimes that they are of."""

from dataclasses import dataclass

from edge_app.core.runtimes import PassedOver
from export.checking.peak_memory import Peak


@dataclass(frozen=True, slots=True)
class Difference:
    """The worst of one output, over all calls."""

    runtime: str
    reference: str
    output: str
    value: float
    """Largest |found - expected| / max(1, |expected|): absolute for scores and tags. Infinite for what is no number."""
    tolerance: float
    where: str
    """Call and element, counted from 0, the label by its name."""

    @property
    def passed(self) -> bool:
        """Whether it is within the tolerance."""
        return self.value <= self.tolerance


@dataclass(frozen=True, slots=True)
class Agreement:
    """Events of one runtime in one context, over all recordings."""

    runtime: str
    reference: str
    context: str
    recordings: int
    worst_score: float
    """Largest difference of a frame score."""
    tolerance: float
    expected: int
    """Events of the reference."""
    same: int
    """Of these, the ones that were found with the same label, onset and offset."""
    excused: tuple[str, ...]
    """Stretches that differ where a score lies within the tolerance of a threshold."""
    unexcused: tuple[str, ...]
    """Stretches that differ without such a score."""

    @property
    def passed(self) -> bool:
        """Whether nothing differs but for rounding."""
        return self.worst_score <= self.tolerance and not self.unexcused


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak memory of one runtime, or why there is no figure."""

    runtime: str
    peak: Peak | None
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether the process ended well."""
        return self.peak is not None


@dataclass(frozen=True)
class CheckReport:
    """All that was found."""

    bundle: str
    precision: str
    opened: dict[str, str]
    """What runs, in words, by the runtime's name."""
    passed_over: tuple[PassedOver, ...]
    missing: tuple[PassedOver, ...]
    """Those of them that were asked for by name."""
    failures: dict[str, str]
    """Runtimes that stopped with an error, and its text."""
    not_taken: tuple[str, ...]
    """Calls and contexts that a runtime was not made for, and why."""
    differences: tuple[Difference, ...]
    agreements: tuple[Agreement, ...]
    memory: tuple[Memory, ...]

    @property
    def rows(self) -> tuple[Difference | Agreement | Memory, ...]:
        """Everything that was compared or measured."""
        return (*self.differences, *self.agreements, *self.memory)

    @property
    def passed(self) -> bool:
        """Whether everything that was compared agrees; what is missing is not in it."""
        return not self.failures and all(row.passed for row in self.rows)
