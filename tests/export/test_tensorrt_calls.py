"""Every call of TensorRT's builder is one that its own bindings describe, with its arguments' names."""

import ast
from typing import Any

import pytest

from export.tensorrt.process import REPOSITORY
from tests.export.extract_tensorrt_docs import signatures
from tests.export.recorded_tensorrt import ENUMS, RECORDED, bind

VARIABLES = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "error": "ParserError",
    "logger": "Logger",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
}
"""What each name holds in export/tensorrt/build.py."""
CALLED = {
    "Builder.create_builder_config",
    "Builder.create_network",
    "Builder.create_optimization_profile",
    "Builder.build_serialized_network",
    "IBuilderConfig.add_optimization_profile",
    "IBuilderConfig.clear_flag",
    "IBuilderConfig.create_timing_cache",
    "IBuilderConfig.set_flag",
    "IBuilderConfig.set_timing_cache",
    "IOptimizationProfile.set_shape",
    "IProgressMonitor.__init__",
    "ITimingCache.serialize",
    "OnnxParser.get_error",
    "OnnxParser.parse_from_file",
    "ParserError.desc",
    "ParserError.node_name",
    "ParserError.node_operator",
    "trt.Builder",
    "trt.Logger",
    "trt.OnnxParser",
}


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def class_of(node: ast.expr) -> str | None:
    """The TensorRT class that an expression stands for, by its name."""
    name = dotted(node)
    if name.startswith("trt.") and name.count(".") == 1:
        return name.removeprefix("trt.")
    return VARIABLES.get(name)


@pytest.fixture(scope="module")
def builder_source() -> ast.Module:
    return ast.parse((REPOSITORY / "export" / "tensorrt" / "build.py").read_text(encoding="utf-8"))


def recorded_signatures(call: ast.Call) -> tuple[str, list[dict[str, Any]]] | None:
    """Name and recorded signatures of a call of TensorRT; None for any other call."""
    function = call.func
    if not isinstance(function, ast.Attribute):
        return None
    if dotted(function.value) == "trt":
        return f"trt.{function.attr}", RECORDED["classes"][function.attr]["methods"]["__init__"]
    owner = class_of(function.value)
    return (
        (f"{owner}.{function.attr}", RECORDED["classes"][owner]["methods"][function.attr]) if owner else None
    )


def takes(signature: dict[str, Any], call: ast.Call, is_unbound: bool) -> bool:
    names = [argument["name"] for argument in signature["arguments"]]
    required = {argument["name"] for argument in signature["arguments"] if not argument["optional"]}
    positional = len(call.args) - is_unbound
    given = names[:positional] + [str(keyword.arg) for keyword in call.keywords]
    return positional <= len(names) and len(set(given)) == len(given) and required <= set(given) <= set(names)


def test_every_call_of_tensorrt_is_in_the_docstrings_of_its_bindings(builder_source) -> None:
    seen = set()
    for call in (node for node in ast.walk(builder_source) if isinstance(node, ast.Call)):
        found = recorded_signatures(call)
        if found is None:
            continue
        name, recorded = found
        is_unbound = name == "IProgressMonitor.__init__"  # self is the first argument
        assert any(takes(signature, call, is_unbound) for signature in recorded), ast.unparse(call)
        seen.add(name)
    assert seen == CALLED


def test_every_name_and_property_of_tensorrt_exists(builder_source) -> None:
    for node in (node for node in ast.walk(builder_source) if isinstance(node, ast.Attribute)):
        name, owner = dotted(node), class_of(node.value)
        if name.startswith("trt."):
            parent, _, member = name.removeprefix("trt.").rpartition(".")
            known = {*RECORDED["classes"], *RECORDED["enums"]}
            assert name.removeprefix("trt.") in known or member in members_of(parent), name
        elif owner:
            described = RECORDED["classes"][owner]
            assert node.attr in {*described["methods"], *described["properties"]}, name


def members_of(parent: str) -> list[str]:
    if parent in RECORDED["enums"]:
        return RECORDED["enums"][parent]
    return list(RECORDED["classes"][parent]["methods"])


def test_the_progress_monitor_overrides_what_the_builder_calls(builder_source) -> None:
    (progress,) = (
        node for node in builder_source.body if isinstance(node, ast.ClassDef) and node.name == "Progress"
    )
    described = RECORDED["classes"]["IProgressMonitor"]["methods"]
    methods = {node.name: node for node in progress.body if isinstance(node, ast.FunctionDef)}
    assert set(methods) == set(described)
    for name in set(methods) - {"__init__"}:
        names = [argument.arg for argument in methods[name].args.args][1:]
        assert names == [argument["name"] for argument in described[name][0]["arguments"]]


def test_the_docstrings_come_from_the_wheel_of_the_version_that_is_supported() -> None:
    wheel = RECORDED["wheel"]
    assert wheel["name"] == "tensorrt_cu13_bindings"
    assert wheel["version"].startswith("11.")
    assert len(wheel["sha256"]) == 64
    # network.create says so: TensorRT 11 has strongly typed networks only, and no flags of precision
    assert not {"FP16", "BF16", "INT8"} & set(RECORDED["enums"]["BuilderFlag"])


def test_signatures_are_read_as_pybind11_writes_them() -> None:
    docstring = (
        "set(*args, **kwargs)\nOverloaded function.\n\n"
        "1. set(self: b.tensorrt.A, size: typing.SupportsInt = 0, kind: b.tensorrt.Kind) -> b.tensorrt.B\n\n   Text.\n"
        "2. set(self: b.tensorrt.A) -> nvonnxparser::IParserError\n"
    )
    first, second = signatures(docstring)
    assert first["arguments"] == [
        {"name": "size", "type": "typing.SupportsInt", "optional": True},
        {"name": "kind", "type": "Kind", "optional": False},
    ]
    assert (first["returns"], second["arguments"], second["returns"]) == ("B", [], "ParserError")


def test_the_stand_in_refuses_what_is_not_recorded() -> None:
    flag = RECORDED["classes"]["IBuilderConfig"]["methods"]["set_flag"]
    assert bind("set_flag", flag, (ENUMS["BuilderFlag"]["TF32"],), {})
    for values, named in (
        ((), {}),
        ((1,), {}),
        ((), {"flags": 1}),
        ((ENUMS["MemoryPoolType"]["WORKSPACE"],), {}),
    ):
        with pytest.raises(TypeError):
            bind("set_flag", flag, values, named)
