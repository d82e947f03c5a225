"""The rules of the house that no other tool checks: what imports what, on a device; sizes; what the wheel holds."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app import cli

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("edge_app", "train", "export", "benchmarks")
CODE_FOLDERS = (*PACKAGES, "tests")
MOST_LINES = 400

# What a package may import besides the standard library and itself.
ALLOWED_IMPORTS = {
    # `edge_app` itself is the version; av, cuda and tensorrt are imported where they are used
    "edge_app/core": {
        *("numpy", "onnxruntime", "pydantic", "pydantic_core", "soundfile", "soxr", "edge_app"),
        *("av", "cuda", "tensorrt", "tensorrt_lean"),
    },
    "edge_app/stream": {"numpy", "sounddevice", "soundfile", "soxr", "edge_app.core"},
    "edge_app/formats": {"numpy", "pyarrow", "edge_app.core"},
    "edge_app/store": {"platformdirs", "numpy", "pydantic", "soundfile", "edge_app.core", "edge_app.formats"},
    "edge_app/actions": {"edge_app", "edge_app.core"},
    "edge_app/scoring": {"numpy", "ray", "edge_app", "edge_app.core", "edge_app.formats"},
    "edge_app/sessions": {
        *("numpy", "pydantic", "soundfile", "edge_app"),
        *("edge_app.core", "edge_app.formats", "edge_app.store", "edge_app.stream"),
    },
    "edge_app/views": {
        *(
            "numpy",
            "pydantic",
            "soundfile",
            "PyQt6",
            "pyqtgraph",
            "edge_app",
            "edge_app.core",
            "edge_app.stream",
        ),
        *("edge_app.formats", "edge_app.store", "edge_app.scoring", "edge_app.sessions", "edge_app.actions"),
    },
    "train/models": {"torch", "jaxtyping", "pydantic"},
}

HEAVY_MODULES = {"torch", "numpy", "onnxruntime", "tyro", "rich", "pydantic"}
NOT_ON_A_DEVICE = (
    "torch",
    "torchaudio",
    "PyQt6",
    "PySide6",
    "pyqtgraph",
    "jaxtyping",
    "onnx",
    "train",
    "export",
)
# Makes modules look absent: every finder passes over them.
BLOCKER = f"""
import sys
class Blind:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        absent = name.partition(".")[0] in {NOT_ON_A_DEVICE!r}
        return None if absent else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Blind(finder) for finder in sys.meta_path]
"""


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def repository_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [REPOSITORY / name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


@pytest.mark.parametrize("folder", ALLOWED_IMPORTS)
def test_package_imports_only_what_it_may(folder):
    allowed = {*ALLOWED_IMPORTS[folder], folder.replace("/", "."), *sys.stdlib_module_names}
    for path in python_files(folder):
        for module in imported_modules(path):
            parts = module.split(".")
            package = ".".join(parts[:2]) if parts[0] in PACKAGES else parts[0]
            assert package in allowed, f"{name_of(path)} imports {module}"


def test_device_code_runs_with_torch_and_qt_blocked():
    modules = [
        module_of(path)
        for path in python_files("edge_app")
        if path.name != "__main__.py" and "views" not in path.parts
    ]
    code = BLOCKER + (
        f"import importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
        "from edge_app import cli\nsys.exit(cli.main(['--help']))"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr


def test_built_in_model_scores_with_torch_and_qt_blocked():
    code = BLOCKER + ("from edge_app import cli\nsys.exit(cli.main(['doctor', '--no-microphone']))")
    result = run_python(code)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_no_heavy_module(option):
    code = (
        f"import sys\nfrom edge_app import cli\ncli.main([{option!r}])\n"
        f"print(*sorted({HEAVY_MODULES!r} & set(sys.modules)), file=sys.stderr)"
    )
    result = run_python(code)
    assert result.returncode == 0
    assert result.stderr.strip() == ""


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert cli.main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"sedge {command}" in shown


@pytest.mark.parametrize("path", python_files(*CODE_FOLDERS), ids=name_of)
def test_file_is_short_enough_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES


def test_no_text_names_a_path_of_one_machine():
    # In two parts, so that this file does not name what it looks for.
    machine_path = re.compile(
        r"(?<![\w.$~}/])/(?:" + "|".join(("root", "home/\\w", "Users/\\w", "work", "mnt")) + r")\b"
    )
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        found = machine_path.search(content.decode("utf-8", errors="replace"))
        assert found is None, f"{name_of(path)} names {found.group()}"


def test_wheel_holds_the_device_package_with_its_model_and_nothing_else(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    (wheel,) = tmp_path.glob("sedge_sed-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"edge_app", "sedge_sed"}
    packed = {name for name in names if name.startswith("edge_app/")}
    committed = {name_of(path) for path in repository_files() if name_of(path).startswith("edge_app/")}
    assert packed == committed
    assert {"edge_app/bundles/default/bundle.json", "edge_app/bundles/default/fused.onnx"} <= packed


def test_layers_hold():
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout
