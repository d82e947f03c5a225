"""Builds one TensorRT engine, in a process of its own: `python -m export.tensorrt.build REQUEST`.

A builder that crashes ends this process only. REQUEST is a file that BuildRequest wrote; events go to the standard
output, one JSON object a line, and everything that TensorRT logs to the standard error.
"""

import json
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

# Gigabytes of libraries, which crash on their first use where there is no driver: nothing but this process loads
# the builder, and only after a GPU was found.
import tensorrt as trt

from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import whole_file
from export.tensorrt.process import BuildRequest, read_request


class Reporter:
    """Writes events, one JSON object a line; TensorRT calls from several threads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def tell(self, event: str, **fields: Any) -> bool:
        """Write one event; false where nobody listens any more."""
        try:
            with self._lock:
                self._stream.write(json.dumps({"type": event, **fields}) + "\n")
                self._stream.flush()
        except OSError:
            return False
        return True


class Progress(trt.IProgressMonitor):
    """Passes the builder's phases and steps on, and stops the build where nobody listens."""

    def __init__(self, reporter: Reporter) -> None:
        trt.IProgressMonitor.__init__(self)
        self._reporter = reporter

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """A phase of `num_steps` steps begins, inside `parent_phase` if there is one."""
        self._reporter.tell("phase", phase=phase_name, parent=parent_phase, steps=num_steps)

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Step `step`, counted from 0, is done; returns whether to go on."""
        return self._reporter.tell("step", phase=phase_name, step=step)

    def phase_finish(self, phase_name: str) -> None:
        """A phase ends, whether all its steps were counted or not."""
        self._reporter.tell("phase_end", phase=phase_name)


def main(argv: Sequence[str]) -> int:
    """Build what the request file says; returns 1 where TensorRT refuses."""
    reporter = Reporter(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # whatever libraries print must not come between the events
    try:
        build(read_request(Path(argv[0])), reporter)
    except SedgeError as error:
        reporter.tell("error", message=str(error))
        return 1
    return 0


def build(request: BuildRequest, reporter: Reporter) -> None:
    """Parse the graph, build the engine, and write it and the timing cache. Raises SedgeError where it cannot."""
    logger = trt.Logger(min_severity=trt.ILogger.Severity.INFO)
    builder = trt.Builder(logger)
    network = builder.create_network()  # strongly typed: TensorRT 11 knows no other
    parser = trt.OnnxParser(network, logger)  # holds the weights: it must outlive the build
    if not parser.parse_from_file(request.graph):
        raise SedgeError(parser_errors(parser))
    config = builder.create_builder_config()
    # float32 means float32: with TensorFloat-32, which is on by default, products keep 10 bits
    config.clear_flag(trt.BuilderFlag.TF32)
    if request.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    for shapes in request.profiles:
        add_profile(builder, config, shapes)
    cache = attach_timing_cache(config, Path(request.timing_cache))
    monitor = Progress(reporter)
    config.progress_monitor = monitor
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise SedgeError("TensorRT built no engine")
    write(Path(request.engine), engine)
    write(Path(request.timing_cache), cache.serialize())


def parser_errors(parser: trt.OnnxParser) -> str:
    """What the parser does not take: node, operator and reason of each error."""
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    texts = [f"{error.node_name()} ({error.node_operator()}): {error.desc()}" for error in errors]
    return "TensorRT cannot parse the graph: " + ("; ".join(texts) or "no reason given")


def add_profile(builder: trt.Builder, config: trt.IBuilderConfig, shapes: dict[str, list[list[int]]]) -> None:
    """Add an optimisation profile: the builder times kernels on the usual shapes, and all of the range must run."""
    profile = builder.create_optimization_profile()
    for name, (least, usual, largest) in shapes.items():
        profile.set_shape(name, min=least, opt=usual, max=largest)
    if config.add_optimization_profile(profile) < 0:
        raise SedgeError(f"TensorRT refuses the shapes {shapes}")


def attach_timing_cache(config: trt.IBuilderConfig, path: Path) -> trt.ITimingCache:
    """Take over what earlier builds measured; an empty cache where there is none, or another GPU's."""
    earlier = path.read_bytes() if path.exists() else b""
    for content in (earlier, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return cache
    raise SedgeError("TensorRT takes no timing cache")


def write(path: Path, content: Iterable[int]) -> None:
    """Write what TensorRT holds in memory, whole or not at all."""
    with whole_file(path) as file:
        file.write(memoryview(content))  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
