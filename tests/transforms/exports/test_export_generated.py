"""Rows of a generation as pairs and responses: sides, reasoning, ends, and what is no response."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.exports.generated import (
    PAIR_COLUMNS,
    RESPONSE_COLUMNS,
    generated_answers,
    generated_columns,
    generated_pairs,
)
from transforms.exports.kto import ScoreTable, judged
from transforms.exports.pairs import LEFT_OUT
from transforms.tables.schema import ANSWERS, PAIRED

SCORED = pa.schema(
    [
        *ANSWERS,
        pa.field("score", pa.float64()),
        pa.field("chosen_in", pa.int32(), nullable=False),
        pa.field("rejected_in", pa.int32(), nullable=False),
    ]
)


def answered(index=0, **changes):
    row = {
        "prompt_id": "0" * 16,
        "source": "unit",
        "source_id": "row",
        "prompt": [{"role": "user", "content": "question"}],
        "response_index": index,
        "policy": "policy",
        "sample_index": index,
        "seed": index,
        "prompt_ids": [1],
        "response_ids": [2],
        "response": f"answer {index}",
        "reasoning": None,
        "finished": True,
        "status": "usable",
        "why": None,
        "structure": None,
        "score": float(index),
        "chosen_in": 0,
        "rejected_in": 0,
    }
    return row | changes


def responses(*rows, thinking="keep"):
    table = pa.Table.from_pylist(list(rows), schema=SCORED)
    table = table.select(generated_columns(RESPONSE_COLUMNS, table.column_names))
    return list(generated_answers(table, {"policy": thinking, "brief": "cut"}))


def test_a_pair_has_both_whole_responses_with_their_ends_and_scores():
    row = {
        "pair_id": "1" * 32,
        "prompt_id": "1" * 16,
        "source": "unit",
        "source_id": "row",
        "prompt": [{"role": "user", "content": "question"}],
        "chosen": "good",
        "rejected": "bad",
        "chosen_ids": None,
        "rejected_ids": [3],
        "chosen_finished": True,
        "rejected_finished": False,
        "chosen_score": 2.0,
        "rejected_score": -1.0,
        "chosen_policy": "policy",
        "rejected_policy": "policy",
        "chosen_index": 0,
        "rejected_index": 1,
        "margin": 3.0,
        "structure": '{"chosen": {"reasoning_content": "hm"}, "chat_template_kwargs": {"enable_thinking": false}}',
    }
    table = pa.Table.from_pylist([row], schema=PAIRED)
    (pair,) = generated_pairs(table.select(generated_columns(PAIR_COLUMNS, table.column_names)))
    assert (pair.pair_id, pair.source, pair.asked.kwargs) == ("1" * 32, "unit", {"enable_thinking": False})
    assert pair.chosen.turn == {"role": "assistant", "content": "good", "reasoning_content": "hm"}
    assert pair.rejected.turn == {"role": "assistant", "content": "bad"}
    assert (pair.chosen.cut, pair.chosen.finished, pair.chosen.score) == (False, True, 2.0)
    assert (pair.rejected.cut, pair.rejected.finished, pair.rejected.score) == (True, False, -1.0)


def test_the_side_of_a_response_is_that_of_its_pairs():
    places = [(0, 0), (2, 0), (0, 3), (1, 1)]
    rows = [answered(at, chosen_in=chosen, rejected_in=rejected) for at, (chosen, rejected) in enumerate(places)]
    assert [one.side for one in responses(*rows)] == [None, "chosen", "rejected", "both"]


def test_one_that_is_chosen_and_rejected_is_a_score_of_both_sides_and_one_different_response():
    table = ScoreTable(responses(answered(0, chosen_in=1, rejected_in=1, score=4.0), answered(1, score=1.0)))
    assert [table.of_side(side).tolist() for side in ("chosen", "rejected", None)] == [[4.0], [4.0], [1.0]]
    assert table.scores.tolist() == [4.0, 1.0]


def test_reasoning_goes_with_each_policys_own_setting():
    rows = [answered(0, reasoning="hm"), answered(1, reasoning="hm", policy="brief"), answered(2, reasoning="")]
    for thinking in ("keep", "hide"):
        found = responses(*rows, thinking=thinking)
        assert [one.answer.turn.get("reasoning_content") for one in found] == ["hm", None, None]


def test_what_is_no_response_has_a_reason_in_words_and_takes_no_place_from_one_that_is():
    states = ("empty", "no_answer", "unusable", "unscored")
    rows = [answered(at, status=state, response="same", score=None) for at, state in enumerate(states)]
    rows += [answered(4, response="same"), answered(5, score=float("nan")), answered(6)]
    found = responses(*rows)
    table = ScoreTable(found)
    assert sorted(table.scores.tolist()) == [4.0, 6.0]
    verdicts = list(judged(found, table, 5.0, 0.0, structured=False))
    reasons = [one.left_out for one in verdicts]
    assert reasons == ["empty", "no_answer", "unusable", "no_score", None, "no_score", None]
    assert {reason for reason in reasons if reason} <= LEFT_OUT.keys()
    assert [one.row["label"] for one in verdicts if one.row] == [False, True]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["usable", "usable", "empty", "no_answer", "unusable", "unscored"]),
            st.text(max_size=3),
            st.one_of(st.none(), st.floats()),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.floats(-10, 10),
    st.floats(0, 3),
)
def test_every_response_is_a_row_or_has_a_reason_and_rows_are_usable_and_different(drawn, threshold, margin):
    rows = [
        answered(at, status=status, response=text, score=score, finished=finished)
        for at, (status, text, score, finished) in enumerate(drawn)
    ]
    found = responses(*rows)
    verdicts = list(judged(found, ScoreTable(found), threshold, margin, structured=False))
    assert [one.response.named["response_index"] for one in verdicts] == list(range(len(rows)))
    assert all((one.row is None) == (one.left_out in LEFT_OUT) for one in verdicts)
    written = [one.row for one in verdicts if one.row]
    assert all(rows[row["response_index"]]["status"] == "usable" for row in written)
    texts = [(row["completion"][0]["content"], row["completion_cut"]) for row in written]
    assert len(set(texts)) == len(texts)
    assert all(row["label"] == (row["score"] >= threshold) for row in written)
