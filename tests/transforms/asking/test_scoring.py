"""What the reward model reads, and which answers are no answer."""

import math

import pytest
from tests_support import chat, completions_of_cuts, pairs_table, row

from transforms.asking.readings import Reading, completion_readings, full_readings, why_unusable
from transforms.chat.conversation import Asked, answer
from transforms.engines.protocol import ModelIdentity, Sampling
from transforms.preparation.prepare import prepare
from transforms.preparation.truncation import Truncation

CHAT = chat()
IDENTITY = ModelIdentity("p", "r", "f", "float32", "fake")
TEXT = "the cat 👩 sat"


def part(truncation=None):
    pairs = prepare(pairs_table(row("q", TEXT, "dog")), CHAT, truncation or Truncation(), max_length=None).pairs
    found = list(
        completions_of_cuts(pairs, IDENTITY, Sampling(1, 1, ()), n=2, run_seed=0, max_new_tokens=9, context=None)
    )
    return pairs, found


def test_both_full_responses_of_the_named_rows_are_read_with_their_prompt():
    pairs = prepare(
        pairs_table(row("q", TEXT, "dog"), row("p", "a", "b"), row("o", "c", "d")), CHAT, Truncation(), max_length=None
    ).pairs
    found = full_readings(pairs, [2, 0], CHAT)
    wanted = [(r, side, pairs[side][r].as_py()) for r in (2, 0) for side in ("chosen", "rejected")]
    assert [(r.pair_row, r.side, r.answer["content"]) for r in found] == wanted
    assert {(r.keep, r.sample) for r in found} == {(None, None)}
    assert found[0].asked.turns == pairs["prompt"][2].as_py()


def test_each_completion_is_read_as_the_response_that_it_makes_of_its_prefix():
    pairs, samples = part()
    keep = pairs["chosen_keep"][0].as_py()
    [kept] = CHAT.kept_texts([TEXT], CHAT.encode([TEXT]), [keep])
    texts = {s.request.request_id: CHAT.encode([t]).row(0).tolist() for s, t in zip(samples, [" x", " y"], strict=True)}
    asked = Asked([{"role": "user", "content": "q"}])
    assert completion_readings(pairs, samples, texts, CHAT) == [
        Reading(0, "chosen", keep, 0, asked, answer(kept + " x")),
        Reading(0, "chosen", keep, 1, asked, answer(kept + " y")),
    ]


def test_a_character_that_the_cut_split_is_whole_again_when_the_completion_brings_its_other_half():
    ids = CHAT.encode([TEXT]).row(0).tolist()
    pairs, samples = part(Truncation(method="tokens", tokens=ids.index(CHAT.encode([" 👩"]).row(0)[1]) + 1))
    keep = pairs["chosen_keep"][0].as_py()
    assert 0 < keep < len(ids)
    completions = {s.request.request_id: ids[keep:] for s in samples if s.side == "chosen"}
    completions |= {s.request.request_id: [] for s in samples if s.side == "rejected"}
    found = completion_readings(pairs, samples, completions, CHAT)
    assert {r.answer["content"] for r in found if r.side == "chosen"} == {TEXT}


FULL = Reading(0, "rejected", None, None, Asked([]), answer("text"))
COMPLETION = Reading(0, "chosen", 3, 1, Asked([]), answer("text"))


@pytest.mark.parametrize(
    ("reward", "says"),
    [
        (math.nan, "the reward model returned nan"),
        (math.inf, "the reward model returned inf"),
        ("too long", "too long"),
    ],
)
def test_a_reward_that_is_no_number_says_whose_it_is(reward, says):
    assert why_unusable(COMPLETION, reward) == f"a completion of the chosen side: {says}"
    assert why_unusable(FULL, reward) == f"the full response of the rejected side: {says}"


@pytest.mark.parametrize("reward", [0.0, -3.5, 1e30])
def test_any_finite_reward_is_usable(reward):
    assert why_unusable(FULL, reward) is None
