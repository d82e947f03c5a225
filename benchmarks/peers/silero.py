"""silero-vad, a voice activity detector, with the model and the settings that its package comes with."""

from importlib.metadata import version

from benchmarks.peers.peer import Clip, Heard, PeerMissingError, Watch, on_frames, whole_steps
from benchmarks.recording import SAMPLE_RATE
from edge_app.core.events import Event

STEP_SAMPLES = 512


class SileroPeer:
    """The package's ONNX model on ONNX Runtime; it always takes one thread.

    Raises PeerMissingError without the package.
    """

    key = "silero-vad"
    step_samples = STEP_SAMPLES

    def __init__(self, label: str) -> None:
        try:
            import silero_vad
            import torch
        except ImportError as error:
            raise PeerMissingError(f"silero-vad: not installed ({error}): pip install silero-vad") from error
        self._label = label
        self._model = silero_vad.load_silero_vad(onnx=True)
        self._timestamps = silero_vad.get_speech_timestamps
        self._tensor = torch.from_numpy

    @property
    def name(self) -> str:
        """With its version."""
        return f"silero-vad {version('silero-vad')}, ONNX Runtime, one thread"

    def hear(self, clip: Clip, watch: Watch) -> Heard:
        """Scores of steps of 32 ms under the watch; events by the package's own rules and defaults, beside it."""
        self._model.reset_states()
        scores: list[float] = []
        for step in whole_steps(clip, STEP_SAMPLES):
            with watch.step():
                scores.append(self._model(self._tensor(step), SAMPLE_RATE).item())
        spans = self._timestamps(self._tensor(clip.samples), self._model, sampling_rate=SAMPLE_RATE)
        events = [
            Event(span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE, self._label) for span in spans
        ]
        return Heard(events, on_frames(scores, STEP_SAMPLES, clip.n_frames), max(scores))
