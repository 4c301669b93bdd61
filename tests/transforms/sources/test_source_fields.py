"""What rows say beside their texts, under all the names that people give it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_support import ASKED, QUESTION, adapt, chat, only_pair

from transforms.errors import RowError
from transforms.sources.canonical import Message, validate
from transforms.sources.fields import SCORES, number
from transforms.sources.kinds import SOURCES
from transforms.sources.rows import Fields

ROW = {"prompt": QUESTION, "chosen": "Nile, Po.", "rejected": "Nile."}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
TEXT = '[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]'


def of(**columns):
    return only_pair("preference", ROW | columns)


def refused(message, **columns):
    with pytest.raises(RowError, match=message):
        of(**columns)


@pytest.mark.parametrize("names", SCORES)
def test_scores_are_read_under_each_of_their_usual_names(names):
    pair = of(**dict(zip(names, ("4.5", 3), strict=True)))
    assert (pair.chosen_score, pair.rejected_score) == (4.5, 3.0)


@pytest.mark.parametrize("value", [[4, "3.0"], {"chosen": 4, "rejected": "3.0", "judge": "x"}])
@pytest.mark.parametrize("name", ["rating", "ratings", "score", "scores"])
def test_two_ratings_in_one_column_are_of_chosen_and_rejected(name, value):
    pair = of(**{name: value})
    assert (pair.chosen_score, pair.rejected_score) == (4.0, 3.0)


@pytest.mark.parametrize(
    "columns", [{"rating": [4, 3], "generations": ["a", "b"]}, {"rating": [4, 3, 2]}, {"score": 4}]
)
def test_ratings_of_something_else_are_not_read_and_named(columns):
    row = Fields(ROW | columns)
    assert adapt("preference", row).pairs[0].chosen_score is None
    assert sorted(row.unread_names()) == sorted(columns)


def test_of_two_kinds_of_scores_the_first_is_read_and_the_other_named():
    row = Fields(ROW | {"chosen-rating": 1, "rejected-rating": 5, "chosen_score": 0.9, "rejected_score": 0.2})
    pair = adapt("preference", row).pairs[0]
    assert (pair.chosen_score, pair.rejected_score) == (0.9, 0.2)
    assert sorted(row.unread_names()) == ["chosen-rating", "rejected-rating"]


@pytest.mark.parametrize("bad", ["N/A", "", "none", "1_000", "4/5", "nan", True, [4], 10**400])
def test_a_score_that_is_no_number_costs_its_row(bad):
    with pytest.raises(RowError, match="chosen_score is"):
        validate(of(chosen_score=bad))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_text_is_the_number(value):
    assert number(repr(value), "x") == number(f" {value!r} ", "x") == value


def test_a_tie_by_its_status_is_one_whether_or_not_there_are_scores():
    assert of(status="tie").reason == of(status="tie", rating=[4, 4]).reason == "tie"
    assert of(status="swapped").reason is None
    refused("status is tie and the scores are 4.0 and 3.0", status="tie", rating=[4, 3])


@pytest.mark.parametrize("name", ["system", "system_prompt", "system_message"])
def test_a_system_column_is_the_first_turn_whatever_form_the_rest_has(name):
    expected = (Message("system", "Be brief."), *ASKED)
    for row in (
        ROW,
        {"chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b")},
        ROW | {"prompt": chat(QUESTION)},
    ):
        assert only_pair("preference", row | {name: "Be brief."}).prompt == expected


def test_a_system_prompt_may_be_there_twice_but_not_in_two_ways():
    both = [{"role": "system", "content": "Be brief."}, *chat(QUESTION)]
    assert of(prompt=both, system="Be brief.\n").prompt[0] == Message("system", "Be brief.")
    assert of(system="  ").prompt == of(system=None).prompt == ASKED
    refused("system is 'Be long.' and the conversation's own system turn 'Be brief.'", prompt=both, system="Be long.")
    refused("system_prompt is 'b' and system 'a'; expected one system prompt", system="a", system_prompt="b")
    refused(r"system is list, expected the system prompt as text", system=["a"])


@pytest.mark.parametrize("given", [TOOLS, TEXT, [json.dumps(TOOLS[0])], TOOLS[0]])
def test_tools_are_the_text_of_a_list_in_all_their_forms(given):
    assert of(tools=given).tools == TEXT


def test_parameters_that_a_table_keeps_as_text_are_an_object_again():
    function = TOOLS[0]["function"] | {"parameters": json.dumps(TOOLS[0]["function"]["parameters"])}
    assert of(tools=[{"type": "function", "function": function}]).tools == TEXT
    assert of(tools=[function]).tools == json.dumps([TOOLS[0]["function"]], separators=(",", ":"))
    refused("the parameters of a function is the text 'x', which is no JSON", tools=[{"name": "f", "parameters": "x"}])


def test_functions_are_wrapped_as_tools_and_no_tools_are_none():
    assert of(functions=[TOOLS[0]["function"]]).tools == of(functions=TOOLS, tools=TOOLS).tools == TEXT
    assert [of(tools=nothing).tools for nothing in (None, "", " ", "[]", "null", [])] == [""] * 6


def test_tools_that_are_none_are_refused():
    refused("tools is the text 'get_tide', which is no JSON", tools="get_tide")
    refused("tools is list, expected a list of functions as objects", tools=[3])
    refused("tools and functions hold different functions", tools=TOOLS, functions=[{"name": "g"}])
    refused("tools holds what JSON cannot", tools=[{"name": "f", "since": b"x"}])


def test_arguments_of_the_template_are_an_object():
    expected = '{"enable_thinking":false}'
    assert of(chat_template_kwargs={"enable_thinking": False}).template_kwargs == expected
    assert of(chat_template_kwargs='{"enable_thinking": false}').template_kwargs == expected
    assert of(chat_template_kwargs={}).template_kwargs == ""
    refused("chat_template_kwargs is list, expected an object", chat_template_kwargs=[1])


def test_pairs_that_differ_only_in_tools_or_arguments_of_the_template_are_different():
    ids = {of().ids.pair, of(tools=TOOLS).ids.pair, of(chat_template_kwargs={"a": 1}).ids.pair, of(system="s").ids.pair}
    assert len(ids) == 4


@pytest.mark.parametrize("part", ["prompt", "chosen", "rejected"])
@pytest.mark.parametrize("name", ["{}_ids", "{}_token_ids", "{}_input_ids"])
def test_token_ids_come_along_unless_they_are_to_be_ignored(part, name):
    columns = {name.format(part): [1, 2, 3]}
    assert getattr(of(**columns), f"{part}_ids") == (1, 2, 3)
    row = Fields(ROW | columns)
    assert getattr(only_pair("preference", row, token_ids="ignore"), f"{part}_ids") is None
    assert list(row.unread_names()) == list(columns)


@pytest.mark.parametrize(
    ("bad", "message"),
    [([1.0], r"chosen_ids\[0\] is 1.0"), ([True], r"chosen_ids\[0\]"), ([-1], r"chosen_ids\[0\] is -1"),
     ([2**31], r"chosen_ids\[0\]"), ([], "chosen_ids is empty"), ("1 2", "chosen_ids is the text '1 2'")],
)  # fmt: skip
def test_token_ids_that_are_none_are_refused(bad, message):
    refused(message, chosen_ids=bad)


def test_input_ids_beside_labels_are_of_prompt_and_response_together_and_stay_unread():
    row = Fields(ROW | {"chosen_input_ids": [1, 2, 3], "chosen_labels": [-100, 2, 3]})
    assert adapt("preference", row).pairs[0].chosen_ids is None
    assert sorted(row.unread_names()) == ["chosen_input_ids", "chosen_labels"]


@pytest.mark.parametrize("name", ["images", "image", "audios", "audio", "videos", "video"])
def test_a_column_that_is_not_text_is_refused_by_name_and_an_empty_one_is_nothing(name):
    for nothing in (None, [], "", {"bytes": None, "path": None}, [{"bytes": None, "path": ""}], [None]):
        row = Fields(ROW | {name: nothing})
        adapt("preference", row)
        assert list(row.unread_names()) == []
    for something in ("a.png", ["a.png"], {"bytes": b"x", "path": None}):
        refused(f"the column {name} holds something that is not text", **{name: something})


# Kinds whose rows are two conversations; what rows say beside their texts is read in one place for all of them.
KINDS = {
    "skywork": {"chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b")},
    "ultrafeedback_binarized": {
        "chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b"), "score_chosen": 2, "score_rejected": 1,
    },
    "rlhflow": {"chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b"), "chosen_score": 2, "rejected_score": 1},
    "hh_rlhf": {
        "chosen": f"\n\nHuman: {QUESTION}\n\nAssistant: a", "rejected": f"\n\nHuman: {QUESTION}\n\nAssistant: b",
    },
    "sharegpt": {
        "conversations": [{"from": "human", "value": QUESTION}], "chosen": {"from": "gpt", "value": "a"},
        "rejected": {"from": "gpt", "value": "b"},
    },
    "onpolicy": {
        "chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b"), "all_generated_responses": ["a", "b"],
        "all_rm_scores": [2, 1],
    },
    "preference": {"prompt": QUESTION, "chosen": "a", "rejected": "b"},
    "helpsteer2": {"prompt": QUESTION, "response_1": "a", "response_2": "b", "preference_strength": -1},
    "helpsteer3": {"context": chat(QUESTION), "response1": "b", "response2": "a", "overall_preference": 1},
    "nectar": {
        "prompt": f"\n\nHuman: {QUESTION}\n\nAssistant: ",
        "answers": [{"answer": "b", "rank": 2.0}, {"answer": "a", "rank": 1.0}],
    },
    "orca_dpo_pairs": {"system": "", "question": QUESTION, "chosen": "a", "rejected": "b"},
    "tulu3": {
        "id": "1", "source": "s", "prompt": QUESTION, "chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b"),
    },
    "distilabel": {
        "instruction": QUESTION, "chosen_response": "a", "rejected_response": "b", "chosen_rating": 2,
        "rejected_rating": 1,
    },
    "argilla": {"prompt": QUESTION, "response1": "b", "response2": "a", "preference.responses": ["response2"]},
}  # fmt: skip
BESIDE = {
    "system": "Be brief.", "tools": TOOLS, "chat_template_kwargs": {"a": 1}, "chosen_finish_reason": "length",
    "rejected_ids": [7],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_what_stands_beside_the_texts(kind):
    row = Fields(KINDS[kind] | BESIDE)
    (pair,) = adapt(kind, row).pairs
    assert pair.prompt == (Message("system", "Be brief."), *ASKED)
    assert (pair.chosen, pair.rejected, pair.tools, pair.template_kwargs) == ("a", "b", TEXT, '{"a":1}')
    assert (pair.chosen_finished, pair.rejected_finished, pair.rejected_ids) == (False, True, (7,))
    assert list(row.unread_names()) == []
    with pytest.raises(RowError, match="the column images"):
        adapt(kind, KINDS[kind] | {"images": ["a.png"]})


@pytest.mark.parametrize("kind", KINDS)
def test_more_columns_do_not_make_a_row_look_like_another_kind(kind):
    assert SOURCES[kind].looks_like(KINDS[kind] | BESIDE | {"annotator": "x"})


@pytest.mark.parametrize("kind", ["skywork", "rlhflow", "ultrafeedback_binarized", "onpolicy"])
def test_every_kind_of_two_conversations_reads_calls_and_reasoning(kind):
    row = json.loads(json.dumps(KINDS[kind]))
    row["chosen"][-1] |= {"reasoning_content": "why", "tool_calls": [{"name": "f", "arguments": {}}]}
    row["rejected"][-1]["content"] = "a"
    pair = only_pair(kind, row)
    validate(pair)
    assert list(json.loads(pair.chosen_more)) == ["reasoning_content", "tool_calls"]
    assert (pair.chosen, pair.rejected, pair.rejected_more) == ("a", "a", "")


@pytest.mark.parametrize(
    ("kind", "row", "of_others"),
    [
        ("preference", {"prompt": QUESTION, "chosen": "a", "rejected": "b", "finish_reason": ["length", "stop"]},
         ("generations", "completions", "order", "chosen_response")),
        ("preference", {"prompt": QUESTION, "chosen": "a", "rejected": "b", "rating": [5, 5]}, ("responses", "models")),
        ("preference", {"prompt": QUESTION, "chosen": "a", "rejected": "b", "chosen_input_ids": [3]},
         ("chosen_labels", "rejected_labels")),
        ("orca_dpo_pairs",
         {"system": "", "question": QUESTION, "chosen": "a", "rejected": "b", "generations": ["b", "a"],
          "rating": [2, 5]},
         ("rejected_score", "chosen_score", "status")),
        ("distilabel", {"instruction": QUESTION, "generations": ["a", "b"], "ratings": [5, 2]},
         ("response_base", "ranks", "candidates", "result", "chosen", "rejected")),
        ("distilabel", {"instruction": QUESTION, "candidates": ["a", "b"], "ranks": [2, 1]},
         ("generations", "ratings")),
        ("arena", {"id": 1, "prompt": ["q"], "response_a": ["a"], "response_b": ["b"], "winner_model_a": 1,
                   "winner_model_b": 0, "winner_tie": 0}, ("conversation_a", "conversation_b", "winner")),
        ("arena", {"question_id": "x", "winner": "model_a", "conversation_a": chat("q", "a"),
                   "conversation_b": chat("q", "b")}, ("winner_model_a", "prompt", "response_a")),
        ("argilla", {"prompt": "q", "response1": "a", "response2": "b", "better.responses": ["response1"]},
         ("chosen_response", "rejected_response")),
    ],
)  # fmt: skip
def test_columns_of_other_rows_that_are_null_here_change_nothing(kind, row, of_others):
    alone = only_pair(kind, row, token_ids="use")
    beside = only_pair(kind, row | dict.fromkeys(of_others), token_ids="use")
    assert replace(beside, source_id=alone.source_id) == alone


@pytest.mark.parametrize(
    ("columns", "scores"),
    [
        ({"rating": "[4, 4]"}, (4.0, 4.0)),
        ({"scores": '{"chosen": "4.5", "rejected": 3}'}, (4.5, 3.0)),
        ({"rating": {"chosen": 3}}, (3.0, None)),
        ({"rating": {"chosen": 3, "rejected": None}}, (3.0, None)),
        ({"rewards": [2, 1]}, (2.0, 1.0)),
        ({"reward": {"chosen": 2, "rejected": 1}}, (2.0, 1.0)),
    ],
)
def test_scores_of_both_sides_are_the_same_as_json_text_and_with_one_side_alone(columns, scores):
    pair = of(**columns)
    assert (pair.chosen_score, pair.rejected_score) == scores


@pytest.mark.parametrize("status", ["tie", "TIE", " Tie "])
def test_a_tie_is_one_in_any_case(status):
    assert of(status=status).reason == "tie"


@pytest.mark.parametrize("name", ["image_url", "image_paths", "audio_path", "video_urls"])
def test_where_a_picture_or_a_sound_lies_is_as_good_as_one(name):
    refused(f"the column {name} holds something that is not text", **{name: "x.png"})
    assert of(**{name: None}) == replace(of(**{name: []}), source_id=of(**{name: None}).source_id)


def test_lists_of_a_row_may_be_their_json_text_in_every_kind():
    ratings = {name: {"Rating": "5"} for name in ("helpfulness", "honesty", "instruction_following", "truthfulness")}
    worse = {name: {"Rating": "2"} for name in ratings}
    completions = [{"response": "a", "annotations": ratings}, {"response": "b", "annotations": worse}]
    rows = {
        "ultrafeedback": {"instruction": QUESTION, "completions": completions},
        "nectar": {"prompt": QUESTION, "answers": [{"answer": "a", "rank": 1}, {"answer": "b", "rank": 2}]},
        "distilabel": {"instruction": QUESTION, "generations": ["a", "b"], "ratings": [5, 2],
                       "generation_models": ["x", "y"]},
        "onpolicy": {"chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b"),
                     "all_generated_responses": ["b", "a"], "all_rm_scores": [1, 2]},
    }  # fmt: skip
    for kind, row in rows.items():
        as_text = {name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()}
        lists, texts = adapt(kind, row), adapt(kind, as_text)
        assert [pair.ids for pair in texts.pairs] == [pair.ids for pair in lists.pairs]
        assert [pair.chosen_score for pair in texts.pairs] == [pair.chosen_score for pair in lists.pairs]
        assert texts.responses == lists.responses


def test_labels_of_posts_may_be_numbers_as_text():
    row = {"history": "q", "human_ref_A": "a", "human_ref_B": "b", "score_A": 1, "score_B": 4, "score_ratio": 4}
    assert only_pair("shp", row | {"labels": "0"}).chosen == "b"
    with pytest.raises(RowError, match=r"labels is '2', expected 1 \(A is preferred\) or 0 \(B is\)"):
        only_pair("shp", row | {"labels": "2"})
