"""`sedge listen`: events as they happen, on a microphone, a recording or a pipe."""

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import tyro

from edge_app.actions.action import Action
from edge_app.actions.command import Command
from edge_app.actions.receiver import Receiver
from edge_app.actions.rules import COOLDOWN_S, occasion
from edge_app.actions.webhook import Webhook
from edge_app.commands.detector import RuntimeOption, open_detector
from edge_app.commands.news_text import as_text
from edge_app.core.audio import SAMPLE_RATES_HZ
from edge_app.core.detect import Detector
from edge_app.core.errors import EXIT_DONE, EXIT_SOME_FAILED, SedgeError
from edge_app.sessions.journal import Journal
from edge_app.sessions.upkeep import Upkeep
from edge_app.stream.analysis import Listeners
from edge_app.stream.engine import Engine
from edge_app.stream.messages import EventNews, as_json
from edge_app.stream.microphone import RECONNECT_S, MicrophoneSource
from edge_app.stream.sources import RAW_RATE, FileSource, Source, StdinSource

DESCRIPTION = """Find sound events as they happen. Ctrl-C ends it; a summary follows.

An event is first provisional (a line with a question mark), then it begins (it has lasted long enough) or is withdrawn,
and in the end it is closed. Where sound was lost or there was no time to analyse it, a gap is reported, and events
end there. With --format jsonl each piece of news is one JSON object a line.

--on-event and --webhook tell others of an event as soon as it begins, and of the same label not again for --cooldown-s
seconds. They work beside the detection and never hold it up: what a slow receiver has no time for is dropped, and
counted at the end.

Exit code 0 means done or ended by Ctrl-C, 1 a damaged recording, or a store that cannot be opened or written,
2 wrong use, 3 no device, model or runtime."""
HISTORY_S = 1.0  # nothing is played or cut from it here


@dataclass(frozen=True)
class ListenArgs:
    """Arguments of `sedge listen`."""

    source: Annotated[str, tyro.conf.arg(metavar="mic|FILE|-")] = "mic"
    """What to listen to: a microphone; a recording (WAV, FLAC, OGG, MP3); or - for standard input: a WAV stream, or
    raw 16-bit little-endian mono samples, such as `arecord -t raw -f S16_LE -r 16000` writes."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The microphone, by its name or a part of it (`sedge devices` lists them); the system's default unless given."""
    realtime: bool = True
    """Play a recording at its own speed, as a microphone would hear it, or go through it as fast as possible. Both give
    the same events as long as this machine keeps up."""
    duration: Annotated[float | None, tyro.conf.arg(metavar="S")] = None
    """End after this many seconds of sound, gaps included; without it, at the end of the source or on Ctrl-C."""
    format: Literal["text", "jsonl"] = "text"
    """How to print the news: lines to read, or one JSON object a line."""
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to use; without it, the one that comes with the program."""
    hop_frames: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Frames of 20 ms from one step to the next: fewer react sooner and cost more; without it, the model's own."""
    runtime: RuntimeOption = "auto"
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use."""
    rate: Annotated[int, tyro.conf.arg(metavar="HZ")] = RAW_RATE
    """Sample rate of raw samples on standard input; a WAV stream tells its own."""
    reconnect_s: Annotated[float, tyro.conf.arg(metavar="S")] = RECONNECT_S
    """For how many seconds to try to open a microphone again that has stopped delivering."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="DB")] = None
    """Keep events, gaps and scores in this file, which the app opens as well (`sedge export` makes tables of it); it
    is made where it is not there."""
    store_scores: bool = True
    """Keep the score of every label in every frame too, about 2 MB an hour: past events can then be found anew with
    other thresholds."""
    store_sound: bool = False
    """Keep the whole sound as FLAC beside the store too, about 100 MB an hour: `sedge replay` can then hear it anew."""
    keep_days: Annotated[float | None, tyro.conf.arg(metavar="DAYS")] = None
    """Delete from the store what is older, at the start and every hour; reviewed events stay. Without it: nothing."""
    keep_gb: Annotated[float | None, tyro.conf.arg(metavar="GB")] = None
    """Delete the oldest from the store beyond this size, sound included, in the same way."""
    on_event: Annotated[str | None, tyro.conf.arg(metavar="COMMAND")] = None
    """A program with its arguments, run when an event begins: without a shell, the event as a line of JSON on its
    standard input and as SEDGE_EVENT_LABEL, SEDGE_ONSET, SEDGE_SCORE and so on in its environment."""
    webhook: Annotated[str | None, tyro.conf.arg(metavar="URL|@FILE")] = None
    """A web address that the event is posted to as JSON when it begins; with @ the file whose first line is the
    address, which keeps it out of the list of processes."""
    cooldown_s: Annotated[float, tyro.conf.arg(metavar="S")] = COOLDOWN_S
    """Seconds of sound for which a label that has just been told of is not told of again."""


def main(argv: list[str]) -> int:
    """Run `sedge listen`. Raises SedgeError for wrong use, a damaged recording, no device and no model."""
    args = tyro.cli(ListenArgs, args=argv, prog="sedge listen", description=DESCRIPTION)
    _check(args)
    receivers = _receivers(args)
    detector = open_detector(args.bundle, args.runtime, "live", args.threads, args.hop_frames)
    return _listen(args, detector, receivers)


def _listen(args: ListenArgs, detector: Detector, receivers: Sequence[Receiver]) -> int:
    source, name = _open_source(args), detector.bundle.manifest.name
    with ExitStack() as stack:
        actions = [stack.enter_context(_acting(receiver, args.cooldown_s)) for receiver in receivers]
        journal = stack.enter_context(_keeping(args, source, detector))
        stack.enter_context(_tidying(args))
        engine = stack.enter_context(_engine(args, source, detector, journal))
        stack.enter_context(_stopping_on_signals(engine))
        if journal and source.live:
            journal.follow(lambda: engine.heard)
        _notify(f"listening to {source.name} with {name}, {detector.runtime_text}")
        for news in engine:
            if journal:
                journal.take(news)
            if isinstance(news, EventNews) and actions:
                _act(actions, news, source, engine, name)
            line = as_json(news) if args.format == "jsonl" else as_text(news)
            if line:
                print(line, flush=True)
    return EXIT_SOME_FAILED if journal and journal.problem else EXIT_DONE


@contextmanager
def _keeping(args: ListenArgs, source: Source, detector: Detector) -> Iterator[Journal | None]:
    """The session's journal, if one is wanted; at the end it says where it is."""
    if args.store is None:
        yield None
        return
    journal = Journal(
        args.store,
        source,
        detector,
        _notify,
        with_scores=args.store_scores,
        history_s=HISTORY_S,
        records_sound=args.store_sound,
    )
    journal.begin()
    try:
        yield journal
    finally:
        _notify(journal.close())


@contextmanager
def _tidying(args: ListenArgs) -> Iterator[None]:
    """Have the store kept small, if that is wanted; at the end it says what went wrong."""
    if args.store is None or (args.keep_days is None and args.keep_gb is None):
        yield
        return
    with Upkeep(
        args.store, args.keep_days, None if args.keep_gb is None else round(args.keep_gb * 1e9)
    ) as upkeep:
        yield
    if upkeep.problem:
        _notify(upkeep.problem)


def _engine(args: ListenArgs, source: Source, detector: Detector, journal: Journal | None) -> Engine:
    told = journal.listeners if journal else Listeners()
    return Engine(
        source,
        detector,
        args.duration,
        on_hop=told.on_hop,
        on_samples=told.on_samples,
        on_decoding=told.on_decoding,
    )


@contextmanager
def _acting(receiver: Receiver, cooldown_s: float) -> Iterator[Action]:
    """An action that says at the end what became of its events."""
    action = Action(receiver, _notify, cooldown_s)
    try:
        yield action
    finally:
        action.close()
        _notify(action.summary_text)


def _act(actions: Sequence[Action], news: EventNews, source: Source, engine: Engine, model: str) -> None:
    """Have an event that begins told of."""
    around = {"source": source.name, "model": model}
    if source.live:
        around["onset_utc"] = utc_text(engine, news.onset_sample)
    if (one := occasion(news, around)) is not None:
        for action in actions:
            action.take(one)


def utc_text(engine: Engine, sample: int) -> str:
    """UTC of an absolute sample of a live source, by when the newest one was captured: 2026-01-31T12:00:00.250Z."""
    newest, heard_s = engine.heard
    behind_s = time.monotonic() - heard_s + (newest - sample) / engine.summary.sample_rate
    instant = datetime.now(UTC) - timedelta(seconds=behind_s)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _check(args: ListenArgs) -> None:
    """Raise SedgeError for settings that are out of range or contradict each other."""
    if args.device is not None and args.source != "mic":
        raise SedgeError(f"--device: expected --source mic beside it, found {args.source}")
    if args.store is None:
        for name in _of_the_store(args):
            raise SedgeError(f"--{name}: expected --store beside it, found none")
    positive = {"duration": args.duration, "threads": args.threads}
    positive |= {"keep-days": args.keep_days, "keep-gb": args.keep_gb}
    for name, value in positive.items():
        # Written so that a number that is none fails as well.
        if value is not None and not 0 < value < math.inf:
            raise SedgeError(f"--{name}: expected more than 0 and finite, found {value}")
    low, high = SAMPLE_RATES_HZ
    if not low <= args.rate <= high:
        raise SedgeError(f"--rate: expected {low} to {high} Hz, found {args.rate}")
    if not args.reconnect_s >= 0:
        raise SedgeError(f"--reconnect-s: expected 0 or more, found {args.reconnect_s}")
    if not 0 <= args.cooldown_s < math.inf:
        raise SedgeError(f"--cooldown-s: expected 0 or more and finite, found {args.cooldown_s}")


def _of_the_store(args: ListenArgs) -> list[str]:
    """Options that are given and say what is kept: without a store it would be nothing."""
    given = {"store-sound": args.store_sound, "keep-days": args.keep_days, "keep-gb": args.keep_gb}
    return [name for name, value in given.items() if value not in (False, None)]


def _receivers(args: ListenArgs) -> list[Receiver]:
    """Who is told of events. Raises SedgeError for a command that is none, and an address that is none."""
    receivers: list[Receiver] = []
    if args.on_event is not None:
        receivers.append(Command(args.on_event))
    if args.webhook is not None:
        receivers.append(Webhook(_address(args.webhook)))
    return receivers


def _address(given: str) -> str:
    """The address itself, or what the file behind an @ says."""
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text("utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SedgeError(f"--webhook: {given[1:]}: expected a file with a web address, found none") from error


def _open_source(args: ListenArgs) -> Source:
    if args.source == "mic":
        return MicrophoneSource(args.device, args.reconnect_s, _notify)
    if args.source == "-":
        if sys.stdin is None:
            raise SedgeError("standard input: expected sound, found it closed")
        return StdinSource(sys.stdin.buffer, args.rate)
    return FileSource(Path(args.source), args.realtime)


def _notify(message: str) -> None:
    print(f"sedge: {message}", file=sys.stderr, flush=True)


@contextmanager
def _stopping_on_signals(engine: Engine) -> Iterator[None]:
    """The first Ctrl-C or request to end stops the engine, which then sums up; the second acts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def stop(*_: object) -> None:
        restore()
        # In a thread of its own: the signal may have come while this one holds a lock that stopping needs.
        threading.Thread(target=engine.stop, daemon=True).start()

    for number in former:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
