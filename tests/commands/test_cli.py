"""The command line as a person meets it: help, mistakes, exit codes, absent packages."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edge_app import __version__, cli
from edge_app.core.errors import DeviceError

REPOSITORY = Path(cli.__file__).resolve().parent.parent


def run_sedge(*arguments: str, folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_app", *arguments]
    # Out of an editable installation's reach: only what lies in `folder` is found.
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def replace_command(monkeypatch: pytest.MonkeyPatch):
    """Make `sedge score` run the given function, and stay the only command changed."""

    def replace(function) -> None:
        module = ModuleType("edge_app.commands.replaced")
        vars(module)["main"] = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, "score", (f"{module.__name__}:main", "replaced"))

    return replace


def test_help_lists_every_command_with_its_summary(capsys):
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command, (_, summary) in cli.COMMANDS.items():
        assert f"  {command} " in shown
        assert summary in shown
    assert [title for title in cli.GROUPS.values() if f"\n{title}:" in shown] == list(cli.GROUPS.values())


@pytest.mark.parametrize("spelling", ["-h", "help"])
def test_other_spellings_of_help(spelling, capsys):
    assert cli.main([spelling]) == 0
    assert capsys.readouterr().out == cli.help_text() + "\n"


def test_no_command_is_a_usage_error_that_shows_the_help(capsys):
    assert cli.main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == cli.help_text() + "\n"


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sedge {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("scroe", "score"), ("listne", "listen"), ("train_mlfl", "train-mlfl"), ("doctr", "doctor")],
)
def test_unknown_command_names_the_nearest(typed, meant, capsys):
    assert cli.main([typed]) == 2
    assert capsys.readouterr().err == f"sedge: unknown command {typed!r}: did you mean {meant}?\n"


def test_unknown_command_without_a_near_one_names_the_list(capsys):
    assert cli.main(["xyzzy"]) == 2
    assert "`sedge --help` lists them" in capsys.readouterr().err


def test_error_of_a_command_is_one_line_and_its_exit_code(replace_command, capsys):
    def fail(argv: list[str]) -> int:
        raise DeviceError("no microphone")

    replace_command(fail)
    assert cli.main(["score"]) == 3
    assert capsys.readouterr().err == "sedge: no microphone\n"


def test_refusal_of_the_operating_system_names_the_file(replace_command, capsys, tmp_path):
    replace_command(lambda argv: (tmp_path / "absent").read_text() and 0)
    assert cli.main(["score"]) == 2
    assert (
        capsys.readouterr().err == f"sedge: score: No such file or directory: {str(tmp_path / 'absent')!r}\n"
    )


def test_interruption_is_130(replace_command, capsys):
    def interrupt(argv: list[str]) -> int:
        raise KeyboardInterrupt

    replace_command(interrupt)
    assert cli.main(["score"]) == 130
    assert capsys.readouterr().err == "sedge: interrupted\n"


@pytest.mark.parametrize(("stopped_with", "code"), [(None, 0), (0, 0), (2, 2), ("a message", 2)])
def test_a_parser_that_stops_gives_its_code(stopped_with, code, replace_command):
    def stop(argv: list[str]) -> int:
        raise SystemExit(stopped_with)

    replace_command(stop)
    assert cli.main(["score"]) == code


def test_a_library_that_stops_at_a_closed_pipe_is_not_a_failed_file(replace_command):
    def stop(argv: list[str]) -> int:
        try:
            raise BrokenPipeError
        except BrokenPipeError:
            raise SystemExit(1)  # noqa: B904 (as rich does it)

    replace_command(stop)
    assert cli.main(["score"]) == cli.EXIT_PIPE_CLOSED


def test_missing_package_of_an_extra_names_the_extra(monkeypatch, capsys):
    # None in sys.modules is how Python itself marks a module as not importable.
    monkeypatch.setitem(sys.modules, "absent_package", None)
    module = ModuleType("train.replaced")
    vars(module)["main"] = lambda argv: __import__("absent_package.part")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "train-mlfl", ("train.replaced:main", ""))
    assert cli.main(["train-mlfl"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("sedge: train-mlfl needs the Python package absent_package")
    assert "pip install -e '.[train]'" in shown


def test_missing_module_of_our_own_is_a_fault_not_a_missing_extra(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "score", ("edge_app.commands.no_such_module:main", ""))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["score"])


def test_usage_error_of_a_command_is_2():
    result = run_sedge("devices", "--no-such-option")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_copied_folder_runs_alone_and_leaves_out_absent_packages(tmp_path):
    shutil.copytree(
        REPOSITORY / "edge_app", tmp_path / "edge_app", ignore=shutil.ignore_patterns("__pycache__")
    )
    shown = run_sedge("--help", folder=tmp_path)
    assert shown.returncode == 0
    assert "  score " in shown.stdout
    assert "train-mlfl" not in shown.stdout
    assert "bench-latency" not in shown.stdout
    refused = run_sedge("train-mlfl", folder=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == (
        "sedge: train-mlfl needs the folder train/ beside edge_app/: run it from a checkout\n"
    )


def test_package_of_that_name_elsewhere_does_not_count(tmp_path, monkeypatch):
    (tmp_path / "lookalike").mkdir()
    (tmp_path / "lookalike" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert not cli.is_present("lookalike")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full not found: a disk that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_behind_stdout_is_one_line(unbuffered):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "edge_app", "--version"],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert result.returncode == 2
    assert result.stderr.startswith("sedge: ")
    assert result.stderr.endswith(": No space left on device\n")
    assert result.stderr.count("\n") == 1


def test_program_without_a_standard_output_runs(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["--version"]) == 0


@pytest.mark.skipif(os.name != "posix", reason="pipes close differently elsewhere")
def test_reader_that_leaves_early_sees_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed_pipe:
        result = subprocess.run(
            [sys.executable, "-m", "edge_app", "--help"],
            cwd=REPOSITORY,
            stdout=closed_pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
        )
    assert result.returncode == cli.EXIT_PIPE_CLOSED
    assert result.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
def test_control_c_while_a_library_is_loaded_ends_without_a_traceback(tmp_path):
    (tmp_path / "swallows.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    for _ in range(10**6): pass\n"
        "except KeyboardInterrupt:\n"
        "    raise ImportError('initialization failed')\n"
    )
    code = (
        "import sys; from edge_app import cli; cli.package_of = lambda _: 'edge_app';"
        "cli.COMMANDS['score'] = ('swallows:main', ''); sys.exit(cli.main(['score']))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{tmp_path}"}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
