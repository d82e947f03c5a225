"""The command `sedge`: one table from a command's name to the function that runs it.

A command's module is imported only when the command runs, so `sedge --help` loads neither NumPy nor torch.
Commands of packages that are not beside edge_app (a device has only edge_app) are left out.
"""

import contextlib
import difflib
import importlib
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_app import __version__
from edge_app.core.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, SedgeError

EXIT_PIPE_CLOSED = 141

COMMANDS: dict[str, tuple[str, str]] = {
    "score": ("edge_app.commands.score:main", "find the events in files, folders and archives"),
    "listen": (
        "edge_app.commands.listen:main",
        "find events as they happen, on a microphone, a file or a pipe",
    ),
    "demo": ("edge_app.commands.demo:main", "hear it work: a bundled recording through the live engine"),
    "app": ("edge_app.commands.app:main", "the desktop app: live events on a timeline"),
    "export": ("edge_app.commands.export:main", "write kept sessions as tables for other programs"),
    "replay": ("edge_app.commands.replay:main", "hear a kept session once more, and compare with live"),
    "devices": ("edge_app.commands.devices:main", "list the microphones and other inputs"),
    "doctor": (
        "edge_app.commands.doctor:main",
        "check what detection needs, and say how to mend what is wrong",
    ),
    "train": ("train.commands.train:main", "train the whole system of a recipe, from clips to a report"),
    "ablate": ("train.commands.ablate:main", "train the MLFL without one ingredient at a time"),
    "train-models": ("train.commands.train_models:main", "list the models and their sizes"),
    "desed-check": (
        "train.commands.desed_check:main",
        "say what of the DESED data is there, and where the rest is obtained",
    ),
    "mix-soundscapes": (
        "train.commands.mix_soundscapes:main",
        "mix a sound bank into annotated training clips",
    ),
    "train-mlfl": ("train.commands.train_mlfl:main", "train the model that tags clips"),
    "train-tag-cnn": (
        "train.commands.train_tag_cnn:main",
        "train the model that scores frames, given the tags",
    ),
    "tune-decoding": (
        "train.commands.tune_decoding:main",
        "choose thresholds and filters on a validation set",
    ),
    "evaluate": (
        "train.commands.evaluate:main",
        "measure F-scores and PSDS of scored clips, or of a folder that score wrote",
    ),
    "export-bundle": (
        "export.commands.export_bundle:main",
        "turn checkpoints into a bundle that a device runs",
    ),
    "export-tensorrt": (
        "export.commands.export_tensorrt:main",
        "compile a bundle for this machine's NVIDIA GPU",
    ),
    "export-check": (
        "export.commands.export_check:main",
        "compare what every runtime here computes with what the bundle must give",
    ),
    "bench-accuracy": (
        "benchmarks.accuracy.accuracy:main",
        "measure detections on annotated clips, also by SNR, polyphony and perturbation",
    ),
    "bench": (
        "benchmarks.comparing.bench:main",
        "run every benchmark in short form, five minutes in all, into one file",
    ),
    "bench-latency": (
        "benchmarks.latency.latency:main",
        "time a live step on every runtime, stage by stage, and whole clips",
    ),
    "bench-live": (
        "benchmarks.live.live:main",
        "measure how long real sounds take to become events, and where the time goes",
    ),
    "bench-app": (
        "benchmarks.app.live_app:main",
        "measure the desktop app: cost, delay to the screen, stalls",
    ),
    "bench-throughput": (
        "benchmarks.files.throughput:main",
        "time the scoring of files and of a live stream",
    ),
    "bench-fused": (
        "benchmarks.fused.fused:main",
        "time the fused graph in every precision, beside the baseline",
    ),
    "bench-memory": ("benchmarks.files.memory:main", "measure peak memory on long recordings"),
    "bench-peers": (
        "benchmarks.peers.command:main",
        "other systems on the same clips: speech, latency, cost",
    ),
    "bench-compare": (
        "benchmarks.comparing.compare:main",
        "compare two files of results: ratios, with their spread",
    ),
    "bench-report": (
        "benchmarks.comparing.report_command:main",
        "make a page, and the README's table, from files of results",
    ),
    "bench-training": (
        "benchmarks.training.training:main",
        "time training steps of each model, and what they spend outside the network",
    ),
}

GROUPS = {
    "edge_app": "Detection, on this device",
    "train": "Training",
    "export": "Export",
    "benchmarks": "Benchmarks",
}

# What installs the third-party modules that a package's commands import.
INSTALL_HINTS = {
    "train": "pip install -e '.[train]'",
    "export": "pip install -e '.[export]'",
    "benchmarks": "pip install -e '.[bench]'",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command line, the process's own if none is given, and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments:
        print(help_text(), file=sys.stderr)
        return EXIT_USAGE
    try:
        code = _run(arguments[0], arguments[1:])
    except BrokenPipeError:
        code = EXIT_PIPE_CLOSED
    except KeyboardInterrupt:
        print("sedge: interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    return _flushed(code)


def help_text() -> str:
    """What `sedge --help` prints: the commands that are present, by package."""
    width = max(map(len, COMMANDS))
    lines = ["usage: sedge COMMAND [ARGUMENT ...]", "       sedge COMMAND --help | --help | --version"]
    for package, title in GROUPS.items():
        if not is_present(package):
            continue
        lines += ["", f"{title}:"]
        lines += [
            f"  {command:<{width}}  {summary}"
            for command, (target, summary) in COMMANDS.items()
            if package_of(target) == package
        ]
    return "\n".join(lines)


def package_of(target: str) -> str:
    """The top package of a target "package.module:function"."""
    return target.partition(":")[0].partition(".")[0]


def is_present(package: str) -> bool:
    """Whether the package lies beside edge_app; another project's package of that name does not count."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).resolve().parent.parent == Path(__file__).resolve().parent.parent


def _run(command: str, arguments: list[str]) -> int:
    try:
        return _call(command, arguments)
    except SedgeError as error:
        print(f"sedge: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        print(f"sedge: {missing_module_text(command, error)}", file=sys.stderr)
        return EXIT_USAGE
    except SystemExit as stop:
        return _exit_code(stop)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.strerror is None:
            raise
        print(f"sedge: {os_error_text(command, error)}", file=sys.stderr)
        return EXIT_USAGE


def _call(command: str, arguments: list[str]) -> int:
    if command in ("--help", "-h", "help"):
        print(help_text())
        return EXIT_DONE
    if command == "--version":
        print(f"sedge {__version__}")
        return EXIT_DONE
    if command not in COMMANDS:
        raise SedgeError(unknown_command_text(command))
    target = COMMANDS[command][0]
    if not is_present(package_of(target)):
        raise SedgeError(
            f"{command} needs the folder {package_of(target)}/ beside edge_app/: run it from a checkout"
        )
    # NumPy's products are small here; threads that wait for each other on a busy machine cost tenfold
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    module_name, _, function_name = target.partition(":")
    with _ended_by_control_c():
        module = importlib.import_module(module_name)
    run_command: Callable[[list[str]], int] = getattr(module, function_name)
    return run_command(arguments)


@contextlib.contextmanager
def _ended_by_control_c() -> Iterator[None]:
    """Ctrl-C ends the process at once: libraries that are being loaded turn the exception into errors of their own."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or not _is_main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def unknown_command_text(command: str) -> str:
    """One line for a command that does not exist, with the nearest one that does."""
    present = [name for name, (target, _) in COMMANDS.items() if is_present(package_of(target))]
    near = difflib.get_close_matches(command, present, n=1)
    advice = f"did you mean {near[0]}?" if near else "`sedge --help` lists them"
    return f"unknown command {command!r}: {advice}"


def missing_module_text(command: str, error: ModuleNotFoundError) -> str:
    """One line for a third-party module that is not installed; a missing module of our own is a fault: raised again."""
    module = (error.name or "").partition(".")[0]
    if not module or module in GROUPS:
        raise error
    install = INSTALL_HINTS.get(package_of(COMMANDS[command][0]), f"pip install {module}")
    return f"{command} needs the Python package {module}, which is not installed: {install}"


def os_error_text(command: str, error: OSError) -> str:
    """One line for what the operating system refused: a full disk, a folder without permission."""
    where = f": {error.filename!r}" if error.filename is not None else ""
    return f"{command}: {error.strerror}{where}"


def _exit_code(stop: SystemExit) -> int:
    """The code that a library stopped the program with, as a number: a parser, or rich where a pipe was closed."""
    if isinstance(stop.__context__, BrokenPipeError):
        return EXIT_PIPE_CLOSED
    if stop.code is None:
        return EXIT_DONE
    if isinstance(stop.code, int):
        return stop.code
    print(stop.code, file=sys.stderr)
    return EXIT_USAGE


def _flushed(code: int) -> int:
    """The exit code once all is written: a reader who left early or a full disk may show only now."""
    try:
        # Not sys.stdout.flush(): a program that was started without a standard output has None there.
        print(end="", flush=True)
    except OSError as error:
        # The interpreter flushes once more at its end, and would print a traceback.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return EXIT_PIPE_CLOSED
        if code == EXIT_DONE:
            print(f"sedge: standard output: {error.strerror}", file=sys.stderr)
            return EXIT_USAGE
    return code


if __name__ == "__main__":
    sys.exit(main())
