"""`sedge doctor`: what detection needs, whether it is there, and what to do where it is not."""

import importlib
import importlib.metadata
import importlib.util
import math
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from edge_app import __version__
from edge_app.core.errors import (
    EXIT_DONE,
    EXIT_NO_DEVICE_OR_MODEL,
    BundleError,
    DeviceError,
    RuntimeUnavailable,
)

if TYPE_CHECKING:
    from edge_app.core.bundle import Bundle
    from edge_app.core.runtimes import RuntimeName

Status = Literal["ok", "note", "warning", "failure"]

DEPENDENCIES = (
    "numpy",
    "onnxruntime",
    "platformdirs",
    "pydantic",
    "rich",
    "sounddevice",
    "soundfile",
    "soxr",
    "tyro",
)
EXTRAS = {
    "app": ("PyQt6", "pyqtgraph"),
    "train": ("torch", "torchaudio", "safetensors"),
    "export": ("onnx", "onnxscript"),
    "gpu": ("tensorrt", "cuda"),
    "gpu-lean": ("tensorrt_lean", "cuda"),
}
LEAST_NUMPY = 2
LEAST_PYTHON = (3, 11)
LISTEN_S = 1.0
QUIET_DBFS = -75.0
SOUND_SUBJECTS = ("PortAudio", "sound input", "microphone")
SILENCE_ADVICE = (
    "unmute it; allow this program to use the microphone in the system's privacy settings; "
    "choose another with `sedge listen --device NAME`"
)
STYLES: dict[Status, str] = {"ok": "green", "note": "dim", "warning": "yellow", "failure": "bold red"}

DESCRIPTION = """Check everything that detection needs: Python and the packages, the model and whether this machine
computes with it what it should, the sound devices, and whether the microphone delivers sound (it records for one
second and keeps nothing). What is wrong is followed by what to do about it.

Exit code 0 means that detection can run; 3 that the model, the runtime or the input device is missing."""


@dataclass(frozen=True)
class DoctorArgs:
    """Arguments of `sedge doctor`."""

    bundle: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """The model to check, a bundle's folder; the built-in one unless given."""
    no_microphone: bool = False
    """Leave out the sound devices, for a machine that only scores files."""


@dataclass(frozen=True)
class Check:
    """One row of the report."""

    subject: str
    """What was looked at."""
    status: Status
    """`failure` where detection cannot run, `warning` where it can but may disappoint, `note` for what is optional."""
    found: str
    """What there is."""
    advice: str = ""
    """What to do about it; empty where nothing is wrong."""


def main(argv: list[str]) -> int:
    """Print the report; 3 if anything that detection needs is missing."""
    args = tyro.cli(
        DoctorArgs,
        args=argv,
        prog="sedge doctor",
        description=DESCRIPTION,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    checks = list(all_checks(args.bundle, not args.no_microphone))
    Console().print(report_table(checks))
    failures = [check.subject for check in checks if check.status == "failure"]
    if failures:
        print(failure_text(failures))
        return EXIT_NO_DEVICE_OR_MODEL
    print("Detection can run.")
    return EXIT_DONE


def failure_text(failures: list[str]) -> str:
    """What cannot run; where only sound devices failed, also what can."""
    listed = ", ".join(failures)
    if set(failures) <= set(SOUND_SUBJECTS):
        return (
            f"No microphone can be heard: {listed}. `sedge score` and `sedge listen --source FILE` can run."
        )
    return f"Detection cannot run: {listed}."


def all_checks(bundle: Path | None, microphone: bool) -> Iterator[Check]:
    """Every check in order; those that need a package which is missing are left out."""
    yield python_check(sys.version_info[:2])
    yield Check("Sedge", "ok", f"{__version__}, {Path(__file__).parent.parent}")
    dependencies = [dependency_check(name) for name in DEPENDENCIES]
    yield from dependencies
    yield from onnxruntime_conflict_check()
    if all(check.status == "ok" for check in dependencies):
        yield from model_checks(bundle)
        if microphone:
            yield from sound_checks()
    yield from (extra_check(extra, modules) for extra, modules in EXTRAS.items())


def report_table(checks: list[Check]) -> Table:
    """The checks as a table, the advice under what was found."""
    table = Table("", "check", "found", box=None, pad_edge=False)
    table.columns[2].overflow = "fold"
    for check in checks:
        advice = f"\n[yellow]-> {_escaped(check.advice)}[/]" if check.advice else ""
        status = "" if check.status == "note" else check.status
        table.add_row(
            f"[{STYLES[check.status]}]{status}[/]", _escaped(check.subject), _escaped(check.found) + advice
        )
    return table


def _escaped(text: str) -> str:
    # Square brackets, as in .[train], are markup to rich.
    return text.replace("[", "\\[")


def python_check(version: tuple[int, int]) -> Check:
    """Whether this Python is new enough."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if version < LEAST_PYTHON:
        return Check("Python", "failure", found, "install Python 3.11 or newer")
    return Check("Python", "ok", found)


def dependency_check(name: str) -> Check:
    """Whether a package is installed, new enough and can be imported, which a broken library prevents."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "failure", "not installed", f"pip install {name}")
    if name == "numpy" and int(version.partition(".")[0]) < LEAST_NUMPY:
        return Check(name, "failure", version, f"pip install 'numpy>={LEAST_NUMPY}'")
    if name == "sounddevice":  # its import fails without PortAudio, which has its own row
        return Check(name, "ok", version)
    try:
        importlib.import_module(name)
    except (ImportError, OSError) as error:
        return Check(
            name, "failure", f"{version}, import fails: {error}", f"pip install --force-reinstall {name}"
        )
    return Check(name, "ok", version)


def onnxruntime_conflict_check() -> Iterator[Check]:
    """A warning where the CPU and GPU builds of ONNX Runtime, which overwrite each other, are both installed."""
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    if len(installed) > 1:
        advice = f"pip uninstall {' '.join(installed)}, then install the one that you want"
        yield Check("ONNX Runtime", "warning", " and ".join(installed) + " overwrite each other", advice)


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def model_checks(folder: Path | None) -> Iterator[Check]:
    """Whether the bundle is whole, which runtime runs it, and what each runtime here computes with it."""
    from edge_app.core.bundle import DEFAULT_BUNDLE, load_bundle
    from edge_app.core.runtimes import RUNTIME_NAMES, open_runtime
    from edge_app.store.places import engine_folder

    advice = (
        "export it again with `sedge export-bundle`"
        if folder
        else f"install Sedge again, or restore {DEFAULT_BUNDLE}"
    )
    try:
        bundle = load_bundle(folder)
        yield Check("model", "ok", f"{bundle.manifest.name}: {', '.join(bundle.manifest.event_labels)}")
        yield Check("runtime", "ok", open_runtime(bundle, engines=engine_folder()).runtime.name)
        for name in RUNTIME_NAMES:
            yield runtime_check(bundle, name)
    except BundleError as error:
        yield Check("model", "failure", str(error), advice)


def runtime_check(bundle: "Bundle", name: "RuntimeName") -> Check:
    """Whether that runtime gives the stored scores, or why it cannot run; only the one on the CPU is needed."""
    from edge_app.core.parity import check_parity
    from edge_app.core.runtime_onnx import check_provider
    from edge_app.core.runtimes import ParityError, open_runtime
    from edge_app.store.places import engine_folder

    subject = f"runtime {name}"
    try:
        if name == "onnx-tensorrt":
            check_provider(name)
            return Check(subject, "note", "not tried: it compiles the model at every start, for minutes")
        opened = open_runtime(bundle, name, engines=engine_folder())
    except ParityError as error:
        return Check(subject, "warning", str(error))
    except RuntimeUnavailable as error:
        return Check(subject, "note", f"optional: {error}")
    parity = opened.parity or check_parity(bundle, opened.runtime)
    found = f"parity: scores differ by at most {parity.max_difference:.1e}, allowed {parity.tolerance:.1e}"
    if parity.passed:
        return Check(subject, "ok", found)
    return Check(
        subject, "failure", found, "another version of onnxruntime: pip install --upgrade onnxruntime"
    )


def sound_checks() -> Iterator[Check]:
    """Whether PortAudio is there, which inputs there are, and whether the default one delivers sound."""
    from edge_app.stream.devices import (
        NO_INPUT_ADVICE,
        choose_default,
        full_name,
        input_devices,
        portaudio,
        record,
    )

    try:
        version = portaudio().get_portaudio_version()[1]
        devices = input_devices()
    except DeviceError as error:
        yield Check("PortAudio", "failure", "cannot be used", str(error))
        return
    yield Check("PortAudio", "ok", version.partition(",")[0])
    if not devices:
        yield Check("sound input", "failure", "no input device", NO_INPUT_ADVICE)
        return
    default = choose_default(devices)
    yield Check(
        "sound input", "ok", f"{len(devices)} found, default {full_name(default)}; see `sedge devices`"
    )
    try:
        sound = record(default, LISTEN_S)
    except DeviceError as error:
        yield Check(
            "microphone", "failure", str(error), "plug it in again, and close what else records from it"
        )
        return
    yield level_check(float(abs(sound).max()), float((sound.astype("float64") ** 2).mean() ** 0.5))


def level_check(peak: float, rms: float) -> Check:
    """Judge a recording by its largest sample and its root mean square, both 1 at full scale."""
    if peak == 0:
        return Check("microphone", "warning", "delivers zeros only: it is off or not allowed", SILENCE_ADVICE)
    level_db = 20 * math.log10(rms)
    found = f"delivers sound, level {level_db:.0f} dBFS, peak {20 * math.log10(peak):.0f} dBFS"
    if level_db < QUIET_DBFS:
        return Check(
            "microphone", "warning", found, "very quiet: raise its level in the system's sound settings"
        )
    if peak >= 1:
        return Check(
            "microphone", "warning", found, "it clips: lower its level in the system's sound settings"
        )
    return Check("microphone", "ok", found)


def extra_check(extra: str, modules: tuple[str, ...]) -> Check:
    """Which of an extra's packages are installed; none is needed to detect."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        return Check(f"extra `{extra}`", "note", f"not installed (optional; lacks {', '.join(missing)})")
    return Check(f"extra `{extra}`", "ok", ", ".join(modules))
