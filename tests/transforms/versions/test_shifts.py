"""How far the numbers of two versions are apart, against published and hand-worked values."""

import numpy as np
import pytest
from difference_support import dropped, frame, manifest, row

from transforms.records.manifest import RateRecord, SpendRecord
from transforms.statistics.clustered import clustered_difference, clustered_mean
from transforms.statistics.intervals import wilson
from transforms.versions.matched_rows import match_rows
from transforms.versions.shifts import (
    consistency_shift,
    cost_shift,
    length_shift,
    margin_shift,
    source_names,
    source_shift,
    spread,
)


def rate(wins, pairs, source="all"):
    found = wilson(wins, pairs)
    return RateRecord(
        source=source,
        reference="label",
        pairs=pairs,
        sampled=pairs,
        rate=found.value,
        low=found.low,
        high=found.high,
        reward_agrees=0.9,
    )


def matched(old, new):
    return match_rows(frame(*old), frame(*new))


def test_the_interval_of_a_difference_of_rates_is_newcombes():
    """Newcombe (1998), table II, method 10: 56/70 − 48/80 = 0.2 [0.0524, 0.3339]."""
    old, new = manifest(consistency=[rate(48, 80)]), manifest(consistency=[rate(56, 70)])
    [found] = consistency_shift(old, new, matched([row(1)], [row(1)])).rates
    assert (found.difference, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_a_rate_that_only_one_version_has_is_not_compared():
    old, new = manifest(consistency=[rate(8, 10)]), manifest(consistency=[])
    assert consistency_shift(old, new, matched([row(1)], [row(1)])).rates == []


def test_gained_and_lost_pairs_are_tested_exactly():
    """Six lost and none gained of ten: 2 · 0.5⁶ = 0.03125."""
    old = [row(number) for number in range(10)]
    new = [dropped(number) if number < 6 else row(number) for number in range(10)]
    [found] = consistency_shift(manifest(), manifest(), matched(old, new)).paired
    assert (found.judged, found.gained, found.lost, found.p_value) == (10, 0, 6, 0.03125)
    assert found.by_label is not None
    assert found.by_label.value == pytest.approx(-0.6)


def test_nothing_gained_and_nothing_lost_has_no_test_and_an_interval_with_width():
    rows = [row(number) for number in range(10)]
    [found] = consistency_shift(manifest(), manifest(), matched(rows, rows)).paired
    assert found.p_value is None
    assert found.by_label is not None
    assert (found.by_label.value, found.by_label.low is not None and found.by_label.low < 0) == (0.0, True)


def test_a_difference_is_wider_than_a_mean_by_two_clusters_that_disagree():
    """Ten prompts: t₉ = 2.2622, and 1/12² is added to a variance of 0."""
    values, prompts = np.zeros(10), [str(number) for number in range(10)]
    assert clustered_mean(values, prompts).high == 0.0
    assert clustered_difference(values, prompts).high == pytest.approx(2.262157 / 12)
    assert clustered_difference(np.ones(10), prompts).high == 1.0
    assert clustered_difference(np.zeros(3), ["a"] * 3).low is None


def test_lengths_are_of_kept_pairs_and_paired_over_those_kept_in_both():
    old = [row(1), row(2), dropped(3)]
    new = [row(1, chosen_keep=2), dropped(2), row(4)]
    chosen, rejected = length_shift(matched(old, new), same_tokenizer=True)
    assert (chosen.side, chosen.old.count, chosen.old.mean, chosen.new.mean) == ("chosen", 2, 4.0, 3.0)
    assert (chosen.old_full.mean, rejected.old_full.mean) == (6.0, 4.0)
    assert chosen.paired is not None
    assert chosen.paired.value == -2.0
    assert all(one.paired is None for one in length_shift(matched(old, new), same_tokenizer=False))


def test_margins_are_of_kept_pairs_that_were_scored():
    old, new = [row(1), row(2, reward_chosen=0.0), dropped(3)], [row(1, reward_chosen=None, reward_rejected=None)]
    [found] = margin_shift(matched(old, new))
    assert (found.old.count, found.old.mean, found.new.count) == (2, 0.25, 0)
    assert found.old_agrees is not None
    assert (found.old_agrees.value, found.new_agrees) == (0.5, None)
    unscored = [row(1, reward_chosen=None, reward_rejected=None)]
    assert margin_shift(matched(unscored, unscored)) == []


def test_sources_are_counted_as_each_version_names_them():
    found = matched([row(1), row(2, source="two")], [row(1, source="two"), dropped(2, source="two")])
    assert source_names(found) == ["all", "one", "two"]
    counted = {one.source: (one.old_pairs, one.new_pairs, one.old_kept, one.new_kept) for one in source_shift(found)}
    assert counted == {"all": (2, 2, 2, 1), "one": (1, 0, 1, 0), "two": (1, 2, 1, 1)}


def test_a_single_source_is_all_of_them():
    assert source_names(matched([row(1)], [row(2)])) == ["all"]


def test_costs_of_versions_that_asked_no_model_are_left_out():
    assert cost_shift(manifest(completions=None, scores=None), manifest(completions=None, scores=None)) == []
    [found] = cost_shift(
        manifest(completions=None, scores=None), manifest(completions=SpendRecord.nothing(), scores=None)
    )
    assert (found.kind, found.old) == ("completions", None)


def test_a_spread_of_nothing_is_nothing():
    kept = frame(row(1))["n"]
    assert spread(kept.clear()).mean is None
    assert spread(kept).median == 4.0
