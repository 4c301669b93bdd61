"""Rates, groups and decisions of a dataset from the evidence of its pairs, by hand."""

import numpy as np
import pytest
from evidence_support import believe, draw, evidence, teach
from hypothesis import given
from hypothesis import strategies as st

from transforms.consistency.beliefs import Beliefs
from transforms.consistency.gap_fits import GapFits
from transforms.consistency.proxy import Proxy
from transforms.consistency.rates import (
    consistency_rates,
    decisions,
    estimator_record,
    group_rates,
    observe,
    proxy_record,
)
from transforms.consistency.win_shares import KEEP
from transforms.records.manifest import EstimatorRecord
from transforms.statistics.estimates import contributions, mean_rate
from transforms.statistics.intervals import wilson


def phi(found, reference="label", first=1):
    return contributions(observe(found, reference, first))[found.usable].tolist()


def rates(found, sources=None, first=1):
    return consistency_rates(found, sources or ["a"] * len(found), first)


def four():
    """Pair 0 uncut, 1 and 2 seen, 3 skipped by the proxy; the reward model disagrees with the label on 2."""
    found = evidence(4, cut=["none", "chosen", "chosen", "chosen"])
    found.full["chosen"][:] = [1, 1, -1, 1]
    found.decide(threshold=0.5, delta=0.05)
    draw(found, 1, chosen=[2.0, -2.0, 3.0])
    draw(found, 2, chosen=[1.0, 1.0])
    return found


def test_without_a_proxy_a_pair_contributes_the_share_of_its_first_completions():
    found = four()
    draw(found, 3, chosen=[-1.0])
    assert phi(found) == [1, 1, 1, 0]
    assert phi(found, "reward") == [1, 1, 0, 0]
    found.n[3] = 2
    found.completions["chosen"][3, 1] = 1
    assert phi(found, first=2) == [1, 0.5, 1, 0.5]


def test_a_skipped_pair_contributes_what_was_foretold_and_the_audits_error_for_its_like():
    # Skippable: 2 (in the audit, seen: 1) and 3 (not seen); π = 1/2. φ₂ = .8 + (1 − .8)·2 = 1.2, φ₃ = .9.
    found = four()
    found.expected[1:], found.skippable[2:], found.audit[2] = [0.5, 0.8, 0.9], True, True
    assert phi(found) == pytest.approx([1, 1, 1.2, 0.9])
    # Against the reward model's order pair 2 is mirrored: .2 + (0 − .2)·2 = −.2.
    assert phi(found, "reward") == pytest.approx([1, 1, -0.2, 0.9])


def test_where_the_budget_ended_in_the_first_round_the_seen_pairs_speak_for_the_others():
    # 1 and 2 of three were seen (shares 1 and 0), π = 2/3, and 1/2 is expected of each:
    # 1/2 ± 1/2·3/2 = 5/4 and −1/4, 1/2 for pair 3; their mean is that of the seen.
    found = four()
    found.completions["chosen"][2, 0] = -1
    assert phi(found) == pytest.approx([1, 1.25, -0.25, 0.5])


def test_pairs_outside_the_audit_that_were_seen_before_the_budget_ended_count_too():
    # The audit pair 1 is skippable like nobody else, so it stands for itself. Of the others 2 was seen (1) and 3
    # not: π = 1/2, φ₂ = .4 + .6·2 = 1.6, φ₃ = .4.
    found = four()
    found.expected[1:], found.audit[1], found.skippable[1] = 0.4, True, True
    assert phi(found) == pytest.approx([1, 1, 1.6, 0.4])


def test_where_nothing_was_seen_a_half_is_expected_and_nothing_known():
    found = evidence(40)
    [label, _] = rates(found)
    assert label.rate == 0.5
    assert (label.low, label.high) == pytest.approx(wilson(0.5, 1)[1:])


@pytest.mark.parametrize("seen", [True, False])
def test_one_pair_is_one_observation(seen):
    found = evidence(1)
    if seen:
        draw(found, 0, chosen=[1.0])
    [label, _] = rates(found)
    value = 1.0 if seen else 0.5
    assert (label.pairs, label.sampled, label.rate) == (1, int(seen), value)
    assert (label.low, label.high) == pytest.approx(wilson(value, 1)[1:])


def test_bad_pairs_count_nowhere():
    found = four()
    draw(found, 3, chosen=[1.0])
    found.bad[2] = "returned nan"
    found.full["chosen"][2] = np.nan
    [label, reward] = rates(found)
    assert (label.pairs, label.sampled, label.rate, label.reward_agrees) == (3, 2, 1.0, 1.0)
    assert reward.rate == 1.0
    assert sum(group.pairs for group in group_rates(found, 1) if group.by == "margin") == 2


def test_a_run_of_bad_pairs_only_has_no_rate_nor_group_nor_decision():
    found = evidence(2)
    found.bad = {0: "x", 1: "y"}
    assert rates(found) == group_rates(found, 1) == decisions(found) == []


def test_a_run_without_a_cut_pair_is_consistent_by_definition():
    found = evidence(5, cut="none")
    found.decide(threshold=0.5, delta=0.05)
    [label, reward] = rates(found)
    assert (label.rate, label.pairs, label.sampled) == (1.0, 5, 0)
    assert (label.low, label.high) == pytest.approx(wilson(5, 5)[1:])
    assert reward.rate == 1.0
    assert reward.reward_agrees == 0.5  # every full response scores 0
    assert group_rates(found, 1) == []


def test_rates_come_for_all_and_then_by_source_where_there_are_several():
    found = four()
    draw(found, 3, chosen=[-1.0])
    records = rates(found, ["b", "b", "a", "a"])
    assert [(r.source, r.reference) for r in records] == [
        (name, reference) for name in ("all", "a", "b") for reference in ("label", "reward")
    ]
    assert [r.rate for r in records if r.reference == "label"] == [0.75, 0.5, 1.0]
    assert [r.reward_agrees for r in records if r.reference == "label"] == [0.75, 0.5, 1.0]
    assert [r.pairs for r in records[::2]] == [4, 2, 2]
    everyone = mean_rate(np.array([1.0, 1.0, 1.0, 0.0]))
    assert (records[0].low, records[0].high) == (everyone.low, everyone.high)


def test_pairs_of_one_prompt_say_less_than_as_many_prompts_and_the_interval_shows_it():
    # Both pairs of a prompt keep their order or lose it together: four pairs are two observations.
    values = np.array([1.0, 1.0, 0.0, 0.0])
    alone, together = evidence(4), evidence(4)
    together.pair_ids = [f"{row // 2:016x}{row:016x}" for row in range(4)]
    for found in (alone, together):
        for row, value in enumerate(values):
            draw(found, row, chosen=[1.0 if value else -1.0])
    [wide, _], [narrow, _] = rates(together), rates(alone)
    assert (wide.rate, narrow.rate) == (0.5, 0.5)
    assert (narrow.low, narrow.high) == (mean_rate(values).low, mean_rate(values).high)
    assert (wide.low, wide.high) == pytest.approx(mean_rate(values, together=2.0)[1:])
    [group] = [one for one in group_rates(together, 1) if one.by == "share_cut"]
    assert (group.low, group.high) == (wide.low, wide.high)


def test_groups_are_bounded_by_the_share_cut_and_by_sixths_of_the_margin():
    found = evidence(6)
    found.share_cut = np.array([0.05, 0.1, 0.3, 0.5, 0.9, 1.0])
    found.full["chosen"][:] = [0, 1, 2, 3, 4, 5]
    for row in range(6):
        draw(found, row, chosen=[1.0 if row else -1.0])
    groups = group_rates(found, 1)
    by_share = [(g.start, g.end, g.pairs, g.rate) for g in groups if g.by == "share_cut"]
    assert by_share == [
        (0.0, 0.1, 1, 0.0),
        (0.1, 0.25, 1, 1.0),
        (0.25, 0.5, 1, 1.0),
        (0.5, 0.75, 1, 1.0),
        (0.75, 1.0, 2, 1.0),
    ]
    by_margin = [g for g in groups if g.by == "margin"]
    assert [g.pairs for g in by_margin] == [1] * 6
    assert (by_margin[0].start, by_margin[-1].end) == (0.0, 5.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["none", "chosen", "both"]),
            st.integers(-2, 2),
            st.sampled_from([0.0, 0.1, 0.3, 0.75, 1.0]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=25,
    )
)
def test_groups_partition_the_cut_pairs_and_decisions_the_usable_ones(pairs):
    found = evidence(len(pairs), cut=[pair[0] for pair in pairs] or "none", n_max=2)
    for row, (_, margin, share, bad, seen) in enumerate(pairs):
        found.full["chosen"][row], found.share_cut[row] = margin, share
        if bad:
            found.bad[row] = "returned nan"
        if seen and found.cut[row]:
            found.n[row] = 2
            for side in found.completions:
                found.completions[side][row] = [margin, 1.0]
    found.decide(threshold=0.5, delta=0.05)
    found.close_undecided(keep=False)
    groups = group_rates(found, 1)
    for by in ("share_cut", "margin"):
        assert sum(g.pairs for g in groups if g.by == by) == (found.cut & found.usable).sum()
        assert all(0 <= g.low <= g.high <= 1 for g in groups)
    records = decisions(found)
    assert sum(r.keep + r.drop for r in records) == found.usable.sum()
    assert sum(r.keep for r in records) == ((found.verdict == KEEP) & found.usable).sum()
    assert sum(r.completions for r in records) == (found.n * found.sides_cut)[found.usable].sum()


def test_decisions_are_counted_by_what_made_them_with_what_they_cost():
    found = evidence(5, cut=["none", "chosen", "both", "chosen", "chosen"], n_max=2)
    found.decide(threshold=0.5, delta=0.05)
    draw(found, 1, chosen=[1.0, 1.0])
    draw(found, 2, chosen=[1.0, 1.0], rejected=[2.0, 0.0])
    believe(found, 3, 1, 2)
    found.skippable[3] = True
    found.decide(threshold=0.5, delta=0.1)
    found.close_undecided(keep=False)
    assert [(r.by, r.keep, r.drop, r.completions) for r in decisions(found)] == [
        ("uncut", 1, 0, 0),
        ("proxy", 0, 1, 0),
        ("sampling", 1, 0, 2),
        ("n_max", 1, 0, 4),
        ("undecided", 0, 1, 0),
    ]


def audited():
    """Four audit pairs, of which the proxy would skip three; it would keep all, and pair 1 contradicts it."""
    found = evidence(6, n_max=2)
    found.full["chosen"][:] = 1.0
    found.audit[:4] = True
    for row, rewards in enumerate(([1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0])):
        draw(found, row, chosen=rewards)
    strong, weak = Beliefs.alike(6, 2, 1), Beliefs.alike(2, 1, 1)
    beliefs = strong.replaced(np.array([3, 5]), weak)
    teach(found, np.arange(6), Proxy(True, "because", 0.2, beliefs.mean(), beliefs, 0.75), threshold=0.5)
    found.decide(threshold=0.5, delta=0.1)
    return found


def record(found):
    return proxy_record(found, threshold=0.5, accepted_error=0.05, first=1)


def test_the_proxys_error_is_measured_on_the_audit_pairs_that_it_would_have_skipped():
    # Beta(2, 1) is .75 sure. After two wins it is Beta(4, 1), wrong to keep with 1/16; after two losses Beta(2, 3),
    # wrong with 11/16: (1 + 11 + 1) / 16 of three.
    found = record(audited())
    assert (found.cut_pairs, found.audit_pairs, found.skipped) == (6, 4, 1)
    assert (found.error.value, found.error.count) == (pytest.approx(13 / 48), 3)
    assert (found.error.low, found.error.high) == pytest.approx(wilson(13 / 16, 3)[1:])
    assert (found.informative, found.why, found.gain, found.accepted_error) == (True, "because", 0.2, 0.05)
    [point] = found.calibration
    assert (point.predicted, point.observed.value) == pytest.approx((0.625, 0.5))


def test_without_a_fit_there_is_no_record_and_without_a_skipped_audit_pair_no_error():
    assert record(evidence(3)) is None
    found = audited()
    found.skippable[:] = False
    assert record(found).error is None


def test_a_proxy_that_was_refused_has_no_calibration():
    found = evidence(3)
    found.audit[0] = True
    draw(found, 0, chosen=[1.0])
    refused = Proxy(False, "too few", 0.0, np.full(3, np.nan), Beliefs.alike(3, 0.5, 0.5), np.inf)
    teach(found, np.arange(3), refused, threshold=0.5)
    made = record(found)
    assert (made.informative, made.calibration, made.error, made.skipped) == (False, [], None, 0)


def test_where_pairs_were_chosen_for_their_verdicts_the_audit_alone_speaks_of_the_rate():
    # Of four cut pairs 0 and 1 are the audit (shares 1 and 0), 2 was worth a completion, 3 was not: π = 1/2.
    found = evidence(4)
    found.audit[:2], found.by_worth = True, True
    for row, reward in enumerate((1.0, -1.0, 1.0)):
        draw(found, row, chosen=[reward])
    found.expected[:] = 0.5
    assert phi(found) == pytest.approx([1.5, -0.5, 0.5, 0.5])
    draw(found, 3, chosen=[1.0])  # all were seen: nothing was chosen
    assert phi(found) == pytest.approx([1, 0, 1, 1])


def test_a_pair_that_was_likelier_to_be_drawn_counts_for_fewer():
    found = evidence(3)
    found.chance = np.array([0.5, 0.25, 0.25])
    draw(found, 0, chosen=[1.0])
    draw(found, 1, chosen=[-1.0])
    found.expected[:] = 0.8
    assert phi(found) == pytest.approx([0.8 + 0.2 / 0.5, 0.8 - 0.8 / 0.25, 0.8])


def test_the_record_says_what_completions_were_asked():
    found = evidence(1)
    assert estimator_record(found) is None
    for trusted, used in ((True, "rewards"), (False, "counts")):
        found.gap_fits = GapFits(trusted, "because", 0.02, (), np.zeros(1, int), 0.5, True)
        assert estimator_record(found) == EstimatorRecord(used=used, why="because", gain=0.02)
