"""Other thresholds on scores that are there: the sliders, what they find, and how fast."""

import time
from datetime import UTC, datetime

import numpy as np
import pytest

pytest.importorskip("PyQt6")
from edge_app.core.decode import LabelDecoding
from edge_app.formats.json_file import read_json, write_json
from edge_app.sessions.differences import Difference
from edge_app.stream.board import Board
from edge_app.stream.what_if import Heard, NearMiss, what_if
from edge_app.views.history.change_table import changes, tried_text
from edge_app.views.live.live_what_if import LiveWhatIf
from edge_app.views.live.near_miss_table import NearMissTable, merged
from edge_app.views.live.what_if_panel import WhatIfPanel, with_threshold
from edge_app.views.live.what_if_runner import Redecoder, WhatIfRunner

LABELS = ("Cat", "Dog")
DECODING = {
    "Cat": LabelDecoding(threshold_on=0.5, threshold_off=0.4, median_frames=5),
    "Dog": LabelDecoding(threshold_on=0.6, median_frames=9, min_on_s=0.3, min_off_s=0.2),
}
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def noise(frames, labels=2, seed=5):
    steps = np.random.default_rng(seed).normal(0, 0.03, (frames, labels))
    wave = np.abs(np.cumsum(steps, axis=0) % 2 - 1).astype(np.float32)
    wave[frames // 3 : frames // 3 + 40] = np.nan
    return wave


def tried(label, threshold_on):
    return {**DECODING, label: with_threshold(DECODING[label], threshold_on)}


def test_redecoder_gives_what_the_decoder_gives_whatever_was_asked_before():
    scores = noise(3000)
    past = Redecoder(scores, 700, LABELS)
    for decoding in (DECODING, tried("Dog", 0.3), tried("Cat", 0.8), DECODING, tried("Dog", 0.35)):
        for enabled in (None, ("Dog",), ()):
            assert past.run(decoding, enabled) == what_if(scores, 700, LABELS, decoding, enabled)


def test_ten_minutes_are_decoded_anew_within_50_ms_when_a_slider_moves():
    labels = tuple(f"label_{place}" for place in range(10))
    own = LabelDecoding(threshold_on=0.5, median_frames=27, min_on_s=0.2, min_off_s=0.1)
    past = Redecoder(noise(30_000, 10), 0, labels)
    past.run(dict.fromkeys(labels, own))
    times = []
    for step in range(5):
        decoding = {**dict.fromkeys(labels, own), "label_3": with_threshold(own, 0.3 + step / 20)}
        begin = time.perf_counter()
        past.run(decoding)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.05, times


def test_runner_answers_the_newest_question_last(qtbot):
    runner = WhatIfRunner(LABELS)
    scores, answers = noise(2000), []
    runner.look(scores, 0)
    runner.found.connect(lambda found, before: answers.append((found, before)))
    for threshold in (0.2, 0.3, 0.4, 0.7):
        runner.ask(tried("Dog", threshold), None, DECODING)
    qtbot.waitUntil(lambda: not runner.is_running)
    runner.close()
    assert answers[-1] == tuple(what_if(scores, 0, LABELS, one) for one in (tried("Dog", 0.7), DECODING))
    assert len(answers) == 2  # those between were overtaken


def test_panel_tells_what_is_tried_and_the_settings_stay_until_it_is_used(qtbot):
    panel = WhatIfPanel(LABELS, DECODING)
    qtbot.addWidget(panel)
    told, used, left = [], [], []
    panel.changed.connect(told.append)
    panel.used.connect(used.append)
    panel.left.connect(lambda: left.append(panel.decoding))
    assert not panel.use.isEnabled()
    panel.rows["Dog"].slider.setValue(30)
    assert told == [tried("Dog", 0.3)]
    assert told[0]["Dog"].off == pytest.approx(0.15)
    assert told[0]["Cat"] == DECODING["Cat"]
    panel.back.click()
    assert left == [DECODING]
    assert panel.rows["Dog"].slider.value() == 60
    panel.rows["Dog"].slider.setValue(30)
    panel.rows["Dog"].slider.setValue(60)
    assert not panel.is_trying
    panel.rows["Cat"].slider.setValue(80)
    panel.use.click()
    assert used == [tried("Cat", 0.8)]
    assert not panel.is_trying


def test_panel_shows_labels_that_are_off_without_a_slider_to_move(qtbot):
    panel = WhatIfPanel(LABELS, DECODING, ("Dog",))
    qtbot.addWidget(panel)
    assert not panel.rows["Cat"].slider.isEnabled()
    assert panel.rows["Dog"].slider.isEnabled()
    assert all(row.slider.accessibleName() for row in panel.rows.values())


def miss(onset, offset, score=0.5, label="Dog", reason="below threshold", missing=0.1):
    return NearMiss(label, onset, offset, score, reason, missing)


def test_near_misses_close_together_are_one_for_the_nearest_reason():
    near = [miss(0, 10, 0.5), miss(40, 45, 0.55), miss(50, 52, 0.3, "Cat"), miss(200, 210)]
    assert merged(near) == (miss(0, 45, 0.55), miss(50, 52, 0.3, "Cat"), miss(200, 210))
    short = miss(20, 25, 0.4, reason="too short", missing=0.2)
    assert merged([miss(0, 10), short])[0].reason == "too short"


def test_near_miss_table_says_why_by_how_much_and_when(qtbot, tmp_path):
    table = NearMissTable(LABELS)
    qtbot.addWidget(table)
    assert not table.export.isEnabled()
    table.show_misses(
        [
            miss(100, 120, 0.46, missing=0.04),
            miss(200, 205, 0.9, "Cat", "too short", 0.2),
            miss(300, 330, 0.8, "Cat", "label off", 0.0),
        ],
        BEGAN,
        "kitchen",
    )
    last = table.model.columnCount() - 1
    shown = [table.model.index(row, last).data() for row in range(3)]
    assert shown == ["its label is off", "0.20 s too short", "0.04 below the threshold"]
    assert table.rows()[-1].at == BEGAN.replace(second=2)
    table.view.selectRow(1)
    table.show_misses([miss(200, 205, 0.9, "Cat", "too short", 0.2), miss(100, 120)], BEGAN)
    assert table.current().onset == 4.0
    path = tmp_path / "misses.json"
    write_json(path, table.near_miss_export("night"))
    events = read_json(path).events
    assert [(event.onset, event.offset, event.note) for event in events] == [
        (2.0, 2.4, "near miss: 0.10 below the threshold"),
        (4.0, 4.1, "near miss: 0.20 s too short"),
    ]


def heard(onset, offset, label="Dog", score=0.9):
    return Heard(label, onset, offset, score)


def test_changes_name_what_would_come_go_and_move():
    before = [heard(0, 50), heard(100, 150), heard(300, 350), heard(0, 50, "Cat")]
    after = [heard(0, 50), heard(90, 150), heard(500, 550), heard(0, 50, "Cat", 0.8)]
    told = changes(before, after)
    assert told == [
        Difference("moved", "Dog", 2.0, 3.0, (1.8, 3.0)),
        Difference("missing", "Dog", 6.0, 7.0),
        Difference("extra", "Dog", 10.0, 11.0),
    ]
    assert tried_text(told[0]) == "↔ -0.20 s at its start, +0.00 s at its end"
    assert tried_text(told[2]) == "+ would be an event (1.00 s)"


def test_live_past_is_looked_at_again_as_it_grows_and_outlined_only_while_something_is_tried(qtbot):
    board = Board(LABELS)
    live = LiveWhatIf(LABELS, DECODING)
    qtbot.addWidget(live.panel)
    qtbot.addWidget(live.near_misses)
    live.panel.show()
    outlined = []
    live.found.connect(outlined.append)
    live.restart("kitchen")
    scores = np.zeros((600, 2), np.float32)
    for onset, score in ((100, 0.5), (300, 0.9), (570, 0.5)):
        scores[onset : onset + 25, 1] = score
    board._scores.write(0, scores)
    live.show_snapshot(board.snapshot())
    qtbot.waitUntil(lambda: bool(live.near_misses.rows()))
    assert [row.onset for row in live.near_misses.rows()] == [2.0]  # the newest may still become an event
    assert set(outlined) == {None}
    with qtbot.waitSignal(live.found):
        live.panel.rows["Dog"].slider.setValue(30)
    qtbot.waitUntil(lambda: outlined[-1] is not None)
    assert outlined[-1].events == what_if(scores, 0, LABELS, tried("Dog", 0.3)).events
    live.panel.back.click()
    assert outlined[-1] is None
    live.close_threads()


def test_a_run_that_is_over_is_looked_at_when_somebody_looks(qtbot):
    board = Board(LABELS)
    live = LiveWhatIf(LABELS, DECODING)
    qtbot.addWidget(live.panel)
    qtbot.addWidget(live.near_misses)
    live.restart("kitchen")
    scores = np.zeros((600, 2), np.float32)
    scores[100:125, 1] = 0.5
    board._scores.write(0, scores)
    live.show_snapshot(board.snapshot())  # nobody looks, and no other comes
    live.near_misses.show()
    qtbot.waitUntil(lambda: [row.onset for row in live.near_misses.rows()] == [2.0])
    live.close_threads()


def test_what_stays_chosen_in_a_table_is_told_once(qtbot):
    table = NearMissTable(LABELS)
    qtbot.addWidget(table)
    table.show_misses([miss(100, 120)], BEGAN)
    told = []
    table.selected.connect(told.append)
    table.view.selectRow(0)
    table.show_misses([miss(100, 120), miss(400, 420)], BEGAN)
    assert [row.onset for row in told] == [2.0]
    table.show_misses([miss(400, 420)], BEGAN)
    assert told[1:] == [None]
