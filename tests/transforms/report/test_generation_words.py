"""What a generation's numbers are said to mean: funnels that add up, measures with their meaning, what to look at."""

import polars as pl
import pytest
from generation_report_support import counts, generation, pairs, responses, share, three_annotators, voice
from hypothesis import given
from hypothesis import strategies as st

from transforms.records.generation import LengthRecord, ReliabilityRecord, TauRecord
from transforms.report.generation_words import (
    aggregate_in_words,
    agreement_matrix,
    length_in_words,
    longer_chosen,
    measures,
    policy_sides,
    price,
    prompt_funnel,
    remarks,
    response_funnel,
    rule_in_words,
    sampling_rows,
    tau,
)


def test_prompts_go_from_found_to_paired_and_nothing_is_lost_between() -> None:
    rows = prompt_funnel(generation())
    assert [(row.name, row.kind, row.pairs) for row in rows] == [
        ("prompts found", "all", 6),
        ("quarantined: unusable", "lost", 1),
        ("the same prompt again", "lost", 1),
        ("not drawn: max_prompts was reached", "lost", 1),
        ("no pair: its responses have equal scores", "lost", 1),
        ("no pair: too few of its responses ended (pairing.unfinished)", "lost", 1),
        ("with a pair", "kept", 1),
    ]
    assert rows[0].pairs - sum(row.pairs for row in rows if row.kind == "lost") == rows[-1].pairs
    # Each bar begins where the one before leaves off: 5/6, 4/6 … of the axis.
    assert [row.left for row in rows[1:-1]] == [83.33, 66.67, 50.0, 33.33, 16.67]


def test_responses_go_from_all_to_those_in_a_pair_by_what_keeps_them_out() -> None:
    cut = responses(finished=[True, True, True, False, True, False])
    assert [(row.name, row.pairs) for row in response_funnel(generation(), cut)] == [
        ("responses", 6),
        ("unscored: an annotator gave no score", 1),
        ("in no pair: ran out of room", 1),
        ("in no pair: the rule took others, or none", 2),
        ("in a pair", 2),
    ]


@pytest.mark.parametrize("rule", ["allow", "rejected_only", "worst"])
def test_running_out_of_room_keeps_no_response_out_of_a_pair_where_the_rule_takes_such(rule: str) -> None:
    manifest = generation(config={"pairing": {"unfinished": rule}})
    cut = responses(finished=[True, True, True, False, True, False])
    assert [(row.name, row.pairs) for row in response_funnel(manifest, cut)] == [
        ("responses", 6),
        ("unscored: an annotator gave no score", 1),
        ("in no pair: the rule took others, or none", 3),
        ("in a pair", 2),
    ]


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from(["usable", "empty", "odd_one"])), min_size=1))
def test_a_funnel_of_responses_ends_with_those_in_a_pair_whatever_the_status(found) -> None:
    used = [pair and status == "usable" for pair, _, status in found]
    frame = pl.DataFrame(
        {
            "status": [status for _, _, status in found],
            "finished": [ended for _, ended, _ in found],
            "chosen_in": [int(one) for one in used],
            "rejected_in": [0] * len(found),
        }
    )
    status = dict(frame["status"].value_counts().iter_rows())
    manifest = generation(counts=counts(responses=len(found), status=status))
    rows = response_funnel(manifest, frame)
    assert rows[0].pairs - sum(row.pairs for row in rows[1:-1]) == rows[-1].pairs == sum(used)


def test_a_measure_that_no_annotator_has_is_no_row_and_the_others_have_a_dash() -> None:
    found = {row.name: row.values for row in measures(three_annotators()[0].reliability)}
    assert list(found) == [
        "Ties",
        "Same score again",
        "Order turned again",
        "Largest change",
        "Same verdict in both orders",
        "First place wins",
        "Unreadable",
    ]
    assert found["Same score again"] == ["75.0\u00a0% [50.0,\u00a090.0]", "–", "–"]
    assert found["Largest change"] == ["0.125", "–", "–"]
    assert found["Unreadable"] == ["0", "2", "0"]
    assert [row.name for row in measures([ReliabilityRecord(label="reward", ties=None)])] == ["Unreadable"]


def test_the_matrix_has_tau_above_the_diagonal_and_the_same_best_below_it() -> None:
    (first, row), (second, other), (third, last) = agreement_matrix(three_annotators()[0])
    assert [first, second, third] == ["reward", "judge", "brief"]
    assert [row[0], other[1], last[2]] == [None, None, None]
    assert row[1] == ("+0.50 [+0.25,\u00a0+0.75]", "2 prompts, 1 left out", 22)
    assert other[0] == ("100.0\u00a0% [30.0,\u00a0100.0]", "of 2 prompts", 45)
    assert row[2] == ("−0.20 [−0.60,\u00a0+0.20]", "2 prompts, 1 left out", 0)
    assert other[2] == ("–", "no prompt can be compared", 0)
    assert last[1] == ("–", "", 0)


def test_one_annotator_has_no_matrix() -> None:
    assert agreement_matrix(generation()) == []


def test_tau_of_one_prompt_stands_without_an_interval() -> None:
    assert tau(TauRecord(value=1 / 3, low=None, high=None, prompts=1)) == "+0.33"
    assert tau(None) == "–"


def test_the_longer_side_is_chosen_in_one_of_one_pairs_and_a_tie_is_a_half() -> None:
    longer = longer_chosen(responses(), pairs())
    assert longer is not None
    # Wilson's interval of one of one: low is 1 / (1 + z²) with z = 1.96.
    assert (longer.value, round(longer.low, 4), longer.high, longer.count) == (1.0, 0.2065, 1.0, 1)
    tie = longer_chosen(responses(tokens=[3] * 6), pairs())
    assert tie is not None
    assert tie.value == 0.5
    assert longer_chosen(responses(), pairs().clear()) is None


def test_pairs_between_policies_are_counted_by_both_sides() -> None:
    manifest = generation(voices=[voice("a"), voice("b")])
    both = responses(policy=["a", "b"] * 3)
    several = pl.DataFrame({"prompt": [0, 1, 2], "chosen": [1, 3, 4], "rejected": [0, 2, 4], "margin": [1.0] * 3})
    assert policy_sides(manifest, both, several) == [[1, 0], [2, 0]]
    assert policy_sides(generation(), responses(), pairs()) == []


def test_the_slope_is_told_for_twice_the_length() -> None:
    fit = LengthRecord(slope=-1.0, low=-2.0, high=0.0, explained=0.25, applied=True)
    assert length_in_words(generation(length=fit)) == (
        "Among responses to one prompt, twice the length goes with a difference of −0.69 (95 % interval −1.39 to "
        "+0.00) points of score; "
        "length explains 25.0\u00a0% of what scores within a prompt differ by. Pairs are made of what is left."
    )
    unknown = fit.model_copy(update={"low": None, "high": None, "applied": False})
    assert "a difference of −0.69 points" in length_in_words(generation(length=unknown))
    assert length_in_words(generation()) == ""


def test_nothing_to_look_at_is_no_remark() -> None:
    assert remarks(generation(counts=counts(without_pair={"tie": 1})), None) == []


def test_every_remark_comes_of_an_interval_or_a_count() -> None:
    manifest, _ = three_annotators()
    assert remarks(manifest, share(0.8)) == [
        "reward turns 25.0\u00a0% [10.0,\u00a050.0] of its orders when it is asked again.",
        "judge prefers what is shown first (70.0\u00a0% [55.0,\u00a080.0] for the first place). Both orders are "
        "asked, so it costs decisions and does not tilt them.",
        "judge: 2 questions brought no score or verdict.",
        "reward and brief agree no more than chance may (τ −0.20 [−0.60,\u00a0+0.20]): they measure different "
        "things, or the prompts are too few to tell.",
        "Longer responses score higher, and of 80.0\u00a0% of the pairs the chosen side is the longer one. "
        "pairing.length_controlled takes that out.",
    ]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.5, 0.8, False), (0.51, 0.8, True), (0.2, 0.5, False), (0.2, 0.49, True)],
)
def test_a_bias_to_a_place_is_told_where_the_interval_leaves_out_a_half(low: float, high: float, said: bool) -> None:
    one = ReliabilityRecord(label="judge", ties=None, comparisons=9, first_wins=share((low + high) / 2, low, high))
    assert bool(remarks(generation(reliability=[one], counts=counts(without_pair={})), None)) is said


def test_no_pair_and_the_reason_of_most_prompts_stand_first() -> None:
    lost = counts(with_pair=0, pairs=0, without_pair={"unfinished": 3})
    assert remarks(generation(counts=lost), None) == [
        "There is no pair: the funnel says what became of the prompts.",
        "3 of 3 prompts have no pair because too few of its responses ended (pairing.unfinished). A larger "
        "max_new_tokens lets more responses end.",
    ]


def test_a_policy_that_mostly_runs_out_of_room_is_named() -> None:
    manifest = generation(voices=[voice(finished=2)], counts=counts(without_pair={}))
    assert remarks(manifest, None) == [
        "policy: 66.7\u00a0% of its responses ran out of room. A larger max_new_tokens lets more responses end."
    ]


def test_the_rule_and_the_score_are_said_in_words() -> None:
    assert rule_in_words(generation()) == (
        "A pair is the best response of a prompt against its worst, if their scores differ by 0.5 at least. Of "
        "responses that ran out of room: they are in no pair."
    )
    assert rule_in_words(generation(config={})) == "A pair is as the recipe says."
    assert aggregate_in_words(generation()) == "the score of reward as it is"
    manifest, _ = three_annotators()
    assert aggregate_in_words(manifest) == "the mean of the annotators' z-scores over the run"
    named = manifest.model_copy(update={"config": {"aggregate": "judge"}})
    assert aggregate_in_words(named) == "the score of judge"


def test_prices_are_summed_where_they_are_known() -> None:
    assert price(three_annotators()[0]) == 1.25
    assert price(generation()) is None


def test_sampling_settings_stand_beside_their_policy() -> None:
    [row] = sampling_rows(generation())
    assert (row["label"], row["n"], row["temperature"], row["system_prompt"]) == ("policy", 2, 0.8, None)
    assert [one["n"] for one in sampling_rows(generation(config={}))] == [None]
