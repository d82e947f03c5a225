"""`sedge bench-memory`: that it measures the command and nothing else, and that its figures agree."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.files import memory, peak
from edge_app import cli
from edge_app.core.errors import SedgeError

pytestmark = pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not tell a process's peak")

MIB = 2**20


def measured(tmp_path, code: str) -> dict:
    report = tmp_path / "peak.json"
    python = [sys.executable, "-S", "-c", code]
    subprocess.run([sys.executable, "-S", peak.__file__, str(report), *python], check=True)
    return json.loads(report.read_text())


def test_peak_is_the_command_s_own(tmp_path):
    # held here, so that a helper which inherits the size of this process is found out
    ballast = bytearray(b"x" * (96 * MIB))
    idle = measured(tmp_path, "pass")
    busy = measured(tmp_path, f"block = bytearray(b'x') * (64 * {MIB}); del block")
    assert idle["exit_code"] == busy["exit_code"] == 0
    assert idle["peak_bytes"] < 64 * MIB < len(ballast)
    assert 62 * MIB < busy["peak_bytes"] - idle["peak_bytes"] < 80 * MIB


def test_exit_code_of_the_command_is_told(tmp_path):
    assert measured(tmp_path, "raise SystemExit(3)")["exit_code"] == 3


def test_growth_is_the_difference():
    short, long = memory.Run(60, 100, 1.0, 1.0), memory.Run(600, 90, 9.0, 9.0)
    assert memory.growth(short, long).growth_bytes == -10


def test_figures_agree(tiny_bundle, tmp_path, capsys):
    path = tmp_path / "memory.json"
    words = ["--bundle", tiny_bundle, "--minutes", 0.1, "--short-minutes", 0.05, "--json", path]
    assert cli.main(["bench-memory", *map(str, words)]) == 0
    report, (out, err) = json.loads(path.read_text()), capsys.readouterr()
    assert list(report["commands"]) == ["score", "listen --no-realtime"]
    for command, figures in report["commands"].items():
        assert (figures["short"]["audio_s"], figures["long"]["audio_s"]) == pytest.approx((3, 6))
        # NumPy and ONNX Runtime alone need more than this
        assert figures["short"]["peak_bytes"] > 20 * MIB
        assert figures["growth_bytes"] == figures["long"]["peak_bytes"] - figures["short"]["peak_bytes"]
        assert f"{command} on 0.1 minutes" in err
        assert f"{figures['long']['peak_bytes'] / MIB:.1f}" in out


def test_command_that_fails_is_told_in_one_line(tmp_path):
    with pytest.raises(SedgeError, match="sedge score: expected exit code 0, found 2: sedge: ") as caught:
        memory.run_sedge(["score", "--out", str(tmp_path)], 1.0, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "5"], "--short-minutes: expected less than the long recording's 5, found 10"),
        (["--hours", "0"], "--hours: expected more than 0, found 0"),
    ],
)
def test_wrong_use_is_told_in_one_line(words, message, capsys):
    assert cli.main(["bench-memory", *words]) == 2
    assert capsys.readouterr().err.startswith(f"sedge: {message}")
