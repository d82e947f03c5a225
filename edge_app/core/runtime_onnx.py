"""The fused graph on ONNX Runtime."""

import numpy as np
import onnxruntime

from edge_app.core.bundle import MANIFEST_FILE, Bundle
from edge_app.core.errors import BundleError
from edge_app.core.runtime import INPUT_NAMES, OUTPUT_NAMES, FusedInput, FusedOutput


class OnnxRuntime:
    """Runtime on the CPU through ONNX Runtime.

    One or two threads and no spinning: the defaults take every core and keep it busy while
    waiting, which starves the audio thread. Raises BundleError where the graph cannot be loaded.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.graph_path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises a family of its own without a common base
            reason = str(error).splitlines()[0]
            raise BundleError(
                f"{bundle.graph_path}: expected a graph ONNX Runtime can load, found: {reason}"
            ) from error
        self._threads = threads
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
        manifest, shapes = bundle.manifest, {node.name: node.shape for node in self._session.get_inputs()}
        expected = [manifest.log_mel.n_mels, len(manifest.members), len(manifest.event_labels)]
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
