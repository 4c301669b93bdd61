"""The order in which pairs are decided, and where it stops, with answers that are given."""

import numpy as np
import pytest
from gap_worlds import MODEL, TWO_MODES, world
from hypothesis import given
from hypothesis import strategies as st

from transforms.consistency import deciding
from transforms.consistency.beliefs import Beliefs
from transforms.consistency.deciding import Decider, ProxyRule, Rules, random_ranks
from transforms.consistency.evidence import Evidence
from transforms.consistency.proxy import fit_proxy
from transforms.consistency.rates import consistency_rates
from transforms.consistency.sequential import worth


def evidence(pairs, *, n_max=8, both=False):
    ids = [f"{i:08x}" + "0" * 24 for i in range(pairs)]
    cut = {"chosen": np.ones(pairs, bool), "rejected": np.full(pairs, both)}
    found = Evidence(ids, cut, np.full(pairs, 0.5), n_max)
    found.full["chosen"][:] = 1
    found.full["rejected"][:] = 0
    return found


class Answers:
    """Gives every completion of pair i a reward of +1 where wins[i] says so, else −1; remembers what was asked."""

    def __init__(self, known, wins, tokens=3):
        self.known, self.wins, self.tokens, self.asked = known, wins, tokens, []

    def __call__(self, stage, number, asked):
        self.asked.append((stage, number, asked.rows.tolist(), asked.more.tolist()))
        for row, more in zip(asked.rows.tolist(), asked.more.tolist(), strict=True):
            have = self.known.n[row]
            self.known.completions["chosen"][row, have : have + more] = 1 if self.wins[row] else -1
            self.known.completions["rejected"][row, have : have + more] = 0
        return self.tokens * asked.completions(self.known)


def decide(known, wins, order=None, **rules):
    answers = Answers(known, wins)
    settings = {"first": 1, "step": 1, "threshold": 0.5, "delta": 0.1} | rules
    ranks = np.arange(len(known)) if order is None else order
    return Decider(known, Rules(**settings), ranks, answers).decide(), answers


def test_unanimous_completions_decide_after_two_at_delta_one_tenth():
    # Jeffreys: P(c ≥ ½) is .818 after one win, .924 after two.
    known = evidence(3)
    records, answers = decide(known, [True, True, False])
    assert [(stage, rows) for stage, _, rows, _ in answers.asked] == [("rest", [0, 1, 2]), ("rest", [0, 1, 2])]
    assert known.verdict.tolist() == [1, 1, -1]
    assert [(r.number, r.keep, r.drop, r.open) for r in records] == [(1, 0, 0, 3), (2, 2, 1, 0)]


def test_fixed_n_asks_once_for_everything():
    known = evidence(2, n_max=3)
    _, answers = decide(known, [True, False], first=3)
    assert answers.asked == [("rest", 1, [0, 1], [3, 3])]


def test_without_pairs_nothing_is_asked():
    records, answers = decide(evidence(0), [])
    assert (records, answers.asked) == ([], [])


def test_uncut_pairs_are_kept_without_a_question():
    known = evidence(2)
    known.sampled["chosen"][0] = False
    _, answers = decide(known, [True, True])
    assert known.decided_by.tolist() == ["uncut", "sampling"]
    assert all(rows == [1] for _, _, rows, _ in answers.asked)


def test_a_budget_of_completions_is_spent_to_the_last_and_the_rest_is_undecided():
    known = evidence(10)
    records, _ = decide(known, [True] * 10, completions=13)
    assert sum(r.completions for r in records) == 13
    assert known.decided_by.tolist().count("undecided") == 7
    assert (known.verdict == 1).sum() == 3


def test_a_budget_of_tokens_counts_a_completion_with_all_it_may_have():
    # 20 tokens: 2 completions may have 10 each, but take 3 each; 14 are left, so one more, then 11: one more …
    known = evidence(10)
    records, answers = decide(known, [True] * 10, tokens=20, max_new_tokens=10)
    assert [len(rows) for _, _, rows, _ in answers.asked] == [2, 1, 1]
    assert sum(r.tokens for r in records) == 12


def test_a_completion_of_both_sides_costs_two():
    known = evidence(4, both=True)
    records, _ = decide(known, [True] * 4, completions=5)
    assert sum(r.completions for r in records) == 4


def test_undecided_pairs_are_kept_on_request():
    known = evidence(2)
    decide(known, [True, True], completions=1, keep_undecided=True)
    assert known.verdict.tolist() == [1, 1]
    assert known.decided_by.tolist() == ["undecided", "undecided"]


def test_the_audit_is_the_first_of_the_random_order_and_comes_first():
    known = evidence(10)
    order = np.arange(10)[::-1].copy()
    _, answers = decide(known, [True] * 10, order, proxy=ProxyRule(0.2, 3, 0.05))
    # Two each, whatever a first round is: one completion a pair does not show how pairs of equal margin differ.
    assert answers.asked[0] == ("audit", 1, [7, 8, 9], [2, 2, 2])
    assert np.flatnonzero(known.audit).tolist() == [7, 8, 9]


@pytest.mark.parametrize(("share", "least", "expected"), [(0.5, 1, 5), (0.1, 4, 4), (0.1, 99, 10)])
def test_the_audit_is_a_share_of_the_cut_pairs_at_least_so_many_at_most_all(share, least, expected):
    known = evidence(10)
    decide(known, [True] * 10, proxy=ProxyRule(share, least, 0.05))
    assert known.audit.sum() == expected


def test_the_proxy_learns_after_every_round_that_brings_news(monkeypatch):
    # 20 pairs of the audit with two comparisons each, then 80 others with one, then those that are open still.
    learned = []

    def watched(margin, share_cut, fold, sampled, **rest):
        learned.append(int(sampled.n.sum()))
        return fit_proxy(margin, share_cut, fold, sampled, **rest)

    monkeypatch.setattr(deciding, "fit_proxy", watched)
    known = evidence(100)
    wins = [i % 4 > 0 for i in range(100)]
    records, _ = decide(known, wins, proxy=ProxyRule(0.2, 20, 0.05))
    asked = np.cumsum([record.completions for record in records]).tolist()
    assert learned[:2] == asked[:2] == [40, 120]
    expected, last = [], 0
    for total in asked:
        if total >= 1.1 * last:
            expected.append(total)
            last = total
    assert learned == expected


def test_a_fit_reads_no_more_pairs_than_it_needs_and_the_audit_first(monkeypatch):
    monkeypatch.setattr(deciding, "_ENOUGH", 25)
    read = []

    def watched(margin, share_cut, fold, sampled, **rest):
        read.append(sampled)
        return fit_proxy(margin, share_cut, fold, sampled, **rest)

    monkeypatch.setattr(deciding, "fit_proxy", watched)
    decide(evidence(60), [True] * 60, np.arange(60)[::-1].copy(), proxy=ProxyRule(0.1, 20, 0.05))
    assert [len(sampled.rows) for sampled in read] == [20, 25]
    assert read[1].rows.tolist() == list(range(35, 60))
    assert read[1].audit.tolist() == [False] * 5 + [True] * 20


def test_bad_pairs_are_never_asked_for():
    known = evidence(3)
    known.bad[1] = "no reward"
    _, answers = decide(known, [True] * 3)
    assert all(1 not in rows for _, _, rows, _ in answers.asked)
    assert known.decided_by[1] == ""


@given(st.lists(st.uuids().map(str), unique=True, max_size=30), st.integers(0, 3), st.randoms())
def test_random_ranks_belong_to_the_pairs_and_not_to_their_order(ids, seed, random):
    ranks = dict(zip(ids, random_ranks(ids, seed).tolist(), strict=True))
    shuffled = ids.copy()
    random.shuffle(shuffled)
    assert dict(zip(shuffled, random_ranks(shuffled, seed).tolist(), strict=True)) == ranks
    assert sorted(ranks.values()) == list(range(len(ids)))


def test_another_seed_gives_another_order():
    ids = [str(i) for i in range(50)]
    assert random_ranks(ids, 0).tolist() != random_ranks(ids, 1).tolist()


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 6), st.integers(1, 3), st.integers(0, 40))
def test_every_usable_pair_is_decided_and_no_budget_is_passed(wins, first, step, budget):
    known = evidence(len(wins), n_max=6)
    records, _ = decide(known, wins, first=first, step=step, completions=budget)
    assert (known.verdict != 0).all()
    assert sum(r.completions for r in records) == known.n.sum() <= budget
    sure = known.decided_by == "sampling"
    assert (np.asarray(wins)[sure] == (known.verdict[sure] == 1)).all()


def test_a_pair_is_sampled_no_further_where_a_completion_more_is_worth_too_little():
    once = evidence(1)
    once.completions["chosen"][0, 0], once.n[0] = -1, 1
    value = worth(once, np.array([0]), step=1, threshold=0.5)[0]
    assert 0 < value < 0.1
    for limit, completions, by in ((1.01 * value, 1, "stopped"), (0.99 * value, 2, "sampling")):
        known = evidence(2)
        decide(known, [False, False], stop_below=limit)
        assert known.n.tolist() == [completions] * 2
        assert known.decided_by.tolist() == [by] * 2
        assert known.verdict.tolist() == [-1, -1]


def test_a_completion_of_both_sides_must_be_worth_twice_as_much():
    value = 0.0
    for both, expected in ((False, "sampling"), (True, "stopped")):
        known = evidence(1, both=both)
        if not both:
            once = evidence(1)
            once.completions["chosen"][0, 0], once.n[0] = -1, 1
            value = worth(once, np.array([0]), step=1, threshold=0.5)[0]
        decide(known, [False], stop_below=0.75 * value)
        assert known.decided_by.tolist() == [expected]


def gaps_of(made):
    """Evidence with rewards of zero but for the completed side, and the answers that a made world gives."""
    gaps, side = made, made.skew
    count = len(side)
    known = evidence(count, n_max=gaps.values.shape[1])
    known.sampled = {"chosen": side > 0, "rejected": side < 0}
    known.share_cut = gaps.share_cut
    known.full["chosen"][:] = np.where(side > 0, gaps.margin, 0)
    known.full["rejected"][:] = np.where(side < 0, -gaps.margin, 0)

    def ask(_stage, _number, asked):
        for row, more in zip(asked.rows.tolist(), asked.more.tolist(), strict=True):
            span = slice(known.n[row], known.n[row] + more)
            name = "chosen" if side[row] > 0 else "rejected"
            known.completions[name][row, span] = (gaps.values * side[:, None])[row, span]
        return asked.completions(known)

    return known, ask


def by_gaps(made, **rules):
    known, ask = gaps_of(made)
    settings = {"first": 1, "step": 1, "threshold": 0.5, "delta": 0.1, "proxy": ProxyRule(0.1, 40, 0.1)} | rules
    ranks = np.random.default_rng(0).permutation(len(known))
    Decider(known, Rules(**settings), ranks, ask).decide()
    return known


def test_gaps_decide_with_fewer_completions_and_no_more_errors_than_counts():
    made, consistency = world(MODEL, 300, seed=3)
    found = {name: by_gaps(made, estimator=name) for name in ("counts", "rewards")}
    wrong = {name: ((one.verdict > 0) != (consistency >= 0.5)).mean() for name, one in found.items()}
    assert found["rewards"].gap_fits.trusted and found["counts"].gap_fits is None
    assert found["rewards"].n.sum() < 0.9 * found["counts"].n.sum()
    assert wrong["rewards"] <= wrong["counts"]
    skipped = found["rewards"].decided_by == "proxy"
    assert skipped.any() and not found["rewards"].n[skipped].any()
    assert (found["rewards"].verdict[skipped] > 0).tolist() == (
        found["rewards"].prior(np.flatnonzero(skipped)).above(0.5) >= 0.5
    ).tolist()
    np.testing.assert_allclose(found["rewards"].expected, found["rewards"].prior(np.arange(300)).mean())


def test_without_a_proxy_gaps_know_no_margin_and_skip_nobody():
    made, _ = world(MODEL, 120, seed=2)
    found = by_gaps(made, estimator="rewards", proxy=None)
    assert found.gap_fits.trusted and not found.gap_fits.by_margin
    assert found.proxy is None and (found.n > 0).all()
    assert all(shape.place[1:] == pytest.approx((0.0, 0.0), abs=1e-6) for shape in found.gap_fits.shapes)


def test_where_the_shape_does_not_fit_verdicts_are_those_of_counting():
    made, _ = world(TWO_MODES, 200, seed=3)
    found = by_gaps(made, estimator="rewards")
    assert not found.gap_fits.trusted
    rows = np.flatnonzero(found.n > 0)
    counted = found.beliefs.of(rows).after(found.shares(rows, "label") * found.n[rows], found.n[rows])
    np.testing.assert_allclose(found.posterior(rows).above(0.5), counted.above(0.5))


def test_the_same_run_ends_with_the_same_completions_and_stops_where_more_are_worth_little():
    made, _ = world(MODEL, 100, seed=4)
    one = by_gaps(made, estimator="rewards", stop_below=0.01)
    assert set(one.decided_by) >= {"stopped"}
    assert one.n.tolist() == by_gaps(made, estimator="rewards", stop_below=0.01).n.tolist()


def test_a_budget_for_verdicts_goes_where_a_first_completion_is_worth_most_too():
    # Two pairs are nearly sure by their prior, two are not; the order would take the sure ones.
    known = evidence(4)
    for row in (0, 1):
        known.beliefs = known.beliefs.replaced(np.array([row]), Beliefs.alike(1, 60, 1))
    _, answers = decide(known, [True] * 4, completions=2, purpose="verdicts")
    assert answers.asked[0][2] == [2, 3]
    known = evidence(4)
    _, answers = decide(known, [True] * 4, completions=2)
    assert answers.asked[0][2] == [0, 1]


def test_a_budget_for_the_rate_gives_one_completion_to_as_many_pairs_as_it_pays_and_no_second_one():
    known = evidence(200)
    audit = ProxyRule(0.1, 20, 0.05)
    records, answers = decide(known, [True, False] * 100, completions=100, purpose="rates", proxy=audit)
    assert [(record.stage, record.number) for record in records] == [("audit", 1), ("rest", 1)]
    assert known.n.max() == 1
    assert 97 <= known.n.sum() <= 100
    assert len(answers.asked[0][2]) == 20
    assert ((known.chance > 0) & (known.chance <= 1)).all()
    assert known.chance.sum() == pytest.approx(known.n.sum(), abs=4)
    assert (known.decided_by == "undecided").sum() + (known.decided_by == "proxy").sum() == 200 or known.n.sum() < 200


def test_a_budget_for_the_rate_that_pays_for_all_goes_on_to_verdicts():
    known = evidence(30)
    decide(known, [True] * 30, completions=500, purpose="rates")
    assert known.chance is None
    assert (known.decided_by == "sampling").all()


def test_the_rate_is_unbiased_where_pairs_are_drawn_by_what_is_foretold():
    # A third of the pairs never agree, and what is foretold of them is wrong for one in five.
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        wins = rng.random(150) < 0.66
        known = evidence(150)
        known.full["chosen"][:] = np.where(wins ^ (rng.random(150) < 0.2), 3.0, 0.1)
        decide(known, wins, order=rng.permutation(150), completions=70, purpose="rates", proxy=ProxyRule(0.1, 30, 0.05))
        (rate,) = (one for one in consistency_rates(known, ["a"] * 150, 1) if one.reference == "label")
        found.append((rate.rate - wins.mean(), rate.low <= 0.66 <= rate.high))
    apart, covers = np.array(found).T
    assert abs(apart.mean()) < 3 * apart.std(ddof=1) / 60**0.5
    assert covers.mean() >= 0.88


def test_sampling_is_not_given_up_before_two_completions_have_shown_how_gaps_vary():
    known = evidence(3)
    decide(known, [True] * 3, delta=0.01, estimator="rewards", stop_below=0.4)
    assert known.n.tolist() == [2, 2, 2] and set(known.decided_by) == {"stopped"}
    known = evidence(3)
    decide(known, [True] * 3, delta=0.01, stop_below=0.4)
    assert known.n.tolist() == [1, 1, 1]


def test_a_margin_that_foretells_nothing_skips_nobody_whatever_gaps_say():
    made, _ = world(MODEL, 120, seed=5)
    made = made._replace(margin=np.random.default_rng(0).permutation(made.margin), values=made.values + 30)
    found = by_gaps(made, estimator="rewards", proxy=ProxyRule(0.3, 40, 0.3))
    assert not found.proxy.informative
    assert not found.skippable.any() and (found.n > 0).all()
