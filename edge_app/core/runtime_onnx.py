"""The fused graph on ONNX Runtime."""

import contextlib
import io
from typing import Any, Literal

import numpy as np
import onnxruntime

from edge_app.core.bundle import MANIFEST_FILE, Bundle
from edge_app.core.errors import BundleError, RuntimeUnavailable
from edge_app.core.gpu import check_driver, find_gpu
from edge_app.core.runtime import INPUT_NAMES, OUTPUT_NAMES, FusedInput, FusedOutput
from edge_app.core.tag_memory import HostTagMemory

Provider = Literal["cpu", "cuda", "onnx-tensorrt"]

CUDA_OPTIONS = {
    "use_tf32": "0",  # precision is the graph's own; TensorFloat-32 would fail the parity check of float32
    "cudnn_conv_algo_search": "HEURISTIC",  # the exhaustive one starts anew for every length of a signal's end
}
PROVIDERS: dict[Provider, dict[str, dict[str, str]]] = {
    "cpu": {"CPUExecutionProvider": {}},
    "cuda": {"CUDAExecutionProvider": CUDA_OPTIONS},
    "onnx-tensorrt": {"TensorrtExecutionProvider": {}, "CUDAExecutionProvider": CUDA_OPTIONS},
}
"""What ONNX Runtime calls them, with their options, in the order in which they are offered a node."""
GPU_ADVICE = "for an NVIDIA GPU: pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]' (never both)"
LIBRARY_ADVICE = "install an NVIDIA driver, CUDA and cuDNN of the versions that it was built with"


class OnnxRuntime:
    """Runtime through ONNX Runtime, on the CPU or an NVIDIA GPU.

    One or two threads and no spinning: the defaults take every core and keep it busy while
    waiting, which starves the audio thread. Raises BundleError where the graph cannot be loaded, and
    RuntimeUnavailable where ONNX Runtime does not take the provider: it never runs on another.
    """

    def __init__(self, bundle: Bundle, threads: int = 1, provider: Provider = "cpu") -> None:
        self._session = _open_session(bundle, threads, provider)
        self._threads = threads
        self._shape = (len(bundle.manifest.members), len(bundle.manifest.event_labels))
        self._check_names(bundle)
        self._check_shapes(bundle)

    def _check_names(self, bundle: Bundle) -> None:
        inputs = tuple(node.name for node in self._session.get_inputs())
        outputs = tuple(node.name for node in self._session.get_outputs())
        if inputs != INPUT_NAMES or outputs != OUTPUT_NAMES:
            raise BundleError(
                f"{bundle.graph_path}: expected inputs {INPUT_NAMES} and outputs {OUTPUT_NAMES}, "
                f"found {inputs} and {outputs}"
            )

    def _check_shapes(self, bundle: Bundle) -> None:
        shapes = {node.name: node.shape for node in self._session.get_inputs()}
        expected = [bundle.manifest.log_mel.n_mels, *self._shape]
        found = [shapes["log_mel"][2], shapes["memory_logit"][1], shapes["memory_logit"][3]]
        if found != expected:
            raise BundleError(
                f"{bundle.graph_path}: expected the mel bands, members and labels of {MANIFEST_FILE}, {expected}, "
                f"found {found}"
            )

    @property
    def name(self) -> str:
        """What runs, in words."""
        provider = self._session.get_providers()[0]
        return f"ONNX Runtime {onnxruntime.__version__}, {provider}, threads: {self._threads}"

    def run(self, call: FusedInput) -> FusedOutput:
        """Run the graph once."""
        feed = {name: getattr(call, name) for name in INPUT_NAMES}
        return FusedOutput(*(np.asarray(output) for output in self._session.run(OUTPUT_NAMES, feed)))

    def tag_memory(self, slots: int) -> HostTagMemory:
        """An empty memory of `slots` frames for one gapless stretch."""
        return HostTagMemory(self, slots, *self._shape)


def _open_session(bundle: Bundle, threads: int, provider: Provider) -> Any:
    check_provider(provider)
    if provider != "cpu":
        _load_libraries()
    wanted = PROVIDERS[provider]
    try:
        session = onnxruntime.InferenceSession(
            bundle.graph_path, _options(threads), providers=list(wanted.items()), enable_fallback=False
        )
    except Exception as error:  # onnxruntime raises a family of its own without a common base
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if provider != "cpu":
            raise RuntimeUnavailable(f"ONNX Runtime cannot open the graph there: {reason}") from error
        raise BundleError(
            f"{bundle.graph_path}: expected a graph ONNX Runtime can load, found: {reason}"
        ) from error
    _check_taken(list(wanted), session.get_providers())
    return session


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def check_provider(provider: Provider) -> None:
    """Raise RuntimeUnavailable where the GPU is not there, or ONNX Runtime was built without what runs on it."""
    if provider == "cuda":
        check_driver()
    if provider == "onnx-tensorrt":  # TensorRT without a driver takes the process with it
        find_gpu()
    # ONNX Runtime would pass over others with a warning.
    built_with = onnxruntime.get_available_providers()
    for name in PROVIDERS[provider]:
        if name not in built_with:
            raise RuntimeUnavailable(
                f"expected {name}, found onnxruntime {onnxruntime.__version__} built without it; {GPU_ADVICE}"
            )


def _load_libraries() -> None:
    """Load CUDA's Python packages, which are not searched by themselves."""
    # What they lack may be elsewhere, so a message misleads.
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()


def _check_taken(wanted: list[str], taken: list[str]) -> None:
    """Whether the session has the providers: where a library is missing, ONNX Runtime goes on without."""
    for name in wanted:
        if name not in taken:
            raise RuntimeUnavailable(
                f"expected ONNX Runtime to take {name}, found only {', '.join(taken)}; {LIBRARY_ADVICE}"
            )
