"""Two results of one benchmark against each other: what they differ in besides their figures, and the ratios."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Final, Literal

from benchmarks.figures import Figure, Result
from benchmarks.machine import Machine
from edge_app.core.errors import SedgeError

Verdict = Literal["better", "worse", "no difference to tell", "equal", "too few repeats", "measured once"]
CHANCE: Final = 1 / 20
"""What it may be at most that spreads of alike things lie apart, for a difference to be told."""
GIBIBYTE = 2**30
COMPARED_SETTINGS = ("threads", "bundle")
"""What makes results unlike where they disagree; the other settings are told."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something besides the figures in which two results differ."""

    what: str
    first: str
    second: str

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.what}: {self.first} against {self.second}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure of both results."""

    first: Figure
    second: Figure
    ratio: float | None
    """Second by first; None where the first is not above 0, or the second is below."""
    low: float | None
    """The least that it can be by both spreads; None where neither has one, or one reaches 0."""
    high: float | None
    verdict: Verdict
    """Of the second against the first."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two results of one benchmark."""

    benchmark: str
    unlike: tuple[Difference, ...]
    """Why the figures do not compare as they are."""
    told: tuple[Difference, ...]
    """What else differs: versions, and settings that need not matter."""
    ratios: tuple[Ratio, ...]
    only_first: tuple[str, ...]
    """Names of figures that the second has not."""
    only_second: tuple[str, ...]


def compare_files(first: Sequence[Result], second: Sequence[Result]) -> list[Comparison]:
    """Compare the benchmarks that both hold, in the order of the first. Raises SedgeError where there is none."""
    ours, theirs = _by_benchmark(first), _by_benchmark(second)
    shared = [name for name in ours if name in theirs]
    if not shared:
        raise SedgeError(
            f"expected results of the same benchmarks, found {_names(ours)} and {_names(theirs)}"
        )
    return [compare(ours[name], theirs[name]) for name in shared]


def _by_benchmark(results: Sequence[Result]) -> dict[str, Result]:
    found: dict[str, Result] = {}
    for result in results:
        if result.benchmark in found:
            raise SedgeError(f"expected one result of each benchmark, found several of {result.benchmark}")
        found[result.benchmark] = result
    return found


def _names(results: Mapping[str, Result]) -> str:
    return ", ".join(results) or "none"


def compare(first: Result, second: Result) -> Comparison:
    """Compare two results of one benchmark; what makes them unlike is told, not refused."""
    ours = {figure.name: figure for figure in first.figures}
    theirs = {figure.name: figure for figure in second.figures}
    for name in ours.keys() & theirs.keys():
        _check_kind(first.benchmark, ours[name], theirs[name])
    return Comparison(
        benchmark=first.benchmark,
        unlike=tuple(unlike(first, second)),
        told=tuple(_told(first, second)),
        ratios=tuple(ratio_of(ours[name], theirs[name]) for name in ours if name in theirs),
        only_first=tuple(name for name in ours if name not in theirs),
        only_second=tuple(name for name in theirs if name not in ours),
    )


def _check_kind(benchmark: str, first: Figure, second: Figure) -> None:
    kinds = [(figure.unit, figure.better) for figure in (first, second)]
    if kinds[0] != kinds[1]:
        found = " and ".join(f"{unit} ({better} is better)" for unit, better in kinds)
        raise SedgeError(f"{benchmark}: {first.name}: expected one unit and direction, found {found}")


def unlike(first: Result, second: Result) -> Iterator[Difference]:
    """What makes two results' figures those of different things: machine, threads or model."""
    ours, theirs = _machine_facts(first.machine), _machine_facts(second.machine)
    yield from _differences(ours, theirs)
    for name in COMPARED_SETTINGS:
        yield from _differences(
            {name: _setting_text(first.settings.get(name))}, {name: _setting_text(second.settings.get(name))}
        )


def _machine_facts(machine: Machine) -> dict[str, str]:
    memory = "not known" if machine.memory_bytes is None else f"{machine.memory_bytes / GIBIBYTE:.0f} GiB"
    return {
        "processor": machine.cpu,
        "cores": f"{machine.cores_usable} of {machine.cores}",
        "memory": memory,
        "GPU": machine.gpu or "none",
        "kind of machine": machine.kind or "not known",
        "threads of the model": str(machine.graph_threads),
        "threads of NumPy's products": machine.blas_threads.partition(" (")[0],
    }


def _told(first: Result, second: Result) -> Iterator[Difference]:
    yield from _differences(_version_facts(first), _version_facts(second))
    names = [name for name in {**first.settings, **second.settings} if name not in COMPARED_SETTINGS]
    yield from _differences(
        {f"setting {name}": _setting_text(first.settings.get(name)) for name in names},
        {f"setting {name}": _setting_text(second.settings.get(name)) for name in names},
    )


def _version_facts(result: Result) -> dict[str, str]:
    machine = result.machine
    facts = {"sedge": result.sedge_version, "system": machine.system, "Python": machine.python}
    return facts | machine.libraries


def _setting_text(value: Any) -> str:
    if isinstance(value, Mapping) and {"name", "graph_sha256"} <= value.keys():
        return f"{value['name']} ({str(value['graph_sha256'])[:12]})"
    if isinstance(value, list):
        return ", ".join(map(_setting_text, value)) or "none"
    return "not told" if value is None else str(value)


def _differences(first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[Difference]:
    for name in {**first, **second}:
        ours, theirs = first.get(name, "none"), second.get(name, "none")
        if ours != theirs:
            yield Difference(name, ours, theirs)


def ratio_of(first: Figure, second: Figure) -> Ratio:
    """The second figure by the first, over what both spreads leave open."""
    ratio = second.value / first.value if first.value > 0 and second.value >= 0 else None
    low, high = _ratio_spread(first, second)
    return Ratio(first, second, ratio, low, high, _verdict(first, second))


def _ratio_spread(first: Figure, second: Figure) -> tuple[float | None, float | None]:
    if first.low is None and second.low is None:
        return None, None
    (ours_low, ours_high), (low, high) = _range(first), _range(second)
    return (low / ours_high, high / ours_low) if ours_low > 0 and low >= 0 else (None, None)


def _range(figure: Figure) -> tuple[float, float]:
    """From where to where a figure went, its value included; of one that was measured once, the value."""
    known = [figure.value, *(end for end in (figure.low, figure.high) if end is not None)]
    return min(known), max(known)


def _verdict(first: Figure, second: Figure) -> Verdict:
    if first.value == second.value:
        return "equal"
    if first.low is None and second.low is None:
        return "measured once"
    (ours_low, ours_high), (low, high) = _range(first), _range(second)
    if low <= ours_high and ours_low <= high:
        return "no difference to tell"
    if chance_apart(_repeats(first), _repeats(second)) > CHANCE:
        return "too few repeats"
    return "better" if (second.value < first.value) == (first.better == "lower") else "worse"


def _repeats(figure: Figure) -> int:
    return 1 if figure.low is None else figure.count


def chance_apart(first: int, second: int) -> float:
    """How probable it is that all of so many repeats lie on one side of all of the others, where they are alike.

    Of all orders, each as probable, two have this: those of the rank-sum test at its end.
    """
    return 2 / comb(first + second, first)
