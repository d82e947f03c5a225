"""Workers for a cluster: one of its machines holds on to what it is given, until that machine is gone."""

from collections.abc import Callable
from pathlib import Path

import ray

from edge_app.scoring.task import Outcome, Progress, ScoreSettings, Task
from tests.scoring.planted import PlantedWorker, begin_scores, wait_forever

DOOMED, BEGUN = "doomed", "begun"


def doom(folder: Path, node_id: str) -> None:
    """Name the machine that shall hold on to recordings of a folder."""
    (folder / DOOMED).write_text(node_id)


class HeldWorker(PlantedWorker):
    """On the doomed machine a recording is begun, and never done."""

    def score(self, task: Task, tell: Callable[[Progress], None]) -> Outcome:
        folder = task.path.parent.parent
        if ray.get_runtime_context().get_node_id() == (folder / DOOMED).read_text():
            begin_scores(task)
            (folder / BEGUN).touch()
            wait_forever()
        return super().score(task, tell)


class WatchedWorker(PlantedWorker):
    """The watch over its process ends it where a recording hangs."""

    def __init__(self, settings: ScoreSettings, *, is_stopped: Callable[[], bool] = lambda: False) -> None:
        super().__init__(settings, is_stopped=is_stopped)
        self._stall_s = settings.stall_s

    def score(self, task: Task, tell: Callable[[Progress], None]) -> Outcome:
        self._watch()
        return super().score(task, tell)
