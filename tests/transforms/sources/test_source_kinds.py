"""Each kind turns its raw rows into the right pairs. Rows are written for these tests."""

from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError
from sources_support import ASKED, QUESTION, adapt, chat, only_pair, sides

from transforms.errors import RowError
from transforms.sources.canonical import Message
from transforms.sources.kinds import SOURCES, Source
from transforms.sources.rows import Fields


def test_binarized_takes_its_scores_and_its_own_id():
    row = {
        "prompt": QUESTION, "prompt_id": "p9", "chosen": chat(QUESTION, "Nile, Po, Rhine."),
        "rejected": chat(QUESTION, "Nile."), "score_chosen": 8.5, "score_rejected": 6,
    }  # fmt: skip
    pair = only_pair("ultrafeedback_binarized", row)
    assert (pair.source_id, pair.prompt, pair.chosen, pair.rejected) == (
        "p9",
        ASKED,
        "Nile, Po, Rhine.",
        "Nile.",
    )
    assert (pair.chosen_score, pair.rejected_score) == (8.5, 6.0)


def test_skywork_keeps_a_conversation_of_several_turns():
    before = ("Hi.", "Hello!", QUESTION)
    pair = only_pair("skywork", {"chosen": chat(*before, "Nile, Po."), "rejected": chat(*before, "Nile.")})
    assert pair.prompt == (Message("user", "Hi."), Message("assistant", "Hello!"), *ASKED)
    assert (pair.chosen, pair.rejected) == ("Nile, Po.", "Nile.")


def test_skywork_ids_do_not_depend_on_the_order_of_keys():
    row = {"chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b"), "source": "s"}
    assert only_pair("skywork", row).source_id == only_pair("skywork", dict(reversed(row.items()))).source_id


def test_sides_that_part_before_the_last_turn_are_refused():
    row = {"chosen": chat(QUESTION, "a", "And?", "b"), "rejected": chat(QUESTION, "c", "And?", "d")}
    with pytest.raises(RowError, match=r"agree in their first 1 messages and then go on for 3 \(chosen\) and 3"):
        adapt("skywork", row)


SHP = {
    "post_id": "p7", "history": "Why is my bread flat?", "c_root_id_A": "a1", "c_root_id_B": "b1",
    "score_A": 12, "score_B": 4, "human_ref_A": "Let it rise.", "human_ref_B": "Old yeast.",
    "labels": 1, "score_ratio": 3.0,
}  # fmt: skip


def test_shp_label_one_means_a():
    pair = only_pair("shp", SHP)
    assert (pair.chosen, pair.rejected, pair.chosen_score, pair.rejected_score) == (
        "Let it rise.",
        "Old yeast.",
        12,
        4,
    )
    assert (pair.source_id, pair.reason) == ("p7/a1/b1", None)


def test_shp_label_zero_means_b():
    pair = only_pair("shp", {**SHP, "labels": 0, "score_A": 4, "score_B": 12})
    assert (pair.chosen, pair.rejected) == ("Old yeast.", "Let it rise.")


@pytest.mark.parametrize(("ratio", "least", "reason"), [(1.9, 2.0, "score_ratio"), (2.0, 2.0, None), (1.9, 1.5, None)])
def test_shp_drops_pairs_below_the_score_ratio(ratio, least, reason):
    assert only_pair("shp", {**SHP, "score_ratio": ratio}, min_score_ratio=least).reason == reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": 0}, "labels says B but score_B is 4 and score_A is 12"),
        ({"labels": 2}, "labels is 2, expected 1"),
    ],
)
def test_shp_labels_that_cannot_be_right_are_refused(change, message):
    with pytest.raises(RowError, match=message):
        adapt("shp", {**SHP, **change})


def test_rlhflow_takes_the_scores_beside_the_conversations():
    row = {
        "chosen": chat(QUESTION, "a"), "chosen_score": 5.0,
        "rejected": chat(QUESTION, "b"), "rejected_score": 2.0,
    }  # fmt: skip
    pair = only_pair("rlhflow", row)
    assert (pair.prompt, pair.chosen_score, pair.rejected_score) == (ASKED, 5.0, 2.0)


def test_onpolicy_keeps_all_responses_and_finds_the_scores_of_the_two():
    row = {
        "prompt": QUESTION, "prompt_id": "p1", "all_generated_responses": ["a", "b", "", "a"],
        "all_rm_scores": [0.1, 0.05, 0.07, 0.12],
        "chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b"),
    }  # fmt: skip
    found = adapt("onpolicy", row)
    assert sides(found) == [("a", "b", 0.12, 0.05)]
    assert [(one.text, one.score) for one in found.responses] == [
        ("a", 0.1),
        ("b", 0.05),
        ("", 0.07),
        ("a", 0.12),
    ]


def test_onpolicy_needs_a_score_for_each_response():
    row = {
        "all_generated_responses": ["a", "b"], "all_rm_scores": [0.1], "chosen": chat(QUESTION, "a"),
        "rejected": chat(QUESTION, "b"),
    }  # fmt: skip
    with pytest.raises(RowError, match="2 all_generated_responses and 1 all_rm_scores"):
        adapt("onpolicy", row)


def test_hh_transcripts_become_conversations():
    start = "\n\nHuman: Hi.\n\nAssistant: Hello!\n\nHuman: Name three rivers.\n\nAssistant:"
    pair = only_pair("hh_rlhf", {"chosen": f"{start} Nile, Po, Rhine.", "rejected": f"{start} Nile."})
    assert pair.prompt == (Message("user", "Hi."), Message("assistant", "Hello!"), *ASKED)
    assert (pair.chosen, pair.rejected) == ("Nile, Po, Rhine.", "Nile.")


def test_hh_sides_where_one_begins_the_other_keep_all_their_characters():
    start = "\n\nHuman: Name three rivers.\n\nAssistant: The Nile"
    pair = only_pair("hh_rlhf", {"chosen": f"{start}, the Po.", "rejected": start})
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, "The Nile, the Po.", "The Nile")


def test_hh_text_that_is_no_transcript_is_refused():
    with pytest.raises(RowError, match="chosen starts with 'Nile', expected a transcript"):
        adapt("hh_rlhf", {"chosen": "Nile", "rejected": "Po"})


def test_sharegpt_turns_are_renamed_and_the_system_column_comes_first():
    row = {
        "system": "Be brief.", "conversations": [{"from": "human", "value": QUESTION}],
        "chosen": {"from": "gpt", "value": "Nile, Po."}, "rejected": {"from": "gpt", "value": "Nile."},
    }  # fmt: skip
    pair = only_pair("sharegpt", row)
    assert pair.prompt == (Message("system", "Be brief."), *ASKED)
    assert (pair.chosen, pair.rejected) == ("Nile, Po.", "Nile.")


def test_sharegpt_function_calls_and_observations_become_calls_and_tools():
    call = '{"name": "get_tide", "arguments": {"port": "Brest"}}'
    row = {
        "conversations": [
            {"from": "human", "value": "Tide?"}, {"from": "function_call", "value": call},
            {"from": "observation", "value": "4 m"},
        ],
        "chosen": {"from": "gpt", "value": "Four metres."}, "rejected": {"from": "function_call", "value": call},
        "tools": '[{"name": "get_tide"}]',
    }  # fmt: skip
    pair = only_pair("sharegpt", row)
    function = '{"name":"get_tide","arguments":{"port":"Brest"}}'
    calls = f'{{"content":null,"tool_calls":[{{"type":"function","function":{function}}}]}}'
    assert pair.prompt == (Message("user", "Tide?"), Message("assistant", "", calls), Message("tool", "4 m"))
    assert (pair.chosen, pair.rejected, pair.rejected_more, pair.tools) == (
        "Four metres.", "", calls, '[{"name":"get_tide"}]',
    )  # fmt: skip


def test_sharegpt_a_function_call_without_a_name_is_refused():
    row = {"conversations": [{"from": "function_call", "value": "{}"}], "chosen": {}, "rejected": {}}
    with pytest.raises(RowError, match=r"conversations\[0\].value\[0\] is dict, expected a call with a name"):
        adapt("sharegpt", row)


TRANSCRIPT = "\n\nHuman: Name three rivers.\n\nAssistant:"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": QUESTION, "chosen": "Nile, Po.", "rejected": "Nile."},
        {"prompt": chat(QUESTION), "chosen": chat("", "Nile, Po.")[1:], "rejected": chat("", "Nile.")[1:]},
        {"prompt": chat(QUESTION), "chosen": "Nile, Po.", "rejected": "Nile."},
        {"prompt": QUESTION, "chosen": chat(QUESTION, "Nile, Po."), "rejected": chat(QUESTION, "Nile.")},
        {"chosen": chat(QUESTION, "Nile, Po."), "rejected": chat(QUESTION, "Nile.")},
        {"chosen": f"{TRANSCRIPT} Nile, Po.", "rejected": f"{TRANSCRIPT} Nile."},
        {"prompt": TRANSCRIPT, "chosen": "Nile, Po.", "rejected": "Nile."},
    ],
    ids=[
        "text",
        "messages",
        "mixed",
        "prompt repeated",
        "implicit messages",
        "transcripts",
        "transcript prompt",
    ],
)
def test_preference_formats_all_become_the_same_pair(row):
    pair = only_pair("preference", row)
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, "Nile, Po.", "Nile.")


def test_a_transcript_has_one_id_in_the_layout_of_hh_and_split_into_three_columns():
    whole = only_pair("hh_rlhf", {"chosen": f"{TRANSCRIPT} Nile, Po. ", "rejected": f"{TRANSCRIPT} Nile."})
    split = only_pair("preference", {"prompt": TRANSCRIPT, "chosen": " Nile, Po.", "rejected": "Nile.\n"})
    turns = "\n\nHuman: Hi.\n\nAssistant: Ho." + TRANSCRIPT
    longer = only_pair("hh_rlhf", {"chosen": f"{turns} Nile, Po.", "rejected": f"{turns} Nile."})
    longer_split = only_pair("preference", {"prompt": f"{turns} ", "chosen": "Nile, Po.", "rejected": " Nile."})
    assert whole.ids == split.ids != longer.ids == longer_split.ids


def test_preference_text_without_a_prompt_is_refused_rather_than_guessed():
    with pytest.raises(RowError, match="plain text without a prompt column"):
        adapt("preference", {"chosen": "Sure, here is A", "rejected": "Sure, here is B"})


def test_preference_answers_that_start_alike_keep_their_start():
    row = {"chosen": chat(QUESTION, "Sure, here is A"), "rejected": chat(QUESTION, "Sure, here is B")}
    pair = only_pair("preference", row)
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, "Sure, here is A", "Sure, here is B")


def test_preference_takes_id_and_scores_where_there_are_any():
    row = {"id": 7, "prompt": "q", "chosen": "a", "rejected": "b", "chosen_score": 2, "rejected_score": 1.5}
    pair = only_pair("preference", row)
    assert (pair.source_id, pair.chosen_score, pair.rejected_score) == ("7", 2.0, 1.5)


def sample(temperature, response, *, prompt_id="p1", split="test", finished=True):
    return {
        "prompt_id": prompt_id, "split": split, "prompt": chat(QUESTION), "temperature": temperature,
        "response": response, "finished": finished,
    }  # fmt: skip


def gathered(rows, **options):
    parsed = TypeAdapter(Source).validate_python({"kind": "starter", "path": "./s.parquet", **options})
    return list(SOURCES["starter"].gather([Fields(row) for row in rows], parsed))


def test_starter_prefers_the_lower_temperature_and_knows_what_is_finished():
    (row,) = gathered([sample(1.1, "hot", finished=False), sample(0.2, "ice"), sample(0.7, "cool")])
    pair = only_pair("starter", row)
    assert (pair.source_id, pair.prompt, pair.chosen, pair.rejected) == ("p1", ASKED, "cool", "hot")
    assert (pair.chosen_score, pair.rejected_score) == (-0.7, -1.1)
    assert (pair.chosen_finished, pair.rejected_finished) == (True, False)
    assert [one.score for one in adapt("starter", row).responses] == [-0.2, -0.7, -1.1]


def test_starter_groups_by_prompt_whatever_order_the_rows_are_in():
    rows = [sample(t, f"{p}{t}", prompt_id=p) for p in ("p2", "p1") for t in (0.7, 1.1)]
    assert [row["prompt_id"] for row in gathered(rows)] == ["p1", "p2"]
    assert [row.raw for row in gathered(rows)] == [row.raw for row in gathered(rows[::-1])]


def test_starter_takes_only_the_asked_half_of_the_prompts():
    rows = [sample(t, str(t), prompt_id=p, split=p) for p in ("train", "test") for t in (0.7, 1.1)]
    assert [row["prompt_id"] for row in gathered(rows, prompts="train")] == ["train"]


def test_starter_refuses_a_prompt_that_lacks_one_temperature():
    rows = [sample(0.7, "a"), sample(1.1, "b"), sample(0.7, "c", prompt_id="p2")]
    with pytest.raises(RowError, match=r"prompt p2 has no response at 1\.1"):
        adapt("starter", gathered(rows)[1])


def test_starter_needs_better_to_be_colder():
    with pytest.raises(ValidationError, match="better must be the lower temperature"):
        gathered([], better=1.5, worse=0.2)


def test_an_unknown_kind_or_key_is_refused():
    for wrong in ({"kind": "ultra"}, {"kind": "shp", "min_ratio": 2}):
        with pytest.raises(ValidationError):
            TypeAdapter(Source).validate_python({"path": "./x.jsonl", **wrong})


def test_every_kind_is_listed_in_the_recipe_type():
    union = get_args(get_args(Source)[0])
    assert {kind.options for kind in SOURCES.values()} == set(union)
    assert list(SOURCES) == [get_args(options.model_fields["kind"].annotation)[0] for options in union]
