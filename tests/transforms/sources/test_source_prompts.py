"""Prompts of prompt files and of every other kind: what is a prompt, what is left out, what is quarantined."""

import orjson
import pytest
from pydantic import TypeAdapter
from sources_support import chat

from flows.recipe.curation import Recipe
from transforms.errors import SourceError
from transforms.sources.kinds import PromptSource
from transforms.sources.kinds.prompts import ANSWERED, LATER_TURNS, WITH_INPUT
from transforms.sources.prompts import load_prompts

ASKED = [{"role": "user", "content": "Name three rivers."}]


def load(tmp_path, *rows, kind="prompts", **options):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows))
    parsed = TypeAdapter(PromptSource).validate_python({"kind": kind, "path": str(path), **options})
    (batch,) = load_prompts(parsed)
    return batch


def prompts(batch):
    return batch.prompts["prompt"].to_pylist()


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Name three rivers."},
        {"prompt": ASKED},
        {"messages": ASKED},
        {"messages": chat("Name three rivers.", "The Nile.")},
        {"conversations": [{"from": "human", "value": "Name three rivers."}]},
        {"instruction": "Name three rivers.", "input": ""},
        {"question": "Name three rivers."},
        {"prompt": None, "text": "Name three rivers."},
        {"prompt": "\n\nHuman: Name three rivers.\n\nAssistant:"},
        {"prompt": orjson.dumps(ASKED).decode()},
        {"turns": ["Name three rivers."]},
        # AlpacaEval, Arena-Hard and MT-Bench
        {"instruction": "Name three rivers.", "output": "Po.", "generator": "ref", "dataset": "koala"},
        {"uid": "2edbb5f36f5b42be", "category": "hard_prompt", "subcategory": "coding", "prompt": "Name three rivers."},
        {"question_id": 81, "category": "writing", "turns": ["Name three rivers.", "Which is the longest?"]},
    ],
)
def test_every_spelling_of_a_prompt_is_the_same_prompt(tmp_path, row):
    batch = load(tmp_path, row)
    assert prompts(batch) == [ASKED]
    assert batch.prompts["prompt_id"].to_pylist() == load(tmp_path, {"prompt": ASKED}).prompts["prompt_id"].to_pylist()


def test_an_answer_behind_the_last_question_is_left_out_and_counted(tmp_path):
    batch = load(tmp_path, {"messages": chat("one", "two", "three", "four")})
    assert [turn["content"] for turn in prompts(batch)[0]] == ["one", "two", "three"]
    assert batch.columns.notes == {ANSWERED: 1}


def test_of_user_turns_the_first_is_asked_and_the_others_are_counted(tmp_path):
    batch = load(tmp_path, {"question_id": 81, "turns": ["one", "two", "three"]}, {"turns": ["four"]})
    assert [[turn["content"] for turn in prompt] for prompt in prompts(batch)] == [["one"], ["four"]]
    assert batch.columns.notes == {LATER_TURNS: 2}


def test_a_benchmarks_json_list_is_read_like_lines(tmp_path):
    path = tmp_path / "alpaca_eval.json"
    path.write_bytes(orjson.dumps([{"instruction": "one\n\u2028two"}, {"instruction": "three"}]))
    options = TypeAdapter(PromptSource).validate_python({"kind": "prompts", "path": str(path)})
    (batch,) = load_prompts(options)
    assert [prompt[0]["content"] for prompt in prompts(batch)] == ["one\n\u2028two", "three"]


def test_instruction_and_input_are_one_question(tmp_path):
    batch = load(tmp_path, {"instruction": "Translate.", "input": "three rivers", "output": "drei Flüsse"})
    assert prompts(batch)[0][0]["content"] == "Translate.\n\nthree rivers"
    assert batch.columns.notes == {WITH_INPUT: 1}
    assert batch.columns.unread == {"output": 1}


def test_a_system_prompt_and_tools_are_of_the_prompt(tmp_path):
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    batch = load(tmp_path, {"prompt": "one", "system": "be brief", "tools": tools})
    assert [turn["role"] for turn in prompts(batch)[0]] == ["system", "user"]
    assert orjson.loads(batch.prompts["structure"][0].as_py()) == {"tools": tools}


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"prompt": ""}, "expected a prompt"),
        ({"prompt": "   "}, "whitespace only"),
        ({"prompt": "a\0b"}, "NUL"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "roles"),
        ({"prompt": "one", "images": ["x.png"]}, "not text"),
        ({"turns": [{"role": "user", "content": "one"}]}, "expected a list of the user's turns as texts"),
        ({"turns": "one"}, "expected a list of the user's turns as texts"),
        ({"turns": []}, "turns is []; expected a prompt"),
        ({"turns": ["", "two"]}, "is empty"),
        (b"{", "not a JSON object"),
    ],
)
def test_what_is_no_prompt_goes_to_quarantine_and_stops_nothing(tmp_path, row, error):
    batch = load(tmp_path, row, {"prompt": "Name three rivers."})
    assert prompts(batch) == [ASKED]
    (line,) = batch.quarantined
    assert error in line.error
    assert batch.raw_rows == 2


def test_prompts_of_pairs_are_taken_whatever_their_responses_are(tmp_path):
    row = {"prompt": "Name three rivers.", "chosen": "same", "rejected": "same"}
    batch = load(tmp_path, row, kind="preference")
    assert prompts(batch) == [ASKED]
    assert not batch.quarantined


def test_a_weight_leaves_a_share_of_prompts_by_their_content(tmp_path):
    rows = [{"prompt": f"question {number}"} for number in range(200)]
    batch = load(tmp_path, *rows, weight=0.25)
    assert len(batch.prompts) + batch.weighed_out == 200
    assert 30 <= len(batch.prompts) <= 70
    again = load(tmp_path, *rows[::-1], weight=0.25)
    assert sorted(again.prompts["prompt_id"].to_pylist()) == sorted(batch.prompts["prompt_id"].to_pylist())


def test_a_file_without_prompts_says_which_columns_it_has(tmp_path):
    with pytest.raises(SourceError, match="missing columns: prompt or messages or conversation"):
        load(tmp_path, {"body": "x"})


def test_a_curation_has_no_use_for_prompts_and_says_which_kinds_it_has():
    content = {"name": "unit", "sources": [{"kind": "prompts", "path": "./x.jsonl"}], "output": {"dir": "x"}}
    with pytest.raises(ValueError, match="prompts"):
        Recipe.model_validate(content | {"policy": {"model": "smollm2", "engine": "none"}})
