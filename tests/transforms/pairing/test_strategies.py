"""Scores to pairs: each strategy by hand, every prompt accounted for, and nothing depends on the order of rows."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairing_support import run, runs

from transforms.errors import ConfigError, SchemaError
from transforms.pairing import scored as rows_module
from transforms.pairing.aggregate import aggregate
from transforms.pairing.strategies import PAIRED, REASONS, PairingRule, pairs_of

NAN = float("nan")
STRATEGIES = ["best_worst", "best_random", "second_worst", "all"]
UNFINISHED = ["allow", "exclude", "rejected_only", "worst"]


def paired(scored, texts=None, score=None, seed=0, keys=None, **rule):
    texts = texts or [f"text {row}" for row in range(len(scored.prompt))]
    keys = keys or [f"prompt {at}" for at in range(scored.prompts)]
    score = scored.scores[:, 0] if score is None else score
    return pairs_of(scored, score, PairingRule(**rule), prompt_keys=keys, texts=texts, seed=seed)


def rows(pairs):
    return list(zip(pairs.chosen.tolist(), pairs.rejected.tolist(), strict=True))


def reasons(pairs):
    return [None if code == PAIRED else REASONS[code] for code in pairs.reason.tolist()]


def test_the_best_is_paired_with_the_worst():
    found = paired(run([3, 1, 7, 5], [2, 4]))
    assert rows(found) == [(2, 1), (5, 4)]
    assert found.margin.tolist() == [6, 2]


def test_the_second_is_paired_with_the_worst():
    assert rows(paired(run([3, 1, 7, 5]), strategy="second_worst")) == [(3, 1)]


def test_of_two_equal_best_neither_is_the_second():
    assert rows(paired(run([7, 1, 7, 5, 5]), strategy="second_worst")) == [(3, 1)]
    assert reasons(paired(run([7, 1, 7], [1, 2]), strategy="second_worst")) == ["no_second", "no_second"]


def test_all_pairs_are_those_with_an_order_and_the_margin_largest_first():
    found = paired(run([3, 1, 6, 3]), strategy="all", min_margin=3)
    assert rows(found) == [(2, 1), (2, 0), (2, 3)]
    assert found.margin.tolist() == [5, 3, 3]
    assert rows(paired(run([3, 1, 3]), strategy="all")) == [(0, 1), (2, 1)]


def test_a_limit_keeps_the_largest_margins_and_counts_what_is_beyond():
    found = paired(run([3, 1, 6, 3], [1, 2], [5, 5]), strategy="all", max_per_prompt=2)
    assert rows(found) == [(2, 1), (2, 0), (5, 4)]
    account = found.account
    assert (account.prompts, account.paired, account.pairs, account.beyond) == (3, 2, 3, 3)
    assert account.unpaired == dict.fromkeys(REASONS, 0) | {"tie": 1}


def test_two_texts_are_one_pair_of_all_however_often_they_were_sampled():
    scored, texts = run([3, 1, 3, 1, 2], [3, 1]), ["a", "b", "a", "b", "c", "a", "b"]
    assert rows(paired(scored, texts, strategy="all")) == [(0, 1), (0, 4), (4, 1), (5, 6)]
    found = paired(scored, texts, strategy="all", max_per_prompt=2)
    assert rows(found) == [(0, 1), (0, 4), (5, 6)]
    assert (found.account.pairs, found.account.beyond) == (3, 1)


def test_the_partner_of_the_best_is_drawn_by_content_among_all_that_are_worse():
    # 300 prompts, the best first: each of the three others about a hundred times, and another seed draws others.
    scored = run(*([9, 1, 2, 3] for _ in range(300)))
    first, second = (paired(scored, strategy="best_random", seed=seed) for seed in (0, 1))
    assert (first.chosen % 4 == 0).all()
    counts = np.bincount(first.rejected % 4, minlength=4)
    assert counts[0] == 0
    assert counts[1:].min() > 75
    assert 150 < (first.rejected != second.rejected).sum() < 250


def test_a_draw_does_not_depend_on_the_other_prompts():
    texts = ["a", "b", "c", "d"]
    alone = paired(run([9, 1, 2, 3]), texts, strategy="best_random", keys=["p"], seed=7)
    late = paired(run([1, 2], [9, 1, 2, 3]), ["x", "y", *texts], strategy="best_random", keys=["o", "p"], seed=7)
    assert late.rejected[1] == alone.rejected[0] + 2


def test_the_draw_is_among_those_with_the_margin():
    scored = run(*([9, 8, 5, 8.5] for _ in range(50)))
    assert set((paired(scored, strategy="best_random", min_margin=2).rejected % 4).tolist()) == {2}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_prompt_without_a_pair_has_the_reason(strategy):
    scored = run(
        [1], [NAN, 1], [2, 2], [2, 3, 4], [4, 4.5, 4.6], [3, 1, 2], finished=[*[True] * 6, *[False] * 2, *[True] * 6]
    )
    texts = [*"abcdefghijk", "x", "x", "x"]
    found = paired(scored, texts, strategy=strategy, min_margin=1)
    assert reasons(found) == ["one_response", "unscored", "tie", "unfinished", "margin", "same_text"]
    assert found.account.paired == 0


def test_an_unfinished_response_may_be_anything_where_it_is_allowed():
    scored = run([5, 1, 3], finished=[False, True, True])
    assert rows(paired(scored, unfinished="allow")) == [(0, 1)]
    assert rows(paired(scored, unfinished="exclude")) == [(2, 1)]


def test_an_unfinished_response_may_be_rejected_by_a_better_one_only():
    scored = run([5, 1, 3], [5, 3], finished=[False, False, True, False, True])
    found = paired(scored, unfinished="rejected_only")
    assert rows(found) == [(2, 1)]
    assert reasons(found) == [None, "unfinished"]


def test_an_unfinished_response_may_count_as_worse_than_every_finished_one():
    # The worst is the lower of the two unfinished; its margin is what the scores say, and no margin is asked of it.
    scored = run([1, 5, 3, 2], finished=[True, False, False, True])
    found = paired(scored, unfinished="worst", min_margin=10)
    assert rows(found) == [(3, 2)]
    assert found.margin.tolist() == [-1]
    every = paired(scored, unfinished="worst", strategy="all")
    assert rows(every) == [(3, 2), (0, 2), (3, 1), (0, 1), (1, 2), (3, 0)]
    assert rows(paired(scored, unfinished="worst", strategy="second_worst")) == [(0, 2)]


def test_two_unfinished_ones_are_ordered_by_their_scores():
    scored = run([1, 5], [2, 2], finished=[False] * 4)
    found = paired(scored, unfinished="worst")
    assert rows(found) == [(1, 0)]
    assert reasons(found) == [None, "tie"]


def test_equal_texts_are_never_paired_and_the_next_are_taken():
    # The best and the worst say the same: a scorer that contradicts itself.
    assert rows(paired(run([9, 1, 5]), ["same", "same", "other"])) == [(0, 2)]
    assert reasons(paired(run([9, 1]), ["same", "same"])) == ["same_text"]


def test_of_several_best_the_first_is_taken_or_none():
    scored = run([9, 9, 1], [9, 1, 1], [9, 1])
    assert rows(paired(scored)) == [(0, 2), (3, 4), (6, 7)]
    skipped = paired(scored, ties="skip")
    assert rows(skipped) == [(6, 7)]
    assert reasons(skipped) == ["tie", "tie", None]
    # Of best_random the best alone counts; what is rejected is drawn anyway.
    assert reasons(paired(scored, strategy="best_random", ties="skip")) == ["tie", None, None]


def test_a_text_that_was_sampled_twice_is_no_tie_with_itself():
    assert rows(paired(run([9, 9, 1]), ["a", "a", "b"], ties="skip")) == [(0, 2)]


def test_a_margin_that_is_missed_by_rounding_is_enough():
    assert 4.3 - 4.2 < 0.1
    assert rows(paired(run([4.2, 4.3]), min_margin=0.1)) == [(1, 0)]
    assert reasons(paired(run([4.2, 4.3]), min_margin=0.1001)) == ["margin"]


def test_a_lone_surrogate_in_a_text_can_be_drawn_too():
    assert rows(paired(run([2, 1]), ["\ud800", "b"], strategy="best_random")) == [(0, 1)]


def test_no_responses_make_no_pairs():
    found = paired(run())
    assert rows(found) == []
    assert found.account.prompts == 0


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"strategy": "best"}, "strategy is 'best', expected one of best_worst"),
        ({"unfinished": "drop"}, "unfinished is 'drop'"),
        ({"ties": "last"}, "ties is 'last'"),
        ({"min_margin": -1.0}, "min_margin is -1.0"),
        ({"min_margin": NAN}, "min_margin is nan"),
        ({"strategy": "all", "max_per_prompt": 0}, "max_per_prompt is 0"),
        ({"max_per_prompt": 3}, "max_per_prompt is of strategy all"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule, said):
    with pytest.raises(ConfigError, match=said):
        PairingRule(**rule)


def test_texts_and_keys_must_fit_the_responses():
    with pytest.raises(SchemaError, match="1 texts for 2 responses"):
        paired(run([1, 2]), texts=["a"])
    with pytest.raises(SchemaError, match="2 prompt_keys for 1 prompts"):
        paired(run([1, 2]), keys=["a", "b"])
    with pytest.raises(SchemaError, match="score is infinite in row 1"):
        paired(run([1, 2]), score=np.array([1, np.inf]))


@st.composite
def rules(draw):
    strategy = draw(st.sampled_from(STRATEGIES))
    limit = draw(st.none() | st.integers(1, 4)) if strategy == "all" else None
    return {
        "strategy": strategy,
        "max_per_prompt": limit,
        "min_margin": draw(st.sampled_from([0.0, 1.0, 2.0, 3.0])),
        "unfinished": draw(st.sampled_from(UNFINISHED)),
        "ties": draw(st.sampled_from(["first", "skip"])),
    }


def candidates(scored, texts, rule):
    """Of each prompt the ordered pairs that the rule allows, one after the other."""
    score, done = scored.scores[:, 0], scored.finished
    found = [[] for _ in range(scored.prompts)]
    for i, j in permutations(range(len(score)), 2):
        if scored.prompt[i] != scored.prompt[j] or texts[i] == texts[j] or np.isnan(score[[i, j]]).any():
            continue
        worst = rule["unfinished"] == "worst"
        ok = score[i] - score[j] > 0 and score[i] - score[j] >= rule["min_margin"]
        if worst and done[i] != done[j]:
            ok = bool(done[i])
        if rule["unfinished"] == "exclude":
            ok = ok and done[i] and done[j]
        if rule["unfinished"] == "rejected_only":
            ok = ok and done[i]
        if ok:
            found[scored.prompt[i]].append((i, j))
    return found


@given(runs(annotators=1), rules(), st.data())
def test_every_prompt_has_pairs_or_one_reason_and_every_candidate_is_a_pair_or_beyond(scored, rule, data):
    texts = data.draw(st.lists(st.sampled_from("abcd"), min_size=len(scored.prompt), max_size=len(scored.prompt)))
    found, allowed = paired(scored, texts, **rule), candidates(scored, texts, rule)
    account = found.account
    assert account.prompts == account.paired + sum(account.unpaired.values()) == scored.prompts
    with_pairs = Counter(scored.prompt[found.chosen].tolist())
    assert [prompt in with_pairs for prompt in range(scored.prompts)] == (found.reason == PAIRED).tolist()
    assert all(pair in allowed[scored.prompt[pair[0]]] for pair in rows(found))
    if rule["strategy"] == "all":
        allowed = [{(texts[i], texts[j]) for i, j in mine} for mine in allowed]
        assert account.pairs + account.beyond == sum(map(len, allowed))
        assert [with_pairs[p] for p in range(scored.prompts)] == [
            min(len(mine), rule["max_per_prompt"] or len(mine)) for mine in allowed
        ]
    else:
        assert account.beyond == 0
        assert max(with_pairs.values(), default=1) == 1
    if rule["strategy"] in ("best_worst", "best_random") and rule["ties"] == "first":
        assert [p in with_pairs for p in range(scored.prompts)] == [bool(mine) for mine in allowed]
    if rule["strategy"] == "best_worst" and rule["unfinished"] != "worst":
        for pair, margin in zip(rows(found), found.margin, strict=True):
            mine = allowed[scored.prompt[pair[0]]]
            assert margin == max(scored.scores[i, 0] - scored.scores[j, 0] for i, j in mine)


@given(runs(annotators=1), rules(), st.randoms(use_true_random=False))
def test_the_order_of_responses_does_not_decide_which_texts_are_paired(scored, rule, random):
    # Scores without ties: what is left of order is the tie rule's, and that is by index and says so.
    values = np.arange(len(scored.prompt)) * 1.5
    random.shuffle(values)
    score = np.where(np.isnan(scored.scores[:, 0]), NAN, values)
    order = np.concatenate(
        [random.sample(mine := np.flatnonzero(scored.prompt == p).tolist(), len(mine)) for p in range(scored.prompts)]
    ).astype(int)
    shuffled = run(*(score[order][scored.prompt == p] for p in range(scored.prompts)), finished=scored.finished[order])
    texts = [f"text {row}" for row in range(len(score))]
    before = paired(scored, texts, score=score, **rule)
    after = paired(shuffled, [texts[row] for row in order], **rule)
    if rule["strategy"] != "all":
        assert rows(before) == [(int(order[i]), int(order[j])) for i, j in rows(after)]
    assert Counter(before.margin.tolist()) == Counter(after.margin.tolist())
    assert before.reason.tolist() == after.reason.tolist()
    if rule["max_per_prompt"] is None:
        assert set(rows(before)) == {(int(order[i]), int(order[j])) for i, j in rows(after)}


@given(runs(annotators=2), st.sampled_from(["mean_z", "mean_rank", "a"]), st.integers(1, 9), st.integers(-9, 9))
def test_another_scale_of_the_scores_makes_the_same_pairs(scored, how, factor, shift):
    other = run(
        *(
            [tuple(r) for r in scored.scores[scored.prompt == p] * (factor, 1) + (shift, 0)]
            for p in range(scored.prompts)
        ),
        finished=scored.finished,
    )
    before, after = (paired(mine, score=aggregate(mine, how)) for mine in (scored, other))
    assert rows(before) == rows(after)
    assert before.reason.tolist() == after.reason.tolist()


@given(runs(annotators=1), rules(), st.integers(1, 12))
def test_blocks_are_not_to_be_seen(scored, rule, block):
    whole = paired(scored, **rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "_BLOCK", block)
        parts = paired(scored, **rule)
    assert rows(whole) == rows(parts)
    assert whole.account == parts.account
