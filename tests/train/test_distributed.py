"""Several processes train the model that one process does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.train.shared_training import shared_training
from train.fitting.checkpoint import read_tensors

REPOSITORY = Path(__file__).resolve().parents[2]


def torchrun(processes: int, folder: Path, shards: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [*command, "-m", "tests.train.shared_training", str(folder), str(shards)],
        cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def test_two_processes_train_what_one_does(tmp_path) -> None:
    shared_training(tmp_path / "one" / "0", shards=2)
    result = torchrun(2, tmp_path / "two" / "0", shards=2)
    assert result.returncode == 0, result.stderr
    one, two = (read_tensors(tmp_path / name / "0" / "state.safetensors") for name in ("one", "two"))
    assert one[1] == two[1]
    for name, tensor in one[0].items():
        if name.endswith("num_batches_tracked"):  # counts the shards of a process; nothing reads it
            continue
        torch.testing.assert_close(two[0][name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    logs = [(tmp_path / name / "0" / "log.jsonl").read_text().splitlines() for name in ("one", "two")]
    assert len(logs[0]) == len(logs[1]) == 2, "one process writes the log"
    for line, other in zip(*(map(json.loads, log) for log in logs), strict=True):
        assert line["clip"] == pytest.approx(other["clip"], rel=1e-5)


def test_shards_change_batch_statistics_and_no_more(tmp_path) -> None:
    shared_training(tmp_path / "whole" / "0", shards=1)
    shared_training(tmp_path / "parts" / "0", shards=2)
    whole, parts = (
        read_tensors(tmp_path / name / "0" / "state.safetensors")[0] for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    weight = "model/blocks.0.conv.weight"
    assert not torch.equal(whole[weight], parts[weight])
    torch.testing.assert_close(whole[weight], parts[weight], rtol=0, atol=0.05)


def test_shards_that_the_processes_cannot_share_are_refused(tmp_path) -> None:
    result = torchrun(2, tmp_path / "run" / "0", shards=1)
    assert result.returncode != 0
    assert "shards: expected a multiple of the 2 processes, found 1" in result.stderr
