"""The ledger: what is done stays done, what has changed is refused, whatever the order of events."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.bundle import file_sha256
from edge_app.core.errors import SedgeError
from train.pipeline.ledger import LEDGER, Ledger, Unit


def unit_of(run: Path, name: str, stage: str, *reads: str, settings: Mapping[str, Any] | None = None) -> Unit:
    """A unit that writes the text of what it reads, and its name, into one file."""

    def work() -> None:
        (run / name).mkdir(parents=True, exist_ok=True)
        text = "".join((run / read).read_text() for read in reads)
        (run / name / "file.txt").write_text(f"{text}{name} {dict(settings or {})}\n")

    return Unit(name, stage, settings or {}, reads, (f"{name}/file.txt",), work)


def chain(run: Path, **settings: Any) -> list[Unit]:
    """Two stages of one unit each and a third of two."""
    return [
        unit_of(run, "first", "one", settings={"width": settings.get("width", 1)}),
        unit_of(run, "second/1", "two", "first/file.txt", settings={"depth": settings.get("depth", 1)}),
        unit_of(run, "third/1", "three", "second/1/file.txt"),
        unit_of(run, "third/2", "three", "second/1/file.txt", "first/file.txt"),
    ]


@pytest.fixture
def done(tmp_path: Path) -> list[Unit]:
    units = chain(tmp_path)
    for unit in units:
        Ledger(tmp_path).perform(unit)
    return units


def test_a_unit_is_done_once_its_files_are_recorded(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    first, second, *_ = chain(tmp_path)
    assert not ledger.is_done(first)
    ledger.begin(first)
    assert not ledger.is_done(first)
    first.work()
    assert not ledger.is_done(first)
    ledger.finish(first, 1.26)
    assert ledger.is_done(first)
    assert Ledger(tmp_path).is_done(first)
    assert not ledger.is_done(second)
    recorded = json.loads((tmp_path / LEDGER).read_text())["stages"]["first"]
    assert recorded["seconds"] == 1.3
    assert recorded["outputs"] == {"first/file.txt": file_sha256(tmp_path / "first/file.txt")}
    assert recorded["versions"].keys() >= {"sedge", "python", "torch", "numpy", "machine"}


def test_a_unit_that_was_begun_is_refused_with_other_settings(tmp_path: Path) -> None:
    Ledger(tmp_path).begin(chain(tmp_path)[0])
    with pytest.raises(SedgeError, match=r"expected setting width as when it was made .* --from one"):
        Ledger(tmp_path).is_done(chain(tmp_path, width=2)[0])


@pytest.mark.parametrize(("setting", "stage"), [("width", "one"), ("depth", "two")])
def test_a_changed_setting_names_its_stage(
    tmp_path: Path, done: list[Unit], setting: str, stage: str
) -> None:
    ledger, refused = Ledger(tmp_path), []
    for unit in chain(tmp_path, **{setting: 2}):
        try:
            assert ledger.is_done(unit)
        except SedgeError as error:
            refused.append(str(error))
    (text,) = refused
    assert f"expected setting {setting} as when it was made (1), found it changed (2)" in text
    assert f"run stage {stage} again with --from {stage}" in text
    assert "\n" not in text


def test_a_setting_that_comes_or_goes_is_a_change(tmp_path: Path, done: list[Unit]) -> None:
    for other in ({}, {"width": 1, "height": 1}):
        with pytest.raises(SedgeError, match="--from one"):
            Ledger(tmp_path).is_done(replace(done[0], settings=other))


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_text("by hand")])
def test_a_spoilt_file_names_the_stage_that_made_it(
    tmp_path: Path, done: list[Unit], number: int, spoil: Callable[[Path], Any]
) -> None:
    path = tmp_path / done[number].writes[0]
    spoil(path)
    ledger = Ledger(tmp_path)
    for unit in done[:number]:
        assert ledger.is_done(unit)
    touched = [unit for unit in done if done[number].writes[0] in (*unit.writes, *unit.reads)]
    for unit in touched:
        with pytest.raises(SedgeError) as caught:
            ledger.is_done(unit)
        assert str(caught.value).startswith(
            f"{path}: expected the file that stage {done[number].stage} wrote"
        )
        assert f"--from {done[number].stage}" in str(caught.value)


def test_a_file_put_back_is_as_good_as_before(tmp_path: Path, done: list[Unit]) -> None:
    path = tmp_path / "second/1/file.txt"
    made = path.read_text()
    path.write_text("by hand")
    with pytest.raises(SedgeError, match="put it back"):
        Ledger(tmp_path).is_done(done[1])
    path.write_text(made)
    assert all(Ledger(tmp_path).is_done(unit) for unit in done)


def test_what_an_earlier_stage_has_not_written_cannot_be_read(tmp_path: Path) -> None:
    _, second, *_ = chain(tmp_path)
    with pytest.raises(SedgeError, match=r"first/file\.txt: expected what an earlier stage writes"):
        Ledger(tmp_path).is_done(second)


def test_a_unit_must_leave_its_files(tmp_path: Path) -> None:
    idle = Unit("idle", "one", {}, (), ("idle/file.txt",), lambda: None)
    with pytest.raises(SedgeError, match=r"idle: expected idle/file\.txt to be written, found no such file"):
        Ledger(tmp_path).perform(idle)
    assert not Ledger(tmp_path).is_done(idle)


def test_a_unit_made_anew_must_be_followed_by_what_reads_it(tmp_path: Path, done: list[Unit]) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.forget(["one"]) == ["first", "first/file.txt"]
    changed = chain(tmp_path, width=2)
    ledger.perform(changed[0])
    assert ledger.is_done(changed[0])
    with pytest.raises(
        SedgeError, match=r"second/1: expected first/file\.txt as when it was made .* --from two"
    ):
        ledger.is_done(changed[1])


def test_what_was_made_anew_and_is_the_same_changes_nothing(tmp_path: Path, done: list[Unit]) -> None:
    ledger = Ledger(tmp_path)
    ledger.forget(["one"])
    ledger.perform(done[0])
    assert all(ledger.is_done(unit) for unit in done)


@settings(max_examples=12)
@given(st.sets(st.sampled_from(["one", "two", "three", "four"])))
def test_forgetting_takes_all_units_of_the_stages_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, stages: set[str]
) -> None:
    run = tmp_path_factory.mktemp("run")
    units = chain(run)
    for unit in units:
        Ledger(run).perform(unit)
    left = Ledger(run).forget(stages)
    gone = [unit for unit in units if unit.stage in stages]
    assert left == [name for unit in gone for name in (unit.name, *unit.writes)]
    recorded = json.loads((run / LEDGER).read_text())["stages"]
    assert recorded.keys() == {unit.name for unit in units} - {unit.name for unit in gone}


@settings(max_examples=40)
@given(st.dictionaries(st.text(min_size=1), st.integers() | st.text() | st.lists(st.booleans()), max_size=4))
def test_settings_of_any_kind_are_the_same_after_reading(
    tmp_path_factory: pytest.TempPathFactory, made_with: dict[str, Any]
) -> None:
    run = tmp_path_factory.mktemp("run")
    unit = Unit("unit", "one", made_with, (), (), lambda: None)
    Ledger(run).perform(unit)
    assert Ledger(run).is_done(unit)
    shuffled = dict(reversed(made_with.items()))
    assert Ledger(run).is_done(replace(unit, settings=shuffled))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected the ledger of a run"),
        ('{"schema_version": 1, "sta', "expected the ledger of a run"),
        ("[]", "expected the ledger of a run"),
        ("null", "expected the ledger of a run"),
        ('{"schema_version": 1}', "expected the ledger of a run"),
        ('{"schema_version": 1, "stages": []}', "expected the ledger of a run"),
        ('{"schema_version": 1, "stages": {"first": 3}}', "expected the ledger of a run"),
        ('{"schema_version": 1, "stages": {"first": {"stage": "one"}}}', "expected the ledger of a run"),
        ('{"schema_version": 2, "stages": {}}', "schema_version: expected 1, found 2"),
    ],
)
def test_a_broken_ledger_is_refused_by_name(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / LEDGER).write_text(text)
    with pytest.raises(SedgeError) as caught:
        Ledger(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / LEDGER}: {expected}")


def test_bytes_that_are_no_text_are_no_ledger(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SedgeError, match="expected the ledger of a run"):
        Ledger(tmp_path)
