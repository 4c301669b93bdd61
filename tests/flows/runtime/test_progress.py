"""What is said of the time that is left: nothing until it means something. Seconds are of a clock that a test sets."""

import io
import logging
from types import SimpleNamespace

import pytest
from rich.console import Console

from flows.runtime.progress import Progress, _State, _TimeRemaining


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lines(clock):
    """What is said after each (second, units, tokens)."""

    def said(*steps, total=180):
        clock.now = 0.0
        state = _State("sample", "completions", total, clock)
        found = []
        for second, units, tokens in steps:
            clock.now = second
            state.add(units, tokens)
            found.append(state.line().removeprefix("sample: "))
        return found

    return said


def test_the_first_completion_after_the_load_promises_nothing(lines):
    assert lines((64, 1, 30)) == ["1 of 180 completions, 0 tokens/s, 64 s"]


def test_an_estimate_waits_for_five_percent_of_what_the_first_left(lines):
    # Of 179 that is 8.95, so nine. The 64 s of the load and the first unit are no part of it: 9 in 20 s, 170 left.
    assert lines((64, 1, 30), (80, 8, 240), (84, 1, 30)) == [
        "1 of 180 completions, 0 tokens/s, 64 s",
        "9 of 180 completions, 3 tokens/s, 80 s",
        "10 of 180 completions, 4 tokens/s, 84 s, 378 s to go",
    ]


def test_and_for_ten_seconds_after_the_first(lines):
    # 100 in 10 s, 79 left.
    assert lines((60, 1, 9), (69.9, 100, 900), (70, 0, 0)) == [
        "1 of 180 completions, 0 tokens/s, 60 s",
        "101 of 180 completions, 13 tokens/s, 70 s",
        "101 of 180 completions, 13 tokens/s, 70 s, 8 s to go",
    ]


def test_one_unit_alone_tells_no_speed_however_long_it_took(lines):
    assert lines((600, 1, 900), (700, 0, 0), (720, 1, 900), total=5) == [
        "1 of 5 completions, 2 tokens/s, 600 s",
        "1 of 5 completions, 1 tokens/s, 700 s",
        "2 of 5 completions, 2 tokens/s, 720 s, 360 s to go",
    ]


def test_the_end_has_nothing_to_go_and_an_open_end_no_estimate(lines):
    assert lines((10, 1, 50), (30, 1, 50), total=2)[-1] == "2 of 2 completions, 3 tokens/s, 30 s"
    assert lines((10, 1, 50), (50, 40, 50), total=None)[-1] == "41 completions, 2 tokens/s, 50 s"


def test_what_an_earlier_run_left_says_nothing_of_the_speed(clock):
    state = _State("sample", "completions", 1000, clock)
    state.add(900, 0, reused=True)
    clock.now = 30
    assert state.remaining() is None
    state.add(1, 9)
    clock.now = 50
    assert state.remaining() is None
    state.add(5, 45)
    assert state.remaining() == 20 * 94 / 5


def test_a_batch_that_failed_is_forgotten_with_the_load_of_the_next_engine(clock):
    state = _State("sample", "completions", 100, clock)
    state.add(30, 300)
    clock.now = 20
    state.add(10, 100)
    assert state.remaining() == 20 * 60 / 10
    state.add(-40, -400)
    clock.now = 100
    state.add(10, 100)
    assert state.remaining() is None
    clock.now = 120
    state.add(10, 100)
    assert state.remaining() == 20 * 80 / 10


def test_bunches_of_one_size_and_pace_are_foretold_exactly_from_the_second_on(clock):
    state = _State("sample", "completions", 64, clock)
    found = []
    for bunch in range(1, 5):
        clock.now = 45 + 20 * bunch
        state.add(16, 160)
        found.append(state.remaining())
    assert found == [None, 40.0, 20.0, 0.0]


def test_the_last_column_of_a_terminals_bar_says_the_same(clock):
    state = _State("sample", "completions", 180, clock)
    column, task = _TimeRemaining(state), SimpleNamespace(total=180)
    assert str(column.render(task)) == "-:--:--"
    clock.now = 64
    state.add(1, 30)
    assert str(column.render(task)) == "-:--:--"
    clock.now = 84
    state.add(9, 30)
    assert str(column.render(task)) == "0:06:17"  # 377.8 s
    state.add(170, 0)
    assert str(column.render(task)) == "0:00:00"
    state.total = task.total = None
    assert str(column.render(task)) == ""


def test_a_terminal_and_a_log_follow_the_rule(clock, caplog):
    caplog.set_level(logging.INFO)
    screen = io.StringIO()
    for file, terminal in ((screen, True), (io.StringIO(), False)):
        clock.now = 0.0
        shown = Progress(clock)
        shown._console = Console(file=file, force_terminal=terminal, width=100)
        with shown.bar("sample", unit="completions", total=180) as advance:
            for second, units in ((64, 1), (84, 9)):
                clock.now = second
                advance(units, 30)
    assert "-:--:--" in screen.getvalue()
    assert caplog.messages == [
        "sample: 10 of 180 completions, 1 tokens/s, 84 s, 378 s to go",  # what the bar leaves behind
        "sample: 1 of 180 completions, 0 tokens/s, 64 s",
        "sample: 10 of 180 completions, 1 tokens/s, 84 s, 378 s to go",
        "sample: 10 of 180 completions, 1 tokens/s, 84 s, 378 s to go",
    ]
