"""Building an engine: a child process that may die, a check before it is kept, a cache that stays whole."""

import importlib.util
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from rich.console import Console

from edge_app.core.bundle import Bundle, load_bundle
from edge_app.core.engine_cache import EngineFile, find_engine
from edge_app.core.errors import EXIT_NO_DEVICE_OR_MODEL, RuntimeUnavailable, SedgeError
from edge_app.core.gpu import Gpu, find_gpu
from edge_app.core.parity import ParityResult
from export.commands.export_tensorrt import BuildProgress
from export.commands.export_tensorrt import main as export_command
from export.tensorrt.engine import BuildPlatform, EngineSettings, engine_graph, engine_key, export_tensorrt
from export.tensorrt.process import BuildRequest, Event, run_build
from tests.export.recorded_tensorrt import CRASH_VARIABLE, RECORDED

PLATFORM = BuildPlatform(
    Gpu("NVIDIA Test 9", (9, 0), 8 * 2**30, "600.1"), tensorrt_version=RECORDED["wheel"]["version"]
)
FLOAT32 = EngineSettings(precision="fp32", max_batch=4)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return load_bundle(tiny_bundle)


@pytest.fixture
def recorded_tensorrt(tmp_path, monkeypatch) -> None:
    """The child process imports as `tensorrt` what takes just the recorded calls."""
    folder = tmp_path / "modules"
    folder.mkdir()
    line = "import sys; from tests.export import recorded_tensorrt; sys.modules[__name__] = recorded_tensorrt.module\n"
    (folder / "tensorrt.py").write_text(line)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def passing(bundle: Bundle, engine: EngineFile) -> ParityResult:
    assert engine.read()
    return ParityResult(1e-6, 1e-4)


def failing(bundle: Bundle, engine: EngineFile) -> ParityResult:
    raise SedgeError("engine: expected the bundle's own scores within 1e-04, found a difference of 5.0e-01")


def build(bundle: Bundle, folder: Path, settings: EngineSettings = FLOAT32, **options: Any) -> Any:
    events = options.pop("events", [])
    options.setdefault("check", passing)
    return export_tensorrt(bundle, settings, PLATFORM, folder, events.append, **options)


def left_in(folder: Path) -> set[str]:
    return {path.suffix or path.name for path in folder.iterdir()}


@pytest.mark.usefixtures("recorded_tensorrt")
def test_an_engine_is_built_in_a_child_process_and_found_again(bundle, tmp_path) -> None:
    events: list[dict] = []
    folder = tmp_path / "engines"
    built = build(bundle, folder, events=events)
    assert built.is_new
    assert events[0] == {"type": "reason", "message": f"{folder}: no engine was found"}
    assert [event["type"] for event in events[1:]] == ["phase", "phase", "step", "phase_end", "phase_end"]
    assert events[2] == {"type": "phase", "phase": "Timing", "parent": "Building", "steps": 1}
    asked = json.loads(built.engine.read())
    assert asked["flags"] == {"TF32": False}
    assert [set(shapes) for shapes in asked["profiles"]] == [
        set(shapes) for shapes in asked["profiles"][:1]
    ] * 2
    assert "[I] timing kernels" in (folder / "build.log").read_text()
    assert left_in(folder) == {".engine", ".json", ".cache", ".log"}
    again = build(bundle, folder, command=("false",))
    assert not again.is_new
    assert again.engine.path == built.engine.path


@pytest.mark.usefixtures("recorded_tensorrt")
@pytest.mark.parametrize("settings", [{"input": "waveform"}, {"precision": "fp16"}, {"profiles": ("clip",)}])
def test_every_kind_of_engine_is_asked_for_with_its_own_inputs(bundle, tmp_path, settings) -> None:
    kind = EngineSettings(**{"precision": "fp32", "version_compatible": True, **settings})
    asked = json.loads(build(bundle, tmp_path / "engines", kind).engine.read())
    assert asked["flags"] == {"TF32": False, "VERSION_COMPATIBLE": True}
    assert len(asked["profiles"]) == len(kind.profiles)
    signal = "waveform" if kind.input == "waveform" else "log_mel"
    assert all(signal in shapes for shapes in asked["profiles"])


@pytest.mark.usefixtures("recorded_tensorrt")
def test_timings_are_kept_and_those_of_another_gpu_left(bundle, tmp_path) -> None:
    folder = tmp_path / "engines"
    build(bundle, folder)
    (cache,) = folder.glob("*.cache")
    assert cache.name == f"timing-nvidia-test-9-{PLATFORM.tensorrt_version}.cache"
    assert cache.read_bytes() == b"+"
    second = build(bundle, folder, FLOAT32.model_copy(update={"max_batch": 5}))
    assert json.loads(second.engine.read())["timing"] == "+"
    cache.write_bytes(b"of another GPU")
    third = build(bundle, folder, FLOAT32.model_copy(update={"max_batch": 6}))
    assert json.loads(third.engine.read())["timing"] == ""


@pytest.mark.usefixtures("recorded_tensorrt")
def test_a_crash_of_the_builder_is_an_error_message(bundle, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(CRASH_VARIABLE, "1")
    folder = tmp_path / "engines"
    with pytest.raises(
        SedgeError, match=r"builder crashed \(SIGABRT\): .*timing kernels.*build\.log"
    ) as caught:
        build(bundle, folder)
    assert "\n" not in str(caught.value)
    assert left_in(folder) == {".log"}


def test_without_tensorrt_the_child_process_says_so(bundle, tmp_path) -> None:
    if importlib.util.find_spec("tensorrt"):
        pytest.skip("TensorRT is installed")
    with pytest.raises(SedgeError, match=r"ended with code 1: .*No module named 'tensorrt'"):
        build(bundle, tmp_path)


@pytest.mark.usefixtures("recorded_tensorrt")
def test_a_graph_that_the_parser_refuses_is_an_error_message(tmp_path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"no graph")
    request = BuildRequest(
        str(tmp_path / "graph.onnx"), str(tmp_path / "engine"), str(tmp_path / "timing"), [], False
    )
    with pytest.raises(SedgeError, match="TensorRT cannot parse the graph"):
        run_build(request, tmp_path / "request.json", tmp_path / "build.log", lambda _: None)
    assert not (tmp_path / "engine").exists()


def test_output_that_is_no_event_is_passed_over(tmp_path) -> None:
    code = "print('hello'); print('[1]'); print('{\"type\": \"step\"}'); open('ENGINE', 'w').close()"
    command = (sys.executable, "-c", code.replace("ENGINE", str(tmp_path / "engine")))
    events: list[dict] = []
    request = BuildRequest("", str(tmp_path / "engine"), "", [], False)
    run_build(request, tmp_path / "request.json", tmp_path / "build.log", events.append, command)
    assert events == [{"type": "step"}]


def test_an_interrupted_export_ends_the_child_process(tmp_path) -> None:
    code = 'import time; print(\'{"type": "step"}\', flush=True); time.sleep(600)'
    request = BuildRequest("", str(tmp_path / "engine"), "", [], False)

    def interrupt(event: dict) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # comes back at once
        run_build(request, tmp_path / "r.json", tmp_path / "b.log", interrupt, (sys.executable, "-c", code))


@pytest.mark.usefixtures("recorded_tensorrt")
def test_an_engine_with_other_scores_is_not_kept(bundle, tmp_path) -> None:
    folder = tmp_path / "engines"
    with pytest.raises(SedgeError, match=r"found a difference of 5\.0e-01"):
        build(bundle, folder, check=failing)
    assert left_in(folder) == {".cache", ".log"}


def damaged(path: Path) -> Iterator[bytes]:
    whole = path.read_bytes()
    yield whole[:-1]
    yield b"\0" + whole[1:]
    yield b""


@pytest.mark.usefixtures("recorded_tensorrt")
def test_a_damaged_engine_is_built_anew(bundle, tmp_path) -> None:
    folder = tmp_path / "engines"
    path = build(bundle, folder).engine.path
    for content in damaged(path):
        path.write_bytes(content)
        events: list[Event] = []
        rebuilt = build(bundle, folder, events=events)
        assert rebuilt.is_new
        assert events[0]["type"] == "reason"
        assert f"{path}: engine_sha256: expected" in events[0]["message"]
        assert find_engine(folder, engine_key(bundle, FLOAT32, PLATFORM)).read()
        path = rebuilt.engine.path


@pytest.mark.usefixtures("recorded_tensorrt")
def test_an_engine_of_another_machine_is_not_taken(bundle, tmp_path) -> None:
    folder = tmp_path / "engines"
    build(bundle, folder)
    for other in (
        BuildPlatform(Gpu("NVIDIA Test 8", (8, 9), 2**30, "600.1"), PLATFORM.tensorrt_version),
        BuildPlatform(PLATFORM.gpu, "11.9.0"),
    ):
        assert export_tensorrt(bundle, FLOAT32, other, folder, lambda _: None, check=passing).is_new


def test_the_graph_is_rounded_for_float16_and_given_samples(bundle) -> None:
    as_it_is = engine_graph(bundle, FLOAT32)
    assert as_it_is == onnx.load(bundle.graph_path)
    half = engine_graph(bundle, EngineSettings(precision="fp16", input="waveform"))
    assert half.graph.input[0].name == "waveform"
    assert {weight.data_type for weight in half.graph.initializer} >= {onnx.TensorProto.FLOAT16}


def test_the_live_profile_comes_first() -> None:
    """A runtime takes the first that fits, and a live step fits the profile of clips as well."""
    assert EngineSettings(profiles=("clip", "live")).profiles == ("live", "clip")


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_rounded_weights_are_not_taken_for_whole_ones(bundle, precision) -> None:
    graph = bundle.manifest.graph.model_construct(**{**dict(bundle.manifest.graph), "precision": precision})
    rounded = Bundle(bundle.folder, bundle.manifest.model_copy(update={"graph": graph}))
    with pytest.raises(SedgeError, match=f"graph.precision: expected float32, .* found {precision}"):
        engine_graph(rounded, FLOAT32)


def has_gpu() -> bool:
    try:
        find_gpu()
    except RuntimeUnavailable:
        return False
    return True


@pytest.mark.skipif(has_gpu(), reason="there is an NVIDIA GPU")
def test_without_a_gpu_the_command_says_what_is_missing_before_any_work(bundle, tmp_path) -> None:
    folder = tmp_path / "engines"
    with pytest.raises(RuntimeUnavailable, match=r"GPU|driver|cuda-python") as caught:
        export_command([str(bundle.folder), "--engines", str(folder)])
    assert caught.value.exit_code == EXIT_NO_DEVICE_OR_MODEL
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profiles", "live,live"], "--profiles: expected each of live, clip once at most, found"),
        (["--profiles", "file"], "--profiles: expected 'live' or 'clip', found 'file'"),
        (["--max-batch", "0"], "--max-batch: expected greater than or equal to 1, found 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments, message) -> None:
    with pytest.raises(SedgeError, match=message):
        export_command(arguments)


def test_progress_goes_line_by_line_where_there_is_no_terminal() -> None:
    console = Console(file=io.StringIO(), width=80)
    events: list[Event] = [
        {"type": "reason", "message": "none[1]"},
        {"type": "phase", "phase": "Building", "parent": None, "steps": 3},
        {"type": "phase", "phase": "Timing", "parent": "Building", "steps": 9},
        {"type": "step", "phase": "Timing", "step": 0},
        {"type": "step", "phase": "never begun", "step": 4},
        {"type": "phase_end", "phase": "Timing"},
        {"type": "phase_end", "phase": "Building"},
        {"type": "phase", "phase": "Serializing", "parent": None, "steps": 1},
    ]
    with BuildProgress.shown(console) as progress:
        for event in events:
            progress.take(event)
    assert console.file.getvalue().split() == ["building:", "none[1]", "Building", "Serializing"]  # type: ignore[attr-defined]
