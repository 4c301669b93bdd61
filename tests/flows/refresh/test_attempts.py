"""What is tried again, how often, and what ends it."""

import time

import pytest

from flows.refresh.attempts import attempted
from flows.refresh.config import Attempts
from transforms.errors import ConfigError, EngineError, SourceError

pytestmark = pytest.mark.slow  # imports Prefect
AT_ONCE = Attempts(retries=2, delay_seconds=0)


class Work:
    """Raises one error after the other, then gives "done"."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_something_that_was_down_is_tried_again():
    work = Work(EngineError("down"), SourceError("down"))
    assert (attempted(work, AT_ONCE), work.calls) == ("done", 3)


def test_it_is_given_up_after_the_last_attempt_with_its_own_error():
    work = Work(*(SourceError(f"down {number}") for number in range(3)))
    with pytest.raises(SourceError, match="down 2"):
        attempted(work, AT_ONCE)


def test_a_wrong_recipe_is_not_tried_again():
    work = Work(ConfigError("wrong"))
    with pytest.raises(ConfigError, match="wrong"):
        attempted(work, AT_ONCE)
    assert work.calls == 1


def test_each_wait_is_twice_as_long_as_the_one_before(caplog):
    work = Work(*(EngineError("down") for _ in range(3)))
    attempted(work, Attempts(retries=3, delay_seconds=0.01))
    assert [record.args[2] for record in caplog.records] == [0.01, 0.02, 0.04]


def test_an_attempt_that_takes_too_long_is_stopped_and_not_tried_again():
    calls = []

    def work():
        calls.append(1)
        for _ in range(600):  # the timeout comes between two lines of Python, and not into one that waits
            time.sleep(0.1)

    with pytest.raises(ConfigError, match=r"took longer than 0 s \(attempts.timeout_seconds\)"):
        attempted(work, Attempts(retries=2, delay_seconds=0, timeout_seconds=0.1))
    assert calls == [1]


def test_a_timeout_of_its_own_work_is_not_taken_for_that():
    with pytest.raises(TimeoutError, match="a socket"):
        attempted(Work(TimeoutError("a socket")), Attempts(retries=0, timeout_seconds=60))
