"""What the process that builds an engine is asked, and what it answers."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Event = dict[str, Any]
"""One line of the builder's standard output: `type` is phase, step, phase_end or error."""


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
