"""A live run that is written to the history while it goes on."""

from collections.abc import Collection, Mapping
from pathlib import Path

from edge_app.core.decode import LabelDecoding
from edge_app.core.detect import Detector
from edge_app.sessions.journal import Journal
from edge_app.store.clips import ClipWishes
from edge_app.stream.board import Board
from edge_app.stream.live_run import LiveRun
from edge_app.stream.sources import Source


class StoredRun(LiveRun):
    """One session of the store at `path`: it begins with the run, and is whole when `close` returns.

    Raises StoreError where the store cannot be opened.
    """

    def __init__(
        self,
        source: Source,
        detector: Detector,
        board: Board,
        path: Path,
        *,
        decoding: Mapping[str, LabelDecoding] | None = None,
        enabled: Collection[str] | None = None,
        with_scores: bool = True,
        wishes: ClipWishes | None = None,
        history_s: float = 60.0,
        records_sound: bool = False,
    ) -> None:
        self.journal = journal = Journal(
            path,
            source,
            detector,
            board.notify,
            with_scores=with_scores,
            wishes=wishes,
            history_s=history_s,
            records_sound=records_sound,
            decoding=decoding,
            enabled=enabled,
        )
        super().__init__(
            source,
            detector,
            board,
            (journal.take,),
            journal.listeners,
            journal.anchor,
            decoding=decoding,
            enabled=enabled,
        )

    def start(self) -> None:
        """Begin the session, then the run."""
        self.journal.begin()
        super().start()

    def close(self) -> None:
        """End the run, then the session; what could not be written is said on the board."""
        super().close()
        told = self.journal.close()
        if self.journal.problem or self.journal.session is None:
            self.board.notify(told)
