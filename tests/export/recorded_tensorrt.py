"""TensorRT's builder as its bindings describe it: takes the calls recorded in tensorrt_calls.json and no others.

It stands in for the module `tensorrt` where there is no GPU. Every call is bound to a recorded signature and its
arguments are checked against the recorded types; the "engine" is a JSON text of what was asked.
"""

import enum
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx

RECORDED = json.loads(Path(__file__).with_name("tensorrt_calls.json").read_text(encoding="utf-8"))
CRASH_VARIABLE = "SEDGE_TEST_BUILDER_CRASHES"
Signature = dict[str, Any]

ENUMS: dict[str, Any] = {
    name: enum.Enum(name.replace(".", "_"), members) for name, members in RECORDED["enums"].items()
}
SCALARS: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "str": str,
    "typing.SupportsInt": int,
    "typing_extensions.Buffer": bytes,
    "Dims": (list, tuple),
}


def bind(where: str, signatures: list[Signature], values: tuple, named: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name, of the first signature that takes them."""
    for signature in signatures:
        names = [argument["name"] for argument in signature["arguments"]]
        required = {argument["name"] for argument in signature["arguments"] if not argument["optional"]}
        given = {**dict(zip(names, values, strict=False)), **named}
        if len(values) <= len(names) and set(given) <= set(names) and required <= set(given):
            for argument in signature["arguments"]:
                if argument["name"] in given:
                    check_type(f"{where}({argument['name']})", argument["type"], given[argument["name"]])
            return given
    raise TypeError(f"{where}: no recorded signature takes {values} {named}")


def check_type(where: str, kind: str, value: Any) -> None:
    expected = ENUMS.get(kind) or CLASSES.get(kind) or SCALARS[kind]
    if not isinstance(value, expected):
        raise TypeError(f"{where}: expected {kind}, found {value!r}")


def result(returns: str) -> Any:
    """What a method gives unless it does something of its own."""
    if returns in CLASSES:
        return CLASSES[returns]()
    return {"bool": True, "int": 0, "None": None, "str": ""}[returns]


def method(owner: str, name: str) -> Callable:
    signatures = RECORDED["classes"][owner]["methods"][name]

    def call(self: Any, *values: Any, **named: Any) -> Any:
        arguments = bind(f"{owner}.{name}", signatures, values, named)
        behaviour = BEHAVIOUR.get(f"{owner}.{name}")
        return behaviour(self, **arguments) if behaviour else result(signatures[0]["returns"])

    return call


def set_known(self: Any, name: str, value: Any) -> None:
    known = (
        RECORDED["classes"][type(self).__name__]["properties"] if type(self).__name__ in CLASSES else [name]
    )
    if name not in known and not name.startswith("_"):
        raise AttributeError(f"{type(self).__name__} has no property {name}")
    object.__setattr__(self, name, value)


def parse_from_file(self: Any, model: str) -> bool:
    try:
        parsed = onnx.load(model)
    except Exception:
        object.__setattr__(self, "num_errors", 1)
        return False
    self._network._inputs = {node.name: node.type.tensor_type.shape.dim for node in parsed.graph.input}
    return True


def init_parser(self: Any, network: Any, logger: Any) -> None:
    self._network = network
    object.__setattr__(self, "num_errors", 0)


def set_shape(self: Any, input: str, min: list[int], opt: list[int], max: list[int]) -> None:
    assert all(0 <= low <= usual <= high for low, usual, high in zip(min, opt, max, strict=True)), input
    self.__dict__.setdefault("_shapes", {})[input] = [list(min), list(opt), list(max)]


def add_profile(self: Any, profile: Any) -> int:
    self.__dict__.setdefault("_profiles", []).append(profile._shapes)
    return len(self._profiles) - 1


def change_flag(is_set: bool) -> Callable:
    def change(self: Any, flag: enum.Enum) -> None:
        self.__dict__.setdefault("_flags", {})[flag.name] = is_set

    return change


def set_timing_cache(self: Any, cache: Any, ignore_mismatch: bool) -> bool:
    if cache._content == b"of another GPU":
        return ignore_mismatch
    self._cache = cache
    return True


def create_timing_cache(self: Any, serialized_timing_cache: bytes) -> Any:
    cache = CLASSES["ITimingCache"]()
    cache._content = serialized_timing_cache
    return cache


def check_shapes(network: Any, shapes: dict[str, list[list[int]]]) -> None:
    """A profile has each input, with its rank and its fixed sizes."""
    assert set(shapes) == set(network._inputs)
    for name, dims in network._inputs.items():
        for shape in shapes[name]:
            assert len(shape) == len(dims), name
            for size, dim in zip(shape, dims, strict=True):
                assert not dim.dim_value or dim.dim_value == size, (name, shape)


def build_serialized_network(self: Any, network: Any, config: Any) -> Any:
    monitor = config.progress_monitor
    monitor.phase_start("Building", None, 2)
    print("[I] timing kernels")
    if os.environ.get(CRASH_VARIABLE):
        os.abort()
    for shapes in config._profiles:
        check_shapes(network, shapes)
    monitor.phase_start("Timing", "Building", 1)
    assert monitor.step_complete("Timing", 0)
    monitor.phase_finish("Timing")
    monitor.phase_finish("Building")
    asked = {"profiles": config._profiles, "flags": config._flags, "timing": config._cache._content.decode()}
    return CLASSES["IHostMemory"](json.dumps(asked).encode())


BEHAVIOUR: dict[str, Callable] = {
    "Builder.build_serialized_network": build_serialized_network,
    "IBuilderConfig.add_optimization_profile": add_profile,
    "IBuilderConfig.clear_flag": change_flag(False),
    "IBuilderConfig.create_timing_cache": create_timing_cache,
    "IBuilderConfig.set_flag": change_flag(True),
    "IBuilderConfig.set_timing_cache": set_timing_cache,
    "IOptimizationProfile.set_shape": set_shape,
    "ITimingCache.serialize": lambda self: CLASSES["IHostMemory"](self._content + b"+"),
    "OnnxParser.__init__": init_parser,
    "OnnxParser.parse_from_file": parse_from_file,
}
CLASSES: dict[str, type] = {}
for class_name in sorted(RECORDED["classes"], key=lambda name: len(RECORDED["classes"][name]["bases"])):
    described = RECORDED["classes"][class_name]
    bases = tuple(CLASSES[base] for base in described["bases"]) or (
        (bytes,) if class_name == "IHostMemory" else ()
    )
    methods = {name: method(class_name, name) for name in described["methods"]}
    CLASSES[class_name] = type(class_name, bases, {**methods, "__setattr__": set_known})
for enum_name, members in ENUMS.items():
    owner, _, inner = enum_name.rpartition(".")
    if owner:
        setattr(CLASSES[owner], inner, members)
module = SimpleNamespace(
    __version__=RECORDED["wheel"]["version"],
    **CLASSES,
    **{name: members for name, members in ENUMS.items() if "." not in name},
)
