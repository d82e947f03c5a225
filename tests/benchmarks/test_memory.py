"""`sedge bench-memory`: that it measures the command and nothing else, and that its figures agree."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.files import memory, peak, process_tree
from benchmarks.files.process_tree import TreeWatch
from benchmarks.report import read_result
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


def test_memory_of_all_descendants_counts_together(tmp_path):
    child = f"import sys; block = bytearray(b'x') * (40 * {MIB}); print(flush=True); sys.stdin.read()"
    parent = (
        "import subprocess, sys\n"
        f"words = [sys.executable, '-S', '-c', {child!r}]\n"
        "pair = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]\n"
        "for each in pair: each.stdout.readline()\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
        "for each in pair: each.communicate()\n"
    )
    words = [sys.executable, "-S", "-c", parent]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "\n"  # both hold their memory now
        seen = TreeWatch(process.pid)
        seen.look()
        process.stdin.close()
    assert seen.peak_processes == 2
    assert 80 * MIB < seen.peak_bytes < 120 * MIB
    seen.look()  # of a process that has ended
    assert seen.peak_processes == 2


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this system does not sum it up")
def test_memory_of_a_process_is_the_sum_of_its_mappings(monkeypatch):
    block = bytearray(b"x" * (32 * MIB))
    held = process_tree.proportional_bytes(os.getpid())
    assert held is not None
    assert held == pytest.approx(psutil.Process().memory_full_info().pss, rel=0.02)
    assert held > len(block)
    assert process_tree.proportional_bytes(0) is None
    monkeypatch.setattr(process_tree, "PROCESSES", Path("/nowhere"))  # as on other systems
    assert process_tree.proportional_bytes(os.getpid()) is None


def run_of(audio_s: float, peak_bytes: int) -> memory.Run:
    return memory.Run(audio_s, peak_bytes, peak_bytes, 1, 1.0, 1.0)


def test_growth_is_the_difference():
    assert memory.growth(run_of(60, 100), run_of(600, 90)).growth_bytes == -10


def bench(tiny_bundle, path, capsys, *words):
    fixed = ["--bundle", tiny_bundle, "--minutes", 0.2, "--short-minutes", 0.05, "--json", path]
    assert cli.main(["bench-memory", *map(str, fixed), *words]) == 0
    result, (out, err) = read_result(path), capsys.readouterr()
    values = {figure.name: figure.value for figure in result.figures}
    for command, figures in result.details.items():
        assert (figures["short"]["audio_s"], figures["long"]["audio_s"]) == pytest.approx((3, 12))
        # NumPy and ONNX Runtime alone need more than this
        assert figures["short"]["peak_bytes"] > 20 * MIB
        assert figures["growth_bytes"] == figures["long"]["peak_bytes"] - figures["short"]["peak_bytes"]
        assert figures["long"]["together_bytes"] >= figures["long"]["peak_bytes"]
        assert f"{command} on 0.2 minutes" in err
        assert f"{figures['long']['peak_bytes'] / MIB:.1f}" in out
        assert values[f"{command} / long / peak"] == pytest.approx(figures["long"]["peak_bytes"] / MIB)
    return result.details


def test_figures_agree(tiny_bundle, tmp_path, capsys):
    commands = bench(tiny_bundle, tmp_path / "memory.json", capsys, "--commands", "listen")
    assert list(commands) == ["listen --no-realtime"]
    assert commands["listen --no-realtime"]["long"]["processes"] == 1


@pytest.mark.slow
def test_workers_are_processes_that_count(tiny_bundle, tmp_path, capsys):
    commands = bench(tiny_bundle, tmp_path / "memory.json", capsys)
    assert list(commands) == ["score", "score --workers 2", "listen --no-realtime"]
    several = commands["score --workers 2"]["long"]
    assert several["processes"] >= 3  # the command itself and both workers
    assert several["together_bytes"] > commands["score"]["long"]["peak_bytes"]


def test_command_that_fails_is_told_in_one_line(tmp_path):
    with pytest.raises(SedgeError, match="sedge score: expected exit code 0, found 2: sedge: ") as caught:
        memory.run_sedge(["score", "--out", str(tmp_path)], 1.0, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "5"], "--short-minutes: expected less than the long recording's 5, found 10"),
        (["--hours", "0"], "--hours: expected more than 0, found 0"),
        (["--workers", "0"], "--workers: expected more than 0, found 0"),
        (["--commands"], "--commands: expected some of score, score-workers, listen, found none"),
    ],
)
def test_wrong_use_is_told_in_one_line(words, message, capsys):
    assert cli.main(["bench-memory", *words]) == 2
    assert capsys.readouterr().err.startswith(f"sedge: {message}")
