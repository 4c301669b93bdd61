"""Comparisons, decoding rules and logs as series: numbers of the record, shares in percent."""

import pytest
from decode_support import decodings as decoded
from decode_support import rule
from reading_support import answered, comparison, numbers, series, standing, write, write_lines

from transforms.errors import ConfigError, OutputError


@pytest.fixture
def compared(tmp_path):
    return write(tmp_path, "comparison.json", comparison())


def test_win_rates_are_of_each_variant_under_its_x(compared):
    found = series(compared, "win_rates", variants={"raw": "raw", "ratio 0.5": 0.5, "curated": "curated"})
    assert numbers(found) == [("raw", 50.0, 40.0, 60.0), (0.5, 45.0, 35.0, 55.0)]
    assert found.missing == ["curated: no training of it was judged by answers at equal steps"]
    equal = series(compared, "win_rates", measure="at_equal_length", variants={"poet": "poet", "ratio 0.5": 0.5})
    assert [one[0] for one in numbers(equal)] == ["poet"]
    assert equal.missing == ["ratio 0.5: no rate at equal length: separated"]


def test_minus_first_is_the_paired_difference_with_its_own_interval(compared):
    found = series(compared, "win_rates", minus_first=True)
    assert found.unit == "points"
    assert numbers(found) == [("poet", 12.0, 7.0, 17.0), ("ratio 0.5", -5.0, -10.0, 0.0)]
    assert found.missing == ["curated: no training of it was judged by answers at equal steps"]
    equal = series(compared, "win_rates", minus_first=True, measure="at_equal_length", variants={"poet": 1})
    assert numbers(equal) == [(1.0, 6.0, 1.0, 11.0)]
    asked = series(compared, "win_rates", minus_first=True, variants={"raw": "raw"})
    assert asked.missing == ["raw: it is the one that the others are held against"]


def test_a_variant_without_a_training_to_be_paired_with_has_no_difference(tmp_path):
    alone = comparison(standings=[standing("raw", 0.6, None), standing("poet", 0.64, None)])
    alone.answers.standings[:] = [answered("raw", 0.5, None), answered("poet", 0.6, None)]
    folder = write(tmp_path, "comparison.json", alone)
    for reader in ("win_rates", "pairs_ordered"):
        found = series(folder, reader, minus_first=True, variants={"poet": "poet"})
        assert found.missing == ["poet: no training of it has one of the first variant to be paired with"]


def test_held_out_pairs_are_ordered_by_accuracy_in_percent_and_moved_in_nats(compared):
    assert numbers(series(compared, "pairs_ordered", variants={"poet": "poet"})) == [("poet", 64.0, 54.0, 74.0)]
    less = series(compared, "pairs_ordered", minus_first=True, variants={"poet": "poet"})
    assert numbers(less) == [("poet", 4.0, -1.0, 9.0)]
    assert numbers(series(compared, "pairs_ordered", measure="margin", variants={"raw": 0})) == [
        (0.0, 1.25, 0.75, 1.75)
    ]
    moved = series(compared, "pairs_ordered", measure="chosen", variants={"raw": 0})
    assert numbers(moved) == [(0.0, -0.125, -0.225, -0.025)]
    changed = series(compared, "pairs_ordered", measure="chosen", minus_first=True, variants={"poet": 0})
    assert numbers(changed) == [(0.0, 0.25, 0.15, 0.35)]


def test_what_a_comparison_does_not_know_is_said(compared):
    gone = series(compared, "pairs_ordered", measure="rejected", variants={"raw": "raw"})
    assert gone.missing == ["raw: the comparison has no rejected, as of reward models"]
    tokens = series(compared, "pairs_ordered", budget="tokens", variants={"raw": "raw"})
    assert tokens.missing == ["raw: no training of it came to an end at equal tokens"]
    with pytest.raises(ConfigError, match="a comparison has no paired difference of `rejected`"):
        series(compared, "pairs_ordered", measure="rejected", minus_first=True)
    with pytest.raises(ConfigError, match=r"there is no variant 'ratio 0\.33'; there are 'raw', 'poet'"):
        series(compared, "win_rates", variants={"ratio 0.33": 1})


def test_a_comparison_of_pairs_alone_has_no_win_rates(tmp_path):
    folder = write(tmp_path, "comparison.json", comparison(answers=None))
    assert series(folder, "win_rates").missing == ["the comparison asked for no answers"]


def test_decoding_rules_of_a_kind_are_rewards_over_their_distance(tmp_path):
    folder = write(tmp_path, "decode.json", decoded())
    assert numbers(series(folder, "decodings", kind="mix", x="kl", only=[0.5, 1.0, 7.0])) == [
        (5.0, 0.875, 0.475, 1.275), (20.0, 1.5, 1.1, 1.9),
    ]  # fmt: skip
    assert series(folder, "decodings", kind="mix", only=[7.0]).missing == ["no rule has the value 7"]
    assert len(series(folder, "decodings", kind="length").points) == 3
    assert numbers(series(folder, "decoding_kl"))[:2] == [(1.0, 2.0, 1.5, 2.5), (2.0, 1.0, 0.75, 1.25)]


def test_rewards_stand_over_the_log_ratio_unless_the_kl_is_asked_for(tmp_path):
    one = rule("mix", 1.0, 1.5, 20.0)
    rules = [one.model_copy(update={"kl": one.kl.model_copy(update={"value": 12.0})})]
    folder = write(tmp_path, "decode.json", decoded(rules=rules))
    assert [one[0] for one in numbers(series(folder, "decodings", kind="mix"))] == [20.0]
    assert [one[0] for one in numbers(series(folder, "decodings", kind="mix", x="kl"))] == [12.0]


def test_rules_and_a_policy_that_were_not_tried_are_empty_series(tmp_path):
    folder = write(tmp_path, "decode.json", decoded(rules=[], policy_kl=[]))
    assert series(folder, "decodings", kind="kl").missing == ["no rule of the kind kl was tried"]
    assert series(folder, "decoding_kl").missing == ["the policy itself (a = 1) was no rule"]


LOG = (
    {"eval_loss": 0.7, "eval_mean_logps/chosen": -2.0, "eval_mean_logps/chosen_p50": -1.75, "step": 0},
    {"loss": 0.7, "mean_logps/chosen": -2.5, "rewards/accuracies": 0.5, "step": 1},
    {"eval_loss": 0.6, "eval_mean_logps/chosen": -2.25, "eval_rewards/accuracies": 0.75, "step": 1},
    {"weight_decay": 0.1, "eval_accuracy": 0.5},
)


def test_a_log_is_read_by_step_on_test_pairs_or_on_the_steps_own(tmp_path):
    folder = write_lines(tmp_path, *LOG)
    chosen = "mean_logps/chosen"
    assert numbers(series(folder, "training", measure=chosen)) == [(0.0, -2.0), (1.0, -2.25)]
    assert numbers(series(folder, "training", measure=chosen, on="train")) == [(1.0, -2.5)]
    assert numbers(series(folder, "training", measure=chosen, quantile="p50")) == [(0.0, -1.75)]
    assert numbers(series(folder, "training", measure=chosen, last=True)) == [(1.0, -2.25)]
    assert numbers(series(folder, "training", measure="rewards/accuracies")) == [(1.0, 75.0)]


def test_a_figure_that_a_log_lacks_or_that_has_no_step_is_no_number(tmp_path):
    folder = write_lines(tmp_path, *LOG)
    assert series(folder, "training", measure="kl").missing == ["metrics.jsonl has no eval_kl at any step"]
    assert series(folder, "training", measure="accuracy").points == []
    steps_alone = write_lines(tmp_path / "steps", {"loss": 0.7, "kl": 0.5, "step": 1})
    assert series(steps_alone, "training", measure="kl").missing == [
        "metrics.jsonl has no eval_kl at any step: nothing was measured on test pairs, as in a comparison's trainings "
        "(`on: train` reads the steps)"
    ]
    assert numbers(series(steps_alone, "training", measure="kl", on="train")) == [(1.0, 0.5)]


def test_a_figure_that_is_not_finite_is_left_out_and_said(tmp_path):
    folder = write_lines(tmp_path, {"eval_kl": float("nan"), "step": 1}, {"eval_kl": 0.5, "step": 2})
    found = series(folder, "training", measure="kl")
    assert numbers(found) == [(2.0, 0.5)]
    assert found.missing == ["eval_kl is not finite at some steps"]


def test_the_log_of_one_training_of_a_comparison_is_named_by_its_folder(tmp_path):
    write_lines(tmp_path / "trainings" / "poet-8-steps-seed-0", *LOG)
    found = series(tmp_path, "training", measure="mean_logps/chosen", training="poet-8-steps-seed-0", last=True)
    assert numbers(found) == [(1.0, -2.25)]
    with pytest.raises(OutputError, match=r"metrics.jsonl is missing: the training has not finished, or there is none"):
        series(tmp_path, "training", measure="kl", training="raw-8-steps-seed-0")


@pytest.mark.parametrize("key", ["../elsewhere", "..", "a/b", ""])
def test_a_training_is_no_path_out_of_the_folder(tmp_path, key):
    with pytest.raises(ConfigError, match=r"options\.training"):
        series(tmp_path, "training", measure="kl", training=key)


def test_a_line_that_is_no_json_is_an_error_with_its_number(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    with pytest.raises(OutputError, match=r"metrics.jsonl, line 2, is no JSON"):
        series(tmp_path, "training", measure="kl")


def test_quantiles_are_of_test_pairs(tmp_path):
    with pytest.raises(ConfigError, match="quantiles are of test pairs"):
        series(tmp_path, "training", measure="kl", quantile="p05", on="train")
