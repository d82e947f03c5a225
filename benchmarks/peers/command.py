"""`sedge bench-peers`: this program and others on the same clips, in the same run."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import Progress

from benchmarks.accuracy.accuracy import spread_clips
from benchmarks.peers.baseline import BaselinePeer
from benchmarks.peers.judging import judge
from benchmarks.peers.ours import OwnPeer
from benchmarks.peers.peer import Clip, Heard, Peer, PeerMissingError, Watch, cost_of
from benchmarks.peers.peer_tables import Measured, cost_table, judged_table, peer_figures
from benchmarks.peers.sherpa import sherpa_peer
from benchmarks.peers.silero import SileroPeer
from benchmarks.recording import SAMPLE_RATE
from benchmarks.report import (
    bundle_setting,
    check_positive,
    report_console,
    say,
    this_machine,
    write_result,
)
from edge_app.core.bundle import Bundle, load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.core.runtime_onnx import OnnxRuntime
from train.measuring.validation_set import ValidationSet, read_validation_set

DESCRIPTION = """Hear the same annotated clips with this program, live and whole, and with others where they are
installed: silero-vad with its own model and settings, sherpa-onnx with a model that it is given, and the baseline
CRNN of DCASE 2021 Task 4, untrained, for what it costs. Each clip goes to every system in turn.

How well is told of one label. Others than this program know only speech, and were not made for the way in which
these clips are annotated: each with its own settings, nothing is tuned here."""


@dataclass(frozen=True)
class BenchPeers:
    """Arguments of `sedge bench-peers`."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Annotated clips: audio/, ground_truth.tsv, durations.tsv."""
    bundle: Path | None = None
    """Bundle to measure; by default the one that comes with the program."""
    label: str = "Speech"
    """The label of speech in the annotation and in the bundle."""
    sherpa_model: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A model for sherpa-onnx: a voice activity detector, or an audio tagger with its labels."""
    threads: int = 1
    """Threads of each system that can be told."""
    clips: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Take this many clips only, spread evenly over the table."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON."""


def main(argv: Sequence[str]) -> int:
    """`sedge bench-peers`; returns 0, or raises SedgeError."""
    args = tyro.cli(BenchPeers, args=list(argv), prog="sedge bench-peers", description=DESCRIPTION)
    check_positive({"threads": args.threads, "clips": 1 if args.clips is None else args.clips})
    clips, bundle = spread_clips(read_validation_set(args.folder), args.clips), load_bundle(args.bundle)
    _check_label(args.label, clips, bundle)
    peers, missing = gather(_makers(args, bundle))
    systems = hear_all(peers, clips, args.label)
    settings = {
        "threads": args.threads,
        "bundle": bundle_setting(bundle.manifest.name, bundle.manifest.graph.sha256),
        "set": args.folder.name,
        "clips": len(clips.reference),
        "label": args.label,
    }
    figures = peer_figures(systems, args.label, len(clips.reference))
    details = {"systems": systems, "not_measured": missing}
    write_result(args.json, "peers", this_machine(args.threads), settings, figures, details)
    console = report_console()
    console.print(cost_table(systems))
    console.print(judged_table(systems, args.label))
    for key, system in systems.items():
        say(console, f"{key}: {system.name}")
    for why in missing:
        say(console, f"not measured: {why}")
    return EXIT_DONE


def _check_label(label: str, clips: ValidationSet, bundle: Bundle) -> None:
    if label not in bundle.manifest.event_labels:
        raise SedgeError(f"--label: expected one of {list(bundle.manifest.event_labels)}, found {label!r}")
    if not any(event.event_label == label for events in clips.reference.values() for event in events):
        raise SedgeError(f"{clips.audio}: expected clips with {label}, found none")


def _makers(args: BenchPeers, bundle: Bundle) -> list[Callable[[], Peer]]:
    import torch

    torch.set_num_threads(args.threads)
    runtime = OnnxRuntime(bundle, args.threads)
    return [
        lambda: OwnPeer(Detector(bundle, runtime, "live"), args.label),
        lambda: OwnPeer(Detector(bundle, runtime, "clip"), args.label),
        lambda: SileroPeer(args.label),
        lambda: sherpa_peer(args.sherpa_model, args.label, args.threads),
        BaselinePeer,
    ]


def gather(makers: Iterable[Callable[[], Peer]]) -> tuple[list[Peer], list[str]]:
    """The systems that run here, and why the others do not."""
    peers, missing = [], []
    for make in makers:
        try:
            peers.append(make())
        except PeerMissingError as why:
            missing.append(str(why))
    return peers, missing


def hear_all(peers: Sequence[Peer], clips: ValidationSet, label: str) -> dict[str, Measured]:
    """Every clip through every system in turn, by the systems' keys; the first clip once before, to warm up.

    Raises AudioError for a broken clip.
    """
    watches = {peer.key: Watch() for peer in peers}
    heard: dict[str, dict[str, Heard]] = {peer.key: {} for peer in peers}
    frames: dict[str, int] = {}
    audio_s = 0.0
    for filename in _shown(list(clips.reference)):
        clip = Clip.read(clips.audio / filename)
        for peer in peers:
            if not frames:
                peer.hear(clip, Watch())
            heard[peer.key][filename] = peer.hear(clip, watches[peer.key])
        frames[filename] = clip.n_frames
        audio_s += len(clip.samples) / SAMPLE_RATE
    return {
        peer.key: Measured(
            peer.name,
            cost_of(peer, watches[peer.key], audio_s),
            judge(heard[peer.key], clips.reference, frames, label),
        )
        for peer in peers
    }


def _shown(filenames: Sequence[str]) -> Iterator[str]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(filenames, description="clips, each through every system")
