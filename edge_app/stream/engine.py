"""The live engine: capture, inference and consumer, each in a thread of its own.

Capture writes into a ring and never waits for inference where the source is live. Inference reads the ring in
order and puts news on a bounded queue. The consumer is whoever iterates over the engine.
"""

import threading
import time
from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import Self

from edge_app.core.decode import LabelDecoding
from edge_app.core.detect import Detector
from edge_app.stream.analysis import (
    Analysis,
    Decoding,
    DecodingListener,
    HopListener,
    Listeners,
    RowListener,
)
from edge_app.stream.messages import News, Summary
from edge_app.stream.outbox import Outbox
from edge_app.stream.ring import Block, Missing, SampleRing
from edge_app.stream.sources import Source

MAX_LAG_S = 5.0
"""Audio that may wait for inference before it is skipped, in seconds."""
QUEUE_CAPACITY = 256
READ_S = 0.5  # at most this much is taken from the ring at once
CAPTURE_JOIN_S = 5.0  # on some systems a read from a pipe cannot be interrupted


class Engine:
    """Iterate over it once: it starts, gives news as it comes, and a Summary at the end.

    The detector's context must be `live`. `duration_s` ends the run after that much audio, gaps included.
    An error of the source is raised after the summary, one of the inference at once. `on_hop` is told the
    scores, `on_samples` the samples and `on_log_mel` the frames, at the model's rate and with the absolute index of
    the first, in the inference thread, and `on_decoding` the settings where they change. `start` is the absolute index
    of the source's first sample.
    """

    def __init__(
        self,
        source: Source,
        detector: Detector,
        duration_s: float | None = None,
        max_lag_s: float = MAX_LAG_S,
        on_hop: HopListener | None = None,
        queue_capacity: int = QUEUE_CAPACITY,
        start: int = 0,
        on_samples: RowListener | None = None,
        on_log_mel: RowListener | None = None,
        on_decoding: DecodingListener | None = None,
    ) -> None:
        _check_live(detector)
        self._source = source
        self._detector = detector
        self._max_lag = round(max_lag_s * source.sample_rate)
        self._end = None if duration_s is None else start + round(duration_s * source.sample_rate)
        self._ring = SampleRing(2 * max(self._max_lag, source.sample_rate), start)
        listeners = Listeners(on_hop, on_samples, on_log_mel, on_decoding)
        self._analysis = Analysis(detector, source.sample_rate, start, listeners=listeners)
        self._outbox: Outbox[News] = Outbox(queue_capacity)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._capture, name="sedge-capture", daemon=True),
            threading.Thread(target=self._infer, name="sedge-inference", daemon=True),
        ]
        self._capture_error: BaseException | None = None
        self._inference_error: BaseException | None = None
        self._busy_s = 0.0
        self._largest_backlog = 0

    def __iter__(self) -> Iterator[News]:
        for thread in self._threads:
            thread.start()
        try:
            while (news := self._outbox.get()) is not None:
                yield news
        finally:
            self.close()
        error = self._inference_error or self._capture_error
        if error:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def backlog_s(self) -> float:
        """Audio that waits for inference, in seconds."""
        return self._ring.backlog / self._source.sample_rate

    @property
    def queue_depth(self) -> int:
        """Pieces of news that wait for the consumer."""
        return self._outbox.depth

    @property
    def heard(self) -> tuple[int, float]:
        """The absolute index, at the model's rate, after the newest sample captured, and when (monotonic clock)."""
        sample, time_s = self._ring.heard
        rate = self._detector.bundle.manifest.log_mel.sample_rate
        return sample * rate // self._source.sample_rate, time_s

    @property
    def decoding(self) -> Decoding:
        """What is wanted from the next hop on."""
        return self._analysis.decoding

    def set_decoding(
        self, decoding: Mapping[str, LabelDecoding], enabled: Collection[str] | None = None
    ) -> None:
        """Decode by other settings from the next hop on; labels that are not named keep theirs.

        Labels outside `enabled` are off; without it, those that are on stay on. What a label that changes has open
        is closed. May be called from any thread. Raises SedgeError for a label that the bundle does not have.
        """
        self._analysis.decoding = self._analysis.decoding.changed(decoding, enabled)

    @property
    def summary(self) -> Summary:
        """The books so far; complete in the summary that ends the iteration."""
        books = self._analysis.books
        sample_rate = self._detector.bundle.manifest.log_mel.sample_rate
        analysed_s = books.analysed / sample_rate
        return Summary(
            samples_received=books.received,
            samples_analysed=books.analysed,
            samples_not_analysed=books.not_analysed,
            samples_gap=books.gap,
            overflows=self._source.overflows + self._ring.overwrites,
            real_time_factor=round(self._busy_s / analysed_s, 6) if analysed_s else 0.0,
            runtime=self._detector.runtime.name,
            hop_frames=self._detector.hop_frames,
            sample_rate=sample_rate,
            max_queue_depth=self._outbox.max_depth,
            max_lag_s=round(self._largest_backlog / self._source.sample_rate, 3),
            runtimes_passed_over=self._detector.passed_over,
        )

    def stop(self) -> None:
        """End capture; what a live source has delivered is still analysed, and the iteration ends with the summary.

        May be called from any thread, and more than once.
        """
        self._stop.set()
        if not self._source.live:
            self._ring.cancel()

    def close(self) -> None:
        """Stop without waiting for news, and wait for the threads. The iteration does it at its end."""
        self._stop.set()
        self._ring.cancel()
        self._outbox.abandon()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(CAPTURE_JOIN_S)

    def _capture(self) -> None:
        try:
            self._source.run(self._ring, self._stop)
        except BaseException as error:
            self._capture_error = error
        finally:
            self._ring.close()

    def _infer(self) -> None:
        try:
            if self._analyse():
                self._outbox.put(self.summary)
        except BaseException as error:
            self._inference_error = error
        finally:
            self._outbox.close()

    def _analyse(self) -> bool:
        """Analyse the ring's items to the end. False: the consumer has gone."""
        while (item := self._next_item()) is not None:
            if not self._work(item):
                return False
        # Reached the duration: capture has no reader any more.
        self._stop.set()
        self._ring.cancel()
        return self._work(None)

    def _work(self, item: Block | Missing | None) -> bool:
        begin = time.perf_counter()
        news = self._analysis.finish() if item is None else self._analysis.take(item)
        self._busy_s += time.perf_counter() - begin
        return all(self._outbox.put(one) for one in news)

    def _next_item(self) -> Block | Missing | None:
        """The next item of the ring, up to the duration; None at the end."""
        backlog = self._ring.backlog
        self._largest_backlog = max(self._largest_backlog, backlog)
        if self._source.live and backlog > self._max_lag:
            self._ring.give_up_backlog()
        position, limit = self._ring.position, round(READ_S * self._source.sample_rate)
        if self._end is not None:
            limit = min(limit, self._end - position)
        item = self._ring.read(limit) if limit > 0 else None
        if isinstance(item, Missing) and self._end is not None and item.end > self._end:
            return Missing(item.start, self._end, item.kind)
        return item


def _check_live(detector: Detector) -> None:
    if detector.context != "live":
        raise ValueError(f"detector: expected context live, found {detector.context}")
