"""A live run that looks after itself: the engine, a thread that reads its news, and words for how it is."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_app.core.decode import LabelDecoding
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.hops import ScoredHop
from edge_app.stream.analysis import Listeners
from edge_app.stream.board import Board
from edge_app.stream.engine import MAX_LAG_S, QUEUE_CAPACITY, Engine
from edge_app.stream.messages import News
from edge_app.stream.microphone import State
from edge_app.stream.snapshot import Pulse
from edge_app.stream.sources import Source

Consumer = Callable[[News], None]
"""Is given all news in order, in the reader thread; while it works, news wait in a bounded queue."""
AnchorListener = Callable[[int, int, int], None]
"""Is told an absolute sample at the model's rate, and when it arrived: monotonic and UTC, in nanoseconds."""
ANCHOR_S = 1.0
JOIN_S = 10.0


class LiveRun:
    """One run of an engine, from `start` to its end; a board shows it, and consumers are given its news.

    Nothing here waits but `wait` and `close`, so a user interface may call the rest. `listeners` and `on_anchor`
    (once a second of sound) are called in the inference thread. `first_sample` is the absolute index of the
    source's first sample, at its own rate. `decoding` and `enabled` are what it begins with, as in `set_decoding`.
    A consumer that fails is reported on the board and does not end the run.
    """

    def __init__(
        self,
        source: Source,
        detector: Detector,
        board: Board,
        consumers: Sequence[Consumer] = (),
        listeners: Listeners | None = None,
        on_anchor: AnchorListener | None = None,
        duration_s: float | None = None,
        first_sample: int = 0,
        max_lag_s: float = MAX_LAG_S,
        decoding: Mapping[str, LabelDecoding] | None = None,
        enabled: Collection[str] | None = None,
    ) -> None:
        self.board = board
        self.error: BaseException | None = None
        """What ended the run, other than the end of the source or a stop."""
        self._source = source
        self._detector = detector
        self._consumers = consumers
        self._listeners = listeners or Listeners()
        self._on_anchor = on_anchor
        self._next_anchor = 0
        self._has_heard = False
        hooks = (self._on_samples, self._on_log_mel, self._listeners.on_decoding)
        self._engine = Engine(
            source, detector, duration_s, max_lag_s, self._on_hop, QUEUE_CAPACITY, first_sample, *hooks
        )
        if decoding is not None or enabled is not None:
            self._engine.set_decoding(decoding or {}, enabled)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="sedge-reader", daemon=True)

    @property
    def state(self) -> State:
        """What the source does."""
        if self.error:
            return "failed"
        if self._ended.is_set() or self._thread.ident is None:
            return "stopped"
        own: State | None = getattr(self._source, "state", None)
        if own is not None and own != "stopped":
            return own
        return "running" if self._has_heard else "opening"

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, well or badly."""
        return self._ended.is_set()

    def start(self) -> None:
        """Begin; may be called once."""
        self.board.attach(self._pulse, self._engine.decoding, self._detector.runtime_text)
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end: what has been heard is still analysed."""
        self._engine.stop()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; whether it has come."""
        return self._ended.wait(timeout_s)

    def close(self) -> None:
        """End at once, whatever waits, and leave no thread behind."""
        if self._thread.ident is None:
            return
        self._engine.close()
        self._thread.join(JOIN_S)

    def set_decoding(
        self, decoding: Mapping[str, LabelDecoding], enabled: Collection[str] | None = None
    ) -> None:
        """Decode by other settings from the next hop on; see `Engine.set_decoding`."""
        self._engine.set_decoding(decoding, enabled)
        self.board.decode_by(self._engine.decoding)

    def _pulse(self) -> Pulse:
        return Pulse(self.state, self._engine.queue_depth, self._engine.backlog_s)

    def _read(self) -> None:
        try:
            for news in self._engine:
                self.board.take(news)
                for consumer in self._consumers:
                    self._hand_on(consumer, news)
        except SedgeError as error:
            self._fail(error, str(error))
        except BaseException as error:
            self._fail(error, f"{type(error).__name__}: {error}")
        finally:
            self._ended.set()

    def _hand_on(self, consumer: Consumer, news: News) -> None:
        try:
            consumer(news)
        except Exception as error:
            self.board.notify(f"{type(error).__name__}: {error}")

    def _fail(self, error: BaseException, words: str) -> None:
        self.error = error
        self.board.notify(" ".join(words.split()))

    def _on_samples(self, first: int, samples: NDArray[np.float32]) -> None:
        self._has_heard = True
        sample, mono_s = self._engine.heard
        self.board.stamps.heard(sample, mono_s)
        self.board.hear(first, samples, mono_s)
        self.board.tell(self._engine.summary)
        if self._on_anchor and sample >= self._next_anchor:
            self._next_anchor = sample + round(ANCHOR_S * self.board.sample_rate)
            mono_ns = round(mono_s * 1e9)
            self._on_anchor(sample, mono_ns, time.time_ns() - (time.monotonic_ns() - mono_ns))
        if self._listeners.on_samples:
            self._listeners.on_samples(first, samples)

    def _on_log_mel(self, first: int, log_mel: NDArray[np.float32]) -> None:
        self.board.see(first, log_mel)
        if self._listeners.on_log_mel:
            self._listeners.on_log_mel(first, log_mel)

    def _on_hop(self, first: int, hop: ScoredHop) -> None:
        self.board.score(first, hop)
        if self._listeners.on_hop:
            self._listeners.on_hop(first, hop)
