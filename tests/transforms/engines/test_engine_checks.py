import numpy as np
import pytest

from transforms.engines.checks import check_completions, check_scores
from transforms.engines.protocol import CompletionRequest, Sampling, ScoreRequest
from transforms.errors import EngineError

SAMPLING = Sampling(1.0, 1.0, (2,))


def request(ids, *, seed=0, max_tokens=4):
    return CompletionRequest("r7", ids, seed, 0, max_tokens)


def test_a_request_that_exactly_fills_the_context_is_fine():
    check_completions([request([1, 2, 3, 9])], SAMPLING, vocab=10, context=8)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (request([]), "r7 has no tokens"),
        (request([1, 10]), "r7 has the token id 10, expected 0 to 9"),
        (request([-1, 3]), "r7 has the token id -1"),
        (request([1], max_tokens=0), "r7 asks for 0 tokens, expected at least 1"),
        (request([1], seed=-1), "r7 has the seed -1"),
        (request([1] * 8, max_tokens=1), "r7 has 8 tokens, which leave no room in the model's context of 8"),
        (request([1] * 9, max_tokens=1), "r7 has 9 tokens, which leave no room in the model's context of 8"),
        (request([1] * 5), "r7 has 5 tokens and asks for 4 more, but the model's context is 8"),
    ],
)
def test_a_bad_request_is_named_before_anything_is_sampled(bad, message):
    with pytest.raises(EngineError, match=message):
        check_completions([request([1]), bad], SAMPLING, vocab=10, context=8)


def test_numpy_ids_are_ids():
    check_completions([request(np.array([1, 2], dtype=np.int32))], SAMPLING, vocab=10, context=8)


@pytest.mark.parametrize("sampling", [Sampling(-0.1, 1.0, ()), Sampling(1.0, 0.0, ()), Sampling(1.0, 1.1, ())])
def test_an_impossible_distribution_is_refused(sampling):
    with pytest.raises(EngineError, match="expected temperature >= 0 and 0 < top_p <= 1"):
        check_completions([], sampling, vocab=10, context=8)


def test_a_conversation_longer_than_the_reward_models_context_is_refused():
    with pytest.raises(EngineError, match="s1 has 3 tokens, but the reward model's context is 2"):
        check_scores([ScoreRequest("s1", [1, 2, 3])], vocab=10, context=2)
