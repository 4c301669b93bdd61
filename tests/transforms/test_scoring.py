"""What the reward model reads, and how a missing reward is dealt with."""

import math

import pytest
from tests_support import chat, pairs_table, row

from transforms.engines.protocol import ModelIdentity, Sampling
from transforms.prepare import prepare
from transforms.requests import prefix_samples
from transforms.scoring import assemble, readings
from transforms.truncation import Truncation

CHAT = chat()
IDENTITY = ModelIdentity("p", "r", "f", "float32", "fake")
TEXT = "the cat 👩 sat"


def part(truncation=None, **fields):
    pairs = prepare(
        pairs_table(row("q", TEXT, "dog", **fields)), CHAT, truncation or Truncation(), max_length=None
    ).pairs
    found = list(prefix_samples(pairs, IDENTITY, Sampling(1, 1, ()), n=2, run_seed=0, max_new_tokens=9, context=None))
    return pairs, found


def read(pairs, samples, texts):
    completions = {s.request.request_id: CHAT.encode([t]).row(0).tolist() for s, t in zip(samples, texts, strict=True)}
    return readings(pairs, samples, completions, CHAT)


def test_full_responses_and_prefix_with_completion_are_read_with_the_prompt():
    pairs, samples = part()
    kept = CHAT.kept_text(TEXT, CHAT.encode([TEXT]).row(0), pairs["chosen_keep"][0].as_py())
    found = read(pairs, samples, [" x", " y"])
    assert [(r.side, r.sample, r.response) for r in found] == [
        ("chosen", False, TEXT),
        ("rejected", False, "dog"),
        ("chosen", True, kept + " x"),
        ("chosen", True, kept + " y"),
    ]
    assert found[0].prompt == [{"role": "user", "content": "q"}]


def test_a_character_that_the_cut_split_is_whole_again_when_the_completion_brings_its_other_half():
    ids = CHAT.encode([TEXT]).row(0).tolist()
    pairs, samples = part(Truncation(method="tokens", tokens=ids.index(CHAT.encode([" 👩"]).row(0)[1]) + 1))
    keep = pairs["chosen_keep"][0].as_py()
    assert 0 < keep < len(ids)
    completions = {s.request.request_id: ids[keep:] for s in samples if s.side == "chosen"}
    completions |= {s.request.request_id: [] for s in samples if s.side == "rejected"}
    texts = {r.response for r in readings(pairs, samples, completions, CHAT) if r.sample and r.side == "chosen"}
    assert texts == {TEXT}


def test_dropped_pairs_are_not_read():
    pairs, samples = part(reason="tie")
    assert readings(pairs, samples, {}, CHAT) == []


def scored(rewards):
    pairs, samples = part()
    return assemble(pairs, read(pairs, samples, ["x", "y"]), rewards, completions_per_side=2)


def test_rewards_go_to_their_pair_and_the_whole_side_counts_as_one_sample():
    [pair] = scored([2.0, 1.0, 0.5, 3.0]).rewards.values()
    assert pair.full == {"chosen": 2.0, "rejected": 1.0}
    assert pair.samples == {"chosen": [0.5, 3.0], "rejected": [1.0]}
    assert pair.completions == 2


@pytest.mark.parametrize(
    ("reward", "says"), [(math.nan, "returned nan"), (math.inf, "returned inf"), ("too long", "too long")]
)
def test_a_pair_without_a_usable_reward_is_quarantined_and_never_judged_by_the_rest(reward, says):
    result = scored([2.0, 1.0, reward, 3.0])
    [bad] = result.quarantined
    assert result.rewards == {}
    assert says in bad.error
    assert bad.error.startswith("a completion of the chosen side")
    assert bad.row["chosen"] == TEXT
