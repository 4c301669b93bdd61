"""Columns that hold messages, in all the ways in which they are written down."""

import json

import pytest
from sources_support import QUESTION, adapt, chat, only_pair

from transforms.errors import RowError
from transforms.sources.canonical import Message
from transforms.sources.messages import asked, conversation, messages, said
from transforms.sources.rows import Fields

USER = {"role": "user", "content": "q"}


def turns(value):
    return messages(Fields({"x": value}), "x").turns


def one(**fields):
    """The last message of a column, and the fields in it that were read and that were not."""
    row = Fields({"x": [USER, {"role": "assistant", **fields}]})
    found = messages(row, "x").turns[-1]
    return found, [name for name in row.read_names() if name != "x"], sorted(row.unread_names())


def more(**fields):
    found = one(**fields)[0].more
    return json.loads(found) if found else {}


@pytest.mark.parametrize(
    ("role", "canonical"),
    [
        ("human", "user"), ("Human", "user"), ("gpt", "assistant"), ("model", "assistant"), ("bot", "assistant"),
        ("developer", "system"), ("tool", "tool"), ("function", "tool"), ("ipython", "tool"), ("observation", "tool"),
    ],
)  # fmt: skip
def test_roles_are_called_what_templates_call_them(role, canonical):
    assert (
        turns([{"role": role, "content": "a"}]) == turns([{"from": role, "value": "a"}]) == (Message(canonical, "a"),)
    )


@pytest.mark.parametrize(
    "value",
    [
        [USER],
        USER,
        json.dumps([USER]),
        f" {json.dumps(USER, indent=1)}\n",
        [json.dumps(USER)],
        [{"content": "q", "role": "user", "name": None, "tool_calls": None}],
    ],
    ids=["a list", "one", "JSON of a list", "JSON of one", "a list of JSON", "fields of other rows"],
)
def test_messages_are_messages_however_they_are_stored(value):
    assert turns(value) == (Message("user", "q"),)


@pytest.mark.parametrize("text", ['{"name": "Ann"}', "[]", "[1, 2]", '[{"role": "x"}]', "{not JSON", '{"a": "role"}'])
def test_other_json_is_a_text_like_any_other(text):
    assert said(Fields({"x": text}), "x").turns == (Message("assistant", text),)


def test_text_that_starts_like_messages_and_is_no_json_is_nobodys_answer():
    with pytest.raises(RowError, match="chosen starts like messages as JSON text and is no JSON"):
        said(Fields({"chosen": '[{"role": "assistant", "content": "a'}), "chosen")


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({"name": "f", "arguments": '{"b": 1, "a": 1.0}'}, '{"b":1,"a":1.0}'),
        ({"name": "f", "arguments": {"b": None}}, '{"b":null}'),
        ({"name": "f", "parameters": {"ü": 1}}, '{"ü":1}'),
        ({"name": "f", "arguments": ""}, "{}"),
        ({"name": "f"}, "{}"),
        ({"type": "function", "function": {"name": "f", "arguments": '{"n": 12345678901234567890123}'}}, None),
    ],
)
def test_calls_become_openais_with_arguments_as_an_object_in_their_order(given, arguments):
    arguments = arguments or '{"n":12345678901234567890123}'
    expected = f'{{"tool_calls":[{{"type":"function","function":{{"name":"f","arguments":{arguments}}}}}]}}'
    assert one(content="a", tool_calls=[given])[0].more == expected
    assert one(content="a", tool_calls=json.dumps([given]))[0].more == expected
    assert one(content="a", function_call=given)[0].more == expected


def test_fields_of_a_message_have_one_order_and_those_of_arguments_the_one_in_which_they_came():
    call = {"id": "c1", "function": {"name": "f", "arguments": {"b": 1, "a": 2}}}
    first = one(tool_calls=[call], content=None)[0].more
    second = one(content=None, tool_calls=[call])[0].more
    assert first == second
    assert list(json.loads(first)) == ["content", "tool_calls"]
    assert json.loads(first)["tool_calls"][0] == {"id": "c1", "type": "function", "function": call["function"]}


def test_a_content_that_is_null_or_missing_is_one_beside_a_call_and_no_other():
    call = [{"name": "f"}]
    assert one(content=None, tool_calls=call)[0].content == one(tool_calls=call)[0].content == ""
    assert more(tool_calls=call)["content"] is None
    with pytest.raises(RowError, match=r"x\[1\] has a content that is null, expected text"):
        one(content=None)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "thoughts", "thought"])
def test_reasoning_has_one_name(name):
    found, read, _ = one(content="a", **{name: "because"})
    assert (found.more, read) == ('{"reasoning_content":"because"}', [f"x[].{name}"])


def test_reasoning_as_a_part_of_the_content_is_reasoning():
    parts = [
        {"type": "thinking", "thinking": "be"},
        {"type": "text", "text": "a"},
        {"type": "thinking", "text": "cause"},
    ]
    assert one(content=parts)[0] == Message("assistant", "a", '{"reasoning_content":"because"}')


def test_two_different_reasonings_are_refused_and_equal_ones_are_one():
    assert more(content="a", reasoning="r", thinking="r") == {"reasoning_content": "r"}
    with pytest.raises(RowError, match=r"x\[1\].thinking and the reasoning beside it are two different texts"):
        one(content="a", reasoning="r", thinking="s")


@pytest.mark.parametrize(
    "empty",
    [{"tool_calls": []}, {"tool_calls": None}, {"reasoning_content": ""}, {"name": None}, {"function_call": {}}],
)
def test_an_empty_field_is_no_field(empty):
    assert one(content="a", **empty) == (Message("assistant", "a"), [], [])


def test_what_is_not_known_is_counted_as_unread_and_nulls_are_not():
    call = {"name": "f", "arguments": {}, "index": 0}
    _, read, unread = one(content="a", weight=1, loss=None, tags=[], thinking=False, tool_calls=[call])
    assert read == ["x[].tool_calls"]
    assert unread == ["x[].tags", "x[].thinking", "x[].tool_calls[].index", "x[].weight"]


def test_a_picture_beside_the_text_of_one_part_is_refused_and_an_empty_place_for_one_is_not():
    assert one(content=[{"type": "text", "text": "a", "image": None, "video": ""}])[0].content == "a"
    with pytest.raises(RowError, match=r"content\[0\].image is not text; expected parts of text only"):
        one(content=[{"type": "text", "text": "a", "image": {"url": "x.png"}}])


def test_text_parts_are_joined_and_their_other_fields_are_unread():
    parts = [
        "a",
        {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}, "image_url": None},
        {"text": "c"},
    ]
    found, _, unread = one(content=parts)
    assert (found.content, unread) == ("abc", ["x[].content[].cache_control"])
    assert one(content=parts[2])[0].content == "c"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"content": [{"type": "image_url", "image_url": {}}]}, r"x\[1\].content\[0\] is of type 'image_url'"),
        ({"content": [{"type": "text"}]}, r"x\[1\].content\[0\] is of type 'text' without a text"),
        ({"content": [{"type": ["text"], "text": "a"}]}, r"x\[1\].content\[0\] is of type \['text'\]"),
        ({"content": [3]}, r"x\[1\].content\[0\] is 3, which is not text"),
        ({"content": 7}, r"x\[1\] has a content that is 7, expected text"),
        ({"content": "a", "images": ["x.png"]}, r"x\[1\].images is not text"),
        ({"content": "a", "tools": [{}]}, r"x\[1\].tools: functions are read from a column tools of the row"),
        ({"content": "a", "reasoning": {"text": "r"}}, r"x\[1\].reasoning is dict, expected the reasoning as text"),
        ({"content": "a", "name": ["n"]}, r"x\[1\].name is list, expected text"),
        ({"content": "a", "tool_calls": [{"arguments": {}}]}, r"x\[1\].tool_calls\[0\] is dict, expected a call"),
        ({"content": "a", "tool_calls": "f()"}, r"x\[1\].tool_calls is the text 'f\(\)', expected calls or JSON text"),
        ({"content": "a", "tool_calls": [{"name": "f", "arguments": "[1]"}]}, r"arguments is list, expected an object"),
        ({"content": "a", "tool_calls": [{"name": "f", "arguments": '{"a": NaN}'}]}, "NaN is no JSON"),
        ({"content": "a", "tool_calls": [{"name": "f"}], "function_call": {"name": "g"}}, "contradict each other"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_its_name(fields, message):
    with pytest.raises(RowError, match=message):
        one(**fields)


def test_calls_of_a_user_are_refused_and_what_a_user_thinks_is_unread():
    with pytest.raises(RowError, match=r"x\[0\].tool_calls is in a user turn"):
        turns([{**USER, "tool_calls": [{"name": "f"}]}])
    row = Fields({"x": [{**USER, "thinking": "hm"}]})
    assert (messages(row, "x").turns, list(row.unread_names())) == ((Message("user", "q"),), ["x[].thinking"])


def test_only_the_last_message_says_how_it_ended():
    row = Fields({"x": [{"role": "assistant", "content": c, "finish_reason": c} for c in ("length", "stop")]})
    assert (messages(row, "x").ending, list(row.unread_names())) == ("stop", ["x[].finish_reason"])


def test_a_prompt_may_be_repeated_on_both_sides_with_a_system_turn_or_be_the_last_question_alone():
    system, before = (
        {"role": "system", "content": "s"},
        [{**USER, "content": "hi"}, {"role": "assistant", "content": "ho"}],
    )
    answers = [{"role": "assistant", "content": c} for c in "ab"]
    for head in ([USER], [system, USER], [*before, USER]):
        row = Fields({"prompt": "q", "chosen": [*head, answers[0]], "rejected": [*head, answers[1]]})
        found = conversation(row)
        assert [turn.content for turn in found.prompt] == [turn["content"] for turn in head]
        assert (found.chosen.content, found.rejected.content) == ("a", "b")


def test_a_prompt_is_the_same_in_each_of_its_forms():
    forms = ["q", [USER], json.dumps([USER]), "\n\nHuman: q\n\nAssistant:", "Human: q\n\nAssistant: "]
    assert {asked(Fields({"p": form}), "p") for form in forms} == {(Message("user", "q"),)}
    with pytest.raises(RowError, match=r"p is a Human/Assistant transcript that ends in 'Human: q'"):
        asked(Fields({"p": "Human: q"}), "p")


def test_a_transcript_with_windows_line_ends_has_the_same_turns_also_where_only_some_have_them():
    lines = ["Human: a", "", "Assistant: b", "", "Human: c", "", "Assistant:"]
    plain = asked(Fields({"p": "\n".join(lines)}), "p")
    assert [turn.content for turn in plain] == ["a", "b", "c"]
    assert asked(Fields({"p": "\r\n".join(lines)}), "p") == plain
    assert asked(Fields({"p": "\r\n".join(lines[:3]) + "\n" + "\n".join(lines[3:])}), "p") == plain


def test_json_text_beside_a_transcript_is_messages_too():
    side = json.dumps([{"role": "assistant", "content": "a"}])
    row = Fields({"prompt": "\n\nHuman: q\n\nAssistant:", "chosen": side, "rejected": "b"})
    found = conversation(row)
    assert (found.prompt, found.chosen.content, found.rejected.content) == ((Message("user", "q"),), "a", "b")


def test_a_table_of_messages_in_both_spellings_gives_each_its_own():
    nothing = dict.fromkeys(("role", "content", "from", "value"))
    spoken = [nothing | {"from": "human", "value": "q"}, nothing | {"role": "assistant", "content": "a"}]
    assert turns(spoken) == (Message("user", "q"), Message("assistant", "a"))


AS_JSON = json.dumps([{"role": "assistant", "content": "a"}])


@pytest.mark.parametrize("text", [AS_JSON, json.dumps(AS_JSON), f"\ufeff{AS_JSON}", f"\n {AS_JSON} \n"])
def test_json_text_of_messages_is_opened_however_often_it_was_written(text):
    pair = only_pair("preference", {"prompt": QUESTION, "chosen": text, "rejected": "b"})
    assert (pair.chosen, pair.rejected) == ("a", "b")


@pytest.mark.parametrize(
    "text",
    [
        "[{'id': 1, 'role': 'assistant', 'content': 'a'}]",
        "array([{'content': 'a', 'role': 'assistant'}], dtype=object)",
        "{'weight': 0.5, 'from': 'gpt', 'value': 'a'}",
    ],
)
def test_messages_as_python_prints_them_are_nobodys_answer(text):
    with pytest.raises(RowError, match="chosen starts like messages as JSON text and is no JSON"):
        only_pair("preference", {"prompt": QUESTION, "chosen": text, "rejected": "b"})


@pytest.mark.parametrize(
    "text",
    [
        '"a" and "role"',
        "[{'a': 1, 'role': 1}]",
        '"\\"role\\": x',
        "a role",
        '["role"]',
        "{'a': x, 'role': x}",
        '"role"',
    ],
)
def test_texts_about_roles_stay_texts(text):
    assert only_pair("preference", {"prompt": QUESTION, "chosen": text, "rejected": "b"}).chosen == text


@pytest.mark.parametrize(
    ("kind", "row", "column"),
    [
        ("helpsteer3", {"context": chat("q"), "response1": AS_JSON, "response2": "b", "overall_preference": -1},
         "chosen"),
        ("helpsteer2", {"prompt": "q", "response_1": AS_JSON, "response_2": "b", "preference_strength": 1}, "rejected"),
        ("orca_dpo_pairs", {"question": "q", "chosen": AS_JSON, "rejected": "b"}, "chosen"),
        ("distilabel", {"instruction": "q", "generations": [AS_JSON, "b"], "ratings": [2, 1]}, "chosen"),
        ("nectar", {"prompt": "q", "answers": [{"answer": AS_JSON, "rank": 2}, {"answer": "b", "rank": 1}]},
         "rejected"),
        ("shp", {"labels": 1, "score_A": 2, "score_B": 1, "score_ratio": 2, "history": AS_JSON, "human_ref_A": "a",
                 "human_ref_B": "b"}, "history"),
        ("ultrafeedback", {"instruction": AS_JSON, "completions": []}, "instruction"),
    ],
)  # fmt: skip
def test_json_text_of_messages_in_a_column_of_texts_is_refused(kind, row, column):
    with pytest.raises(RowError, match=f"{column} is the JSON text of messages, .*; expected the text itself"):
        adapt(kind, row)


@pytest.mark.parametrize("prompt", ["q", " q\n", "\n\nHuman: q\n\nAssistant:", "", None])
def test_transcripts_may_repeat_the_prompt_as_messages_may(prompt):
    row = {"prompt": prompt, "chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"}
    assert only_pair("preference", row).ids == only_pair("hh_rlhf", row).ids


def test_transcripts_that_do_not_repeat_the_prompt_stay_what_was_said():
    row = {"prompt": "p", "chosen": "Human: q\n\nAssistant: a", "rejected": "Human: q\n\nAssistant: b"}
    assert only_pair("preference", row).chosen == row["chosen"]


def test_the_order_of_fields_in_a_message_makes_no_other_pair():
    fields = {"content": None, "reasoning_content": "r", "tool_calls": [{"name": "f", "arguments": {"b": 1, "a": 2}}]}
    rows = [
        {"prompt": QUESTION, "chosen": [{"role": "assistant"} | dict(order)], "rejected": "b"}
        for order in (fields.items(), reversed(fields.items()))
    ]
    first, second = (only_pair("preference", row) for row in rows)
    assert first.ids == second.ids
    assert '"arguments":{"b":1,"a":2}' in first.chosen_more


def test_parts_are_texts_under_the_names_of_both_of_openais_interfaces():
    asked = [{"role": "user", "content": [{"type": "input_text", "text": "q"}]}]
    said = [{"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]}]
    pair = only_pair("preference", {"prompt": asked, "chosen": said, "rejected": "b"})
    assert (pair.prompt, pair.chosen) == ((Message("user", "q"),), "a")
    with pytest.raises(RowError, match=r"chosen\[0\].content\[0\] is of type 'text' without a text; expected"):
        only_pair("preference", {"prompt": "q", "chosen": {"role": "assistant", "content": [{"type": "text"}]},
                                 "rejected": "b"})  # fmt: skip
