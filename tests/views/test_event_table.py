"""The table of events: order, filters, news, and how it bears ten thousand rows."""

import random
import time
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("PyQt6")
from hypothesis import given, settings
from hypothesis import strategies as st
from PyQt6.QtCore import QPersistentModelIndex, Qt
from PyQt6.QtTest import QAbstractItemModelTester

from edge_app.views.tables.event_model import EventModel
from edge_app.views.tables.event_rows import EventRow, event_columns
from edge_app.views.tables.event_table import FILE_COLUMNS, LEAST_STRETCH, PAST_COLUMNS, EventTable

LABELS = ("Cat", "Dog", "Running_water")
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
LONGEST_STALL_S = 0.1


def event_row(number, seed=0):
    chance = random.Random(seed * 100_003 + number)
    onset = chance.uniform(0, 3600)
    return EventRow(
        id=number,
        event_label=chance.choice(LABELS),
        onset=onset,
        offset=onset + chance.uniform(0.1, 5),
        peak=round(chance.random(), 3),
        at=MIDNIGHT + timedelta(seconds=onset),
        review=chance.choice(("", "confirmed", "rejected")),
        note=chance.choice(("", "the neighbour's", "kettle")),
    )


def column_texts(table, name, columns=PAST_COLUMNS):
    place = columns.index(name)
    return [table.shown.index(row, place).data() for row in range(table.shown.rowCount())]


def seconds_taken(action):
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


@pytest.fixture
def table(qtbot):
    widget = EventTable(LABELS, colours={"Cat": "#a86200"})
    qtbot.addWidget(widget)
    return widget


def test_model_keeps_the_promises_of_qt(qtbot):
    model = EventModel(event_columns(PAST_COLUMNS))
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    model.set_events(event_row(number) for number in range(20))
    model.sort(1, Qt.SortOrder.DescendingOrder)
    for number in range(10, 30):
        model.take(event_row(number, seed=1))
    assert model.rowCount() == 30
    assert tester is not None


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=30),
    st.integers(0, len(PAST_COLUMNS) - 1),
    st.sampled_from(list(Qt.SortOrder)),
)
def test_rows_are_the_newest_news_in_the_order_asked_for(qapp, told, column, order):
    model = EventModel(event_columns(PAST_COLUMNS))
    model.sort(column, order)
    for number, seed in told:
        model.take(event_row(number, seed))
    newest = {number: event_row(number, seed) for number, seed in told}
    keys = [model.columns[column].key(row) for row in model.events()]
    assert keys == sorted(keys, reverse=order == Qt.SortOrder.DescendingOrder)
    assert {row.id: row for row in model.events()} == newest
    assert [model.event_at(row) for row in range(model.rowCount())] == model.events()


def test_chosen_event_stays_chosen_when_the_order_changes_and_others_come(table):
    table.set_events(event_row(number) for number in range(50))
    assert table.select(17)
    for column in range(len(PAST_COLUMNS)):
        table.view.sortByColumn(column, Qt.SortOrder.AscendingOrder)
        assert table.current().id == 17
    table.take(event_row(99))
    assert table.current().id == 17


def test_persistent_index_follows_its_event(qtbot):
    model = EventModel(event_columns(PAST_COLUMNS))
    model.set_events(event_row(number) for number in range(9))
    held = QPersistentModelIndex(model.index(4, 0))
    event = model.event_at(4)
    model.sort(5, Qt.SortOrder.DescendingOrder)
    assert model.event_at(held.row()) == event


def test_filters_narrow_together(table, qtbot):
    rows = [event_row(number) for number in range(200)]
    table.set_events(rows)
    qtbot.keyClicks(table.words, "KETTLE")
    table.label.setCurrentIndex(table.label.findData("Dog"))
    table.review.setCurrentIndex(table.review.findData("confirmed"))
    table.least_peak.setValue(0.3)
    wanted = {
        row.id
        for row in rows
        if row.note == "kettle" and row.event_label == "Dog" and row.review == "confirmed" and row.peak >= 0.3
    }
    assert wanted
    assert {row.id for row in table.shown_events()} == wanted
    assert table.count.text() == f"{len(wanted)} of 200 events"
    table.words.clear()
    assert len(table.shown_events()) > len(wanted)


def test_news_of_the_chosen_event_are_told(table, qtbot):
    open_row = EventRow(1, "Dog", 1.0, 2.0, 0.7, state="open")
    table.set_events([open_row])
    table.select(1)
    with qtbot.waitSignal(table.selected) as told:
        table.take(EventRow(1, "Dog", 1.0, 4.0, 0.9, cut=True))
    assert told.args[0].offset == 4.0
    assert column_texts(table, "state") == ["┄ cut"]


def test_states_and_verdicts_can_be_told_without_colours(table):
    rows = [
        EventRow(1, "Dog", 0, 1, 0.5, state="open"),
        EventRow(2, "Dog", 0, 1, 0.5, review="confirmed"),
        EventRow(3, "Dog", 0, 1, 0.5, cut=True, review="rejected"),
    ]
    table.set_events(rows)
    assert len(set(column_texts(table, "state"))) == 3
    assert len(set(column_texts(table, "review"))) == 3


def test_tab_goes_through_the_rows(table, qtbot):
    table.set_events(event_row(number) for number in range(3))
    table.show()
    table.view.selectRow(0)
    for expected in (1, 2):
        qtbot.keyClick(table.view, Qt.Key.Key_Tab)
        assert table.view.currentIndex().row() == expected
    qtbot.keyClick(table.view, Qt.Key.Key_Backtab)
    assert table.view.currentIndex().row() == 1


def test_table_of_files_has_no_verdicts(qtbot):
    table = EventTable(LABELS, FILE_COLUMNS)
    qtbot.addWidget(table)
    table.show()
    table.set_events([EventRow(1, "Dog", 0.5, 1.25, 0.9, source="a/b.wav")])
    assert not table.review.isVisible()
    assert column_texts(table, "source", FILE_COLUMNS) == ["a/b.wav"]
    assert column_texts(table, "duration", FILE_COLUMNS) == ["0.75"]


def test_ten_thousand_events_stall_nothing(table, qtbot):
    rows = [event_row(number) for number in range(10_000)]
    table.resize(1000, 600)
    table.show()
    actions = {
        "filled": lambda: table.set_events(rows),
        "sorted by label": lambda: table.view.sortByColumn(1, Qt.SortOrder.AscendingOrder),
        "sorted by peak": lambda: table.view.sortByColumn(
            PAST_COLUMNS.index("peak"), Qt.SortOrder.DescendingOrder
        ),
        "filtered": lambda: table.words.setText("kettle"),
        "shown again": table.words.clear,
        "one more": lambda: table.take(event_row(10_001)),
        "news of one": lambda: table.take(event_row(5000, seed=1)),
        "chosen": lambda: table.view.selectRow(9000),
    }
    for name, action in actions.items():
        # The best of three: what a busy machine adds is not the table's.
        times = [seconds_taken(lambda action=action: (action(), qtbot.wait(0))) for _ in range(3)]
        assert min(times) < LONGEST_STALL_S, f"{name}: {min(times):.3f} s"
    assert table.shown.rowCount() == 10_001


def test_notes_have_room_in_a_narrow_table_and_all_that_is_left_in_a_wide_one(table):
    note = PAST_COLUMNS.index("note")
    for width in (500, 1600, 700):
        table.resize(width, 300)
        table.show()
        widths = [table.view.columnWidth(column) for column in range(len(PAST_COLUMNS))]
        assert widths[note] >= LEAST_STRETCH
        assert width == 1600 or widths[note] == LEAST_STRETCH
        assert width != 1600 or sum(widths) == table.view.viewport().width()


def test_an_event_that_is_dropped_can_come_again(table):
    table.set_events(event_row(number) for number in range(5))
    table.model.drop(2)
    table.model.drop(2)
    assert sorted(row.id for row in table.shown_events()) == [0, 1, 3, 4]
    table.take(event_row(2))
    assert len(table.shown_events()) == 5
