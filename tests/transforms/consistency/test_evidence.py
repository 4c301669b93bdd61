"""What is known of pairs while completions come in, by hand."""

import numpy as np
import pytest
from evidence_support import believe, draw, evidence, teach
from hypothesis import given
from hypothesis import strategies as st

from transforms.consistency import evidence as module
from transforms.consistency.beliefs import Beliefs
from transforms.consistency.proxy import Proxy
from transforms.consistency.win_shares import DROP, KEEP, OPEN, win_share

ALL = np.arange


def shares(found, reference="label", first=None):
    return found.shares(np.arange(len(found)), reference, first).tolist()


@pytest.mark.parametrize(("cut", "share"), [("chosen", 0.625), ("rejected", 0.375)])
def test_a_poet_pair_compares_its_completions_with_the_whole_other_side(cut, share):
    # Completions 3, 1, 0, 2 against 1: above, tie, below, above = 2.5 of 4; 1.5 of 4 where the chosen side is whole.
    found = evidence(1, cut=cut)
    found.full["rejected" if cut == "chosen" else "chosen"][0] = 1.0
    found.full[cut][0] = 99.0  # the cut side's full response plays no part
    draw(found, 0, **{cut: [3.0, 1.0, 0.0, 2.0]})
    assert shares(found) == [share]


def test_both_sides_cut_compare_every_completion_with_every_other():
    # 2 > 1, 2 = 2, 2 < 3; 4 beats 1, 2, 3; 0 beats none: 4.5 of 9.
    found = evidence(1, cut="both", n_max=3)
    draw(found, 0, chosen=[2.0, 4.0, 0.0], rejected=[1.0, 2.0, 3.0])
    assert shares(found) == [0.5]


def test_the_first_completions_alone_give_the_unbiased_share():
    found = evidence(2, cut=["chosen", "both"])
    draw(found, 0, chosen=[-1.0, 1.0, 1.0])
    draw(found, 1, chosen=[1.0, 9.0, 9.0], rejected=[2.0, 0.0, 0.0])
    assert shares(found, first=1) == [0.0, 0.0]
    assert shares(found, first=2) == [0.5, 0.75]
    assert shares(found) == [2 / 3, 8 / 9]


def test_an_uncut_pair_is_consistent_by_definition_with_either_reference():
    found = evidence(1, cut="none")
    found.full["rejected"][0] = 1.0
    assert shares(found) == shares(found, "reward") == [1.0]


def test_the_reward_models_own_order_mirrors_the_share_where_it_disagrees_with_the_label():
    found = evidence(3)
    found.full["chosen"][:] = [1.0, -1.0, 0.0]  # agrees, disagrees, ties
    for row in range(3):
        draw(found, row, chosen=[1.0, 1.0, 1.0, -1.0])
    assert shares(found) == [0.75, 0.75, 0.75]
    assert shares(found, "reward") == [0.75, 0.25, 0.5]


def test_the_margin_points_towards_the_reference():
    for reference, margins in (("label", [2.0, -3.0]), ("reward", [2.0, 3.0])):
        found = evidence(2, reference=reference)
        found.full["chosen"][:] = [2.0, -3.0]
        assert found.margin.tolist() == margins


@given(st.data())
def test_many_pairs_at_once_are_compared_like_each_alone(data):
    kinds = data.draw(st.lists(st.sampled_from(["none", "chosen", "rejected", "both"]), max_size=12))
    rewards = st.integers(-2, 2).map(float)
    found = evidence(len(kinds), cut=kinds or "none", n_max=3)
    expected = []
    for row, kind in enumerate(kinds):
        sides = {"both": ("chosen", "rejected"), "none": ()}.get(kind, (kind,))
        full = {side: data.draw(rewards) for side in ("chosen", "rejected")}
        n = data.draw(st.integers(1, 3)) if sides else 0
        drawn = {side: data.draw(st.lists(rewards, min_size=n, max_size=n)) for side in sides}
        for side in full:
            found.full[side][row] = full[side]
        draw(found, row, **drawn)
        compared = {side: drawn.get(side, [full[side]]) for side in full}
        expected.append(win_share(compared["chosen"], compared["rejected"]) if sides else 1.0)
    assert shares(found) == expected
    backwards = np.arange(len(kinds))[::-1]
    assert found.shares(backwards, "label").tolist() == expected[::-1]


def test_large_groups_are_compared_in_pieces_of_bounded_size(monkeypatch):
    found = evidence(50, cut="both", n_max=2)
    found.n[:] = 2
    for side in found.completions:
        found.completions[side][:] = np.random.default_rng(0).integers(0, 3, (50, 2))
    whole = shares(found)
    monkeypatch.setattr(module, "_CHUNK", 12)  # three pairs of 2 × 2
    assert shares(found) == whole


def beta(found, row):
    """Parameters of a pair's posterior, of one component."""
    posterior = found.posterior(np.array([row]))
    assert posterior.share.tolist() == [[1.0]]
    return posterior.wins[0, 0], posterior.losses[0, 0]


def test_the_posterior_adds_wins_and_losses_to_the_prior():
    # Two of three: Beta(.5 + 2, .5 + 1). Nothing sampled: the prior.
    found = evidence(2, prior_parameters=(0.5, 0.5))
    draw(found, 0, chosen=[1.0, 1.0, -1.0])
    assert (beta(found, 0), beta(found, 1)) == (pytest.approx((2.5, 1.5)), (0.5, 0.5))


def test_both_sides_count_as_their_matched_pairs_and_not_as_all_combinations():
    # 8 of 9 combinations, worth three comparisons: Beta(.5 + 8/3, .5 + 1/3).
    found = evidence(1, cut="both")
    draw(found, 0, chosen=[1.0, 9.0, 9.0], rejected=[2.0, 0.0, 0.0])
    assert beta(found, 0) == pytest.approx((0.5 + 8 / 3, 0.5 + 1 / 3))


def decided(found, delta=0.1):
    found.decide(threshold=0.5, delta=delta)
    return found.verdict.tolist(), found.decided_by.tolist()


def test_uncut_pairs_are_kept_without_a_sample():
    found = evidence(3, cut=["none", "chosen", "none"])
    assert decided(found) == ([KEEP, OPEN, KEEP], ["uncut", "", "uncut"])
    assert found.sides_cut.tolist() == [0, 1, 0]


def test_a_sure_pair_is_decided_and_an_unsure_one_stays_open():
    # Under Jeffreys two equal completions give P = .924, one .818: at δ = .1 the first two pairs are sure.
    found = evidence(3)
    draw(found, 0, chosen=[1.0, 1.0])
    draw(found, 1, chosen=[-1.0, -1.0])
    draw(found, 2, chosen=[1.0])
    assert decided(found) == ([KEEP, DROP, OPEN], ["sampling", "sampling", ""])


def test_a_verdict_is_open_again_when_what_was_believed_of_the_pair_changes():
    # One win is enough for a pair of which Beta(9, 1) was foretold, and not for any pair.
    found = evidence(1)
    draw(found, 0, chosen=[1.0])
    believe(found, 0, 9, 1)
    assert decided(found) == ([KEEP], ["sampling"])
    believe(found, 0, 0.5, 0.5)
    assert decided(found) == ([OPEN], [""])


def test_at_n_max_the_posterior_mean_decides_and_a_tie_of_it_keeps():
    # Two of two give P = .924, one of two 1/2: at δ = .05 none of them is sure.
    found = evidence(4, n_max=2)
    for row, rewards in enumerate(([1.0, -1.0], [-1.0, -1.0], [1.0, 1.0], [1.0])):
        draw(found, row, chosen=rewards)
    assert decided(found, 0.05) == ([KEEP, DROP, KEEP, OPEN], ["n_max", "n_max", "n_max", ""])
    assert decided(found, 0.1)[1] == ["n_max", "sampling", "sampling", ""]


@pytest.mark.parametrize(("keep", "verdict"), [(True, KEEP), (False, DROP)])
def test_when_the_budget_ends_what_is_open_is_kept_or_dropped_as_asked(keep, verdict):
    found = evidence(2, cut=["none", "chosen"])
    found.decide(threshold=0.5, delta=0.1)
    found.close_undecided(keep=keep)
    assert found.verdict.tolist() == [KEEP, verdict]
    assert found.decided_by.tolist() == ["uncut", "undecided"]


def test_a_bad_pair_is_never_decided():
    found = evidence(4, cut=["none", "chosen", "chosen", "chosen"], n_max=2)
    for row in (1, 2):
        draw(found, row, chosen=[1.0, 1.0])
    found.full["rejected"][2] = np.nan
    found.bad = dict.fromkeys(range(4), "returned nan")
    teach(found, ALL(4), foretold([9] * 4), threshold=0.5)
    found.decide(threshold=0.5, delta=0.2)
    found.close_undecided(keep=True)
    assert found.verdict.tolist() == [OPEN] * 4
    assert found.decided_by.tolist() == [""] * 4
    assert not found.usable.any()
    assert not found.open_pairs().any()


def foretold(wins, *, sure=0.9, informative=True):
    """A proxy that believes Beta(w, 10 − w) of each pair."""
    beliefs = Beliefs.alike(len(wins), 1, 1)
    for row, won in enumerate(wins):
        beliefs = beliefs.replaced(np.array([row]), Beliefs.alike(1, won, 10 - won))
    return Proxy(informative, "because", 0.1, beliefs.mean(), beliefs, sure)


def test_the_proxy_decides_where_it_is_sure_and_lends_its_prior_elsewhere():
    # P(c ≥ .5) under Beta(9, 1), (1, 9), (6, 4) is 1 − 2⁻⁹, 2⁻⁹ and .746.
    found = evidence(3)
    teach(found, ALL(3), foretold([9, 1, 6]), threshold=0.5)
    assert decided(found) == ([KEEP, DROP, OPEN], ["proxy", "proxy", ""])
    assert found.skippable.tolist() == [True, True, False]
    assert found.foretold(ALL(3), 0.5).tolist() == [True, False, True]
    assert found.expected.tolist() == pytest.approx([0.9, 0.1, 0.6])
    assert [beta(found, row) for row in range(3)] == [(9, 1), (1, 9), (6, 4)]


def test_an_audit_pair_is_never_decided_without_its_completions():
    found = evidence(2)
    found.audit[0] = True
    teach(found, ALL(2), foretold([9, 9]), threshold=0.5)
    assert decided(found) == ([OPEN, KEEP], ["", "proxy"])
    assert found.skippable.all()


def test_a_pair_that_the_proxy_once_was_unsure_of_is_sampled_for_good():
    # Else the sampled pairs would be no random sample of those that the proxy does not decide.
    found = evidence(2)
    teach(found, ALL(2), foretold([9, 6]), threshold=0.5)
    teach(found, ALL(2), foretold([9, 9]), threshold=0.5)
    assert found.skippable.tolist() == [True, False]
    assert decided(found) == ([KEEP, OPEN], ["proxy", ""])


def test_the_proxy_speaks_only_of_the_rows_it_was_asked_about():
    found = evidence(4, cut=["none", "chosen", "none", "chosen"])
    teach(found, np.array([1, 3]), foretold([1, 9]), threshold=0.5)
    assert decided(found)[0] == [KEEP, DROP, KEEP, KEEP]
    assert np.isnan(found.expected[[0, 2]]).all()


def test_a_proxy_that_is_sure_of_nothing_decides_nothing():
    found = evidence(2)
    teach(found, ALL(2), foretold([9.9, 0.1], sure=np.inf), threshold=0.5)
    assert decided(found)[0] == [OPEN, OPEN]


def test_a_proxy_learns_from_the_pairs_that_have_completions():
    found = evidence(5, cut=["chosen", "none", "chosen", "chosen", "chosen"])
    draw(found, 0, chosen=[1.0, -1.0, 0.0])
    draw(found, 3, chosen=[1.0])
    draw(found, 4, chosen=[1.0])
    found.audit[3] = True
    found.bad[4] = "returned nan"
    outcomes = found.outcomes(np.array([0, 2, 3, 4]))
    assert (outcomes.rows.tolist(), outcomes.wins.tolist(), outcomes.n.tolist()) == ([0, 2], [1.5, 1.0], [3, 1])
    assert outcomes.audit.tolist() == [False, True]


def test_of_no_pairs_everything_is_empty():
    found = evidence(0, cut="none")
    assert decided(found) == ([], [])
    found.close_undecided(keep=True)
    assert shares(found) == shares(found, "reward") == []
    assert found.margin.shape == (0,)


def test_one_completion_at_most_is_decided_by_its_one_completion():
    found = evidence(2, n_max=1)
    draw(found, 0, chosen=[1.0])
    draw(found, 1, chosen=[-1.0])
    assert decided(found)[0] == [KEEP, DROP]


def gap_values(found, rows=None):
    rows = np.arange(len(found)) if rows is None else rows
    return [[v for v in line if not np.isnan(v)] for line in found.gaps(rows).values.tolist()]


def test_a_reward_gap_is_what_the_chosen_side_has_more_than_the_rejected_one():
    found = evidence(4, cut=["chosen", "rejected", "both", "none"])
    found.full["chosen"][:], found.full["rejected"][:] = 5.0, 2.0
    draw(found, 0, chosen=[1.0, 4.0])
    draw(found, 1, rejected=[9.0])
    draw(found, 2, chosen=[1.0, 2.0], rejected=[4.0, 0.5])  # matched by number
    assert gap_values(found) == [[-1.0, 2.0], [-4.0], [-3.0, 1.5], []]
    assert found.gaps(np.arange(4)).skew.tolist() == [1, -1, 0, 0]
    assert found.gaps(np.arange(4)).margin.tolist() == [3.0] * 4
    assert found.gaps(np.arange(4), by_margin=False).margin.tolist() == [0.0] * 4
    assert found.gaps(np.array([1])).before().values.shape == (1, 0)


def test_a_gap_points_to_the_reward_models_order_where_that_is_the_reference():
    found = evidence(3, cut="chosen", reference="reward")
    found.full["rejected"][:] = [1.0, -1.0, 0.0]  # the chosen ones have 0: disagrees, agrees, a tie
    for row in range(3):
        draw(found, row, chosen=[4.0])
    assert gap_values(found) == [[-3.0], [5.0], [0.0]]
    assert found.gaps(np.arange(3)).skew.tolist() == [-1, 1, 0]


def test_a_reward_that_came_after_the_last_counted_completion_is_no_gap():
    found = evidence(1)
    draw(found, 0, chosen=[1.0])
    found.completions["chosen"][0, 1] = 9.0
    assert gap_values(found) == [[1.0]]


def test_a_pair_that_is_sampled_no_further_gets_the_likelier_verdict():
    found = evidence(3)
    for row, rewards in enumerate(([1.0, 1.0, -1.0], [-1.0, -1.0, 1.0], [1.0, -1.0])):
        draw(found, row, chosen=rewards)
    assert decided(found)[0] == [OPEN] * 3
    found.stop(np.arange(3), threshold=0.5)
    assert found.verdict.tolist() == [KEEP, DROP, KEEP]  # as likely as not is kept, like a mean at the threshold
    assert found.decided_by.tolist() == ["stopped"] * 3


def test_a_completion_more_costs_what_the_pairs_own_foretell_of_its_length():
    found = evidence(3, cut=["chosen", "both", "rejected"])
    assert found.costs(np.arange(3)).tolist() == [1.0, 2.0, 1.0]  # no length is known
    found.n[:2] = [2, 1]
    found.tokens["chosen"][0, :2], found.tokens["chosen"][1, 0], found.tokens["rejected"][1, 0] = [60, 60], 10, 30
    # 160 tokens in four completions: 40 each. Of pair 0: 120 / 40 = 3, and one of mean length, over 2 + 1.
    np.testing.assert_allclose(found.costs(np.arange(3)), [(3 + 1) / 3, (1 + 2) / 2, 1.0])


def test_values_at_the_cuts_are_compared_towards_the_reference_and_a_whole_side_counts_with_its_reward():
    found = evidence(5, cut=["chosen", "both", "both", "rejected", "none"])
    assert found.value_gap() is None and found.gaps(ALL(5)).value_gap is None
    found.full["chosen"][:], found.full["rejected"][:] = [2.0, -1.0, 3.0, 5.0, 9.0], [1.0, 1.0, 1.0, 1.0, 1.0]
    values = found.read_values()
    values["chosen"][:4], values["rejected"][:4] = [0.5, 1.0, np.nan, 9.0], [9.0, 3.0, 1.0, -2.0]
    # 0.5 − 1 (the rejected side is whole), 1 − 3, unreadable: the mean of the others that are cut, 5 − (−2), 9 − 1.
    assert found.value_gap().tolist() == [-0.5, -2.0, 1.5, 7.0, 8.0]
    found.reference = "reward"  # which orders the second pair the other way round
    assert found.value_gap().tolist() == pytest.approx([-0.5, 2.0, 8.5 / 3, 7.0, 8.0])
    assert found.gaps(ALL(5)[1:]).value_gap.tolist() == pytest.approx([2.0, 8.5 / 3, 7.0, 8.0])
    assert found.gaps(ALL(5), by_margin=False).value_gap is None  # a run without a proxy looks at none
    found.bad[3] = "its full response has no reward"
    assert found.value_gap()[2] == pytest.approx(0.75)


def test_a_tie_of_the_full_responses_leaves_values_towards_the_label_what_they_are():
    found = evidence(2, cut="both")
    values = found.read_values()
    values["chosen"][:], values["rejected"][:] = [2.0, 2.0], [0.5, 0.5]
    found.full["chosen"][:], found.full["rejected"][:] = [1.0, 1.0], [1.0, 3.0]
    found.reference = "reward"
    assert found.gaps(ALL(2)).value_gap.tolist() == [0.0, -1.5]
    assert found.gaps(ALL(2), reference="label").value_gap.tolist() == [1.5, 1.5]


def test_values_of_which_none_can_be_read_are_no_values():
    found = evidence(2)
    found.read_values()
    assert found.value_gap() is None
