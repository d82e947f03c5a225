"""Arguments of `sedge bench-throughput`, and the sound that they ask for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from benchmarks.recording import RECORDER_HZ, SAMPLE_RATE, write_files, write_long_recording
from benchmarks.report import check_positive
from edge_app.commands.score_workers import usable_cores
from edge_app.core.runtimes import RuntimeName
from edge_app.scoring.task import ScoreSettings
from edge_app.store.places import engine_folder

Preset = Literal["full", "small"]
FILES_A_WORKER = 4
"""At least so many files for each of the most workers: of fewer, how they divide would decide the figures."""


@dataclass(frozen=True)
class BenchThroughput:
    """Arguments of `sedge bench-throughput`."""

    bundle: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="DIR")] = ()
    """Model to measure, and with more of these options others beside it; without any, the one that comes with the
    program. The first is the one that workers are measured with."""
    runtime: RuntimeName = "cpu"
    """What runs the model. Workers are processes on the processor, and threads around one runtime on a GPU."""
    seconds_of_audio: Annotated[float, tyro.conf.arg(metavar="S")] = 600.0
    """Sound to go through each way: once as one file, once cut into many."""
    file_seconds: Annotated[float, tyro.conf.arg(metavar="S")] = 10.0
    """Length of each of the many files."""
    repeats: Annotated[int, tyro.conf.arg(metavar="N")] = 4
    """How often each way is run; the median counts. `sedge bench-compare` needs 4 to tell a difference."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use, in each worker; in the figures of one core they share it."""
    batches: tuple[int, ...] = (1, 2, 4, 8)
    """Windows of a recording that go through the model in one call."""
    workers: tuple[int, ...] = ()
    """Numbers of workers; without it 1, 2, 4 and so on up to the cores that may be used, by their threads."""
    baseline: bool = True
    """Measure the baseline CRNN of DCASE 2021 Task 4 in torch beside it, on the same files, core and threads."""
    untrained: tuple[Preset, ...] = ()
    """Measure a single untrained system of these widths beside: weights change neither arithmetic nor time."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """A Ray cluster to measure against the most workers of this machine. It uses all of its processors: start it with
    as many as these workers have threads."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON as well."""

    @property
    def bundles(self) -> tuple[Path | None, ...]:
        """Folders of the models; None is the one that comes with the program."""
        return self.bundle or (None,)

    @property
    def n_files(self) -> int:
        """The many files."""
        return max(1, round(self.seconds_of_audio / self.file_seconds))

    @property
    def audio_s(self) -> float:
        """Seconds of sound: whole files."""
        return self.n_files * self.file_seconds

    @property
    def n_worker_files(self) -> int:
        """The files that workers are given: the many, some of them several times where the workers are many."""
        return max(self.n_files, FILES_A_WORKER * self.worker_counts[-1])

    @property
    def worker_counts(self) -> tuple[int, ...]:
        """Numbers of workers in ascending order, one worker always among them: the others are compared with it."""
        if self.workers:
            return tuple(sorted({1, *self.workers}))
        most = max(1, usable_cores() // self.threads)
        return tuple(sorted({1, most, *(2**power for power in range(most.bit_length()))}))

    @property
    def settings(self) -> ScoreSettings:
        """How workers score."""
        bundle = self.bundles[0]
        return ScoreSettings(
            bundle=bundle and bundle.absolute(),
            runtime=self.runtime,
            engines=engine_folder(),
            threads=self.threads,
        )

    def check(self) -> None:
        """Raise SedgeError for arguments that mean nothing."""
        check_positive(
            {
                "seconds-of-audio": self.seconds_of_audio,
                "file-seconds": self.file_seconds,
                "repeats": self.repeats,
                "threads": self.threads,
                "batches": min(self.batches, default=0),
                "workers": min(self.workers, default=1),
            }
        )


@dataclass(frozen=True)
class Sounds:
    """The same sound three times, mono FLAC."""

    recording: Path
    """One file at 16 kHz."""
    files: dict[str, Path]
    """Many at 16 kHz, by filename."""
    recorder_files: dict[str, Path]
    """As many at the rate that recorders write."""

    @classmethod
    def write(cls, folder: Path, args: BenchThroughput) -> "Sounds":
        """Write all of it into a folder. Raises SedgeError where there is no space."""
        files = write_files(folder / "files", args.n_files, args.file_seconds, SAMPLE_RATE)
        write_long_recording(folder / "whole.flac", args.audio_s)
        return cls(
            folder / "whole.flac",
            files,
            write_files(folder / "recorder", args.n_files, args.file_seconds, RECORDER_HZ),
        )
