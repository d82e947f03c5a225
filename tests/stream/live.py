"""Live runs on the fake graph, through to their end."""

from collections.abc import Sequence
from typing import Any

from edge_app.stream.analysis import Listeners
from edge_app.stream.board import Board
from edge_app.stream.live_run import LiveRun
from edge_app.stream.messages import News
from edge_app.stream.snapshot import Snapshot
from edge_app.stream.sources import Source
from tests.stream.fakes import EVENT_LABELS, fake_detector

PATIENCE_S = 30.0


def run_to_end(source: Source, board: Board | None = None, **options: Any) -> tuple[Snapshot, list[News]]:
    """The last snapshot of a run, and its news."""
    board, news = board or Board(EVENT_LABELS), []
    run = LiveRun(source, options.pop("detector", None) or fake_detector(), board, [news.append], **options)
    run.start()
    assert run.wait(PATIENCE_S)
    run.close()
    return board.snapshot(), news


class Hops:
    """Collects what the inference thread tells."""

    def __init__(self) -> None:
        self.hops: list = []
        self.samples: list = []
        self.log_mel: list = []
        self.listeners = Listeners(
            on_hop=lambda first, hop: self.hops.append((first, hop)),
            on_samples=lambda first, samples: self.samples.append((first, samples.copy())),
            on_log_mel=lambda first, frames: self.log_mel.append((first, frames)),
        )


def items_of(news: Sequence[News]) -> dict[int, Any]:
    """The last news of each event, by its number."""
    return {one.id: one for one in news if hasattr(one, "id")}
