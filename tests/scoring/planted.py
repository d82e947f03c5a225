"""Workers with accidents planted in them, recordings to plant them in, and the run that a test kills."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import soundfile

from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.scoring.batch import run_batch
from edge_app.scoring.journal import Identity, Journal, has_run
from edge_app.scoring.local_workers import LocalWorkers
from edge_app.scoring.task import Outcome, Progress, ScoreSettings, Task
from edge_app.scoring.worker import Worker
from tests.stream.fakes import FakeRuntime, bursts, fake_bundle

RATE = 16_000
IDENTITY = Identity("0", "fake", "0" * 64, {"frame_scores": "raw", "score_format": "tsv"})
SETTINGS = ScoreSettings(frame_scores="raw")


def write_recordings(folder: Path, count: int, seconds: float = 1.0) -> dict[str, Path]:
    """Short noises that come and go, each another, in two folders; by filename."""
    found = {}
    for number in range(count):
        filename = f"{'ab'[number % 2]}/{number:03d}.wav"
        path = folder / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, bursts(int(seconds * RATE) + 160 * number, seed=number), RATE)
        found[filename] = path
    return found


class FakeWorker(Worker):
    """A worker on the fake graph, which finds events."""

    def __init__(self, settings: ScoreSettings, *, is_stopped: Callable[[], bool] = lambda: False) -> None:
        self.settings = settings
        self.detector = Detector(fake_bundle(), FakeRuntime(), settings.context, settings.hop_frames)
        self._is_stopped, self._stall_s = is_stopped, None


class PlantedWorker(FakeWorker):
    """A recording whose name holds an accident has it."""

    def score(self, task: Task, tell: Callable[[Progress], None]) -> Outcome:
        stem = task.path.stem
        if "crash" in stem:
            begin_scores(task)
            os.abort()
        if "killed" in stem:
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in stem:
            begin_scores(task)
            tell(Progress(task.position, 0.0))
            wait_forever()
        return super().score(task, tell)


class FullDiskWorker(FakeWorker):
    """There is no room for results."""

    def score(self, task: Task, tell: Callable[[Progress], None]) -> Outcome:
        raise SedgeError(f"{task.scores_path}: cannot be written (No space left on device)")


def wait_forever() -> None:
    """Hang."""
    threading.Event().wait()


def begin_scores(task: Task) -> None:
    """A file of frame scores as `whole_file` has it before it is whole."""
    if task.scores_path is not None:
        task.scores_path.parent.mkdir(parents=True, exist_ok=True)
        partial = task.scores_path.with_name(f".{task.scores_path.name}.{os.getpid()}-0a1b2c3d.part")
        partial.write_text("onset\toffset\n")


def hang_alone(task: Task) -> None:
    """Score a recording with a model that never answers; only the watch over the process ends it."""
    worker = FakeWorker(replace(SETTINGS, stall_s=0.3))
    runtime = FakeRuntime(wait_forever)
    worker.detector = Detector(fake_bundle(), runtime, "clip")
    worker._stall_s = 0.3
    worker.score(task, lambda _: None)


def unusable(settings: ScoreSettings, *, is_stopped: Callable[[], bool]) -> Worker:
    """A worker that cannot be opened."""
    raise SedgeError("model: expected one, found none")


def crashing(settings: ScoreSettings, *, is_stopped: Callable[[], bool]) -> Worker:
    """A worker whose process ends while it is opened."""
    os.abort()


def begin_or_go_on(out: Path, found: dict[str, Path]) -> Journal:
    """The journal of a run, whatever became of the one before."""
    if not has_run(out):
        return Journal.create(out, IDENTITY, found)
    journal = Journal.open(out, IDENTITY)
    journal.reconcile(found)
    return journal


def main(out: Path, folder: Path, n_workers: int) -> None:
    """Run until it is done, or killed; tells each recording that is done on a line of its own."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.wav"))}
    print("begun", flush=True)
    with begin_or_go_on(out, found) as journal:
        run_batch(
            journal,
            LocalWorkers(SETTINGS, n_workers, FakeWorker),
            lambda news: print(news.task.filename, flush=True) if news.outcome else None,
        )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    except KeyboardInterrupt:
        sys.exit(130)
