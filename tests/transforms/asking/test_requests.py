"""What is asked of the models, and the ids that decide whether it was asked before."""

import dataclasses

import numpy as np
import pytest
from tests_support import chat, completions_of_cuts, pairs_table, row

from transforms.asking.requests import (
    Prefix,
    completion_id,
    cut_sides,
    request_seed,
    sample_prefixes,
    score_id,
    score_requests,
)
from transforms.engines.protocol import ModelIdentity, Sampling, ScoreRequest
from transforms.preparation.prepare import prepare
from transforms.preparation.truncation import Truncation

CHAT = chat()
IDENTITY = ModelIdentity("org/policy", "abc", "f" * 64, "bfloat16", "vllm")
SAMPLING = Sampling(1.0, 1.0, (CHAT.eot_id,))
IDS = np.array([1, 2, 3], np.int32)
FACTS = {"seed": 1, "sample_index": 0, "max_tokens": 8}


def prepared(*rows, **truncation):
    return prepare(pairs_table(*rows), CHAT, Truncation(**truncation), max_length=None).pairs


def samples(pairs, *, n=2, context=None, max_new_tokens=8, seed=0):
    return list(
        completions_of_cuts(
            pairs, IDENTITY, SAMPLING, n=n, run_seed=seed, max_new_tokens=max_new_tokens, context=context
        )
    )


PAIR = row("q", "the cat sat on the mat", "dog")


def test_poet_samples_the_longer_side_only_n_times_from_prompt_and_kept_prefix():
    pairs = prepared(PAIR)
    found = samples(pairs)
    [pair] = pairs.to_pylist()
    assert [(s.side, s.request.sample_index) for s in found] == [("chosen", 0), ("chosen", 1)]
    assert found[0].request.token_ids == pair["prompt_ids"] + pair["chosen_ids"][: pair["chosen_keep"]]


def test_ratio_samples_both_sides():
    found = samples(prepared(PAIR, method="ratio", ratio=0.5))
    assert [s.side for s in found] == ["chosen", "chosen", "rejected", "rejected"]


def test_a_side_that_lost_only_its_end_of_turn_is_not_sampled():
    assert cut_sides(prepared(PAIR, method="none", eot="never")) == []


def test_a_dropped_pair_is_not_paid_for():
    assert samples(prepared({**PAIR, "reason": "tie"})) == []


def test_request_ids_stay_what_they_were_or_every_ledger_would_be_paid_again():
    found = samples(prepared(PAIR, method="ratio", ratio=0.5))
    assert [s.request.request_id for s in found] == [
        "dbffee16d5e26de3b64e8bf3170f2445",
        "502e4d45194fb5dc961ed0082919fc20",
        "5bacbcd902e339d3f9b291f7955547f0",
        "6dc1ed78000e72d0f02fa638450f33a3",
    ]


def explicit(pairs, *prefixes, context=None):
    return list(sample_prefixes(pairs, prefixes, IDENTITY, SAMPLING, run_seed=0, max_new_tokens=8, context=context))


def test_a_prefix_asked_for_by_name_is_the_request_that_poet_and_a_ratio_make_of_it():
    poet, half = prepared(PAIR), prepared(PAIR, method="ratio", ratio=0.5)
    [keep] = poet["chosen_keep"].to_pylist()
    assert keep == half["chosen_keep"].to_pylist()[0] == 3
    named = explicit(poet, Prefix(0, "chosen", keep, range(2)))
    assert named == samples(poet) == samples(half)[:2]
    assert explicit(half, Prefix(0, "chosen", keep, range(2))) == named


def test_further_samples_of_a_prefix_have_their_own_ids_and_leave_the_first_ones_alone():
    pairs = prepared(PAIR)
    late = explicit(pairs, Prefix(0, "chosen", 3, [4, 2]))
    assert [s.request.sample_index for s in late] == [4, 2]
    assert explicit(pairs, Prefix(0, "chosen", 3, range(5)))[4] == late[0]


def test_a_prefix_keeps_its_tokens_whatever_the_pairs_own_truncation_keeps():
    pairs = prepared(PAIR)
    [found] = explicit(pairs, Prefix(0, "chosen", 5, [0]))
    [pair] = pairs.to_pylist()
    assert found.keep == 5
    assert found.request.token_ids == pair["prompt_ids"] + pair["chosen_ids"][:5]


def test_a_prefix_that_fills_the_context_has_no_completions():
    pairs = prepared(PAIR)
    context = len(pairs["prompt_ids"][0]) + 4
    assert [s.keep for s in explicit(pairs, *(Prefix(0, "chosen", k, [0]) for k in (3, 4, 5)), context=context)] == [3]


def test_near_the_end_of_the_context_fewer_tokens_are_asked_for_and_the_id_says_so():
    pairs = prepared(PAIR)
    length = len(samples(pairs)[0].request.token_ids)
    [short, _] = samples(pairs, context=length + 3)
    assert short.request.max_tokens == 3
    assert short.request.request_id != samples(pairs)[0].request.request_id
    assert samples(pairs, context=length) == []


def test_every_sample_has_a_seed_of_its_own_that_the_run_seed_changes():
    rows = [row(f"q{i}", "the cat sat on the mat", "dog") for i in range(20)]
    seeds = [s.request.seed for s in samples(prepared(*rows), n=5)]
    assert len(set(seeds)) == 100
    assert not set(seeds) & {s.request.seed for s in samples(prepared(*rows), n=5, seed=1)}
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_seed_is_the_same_on_every_machine():
    assert request_seed(0, "ab", "chosen", 7, 0) == 1851981220  # b2sum -l 32 of "0\0ab\0chosen\0007\0000", 31 bits


@pytest.mark.parametrize(
    "change", [{"name": "x"}, {"revision": "x"}, {"fingerprint": "x"}, {"dtype": "float32"}, {"engine": "server"}]
)
def test_an_id_covers_everything_about_the_model(change):
    other = dataclasses.replace(IDENTITY, **change)
    assert completion_id(other, SAMPLING, IDS, FACTS) != completion_id(IDENTITY, SAMPLING, IDS, FACTS)
    assert score_id(other, IDS) != score_id(IDENTITY, IDS)


@pytest.mark.parametrize("change", [{"temperature": 0.9}, {"top_p": 0.9}, {"stop_token_ids": ()}])
def test_an_id_covers_the_sampling_distribution(change):
    other = dataclasses.replace(SAMPLING, **change)
    assert completion_id(IDENTITY, other, IDS, FACTS) != completion_id(IDENTITY, SAMPLING, IDS, FACTS)


@pytest.mark.parametrize("change", [{"seed": 2}, {"sample_index": 1}, {"max_tokens": 9}])
def test_an_id_covers_seed_sample_index_and_room(change):
    assert completion_id(IDENTITY, SAMPLING, IDS, FACTS | change) != completion_id(IDENTITY, SAMPLING, IDS, FACTS)


def test_an_id_covers_the_tokens_in_order():
    assert score_id(IDENTITY, IDS) != score_id(IDENTITY, IDS[::-1])


def test_a_conversation_longer_than_the_reward_models_context_says_both_numbers():
    fits, too_long, refused = score_requests(IDENTITY, [[0] * 10, [0] * 11, "no system turn"], 10)
    assert isinstance(fits, ScoreRequest)
    assert "has 11 tokens and the reward model reads 10" in too_long
    assert refused == "no system turn"
