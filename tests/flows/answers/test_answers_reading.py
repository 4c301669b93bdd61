"""Who won which comparison, where answers are empty, equal, unusable or not judged."""

import numpy as np
import pytest

from flows.answers.reading import (
    UNJUDGED,
    UNUSABLE,
    Answered,
    Written,
    comparisons,
    histogram,
    left_out,
    reading_of,
    record_of,
)
from flows.answers.winning import judgements, wins_record
from flows.recipe.generation import RewardAnnotator
from flows.recipe.judge import JudgeConfig
from flows.recipe.pair_ranker import PairRankerConfig
from transforms.records.manifest import ModelRecord

NAN = float("nan")
MODEL = ModelRecord(name="m", revision="r", fingerprint="f", dtype="float32", engine="transformers")


def written(*rows):
    """(prompt, score, text, end) each; a token a word."""
    prompts, scores, texts, ends = zip(*rows, strict=True)
    return Written(
        prompt=np.array(prompts, np.int64),
        score=np.array(scores, np.float64),
        tokens=np.array([len(text.split()) for text in texts], np.int64),
        characters=np.array([len(text) for text in texts], np.int64),
        ends=list(ends),
        texts=list(texts),
    )


def answered(ours, theirs):
    numbers = {row[0] for row in (*ours, *theirs)}
    return Answered(written(*ours), written(*theirs), {number: f"question {number}" for number in numbers})


def won(found, *, compares=False):
    compared = comparisons(found, compares=compares)
    return dict(zip(compared.prompts.tolist(), compared.shares.tolist(), strict=True))


def test_the_higher_score_wins_and_equal_ones_are_half_a_win_each():
    ours = [(1, 2.0, "aa", "ended"), (2, 1.0, "bb", "ended"), (3, 0.5, "cc", "out_of_room")]
    theirs = [(1, 1.0, "a", "ended"), (2, 1.0, "b", "ended"), (3, 0.75, "c", "ended")]
    assert won(answered(ours, theirs)) == {1: 1.0, 2: 0.5, 3: 0.0}


def test_several_answers_meet_all_of_the_other_side():
    ours = [(1, 2.0, "a", "ended"), (1, 0.0, "b", "ended")]
    theirs = [(1, 1.0, "c", "ended"), (1, -1.0, "d", "ended")]
    assert won(answered(ours, theirs)) == {1: 0.75}  # 2 beats both, 0 beats −1


@pytest.mark.parametrize("nothing", ["empty", "no_answer"])
def test_an_answer_without_a_text_loses_to_any_other_and_ties_with_its_like(nothing):
    ours = [(1, NAN, "", nothing), (2, -90.0, "a", "ended"), (3, NAN, "", nothing)]
    theirs = [(1, -99.0, "b", "ended"), (2, NAN, "", nothing), (3, NAN, "", nothing)]
    assert won(answered(ours, theirs)) == {1: 0.0, 2: 1.0, 3: 0.5}


def test_where_a_judge_compares_an_answer_beside_an_empty_one_wins_without_being_judged():
    ours = [(1, NAN, "a", "ended"), (2, NAN, "", "empty"), (3, -0.5, "c", "ended"), (4, NAN, "", "empty")]
    theirs = [(1, NAN, "", "empty"), (2, NAN, "b", "out_of_room"), (3, 0.5, "d", "ended"), (4, NAN, "", "no_answer")]
    assert won(answered(ours, theirs), compares=True) == {1: 1.0, 2: 0.0, 3: 0.0, 4: 0.5}


def test_where_a_judge_compares_equal_answers_tie_without_being_judged():
    ours, theirs = [(1, NAN, "the same", "ended")], [(1, NAN, "the same", "ended")]
    assert won(answered(ours, theirs), compares=True) == {1: 0.5}


def test_prompts_that_cannot_be_compared_are_left_out_with_the_reason():
    ours = [(1, 1.0, "a", "ended"), (2, NAN, "b", "unusable"), (3, NAN, "c", "ended"), (4, 1.0, "d", "ended")]
    theirs = [(1, 0.0, "a", "ended"), (2, 1.0, "b", "ended"), (3, 1.0, "c", "ended"), (4, NAN, "e", "ended")]
    found = answered(ours, theirs)
    record = wins_record("m", found, comparisons(found, compares=False), None)
    assert record.left_out == {UNJUDGED: 2, UNUSABLE: 1} == left_out(found, comparisons(found, compares=False))
    assert (record.prompts, record.rate.count) == (4, 1)
    assert record.prompts == record.rate.count + sum(record.left_out.values())


def test_no_comparison_at_all_is_a_rate_of_nothing():
    found = answered([(1, NAN, "a", "ended")], [(1, 1.0, "b", "ended")])
    record = wins_record("m", found, comparisons(found, compares=False), None)
    assert (record.rate.count, record.rate.low, record.rate.high) == (0, 0.0, 1.0)
    assert record.not_fitted == "few_prompts"


def test_lengths_are_characters_and_judgements_have_them_the_other_way_round():
    ours = [(1, 1.0, "abcd", "ended"), (1, 0.0, "ab", "ended"), (2, 1.0, "x", "ended")]
    theirs = [(1, 0.5, "z", "ended"), (1, 0.5, "z", "ended"), (2, 2.0, "yyy", "ended")]
    found = answered(ours, theirs)
    compared = comparisons(found, compares=False)
    assert sorted(compared.longer.tolist()) == [-2, 1, 1, 3, 3]
    assert judgements(found, compared) == [("question 1", 0.5, -2.0), ("question 2", 0.0, 2.0)]


def test_a_prompt_of_several_turns_is_no_judgement_of_the_benchmark():
    found = answered([(1, 1.0, "a", "ended")], [(1, 0.0, "b", "ended")])._replace(instructions={1: None})
    assert judgements(found, comparisons(found, compares=False)) == []


def test_a_record_counts_every_answer_by_how_it_ended():
    one = written(
        (1, 1.0, "aa b", "ended"), (2, NAN, "", "empty"), (3, 3.0, "c", "out_of_room"), (4, NAN, "d", "ended")
    )
    found = record_of(one, label="m", model=MODEL, compares=False)
    assert found.ends == {"ended": 2, "empty": 1, "out_of_room": 1}
    assert found.responses == sum(found.ends.values()) == 4
    assert (found.score, found.characters.mean, found.tokens.mean) == (2.0, 1.5, 1.0)
    assert found.characters.quantiles[2] == 1.0
    assert record_of(one, label="m", model=MODEL, compares=True).score is None


def test_models_share_the_bins_of_a_histogram_and_no_value_is_lost():
    found = histogram({"a": np.array([0.0, 1.0, NAN]), "b": np.array([100.0, 50.0, 2.0])})
    assert {label: sum(counts) for label, counts in found.counts.items()} == {"a": 2, "b": 3}
    assert len(found.edges) == len(found.counts["a"]) + 1
    assert histogram({"a": np.array([NAN]), "b": np.array([])}).counts == {"a": [0] * 24, "b": [0] * 24}
    assert sum(histogram({"a": np.array([5.0, 5.0])}).counts["a"]) == 2


def test_a_judge_that_is_not_shown_reasoning_finds_equal_answers_equal():
    hidden = reading_of(JudgeConfig(kind="judge", model="m", url="http://127.0.0.1:1/v1"))
    turn = {"role": "assistant", "content": "<think>first this</think>the same"}
    assert hidden(turn) == "the same"
    assert reading_of(PairRankerConfig(kind="pairrm"))(turn) == "the same"
    assert reading_of(RewardAnnotator(kind="reward", model="m"))(turn) == turn["content"]
