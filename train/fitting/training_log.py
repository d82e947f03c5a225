"""The log of a training: a line of JSON for each checkpoint, and the same figures for TensorBoard."""

import json
from collections.abc import Mapping
from pathlib import Path

LOG = "log.jsonl"


class TrainingLog:
    """Writes `log.jsonl` and event files of TensorBoard into a training's folder."""

    def __init__(self, folder: Path, step: int) -> None:
        # TensorBoard takes seconds to import
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / LOG
        self._forget_after(step)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def write(self, step: int, losses: Mapping[str, float], quality: Mapping[str, float] | None) -> None:
        """Losses (and the speed) up to `step`, and the quality of the model if it was measured."""
        line: dict[str, object] = {"step": step, **losses}
        if quality:
            line["quality"] = dict(quality)
        with self._path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        for group, figures in (("loss", losses), ("quality", quality or {})):
            for name, value in figures.items():
                self._board.add_scalar(f"{group}/{name}", value, step)
        self._board.flush()

    def close(self) -> None:
        """Let go of the files."""
        self._board.close()

    def _forget_after(self, step: int) -> None:
        """Drop lines of steps that a kill undid: a resumed training writes them again."""
        if not self._path.is_file():
            return
        kept = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                is_kept = json.loads(line)["step"] <= step
            except (json.JSONDecodeError, KeyError, TypeError):
                continue  # a line that the kill cut short
            if is_kept:
                kept.append(line + "\n")
        self._path.write_text("".join(kept), encoding="utf-8")
