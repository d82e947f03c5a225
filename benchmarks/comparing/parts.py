"""The parts of `sedge bench`: each a benchmark's own command, short enough that all of them take about five minutes."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Result, read_result
from edge_app.core.errors import SedgeError

REPOSITORY = Path(__file__).resolve().parents[2]
END_S = 20.0
"""What an interrupted command may take to end its workers and remove its files."""
CLIPS = "CLIPS"
"""Stands for the folder of labelled clips in a part's words."""


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark's command."""

    benchmark: str
    words: tuple[str, ...]
    """The command and its options; CLIPS among them is replaced by a folder of labelled clips."""
    on: str = "the bundled soundscape, looped"
    """What it runs on, in words."""


CUT_SOUNDSCAPE = (
    "the bundled soundscape cut into nine clips, which is far too little to tell how good a model is: "
    "it shows that the figures hold, `sedge bench-accuracy FOLDER` and `sedge bench-peers FOLDER` measure"
)
PARTS = (
    Part("latency", ("bench-latency", "--seconds", "60", "--paced-seconds", "10", "--clip-calls", "5")),
    Part("live", ("bench-live", "--seconds", "60"), "a minute of the bundled soundscape, in real time"),
    Part("throughput", ("bench-throughput", "--seconds-of-audio", "90", "--repeats", "4")),
    Part("memory", ("bench-memory", "--minutes", "20", "--short-minutes", "2")),
    Part("accuracy", ("bench-accuracy", CLIPS), CUT_SOUNDSCAPE),
    Part("peers", ("bench-peers", CLIPS), CUT_SOUNDSCAPE),
)


def run_part(part: Part, clips: Path, bundle: Path | None, threads: int, folder: Path) -> Result:
    """Run a part as a process of its own, which prints as it always does; its result, also left in a folder.

    Raises SedgeError where the process fails or writes no result.
    """
    path = folder / f"{part.benchmark}.json"
    run_command(command_words(part, clips, bundle, threads, path))
    return read_result(path)


def command_words(part: Part, clips: Path, bundle: Path | None, threads: int, path: Path) -> list[str]:
    """The words of a part's command line after `sedge`."""
    words = [str(clips) if word == CLIPS else word for word in part.words]
    words += ["--threads", str(threads), "--json", str(path)]
    return words + (["--bundle", str(bundle.resolve())] if bundle else [])


def run_command(words: Sequence[str]) -> None:
    """Run `sedge` with these words from the checkout. Raises SedgeError where it does not end with 0.

    An interrupt reaches the command as well: it is given time to end by itself.
    """
    with subprocess.Popen([sys.executable, "-m", "edge_app", *words], cwd=REPOSITORY) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            raise
        finally:
            process.kill()  # nothing where it has ended
    if code != 0:
        raise SedgeError(f"sedge {words[0]}: expected exit code 0, found {code}")
