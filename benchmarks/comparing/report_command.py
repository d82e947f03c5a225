"""`sedge bench-report`: a page of results, and the README's table from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.comparing.sources import read_sources
from edge_app.core.errors import EXIT_DONE, SedgeError

DESCRIPTION = """Make one HTML page of files of results, with pictures and tables, or write the README's table from
them. Several files stand side by side."""


@dataclass(frozen=True)
class BenchReport:
    """Arguments of `sedge bench-report`."""

    results: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RESULT.json ...")]
    """What --json of the benchmarks or `sedge bench` wrote."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="HTML")] = None
    """Where to write the page."""
    readme: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A Markdown file whose table between its marks <!-- benchmarks:begin --> and <!-- benchmarks:end --> is
    rewritten."""


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-report`; returns 0. Raises SedgeError for files that are no results, and wrong use."""
    args = tyro.cli(BenchReport, args=list(argv), prog="sedge bench-report", description=DESCRIPTION)
    if not args.results:
        raise SedgeError("bench-report: expected files of results, found none")
    if args.out is None and args.readme is None:
        raise SedgeError("bench-report: expected --out HTML or --readme FILE, found neither")
    sources = read_sources(args.results)
    if args.readme is not None:
        from benchmarks.comparing.readme import rewrite_readme

        rewrite_readme(args.readme, sources)
        print(f"{args.readme}: table written")
    if args.out is not None:
        from benchmarks.comparing.page import write_page

        write_page(args.out, sources)
        print(f"{args.out}: page written")
    return EXIT_DONE
