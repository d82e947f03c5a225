"""A page of what a run has found, for a person: one HTML file that needs nothing else."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import edge_app
from edge_app.formats.whole_file import write_whole
from edge_app.scoring.facts import DetectorFacts
from edge_app.scoring.journal_tables import Failure, Result
from edge_app.scoring.summary_style import STYLE
from edge_app.scoring.tally import HOURS, Tally, tally_of

MOST_FAILURES = 200
"""Failures that are told one by one."""
_BAR_STEP, _BAR_WIDTH, _BAR_HEIGHT = 20, 18, 34


@dataclass
class _Failed:
    """Failures: how many there are, and the first of them."""

    count: int
    first: list[Failure]


def write_summary_page(
    path: Path,
    results: Iterable[Result],
    failures: Iterable[Failure],
    facts: DetectorFacts,
    wall_s: float,
    n_waiting: int = 0,
) -> None:
    """Write the page of a run that took `wall_s` seconds; `n_waiting` recordings are not done yet.

    Results and failures are passed through once and not held. Raises SedgeError where `path` cannot be written.
    """
    tally = tally_of(results, facts.event_labels)
    left = iter(failures)
    first = list(islice(left, MOST_FAILURES))
    failed = _Failed(len(first) + sum(1 for _ in left), first)
    sections = [
        _totals(tally, failed, wall_s, n_waiting),
        _label_section(tally),
        _hour_section(tally),
        _busy_section(tally),
        _failure_section(failed),
        _settings_section(facts),
    ]
    write_whole(path, _document(f"Sound events in {_count(tally.n_recordings, 'recording')}", sections))


def _document(title: str, sections: Iterable[str]) -> str:
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{_text(title)}</h1>\n{''.join(sections)}"
        f"<footer>Written by Sedge {edge_app.__version__}, {made}.</footer>\n</main>\n</body>\n</html>\n"
    )


def _totals(tally: Tally, failed: _Failed, wall_s: float, n_waiting: int) -> str:
    numbers = [
        ("Recordings done", f"{tally.n_recordings:,}"),
        ("Events", f"{tally.n_events:,}"),
        ("Sound", _length(tally.audio_s)),
        ("Time taken", _length(wall_s)),
        ("Recordings without events", f"{tally.n_silent:,}"),
        ("Failed", f"{failed.count:,}"),
    ]
    numbers += [("Not done yet", f"{n_waiting:,}")] if n_waiting else []
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers)
    return f'<dl class="totals">{cells}</dl>\n'


def _label_section(tally: Tally) -> str:
    most = max((one.n_events for one in tally.labels.values()), default=0)
    rows = []
    for label, one in sorted(tally.labels.items(), key=lambda item: (-item[1].n_events, item[0])):
        share = f"{100 * one.total_s / tally.audio_s:.1f} %" if tally.audio_s else "–"
        bar = f'<span class="bar" style="width:{100 * one.n_events / most if most else 0:.1f}%"></span>'
        rows.append(
            [_text(label), f"{one.n_events:,}", bar, _length(one.total_s), share, f"{one.n_recordings:,}"]
        )
    head = ("Label", "Events", "", "Total time", "Share of the sound", "Recordings")
    note = "Events of different labels may overlap in time."
    return _section("Labels", f"<p>{note}</p>" + _table(head, rows, "labels"))


def _hour_section(tally: Tally) -> str:
    if not tally.n_timed:
        words = (
            "No time known: no recording has a date and time of day in its name, such as 20260131_235959. "
            "The times of files themselves say when they were copied, and are not used."
        )
        return _section("Hours of the day", f"<p>{words}</p>")
    words = (
        f"Events by the hour in which they began, of {_count(tally.n_timed, 'recording')} whose name has a date "
        f"and time of day ({tally.first:%Y-%m-%d %H:%M} to {tally.last:%Y-%m-%d %H:%M}, as the recorder's clock "
        "had it). In hours left blank nothing was recorded. Each row has its own scale; its largest hour is "
        "beside it."
    )
    untimed = tally.n_recordings - tally.n_timed
    if untimed:
        words += f" No time known of {_count(untimed, 'recording')}: their names have none."
    minutes = [recorded_s / 60 for recorded_s in tally.recorded_s]
    rows = [
        ["<i>minutes of sound</i>", _hour_bars("minutes of sound", minutes, tally), f"{max(minutes):,.0f}"]
    ]
    for label, one in tally.labels.items():
        bars = _hour_bars(label, one.by_hour, tally)
        rows.append([_text(label), bars, f"{max(one.by_hour):,}"])
    rows.append(["", _hour_scale(), ""])
    return _section(
        "Hours of the day", f"<p>{words}</p>" + _table(("Label", "Hour", "Largest"), rows, "hours")
    )


def _hour_bars(name: str, values: Sequence[float], tally: Tally) -> str:
    """A bar for each hour, as a picture."""
    most = max(values)
    parts = []
    for hour, value in enumerate(values):
        x = hour * _BAR_STEP
        height = (_BAR_HEIGHT - 2) * value / most if most else 0.0
        kind = "ground" if tally.recorded_s[hour] else "nothing"
        parts.append(f'<rect class="{kind}" x="{x}" y="0" width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}"/>')
        if value:
            top = _BAR_HEIGHT - max(height, 1)
            parts.append(
                f'<rect class="mark" x="{x}" y="{top:.1f}" width="{_BAR_WIDTH}" height="{_BAR_HEIGHT - top:.1f}"/>'
            )
        where = f"{hour:02d}:00 to {(hour + 1):02d}:00"
        parts.append(
            f'<rect class="over" x="{x}" y="0" width="{_BAR_STEP}" height="{_BAR_HEIGHT}">'
            f"<title>{_text(name)}, {where}: {value:,.0f}</title></rect>"
        )
    return _picture(f"{name} by hour of the day", "".join(parts), _BAR_HEIGHT)


def _hour_scale() -> str:
    texts = "".join(
        f'<text x="{hour * _BAR_STEP}" y="12" text-anchor="{anchor}">{hour:02d}:00</text>'
        for hour, anchor in ((0, "start"), (6, "middle"), (12, "middle"), (18, "middle"), (24, "end"))
    )
    return _picture("hours of the day", texts, 16)


def _picture(name: str, parts: str, height: int) -> str:
    return (
        f'<svg viewBox="0 0 {HOURS * _BAR_STEP} {height}" role="img" aria-label="{_text(name)}">{parts}</svg>'
    )


def _busy_section(tally: Tally) -> str:
    if not tally.busiest:
        return _section("Recordings with the most events", "<p>No events were found.</p>")
    rows = [[_text(one.filename), f"{one.n_events:,}", _length(one.duration_s)] for one in tally.busiest]
    return _section(
        "Recordings with the most events", _table(("Recording", "Events", "Length"), rows, "names")
    )


def _failure_section(failed: _Failed) -> str:
    if not failed.count:
        return _section("Failures", "<p>None.</p>")
    rows = [[_text(one.filename), _text(one.error)] for one in failed.first]
    more = failed.count - len(failed.first)
    note = f"<p>And {_count(more, 'more failure')}: summary.json has all of them.</p>" if more else ""
    return _section("Failures", _table(("Recording", "What was wrong"), rows, "words") + note)


def _settings_section(facts: DetectorFacts) -> str:
    rows = [
        ["Model", _text(facts.bundle_name)],
        ["Graph (SHA-256)", f"<code>{_text(facts.graph_sha256)}</code>"],
        ["Runtime", _text(facts.runtime)],
        ["Context", _text(facts.context)],
    ]
    if facts.hop_frames is not None:
        rows.append(["Step", f"{facts.hop_frames} frames of 20 ms"])
    rows += [[f"Not used: {_text(one.name)}", _text(one.reason)] for one in facts.passed_over]
    decoding = [
        [
            *(_text(label), f"{rules.threshold_on:.3g}", f"{rules.off:.3g}", f"{rules.median_frames}"),
            *(f"{rules.min_on_s:g} s", f"{rules.min_off_s:g} s"),
        ]
        for label, rules in facts.decoding.items()
    ]
    head = ("Label", "On from", "Off under", "Median, frames", "Shortest event", "Shortest pause")
    return _section(
        "Model and settings", _table(("", ""), rows, "words") + _table(head, decoding, "decoding")
    )


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str) -> str:
    """A table of cells that are HTML already."""
    top = "".join(f'<th scope="col">{name}</th>' for name in head) if any(head) else ""
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>\n'
        for first, *rest in rows
    )
    header = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f'<div class="wide"><table class="{kind}">{header}<tbody>\n{body}</tbody></table></div>'


def _text(text: str) -> str:
    """Text that is only text in HTML; what cannot be seen is written as an escape."""
    visible = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return html.escape(visible)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _length(seconds: float) -> str:
    """A length of time in words."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"
