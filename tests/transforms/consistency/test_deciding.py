"""The order in which pairs are decided, and where it stops, with answers that are given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.consistency import deciding
from transforms.consistency.deciding import Decider, ProxyRule, Rules, random_ranks
from transforms.consistency.evidence import Evidence
from transforms.consistency.proxy import fit_proxy


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
