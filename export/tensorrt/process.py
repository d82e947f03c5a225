"""The process that builds an engine: what it is asked and answers, and its crash as an error message."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from edge_app.core.errors import SedgeError

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD_COMMAND = (sys.executable, "-m", "export.tensorrt.build")
LINES_SHOWN = 5

Event = dict[str, Any]
"""What is told of a build: `type` is reason (why there is one), then phase, step, phase_end or error, which are the
lines of the builder's standard output."""


@dataclass(frozen=True)
class BuildRequest:
    """What to build; paths are absolute."""

    graph: str
    """The ONNX file. Its types are the engine's: TensorRT changes none of them."""
    engine: str
    """Where the engine goes."""
    timing_cache: str
    """What earlier builds measured of single kernels; need not be there yet, and is replaced."""
    profiles: list[dict[str, list[list[int]]]]
    """For each optimisation profile and input the least, the usual and the largest shape."""
    version_compatible: bool
    """Whether later TensorRT versions, and the lean runtime, must be able to run the engine."""

    def write(self, path: Path) -> None:
        """Write the request to a JSON file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_request(path: Path) -> BuildRequest:
    """Read what `write` wrote."""
    return BuildRequest(**json.loads(path.read_text(encoding="utf-8")))


def run_build(
    request: BuildRequest,
    request_path: Path,
    log: Path,
    on_event: Callable[[Event], None],
    command: Sequence[str] = BUILD_COMMAND,
) -> None:
    """Build what is asked in a process of its own, whose log goes to `log`.

    Raises SedgeError, with the builder's own reason or the last lines of its log, where it leaves no engine.
    """
    request.write(request_path)
    reason = ""
    with log.open("wb") as log_file, _started([*command, str(request_path.resolve())], log_file) as process:
        assert process.stdout is not None
        for event in _events(process.stdout):
            reason = event["message"] if event["type"] == "error" else reason
            on_event(event)
        code = process.wait()
    if reason:
        raise SedgeError(f"{reason} (the whole log: {log})")
    if code or not Path(request.engine).is_file():
        raise SedgeError(f"TensorRT's builder {_ending(code)}: {_last_lines(log)} (the whole log: {log})")


@contextmanager
def _started(command: list[str], log_file: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """A child process that never outlives this block."""
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,  # `-m` looks in the working folder first
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log_file,
        encoding="utf-8",
        errors="replace",
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _events(lines: Iterable[str]) -> Iterator[Event]:
    """The objects among the lines; a library may print others before the process takes its output in hand."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "type" in event:
            yield event


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"crashed ({signal.Signals(-code).name})"
    except ValueError:
        return f"crashed (signal {-code})"


def _last_lines(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return " | ".join([line for line in lines if line][-LINES_SHOWN:]) or "it logged nothing"
