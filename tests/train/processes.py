"""A `sedge` command in a process of its own, to which something happens at an exact moment.

The moment is one before a file gets its name: by then all of it is written beside, under another name. The
process is ended by SIGKILL there, which leaves it no time to tidy up, or from there on finds no room on the disk.
"""

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge_app.cli import main

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 900
KILLED = -signal.SIGKILL
_ROOM_BYTES = 100_000  # logs fit, checkpoints do not


@dataclass(frozen=True)
class Moment:
    """Before a file whose path ends in `name` gets its name for the `times`-th time."""

    name: str
    times: int = 1
    event: Literal["killed", "disk full"] = "killed"


def run_sedge(words: Sequence[str], log: Path, moment: Moment | None = None) -> int:
    """Exit code of the command, whose output is added to `log`; minus the signal where one ended it."""
    context = multiprocessing.get_context("forkserver")  # of which each process gets torch without loading it
    os.environ["PYTHONPATH"] = str(ROOT)
    context.set_forkserver_preload(["train.commands.train", "torch.utils.tensorboard"])
    process = context.Process(target=_command, args=(list(words), log, moment))
    process.start()
    process.join(DEADLINE_S)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{words}: not done after {DEADLINE_S} s")
    return process.exitcode


def _command(words: list[str], log: Path, moment: Moment | None) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if moment is not None:
        sys.addaudithook(_at(moment))
    sys.exit(main(words))


def _at(moment: Moment) -> Callable[[str, tuple[Any, ...]], None]:
    count = 0

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event != "os.rename" or not str(arguments[1]).endswith(moment.name):
            return
        count += 1
        if count == moment.times:
            _happen(moment)

    return hear


def _happen(moment: Moment) -> None:
    if moment.event == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
