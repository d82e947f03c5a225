"""Which engines are taken, and what a killed or damaged one does."""

import itertools
import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.engine_cache import (
    EngineFile,
    EngineKey,
    EngineWanted,
    find_engine,
    write_engine,
)
from edge_app.core.errors import RuntimeUnavailable, SedgeError

ENGINE = bytes(range(256)) * 40
NEW_ENGINE = ENGINE[::-1]
KEY = EngineKey(
    graph_sha256="a" * 64,
    gpu_name="NVIDIA H100",
    compute_capability=(9, 0),
    driver_version="580.65.06",
    tensorrt_version="11.4.0.106",
    precision="float16",
    input="log-mel",
    profiles=("live", "clip"),
    max_batch=8,
    version_compatible=False,
)
OTHERS = {
    "graph_sha256": "b" * 64,
    "gpu_name": "NVIDIA L4",
    "compute_capability": (8, 9),
    "driver_version": "590.10",
    "tensorrt_version": "11.5.0.1",
    "precision": "float32",
    "input": "waveform",
    "profiles": ("live",),
    "max_batch": 4,
    "version_compatible": True,
}


def changed(**fields) -> EngineKey:
    return EngineKey.model_validate({**KEY.model_dump(), **fields})


def wanted(**fields) -> EngineWanted:
    names = ("graph_sha256", "gpu_name", "compute_capability", "driver_version", "tensorrt_version")
    return EngineWanted.model_validate({name: getattr(KEY, name) for name in names} | fields)


def refusal(folder: Path, want: EngineWanted | EngineKey) -> str:
    with pytest.raises(RuntimeUnavailable) as caught:
        find_engine(folder, want)
    assert "\n" not in str(caught.value)
    assert "sedge export-tensorrt" in str(caught.value)
    return str(caught.value)


def test_what_was_written_is_found(tmp_path) -> None:
    file = write_engine(tmp_path / "engines", KEY, ENGINE, 12.3456)
    for want in (KEY, wanted()):
        assert find_engine(tmp_path / "engines", want) == file
    assert file.read() == ENGINE
    assert file.metadata.key == KEY
    assert file.metadata.build_s == 12.346
    assert sorted(path.suffix for path in (tmp_path / "engines").iterdir()) == [".engine", ".json"]


def test_the_other_values_cover_every_field_of_the_key() -> None:
    assert set(OTHERS) == set(EngineKey.model_fields)


@pytest.mark.parametrize("field", OTHERS)
def test_an_engine_of_another_key_is_refused_by_field_expected_and_found(tmp_path, field) -> None:
    file = write_engine(tmp_path, changed(**{field: OTHERS[field]}), ENGINE, 1)
    message = refusal(tmp_path, KEY)
    shown = {
        name: ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in OTHERS.items()
    }
    assert message.startswith(f"{file.path}: {field}: expected ")
    assert f", found {shown[field]};" in message


@given(st.sets(st.sampled_from(sorted(OTHERS))))
@settings(max_examples=15)
def test_keys_that_differ_have_engines_of_their_own(tmp_path_factory, fields) -> None:
    folder = tmp_path_factory.mktemp("engines")
    other = changed(**{field: OTHERS[field] for field in fields})
    first, second = write_engine(folder, KEY, ENGINE, 1), write_engine(folder, other, ENGINE + b"2", 1)
    assert find_engine(folder, other).read() == second.read()
    assert first.path.exists() == bool(fields)
    if fields:
        assert find_engine(folder, KEY).read() == ENGINE


@pytest.mark.parametrize(
    ("compatible", "lean", "version", "field"),
    [
        (False, False, "11.4.0.106", None),
        (False, False, "11.4.0.107", "tensorrt_version"),
        (False, True, "11.4.0.106", "version_compatible"),
        (True, False, "11.4.0.106", None),
        (True, False, "11.5.0.1", None),
        (True, True, "11.5.0.1", None),
        (True, True, "11.10.0.1", None),
        (True, False, "11.3.9.9", "tensorrt_version"),
        (True, True, "12.0.0.1", "tensorrt_version"),
    ],
)
def test_only_version_compatible_engines_run_on_other_versions_and_on_the_lean_runtime(
    tmp_path, compatible, lean, version, field
) -> None:
    write_engine(tmp_path, changed(version_compatible=compatible), ENGINE, 1)
    want = wanted(tensorrt_version=version, lean=lean)
    if field is None:
        assert find_engine(tmp_path, want).read() == ENGINE
    else:
        assert f": {field}: expected " in refusal(tmp_path, want)


@pytest.mark.parametrize(
    ("profiles", "profile", "fits"),
    [
        (("live",), "live", True),
        (("live",), "clip", False),
        (("clip",), "live", True),
        (("live", "clip"), "clip", True),
    ],
)
def test_an_engine_for_live_steps_alone_is_none_for_clips(tmp_path, profiles, profile, fits) -> None:
    write_engine(tmp_path, changed(profiles=profiles), ENGINE, 1)
    if fits:
        assert find_engine(tmp_path, wanted(profile=profile)).read() == ENGINE
    else:
        assert ": profiles: expected clip, found live;" in refusal(tmp_path, wanted(profile=profile))


def damage_truncate(path: Path) -> None:
    os.truncate(path, len(ENGINE) // 2)


def damage_bit(path: Path) -> None:
    path.write_bytes(bytes([ENGINE[0] ^ 1]) + ENGINE[1:])


@pytest.mark.parametrize("damage", [damage_truncate, damage_bit, Path.unlink])
def test_a_damaged_engine_is_refused_and_an_older_whole_one_taken(tmp_path, damage) -> None:
    file = write_engine(tmp_path, KEY, ENGINE, 1)
    damage(file.path)
    message = refusal(tmp_path, KEY)
    assert message.startswith(f"{file.path}: engine_sha256: expected {file.metadata.engine_sha256}, found ")
    with pytest.raises(RuntimeUnavailable):
        file.read()
    other = write_engine(tmp_path, changed(precision="float32"), b"whole", 1)
    assert find_engine(tmp_path, wanted()) == other


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": 3}', "\udcff"])
def test_damaged_metadata_is_refused(tmp_path, text) -> None:
    file = write_engine(tmp_path, KEY, ENGINE, 1)
    metadata = file.path.with_suffix(".json")
    metadata.write_text(text, "utf-8", "surrogateescape")
    assert refusal(tmp_path, KEY).startswith(f"{metadata}: ")


def test_metadata_of_a_later_kind_is_refused(tmp_path) -> None:
    metadata = write_engine(tmp_path, KEY, ENGINE, 1).path.with_suffix(".json")
    fields = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(fields | {"plugins": []}))
    assert "plugins: expected" in refusal(tmp_path, KEY)


@pytest.mark.parametrize("make", [True, False])
def test_no_engine_at_all_is_a_sentence(tmp_path, make) -> None:
    folder = tmp_path / "engines"
    if make:
        folder.mkdir()
        (folder / "stray.engine").write_bytes(ENGINE)
    assert refusal(folder, KEY).startswith(f"{folder}: no engine was found")


def test_the_nearest_engine_is_named(tmp_path) -> None:
    write_engine(tmp_path, changed(graph_sha256="b" * 64), ENGINE, 1)
    write_engine(tmp_path, changed(driver_version="590.10"), ENGINE, 1)
    write_engine(tmp_path, changed(gpu_name="NVIDIA L4"), ENGINE, 1)
    assert "driver_version: expected 580.65.06, found 590.10" in refusal(tmp_path, KEY)


def test_a_new_build_takes_the_place_of_the_old(tmp_path) -> None:
    write_engine(tmp_path, KEY, ENGINE, 1)
    (tmp_path / ".other.part").write_bytes(b"")
    newer = write_engine(tmp_path, KEY, ENGINE[::-1], 1)
    assert find_engine(tmp_path, KEY) == newer
    assert len(list(tmp_path.iterdir())) == 3


def test_the_newest_that_fits_is_taken(tmp_path, monkeypatch) -> None:
    files = {
        precision: write_engine(tmp_path, changed(precision=precision), ENGINE, 1)
        for precision in ("float16", "float32")
    }
    for precision, file in files.items():
        later = file.metadata.model_copy(update={"created_at": "2999-01-01T00:00:00+00:00"})
        path = file.path.with_suffix(".json")
        before = path.read_text()
        path.write_text(later.model_dump_json())
        assert find_engine(tmp_path, wanted()).metadata.key.precision == precision
        path.write_text(before)


def write_and_die(folder: Path, step: int) -> None:
    """In a process of its own, write an engine and be killed before that many file operations are done."""
    steps = iter(range(step))

    def counted(call):
        def wrapper(*arguments, **options):
            if next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return wrapper

    for owner, name in ((Path, "open"), (Path, "replace"), (Path, "unlink"), (os, "fsync")):
        setattr(owner, name, counted(getattr(owner, name)))
    write_engine(folder, KEY, NEW_ENGINE, 1)


def killed_at(folder: Path, step: int) -> bool:
    """Whether the writing process was killed at that step; otherwise it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            write_and_die(folder, step)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that are forked here")
@pytest.mark.parametrize("before", [True, False])
def test_pitfall_a_kill_at_any_moment_leaves_the_old_engine_or_the_new(tmp_path, before) -> None:
    """The process is killed before its first, second, ... write, until it comes to its end."""
    seen = set()
    for step in itertools.count():
        folder = tmp_path / str(step)
        folder.mkdir()
        if before:
            write_engine(folder, KEY, ENGINE, 1)
        killed = killed_at(folder, step)
        found = found_engine(folder)
        seen.add(None if found is None else found.read())
        if not killed:
            break
        write_engine(folder, KEY, ENGINE + b"after", 1)
        assert len(list(folder.iterdir())) == 2, "what was left of the killed build is removed by the next"
    assert step >= 6
    assert seen == {ENGINE if before else None, NEW_ENGINE}


def found_engine(folder: Path) -> EngineFile | None:
    try:
        return find_engine(folder, KEY)
    except RuntimeUnavailable:
        return None


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SedgeError, match="expected a folder to keep engines in"):
        write_engine(tmp_path / "file", KEY, ENGINE, 1)
