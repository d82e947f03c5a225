"""A listener process, as the test hears and tells it."""

import json
import queue
import subprocess
import threading
from collections.abc import Callable
from typing import Any

Fact = dict[str, Any]
PATIENCE_S = 60.0


class Conversation:
    """Every fact that the process tells, in order; waiting ends with the process, or with the patience."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.facts: list[Fact] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._complaints: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            threading.Thread(target=_pass_on, args=(process.stdout, self._lines.put), daemon=True),
            threading.Thread(target=_pass_on, args=(process.stderr, self._complaints.append), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def until(self, fact: str, after: Fact | None = None, **values: Any) -> Fact:
        """The first fact of that name and with those values; a tuple of values is a choice."""
        return self.find(
            lambda one: one["fact"] == fact and all(_is_among(one[name], values[name]) for name in values),
            after,
        )

    def find(self, is_wanted: Callable[[Fact], bool], after: Fact | None = None) -> Fact:
        """The first fact that is wanted, of those told already or still to come."""
        place = 0 if after is None else self.facts.index(after) + 1
        while True:
            if place == len(self.facts):
                self._hear()
            if is_wanted(self.facts[place]):
                return self.facts[place]
            place += 1

    def tell(self, deed: str) -> None:
        """Have the process do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{deed}\n")
        self.process.stdin.flush()

    def told(self, fact: str) -> list[Fact]:
        """The facts of that name so far."""
        return [one for one in self.facts if one["fact"] == fact]

    def finish(self) -> int:
        """Let the process end; its exit code."""
        self.tell("close")
        assert self.until("closed")["threads"] == []
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End the process as a crash does."""
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def _hear(self) -> None:
        try:
            line = self._lines.get(timeout=PATIENCE_S)
        except queue.Empty:
            line = ""
        if not line:
            raise AssertionError(
                f"no more is told after {self.facts[-5:]}: {''.join(self._complaints[-20:])}"
            )
        self.facts.append(json.loads(line))


def _is_among(value: Any, wanted: Any) -> bool:
    return value in wanted if isinstance(wanted, tuple) else value == wanted


def _pass_on(pipe: Any, take: Callable[[str], None]) -> None:
    """Every line, and an empty one at the end."""
    for line in pipe:
        take(line)
    take("")
