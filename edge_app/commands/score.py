"""`sedge score`: the events of recordings, as tables."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

import edge_app
from edge_app.commands.detector import RuntimeOption, open_detector
from edge_app.commands.score_tables import write_tables
from edge_app.core.detect import Context, Detector, FileDetection
from edge_app.core.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, SedgeError
from edge_app.formats.frame_scores import FrameScoreWriter
from edge_app.formats.registry import EVENT_FORMATS
from edge_app.formats.whole_file import write_whole
from edge_app.scoring.recordings import Found, collect, score_names
from edge_app.scoring.run import FileNews, TakeScores, score_recordings

SUMMARY_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ScoreArgs:
    """Find the sound events of recordings.

    Writes into the folder OUT: events.tsv (filename, onset, offset, event_label; a row with empty fields for a
    recording without events), durations.tsv, and summary.json. Recordings that fail are named, and the others
    are done all the same. Exit status: 0 all done, 1 some failed, 2 wrong use, 3 no model or runtime.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATHS...")]
    """Recordings (WAV, FLAC, OGG, MP3; any sample rate, channels and length), and folders to search for them,
    sub-folders included. In the tables each is named by its path within the folder given."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the results; made if it is not there."""
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to use; without it, the one that comes with the program."""
    format: Annotated[str, tyro.conf.arg(metavar=",".join(EVENT_FORMATS))] = "desed"
    """Tables of events to write, separated by commas: desed is events.tsv; csv, json, rttm and jsonl (one object
    an event) are events.csv and so on; raven is events.selections.txt; audacity is labels/, one track a recording."""
    frame_scores: Literal["raw", "smoothed"] | None = None
    """Write the score of every label in every frame of 20 ms as well, one table a recording, in scores/: as the
    model gives them, or after the median filter that events are found with."""
    context: Context = "clip"
    """What the model hears at once. clip: windows of 10 s, each as a whole. live: hop by hop with the past 10 s,
    as a microphone is heard, with the results that `sedge listen` gives."""
    hop_frames: int | None = None
    """Frames of 20 ms from one step to the next, with --context live; without it, the model's own."""
    runtime: RuntimeOption = "auto"
    threads: int = 1
    """Threads that the model may use."""


@dataclass
class Results:
    """What a run has found so far."""

    detections: dict[str, FileDetection] = field(default_factory=dict)
    """By filename."""
    failures: dict[str, str] = field(default_factory=dict)
    """What was wrong, by filename."""

    @property
    def audio_s(self) -> float:
        """Seconds of sound in the recordings that are done."""
        return sum(detection.duration_s for detection in self.detections.values())


def main(argv: list[str]) -> int:
    """Run `sedge score`; returns the exit status. Raises SedgeError for wrong use and for an unusable model."""
    if "" in argv:  # an unset variable in a script: as a path it would mean the current folder
        raise SedgeError("arguments: expected a path or a value each, found an empty one")
    args = tyro.cli(ScoreArgs, args=argv, prog="sedge score")
    _check(args)
    detector = open_detector(args.bundle, args.runtime, args.context, args.threads, args.hop_frames)
    found = collect(args.paths)
    _make_writable(args.out)
    return _run(args, detector, found)


def _check(args: ScoreArgs) -> None:
    """Raise SedgeError for settings that contradict each other."""
    if not args.paths:
        raise SedgeError("PATHS: expected recordings or folders, found none")
    unknown = [name for name in args.format.split(",") if name not in EVENT_FORMATS]
    if unknown:
        raise SedgeError(f"--format: expected some of {', '.join(EVENT_FORMATS)}, found {unknown[0]!r}")
    for name, number in (("--threads", args.threads), ("--hop-frames", args.hop_frames)):
        if number is not None and number < 1:
            raise SedgeError(f"{name}: expected at least 1, found {number}")
    if args.hop_frames is not None and args.context != "live":
        raise SedgeError(f"--hop-frames: expected --context live beside it, found {args.context}")


def _make_writable(out: Path) -> None:
    """Make the folder for results, or raise SedgeError before any work is done."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".sedge.partial"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SedgeError(f"{out}: expected a folder that can be written, found: {error.strerror}") from error


def _run(args: ScoreArgs, detector: Detector, found: Found) -> int:
    results, console, started = Results(), Console(stderr=True), time.perf_counter()
    interrupted = False
    try:
        _score_all(args, detector, found, results, console)
    except KeyboardInterrupt:
        interrupted = True
    finally:  # an error that nobody foresaw must not cost what is done
        left = set(found.recordings) - set(results.detections) - set(results.failures)
        results.failures |= dict.fromkeys(sorted(left), "expected to be scored, found the run interrupted")
        wall_s = time.perf_counter() - started
        summary = _summary(args, detector, results, wall_s)
        write_whole(args.out / "summary.json", json.dumps(summary, indent=2) + "\n")
        written = write_tables(args.out, args.format.split(","), detector, found, results.detections)
    for line in written.notes + written.errors:
        _say(console, f"sedge: {line}")
    _say(console, _closing_line(results, wall_s, interrupted))
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if results.failures or written.errors else EXIT_DONE


def _score_all(args: ScoreArgs, detector: Detector, found: Found, results: Results, console: Console) -> None:
    """Score every recording, keeping in `results` what is done at any time."""
    for filename, error in found.failures.items():
        results.failures[filename] = error
        _say(console, f"sedge: {error}")
    names = score_names(list(found.recordings))
    with _progress(console, len(found.recordings)) as (show, advance):

        def tell(news: FileNews) -> None:
            if news.stage == "working":
                show(news.filename, news.done_s)
                return
            if news.detection is not None:
                results.detections[news.filename] = news.detection
            else:
                results.failures[news.filename] = news.error
                _say(console, f"sedge: {news.error}")
            advance()

        score_recordings(
            detector,
            found.recordings,
            tell,
            lambda filename: _open_table(args, args.out / "scores" / names[filename], detector.event_labels),
        )


@contextmanager
def _open_table(args: ScoreArgs, table: Path, event_labels: tuple[str, ...]) -> Iterator[TakeScores | None]:
    """What writes a recording's table of frame scores, if one is asked for."""
    if args.frame_scores is None:
        yield None
        return
    try:
        table.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SedgeError(f"{table.parent}: expected a folder, found: {error.strerror}") from error
    with FrameScoreWriter(table, event_labels) as writer:

        def take(raw: NDArray[np.float32], smoothed: NDArray[np.float32]) -> None:
            writer.write(raw if args.frame_scores == "raw" else smoothed)

        yield take


def _summary(args: ScoreArgs, detector: Detector, results: Results, wall_s: float) -> dict[str, object]:
    manifest = detector.bundle.manifest
    audio_s = results.audio_s
    return {
        "schema_version": SUMMARY_SCHEMA_VERSION,
        "sedge_version": edge_app.__version__,
        "bundle": {"name": manifest.name, "graph_sha256": manifest.graph.sha256},
        "runtime": detector.runtime.name,
        "runtimes_passed_over": [dataclasses.asdict(other) for other in detector.passed_over],
        "settings": {
            "context": args.context,
            "hop_frames": detector.hop_frames if args.context == "live" else None,
            "decoding_overrides": {},
            "frame_scores": args.frame_scores,
        },
        "files": {"done": len(results.detections), "failed": len(results.failures)},
        "failures": [{"filename": name, "error": error} for name, error in results.failures.items()],
        "audio_s": round(audio_s, 3),
        "wall_s": round(wall_s, 3),
        "real_time_factor": round(wall_s / audio_s, 6) if audio_s else None,
    }


def _closing_line(results: Results, wall_s: float, interrupted: bool) -> str:
    n_events = sum(len(detection.events) for detection in results.detections.values())
    failed = f", {len(results.failures)} failed" if results.failures else ""
    factor = f", real-time factor {wall_s / results.audio_s:.4f}" if results.audio_s else ""
    return (
        f"{'interrupted: ' if interrupted else ''}files: {len(results.detections)} done{failed}; "
        f"events: {n_events}; {results.audio_s:.1f} s of sound in {wall_s:.1f} s{factor}"
    )


@contextmanager
def _progress(
    console: Console, total: int
) -> Iterator[tuple[Callable[[str, float], None], Callable[[], None]]]:
    """A bar on a terminal, nothing elsewhere: what shows a recording with its seconds done, and what counts it."""
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)

        def show(filename: str, done_s: float) -> None:
            minutes, seconds = divmod(int(done_s), 60)
            progress.update(task, description=f"{_printable(filename)} {minutes}:{seconds:02d}")

        yield show, lambda: progress.advance(task)


def _say(console: Console, line: str) -> None:
    """One line on the standard error stream, whatever is in it and however narrow the terminal."""
    console.print(_printable(line), markup=False, highlight=False, emoji=False, soft_wrap=True)


def _printable(text: str) -> str:
    """Text with what could break the line or steer the terminal written as an escape."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
