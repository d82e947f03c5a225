"""The option --runtime, the same for every command that detects."""

from pathlib import Path

import onnxruntime
import pytest

from edge_app import cli
from edge_app.commands import detector
from edge_app.commands.detector import open_detector
from edge_app.core import runtime_onnx
from edge_app.core.runtimes import open_runtime

RECORDING = Path(cli.__file__).parent / "demo" / "soundscape.flac"
COMMANDS = {
    "score": ["score", str(RECORDING), "--out", "results"],
    "listen": ["listen", "--source", str(RECORDING), "--no-realtime"],
    "demo": ["demo"],
}


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA"
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_runtime_that_is_not_here_is_3_with_what_to_install(
    command, tiny_bundle, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime_onnx, "check_driver", lambda: None)
    assert cli.main([*COMMANDS[command], "--bundle", str(tiny_bundle), "--runtime", "cuda"]) == 3
    out, err = capsys.readouterr()
    assert err.startswith("sedge: --runtime cuda: expected CUDAExecutionProvider, found ")
    assert "pip install 'onnxruntime-gpu" in err
    assert (out, err.count("\n"), list(tmp_path.iterdir())) == ("", 1, [])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_runtime_that_nobody_knows_is_wrong_use(command, capsys):
    assert cli.main([*COMMANDS[command], "--runtime", "abacus"]) == 2
    assert "onnx-tensorrt" in capsys.readouterr().err


def test_a_detector_knows_what_was_passed_over(tiny_bundle):
    by_name = open_detector(tiny_bundle, "cpu", "live", threads=2, hop_frames=10)
    assert by_name.runtime_text.endswith("CPUExecutionProvider, threads: 2")
    assert (by_name.context, by_name.hop_frames) == ("live", 10)
    by_itself = open_detector(tiny_bundle, "auto", "clip")
    assert all(
        f"{other.name}" in by_itself.runtime_text and other.reason in by_itself.runtime_text
        for other in by_itself.passed_over
    )


@pytest.mark.parametrize("context", ["clip", "live"])
def test_a_runtime_is_opened_for_what_the_command_asks_of_it(context, tiny_bundle, monkeypatch):
    asked = []

    def recorded(bundle, *arguments):
        asked.extend(arguments)
        return open_runtime(bundle, "cpu")

    monkeypatch.setattr(detector, "open_runtime", recorded)
    open_detector(tiny_bundle, "auto", context)
    assert asked[-1] == context
