"""Event and duration tables: what is written is read back, what is wrong is named."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_durations, read_events, write_durations, write_events

NAMES = st.text(min_size=1, max_size=20) | st.text(alphabet="ab\\\t\n\r ,\"ntr'", min_size=1, max_size=12)
LABELS = st.sampled_from(["Cat", "Dog", "Running_water", "Vacuum cleaner"])
once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)


@st.composite
def events(draw: st.DrawFn) -> Event:
    onset = draw(st.integers(0, 7_200_000))
    return Event(onset / 1000, (onset + draw(st.integers(1, 60_000))) / 1000, draw(LABELS))


def order(event: Event) -> tuple[float, str]:
    return event.onset, event.event_label


@once
@given(by_file=st.dictionaries(NAMES, st.lists(events(), max_size=4), max_size=5))
def test_events_survive_any_file_name(tmp_path: Path, by_file: dict[str, list[Event]]) -> None:
    path = tmp_path / "events.tsv"
    write_events(path, by_file)
    found = read_events(path)
    assert list(found) == list(by_file)
    assert found == {filename: sorted(rows, key=order) for filename, rows in by_file.items()}
    n_rows = sum(max(1, len(rows)) for rows in by_file.values())
    assert path.read_bytes().count(b"\n") == 1 + n_rows
    assert list(tmp_path.iterdir()) == [path]


@once
@given(durations=st.dictionaries(NAMES, st.integers(0, 10**8).map(lambda ms: ms / 1000), max_size=5))
def test_durations_survive_any_file_name(tmp_path: Path, durations: dict[str, float]) -> None:
    write_durations(tmp_path / "durations.tsv", durations)
    assert read_durations(tmp_path / "durations.tsv") == durations


def test_names_that_are_not_text_survive(tmp_path: Path) -> None:
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    write_events(tmp_path / "events.tsv", {name: []})
    assert read_events(tmp_path / "events.tsv") == {name: []}


def test_the_form_is_that_of_desed(tmp_path: Path) -> None:
    by_file = {
        "b.wav": [Event(1.5, 2.0, "Dog"), Event(0.02, 0.7, "Cat"), Event(1.5, 1.6, "Cat")],
        "a/x.wav": [],
    }
    write_events(tmp_path / "events.tsv", by_file)
    assert (tmp_path / "events.tsv").read_text() == (
        "filename\tonset\toffset\tevent_label\n"
        "b.wav\t0.020\t0.700\tCat\nb.wav\t1.500\t1.600\tCat\nb.wav\t1.500\t2.000\tDog\n"
        "a/x.wav\t\t\t\n"
    )


def test_other_systems_tables_are_read(tmp_path: Path) -> None:
    tabs, commas = tmp_path / "tabs.tsv", tmp_path / "commas.csv"
    tabs.write_text(
        "event_label\tonset\toffset\tfilename\tindex\r\nCat\t1\t2.5\ta.wav\t1\r\n\t\t\tb.wav\t2\r\n\r\n"
    )
    commas.write_text(',event_label,onset,offset,filename\n0,Cat,1.0,2.5,a.wav\n1,,,,"b, c.wav"\n')
    assert read_events(tabs) == {"a.wav": [Event(1.0, 2.5, "Cat")], "b.wav": []}
    assert read_events(commas) == {"a.wav": [Event(1.0, 2.5, "Cat")], "b, c.wav": []}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("filename\tonset\toffset\n", "event_label"),
        ("", "expected columns"),
        (
            "filename\tonset\toffset\tevent_label\na.wav\t0\t1\tCat\na.wav\tzero\t1\tCat\n",
            "row 3: onset.*'zero'",
        ),
        ("filename\tonset\toffset\tevent_label\na.wav\t0\tnan\tCat\n", "row 2: offset.*'nan'"),
        ("filename\tonset\toffset\tevent_label\na.wav\t-1\t1\tCat\n", "row 2: onset.*'-1'"),
        ("filename\tonset\toffset\tevent_label\na.wav\t2\t1\tCat\n", "row 2.*found 2.0 and 1.0"),
        ("filename\tonset\toffset\tevent_label\na.wav\t1\t1\tCat\n", "row 2.*found 1.0 and 1.0"),
        ("filename\tonset\toffset\tevent_label\na.wav\t1\n", "row 2: expected 4 fields, found 2"),
        ("filename\tonset\toffset\tevent_label\n\t1\t2\tCat\n", "row 2: filename"),
    ],
)
def test_a_wrong_table_is_named_with_its_row(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "events.tsv").write_text(rows)
    with pytest.raises(SedgeError, match=f"events.tsv.*{message}") as caught:
        read_events(tmp_path / "events.tsv")
    assert "\n" not in str(caught.value)


def test_events_of_no_length_are_kept_where_asked(tmp_path: Path) -> None:
    (tmp_path / "events.tsv").write_text("filename\tonset\toffset\tevent_label\na.wav\t1\t1\tCat\n")
    assert read_events(tmp_path / "events.tsv", instants=True) == {"a.wav": [Event(1.0, 1.0, "Cat")]}


def test_durations_that_disagree_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d.tsv").write_text("filename\tduration\na.wav\t1\na.wav\t1.0\na.wav\t2\n")
    with pytest.raises(SedgeError, match=r"row 4.*expected 1\.0 as above, found 2\.0"):
        read_durations(tmp_path / "d.tsv")


def test_missing_tables_and_folders_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(SedgeError, match=r"none\.tsv: cannot be read"):
        read_events(tmp_path / "none.tsv")
    with pytest.raises(SedgeError, match=r"events\.tsv: cannot be written"):
        write_events(tmp_path / "none" / "events.tsv", {})
