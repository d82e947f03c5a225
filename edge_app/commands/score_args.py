"""The arguments of `sedge score`, and which of them contradict each other."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from edge_app.commands.detector import RuntimeOption
from edge_app.core.detect import Context
from edge_app.core.errors import SedgeError
from edge_app.formats.registry import EVENT_FORMATS, is_at_hand
from edge_app.scoring.task import ScoreFormat, ScoreKind


@dataclass(frozen=True)
class ScoreArgs:
    """Find the sound events of recordings.

    Writes into the folder OUT: events.tsv (filename, onset, offset, event_label; a row with empty fields for a
    recording without events), durations.tsv, summary.json, and journal.sqlite, which a run that was interrupted goes
    on from. Recordings that fail are named, and the others are done all the same. Exit status: 0 all done, 1 some
    failed, 2 wrong use, 3 no model or runtime, 130 interrupted.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATHS...")]
    """Recordings (WAV, FLAC, OGG, MP3, M4A, Opus, the sound of videos; any sample rate, channels and length), folders
    to search for them, sub-folders included, and quoted patterns such as 'rec/**/*.flac'. In the tables each is named
    by its path within the folder given. With --resume they may be left out."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the results; made if it is not there."""
    manifest: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """List of recordings: one path a line, or a TSV or CSV table with a column filename or path; relative to the
    list's own folder. May be given several times."""
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to use; without it, the one that comes with the program."""
    format: Annotated[str, tyro.conf.arg(metavar=",".join(EVENT_FORMATS))] = "desed"
    """Tables of events to write, separated by commas: desed is events.tsv; csv, json, rttm, jsonl (one object an event)
    and parquet are events.csv and so on; raven is events.selections.txt; audacity is labels/, one track a recording."""
    frame_scores: ScoreKind | None = None
    """Write the score of every label in every frame of 20 ms as well, one file a recording, in scores/: as the model
    gives them, or after the median filter that events are found with."""
    scores_as: ScoreFormat = "tsv"
    """Form of the frame scores: a table, or one compressed NumPy array file."""
    context: Context = "clip"
    """What the model hears at once. clip: windows of 10 s, each as a whole; in longer recordings they overlap by half,
    and scores are the mean. live: hop by hop with the past 10 s, as a microphone is heard, with the results that
    `sedge listen` gives."""
    hop_frames: int | None = None
    """Frames of 20 ms from one step to the next, with --context live; without it, the model's own."""
    runtime: RuntimeOption = "auto"
    workers: Literal["auto"] | int = "auto"
    """Recordings that are scored at the same time, each by a process of its own; auto: as many as there are processor
    cores for, by --threads. 0: in this process, where a decoder that crashes ends the run. With a GPU: threads that
    read recordings for it."""
    threads: int = 1
    """Threads of arithmetic of each worker."""
    batch: int = 8
    """With a GPU: windows of different recordings that go through the model in one call, at most."""
    resume: bool = False
    """Go on with the run in OUT: what is done stays, what is new or has changed is scored. Tables that are there are
    renewed, whatever --format says."""
    retry_failed: bool = False
    """With --resume: try again what has failed."""
    overwrite: bool = False
    """Begin anew in a folder that holds a run already; its results are lost."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Score on the Ray cluster at this address (auto: the one that this machine belongs to). Recordings and OUT must
    have the same paths on all its machines."""
    ground_truth: Annotated[Path | None, tyro.conf.arg(metavar="TSV")] = None
    """Reference events: print F-scores, and with --frame-scores PSDS, at the end (`sedge evaluate OUT` later does
    the same). From a checkout only."""
    report: bool = False
    """Write summary.html as well: what was found at which hour of the day, and what has failed, for a person."""
    stall_s: float = 60.0
    """A recording in which nothing moves for so many seconds has failed; not with a GPU or --workers 0."""

    @property
    def formats(self) -> list[str]:
        """The formats of events, each once."""
        return list(dict.fromkeys(self.format.split(",")))


def check(args: ScoreArgs) -> None:
    """Raise SedgeError for settings that contradict each other."""
    if not (args.paths or args.manifest or args.resume):
        raise SedgeError("PATHS: expected recordings or folders, found none")
    unknown = [name for name in args.formats if name not in EVENT_FORMATS]
    if unknown:
        raise SedgeError(f"--format: expected some of {', '.join(EVENT_FORMATS)}, found {unknown[0]!r}")
    absent = [name for name in args.formats if not is_at_hand(name)]
    if absent:  # known before the work, and not when its table is to be written
        raise SedgeError(
            f"--format {absent[0]}: expected its library, found it not installed: "
            f"pip install 'sedge-sed[{absent[0]}]'"
        )
    _check_numbers(args)
    _check_pairs(args)


def _check_numbers(args: ScoreArgs) -> None:
    for name, number, least in (
        ("--threads", args.threads, 1),
        ("--hop-frames", args.hop_frames, 1),
        ("--batch", args.batch, 1),
        ("--workers", args.workers, 0),
    ):
        if isinstance(number, int) and number < least:
            raise SedgeError(f"{name}: expected at least {least}, found {number}")
    if not 0 < args.stall_s < math.inf:
        raise SedgeError(f"--stall-s: expected seconds above 0, found {args.stall_s:g}")


def _check_pairs(args: ScoreArgs) -> None:
    if args.hop_frames is not None and args.context != "live":
        raise SedgeError(f"--hop-frames: expected --context live beside it, found {args.context}")
    if args.scores_as != "tsv" and args.frame_scores is None:
        raise SedgeError("--scores-as: expected --frame-scores raw or smoothed beside it, found neither")
    if args.resume and args.overwrite:
        raise SedgeError("--resume: expected it without --overwrite, found both")
    if args.retry_failed and not args.resume:
        raise SedgeError("--retry-failed: expected --resume beside it, found none")
    if args.ground_truth is not None and "desed" not in args.formats:
        raise SedgeError(f"--ground-truth: expected desed among the formats, found {args.format}")
    if args.ray is not None and args.workers != "auto":
        raise SedgeError("--workers: expected it without --ray, where the cluster decides, found both")
