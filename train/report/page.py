"""The report of a run: one HTML page that holds everything it shows and loads nothing.

Reads the files of a run's folder, of which any may be absent, and writes `report.html` there.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import write_whole
from train.report.blocks import Section
from train.report.decodings import decoding_section
from train.report.evaluated import Evaluated, read_evaluated
from train.report.pictures import examples_section, roc_section, training_section
from train.report.provenance import provenance_section, pseudo_section, settings_section
from train.report.rows import Row, report_rows
from train.report.sections import ablation_section, labels_section, published_section, systems_section

PAGE = "report.html"
_TEMPLATE = "page.html.j2"
_UNKNOWN_SET = "set not recorded"


def write_report(run: Path) -> Path:
    """Write `report.html` into a run's folder from what it holds; returns its path.

    Raises SedgeError where there is no such folder, or a file in it is damaged.
    """
    if not run.is_dir():
        raise SedgeError(f"{run}: expected the folder of a run, found none")
    rows, evaluated = report_rows(run), read_evaluated(run)
    set_name = reported_set(rows, evaluated)
    page = _render(
        title=f"Training report: {run.resolve().name}",
        subtitle=_subtitle(set_name, rows),
        sections=_sections(run, rows, evaluated, set_name),
    )
    # names of files can hold bytes that are no text, which a page cannot
    write_whole(run / PAGE, page.encode("utf-8", "replace").decode("utf-8"))
    return run / PAGE


def reported_set(rows: list[Row], evaluated: Evaluated | str) -> str:
    """The set of clips that figures are on, as they say themselves, else as the scores' clips say."""
    told = list(dict.fromkeys(name for row in rows for name in row.told("set")))
    if told:
        return " and ".join(told)
    return _UNKNOWN_SET if isinstance(evaluated, str) else evaluated.set_name


def _sections(run: Path, rows: list[Row], evaluated: Evaluated | str, set_name: str) -> list[Section]:
    return [
        published_section(rows, set_name),
        systems_section(rows, run),
        decoding_section(rows),
        ablation_section(rows),
        labels_section(rows),
        roc_section(evaluated, rows),
        training_section(run),
        examples_section(evaluated),
        pseudo_section(run),
        settings_section(run),
        provenance_section(run),
    ]


def _subtitle(set_name: str, rows: list[Row]) -> str:
    measured = sum(bool(row.by_seed) for row in rows)
    return (
        f"{measured} systems measured; figures on: {set_name}. F1 and PSDS lie between 0 and 1, higher is better. "
        "Nothing on this page is filled in: what was not measured is named as such."
    )


def _render(**parts: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(_TEMPLATE).render(**parts)
