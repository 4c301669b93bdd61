"""What a command's terminal shows of log records."""

import logging

import pytest

from flows.runtime.cli import _ForTheTerminal


def record(name, message="a line", level=logging.ERROR):
    return logging.LogRecord(name, level, __file__, 1, message, (), None)


@pytest.mark.parametrize("name", ["prefect.flow_runs", "EventsWorker", "APILogWorker"])
def test_prefects_own_lines_are_left_to_its_ui(name):
    assert not _ForTheTerminal().filter(record(name))
    assert _ForTheTerminal().filter(record(name, level=logging.CRITICAL))


@pytest.mark.parametrize("name", ["flows.runtime.progress", "transforms.asking.ledger", "huggingface_hub"])
def test_all_others_are_shown(name):
    assert _ForTheTerminal().filter(record(name))


def test_a_token_is_masked():
    shown = record("flows", "sent with Bearer abc123 and hf_abcdefgh1234")
    _ForTheTerminal().filter(shown)
    assert shown.getMessage() == "sent with *** and ***"
