"""Results as one HTML page that holds everything it shows and loads nothing."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.comparing.sections import sections
from benchmarks.comparing.sources import Source
from edge_app.formats.whole_file import write_whole
from train.report import page as run_page

TEMPLATE = "page.html.j2"
SUBTITLE = (
    "Every figure was measured by the program that is named with it, on the machine that is named with it. "
    "What was not measured is not here."
)


def write_page(path: Path, sources: Sequence[Source]) -> None:
    """Write the page of several files of results. Raises SedgeError where the folder cannot be written."""
    look = FileSystemLoader(Path(run_page.__file__).parent)  # the page of a training run looks the same
    environment = Environment(
        loader=look, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    page = environment.get_template(TEMPLATE).render(
        title="Benchmarks", subtitle=SUBTITLE, sections=sections(sources)
    )
    write_whole(path, page.encode("utf-8", "replace").decode("utf-8"))
