"""What the program calls of CUDA and TensorRT, read out of its own source, against the real packages.

No GPU is needed: nothing is called. The lean runtime has the full package's runtime classes.
"""

import ast
import importlib
import inspect
import platform
import re
import sys
from enum import EnumType
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import edge_app.core
from tests.core import simulated_tensorrt
from tests.core.simulated_gpu import Cuda


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


CORE = Path(edge_app.core.__file__).parent
ENGINE_FILE = CORE / "tensorrt_engine.py"
CUDA_NAME = re.compile("cuda[A-Z]")
TENSORRT_CLASSES = [
    node.target.id
    for node in parse(ENGINE_FILE).body
    if isinstance(node, ast.AnnAssign)
    and isinstance(node.target, ast.Name)
    and ast.unparse(node.annotation) == "TypeAlias"
]
"""The aliases that the source declares, named like the real classes."""
MODULE = ("module", "self._module", "package.module")
"""How the source spells TensorRT's module."""


def real_module(name: str) -> ModuleType:
    """A package of the dev extra; where there is no wheel of it the test is skipped."""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return importlib.import_module(name)
    return pytest.importorskip(name)


@pytest.fixture(scope="module")
def cudart() -> ModuleType:
    return real_module("cuda.bindings.runtime")


@pytest.fixture(scope="module")
def lean() -> ModuleType:
    return real_module("tensorrt_lean")


def core_nodes() -> list[ast.AST]:
    return [node for path in CORE.glob("*.py") for node in ast.walk(parse(path))]


def parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_each_cuda_call_exists_with_its_number_of_arguments(cudart) -> None:
    found = {}
    for node in core_nodes():
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cuda_call":
            name, *arguments = node.args
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                assert len(arguments) == len(parameters(getattr(cudart, name.value))), ast.unparse(node)
                found[name.value] = len(arguments)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and CUDA_NAME.match(node.func.attr)
        ):
            assert len(node.args) == len(parameters(getattr(cudart, node.func.attr))), ast.unparse(node)
            found[node.func.attr] = len(node.args)
    assert {
        "cudaMalloc",
        "cudaMallocHost",
        "cudaMemcpy2DAsync",
        "cudaGraphLaunch",
        "cudaStreamEndCapture",
    } <= set(found)


def test_each_name_of_cuda_exists(cudart) -> None:
    called_with_a_handle = set()
    for node in core_nodes():
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"cuda[A-Z]\w+", node.value)
        ):
            assert hasattr(cudart, node.value)
            called_with_a_handle |= {node.value} if re.search("Free|Destroy", node.value) else set()
        if isinstance(node, ast.Attribute) and CUDA_NAME.match(node.attr):
            owner = node.value
            if isinstance(owner, ast.Attribute) and CUDA_NAME.match(owner.attr):
                assert hasattr(getattr(cudart, owner.attr), node.attr), ast.unparse(node)
            else:
                assert hasattr(cudart, node.attr) or hasattr(cudart.cudaError_t, node.attr), ast.unparse(node)
    assert {"cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaGraphExecDestroy"} <= called_with_a_handle
    assert all(len(parameters(getattr(cudart, name))) == 1 for name in called_with_a_handle)


def test_each_field_of_the_device_and_each_call_for_its_driver_exists(cudart) -> None:
    nvml = real_module("cuda.bindings.nvml")
    owners = {"found": cudart.cudaDeviceProp, "nvml": nvml}
    seen = set()
    for node in ast.walk(parse(CORE / "gpu.py")):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in owners:
            assert hasattr(owners[ast.unparse(node.value)], node.attr), ast.unparse(node)
            seen.add(node.attr)
    assert {"totalGlobalMem", "major", "minor", "system_get_driver_version", "shutdown"} <= seen


def signatures(member) -> list[tuple[list[str], int, str]]:
    """Of each overload in a docstring: parameter names without self, how many are needed, the type given back."""
    found = re.findall(
        r"^(?:\d+\. )?\w+\(self: [\w.]+(?:, (.*))?\) -> (.+)$", member.__doc__ or "", re.MULTILINE
    )
    split = [(re.findall(r"(?:^|, )(\w+: .*?)(?=, \w+: |$)", given), result) for given, result in found]
    return [
        (
            [one.partition(":")[0] for one in given],
            sum(" = " not in one for one in given),
            result.split(".")[-1],
        )
        for given, result in split
    ]


class TensorRTUse(ast.NodeVisitor):
    """Every access of TensorRT's objects in the source, by the annotated classes of the variables that hold them."""

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}
        self.members: set[tuple[str, str]] = set()
        self.assigned: set[tuple[str, str]] = set()
        self.calls: list[tuple[str, str, ast.Call]] = []
        self.module_names: set[str] = set()
        self.annotated: dict[int, str] = {}

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        # attributes may be annotated after their first use, and names of self end with their class
        for inner in ast.walk(node):
            if isinstance(inner, ast.AnnAssign):
                self._learn(inner.target, inner.annotation)
        self.generic_visit(node)
        self.classes = {name: kind for name, kind in self.classes.items() if not name.startswith("self.")}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for argument in node.args.args:
            if argument.annotation is not None:
                self._learn(ast.Name(argument.arg), argument.annotation)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._learn(node.target, node.annotation)
        self.annotated[id(node.value)] = self._class_of(node.annotation)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner = ast.unparse(node.value)
        if owner in self.classes:
            self.members.add((self.classes[owner], node.attr))
            if isinstance(node.ctx, ast.Store):
                self.assigned.add((self.classes[owner], node.attr))
        spelled = ast.unparse(node)
        for prefix in MODULE:
            if spelled.startswith(f"{prefix}."):
                self.module_names.add(spelled.removeprefix(f"{prefix}."))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if owner in self.classes:
                self.calls.append((self.classes[owner], node.func.attr, node))
            elif owner in MODULE:
                self.calls.append(("", node.func.attr, node))
        self.generic_visit(node)

    def _learn(self, target: ast.expr, annotation: ast.expr) -> None:
        if name := self._class_of(annotation):
            self.classes[ast.unparse(target)] = name

    def _class_of(self, annotation: ast.expr) -> str:
        name = ast.unparse(annotation)
        return name if name in TENSORRT_CLASSES else ""


@pytest.fixture(scope="module")
def use() -> TensorRTUse:
    visitor = TensorRTUse()
    visitor.visit(parse(ENGINE_FILE))
    return visitor


def test_each_member_of_tensorrt_exists_on_the_real_class(use, lean) -> None:
    for owner, member in use.members:
        assert hasattr(getattr(lean, owner), member), f"{owner}.{member}"
    assert use.members >= {
        ("Runtime", "deserialize_cuda_engine"),
        ("ICudaEngine", "get_tensor_profile_shape"),
        ("IExecutionContext", "set_optimization_profile_async"),
        ("IExecutionContext", "set_input_shape"),
        ("IExecutionContext", "infer_shapes"),
        ("IExecutionContext", "set_tensor_address"),
        ("IExecutionContext", "execute_async_v3"),
    }


def test_each_name_of_the_module_exists(use, lean) -> None:
    for name in use.module_names:
        found = lean
        for part in name.split("."):
            assert hasattr(found, part), name
            found = getattr(found, part)
    assert {"TensorIOMode.INPUT", "DataType.FLOAT", "ILogger.__init__"} <= use.module_names


def test_what_is_set_can_be_set(use, lean) -> None:
    assert use.assigned == {("Runtime", "engine_host_code_allowed")}
    assert all(getattr(lean, owner).__dict__[name].fset is not None for owner, name in use.assigned)


def test_each_call_has_the_arguments_that_an_overload_takes(use, lean) -> None:
    for owner, name, call in use.calls:
        member = getattr(lean, owner) if owner else lean
        overloads = signatures(getattr(member, name) if owner else getattr(lean, name).__init__)
        assert overloads, f"{owner}.{name} has no signature"
        assert not call.keywords
        assert any(needed <= len(call.args) <= len(given) for given, needed, _ in overloads), ast.unparse(
            call
        )


def test_each_object_of_tensorrt_is_held_by_a_variable_of_its_class(use, lean) -> None:
    """Otherwise the tests above would pass over what is done with it."""
    held = []
    for owner, name, call in use.calls:
        results = (
            {result for _, _, result in signatures(getattr(getattr(lean, owner), name))} if owner else {name}
        )
        for result in results & {*TENSORRT_CLASSES}:
            assert use.annotated.get(id(call)) == result, ast.unparse(call)
            held.append(result)
    assert sorted(held) == ["ICudaEngine", "IExecutionContext", "Runtime"]


def test_only_one_file_touches_tensorrt() -> None:
    for path in CORE.glob("*.py"):
        if path != ENGINE_FILE:
            names = {node.attr for node in ast.walk(parse(path)) if isinstance(node, ast.Attribute)}
            assert names.isdisjoint({"execute_async_v3", "set_tensor_address", "deserialize_cuda_engine"}), (
                path
            )


def test_the_logger_has_the_signature_of_the_real_one(lean) -> None:
    (method,) = (
        node
        for node in ast.walk(parse(ENGINE_FILE))
        if isinstance(node, ast.FunctionDef) and node.name == "log"
    )
    ((given, _, _),) = signatures(lean.ILogger.log)
    assert [argument.arg for argument in method.args.args] == ["self", *given]


def test_the_simulated_gpu_is_like_the_real_one(cudart) -> None:
    names = [name for name in vars(Cuda) if CUDA_NAME.match(name)]
    for name in names:
        simulated, real = vars(Cuda)[name], getattr(cudart, name)
        if inspect.isfunction(simulated):
            assert parameters(simulated)[1:] == parameters(real), name
        elif isinstance(simulated, EnumType):
            assert {each.name: int(each) for each in simulated}.items() <= {
                each.name: int(each) for each in real
            }.items()
        else:
            assert int(simulated) == int(real), name
    assert len(names) > 20


def test_the_simulated_tensorrt_is_like_the_real_one(lean) -> None:
    module: SimpleNamespace = simulated_tensorrt.simulated_tensorrt(Cuda())
    for owner in ("Runtime", "ICudaEngine", "IExecutionContext", "ILogger"):
        for name, method in vars(getattr(simulated_tensorrt, owner)).items():
            if inspect.isfunction(method) and not name.startswith("_"):
                overloads = [given for given, _, _ in signatures(getattr(getattr(lean, owner), name))]
                assert parameters(method)[1:] in overloads, f"{owner}.{name}"
    for name, members in vars(module).items():
        if isinstance(members, SimpleNamespace):
            assert all(hasattr(getattr(lean, name), member) for member in vars(members)), name
