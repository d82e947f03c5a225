"""Real child processes: what they are given, how they fail, and that none is left behind."""

import json
import os
import shlex
import sys
import threading
from pathlib import Path

import pytest

from edge_app.actions.command import Command, environment
from edge_app.actions.receiver import DeliveryError
from edge_app.core.errors import SedgeError
from tests.actions.receivers import PATIENCE_S, an_occasion

ODD_LABEL = 'Dog\'s "№1"; rm -rf $HOME `id` | & > \\ \t%PATH%\nü\ud800\0'
WRITE = """
import json, os, sys
record = {"arguments": sys.argv[2:], "stdin": sys.stdin.read(),
          "environment": {k: v for k, v in os.environ.items() if k.startswith("SEDGE_")}}
print("this must not be seen")
open(sys.argv[1], "w").write(json.dumps(record))
"""


def python(program: str, *arguments: str) -> str:
    return shlex.join([sys.executable, "-S", "-c", program, *arguments])


def failure(command: Command) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        command.deliver(an_occasion())
    return raised.value


def test_the_event_is_on_standard_input_and_in_the_environment(tmp_path: Path, capfd):
    target = tmp_path / "my file's №1.json"
    arguments = ["two words", 'a"b', "$HOME", "*", "; echo no", "`id`", ""]
    command = Command(python(WRITE, str(target), *arguments))
    command.deliver(an_occasion(ODD_LABEL, 1.5, onset_utc=None))
    record = json.loads(target.read_text())
    assert record["arguments"] == arguments
    assert record["stdin"].endswith("}\n")
    assert record["stdin"].count("\n") == 1
    assert json.loads(record["stdin"])["event_label"] == ODD_LABEL
    told = record["environment"]
    assert told["SEDGE_EVENT_LABEL"] == ODD_LABEL.replace("\0", "").replace("\ud800", "?")
    assert told["SEDGE_ONSET"] == "1.5"
    assert "SEDGE_ONSET_UTC" not in told
    assert capfd.readouterr().out == ""


def test_no_shell_takes_part(tmp_path: Path):
    """What a shell would do with the line does not happen."""
    canary = tmp_path / "canary"
    command = Command(f"{python('')} ; touch {canary} > {canary} && touch {canary}")
    command.deliver(an_occasion(f"$(touch {canary})"))
    assert not canary.exists()


def test_a_program_in_a_folder_with_spaces_runs(tmp_path: Path):
    program = tmp_path / "my programs" / "tell it"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nopen(__file__ + '.done', 'w')\n")
    program.chmod(0o755)
    command = Command(f"'{program}' x")
    command.deliver(an_occasion())
    assert Path(f"{program}.done").exists()
    assert command.name == "command tell it"


def test_a_child_that_does_not_read_is_no_failure():
    # More than a pipe holds, as much as one variable may.
    Command(python("")).deliver(an_occasion(note="x" * 100_000))


def test_an_exit_code_is_told_and_not_tried_again():
    error = failure(Command(python("raise SystemExit(3)")))
    assert not error.temporary
    assert str(error) == "expected exit code 0, found 3"


def test_its_error_stream_is_seen(capfd):
    failure(Command(python("raise SystemExit('what went wrong')")))
    assert "what went wrong" in capfd.readouterr().err


def test_a_program_that_vanished_may_come_back(tmp_path: Path):
    program = tmp_path / "tell"
    program.write_text("#!/bin/true\n")
    program.chmod(0o755)
    command = Command(str(program))
    program.unlink()
    error = failure(command)
    assert error.temporary
    assert str(error) == "cannot be started (No such file or directory)"


def test_one_that_does_not_end_is_ended():
    error = failure(Command(python("import time; time.sleep(600)"), timeout_s=0.05))
    assert not error.temporary
    assert str(error) == "expected its end within 0.05 s, found it running and ended it"


def test_an_abandoned_one_ends_with_what_it_started(tmp_path: Path):
    """The grandchild holds a pipe open, so its end shows at the other side of the pipe."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    grandchild = f"import time; f = open({str(fifo)!r}, 'w'); f.write('x'); f.flush(); time.sleep(600)"
    command = Command(
        python(f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {grandchild!r}])")
    )
    errors: list[DeliveryError] = []
    worker = threading.Thread(target=lambda: errors.append(failure(command)), daemon=True)
    worker.start()
    with fifo.open() as pipe:
        assert pipe.read(1) == "x"
        command.abandon()
        assert pipe.read() == ""
    worker.join(PATIENCE_S)
    assert str(errors[0]) == "expected exit code 0, found -9"
    assert str(failure(command)) == "given up"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "expected a program and its arguments, found nothing"),
        ("   ", "found nothing"),
        ("say 'x", "expected its quotes in pairs"),
        ("no-such-program-at-all --key s3cret", "found none called no-such-program-at-all$"),
        (str(Path(__file__).parent), "found none called"),
    ],
)
def test_a_line_without_a_program_is_refused_at_once(line, words):
    with pytest.raises(SedgeError, match=words) as raised:
        Command(line)
    assert "s3cret" not in str(raised.value)


def test_the_name_leaves_out_the_arguments():
    assert Command(python("", "--key", "s3cret")).name == f"command {Path(sys.executable).name}"


def test_variables_of_numbers_and_nothing():
    assert environment({"onset": 1.25, "id": 3, "clip": None}) == {"SEDGE_ONSET": "1.25", "SEDGE_ID": "3"}
