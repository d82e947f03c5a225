"""What scores the recordings of `sedge score`, by its arguments and by what runs the model."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_app.commands import score_workers
from edge_app.commands.detector import chosen_runtime, open_detector
from edge_app.commands.score_args import ScoreArgs
from edge_app.commands.score_workers import make_workers, settings_of, usable_cores, worker_count
from edge_app.core.runtimes import PassedOver
from edge_app.scoring.local_workers import LocalWorkers
from edge_app.scoring.threads import ThreadWorkers

ARGS = ScoreArgs((Path("a.wav"),), Path("out"))


def test_auto_is_known_by_what_it_passed_over() -> None:
    cuda, tensorrt = PassedOver("cuda", "no"), PassedOver("tensorrt", "no")
    assert chosen_runtime("auto", []) == "tensorrt"
    assert chosen_runtime("auto", [tensorrt]) == "cuda"
    assert chosen_runtime("auto", [tensorrt, cuda]) == "cpu"
    assert chosen_runtime("onnx-tensorrt", []) == "onnx-tensorrt"


def test_cores_are_shared_by_workers_and_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_workers, "usable_cores", lambda: 8)
    assert worker_count(ARGS, 100) == 8
    assert worker_count(ARGS, 3) == 3
    assert worker_count(replace(ARGS, threads=3), 100) == 2
    assert worker_count(replace(ARGS, threads=16), 100) == 1
    assert worker_count(replace(ARGS, workers=20), 100) == 20
    assert worker_count(replace(ARGS, workers=0), 100) == 0
    assert usable_cores() >= 1


def test_a_gpu_is_used_by_threads_and_a_processor_by_processes(tiny_bundle: Path) -> None:
    args = replace(ARGS, bundle=tiny_bundle, runtime="cpu")
    detector = open_detector(tiny_bundle, "cpu", "clip")
    settings = settings_of(args, detector)
    assert (settings.runtime, settings.hop_frames, settings.bundle) == ("cpu", None, tiny_bundle.absolute())
    assert isinstance(make_workers(args, settings, detector, 5), LocalWorkers)
    assert isinstance(make_workers(replace(args, workers=0), settings, detector, 5), ThreadWorkers)
    assert isinstance(make_workers(args, replace(settings, runtime="cuda"), detector, 5), ThreadWorkers)


def test_the_hop_of_the_model_is_handed_to_workers(tiny_bundle: Path) -> None:
    args = replace(ARGS, bundle=tiny_bundle, runtime="cpu", context="live", threads=2, stall_s=5.0)
    detector = open_detector(tiny_bundle, "cpu", "live")
    settings = settings_of(args, detector)
    assert settings.hop_frames == detector.hop_frames
    assert (settings.context, settings.threads, settings.stall_s) == ("live", 2, 5.0)
