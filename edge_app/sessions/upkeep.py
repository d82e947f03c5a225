"""Keeps the store small while a program runs: at its start, and every hour."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_app.core.errors import SedgeError
from edge_app.store.database import Store

INTERVAL_S = 3600.0


class Upkeep:
    """Deletes what is older than `days`, then the oldest beyond `most_bytes`, in a thread of its own.

    None means no limit. Reviewed events are kept, whatever they take.
    """

    def __init__(
        self, path: Path, days: float | None, most_bytes: int | None, interval_s: float = INTERVAL_S
    ) -> None:
        self.problem: str | None = None
        """Why the last attempt failed, as a sentence; None where it did not."""
        self.deleted = 0
        """Events deleted so far."""
        self._path = path
        self._limits = (days, most_bytes)
        self._interval_s = interval_s
        self._rounds = 0
        self._closing = False
        self._due = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="sedge-upkeep", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def change(self, days: float | None, most_bytes: int | None) -> None:
        """Keep to other limits, at once."""
        with self._changed:
            if (days, most_bytes) != self._limits:
                self._limits = (days, most_bytes)
                self._due = True
                self._changed.notify_all()

    def close(self) -> None:
        """End; a deletion that is going on is finished."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def wait(self, rounds: int, timeout_s: float) -> bool:
        """Wait until it has been looked so often what is to be deleted; False where that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: self._rounds >= rounds, timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._closing, self._interval_s)
                if self._closing:
                    return
                self._due = False
                limits = self._limits
            self._tidy(*limits)
            with self._changed:
                self._rounds += 1
                self._changed.notify_all()

    def _tidy(self, days: float | None, most_bytes: int | None) -> None:
        try:
            if self._path.is_file():
                with Store(self._path) as store:
                    if days is not None:
                        self.deleted += store.delete_older(days)
                    if most_bytes is not None:
                        self.deleted += store.shrink(most_bytes)
            self.problem = None
        except SedgeError as error:
            self.problem = str(error)
        except Exception as error:  # the next round may do better
            self.problem = f"{self._path}: cannot be tidied ({error!r})"
