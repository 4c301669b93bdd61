"""Rows of pairs in each layout, why some have no place, and lines that every reader splits where they end."""

import json

import pytest
from export_support import CALL, HOSTILE, TOOLS, kept, structure, table_of
from hypothesis import given
from hypothesis import strategies as st

from transforms.exports.json_lines import LineWriter, json_line
from transforms.exports.layouts import PAIR_LAYOUTS
from transforms.exports.pairs import Answer, columns_of, pairs_of, why_not

FLAGS = {
    "source": "one",
    "chosen_cut": False,
    "rejected_cut": False,
    "chosen_finished": True,
    "rejected_finished": True,
}
USER = {"role": "user", "content": "question 0"}


def said(text, **more):
    return {"role": "assistant", "content": text, **more}


def one(**changes):
    [pair] = pairs_of(table_of([kept(0, **changes)]))
    return pair


def test_trl_gets_explicit_prompts_and_messages():
    pair = one()
    expected = {"prompt": [USER], "chosen": [said("good")], "rejected": [said("bad")], "pair_id": pair.pair_id, **FLAGS}
    assert PAIR_LAYOUTS["trl"].row(pair, False) == expected


def test_openrlhf_gets_the_keys_that_its_flags_name():
    row = PAIR_LAYOUTS["openrlhf"].row(one(), False)
    assert (row["prompt"], row["chosen"], row["rejected"]) == ([USER], [said("good")], [said("bad")])


def test_nemo_rl_gets_the_preferred_completion_with_the_lower_rank():
    row = PAIR_LAYOUTS["nemo_rl"].row(one(), False)
    assert row["context"] == [USER]
    assert row["completions"] == [
        {"rank": 0, "completion": [said("good")]},
        {"rank": 1, "completion": [said("bad")]},
    ]


def test_no_layout_has_a_column_that_its_trainer_would_take_for_a_margin_or_ids():
    for layout in PAIR_LAYOUTS.values():
        assert not {"margin", "images", "ref_chosen_logps"} & set(layout.row(one(), True))


def test_a_cut_response_is_the_kept_text_and_says_so():
    pair = one(chosen="go", chosen_full="good", chosen_keep=2, chosen_cut=True)
    row = PAIR_LAYOUTS["trl"].row(pair, False)
    assert (row["chosen"], row["chosen_cut"], row["rejected_cut"]) == ([said("go")], True, False)


def test_a_whole_response_is_the_text_of_its_source_and_not_what_a_tokenizer_decoded():
    assert one(chosen="a b", chosen_full="a  b").chosen.turn == said("a  b")
    unfinished = one(chosen="a b", chosen_full="a  b", chosen_cut=True, chosen_finished=False).chosen
    assert (unfinished.turn, unfinished.cut, unfinished.finished) == (said("a  b"), True, False)


def test_structure_is_carried_where_the_layout_has_a_place():
    more = structure(
        tools=TOOLS,
        chat_template_kwargs={"enable_thinking": False},
        prompt={"0": {"name": "ann"}},
        chosen={"reasoning_content": "hm"},
        rejected=CALL,
    )
    pair = one(structure=more)
    row = PAIR_LAYOUTS["trl"].row(pair, True)
    assert row["prompt"] == [{**USER, "name": "ann"}]
    assert row["chosen"] == [said("good", reasoning_content="hm")]
    assert row["rejected"] == [said("bad", **CALL)]
    assert json.loads(row["tools"]) == TOOLS
    assert row["chat_template_kwargs"] == {"enable_thinking": False}
    assert why_not(pair.asked, [pair.chosen, pair.rejected], tools=True) is None
    assert why_not(pair.asked, [pair.chosen, pair.rejected], tools=False) == "tools"


def test_a_plain_row_of_a_run_with_structure_has_no_tools_and_arguments_that_can_be_unpacked():
    row = PAIR_LAYOUTS["trl"].row(one(), True)
    assert (row["tools"], row["chat_template_kwargs"]) == (None, {})


def test_arguments_of_the_template_have_no_place_without_tools():
    pair = one(structure=structure(chat_template_kwargs={"enable_thinking": False}))
    assert why_not(pair.asked, [pair.chosen], tools=False) == "chat_template_kwargs"


def test_fields_of_messages_have_a_place_everywhere():
    pair = one(structure=structure(chosen={"reasoning_content": "hm"}))
    assert why_not(pair.asked, [pair.chosen, pair.rejected], tools=False) is None
    completion = PAIR_LAYOUTS["nemo_rl"].row(pair, True)["completions"][0]["completion"]
    assert completion == [said("good", reasoning_content="hm")]


def test_a_response_that_was_cut_in_its_tool_calls_is_no_text():
    torn = Answer(said("go", **CALL), cut=True, finished=True, whole=False)
    plain = Answer(said("go"), cut=True, finished=True, whole=False)
    unfinished = Answer(said("go", **CALL), cut=True, finished=False, whole=True)
    asked = one().asked
    assert why_not(asked, [plain, torn], tools=True) == "cut_structure"
    assert why_not(asked, [plain, unfinished], tools=True) is None


def test_only_the_columns_that_are_read_are_asked_for():
    table = table_of([kept(0, structure=structure(tools=TOOLS))])
    read = table.select(columns_of(table.column_names, "reward"))
    assert "consistency" not in read.column_names
    assert list(pairs_of(read, "reward")) == list(pairs_of(table, "reward"))


@pytest.mark.parametrize(("score", "expected"), [("reward", (1.5, 0.5)), ("source", (2.0, 1.0)), (None, (None, None))])
def test_the_score_is_the_one_that_was_asked_for(score, expected):
    [pair] = pairs_of(table_of([kept(0)]), score)
    assert (pair.chosen.score, pair.rejected.score) == expected


def test_nan_and_infinity_are_no_score():
    [pair] = pairs_of(table_of([kept(0, reward_chosen=float("nan"), reward_rejected=float("-inf"))]), "reward")
    assert (pair.chosen.score, pair.rejected.score) == (None, None)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_row_is_one_line_by_every_way_to_split_lines(text):
    line = json_line({"text": text, "more": [text]})
    assert json.loads(line) == {"text": text, "more": [text]}
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1


def test_hostile_text_is_read_as_it_was_written():
    line = json_line({"text": HOSTILE})
    assert json.loads(line) == {"text": HOSTILE}
    assert len(line.decode().splitlines()) == 1


@pytest.mark.parametrize("value", ["\ud83d", float("nan"), float("inf")])
def test_what_no_file_of_json_holds_is_refused(value):
    with pytest.raises(ValueError):
        json_line({"value": value})


def test_rows_of_a_new_shape_come_first_and_none_is_lost(tmp_path):
    rows = [{"n": n, "m": [{"a": 1}]} for n in range(3)] + [{"n": 3, "m": [{"b": 1}]}, {"n": 4, "m": [{"b": "x"}]}]
    with LineWriter(tmp_path / "x.jsonl", structured=True) as writer:
        for row in rows:
            writer.write(row)
    found = [json.loads(line)["n"] for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert found == [0, 3, 4, 1, 2]
    assert writer.rows == 5
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_rows_without_structure_stay_in_their_order(tmp_path):
    with LineWriter(tmp_path / "x.jsonl", structured=False) as writer:
        for n in (2, 1, "x"):
            writer.write({"n": n})
    assert (tmp_path / "x.jsonl").read_text() == '{"n":2}\n{"n":1}\n{"n":"x"}\n'


def test_no_rows_are_no_file_and_a_failure_leaves_none(tmp_path):
    with LineWriter(tmp_path / "empty.jsonl", structured=False):
        pass

    def fail():
        with LineWriter(tmp_path / "half.jsonl", structured=True) as writer:
            writer.write({"n": 1})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
