"""A benchmark's file of questions: what a row has to have, how it is known, and what is counted as the same."""

import json

import pytest

from transforms.chat.conversation import Asked
from transforms.errors import SourceError
from transforms.exports.arena_hard import markdown_counts
from transforms.exports.questions import key_of, read_questions, second_turn

QUESTION = {"question_id": 81, "category": "writing", "turns": ["one", "two"]}


def file_of(tmp_path, *rows):
    path = tmp_path / "question.jsonl"
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_question_is_known_by_its_text_and_keeps_its_id(tmp_path):
    path = file_of(tmp_path, {"uid": 7, "prompt": "one"}, {"uid": "b", "prompt": "two"}, {"uid": "c", "prompt": "one"})
    found = read_questions(path, "arena_hard")
    assert [(one.row, one.id, one.turns) for one in found.rows] == [
        (1, 7, ("one",)),
        (2, "b", ("two",)),
        (3, "c", ("one",)),
    ]
    assert [one.key for one in found.rows] == [(("user", "one"),), (("user", "two"),), (("user", "one"),)]
    assert found.doubled == 1


def test_the_key_is_what_a_policy_was_asked_without_its_system_turn():
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "one"}]
    assert key_of(Asked(turns)) == (("user", "one"),)
    assert key_of(Asked(turns[1:])) == (("user", "one"),)
    assert key_of(Asked(turns, tools=[{"type": "function"}])) is None
    assert key_of(Asked([turns[1] | {"name": "x"}])) is None


def test_a_text_that_generations_read_as_a_conversation_is_known_as_that_conversation(tmp_path):
    path = file_of(tmp_path, {"uid": "a", "prompt": "\n\nHuman: one\n\nAssistant:"})
    [question] = read_questions(path, "arena_hard").rows
    assert question.key == (("user", "one"),)
    assert question.turns == ("\n\nHuman: one\n\nAssistant:",)


def test_an_alpaca_instruction_with_an_input_is_one_turn_and_its_instruction_stays(tmp_path):
    path = file_of(tmp_path, {"instruction": "Translate.", "input": "river"})
    [question] = read_questions(path, "alpaca_eval").rows
    assert (question.key, question.turns) == ((("user", "Translate.\n\nriver"),), ("Translate.",))


def test_a_second_turn_stands_behind_question_and_answer(tmp_path):
    [question] = read_questions(file_of(tmp_path, QUESTION), "mt_bench").rows
    key = (("user", "one"), ("assistant", "said"), ("user", "two"))
    assert second_turn(question.key, "said", question) == key


def test_a_question_that_no_policy_can_be_asked_is_known_by_nothing(tmp_path):
    [question] = read_questions(file_of(tmp_path, {"uid": "a", "prompt": ""}), "arena_hard").rows
    assert question.key == ()


@pytest.mark.parametrize(
    ("benchmark", "rows", "message"),
    [
        ("arena_hard", [{"prompt": "x"}], r"row 1: uid is not there; expected Arena-Hard's question\.jsonl of v2"),
        ("arena_hard", [{"uid": "a", "turns": ["x"]}], r"row 1: prompt is not there"),
        (
            "mt_bench",
            [QUESTION, {"question_id": True, "turns": ["x"]}],
            r"row 2: question_id is True; expected MT-Bench",
        ),
        ("mt_bench", [{"question_id": 1, "turns": ["a", "b", "c"]}], r"row 1: turns is list; expected"),
        ("mt_bench", [{"question_id": 1, "turns": ["a", 2]}], r"row 1: turns is list; expected"),
        ("alpaca_eval", [{"instruction": None}], r"row 1: instruction is null; expected AlpacaEval's"),
        ("mt_bench", [QUESTION, "{\n"], r"row 2: not a JSON object"),
        ("mt_bench", [QUESTION, QUESTION | {"turns": ["x"]}], r"question_id 81 is of two questions, in rows 1 and 2"),
        ("mt_bench", [], r"holds no question; expected MT-Bench's"),
    ],
)
def test_another_layout_is_told_by_its_row(tmp_path, benchmark, rows, message):
    with pytest.raises(SourceError, match=message):
        read_questions(file_of(tmp_path, *rows), benchmark)


def test_a_row_that_is_there_twice_is_one_question_twice(tmp_path):
    found = read_questions(file_of(tmp_path, QUESTION, QUESTION), "mt_bench")
    assert (len(found.rows), found.doubled) == (2, 1)


@pytest.mark.parametrize(
    ("answer", "headers", "lists", "bold"),
    [
        ("# one\n## two\n####### seven\n#none", [1, 1, 0, 0, 0, 0], [0, 0], [0, 0]),
        ("  - a\n* b\n+ c\n10. d\n1) e", [0] * 6, [1, 3], [0, 0]),
        ("**a** and **b**, __c__, **not\nbold**", [0] * 6, [0, 0], [2, 1]),
        ("```py\n# code\n- x\n```\n# text", [1, 0, 0, 0, 0, 0], [0, 0], [0, 0]),
        ("```# x\n```# x\n", [0] * 6, [0, 0], [0, 0]),  # what stood in the fence goes everywhere
        ("```\n# left open", [1, 0, 0, 0, 0, 0], [0, 0], [0, 0]),
    ],
)
def test_markdown_is_counted_outside_of_fenced_code(answer, headers, lists, bold):
    found = markdown_counts(answer)
    assert list(found["header_count"].values()) == headers
    assert list(found["list_count"].values()) == lists
    assert list(found["bold_count"].values()) == bold
