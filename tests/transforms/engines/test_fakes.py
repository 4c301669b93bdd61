import math

import pytest

from transforms.engines.fakes import FakeCompletions, FakePositions, FakeRewards
from transforms.engines.protocol import (
    CompletionEngine,
    CompletionRequest,
    PositionEngine,
    PositionRequest,
    RewardEngine,
    Sampling,
    ScoreRequest,
)
from transforms.errors import EngineError

SAMPLING = Sampling(1.0, 1.0, (2,))


def requests(*seeds, max_tokens=50):
    return [CompletionRequest(f"r{seed}", [5, 6], seed, 0, max_tokens) for seed in seeds]


def test_completions_depend_on_content_and_not_on_order_or_batch():
    engine: CompletionEngine = FakeCompletions()
    together = engine.complete(requests(1, 2, 3), SAMPLING)
    alone = [FakeCompletions().complete(requests(seed), SAMPLING)[0] for seed in (1, 2, 3)]
    assert together == alone
    assert len({tuple(c.token_ids) for c in together}) == 3


def test_a_stopped_completion_ends_in_the_stop_token_and_holds_it_once():
    for completion in FakeCompletions(stop_rate=0.2).complete(requests(*range(40)), SAMPLING):
        assert (completion.token_ids[-1] == 2) == (completion.finish_reason == "stop")
        assert 2 not in completion.token_ids[:-1]


def test_greedy_completions_do_not_know_the_seed():
    first, second = FakeCompletions().complete(requests(1, 2), Sampling(0.0, 1.0, (2,)))
    assert first.token_ids == second.token_ids


def test_the_named_call_fails_and_the_next_one_works():
    engine = FakeCompletions(fail_at=[2])
    engine.complete(requests(1), SAMPLING)
    with pytest.raises(EngineError, match="call 2 was told to fail"):
        engine.complete(requests(2), SAMPLING)
    engine.complete(requests(3), SAMPLING)
    assert (engine.calls, engine.seen) == (3, ["r1", "r3"])


def test_rewards_depend_on_tokens_and_can_be_no_number():
    engine: RewardEngine = FakeRewards(nan_for=["b"])
    a, b, c = engine.score([ScoreRequest("a", [1, 2]), ScoreRequest("b", [1]), ScoreRequest("c", (1, 2))])
    assert a == c
    assert math.isnan(b)
    assert -10 <= a < 10


def test_a_reward_model_of_the_wrong_shape_is_an_engine_error():
    with pytest.raises(EngineError, match=r"shape \(1, 2\), expected one number a row"):
        FakeRewards(wrong_shape=True).score([ScoreRequest("a", [1])])


def test_positions_depend_on_the_tokens_up_to_their_own():
    engine: PositionEngine = FakePositions(vocab=100)
    first, second, other = engine.positions(
        [PositionRequest("a", [1], [5, 6, 7]), PositionRequest("b", [1], [5, 6, 8]), PositionRequest("c", [2], [5])]
    )
    assert first.log_prob[:2].tolist() == second.log_prob[:2].tolist()
    assert first.log_prob[2] != second.log_prob[2]
    assert first.entropy.tolist() == second.entropy.tolist()
    assert first.entropy[0] != other.entropy[0]
    for one in (first, second, other):
        assert ((one.entropy >= 0) & (one.entropy <= math.log(100))).all()
        assert ((one.log_prob >= -10) & (one.log_prob <= 0)).all()


def test_the_named_call_for_positions_fails():
    engine = FakePositions(fail_at=[1])
    with pytest.raises(EngineError, match="call 1 was told to fail"):
        engine.positions([])
    engine.positions([PositionRequest("a", [1], [2])])
    engine.close()
    assert (engine.calls, engine.seen, engine.closed) == (2, ["a"], True)
