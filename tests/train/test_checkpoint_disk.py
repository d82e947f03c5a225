"""A disk that is full, and a GPU's memory that is: one line says so, and what was reached before is kept."""

from pathlib import Path

import pytest
import torch
from torch import nn

from edge_app.core.errors import SedgeError
from tests.train.processes import Moment, run_sedge
from train.fitting.checkpoint import read_tensors, write_tensors
from train.fitting.loop import LossTerms, Step, train
from train.fitting.loop_settings import BatchSettings, LoopSettings

pytestmark = pytest.mark.timeout(1200)  # the first test waits for a whole run
LOOP = LoopSettings(
    steps=4,
    checkpoint_steps=2,
    batch=BatchSettings(synthetic=1),
    precision="float32",
    threads=1,
    device="cpu",
)


@pytest.mark.slow
def test_a_full_disk_costs_no_checkpoint(smoke_copy: Path) -> None:
    run, log = smoke_copy / "smoke", smoke_copy / "log.txt"
    words = ["train", "smoke", "--runs", str(smoke_copy), "--threads", "1", "--until", "fbcrnn"]
    state = run / "fbcrnn/1/state.safetensors"
    full = Moment("fbcrnn/1/state.safetensors", times=1, event="disk full")
    assert run_sedge([*words, "--from", "fbcrnn"], log, full) == 2
    text = log.read_text()
    assert "Traceback" not in text
    assert text.splitlines()[-1] == f"sedge: {state}: cannot be written (File too large)"
    assert not list(state.parent.glob(".*.part"))
    assert read_tensors(state)[1]["step"] == 1
    assert run_sedge(words, log) == 0, log.read_text()[-2000:]
    assert (run / "fbcrnn/1/model.safetensors").is_file()
    assert log.read_text().count("\nfbcrnn step 1/2: ") == 1


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.safetensors"
    write_tensors(path, {"weight": torch.ones(3)}, {"step": 1})

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(
        SedgeError, match=r"state\.safetensors: cannot be written \(No space left on device\)"
    ):
        write_tensors(path, {"weight": torch.zeros(3)}, {"step": 2})
    tensors, about = read_tensors(path)
    assert about == {"step": 1}
    assert torch.equal(tensors["weight"], torch.ones(3))
    assert [found.name for found in tmp_path.iterdir()] == ["state.safetensors"]


class Line(nn.Module):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


def test_a_full_gpu_memory_names_the_settings_that_need_less(tmp_path: Path) -> None:
    model, folder = Line(), tmp_path / "mlfl" / "1"

    def loss_terms(step: Step) -> LossTerms:
        if step.number == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")
        return {"square": model.weight.square().sum()}

    with pytest.raises(SedgeError) as caught:
        train(model, loss_terms, LOOP, folder, "run")
    assert str(caught.value) == (
        "mlfl: expected enough GPU memory, found too little (CUDA out of memory. Tried to allocate 2 GiB.); "
        "lower batch or set shards higher in its loop"
    )
    assert read_tensors(folder / "state.safetensors")[1]["step"] == 2
    trained = train(model, lambda _: {"square": model.weight.square().sum()}, LOOP, folder, "run")
    assert trained.student is model
    assert read_tensors(folder / "state.safetensors")[1]["step"] == 4
