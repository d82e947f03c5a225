"""`sedge bench-live`: from the onset of real sounds to news of their events, in real time, and where the time goes."""

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from benchmarks.live.alignment import first_sample_of
from benchmarks.live.annotated import Annotated as AnnotatedRecording
from benchmarks.live.annotated import join
from benchmarks.live.busy import busy_processes
from benchmarks.live.listening import Listening
from benchmarks.live.live_report import LiveReport, LiveRun, details, figures, live_run, show
from benchmarks.live.sound_server import Player, own_sound_server
from benchmarks.machine_watch import MachineWatch
from benchmarks.report import bundle_setting, check_positive, report_console, this_machine, write_result
from edge_app.commands.detector import RuntimeOption, open_detector
from edge_app.core.audio import read_blocks
from edge_app.core.delay import algorithmic_delay
from edge_app.core.detect import Detector
from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.stream.microphone import MicrophoneSource
from edge_app.stream.sources import FileSource

AFTER_S = 4.0
"""How much longer than the recording a microphone is heard: the player takes a while to begin."""

DESCRIPTION = """Play real recordings with known onsets to the live engine, in real time, and measure how long each
onset takes to become news of an event, provisional and confirmed. The latency is taken apart: how late the model puts
the onset, what the settings make (hop, context, median, least length), the block that has to fill, and what this
machine computes. Sound that was not analysed is told, and steps that took longer than their hop.

Without FOLDER it plays the bundled soundscape. By itself the program's own source plays the recording, as a microphone
in the room would hear it, which works everywhere. --pulse starts a PulseAudio of its own with a virtual microphone, and
the sound goes through the player, the server and the driver; --device and --play-sink use a sound server that runs
already. What these keep before they deliver is not in the latency: it is counted from the earliest moment at which the
program can have been given the sound, and a virtual microphone gives it in blocks of its own. With --load, busy
processes compete for the processors; several numbers are measured one after the other.

Exit code 0 means done, 2 wrong use, 3 no usable device, model or runtime."""


@dataclass(frozen=True)
class BenchLive:
    """Arguments of `sedge bench-live`."""

    folder: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="FOLDER")] = None
    """Labelled recordings, played one after the other: `audio/` and `ground_truth.tsv` (filename, onset, offset,
    event_label)."""
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to measure; without it, the one that comes with the program."""
    hop_frames: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Frames of 20 ms of a live step; without it, the model's own."""
    runtime: RuntimeOption = "auto"
    seconds: Annotated[float, tyro.conf.arg(metavar="S")] = 90.0
    """Most sound that is played, in seconds."""
    load: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N")] = (0,)
    """Busy processes beside it; each number is a run of its own."""
    pulse: bool = False
    """Play through a virtual microphone of a PulseAudio of its own."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The microphone that hears --play-sink, as `sedge devices` lists it."""
    play_sink: Annotated[str | None, tyro.conf.arg(metavar="SINK")] = None
    """A PulseAudio sink to play into, such as a null sink."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON as well."""


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-live`; returns 0. Raises SedgeError for wrong use, and without a device, model or runtime."""
    args = tyro.cli(
        BenchLive,
        args=list(argv),
        prog="sedge bench-live",
        description=DESCRIPTION,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    report, _ = measure(args)
    show(report, report_console())
    return EXIT_DONE


def measure(args: BenchLive) -> tuple[LiveReport, dict[str, Any]]:
    """Run everything, and write the result where `--json` says; the report, and the result as plain values."""
    check_args(args)
    detector = open_detector(args.bundle, args.runtime, "live", args.threads, args.hop_frames)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        recording = join(args.folder, args.seconds, Path(folder) / "recording.wav")
        sink = stack.enter_context(own_sound_server(Path(folder))) if args.pulse else args.play_sink
        runs = [_run(args, detector, recording, load, sink) for load in args.load]
    report = LiveReport(
        bundle=detector.bundle.manifest.name,
        source=_source_text(args, recording),
        duration_s=recording.duration_s,
        runtime=detector.runtime_text,
        hop_frames=detector.hop_frames,
        runs=runs,
        delay=algorithmic_delay(detector.bundle.manifest, detector.hop_frames),
        machine=this_machine(args.threads),
    )
    settings = _settings(args, detector, report)
    return report, write_result(args.json, "live", report.machine, settings, figures(report), details(report))


def _settings(args: BenchLive, detector: Detector, report: LiveReport) -> dict[str, Any]:
    manifest = detector.bundle.manifest
    return {
        "threads": args.threads,
        "bundle": bundle_setting(manifest.name, manifest.graph.sha256),
        "runtime": detector.runtime.name,
        "hop_frames": detector.hop_frames,
        "source": report.source,
        "seconds": report.duration_s,
        "load": args.load,
    }


def check_args(args: BenchLive) -> None:
    """Raise SedgeError for what cannot be meant."""
    check_positive({"seconds": args.seconds, "threads": args.threads})
    if not args.load or min(args.load) < 0 or len(set(args.load)) < len(args.load):
        raise SedgeError(f"--load: expected numbers of processes, each once, found {list(args.load)}")
    if args.pulse and (args.device or args.play_sink):
        raise SedgeError(
            "--pulse: expected neither --device nor --play-sink, which use a server that runs already"
        )
    if (args.device is None) != (args.play_sink is None):
        raise SedgeError("--device and --play-sink: expected both or neither, found one of them")


def _source_text(args: BenchLive, recording: AnnotatedRecording) -> str:
    way = "a virtual microphone" if args.pulse else "the program's own source"
    if args.play_sink is not None:
        way = f"the sink {args.play_sink} and the microphone {args.device}"
    return f"{recording.what}, through {way}"


def _run(
    args: BenchLive, detector: Detector, recording: AnnotatedRecording, load: int, sink: str | None
) -> LiveRun:
    with busy_processes(load):
        if sink is not None:
            return _run_microphone(args, detector, recording, load, sink)
        watch = MachineWatch()
        heard = Listening(FileSource(recording.path, realtime=True), detector).run()
        rate = detector.bundle.manifest.log_mel.sample_rate
        return live_run(load, recording.events, heard, rate, watch.use())


def _run_microphone(
    args: BenchLive, detector: Detector, recording: AnnotatedRecording, load: int, sink: str
) -> LiveRun:
    """Play the recording as soon as the microphone delivers, and listen until it is over."""
    rate = detector.bundle.manifest.log_mel.sample_rate
    watch, duration_s = MachineWatch(), recording.duration_s + AFTER_S
    with closing(Player(sink, recording.path)) as player:
        source = MicrophoneSource(args.device)
        listening = Listening(source, detector, duration_s, keep_samples=True, on_first_sound=player.start)
        heard = listening.run()
    use, samples = watch.use(), np.concatenate(list(read_blocks(recording.path, rate)))
    first_sample = first_sample_of(samples, heard.samples, rate)
    return live_run(load, recording.events, heard, rate, use, first_sample)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
