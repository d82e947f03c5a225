"""The README's table of results, written from results between two marks."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.comparing.headlines import HEADLINES, Headline
from benchmarks.comparing.numbers import range_text
from benchmarks.comparing.sources import Source
from benchmarks.figures import Figure
from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import write_whole

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
NOT_MEASURED = "not measured"


def rewrite_readme(path: Path, sources: Sequence[Source], headlines: Iterable[Headline] = HEADLINES) -> None:
    """Put the table of results in place of what stands between the marks.

    Raises SedgeError where the file cannot be read, and where it does not hold each mark once, in order.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SedgeError(f"{path}: cannot be read ({error})") from error
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SedgeError(f"{path}: expected one line {BEGIN} and after it one line {END}, found otherwise")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    write_whole(path, f"{before}{BEGIN}\n{readme_table(sources, headlines)}{END}{after}")


def readme_table(sources: Sequence[Source], headlines: Iterable[Headline] = HEADLINES) -> str:
    """The machines, and the headline figures as a Markdown table with a column for each file of results.

    Raises SedgeError where the files hold none of them.
    """
    rows = [row for headline in headlines for row in _rows(headline, sources)]
    if not rows:
        raise SedgeError("expected results with figures of the README's table, found none")
    machines = [f"{_cell(source.name)}: {_machine_text(source)}\n" for source in sources]
    head = ["", *(_cell(source.name) for source in sources), "command"]
    lines = [_line(head), _line(["---"] * len(head)), *map(_line, rows)]
    return "\n".join([*machines, *lines]) + "\n"


def _rows(headline: Headline, sources: Sequence[Source]) -> list[list[str]]:
    columns: list[dict[str, Figure]] = []
    for source in sources:
        result = source.of(headline.benchmark)
        columns.append({} if result is None else dict(headline.found(result)))
    titles = list(dict.fromkeys(title for column in columns for title in column))
    return [
        [_cell(title), *(_value(column.get(title)) for column in columns), f"`{headline.command}`"]
        for title in titles
    ]


def _value(figure: Figure | None) -> str:
    return NOT_MEASURED if figure is None else _cell(f"{range_text(figure)} {figure.unit}".strip())


def _machine_text(source: Source) -> str:
    machine, days = source.results[0].machine, sorted(result.measured_at[:10] for result in source.results)
    when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    versions = ", ".join(dict.fromkeys(result.sedge_version for result in source.results))
    where = f"{machine.cpu}, {machine.cores_usable} cores"
    where += f", {machine.gpu}" if machine.gpu else ""
    where += f" (in a {machine.kind})" if machine.kind else ""
    return _cell(f"{where}, measured {when} with sedge {versions}; in brackets, what repeats ranged over.")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
