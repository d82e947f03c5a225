"""The most memory that a runtime holds, in a process of its own.

Run as `python -m export.checking.peak_memory BUNDLE RUNTIME ENGINES`.

The peak is the kernel's own mark of this program's memory. What a process is told of its use counts the memory of
the one that started it, and is asked only where there is no such mark.
"""

import contextlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_app.core.bundle import load_bundle
from edge_app.core.errors import SedgeError
from edge_app.core.runtimes import RuntimeName, open_runtime
from edge_app.core.tensorrt_engine import ShapeRefused
from export.checking.calls import whole_clip

REPOSITORY = Path(__file__).resolve().parents[2]
STATUS = Path("/proc/self/status")
LIVE_STEPS = 3


@dataclass(frozen=True, slots=True)
class Peak:
    """Resident bytes of a process, its libraries included."""

    loaded_bytes: int
    """The most before the runtime was opened: Python, NumPy and what they load."""
    peak_bytes: int
    """The most after a clip and live steps."""


def can_measure() -> bool:
    """Whether this system tells a process's peak: Linux and macOS do."""
    return importlib.util.find_spec("resource") is not None


def peak_of(bundle: Path, name: RuntimeName, engines: Path) -> Peak:
    """Measure a runtime in a process of its own. Raises SedgeError where that does not end well."""
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "export.checking.peak_memory",
            str(bundle.resolve()),
            name,
            str(engines.resolve()),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode != 0:
        said = (result.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise SedgeError(
            f"{name}: measuring its memory: expected exit code 0, found {result.returncode}: {said}"
        )
    return Peak(**json.loads(result.stdout.splitlines()[-1]))


def measure(folder: Path, name: RuntimeName, engines: Path) -> Peak:
    """Open the runtime in this process, run a clip and live steps, and ask for the peak."""
    loaded = _peak_bytes()
    bundle = load_bundle(folder)
    runtime, manifest = open_runtime(bundle, name, engines=engines, check=False).runtime, bundle.manifest
    n_frames, hop = manifest.tag_window_frames, manifest.hop_frames.default
    context = manifest.receptive_field_frames.tag_cnn
    ones = np.ones((1, n_frames), np.float32)
    frames = np.full((1, n_frames, manifest.log_mel.n_mels), -10, np.float32)
    with contextlib.suppress(ShapeRefused):  # an engine may have been compiled for live steps alone
        runtime.run(whole_clip(manifest, frames))
    memory = runtime.tag_memory(n_frames)
    for _ in range(LIVE_STEPS):
        fed = hop + 2 * context
        memory.step(frames[0, :fed], ones[0, :fed], n_frames - hop, slice(context, context + hop))
    return Peak(loaded, _peak_bytes())


def _peak_bytes() -> int:
    if STATUS.is_file():
        fields = dict(line.split(":", 1) for line in STATUS.read_text(encoding="ascii").splitlines())
        if "VmHWM" in fields:
            return 1024 * int(fields["VmHWM"].split()[0])
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used * (1 if sys.platform == "darwin" else 1024)


def main(words: list[str]) -> int:
    """The process's own work: prints the figures as JSON, or the error in one line."""
    try:
        peak = measure(Path(words[0]), words[1], Path(words[2]))  # type: ignore[arg-type]
    except SedgeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps({"loaded_bytes": peak.loaded_bytes, "peak_bytes": peak.peak_bytes}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
