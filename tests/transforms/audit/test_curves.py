"""Means, intervals and bins worked out by hand, and the plan of what a curve needs sampled."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_support import chat, completions_of_cuts, pairs_table, row

from transforms.asking.requests import sample_prefixes
from transforms.audit.curves import (
    PrefixKey,
    bin_starts,
    cut_prefixes,
    mean_point,
    position_curves,
    quality_curve,
    ratio_cuts,
    rewards_by_prefix,
    token_cuts,
    values_agree,
)
from transforms.engines.protocol import ModelIdentity, Positions, Sampling
from transforms.preparation.prepare import prepare
from transforms.preparation.truncation import Truncation
from transforms.tables.schema import SIDES

CHAT = chat()
IDENTITY = ModelIdentity("org/policy", "abc", "f" * 64, "bfloat16", "vllm")
SAMPLING = Sampling(1.0, 1.0, (CHAT.eot_id,))
LONG, SHORT = "the cat sat on the mat", "dog"  # 7 and 3 tokens with the end-of-turn


def prepared(*rows, **truncation):
    return prepare(pairs_table(*rows), CHAT, Truncation(**truncation), max_length=None).pairs


def three_pairs(**truncation):
    return prepared(*(row(f"q{i}", LONG, SHORT) for i in range(3)), **truncation)


def asked(pairs, prefixes, context=None):
    return list(sample_prefixes(pairs, prefixes, IDENTITY, SAMPLING, run_seed=0, max_new_tokens=8, context=context))


# --- one point


def test_the_interval_is_students_t_over_prompts():
    point = mean_point(5, np.array([1.0, 3.0]), ["a", "b"])
    # t with one degree of freedom is tan(0.475 π) = 12.7062; the standard error is √2 / √2 = 1.
    assert (point.at, point.mean, point.pairs) == (5, 2, 2)
    assert (point.low, point.high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)


def test_pairs_that_agree_leave_no_width():
    point = mean_point(1, np.array([0.5, 0.5, 0.5]), list("abc"))
    assert (point.low, point.mean, point.high) == (0.5, 0.5, 0.5)


def test_equal_pairs_of_a_prompt_are_one_observation_and_all_are_counted():
    # Four prompts of 1, 3, 2 and 6: mean 3, standard error √(14/3 / 4); t with three degrees of freedom is 3.18245.
    alone = mean_point(5, np.array([1.0, 3.0, 2.0, 6.0]), list("abcd"))
    five = mean_point(5, np.repeat([1.0, 3.0, 2.0, 6.0], 5), list("aaaaabbbbbcccccddddd"))
    half = 3.18245 * (14 / 12) ** 0.5
    assert (alone.low, alone.high) == pytest.approx((3 - half, 3 + half), abs=1e-4)
    assert (five.mean, five.low, five.high) == pytest.approx((alone.mean, alone.low, alone.high))
    assert (alone.pairs, five.pairs) == (4, 20)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0]])
def test_fewer_than_two_prompts_have_no_interval_and_no_point(values):
    assert mean_point(1, np.array(values), ["a"] * len(values)) is None


# --- by position


def test_bins_are_single_positions_first_and_then_two_for_each_doubling():
    assert (bin_starts(40) + 1).tolist() == [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33]
    assert bin_starts(1).tolist() == [0]
    assert bin_starts(0).tolist() == []


@given(st.integers(1, 5000))
def test_bins_hold_every_position_once_and_grow_by_at_most_half_of_what_lies_before(longest):
    starts = bin_starts(longest)
    widths = np.diff([*starts, longest])
    assert starts[0] == 0
    assert (widths > 0).all()
    assert (widths[1:] <= np.maximum(1, starts[1:] / 2)).all()


def curves_of(*rows):
    """The chosen side's curves of pairs with the given log-probabilities; entropies are their negatives."""
    found = [
        Positions(str(i), np.array(values, np.float32), -np.array(values, np.float32)) for i, values in enumerate(rows)
    ]
    [curves] = position_curves({"chosen": found}, [str(row) for row in range(len(rows))])
    return curves


def test_each_position_is_averaged_over_the_pairs_that_reach_it():
    curves = curves_of([-1, -2, -4], [-3, -4], [-5])
    assert curves.side == "chosen"
    assert [(p.at, p.mean, p.pairs) for p in curves.log_prob] == [(1, -3, 3), (2, -3, 2)]
    assert [(p.at, p.mean, p.pairs) for p in curves.entropy] == [(1, 3, 3), (2, 3, 2)]
    # Standard error of 1, 3, 5 is 2/√3; t with two degrees of freedom is 4.3027.
    assert curves.entropy[0].high == pytest.approx(3 + 4.3027 * 2 / math.sqrt(3), abs=1e-3)


def test_in_a_wide_bin_a_pair_counts_once_whatever_its_length():
    curves = curves_of([0, 0, 0, 0, -2, -4], [0, 0, 0, 0, -7])
    last = curves.log_prob[-1]
    # Means -3 of positions 5 and 6, and -7 of position 5 alone: they stand at 5.5 and 5.
    assert (last.at, last.mean, last.pairs) == (5.25, -5, 2)


def test_both_sides_have_their_curves_and_no_pairs_have_none():
    one = [Positions("a", np.zeros(2, np.float32), np.ones(2, np.float32))] * 2
    chosen, rejected = position_curves({"chosen": one, "rejected": []}, list("ab"))
    assert [p.mean for p in chosen.entropy] == [1, 1]
    assert (rejected.side, rejected.entropy, rejected.log_prob) == ("rejected", [], [])


@given(st.lists(st.lists(st.floats(-10, 0, width=32), min_size=1, max_size=30), max_size=6))
def test_points_stand_in_order_and_between_the_values_they_average(rows):
    points = curves_of(*rows).log_prob
    assert [p.at for p in points] == sorted({p.at for p in points})
    lowest = min((min(values) for values in rows), default=0)
    assert all(lowest - 1e-6 <= p.mean <= 1e-6 and p.low <= p.mean <= p.high for p in points)
    assert all(p.pairs == sum(len(values) >= math.floor(p.at) for values in rows) for p in points if p.at <= 4)


# --- what must be sampled


def test_cuts_keep_what_the_truncations_of_a_run_keep():
    half, two = three_pairs(method="ratio", ratio=0.5), three_pairs(method="tokens", tokens=2)
    for table, [cut] in ((half, ratio_cuts(half, [0.5])), (two, token_cuts(half, [2]))):
        for side in SIDES:
            assert cut.keep[side].tolist() == table[f"{side}_keep"].to_pylist()


def test_each_prefix_is_asked_for_once_and_none_of_a_whole_response():
    pairs = prepared(row("q", LONG, SHORT))
    assert [len(pairs[f"{side}_ids"][0]) for side in SIDES] == [7, 3]
    cuts = [*token_cuts(pairs, [2, 3, 5, 7, 99]), *ratio_cuts(pairs, [0.5, 0.34, 1.0])]
    # Chosen: 2, 3, 5 and ratios 3, 2. Rejected: 2 and ratios 1, 1. The rest is whole.
    assert [(p.side, p.keep) for p in cut_prefixes(pairs, cuts, 2)] == [
        ("chosen", 2),
        ("chosen", 3),
        ("chosen", 5),
        ("rejected", 1),
        ("rejected", 2),
    ]


def test_dropped_pairs_are_not_sampled_for_a_curve():
    pairs = prepared(row("q1", LONG, SHORT, reason="tie"), row("q2", LONG, SHORT))
    [live] = np.flatnonzero([reason is None for reason in pairs["reason"].to_pylist()])
    assert {p.pair_row for p in cut_prefixes(pairs, token_cuts(pairs, [1]), 2)} == {live}


@pytest.mark.parametrize("truncation", [{"method": "poet"}, {"method": "ratio", "ratio": 0.5}])
def test_a_prefix_that_a_truncation_sampled_already_has_the_same_request(truncation):
    pairs = three_pairs(**truncation)
    paid = list(completions_of_cuts(pairs, IDENTITY, SAMPLING, n=2, run_seed=0, max_new_tokens=8, context=40))
    fresh = three_pairs(method="none")
    wanted = cut_prefixes(fresh, token_cuts(fresh, range(1, 9)), n=3)
    ids = {sample.request.request_id for sample in asked(fresh, wanted, context=40)}
    assert paid
    assert {sample.request.request_id for sample in paid} <= ids


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.lists(st.floats(0.05, 1), max_size=4))
def test_every_cut_of_every_side_is_whole_or_asked_for(tokens, ratios):
    pairs = prepared(row("a", LONG, SHORT), row("b", "one", "naïve café déjà vu"))
    cuts = [*token_cuts(pairs, tokens), *ratio_cuts(pairs, ratios)]
    plan = cut_prefixes(pairs, cuts, 1)
    keys = {(p.pair_row, p.side, p.keep) for p in plan}
    assert len(keys) == len(plan)
    lengths = {side: [len(ids) for ids in pairs[f"{side}_ids"]] for side in SIDES}
    sides = [(r, side, int(cut.keep[side][r]), lengths[side][r]) for cut in cuts for side in SIDES for r in range(2)]
    assert keys == {(r, side, keep) for r, side, keep, length in sides if keep < length}
    assert all(1 <= keep <= length for _, _, keep, length in sides)


# --- prefix quality


def test_rewards_go_to_their_prefix_by_pair_side_and_keep():
    pairs = prepared(row("q", LONG, SHORT))
    samples = asked(pairs, cut_prefixes(pairs, token_cuts(pairs, [2, 4]), 2))
    [key] = pairs["pair_id"].to_pylist()
    assert rewards_by_prefix(pairs, samples, [1.0, 2.0, 3.0, 4.0, 5.0, math.nan]) == {
        PrefixKey(key, "chosen", 2): [1.0, 2.0],
        PrefixKey(key, "chosen", 4): [3.0, 4.0],
        PrefixKey(key, "rejected", 2): [5.0, pytest.approx(math.nan, nan_ok=True)],
    }


def drawn(pairs, keep, chosen, rejected):
    """Rewards of the completions of both sides cut to `keep`, a list of lists over pairs."""
    ids = pairs["pair_id"].to_pylist()
    return {
        PrefixKey(key, side, keep): rewards
        for side, by_pair in (("chosen", chosen), ("rejected", rejected))
        for key, rewards in zip(ids, by_pair, strict=True)
    }


def full(pairs, chosen, rejected):
    ids = pairs["pair_id"].to_pylist()
    return {key: {"chosen": c, "rejected": r} for key, c, r in zip(ids, chosen, rejected, strict=True)}


def test_the_gap_of_a_pair_is_that_of_its_mean_rewards_and_pairs_weigh_the_same():
    pairs = three_pairs()
    rewards = drawn(pairs, 2, [[1, 3], [2], [4, 4, 4]], [[0, 2], [2], [1]])  # gaps 1, 0, 3
    [point] = quality_curve(pairs, token_cuts(pairs, [2]), full(pairs, [9] * 3, [0] * 3), rewards)
    assert (point.at, point.pairs) == (2, 3)
    assert point.mean == pytest.approx(4 / 3)
    # Variance of 1, 0, 3 is 7/3; t with two degrees of freedom is 4.3027.
    assert point.high - point.mean == pytest.approx(4.3027 * math.sqrt(7) / 3, abs=1e-4)


def test_a_side_that_is_whole_counts_with_its_full_responses_reward():
    pairs = three_pairs()
    cuts = token_cuts(pairs, [3, 7, 100])  # the rejected side has 3 tokens, the chosen side 7
    rewards = {k: r for k, r in drawn(pairs, 3, [[5]] * 3, [[99]] * 3).items() if k.side == "chosen"}
    points = quality_curve(pairs, cuts, full(pairs, [8] * 3, [1] * 3), rewards)
    assert [(p.at, p.mean) for p in points] == [(3, 4), (7, 7), (100, 7)]


def test_the_same_against_the_kept_ratio():
    pairs = three_pairs()
    cuts = ratio_cuts(pairs, [0.5, 1.0])  # 3 of 7 and 1 of 3 tokens
    rewards = drawn(pairs, 3, [[5]] * 3, [[0]] * 3) | drawn(pairs, 1, [[0]] * 3, [[3]] * 3)
    points = quality_curve(pairs, cuts, full(pairs, [8] * 3, [1] * 3), rewards)
    assert [(p.at, p.mean) for p in points] == [(0.5, 2), (1, 7)]


@pytest.mark.parametrize("bad", [[1, math.nan], [math.inf], [math.inf, -math.inf], []])
def test_a_pair_that_lacks_a_reward_is_left_out_of_the_point_and_not_judged_by_the_rest(bad):
    pairs = three_pairs()
    rewards = drawn(pairs, 2, [[1], [3], bad], [[0], [0], [0]])
    cuts = token_cuts(pairs, [2, 7])
    points = quality_curve(pairs, cuts, full(pairs, [9] * 3, [0] * 3), rewards)
    assert [(p.mean, p.pairs) for p in points] == [(2, 2), (9, 3)]


def test_a_prefix_that_fills_the_context_leaves_its_pair_out_of_that_point():
    pairs = prepared(row("q", LONG, SHORT), row("a longer question", LONG, SHORT), row("p", LONG, SHORT))
    cuts = token_cuts(pairs, [2, 5])
    longest = max(len(ids) for ids in pairs["prompt_ids"])
    samples = asked(pairs, cut_prefixes(pairs, cuts, 2), context=longest + 4)
    rewards = rewards_by_prefix(pairs, samples, [0.0] * len(samples))
    points = quality_curve(pairs, cuts, full(pairs, [1] * 3, [0] * 3), rewards)
    assert [(p.at, p.pairs) for p in points] == [(2, 3), (5, 2)]


def test_unscored_and_dropped_pairs_are_in_no_point():
    pairs = prepared(*(row(f"q{i}", LONG, SHORT) for i in range(3)), row("tied", LONG, SHORT, reason="tie"))
    everything = full(pairs, [1] * 4, [0] * 4)
    some = {key: everything[key] for key in list(everything)[1:]}
    assert [p.pairs for p in quality_curve(pairs, token_cuts(pairs, [99]), everything, {})] == [3]
    dropped_first = pairs["reason"][0].as_py() is not None
    assert [p.pairs for p in quality_curve(pairs, token_cuts(pairs, [99]), some, {})] == [3 if dropped_first else 2]


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=3), st.floats(-50, 50))
def test_the_curve_ignores_a_reward_models_zero_and_turns_with_the_sides(rewards, shift):
    pairs = three_pairs()
    cuts = token_cuts(pairs, [2])
    chosen, rejected = zip(*rewards, strict=True)

    def curve(chosen, rejected):
        found = drawn(pairs, 2, [[c, c + 1] for c in chosen], [[r] for r in rejected])
        [point] = quality_curve(pairs, cuts, full(pairs, chosen, rejected), found)
        return point

    point = curve(chosen, rejected)
    moved = curve([c + shift for c in chosen], [r + shift for r in rejected])
    assert (moved.mean, moved.low, moved.high) == pytest.approx((point.mean, point.low, point.high), abs=1e-6)
    turned = curve(rejected, chosen)  # each mean over c, c + 1 adds one half to the side that is cut
    assert turned.mean - 0.5 == pytest.approx(-(point.mean - 0.5), abs=1e-6)
    assert turned.high - turned.mean == pytest.approx(point.high - point.mean, abs=1e-6)


# --- values


def both_cut(count, seed, *, agree, apart=0.0):
    """Pairs with both sides cut at 2 and at 4 tokens: by completions and by values, which agree or are noise."""
    pairs = prepared(*(row(f"q{i}", LONG, LONG + " x") for i in range(count)))
    rng = np.random.default_rng(seed)
    sampled, values = {}, {}
    for keep in (2, 4):
        level = apart * keep
        truth = rng.normal(size=count)
        read = truth if agree else rng.normal(size=count)
        sampled |= drawn(pairs, keep, [[level + one] for one in truth], [[0.0]] * count)
        values |= drawn(pairs, keep, [[level + one] for one in read], [[0.0]] * count)
    return pairs, token_cuts(pairs, [2, 4]), full(pairs, [9] * count, [0] * count), sampled, values


def test_values_that_order_pairs_as_completions_do_agree_wholly():
    assert values_agree(*both_cut(20, 0, agree=True)).value == pytest.approx(1.0)


def test_two_curves_that_rise_together_are_no_pairs_that_agree():
    found = values_agree(*both_cut(60, 1, agree=False, apart=50.0))
    assert found.low < 0 < found.high and abs(found.value) < 0.3


def test_a_side_that_is_whole_makes_no_agreement():
    # The rejected side has three tokens: at three and more both ways know the same reward of it.
    pairs = prepared(*(row(f"q{i}", LONG, SHORT) for i in range(30)))
    rng = np.random.default_rng(2)
    whole = full(pairs, rng.normal(size=30), 100 * rng.normal(size=30))
    noise = [{k: r for k, r in drawn(pairs, 3, rng.normal(size=(30, 1)), rng.normal(size=(30, 1))).items()
              if k.side == "chosen"} for _ in range(2)]  # fmt: skip
    assert values_agree(pairs, token_cuts(pairs, [3]), whole, *noise) is None


def test_without_a_cut_or_a_value_nothing_agrees():
    pairs, cuts, whole, sampled, _ = both_cut(5, 3, agree=True)
    assert values_agree(pairs, [], whole, sampled, {}) is None
    assert values_agree(pairs, cuts, whole, sampled, {}) is None


def test_a_value_is_kept_by_its_pair_side_and_length():
    pairs = three_pairs()
    prefixes = cut_prefixes(pairs, token_cuts(pairs, [2]), 1)
    found = rewards_by_prefix(pairs, prefixes, [float(at) for at in range(6)])
    ids = pairs["pair_id"].to_pylist()
    assert found[PrefixKey(ids[0], "rejected", 2)] == [1.0]
    assert found[PrefixKey(ids[2], "chosen", 2)] == [4.0]
