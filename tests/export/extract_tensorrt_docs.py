"""Reads the signatures of TensorRT's builder out of the vendor's wheel of Python bindings, without a GPU.

    pip download --no-deps tensorrt-cu13-bindings==11.4.0.106
    python tests/export/extract_tensorrt_docs.py tensorrt_cu13_bindings-*.whl

The bindings link to libraries that are gigabytes and need a driver; what they import of them are nine C functions.
With empty ones in their place (a C compiler makes them) the module loads, nothing in it can be run, and the
docstrings say what each method is called and takes. Needs Linux and the Python version that the wheel is for.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

OUT = Path(__file__).with_name("tensorrt_calls.json")
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getPluginRegistry",
    "getNvOnnxParserVersion",
    "initLibNvInferPlugins",
)
CLASSES = (
    "Builder",
    "IBuilderConfig",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProgressMonitor",
    "ITensor",
    "ITimingCache",
    "Logger",
    "OnnxParser",
    "ParserError",
)
ENUMS = (
    "BuilderFlag",
    "DataType",
    "HardwareCompatibilityLevel",
    "ILogger.Severity",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParserFlag",
)
BOUND = re.compile(r"\b(?:\w+\.)+tensorrt\.|nvinfer1::|nvonnxparser::I?")
SIGNATURE = re.compile(r"^(?:\d+\. )?(?P<name>\w+)\((?P<arguments>.*)\) -> (?P<returns>.+)$")


def main(wheel: Path) -> None:
    """Write what the wheel's docstrings say to tensorrt_calls.json beside this script."""
    name, version = wheel.name.split("-")[:2]
    with tempfile.TemporaryDirectory() as folder:
        described = describe_in(Path(folder), wheel)
    head = {"name": name, "version": version, "file": wheel.name, "sha256": sha256(wheel)}
    OUT.write_text(json.dumps({"wheel": head, **described}, indent=1) + "\n", encoding="utf-8")
    print(f"{OUT}: {len(described['classes'])} classes, {len(described['enums'])} enumerations")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe_in(folder: Path, wheel: Path) -> dict[str, Any]:
    """Unpack the wheel beside empty libraries, and load it in a process of its own."""
    zipfile.ZipFile(wheel).extractall(folder)
    (package,) = (path.parent for path in folder.glob("*/tensorrt.so"))
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    for library in LIBRARIES:
        name = f"lib{library}.so.11"
        options = ["-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(package / name)]
        subprocess.run(["cc", *options, str(source)], check=True)
    command = [sys.executable, __file__, "--describe", str(folder), package.name]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def describe(module: Any) -> dict[str, Any]:
    """Methods with their signatures, properties and enumeration members of the classes that a build uses."""
    return {
        "classes": {name: describe_class(getattr(module, name)) for name in CLASSES},
        "enums": {name: members(module, name) for name in ENUMS},
    }


def members(module: Any, name: str) -> list[str]:
    for part in name.split("."):
        module = getattr(module, part)
    return list(module.__members__)


def describe_class(described: type) -> dict[str, Any]:
    methods, properties = {}, []
    for name in dir(described):
        is_layer = described.__name__ == "INetworkDefinition" and name.startswith(
            "add_"
        )  # the parser's business
        if is_layer or (name.startswith("_") and name != "__init__"):
            continue
        attribute = getattr(described, name)
        if isinstance(attribute, property):
            properties.append(name)
        elif found := signatures(attribute.__doc__ or ""):
            methods[name] = found
    bases = [base.__name__ for base in described.__bases__ if base.__name__ in CLASSES]
    return {"bases": bases, "methods": methods, "properties": properties}


def signatures(docstring: str) -> list[dict[str, Any]]:
    """The signatures that a docstring of pybind11 begins with; several where a method is overloaded."""
    found = [SIGNATURE.match(line) for line in docstring.splitlines() if "(self: " in line]
    return [
        {"arguments": arguments(match["arguments"]), "returns": BOUND.sub("", match["returns"])}
        for match in found
        if match
    ]


def arguments(listed: str) -> list[dict[str, Any]]:
    """Names and types of a signature's arguments after `self`; "optional" where there is a default."""
    parts = re.split(r", (?=\w+: )", BOUND.sub("", listed))[1:]
    described = []
    for part in parts:
        name, _, kind = part.partition(": ")
        kind, default, _ = kind.partition(" = ")
        described.append({"name": name, "type": kind, "optional": bool(default)})
    return described


if __name__ == "__main__":
    if sys.argv[1] == "--describe":
        import importlib

        sys.path.insert(0, sys.argv[2])
        print(json.dumps(describe(importlib.import_module(sys.argv[3]))))
    else:
        main(Path(sys.argv[1]))
