"""Engines that are really built and run: needs an NVIDIA GPU and TensorRT."""

from pathlib import Path

import pytest

from edge_app.core.bundle import load_bundle
from edge_app.core.errors import RuntimeUnavailable
from edge_app.core.runtimes import open_runtime
from export.tensorrt.engine import BuildPlatform, EngineSettings, export_tensorrt, find_platform

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def platform() -> BuildPlatform:
    try:
        return find_platform()
    except RuntimeUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def engines(tmp_path_factory) -> Path:
    """One folder, so that later builds use the timings of earlier ones."""
    return tmp_path_factory.mktemp("engines")


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "fp32"},
        {"precision": "fp16"},
        {"precision": "fp16", "profiles": ("live",)},
        {"precision": "fp32", "profiles": ("clip",), "version_compatible": True},
        {"precision": "fp32", "input": "waveform"},
        {"precision": "fp16", "input": "waveform"},
    ],
    ids=str,
)
def test_an_engine_is_built_and_gives_the_bundles_scores(tiny_bundle, platform, engines, settings) -> None:
    bundle, events = load_bundle(tiny_bundle), []
    wanted = EngineSettings(max_batch=2, **settings)
    built = export_tensorrt(bundle, wanted, platform, engines, events.append)
    assert built.is_new
    assert built.parity.passed
    assert {"phase", "step", "phase_end"} <= {event["type"] for event in events}
    assert not export_tensorrt(bundle, wanted, platform, engines, events.append).is_new
    assert list(engines.glob("timing-*.cache"))


def test_detection_takes_the_engine(tiny_bundle, platform, engines) -> None:
    bundle = load_bundle(tiny_bundle)
    export_tensorrt(bundle, EngineSettings(max_batch=2), platform, engines, lambda _: None)
    assert open_runtime(bundle, "auto", engines=engines).runtime.name.startswith("TensorRT")
