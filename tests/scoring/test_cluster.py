"""Workers on a Ray cluster: what a machine looks at before it scores, and a real cluster that loses one midway."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from edge_app.cli import main
from edge_app.core.bundle import DEFAULT_BUNDLE, MANIFEST_FILE
from edge_app.core.errors import BundleError, SedgeError
from edge_app.scoring import cluster_machines
from edge_app.scoring.cluster import RayWorkers, outcome_of
from edge_app.scoring.cluster_machines import ALONE_S, COUNT_S, Machines, shared_token
from edge_app.scoring.cluster_member import Order, Report, Unfit, found_at, makings_of, serve
from edge_app.scoring.local_workers import LocalWorkers
from edge_app.scoring.task import Outcome, Progress, ScoreSettings, Task
from tests.scoring.held import BEGUN, HeldWorker, WatchedWorker, doom
from tests.scoring.planted import SETTINGS, FakeWorker, unusable, write_recordings
from tests.scoring.test_local_workers import files_in, run, tasks_of

HOST = socket.gethostname()
MEMORY = 80_000_000  # bytes of Ray's own storage, the least it takes


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> dict[str, Path]:
    return write_recordings(tmp_path_factory.mktemp("recordings"), 12)


def order_of(task: Task, token: Path | None = None, **makings: str) -> Order:
    return Order(task, SETTINGS, FakeWorker, {**makings_of(SETTINGS), **makings}, token)


def test_member_gives_what_a_worker_gives(recordings, tmp_path) -> None:
    [task, *_] = tasks_of(recordings, tmp_path / "here")
    alone = FakeWorker(SETTINGS).score(task, lambda _: None)
    [task, *_] = tasks_of(recordings, tmp_path / "there")
    with shared_token(tmp_path / "there" / "a.tsv") as token:
        assert token is not None
        [report] = serve(order_of(task, token))
    assert isinstance(report, Report)
    assert replace(report.outcome, wall_s=0.0) == replace(alone, wall_s=0.0)
    assert report.found == (task.size, task.modified_ns)
    assert files_in(tmp_path / "there") == files_in(tmp_path / "here")
    assert list(tmp_path.glob(".*")) == []


def test_member_tells_progress_now_and_then(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("edge_app.scoring.cluster_member.TELL_S", 0.0)
    monkeypatch.setattr("edge_app.scoring.run.TELL_S", -1.0)
    [task] = tasks_of(write_recordings(tmp_path, 1, seconds=40.0))
    *told, report = serve(order_of(task))
    assert isinstance(report, Report)
    done_s = [news.done_s for news in told if isinstance(news, Progress)]
    assert len(done_s) == len(told) > 1
    assert 0 < done_s[0] < done_s[-1] <= report.outcome.duration_s == 40.0


def test_order_that_is_given_up_leaves_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("edge_app.scoring.cluster_member.TELL_S", 0.0)
    monkeypatch.setattr("edge_app.scoring.run.TELL_S", -1.0)
    [task] = tasks_of(write_recordings(tmp_path / "in", 1, seconds=120.0), tmp_path / "scores")
    news = serve(order_of(task))
    assert isinstance(next(news), Progress)
    news.close()  # type: ignore[attr-defined]
    assert [path for path in (tmp_path / "scores").rglob("*") if path.is_file()] == []
    [task] = tasks_of(write_recordings(tmp_path / "next", 1))
    *_, report = serve(order_of(task))
    assert isinstance(report, Report)
    assert report.outcome.error == ""


def test_member_that_would_give_other_results_says_so(recordings, tmp_path) -> None:
    [task, *_] = tasks_of(recordings)
    [unfit] = serve(order_of(task, numpy="0.1"))
    assert isinstance(unfit, Unfit)
    assert unfit.host == HOST
    assert str(unfit.error).startswith("expected numpy 0.1, as where the run was begun, found ")
    [unfit] = serve(order_of(task, tmp_path / "token"))
    assert isinstance(unfit, Unfit)
    assert str(unfit.error) == (
        f"{tmp_path}: expected the folder of the run, on a storage that all machines share, found another or none"
    )
    elsewhere = ScoreSettings(bundle=tmp_path)
    [unfit] = serve(replace(order_of(task), settings=elsewhere))
    assert isinstance(unfit, Unfit)
    assert isinstance(unfit.error, BundleError)


def test_makings_tell_models_apart(tmp_path) -> None:
    manifest = (DEFAULT_BUNDLE / MANIFEST_FILE).read_bytes()
    (tmp_path / MANIFEST_FILE).write_bytes(manifest + b"\n")
    own, other = makings_of(ScoreSettings()), makings_of(ScoreSettings(tmp_path))
    assert {name for name in own if own[name] != other[name]} == {"model"}
    assert all(version != "none" for name, version in own.items() if name != "av")
    (tmp_path / MANIFEST_FILE).write_bytes(manifest)
    assert makings_of(ScoreSettings(tmp_path)) == own


def test_recording_that_a_machine_does_not_see_ends_the_run(recordings) -> None:
    [task, *_] = tasks_of(recordings)
    failed = Outcome(task.position, error="bad")
    listed = task.size, task.modified_ns
    assert outcome_of(Report("far", failed, listed), task) == failed
    for found, words in ((None, "no such file"), ((1, 1), "another file")):
        with pytest.raises(SedgeError) as error:
            outcome_of(Report("far", failed, found), task)
        assert str(error.value) == (
            f"far: {task.path}: expected recordings at the same paths on all machines, found {words}"
        )
    gone = replace(task, path=task.path.with_name("gone.wav"))
    assert found_at(gone.path) is None
    assert outcome_of(Report("far", failed, None), gone) == failed


@pytest.mark.parametrize(
    "address", ["", "ray://head:10001", "head", "head:", ":6379", "head:0", "head:70000"]
)
def test_address_that_is_none(recordings, address) -> None:
    pytest.importorskip("ray")
    with pytest.raises(SedgeError) as error:
        run(RayWorkers(SETTINGS, address), tasks_of(recordings))
    assert str(error.value) == f"--ray: expected auto or HOST:PORT, found {address!r}"


def test_address_where_nobody_answers(recordings) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(SedgeError, match=rf"^--ray {address}: expected the head of a cluster, found: "):
        run(RayWorkers(SETTINGS, address), tasks_of(recordings))


def machine(n_cpus: float, n_gpus: float = 0.0, alive: bool = True) -> dict[str, Any]:
    gpus = {"GPU": n_gpus} if n_gpus else {}
    return {"Alive": alive, "Resources": {"CPU": n_cpus, **gpus} if n_cpus else {}}


def test_machines_are_counted_by_what_they_have_room_for(monkeypatch) -> None:
    listed = [machine(8.0, 1.0), machine(3.0, 4.0), machine(0.0), machine(64.0, alive=False)]
    now_s = 0.0
    monkeypatch.setattr(cluster_machines, "_nodes", lambda: listed)
    monkeypatch.setattr("edge_app.scoring.cluster_machines.time.monotonic", lambda: now_s)
    assert [Machines(n_cpus, 0).slots() for n_cpus in (1, 2, 3, 8)] == [11, 5, 3, 1]
    assert [Machines(n_cpus, 1).slots() for n_cpus in (1, 3)] == [4, 2]
    with pytest.raises(SedgeError, match="expected a machine with 9 processor cores, found at most 8 cores"):
        Machines(9, 0)
    machines = Machines(1, 0)
    listed = []
    assert machines.slots() == 11
    now_s = COUNT_S
    assert machines.slots() == 0
    listed, now_s = [machine(2.0)], ALONE_S
    assert machines.slots() == 2
    listed, now_s = [], 2 * ALONE_S
    assert machines.slots() == 0
    now_s += 1.0
    with pytest.raises(SedgeError, match=f"expected machines in the cluster, found none for {ALONE_S:g} s"):
        machines.slots()


def test_nothing_to_do_needs_no_cluster() -> None:
    assert run(RayWorkers(SETTINGS, "nowhere:1"), []) == []


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines of one core each, as processes on this one."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": MEMORY}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
            yield cluster
        finally:
            cluster.shutdown()


def without_times(folder: Path) -> dict[str, bytes]:
    """All files of a finished run, less how long it took."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    del files["journal.sqlite"]
    summary = json.loads(files["summary.json"])
    for name in ("wall_s", "real_time_factor"):
        del summary[name]
    return {**files, "summary.json": json.dumps(summary).encode()}


@pytest.mark.slow
def test_command_writes_the_same_as_on_one_machine(cluster, recordings, tmp_path, tiny_bundle) -> None:
    folder = next(iter(recordings.values())).parent.parent
    common = [str(folder), "--bundle", str(tiny_bundle), "--frame-scores", "raw", "--format", "desed,parquet"]
    for name, more in (("local", ["--runtime", "cpu"]), ("ray", ["--ray", cluster.address])):
        assert main(["score", *common, "--out", str(tmp_path / name), *more]) == 0
    assert without_times(tmp_path / "ray") == without_times(tmp_path / "local")
    assert len(files_in(tmp_path / "ray" / "scores")) == len(recordings)


@pytest.mark.slow
def test_accidents_cost_one_recording_each(cluster, recordings, tmp_path) -> None:
    crash, bad = tmp_path / "a" / "crash.wav", tmp_path / "b" / "bad.wav"
    hang = tmp_path / "c" / "hang.wav"
    sound = recordings["a/000.wav"].read_bytes()
    for path, content in ((crash, sound), (bad, b"no sound"), (hang, sound)):
        path.parent.mkdir()
        path.write_bytes(content)
    found = {"a/crash.wav": crash, **recordings, "b/bad.wav": bad, "c/hang.wav": hang}
    out = tmp_path / "scores"
    outcomes = run(
        RayWorkers(replace(SETTINGS, stall_s=0.5), cluster.address, WatchedWorker), tasks_of(found, out)
    )
    failed = {name: one.error for name, one in zip(found, outcomes, strict=True) if one.error}
    assert list(failed) == ["a/crash.wav", "b/bad.wav", "c/hang.wav"]
    for path in (crash, hang):
        lost = f"{path}: expected to be scored, found that its process was lost 4 times"
        assert failed[path.relative_to(tmp_path).as_posix()].startswith(lost)
    local = run(LocalWorkers(SETTINGS, 1, FakeWorker), tasks_of({"b/bad.wav": bad}))
    assert failed["b/bad.wav"] == local[0].error
    assert len(files_in(out)) == len(recordings)
    assert list(out.rglob(".*")) == []


@pytest.mark.slow
def test_what_ends_a_run(cluster, recordings, tmp_path) -> None:
    with pytest.raises(SedgeError) as error:
        run(RayWorkers(SETTINGS, cluster.address, unusable), tasks_of(recordings))
    assert str(error.value) == f"{HOST}: model: expected one, found none"
    with pytest.raises(SedgeError) as error:
        run(RayWorkers(replace(SETTINGS, threads=3), cluster.address), tasks_of(recordings))
    assert str(error.value) == "--ray: expected a machine with 3 processor cores, found at most 1 cores"
    long_one = write_recordings(tmp_path, 1, seconds=600.0)
    out, is_enough = tmp_path / "scores", Event()
    tasks = tasks_of({**long_one, **recordings}, out)
    workers = RayWorkers(SETTINGS, cluster.address, FakeWorker)
    for number, _ in enumerate(workers.run(tasks, lambda _: None, is_enough.is_set), 1):
        assert number <= 3
        if number == 3:
            is_enough.set()
    assert is_enough.is_set()
    assert list(out.rglob(".*")) == []


@pytest.mark.slow
def test_machine_killed_midway_costs_nothing(cluster, recordings, tmp_path, capfd) -> None:
    expected = run(LocalWorkers(SETTINGS, 1, FakeWorker), tasks_of(recordings, tmp_path / "local"))
    folder = next(iter(recordings.values())).parent.parent
    doomed = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    doom(folder, doomed.node_id)
    killed: list[str] = []
    capfd.readouterr()

    def kill_when_begun() -> bool:
        if not killed and (folder / BEGUN).exists():
            killed.append(doomed.node_id)
            cluster.remove_node(doomed, allow_graceful=False)
        return False

    outcomes = RayWorkers(SETTINGS, cluster.address, HeldWorker).run(
        tasks_of(recordings, tmp_path / "ray"), lambda _: None, kill_when_begun
    )
    found = sorted((replace(one, wall_s=0.0) for one in outcomes), key=lambda one: one.position)
    assert killed
    assert capfd.readouterr().out == ""
    assert found == expected
    assert files_in(tmp_path / "ray") == files_in(tmp_path / "local")
    assert list((tmp_path / "ray").rglob(".*")) == []
