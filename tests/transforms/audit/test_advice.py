"""Rates to advice: what published settings speak for, what they do not, and nothing that they do not carry."""

import pytest

from transforms.audit import advice
from transforms.audit import published_rates as published
from transforms.records.audit import MethodAudit
from transforms.records.manifest import ShareRecord
from transforms.statistics.intervals import MeanRecord


def share(value, low, high, count=200):
    return ShareRecord(value=value, low=low, high=high, count=count)


SURE = share(0.995, 0.99, 0.999)


def method(name, rate, saved):
    return MethodAudit(
        name=name, consistency=rate, by_reward=rate, tokens_saved=saved, completions=10,
        verdict=advice.verdict_of(rate), why=advice.why_of(name, rate),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [
        (share(0.985, 0.97, 0.993), "supported"),
        (share(0.97, 0.94, 0.985), "supported"),
        (share(0.985, 0.93, 0.997), "undecided"),  # too few pairs: the rate that lost is within the interval
        (share(0.95, 0.94, 0.96), "undecided"),  # surely between what lost and what gained
        (share(0.938, 0.90, 0.96), "undecided"),
        (share(0.914, 0.913, 0.915), "undecided"),  # POET's own first setting, known as well as can be: it gained
        (share(0.92, 0.86, 0.96), "undecided"),
        (share(0.93, 0.80, 0.99), "undecided"),
        (share(0.88, 0.84, 0.913), "unsupported"),  # surely below every published setting
        (share(0.70, 0.60, 0.79), "unsupported"),
    ],
)
def test_the_verdict_holds_the_whole_interval_against_the_published_settings(rate, verdict):
    assert advice.verdict_of(rate) == verdict


def test_the_rules_rest_on_the_published_settings_and_on_no_number_of_their_own():
    rates = {row.rate: row for row in published.PUBLISHED}
    assert (published.LOWEST, published.LOST, published.GAINED) == (0.914, 0.938, 0.985)
    assert (rates[0.914].dpo, rates[0.914].simpo, rates[0.914].on_policy) == (15.6, 3.3, False)
    assert [rates[rate].simpo for rate in (0.938, 0.985, 0.989)] == [-2.8, 2.0, 2.9]
    assert [rates[rate].margin for rate in (0.914, 0.938, 0.985, 0.989)] == [None, 0.6, 2.3, 2.9]


def test_a_published_setting_that_gained_is_never_unsupported_and_one_that_lost_never_supported():
    for row in published.PUBLISHED:
        exact = published.verdict_of(row.rate, row.rate)
        gained = (row.simpo or 0) > 0
        assert exact != ("unsupported" if gained else "supported"), row


def test_no_verdict_and_no_sentence_says_that_a_cut_hurts():
    for low, high in ((0.5, 0.6), (0.9, 0.95), (0.95, 0.99)):
        rate = share((low + high) / 2, low, high)
        text = " ".join(sentences([method("poet", rate, 0.2), method("ratio 0.5", rate, 0.5)]))
        assert not [word for word in ("harm", "hurt", "safe") if word in text]


def test_the_best_cut_is_the_supported_one_that_saves_most():
    poet, better, low = (
        method("poet", share(0.985, 0.97, 0.99), 0.2),
        method("ratio 0.5", share(0.98, 0.96, 0.99), 0.5),
        method("ratio 0.25", share(0.8, 0.7, 0.9), 0.75),
    )
    assert advice.recommended([poet, better, low]).name == "ratio 0.5"
    assert advice.recommended([low]) is None


def test_where_the_reward_model_disagrees_with_the_labels_its_own_order_decides():
    label, own = share(0.64, 0.56, 0.71), share(0.97, 0.95, 0.98)
    assert advice.judged_rate(label, own, share(0.76, 0.69, 0.82)) is own
    assert advice.judged_rate(label, own, SURE) is label


def sentences(methods, agrees=SURE, pairs=1000):
    return advice.sentences(methods, agrees, audited=100, pairs=pairs, tokens=10_000, seconds=60)


@pytest.mark.parametrize(
    ("rate", "why"),
    [
        (
            share(0.97, 0.94, 0.985),
            "97.0% [94.0%, 98.5%] keep their order: above the 93.8% at which a published setting lost, and not surely "
            "below the 98.5% from which on both gained",
        ),
        (
            share(0.95, 0.94, 0.96),
            "95.0% [94.0%, 96.0%] keep their order: between the 93.8% at which a published setting lost and the 98.5% "
            "from which on both gained",
        ),
        (
            share(0.93, 0.80, 0.99),
            "93.0% [80.0%, 99.0%] keep their order: too few pairs to tell the published settings that gained from the "
            "one that lost",
        ),
        (
            share(0.914, 0.87, 0.94),
            "91.4% [87.0%, 94.0%] keep their order: of the published settings the one with 91.4% gained and the one "
            "with 93.8% lost",
        ),
        (
            share(0.7, 0.6, 0.8),
            "70.0% [60.0%, 80.0%] keep their order: fewer than in any published setting (the lowest: 91.4%), so what "
            "training would do is not known",
        ),
    ],
)
def test_why_names_the_settings_that_a_rate_is_held_against(rate, why):
    assert advice.why_of("poet", rate) == why
    assert advice.why_of("ratio 0.5", rate) == f"{why} (those are POET's: no rate is published for ratios)"


def test_the_advice_begins_with_poet_and_names_the_cut_to_use():
    first, second, *_ = sentences(
        [method("poet", share(0.95, 0.94, 0.96), 0.2), method("ratio 0.5", share(0.98, 0.96, 0.99), 0.5)]
    )
    assert first.startswith("The rate of this data does not decide whether to use POET: 95.0% [94.0%, 96.0%]")
    assert "20.0% of the response tokens" in first
    assert second.startswith("Use ratio 0.5: 98.0%")
    assert "no rate is published for ratios" in second


def test_without_a_supported_cut_it_says_to_curate_and_to_measure_what_training_does():
    advice_given = sentences([method("poet", share(0.8, 0.7, 0.88), 0.3)])
    assert advice_given[0].startswith("POET keeps the order of fewer pairs here than where it was published")
    assert "flows.curate" in advice_given[1]
    assert "flows.compare" in advice_given[1]


def test_the_evidence_is_told_whole_whatever_the_verdict():
    for rate in (SURE, share(0.92, 0.86, 0.96), share(0.7, 0.6, 0.8)):
        assert published.evidence_in_words() in sentences([method("poet", rate, 0.2)])
    assert published.evidence_in_words() == (
        "What is published is POET's alone. On three on-policy sets of one model family (Llama-3-8B-Instruct) it "
        "changed AlpacaEval 2, in points: SimPO −2.8 at 93.8%; SimPO +2.0 at 98.5%; SimPO +2.9 at 98.9%. Off-policy, "
        "Zephyr + UltraFeedback: DPO +15.6, SimPO +3.3 at 91.4%. So a rate alone foretells neither gain nor loss."
    )


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


def test_published_rates_carry_the_tables_that_they_are_from():
    assert {rate.data: rate.source for rate in advice.PUBLISHED} == {
        "Zephyr + UltraFeedback": "POET, tables 1 and 2",
        "Llama-3-8B-Instruct v0.1": "POET, tables 1 and 4",
        "Llama-3-8B-Instruct v0.2": "POET, tables 1 and 4",
        "Interpolated models": "POET, table 4",
    }
    assert [rate.rate for rate in advice.PUBLISHED] == [0.914, 0.938, 0.985, 0.989]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.2, 0.6, "+0.40 [+0.20, +0.60] within each k."),
        (-0.1, 0.6, "+0.40 [-0.10, +0.60] within each k: values say nothing here that chance would not."),
        (-0.6, -0.2, "+0.40 [-0.60, -0.20] within each k: values order pairs against what completions say."),
        (None, None, "+0.40 within each k."),
    ],
)
def test_what_values_are_worth_is_said_with_its_interval(low, high, said):
    assert advice.values_in_words(MeanRecord(value=0.4, low=low, high=high)).endswith(f"rank correlation of {said}")
