"""Evaluations as series: numbers of the record, shares in percent, reasons where there is none."""

import pytest
from reading_support import accuracy, answers, evaluation, numbers, policy, reward, rewardbench2, series, tasks, write

from transforms.errors import ConfigError


@pytest.fixture
def whole(tmp_path):
    found = evaluation(
        policy=policy(), reward=reward(), answers=answers(), tasks=tasks(), rewardbench2=[rewardbench2()]
    )
    return write(tmp_path, "evaluation.json", found)


@pytest.fixture
def bare(tmp_path):
    return write(tmp_path / "bare", "evaluation.json", evaluation())


def xy(found):
    return [one[:2] for one in numbers(found)]


def test_accuracy_of_kept_beginnings_is_in_percent(whole):
    assert numbers(series(whole, "kept", of="policy")) == [(0.5, 50.0, 25.0, 75.0), (1.0, 62.5, 37.5, 87.5)]
    assert series(whole, "kept", of="policy", by="tokens").missing == ["the evaluation has no accuracy by kept tokens"]
    assert series(whole, "kept", of="reward").points == []


def test_accuracy_is_of_all_sources_subsets_or_sections(whole):
    assert numbers(series(whole, "accuracy", of="policy")) == [("all", 65.0, 60.0, 70.0)]
    assert xy(series(whole, "accuracy", of="reward", by="source")) == [("bench", 80.0), ("own", 70.0)]
    assert xy(series(whole, "accuracy", of="reward", by="section")) == [("Chat", 80.0), ("Safety", 50.0)]
    subsets = series(whole, "accuracy", of="reward", by="subset")
    assert xy(subsets) == [("hep-go", 60.0), ("hep-java", 90.0)]
    assert subsets.missing == ["none: there is no pair"]


def test_only_chooses_in_its_own_order_and_names_rename(whole):
    assert xy(series(whole, "accuracy", of="reward", by="section", only=["Safety"])) == [("Safety", 50.0)]
    assert xy(series(whole, "accuracy", of="reward", by="source", names={"own": "Own", "bench": 2})) == [
        ("Own", 70.0), (2.0, 80.0),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="there is no section 'Reasoning'; there are 'Chat', 'Safety'"):
        series(whole, "accuracy", of="reward", by="section", only=["Reasoning"])
    with pytest.raises(ConfigError, match="`only` and `names` both choose"):
        series(whole, "accuracy", of="reward", only=["all"], names={"all": "x"})


def test_subsets_of_the_same_name_need_a_source(tmp_path):
    rows = [accuracy(0.5, "one", "chat"), accuracy(0.75, "two", "chat")]
    folder = write(tmp_path, "evaluation.json", evaluation(reward=reward(accuracy=rows)))
    with pytest.raises(ConfigError, match="'chat' stands there more than once; say which `source`"):
        series(folder, "accuracy", of="reward", by="subset")
    assert xy(series(folder, "accuracy", of="reward", by="subset", source="two")) == [("chat", 75.0)]


def test_distance_is_kl_of_both_models_unless_it_says_otherwise(whole):
    assert numbers(series(whole, "distance")) == [(1.0, 0.5, 0.0, 1.0), (2.0, 0.25, -0.25, 0.75)]
    assert xy(series(whole, "distance", measure="entropy", side="rejected")) == [(1.0, 1.5)]
    gone = series(whole, "distance", measure="log_prob", model="reference")
    assert gone.missing == ["the evaluation has no log_prob of reference on chosen responses"]


def test_displacement_is_one_number_and_none_without_a_reference(whole):
    assert numbers(series(whole, "displacement")) == [("chosen", -0.5, -0.6, -0.4)]
    assert xy(series(whole, "displacement", which="before")) == [("chosen", -2.0)]
    assert xy(series(whole, "displacement", side="rejected", which="after")) == [("rejected", -3.0)]
    gone = series(whole, "displacement", side="rejected")
    assert gone.missing == ["the evaluation knows no change of rejected: it had no reference"]
    assert series(whole, "displacement", side="margin").missing == ["the evaluation has no log-prob of margin"]


def test_win_rates_over_the_baseline_and_why_one_is_not_there(whole):
    assert numbers(series(whole, "answers", models={"mine": 1})) == [(1.0, 70.0, 60.0, 80.0)]
    equal = series(whole, "answers", measure="at_equal_length")
    assert (xy(equal), equal.missing) == ([("mine", 65.0)], ["other: no rate at equal length: separated"])
    own = series(whole, "answers", measure="alpaca_eval")
    assert numbers(own) == [("mine", 61.0)]  # its interval is null
    assert own.missing == ["other: AlpacaEval's rate was not asked for"]
    with pytest.raises(ConfigError, match="no model beside the baseline 'base'"):
        series(whole, "answers", models={"base": "base"})


def test_lengths_are_means_without_an_interval_and_the_baseline_has_one(whole):
    assert numbers(series(whole, "lengths", models={"base": "start", "mine": "here"})) == [
        ("start", 400.0), ("here", 480.0),
    ]  # fmt: skip
    assert numbers(series(whole, "lengths", unit="tokens", models={"mine": "mine"})) == [("mine", 120.0)]


def test_quality_and_entropy_of_answers_are_a_models_own(whole):
    assert xy(series(whole, "prefix_quality", model="base")) == [(4.0, 1.0), (8.0, 2.0)]
    assert xy(series(whole, "prefix_quality", model="mine", over_baseline=True)) == [(4.0, 2.0)]
    assert series(whole, "prefix_quality", model="base", over_baseline=True).missing == ["Q(k) of base has no point"]
    assert xy(series(whole, "answer_entropy", model="mine")) == [(1.0, 2.0), (2.0, 1.5)]
    with pytest.raises(ConfigError, match="no model 'base'; there are 'mine'"):
        series(whole, "answer_entropy", model="base")


def test_a_histogram_is_shares_at_the_middles_of_bins(whole):
    assert numbers(series(whole, "score_histogram", model="base")) == [(-0.5, 75.0), (1.0, 25.0)]
    # Edges −1, 0, 2: all in one bin, and one of more than there are is that as well.
    for merged in (2, 3):
        assert numbers(series(whole, "score_histogram", model="base", merged=merged)) == [(0.5, 100.0)]
    assert series(whole, "score_histogram", model="mine").missing == ["no answer of mine has a score"]


def test_tasks_have_intervals_of_two_standard_errors_that_stay_shares(whole):
    found = series(whole, "tasks", metric="acc", tasks={"arc": "ARC", "sure": "sure", "alone": "alone", "lost": "lost"})
    assert numbers(found) == [
        ("ARC", 50.0, 30.40036, 69.59964), ("sure", 99.0, 79.40036, 100.0), ("alone", 25.0),
    ]  # fmt: skip
    assert found.missing == ["lost: lm_eval gave no finite number"]
    assert numbers(series(whole, "tasks", metric="perplexity", percent=False)) == [("wiki", 12.5, 11.520018, 13.479982)]
    assert series(whole, "tasks", metric="perplexity").missing == ["wiki: perplexity is 12.5, which is no share"]
    assert series(whole, "tasks", metric="f1").missing == [
        "no task has f1, filter none; there are acc, filter none; perplexity, filter none"
    ]


def test_rewardbench_2_has_subsets_and_a_total_where_all_six_are_there(whole, tmp_path):
    assert numbers(series(whole, "rewardbench2")) == [("Math", 50.0, 40.0, 60.0), ("Ties", 25.0, 15.0, 35.0)]
    assert series(whole, "rewardbench2", by="total").missing == ["bench2: there is no total without Safety"]
    full = rewardbench2(total=0.4, low=0.3, high=0.5, missing=[])
    folder = write(tmp_path / "full", "evaluation.json", evaluation(rewardbench2=[full]))
    assert numbers(series(folder, "rewardbench2", by="total", names={"bench2": "ours"})) == [("ours", 40.0, 30.0, 50.0)]


@pytest.mark.parametrize(
    ("reader", "options"),
    [
        ("kept", {"of": "policy"}),
        ("accuracy", {"of": "reward"}),
        ("distance", {}),
        ("displacement", {}),
        ("answers", {}),
        ("lengths", {}),
        ("prefix_quality", {"model": "mine"}),
        ("answer_entropy", {"model": "mine"}),
        ("score_histogram", {"model": "mine"}),
        ("tasks", {"metric": "acc"}),
        ("rewardbench2", {}),
    ],
)
def test_a_part_that_an_evaluation_lacks_is_an_empty_series_with_a_reason(bare, reader, options):
    found = series(bare, reader, **options)
    assert found.points == []
    assert len(found.missing) == 1
    assert found.missing[0].startswith("the evaluation ")
