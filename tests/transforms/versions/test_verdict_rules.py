"""Verdicts computed anew: those of a run by its own rules, and what other rules would have said."""

import numpy as np
import polars as pl
import pytest
from difference_support import config, dropped, frame, row, unjudged
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.consistency.deciding import Decider, Rules
from transforms.consistency.evidence import Evidence
from transforms.consistency.win_shares import KEEP
from transforms.versions.verdict_rules import VerdictRules, verdicts_by
from transforms.versions.version_rows import ROWS


def rules(**changes):
    found = VerdictRules.of(config(**changes))
    assert found is not None
    return found


def verdict(one, *, mine=None, other=None):
    return verdicts_by(frame(one), mine or rules(), other or rules()).item()


def three_of_four(**changes):
    """Beta(3.5, 1.5): P(c ≥ 0.5) = 0.866, P(c ≥ 0.3) = 0.974, mean 0.7."""
    return row(1, n=4, consistency=0.75, consistency_by_reward=0.25, decided_by="n_max", p_keep=0.866, **changes)


@pytest.mark.parametrize(
    ("consistency", "expected"),
    [
        ({"threshold": 0.5}, "keep"),  # not sure, n_max: the mean is above
        ({"threshold": 0.75}, "drop"),  # not sure, n_max: the mean is below
        ({"threshold": 0.3}, "keep"),  # sure at δ = 0.1
        ({"threshold": 0.95}, "drop"),  # P(c ≥ 0.95) = 0.047, so it is sure
        ({"reference": "reward"}, "drop"),  # one of four: Beta(1.5, 3.5) has mean 0.3
        ({"prior": [0.5, 9.5]}, "drop"),  # Beta(3.5, 10.5): mean 0.25
    ],
)
def test_the_posterior_is_computed_anew_by_the_other_rules(consistency, expected):
    assert verdict(three_of_four(), other=rules(consistency=consistency)) == expected


def test_rules_that_would_have_asked_for_more_say_nothing():
    assert verdict(three_of_four(), other=rules(sampling={"n": 8})) is None
    assert verdict(three_of_four(), other=rules(sampling={"n": 8}, consistency={"delta": 0.2})) == "keep"


def stopped(p_keep):
    return row(1, n=2, consistency=0.5, consistency_by_reward=0.5, decided_by="stopped", p_keep=p_keep)


def by(estimator="rewards", stop_below=0.01, **more):
    return rules(consistency={"estimator": estimator, "stop_below": stop_below, **more}, sampling={"n": 8})


def test_a_pair_that_was_worth_no_more_completions_keeps_the_likelier_verdict_where_those_are_worth_as_little():
    for p_keep, expected in ((0.6, "keep"), (0.4, "drop"), (0.5, "keep")):
        assert verdict(stopped(p_keep), mine=by(), other=by()) == expected
        assert verdict(stopped(p_keep), mine=by(), other=by(stop_below=0.02)) == expected
        assert verdict(stopped(p_keep), mine=by(), other=by(stop_below=0.005)) is None  # they would have asked for more
        assert verdict(stopped(p_keep), mine=by(), other=by(stop_below=None)) is None


def test_a_pair_that_was_worth_no_more_is_not_known_at_another_threshold_or_with_more_completions():
    counted = by("counts")
    assert verdict(stopped(0.6), mine=counted, other=by("counts", threshold=0.75)) is None
    more = rules(consistency={"estimator": "counts", "stop_below": 0.01}, sampling={"n": 16})
    assert verdict(stopped(0.6), mine=counted, other=more) is None
    assert verdict(stopped(0.6), mine=counted, other=counted) == "keep"


def test_a_pair_that_was_open_when_the_budget_ended_may_have_been_given_up_before():
    open_ = row(1, n=2, consistency=0.5, consistency_by_reward=0.5, decided_by="undecided", p_keep=0.5)
    assert verdict(open_, mine=by(stop_below=None), other=by(stop_below=0.05)) is None
    assert verdict(open_, mine=by(stop_below=0.05), other=by(stop_below=0.05)) == "drop"
    fresh = row(1, n=0, consistency=None, consistency_by_reward=None, decided_by="undecided", p_keep=0.5)
    assert verdict(fresh, mine=by(stop_below=None), other=by(stop_below=0.05)) == "drop"


def test_what_gaps_said_is_no_evidence_for_rules_that_count_and_the_other_way_round():
    sure = row(1, n=2, consistency=1.0, consistency_by_reward=1.0, decided_by="sampling", p_keep=0.97)
    assert verdict(sure, mine=by(), other=by(delta=0.05)) == "keep"
    assert verdict(sure, mine=by(), other=by("counts", delta=0.05)) is None
    assert verdict(sure, mine=by("counts"), other=by(delta=0.05)) is None


def test_what_values_foretold_is_no_evidence_for_rules_without_them():
    alone, beside = ({"audit": 0.1, "audit_least": 64, "error": 0.05, **more} for more in ({}, {"values": True}))
    for decided_by in ("sampling", "proxy"):
        sure = row(1, n=2, consistency=1.0, consistency_by_reward=1.0, decided_by=decided_by, p_keep=0.97)
        assert verdict(sure, mine=rules(proxy=beside), other=rules(proxy=beside)) == "keep"
        assert verdict(sure, mine=rules(proxy=alone), other=rules(proxy=alone | {"values": False})) == "keep"
        assert verdict(sure, mine=rules(proxy=alone), other=rules(proxy=beside)) is None
        assert verdict(sure, mine=rules(proxy=beside), other=rules(proxy=alone)) is None


@pytest.mark.parametrize(("threshold", "expected"), [(0.3, "keep"), (0.5, None), (0.95, "drop")])
def test_how_sure_the_evidence_is_is_asked_at_the_other_rules_threshold(threshold, expected):
    # Four of eight completions were made: only where they are sure at δ = 0.1 do they say anything.
    asked = rules(sampling={"n": 8}, consistency={"threshold": threshold})
    assert verdict(three_of_four(), other=asked) == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"min_score_margin": 1.5}, "drop"),
        ({"min_score_margin": 1.0}, "keep"),
        ({"min_reward_margin": 1.5}, "drop"),
        ({"max_prompt_tokens": 2}, "drop"),
        ({"max_prompt_tokens": 3}, "keep"),
        ({"min_kept_tokens": 5}, "drop"),
        ({"min_kept_share": 0.85}, "drop"),  # 8 of 10 tokens
        ({"min_kept_share": 0.8}, "keep"),
    ],
)
def test_filters_are_applied_to_the_numbers_of_the_row(filters, expected):
    assert verdict(row(1), other=rules(filters=filters)) == expected


def test_a_pair_that_its_own_filter_dropped_has_no_evidence_for_another_rule():
    one = unjudged(1, "min_kept_tokens")
    assert verdict(one, mine=rules(filters={"min_kept_tokens": 9})) is None
    assert verdict(one, other=rules(policy={"engine": "none"})) == "keep"


def test_a_reason_of_the_data_or_the_cut_is_no_rules_to_take_back():
    assert verdict(unjudged(1, "tie")) == "drop"
    assert verdict(unjudged(1, "identical_after_cut"), other=rules(policy={"engine": "none"})) == "drop"


def test_without_sampling_everything_is_kept_that_no_early_filter_drops():
    silent = rules(policy={"engine": "none"}, filters={"min_reward_margin": 9.0})
    assert verdict(dropped(1), other=silent) == "keep"


def test_where_the_budget_ended_the_rules_say_what_becomes_of_it():
    one = row(1, n=2, consistency=0.5, decided_by="undecided", verdict="drop", reason="undecided")
    assert verdict(one) == "drop"
    assert verdict(one, other=rules(budget={"undecided": "keep"})) == "keep"


def test_a_proxys_verdict_stands_as_long_as_the_question_is_the_same():
    proxy = {"audit": 0.1, "error": 0.05}
    alone = row(1, n=0, consistency=None, decided_by="proxy", p_keep=0.97)
    sampled = row(2, n=2, consistency=1.0, decided_by="sampling", p_keep=0.93)
    mine = rules(proxy=proxy)
    assert [verdict(one, mine=mine, other=mine) for one in (alone, sampled)] == ["keep", "keep"]
    strict = rules(proxy=proxy, consistency={"delta": 0.02})
    assert [verdict(one, mine=mine, other=strict) for one in (alone, sampled)] == ["keep", None]
    for other in (rules(), rules(proxy=proxy, consistency={"threshold": 0.6})):
        assert [verdict(one, mine=mine, other=other) for one in (alone, sampled)] == [None, None]


def test_a_quarantined_row_has_no_verdict():
    lost = pl.DataFrame([{**dict.fromkeys(ROWS.names()), "outcome": "quarantine"}], schema=ROWS)
    assert verdicts_by(lost, rules(), rules()).item() is None


def test_a_recipe_of_another_release_is_none():
    assert VerdictRules.of({"consistency": {"threshold": 0.5}}) is None


@settings(max_examples=30)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["label", "reward"]),
    st.floats(0.1, 0.9),
    st.floats(0.02, 0.4),
    st.integers(1, 6),
    st.sampled_from([None, 5, 40]),
)
def test_a_runs_own_verdicts_come_out_as_they_were(seed, reference, threshold, delta, n_max, budget):
    random = np.random.default_rng(seed)
    pairs = 20
    evidence = Evidence(
        [f"{number:032x}" for number in range(pairs)],
        {"chosen": random.random(pairs) < 0.6, "rejected": random.random(pairs) < 0.3},
        np.full(pairs, 0.5),
        n_max,
        reference,
    )
    for side in ("chosen", "rejected"):
        evidence.full[side][:] = random.normal(size=pairs)

    def ask(_stage, _number, asked):
        for side in ("chosen", "rejected"):
            evidence.completions[side][:] = np.where(
                np.isnan(evidence.completions[side]), random.normal(size=(pairs, n_max)), evidence.completions[side]
            )
        return asked.completions(evidence)

    asked = Rules(first=1, step=2, threshold=threshold, delta=delta, completions=budget)
    Decider(evidence, asked, np.arange(pairs), ask).decide()
    rows = np.arange(pairs)
    kept = evidence.verdict == KEEP
    found = frame(
        *(
            row(
                number,
                n=int(evidence.n[number]),
                consistency=float(evidence.shares(rows[number : number + 1], "label")[0]),
                consistency_by_reward=float(evidence.shares(rows[number : number + 1], "reward")[0]),
                decided_by=str(evidence.decided_by[number]),
                verdict="keep" if kept[number] else "drop",
                reason=None if kept[number] else "inconsistent",
            )
            if evidence.n[number] or not evidence.cut[number]
            else row(number, n=0, consistency=None, decided_by="undecided", verdict="drop", reason="undecided")
            for number in range(pairs)
        )
    )
    mine = rules(sampling={"n": n_max}, consistency={"threshold": threshold, "delta": delta, "reference": reference})
    assert verdicts_by(found, mine, mine).to_list() == found["outcome"].to_list()
