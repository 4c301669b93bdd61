"""Rates to advice: what is safe, what is not, and what nobody knows."""

import pytest

from transforms import advice
from transforms.audit import MethodAudit
from transforms.manifest import ShareRecord


def share(value, low, high, count=200):
    return ShareRecord(value=value, low=low, high=high, count=count)


SURE = share(0.995, 0.99, 0.999)


def method(name, rate, saved):
    verdict = advice.verdict_of(rate)
    return MethodAudit(
        name=name, consistency=rate, by_reward=rate, tokens_saved=saved, completions=10, verdict=verdict,
        why=advice.why_of(verdict, rate),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [
        (share(0.985, 0.97, 0.993), "safe"),
        (share(0.97, 0.94, 0.985), "safe"),
        (share(0.985, 0.93, 0.997), "unclear"),  # too few pairs: the rate that hurt is within the interval
        (share(0.95, 0.94, 0.96), "unclear"),  # between what hurt and what helped, surely
        (share(0.938, 0.90, 0.96), "harmful"),
        (share(0.70, 0.60, 0.79), "harmful"),
        (share(0.93, 0.80, 0.99), "unclear"),
    ],
)
def test_the_verdict_compares_the_whole_interval_with_the_published_rates(rate, verdict):
    assert advice.verdict_of(rate) == verdict


def test_the_best_cut_is_the_safe_one_that_saves_most():
    safe, better, harmful = (
        method("poet", share(0.985, 0.97, 0.99), 0.2),
        method("ratio 0.5", share(0.98, 0.96, 0.99), 0.5),
        method("ratio 0.25", share(0.8, 0.7, 0.9), 0.75),
    )
    assert advice.recommended([safe, better, harmful]).name == "ratio 0.5"
    assert advice.recommended([harmful]) is None


def test_where_the_reward_model_disagrees_with_the_labels_its_own_order_decides():
    label, own = share(0.64, 0.56, 0.71), share(0.97, 0.95, 0.98)
    assert advice.judged_rate(label, own, share(0.76, 0.69, 0.82)) is own
    assert advice.judged_rate(label, own, SURE) is label


def sentences(methods, agrees=SURE, pairs=1000):
    return advice.sentences(methods, agrees, audited=100, pairs=pairs, tokens=10_000, seconds=60)


def test_the_advice_begins_with_poet_and_names_the_cut_to_use():
    first, second, *_ = sentences(
        [method("poet", share(0.95, 0.94, 0.96), 0.2), method("ratio 0.5", share(0.98, 0.96, 0.99), 0.5)]
    )
    assert first.startswith("POET is not clearly safe on this data: 95.0% [94.0%, 96.0%]")
    assert "20.0% of the response tokens" in first
    assert second.startswith("Use ratio 0.5: 98.0%")


def test_without_a_safe_cut_it_says_to_curate_or_to_leave_the_data_whole():
    advice_given = sentences([method("poet", share(0.8, 0.7, 0.88), 0.3)])
    assert advice_given[0].startswith("POET would hurt on this data")
    assert "flows.curate" in advice_given[1]


def test_being_surer_has_a_price_four_times_the_pairs_halve_the_interval():
    *_, last = sentences([method("poet", share(0.98, 0.96, 1.0), 0.2)])
    assert last == (
        "The rates are known to ±2.0 points or better from 100 of 1,000 pairs. 400 pairs would know them to about "
        "±1.0, for about 30,000 sampled tokens and 3 minutes more here."
    )


def test_with_all_pairs_audited_nothing_surer_is_offered():
    *_, last = sentences([method("poet", share(0.98, 0.96, 1.0), 0.2)], pairs=100)
    assert last.endswith("These are all pairs there are.")


def test_a_reward_model_that_disagrees_with_the_labels_is_named():
    text = " ".join(sentences([method("poet", share(0.9, 0.85, 0.93), 0.2)], agrees=share(0.76, 0.69, 0.82)))
    assert "orders only 76.0% [69.0%, 82.0%] of the uncut pairs as the label does" in text
    assert "against its own order of the full responses" in text


def test_published_rates_carry_their_source():
    assert all("arXiv 2506.09457" in rate.source for rate in advice.PUBLISHED)
    assert [rate.rate for rate in advice.PUBLISHED] == [0.914, 0.938, 0.985, 0.989]
