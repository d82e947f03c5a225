"""Where the time of scoring a file goes: the ladder of the detector, rung by rung, with a stopwatch on each."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_app.core.audio import MonoResampler, Recording
from edge_app.core.decode import Decoder, Message, closed_events
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.hops import ScoredHop
from edge_app.formats.frame_scores import FrameScoreWriter
from edge_app.scoring.facts import DetectorFacts
from edge_app.scoring.journal import Result
from edge_app.scoring.tables import write_tables

STAGES = ("decode audio", "resample", "features", "inference", "find events", "write scores", "write tables")

Given = ParamSpec("Given")
Made = TypeVar("Made")
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds by stage; what no stage counts is the difference to the whole."""

    stages: dict[str, float]
    whole_s: float
    audio_s: float

    @property
    def other_s(self) -> float:
        """Seconds in none of the stages."""
        return max(0.0, self.whole_s - sum(self.stages.values()))


class StagedScoring:
    """Scores files one after the other, with their frame scores and the table of their events written in a folder."""

    def __init__(self, detector: Detector, folder: Path, clock: Clock = time.perf_counter) -> None:
        self._detector, self._folder, self._clock = detector, folder, clock
        self._spent = dict.fromkeys(STAGES, 0.0)

    def run(self, paths: list[Path]) -> StageTimes:
        """Score the files and give the seconds. Raises SedgeError where one cannot be read or written."""
        begin = self._clock()
        results = [self._score(path) for path in paths]
        facts = DetectorFacts.of(self._detector)
        written = self._timed("write tables", write_tables, self._folder, ["desed"], results, facts)
        if written.errors:
            raise SedgeError(written.errors[0])
        audio_s = sum(result.duration_s for result in results)
        return StageTimes(dict(self._spent), self._clock() - begin, audio_s)

    def _score(self, path: Path) -> Result:
        detector, n_samples = self._detector, 0
        features, scorer = detector.features(), detector.scorer()
        decoder = Decoder(detector.event_labels, detector.bundle.manifest.decoding, keep_smoothed=True)
        messages: list[Message] = []
        with self._writer(path) as writer:

            def take(hops: list[ScoredHop]) -> None:
                for hop in hops:
                    messages.extend(self._timed("find events", decoder.push, hop.scores))
                    self._timed("write scores", writer.write, hop.scores)

            for block in self._blocks(path):
                n_samples += len(block)
                frames = self._timed("features", features.push, block)
                take(self._timed("inference", scorer.push, frames))
            frames = self._timed("features", features.flush)
            take(self._timed("inference", scorer.push, frames))
            take(self._timed("inference", scorer.finish))
            messages += self._timed("find events", decoder.flush)
            begin = self._clock()
        # the last of it is written where the file is closed
        self._spent["write scores"] += self._clock() - begin
        events = closed_events([message for message in messages if message.type == "closed"])
        rate = detector.bundle.manifest.log_mel.sample_rate
        return Result(path.name, path, n_samples / rate, tuple(events))

    def _writer(self, path: Path) -> FrameScoreWriter:
        return FrameScoreWriter(self._folder / f"{path.stem}.tsv", self._detector.event_labels)

    def _blocks(self, path: Path) -> Iterator[NDArray[np.float32]]:
        """A recording as mono samples at the model's rate, in blocks of shape (sample,)."""
        rate = self._detector.bundle.manifest.log_mel.sample_rate
        recording = self._timed("decode audio", Recording, path)
        resampler = MonoResampler(recording.sample_rate, rate)
        blocks = recording.blocks()
        while (block := self._timed("decode audio", next, blocks, None)) is not None:
            yield self._timed("resample", resampler.push, block)
        yield self._timed("resample", resampler.flush)

    def _timed(
        self, stage: str, work: Callable[Given, Made], *arguments: Given.args, **options: Given.kwargs
    ) -> Made:
        begin = self._clock()
        result = work(*arguments, **options)
        self._spent[stage] += self._clock() - begin
        return result
