"""`sedge score`: the events of recordings, as tables."""

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import tyro
from rich.console import Console

from edge_app.commands.detector import open_detector
from edge_app.commands.score_args import ScoreArgs, check
from edge_app.commands.score_progress import Display, Tally, say
from edge_app.commands.score_truth import check_truth, print_figures
from edge_app.commands.score_workers import make_workers, settings_of
from edge_app.core.detect import Detector
from edge_app.core.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, SedgeError
from edge_app.formats.registry import EVENT_FORMATS, SUFFIXES
from edge_app.formats.whole_file import write_whole
from edge_app.scoring.batch import run_batch
from edge_app.scoring.facts import DetectorFacts
from edge_app.scoring.journal import JOURNAL_FILE, Counts, Failure, Identity, Journal, has_run
from edge_app.scoring.recordings import Found, collect
from edge_app.scoring.summary import summary
from edge_app.scoring.summary_page import write_summary_page
from edge_app.scoring.tables import LABELS_FOLDER, write_tables
from edge_app.scoring.task import ScoreSettings

SUMMARY_FILE, PAGE_FILE, DURATIONS_FILE = "summary.json", "summary.html", "durations.tsv"


@dataclass(frozen=True)
class Run:
    """A run that is under way or over."""

    args: ScoreArgs
    facts: DetectorFacts
    journal: Journal
    unread: Mapping[str, str]
    """Folders that could not be searched: what was wrong, by name."""
    console: Console

    def failures(self) -> Iterator[Failure]:
        """All that failed: folders, then recordings."""
        yield from (Failure(name, error) for name, error in self.unread.items())
        yield from self.journal.failures()


def main(argv: list[str]) -> int:
    """Run `sedge score`; returns the exit status. Raises SedgeError for wrong use and for an unusable model."""
    if "" in argv:  # an unset variable in a script: as a path it would mean the current folder
        raise SedgeError("arguments: expected a path or a value each, found an empty one")
    args = tyro.cli(ScoreArgs, args=argv, prog="sedge score")
    check(args)
    if args.ground_truth is not None:
        check_truth(args.ground_truth)
    if not (args.resume or args.overwrite) and has_run(args.out):
        raise SedgeError(
            f"{args.out}: expected a folder without a run, found one that was begun: "
            f"--resume goes on with it, --overwrite begins anew"
        )
    if args.ray is not None:  # its machines are not this one, and have no folder of results of their own
        runtime = "cpu" if args.runtime == "auto" else args.runtime
        args = replace(args, runtime=runtime, out=args.out.absolute())
    detector = open_detector(args.bundle, args.runtime, args.context, args.threads, args.hop_frames)
    found = collect(args.paths, args.manifest) if args.paths or args.manifest else None
    _make_writable(args.out)
    return _score(args, detector, found)


def _make_writable(out: Path) -> None:
    """Make the folder for results, or raise SedgeError before any work is done."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".sedge.partial"
        probe.touch()
        probe.unlink(missing_ok=True)  # another run may try the same at this moment
    except OSError as error:
        raise SedgeError(f"{out}: expected a folder that can be written, found: {error.strerror}") from error


def _score(args: ScoreArgs, detector: Detector, found: Found | None) -> int:
    settings, console = settings_of(args, detector), Console(stderr=True)
    with _open_journal(args, Identity.of(detector, settings), found) as journal:
        unread = found.failures if found else {}
        run = Run(args, DetectorFacts.of(detector), journal, unread, console)
        for error in unread.values():
            say(console, f"sedge: {error}")
        interrupted = not _work(run, settings, detector)
        status = _finish(run, interrupted)
    if args.ground_truth is not None and not interrupted:
        return status or print_figures(args.out, args.ground_truth)
    return status


def _open_journal(args: ScoreArgs, identity: Identity, found: Found | None) -> Journal:
    """The journal of a new run, or of the one that goes on."""
    if not args.resume:
        recordings = found.recordings if found else {}
        replaces = args.overwrite and (args.out / JOURNAL_FILE).exists()
        journal = Journal.create(args.out, identity, recordings, args.overwrite)
        if replaces:
            _remove_tables(args.out)
        return journal
    journal = Journal.open(args.out, identity)
    try:
        journal.reconcile(found.recordings if found else None)
    except BaseException:
        journal.close()
        raise
    return journal


def _remove_tables(out: Path) -> None:
    """Remove what the run before wrote at its end: what this one does not write would be taken for its own."""
    names = {f"events{suffix}" for suffix in SUFFIXES.values()} | {"events.tsv"}
    for name in names | {SUMMARY_FILE, PAGE_FILE, DURATIONS_FILE}:
        (out / name).unlink(missing_ok=True)


def _work(run: Run, settings: ScoreSettings, detector: Detector) -> bool:
    """Score what is waiting; gives False where it was interrupted."""
    counts = run.journal.counts()
    n_waiting = counts.waiting + (counts.failed if run.args.retry_failed else 0)
    if not n_waiting:
        return True
    workers = make_workers(run.args, settings, detector, n_waiting)
    display = Display(run.console, _tally(counts, run.args.retry_failed))
    try:
        with Interrupts() as interrupts:
            return run_batch(
                run.journal, workers, display.tell, lambda: interrupts.pressed, run.args.retry_failed
            )
    finally:
        display.close()


def _tally(counts: Counts, retry_failed: bool) -> Tally:
    files = counts.done + counts.failed + counts.waiting
    total_bytes = counts.bytes_done + counts.bytes_failed + counts.bytes_waiting
    if retry_failed:
        return Tally(files, total_bytes, counts.done, 0, counts.bytes_done)
    return Tally(files, total_bytes, counts.done, counts.failed, counts.bytes_done + counts.bytes_failed)


def _finish(run: Run, interrupted: bool) -> int:
    """Write what is found so far, say it, and give the exit status."""
    args, counts = run.args, run.journal.counts()
    written = write_tables(args.out, _formats(args), run.journal.results(), run.facts)
    text = summary(run.facts, counts.done, run.failures(), counts.audio_s, counts.wall_s, args.frame_scores)
    write_whole(args.out / SUMMARY_FILE, json.dumps(text, indent=2) + "\n")
    page = args.out / PAGE_FILE
    if args.report or page.exists():
        write_summary_page(
            page, run.journal.results(), run.failures(), run.facts, counts.wall_s, counts.waiting
        )
    for line in written.notes + written.errors:
        say(run.console, f"sedge: {line}")
    n_failed = counts.failed + len(run.unread)
    say(run.console, _closing_line(counts, n_failed, interrupted))
    if interrupted:
        say(run.console, "sedge: the same command with --resume goes on")
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if n_failed or written.errors else EXIT_DONE


def _formats(args: ScoreArgs) -> list[str]:
    """The formats asked for, and those of a run that goes on: left as they were, they would tell less than it."""
    places = {name: f"events{SUFFIXES[name]}" for name in EVENT_FORMATS} | {"audacity": LABELS_FOLDER}
    there = [name for name, place in places.items() if (args.out / place).exists()] if args.resume else []
    return list(dict.fromkeys([*args.formats, *there]))


def _closing_line(counts: Counts, n_failed: int, interrupted: bool) -> str:
    failed = f", {n_failed} failed" if n_failed else ""
    waiting = f", {counts.waiting} waiting" if counts.waiting else ""
    factor = f", real-time factor {counts.wall_s / counts.audio_s:.4f}" if counts.audio_s else ""
    return (
        f"{'interrupted: ' if interrupted else ''}files: {counts.done} done{failed}{waiting}; "
        f"events: {counts.events}; {counts.audio_s:.1f} s of sound in {counts.wall_s:.1f} s{factor}"
    )


class Interrupts:
    """Ctrl-C while work is under way: the first asks for an end, and the second ends it at once."""

    def __init__(self) -> None:
        self.pressed = False
        self._former: Callable[[int, FrameType | None], object] | int | None = None

    def __enter__(self) -> Self:
        # Only the main thread may set it; where Ctrl-C is ignored, as in the background of a shell, it stays so.
        if threading.current_thread() is threading.main_thread():
            self._former = signal.getsignal(signal.SIGINT)
            if self._former not in (None, signal.SIG_IGN):
                signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._former not in (None, signal.SIG_IGN):
            signal.signal(signal.SIGINT, self._former)

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
