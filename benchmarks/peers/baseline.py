"""The baseline CRNN of DCASE 2021 Task 4 in torch, for what it costs: it is not trained, so it tells nothing."""

from benchmarks.files.baseline_scorer import BaselineScorer
from benchmarks.peers.peer import Clip, Heard, Watch


class BaselinePeer:
    """Features and network on a clip at once; reading the clip, a small part, is in its time."""

    key = "baseline CRNN"
    step_samples = None

    def __init__(self) -> None:
        self._scorer = BaselineScorer()

    @property
    def name(self) -> str:
        """With its library."""
        return f"{self._scorer.name}, untrained"

    def hear(self, clip: Clip, watch: Watch) -> Heard:
        """Nothing that could be judged."""
        with watch.step():
            for _ in self._scorer.scores(clip.path):
                pass
        return Heard()
