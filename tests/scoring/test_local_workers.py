"""Workers in processes and in threads: the same results from any number, and accidents that cost one recording."""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.formats.frame_scores import read_frame_scores
from edge_app.formats.score_arrays import read_score_array
from edge_app.scoring import crew
from edge_app.scoring.local_workers import LocalWorkers, _Child
from edge_app.scoring.run import Stopped
from edge_app.scoring.task import Outcome, Progress, ScoreSettings, Task
from edge_app.scoring.threads import ThreadWorkers
from tests.scoring.planted import (
    SETTINGS,
    FakeWorker,
    FullDiskWorker,
    PlantedWorker,
    crashing,
    hang_alone,
    unusable,
    write_recordings,
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> dict[str, Path]:
    return write_recordings(tmp_path_factory.mktemp("recordings"), 12)


def tasks_of(recordings: dict[str, Path], scores: Path | None = None, suffix: str = ".tsv") -> list[Task]:
    return [
        Task(
            position,
            filename,
            path,
            path.stat().st_size,
            path.stat().st_mtime_ns,
            scores and (scores / filename).with_suffix(suffix),
        )
        for position, (filename, path) in enumerate(recordings.items())
    ]


def run(workers, tasks: list[Task]) -> list[Outcome]:
    """Outcomes in the order of the list, without how long each took."""
    outcomes = workers.run(tasks, lambda _: None, lambda: False)
    return sorted((replace(outcome, wall_s=0.0) for outcome in outcomes), key=lambda one: one.position)


def keep_second(kept: list[NDArray[np.float32]], _: object, scores: NDArray[np.float32]) -> None:
    kept.append(scores)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.tsv")}


def test_results_depend_neither_on_the_workers_nor_on_the_order(recordings, tmp_path) -> None:
    alone = FakeWorker(SETTINGS)
    listed = tasks_of(recordings, tmp_path)
    expected = [replace(alone.score(task, lambda _: None), wall_s=0.0) for task in listed]
    assert sum(len(outcome.events) for outcome in expected) > 10
    assert all(not outcome.error for outcome in expected)
    written = files_in(tmp_path)
    assert len(written) == len(recordings)
    out = tmp_path / "out"
    tasks = tasks_of(recordings, out)
    order = np.random.default_rng(4).permutation(len(tasks))
    assert run(LocalWorkers(SETTINGS, 3, FakeWorker), [tasks[index] for index in order]) == expected
    assert files_in(out) == written
    assert [path for path in out.rglob("*") if path.name.startswith(".")] == []


def test_accident_costs_one_recording(recordings, tmp_path) -> None:
    names = list(recordings)
    planted = {
        "a/crash.wav": names[0],
        "b/hang.wav": names[1],
        "b/killed.wav": names[3],
        "b/crash.wav": names[5],
    }
    found = {}
    for name, like in planted.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(recordings[like].read_bytes())
        found[name] = path
    found = {**dict(list(found.items())[:2]), **recordings, **found}
    settings = replace(SETTINGS, stall_s=0.5)
    out = tmp_path / "scores"
    outcomes = run(LocalWorkers(settings, 2, PlantedWorker), tasks_of(found, out))
    errors = {name: outcome.error for name, outcome in zip(found, outcomes, strict=True) if outcome.error}
    assert errors == {
        name: f"{found[name]}: expected to be scored, found that {what}"
        for name, what in (
            ("a/crash.wav", "the decoder crashed (signal 6)"),
            ("b/hang.wav", "it got nowhere for 0.5 s"),
            ("b/killed.wav", "its process was ended from outside (signal 9), as where memory runs out"),
            ("b/crash.wav", "the decoder crashed (signal 6)"),
        )
    }
    assert len(files_in(out)) == len(recordings)
    assert list(out.rglob(".*")) == []


def test_process_that_ends_between_two_recordings_costs_none(recordings) -> None:
    first, second, *_ = tasks_of(recordings)
    child = _Child(SETTINGS, FakeWorker, lambda: False)
    try:
        assert child.score(first, lambda _: None).error == ""
        assert child._process is not None
        child._process.kill()
        child._process.join()
        assert child.score(second, lambda _: None).error == ""
    finally:
        child.close()


def test_full_disk_ends_the_run(recordings) -> None:
    with pytest.raises(SedgeError, match="No space left"):
        run(LocalWorkers(SETTINGS, 1, FullDiskWorker), tasks_of(recordings))


def check_alike(events: Sequence[Event], expected: Sequence[Event]) -> None:
    """Equal but for the last bits of scores, which the model's arithmetic may round otherwise in another process."""
    assert [replace(event, score=0.0) for event in events] == [
        replace(event, score=0.0) for event in expected
    ]
    assert [event.score for event in events] == pytest.approx([event.score for event in expected], abs=1e-6)


def test_real_model_in_processes_and_threads(recordings, tmp_path, tiny_bundle) -> None:
    settings = ScoreSettings(tiny_bundle, frame_scores="smoothed", score_format="npz")
    local, threads = tmp_path / "local", tmp_path / "threads"
    some = dict(list(recordings.items())[:4])
    outcomes = run(LocalWorkers(settings, 1), tasks_of(some, local, ".npz"))
    bundle = load_bundle(tiny_bundle)
    shared = ThreadWorkers(settings, OnnxRuntime(bundle), 3)
    in_threads = run(shared, tasks_of(some, threads, ".npz"))
    detector = Detector(bundle, OnnxRuntime(bundle))
    for name, outcome, other in zip(some, outcomes, in_threads, strict=True):
        smoothed: list[NDArray[np.float32]] = []
        detection = detector.detect_file(some[name], partial(keep_second, smoothed))
        assert outcome.duration_s == other.duration_s == detection.duration_s
        check_alike(outcome.events, detection.events)
        check_alike(other.events, detection.events)
        labels, scores = read_score_array((local / name).with_suffix(".npz"))
        assert labels == detector.event_labels
        np.testing.assert_allclose(scores, np.concatenate(smoothed), atol=1e-6)
        np.testing.assert_allclose(
            read_score_array((threads / name).with_suffix(".npz"))[1], scores, atol=1e-6
        )


def test_scores_as_a_table_are_raw_where_asked(recordings, tmp_path) -> None:
    [task, *_] = tasks_of(recordings, tmp_path)
    assert task.scores_path is not None
    worker = FakeWorker(SETTINGS)
    raw: list[NDArray[np.float32]] = []
    worker.detector.detect_file(task.path, lambda scores, _: raw.append(scores))
    outcome = worker.score(task, lambda _: None)
    assert outcome.wall_s > 0
    np.testing.assert_allclose(read_frame_scores(task.scores_path)[1], np.concatenate(raw), atol=6e-6)


def test_progress_of_a_long_recording_comes_from_its_process(tmp_path) -> None:
    found = write_recordings(tmp_path, 1, seconds=400.0)
    told: list[Progress] = []
    outcomes = list(LocalWorkers(SETTINGS, 1, FakeWorker).run(tasks_of(found), told.append, lambda: False))
    done = [progress.done_s for progress in told]
    assert len(done) > 1
    assert done == sorted(done)
    assert {progress.length_s for progress in told} == {400.0}
    assert 0 < done[-1] <= outcomes[0].duration_s == 400.0


def test_recording_that_changed_while_it_waited_fails(recordings, tmp_path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(recordings["a/000.wav"].read_bytes())
    [task] = tasks_of({"a.wav": path})
    worker = FakeWorker(SETTINGS)
    assert worker.score(task, lambda _: None).error == ""
    for other, found in (
        (replace(task, size=task.size + 1), f"{task.size} bytes, where there were {task.size + 1}"),
        (replace(task, modified_ns=task.modified_ns - 1), "one changed since then"),
    ):
        error = worker.score(other, lambda _: None).error
        assert error == f"{path}: expected the recording as it was listed, found {found}"
    path.unlink()
    assert worker.score(task, lambda _: None).error == f"{path}: expected a recording, found no such file"


@pytest.mark.parametrize(
    ("open_worker", "told"),
    [
        (unusable, "model: expected one, found none"),
        (crashing, "worker: expected to open the model, found that the decoder crashed (signal 6)"),
    ],
)
def test_worker_that_cannot_be_opened_ends_the_run(recordings, open_worker, told) -> None:
    with pytest.raises(SedgeError) as error:
        run(LocalWorkers(SETTINGS, 2, open_worker), tasks_of(recordings))
    assert str(error.value) == told


def test_bounded_number_of_tasks_is_taken_in_advance(recordings) -> None:
    taken: list[int] = []

    def counted() -> Iterator[Task]:
        for task in tasks_of(recordings):
            taken.append(task.position)
            yield task

    outcomes = LocalWorkers(SETTINGS, 1, FakeWorker).run(counted(), lambda _: None, lambda: False)
    for number, _ in enumerate(outcomes):
        assert len(taken) <= number + 3
    assert taken == list(range(len(recordings)))


def test_nothing_to_do_needs_no_worker() -> None:
    assert run(LocalWorkers(SETTINGS, 4, crashing), []) == []


def test_stop_gives_up_what_is_under_way(recordings, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(crew, "LOOK_S", 0.01)
    found = {**recordings, **write_recordings(tmp_path, 1, seconds=500.0)}
    n_come = 0

    def is_enough() -> bool:
        return n_come == 3

    tasks = sorted(tasks_of(found, tmp_path / "scores"), key=lambda task: -task.size)
    workers = LocalWorkers(SETTINGS, 2, FakeWorker)
    for outcome in workers.run(tasks, lambda _: None, is_enough):
        n_come += not outcome.error
    assert n_come == 3
    assert list((tmp_path / "scores").rglob(".*")) == []
    with pytest.raises(Stopped):
        FakeWorker(SETTINGS, is_stopped=lambda: True).score(tasks[0], lambda _: None)


def test_worker_ends_its_own_process_where_a_recording_hangs(recordings) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=hang_alone, args=(tasks_of(recordings)[0],))
    process.start()
    process.join(60)
    assert process.exitcode == 1


def test_scores_of_a_recording_that_is_sound_no_more_do_not_stay(recordings, tmp_path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(recordings["a/000.wav"].read_bytes())
    worker = FakeWorker(SETTINGS)
    for content, n_files in ((None, 1), (b"RIFF, but not sound", 0)):
        if content:
            path.write_bytes(content)
        worker.score(tasks_of({"a.wav": path}, tmp_path / "scores")[0], lambda _: None)
        assert len(files_in(tmp_path / "scores")) == n_files
