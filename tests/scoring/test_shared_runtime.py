"""One runtime under several threads: what is merged, and that nobody notices."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest

from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.runtime import EMPTY_LOGIT, FusedInput, FusedOutput, Runtime
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.core.tag_memory import HostTagMemory, TagMemory
from edge_app.scoring.shared_runtime import SharedRuntime

N_LABELS = 3


class RecordingRuntime:
    """Passes calls on and keeps their rows; the first call waits until it is let go of."""

    name = "recording"

    def __init__(self, runtime: Runtime, error: BaseException | None = None) -> None:
        """`error` is raised once, by the second call."""
        self.rows: list[int] = []
        self.entered, self.may_go_on = threading.Event(), threading.Event()
        self._runtime, self._error = runtime, error
        self._alone = threading.Lock()

    def run(self, call: FusedInput) -> FusedOutput:
        assert self._alone.acquire(blocking=False), "two calls at once"
        try:
            self.rows.append(len(call.log_mel))
            if not self.entered.is_set():
                self.entered.set()
                assert self.may_go_on.wait(30)
            elif self._error is not None:
                error, self._error = self._error, None
                raise error
            return self._runtime.run(call)
        finally:
            self._alone.release()

    def tag_memory(self, slots: int) -> TagMemory:
        return self._runtime.tag_memory(slots)


@pytest.fixture(scope="module")
def onnx_runtime(tiny_bundle) -> OnnxRuntime:
    return OnnxRuntime(load_bundle(tiny_bundle))


def call_of(seed: int, rows: int = 1, n_frames: int = 60, past: int = 0) -> FusedInput:
    rng = np.random.default_rng(seed)
    log_mel = rng.normal(-10, 3, (rows, n_frames, 128)).astype(np.float32)
    ones, memory = np.ones((rows, n_frames), np.float32), (rows, 1, past, N_LABELS)
    return FusedInput(
        log_mel, ones, ones, np.full(memory, EMPTY_LOGIT, np.float32), np.zeros(memory, np.float32)
    )


def behind_a_first_call(
    recording: RecordingRuntime, calls: list[FusedInput], most_rows: int
) -> list["Future[FusedOutput]"]:
    """Results of calls, each from a thread of its own, that came in this order while a call of 2 rows ran."""
    shared, before, tick = SharedRuntime(recording, most_rows), threading.active_count(), threading.Event()
    with ThreadPoolExecutor(len(calls) + 1) as threads:
        first = threads.submit(shared.run, call_of(99, rows=2))
        assert recording.entered.wait(30)
        results = []
        for number, call in enumerate(calls, 1):
            results.append(threads.submit(shared.run, call))
            while shared.n_waiting < number:
                tick.wait(0.001)
        recording.may_go_on.set()
        first.result(30)
    assert threading.active_count() == before
    assert shared.n_waiting == 0
    return results


def compare(found: FusedOutput, expected: FusedOutput) -> None:
    for each in fields(FusedOutput):
        np.testing.assert_allclose(
            getattr(found, each.name), getattr(expected, each.name), rtol=1e-6, atol=1e-6, err_msg=each.name
        )


def test_calls_that_wait_go_together_and_give_what_each_gives_alone(onnx_runtime) -> None:
    recording, calls = RecordingRuntime(onnx_runtime), [call_of(seed) for seed in range(5)]
    results = behind_a_first_call(recording, calls, most_rows=8)
    assert recording.rows == [2, 5]
    for call, result in zip(calls, results, strict=True):
        compare(result.result(), onnx_runtime.run(call))


def test_no_more_rows_than_asked_for_and_the_first_come_first(onnx_runtime) -> None:
    recording = RecordingRuntime(onnx_runtime)
    rows = [1, 3, 1, 5, 1]  # up to 4: 1 + 3, then 1 + 1 past the one that goes alone
    calls = [call_of(seed, count) for seed, count in enumerate(rows)]
    results = behind_a_first_call(recording, calls, most_rows=4)
    assert recording.rows == [2, 4, 2, 5]
    for call, result in zip(calls, results, strict=True):
        compare(result.result(), onnx_runtime.run(call))


def test_only_calls_of_one_shape_go_together(onnx_runtime) -> None:
    recording = RecordingRuntime(onnx_runtime)
    calls = [call_of(0), call_of(1, n_frames=61), call_of(2, past=4), call_of(3), call_of(4, n_frames=61)]
    results = behind_a_first_call(recording, calls, most_rows=9)
    assert recording.rows == [2, 2, 2, 1]
    for call, result in zip(calls, results, strict=True):
        compare(result.result(), onnx_runtime.run(call))


def test_a_lone_call_is_passed_on_as_it_is(onnx_runtime) -> None:
    call, shared = call_of(0, rows=3), SharedRuntime(onnx_runtime, 1)
    assert np.array_equal(shared.run(call).scores, onnx_runtime.run(call).scores)
    assert shared.name == onnx_runtime.name


def test_an_error_reaches_every_call_that_went_along_and_no_other(onnx_runtime) -> None:
    recording = RecordingRuntime(onnx_runtime, MemoryError("out of memory"))
    calls = [call_of(0), call_of(1)]
    for result in behind_a_first_call(recording, calls, most_rows=2):
        with pytest.raises(MemoryError, match="out of memory"):
            result.result()
    assert recording.rows == [2, 2]


def test_after_an_error_the_next_call_runs(onnx_runtime) -> None:
    shared = SharedRuntime(onnx_runtime, 4)
    call = call_of(0)
    with pytest.raises(Exception, match="log_mel"):
        shared.run(replace(call, log_mel=call.log_mel[..., :64]))
    compare(shared.run(call_of(1)), onnx_runtime.run(call_of(1)))


def test_an_interrupt_ends_one_call_and_the_others_are_run(onnx_runtime) -> None:
    recording = RecordingRuntime(onnx_runtime, KeyboardInterrupt())
    calls = [call_of(0), call_of(1), call_of(2)]
    first, *others = behind_a_first_call(recording, calls, most_rows=3)
    assert isinstance(first.exception(), KeyboardInterrupt)
    for call, result in zip(calls[1:], others, strict=True):
        compare(result.result(), onnx_runtime.run(call))


@pytest.mark.parametrize("context", ["clip", "live"])
def test_recordings_scored_at_once_are_scored_as_one_by_one(tiny_bundle, onnx_runtime, context) -> None:
    bundle = load_bundle(tiny_bundle)
    rng = np.random.default_rng(0)
    signals = [rng.normal(0, 0.1, 16_000 * seconds).astype(np.float32) for seconds in (3, 12, 17, 21)]
    recording = RecordingRuntime(onnx_runtime)
    recording.may_go_on.set()
    shared = Detector(bundle, SharedRuntime(recording, 4), context)
    alone = Detector(bundle, onnx_runtime, context)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda samples: np.concatenate(list(shared.scores([samples]))), signals))
    for scores, samples in zip(found, signals, strict=True):
        np.testing.assert_allclose(scores, np.concatenate(list(alone.scores([samples]))), rtol=0, atol=1e-6)


def test_a_memory_is_the_runtimes_own(onnx_runtime) -> None:
    assert isinstance(SharedRuntime(onnx_runtime, 2).tag_memory(500), HostTagMemory)


def test_a_batch_of_nothing_is_refused(onnx_runtime) -> None:
    with pytest.raises(SedgeError, match="batch: expected 1 window or more, found 0"):
        SharedRuntime(onnx_runtime, 0)
