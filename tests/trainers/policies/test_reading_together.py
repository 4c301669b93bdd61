"""Two processes that share a reference's weights say of responses what one says that holds them all."""

import json
from typing import Any

import pytest
import together_cases
import torch
from launch_support import in_two
from together_cases import BATCHES, load

from trainers.policies.token_readings import FrozenModel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def read(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Any]:
    """The dtype, and what the two processes found and saw."""
    folder = tmp_path_factory.mktemp(request.param)
    in_two(together_cases.__file__, folder, request.param)
    return request.param, *(json.loads((folder / f"{name}.json").read_text()) for name in ("first", "other"))


def test_log_probs_are_those_of_one_process(read: tuple[str, Any, Any]) -> None:
    dtype, first, _ = read
    alone = FrozenModel(load(), batch_tokens=40, cast_to=torch.bfloat16 if dtype == "bfloat16" else None)
    for batch, found in zip(BATCHES, first["tokens"], strict=True):
        expected = alone.token_log_probs(batch, lambda _tokens: None)
        for example, responses in zip(expected, found, strict=True):
            for tokens, own in zip(example, responses, strict=True):
                # In bf16 rows of other lengths round otherwise.
                assert own == pytest.approx(tokens.tolist(), abs=1e-5 if dtype == "float32" else 0.05)


def test_every_response_token_is_counted_once(read: tuple[str, Any, Any]) -> None:
    _, first, other = read
    tokens = sum(example.kept_tokens for batch in BATCHES for example in batch)
    assert sum(first["told"]) == tokens
    assert other["told"] == []


def test_the_model_is_loaded_once_in_each_and_half_of_it_stays_there(read: tuple[str, Any, Any]) -> None:
    _, *both = read
    assert [len(process["held"]) for process in both] == [1, 1]
    assert sum(process["held"][0] for process in both) == pytest.approx(1)
    assert all(0.4 < process["held"][0] < 0.6 for process in both)


def test_no_model_is_loaded_where_nothing_is_to_be_read(read: tuple[str, Any, Any]) -> None:
    assert [process["idle"] for process in read[1:]] == [[], []]


def test_nothing_of_the_model_is_left_when_it_was_read(read: tuple[str, Any, Any]) -> None:
    assert [process["left"] for process in read[1:]] == [[False], [False]]


def test_a_failure_says_that_the_training_has_to_be_started_again(read: tuple[str, Any, Any]) -> None:
    _, first, _ = read
    assert first["message"].startswith("reading the reference in 2 processes failed: IndexError: index out of range")
    assert first["message"].endswith("Start the training again: what was read is in the ledger")
