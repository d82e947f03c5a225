"""sherpa-onnx, a runtime for speech models, with a voice activity detector or an audio tagger that it is given.

It ends the process where a model file is damaged, so nothing is started unless the folder looks right.
"""

import re
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Clip, Heard, Peer, PeerMissingError, Watch, whole_steps
from benchmarks.recording import SAMPLE_RATE
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event

LABELS_FILE = "class_labels_indices.csv"
EXPECTED = (
    f"silero_vad*.onnx or ten-vad*.onnx for voice activity, or a CED tagger: model*.onnx with {LABELS_FILE}"
)
MOST_TAGS = 10_000
BUFFER_S = 60
LABEL_LINE = re.compile(r'\d+,[^,]+,"(.+)"')


def sherpa_peer(folder: Path | None, label: str, threads: int) -> Peer:
    """What the folder holds, as a system.

    Raises PeerMissingError without a folder or the package, SedgeError where the folder holds none of the models.
    """
    if folder is None:
        raise PeerMissingError("sherpa-onnx: no model given: --sherpa-model FOLDER")
    try:
        import sherpa_onnx
    except ImportError as error:
        raise PeerMissingError(f"sherpa-onnx: not installed ({error}): pip install sherpa-onnx") from error
    for pattern, kind in (("silero_vad*.onnx", "silero_vad"), ("ten-vad*.onnx", "ten_vad")):
        models = sorted(folder.glob(pattern))
        if models:
            return SherpaVad(sherpa_onnx, kind, models[0], label, threads)
    models = sorted(folder.glob("model*.onnx"))
    if models and (folder / LABELS_FILE).is_file():
        return SherpaTagger(sherpa_onnx, models[0], folder / LABELS_FILE, label, threads)
    raise SedgeError(f"{folder}: expected {EXPECTED}; found none of them")


class SherpaVad:
    """A voice activity detector in sherpa-onnx, with the settings that it comes with.

    Raises SedgeError for settings that sherpa-onnx refuses.
    """

    key = "sherpa-onnx"

    def __init__(self, sherpa_onnx: Any, kind: str, model: Path, label: str, threads: int) -> None:
        config = sherpa_onnx.VadModelConfig(sample_rate=SAMPLE_RATE, num_threads=threads)
        of_kind = getattr(config, kind)
        of_kind.model = str(model)
        if not config.validate():
            raise SedgeError(f"{model}: expected a model that sherpa-onnx takes, found another")
        self.step_samples: int | None = of_kind.window_size
        self._step = int(of_kind.window_size)
        self._label = label
        self.name = f"sherpa-onnx {sherpa_onnx.__version__}, {model.name}, threads: {threads}"
        self._detector = sherpa_onnx.VoiceActivityDetector(config, buffer_size_in_seconds=BUFFER_S)

    def hear(self, clip: Clip, watch: Watch) -> Heard:
        """Spans as the detector ends them; it tells no scores."""
        self._detector.reset()
        spans: list[tuple[int, int]] = []
        for step in whole_steps(clip, self._step):
            with watch.step():
                self._detector.accept_waveform(step)
            self._take(spans)
        with watch.step(whole=False):
            self._detector.flush()
        self._take(spans)
        return Heard([Event(first / SAMPLE_RATE, end / SAMPLE_RATE, self._label) for first, end in spans])

    def _take(self, spans: list[tuple[int, int]]) -> None:
        while not self._detector.empty():
            span = self._detector.front
            spans.append((span.start, span.start + len(span.samples)))
            self._detector.pop()


class SherpaTagger:
    """An audio tagger of the CED family in sherpa-onnx, a clip at once.

    Raises SedgeError for settings that sherpa-onnx refuses, and for a model without the label.
    """

    key = "sherpa-onnx"
    step_samples = None

    def __init__(self, sherpa_onnx: Any, model: Path, labels: Path, label: str, threads: int) -> None:
        if label not in _display_names(labels):
            raise SedgeError(f"{labels}: expected the label {label}, found none of that name")
        config = sherpa_onnx.AudioTaggingConfig(
            model=sherpa_onnx.AudioTaggingModelConfig(ced=str(model), num_threads=threads), labels=str(labels)
        )
        if not config.validate():
            raise SedgeError(f"{model}: expected a model that sherpa-onnx takes, found another")
        self._tagger = sherpa_onnx.AudioTagging(config)
        self._label, self._model = label, model
        self.name = f"sherpa-onnx {sherpa_onnx.__version__}, {model.name}, threads: {threads}"

    def hear(self, clip: Clip, watch: Watch) -> Heard:
        """One score of the clip."""
        with watch.step():
            stream = self._tagger.create_stream()
            stream.accept_waveform(SAMPLE_RATE, clip.samples)
            tags = self._compute(stream)
        return Heard(tag=next((float(tag.prob) for tag in tags if tag.name == self._label), 0.0))

    def _compute(self, stream: Any) -> Any:
        try:
            return self._tagger.compute(stream, top_k=MOST_TAGS)
        except RuntimeError as error:
            raise SedgeError(
                f"{self._model}: expected a CED model, found: {' '.join(str(error).split())}"
            ) from error


def _display_names(labels: Path) -> set[str]:
    """The labels of a table as AudioSet's: a head, then lines of a number, an identifier and a name in quotes."""
    try:
        lines = labels.read_text(encoding="utf-8").splitlines()[1:]
    except UnicodeDecodeError as error:
        raise SedgeError(f"{labels}: expected UTF-8, found other bytes ({error})") from error
    matches = [LABEL_LINE.fullmatch(line) for line in lines]
    wrong = next((line for line, match in zip(lines, matches, strict=True) if not match), None)
    if wrong is not None:  # sherpa-onnx would end the process
        raise SedgeError(f'{labels}: expected lines of number,identifier,"name", found {wrong!r}')
    return {match[1] for match in matches if match}
