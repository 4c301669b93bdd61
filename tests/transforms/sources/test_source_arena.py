"""Chatbot Arena: which votes become pairs, in its three layouts. Rows are written for these tests."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sources_support import ASKED, QUESTION, adapt, chat, only_pair

from transforms.errors import RowError, SourceError
from transforms.sources.canonical import Message, validate
from transforms.sources.kinds import SOURCES, Source
from transforms.sources.kinds.arena import FIRST_NOTE, TOXIC_NOTE
from transforms.sources.load import load_batches
from transforms.sources.rows import Fields

BATTLE = {
    "question_id": "58210e", "model_a": "m-1", "model_b": "m-2", "winner": "model_b", "judge": "arena_user_973",
    "conversation_a": chat(QUESTION, "Nile."), "conversation_b": chat(QUESTION, "Nile, Po."), "turn": 1, "anony": True,
    "language": "English", "tstamp": 1682351591.1,
    "openai_moderation": {"flagged": False, "categories": {"hate": False}},
    "toxic_chat_tag": {"t5-large": {"flagged": False, "score": -8.1}},
}  # fmt: skip
LONGER = {
    **BATTLE,
    "conversation_a": chat(QUESTION, "Nile.", "And the longest?", "That one."),
    "conversation_b": chat(QUESTION, "Nile, Po.", "And the longest?", "The Nile."),
}
KAGGLE = {
    "id": 30192, "model_a": "m-1", "model_b": "m-2", "prompt": json.dumps([QUESTION]),
    "response_a": json.dumps(["Nile."]), "response_b": json.dumps(["Nile, Po."]),
    "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0,
}  # fmt: skip


def without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def parts(text):
    return [{"type": "text", "text": text, "image": None, "mimeType": None}]


def test_the_side_that_won_is_chosen():
    pair = only_pair("arena", BATTLE)
    assert (pair.prompt, pair.chosen, pair.rejected, pair.reason) == (ASKED, "Nile, Po.", "Nile.", None)
    assert (pair.chosen_score, pair.rejected_score, pair.source_id) == (None, None, "58210e/arena_user_973")
    other = only_pair("arena", {**BATTLE, "winner": "model_a"})
    assert (other.chosen, other.rejected) == ("Nile.", "Nile, Po.")


@pytest.mark.parametrize(
    ("winner", "reason"),
    [("tie", "tie"), ("tie (bothbad)", "both_bad"), ("both_bad", "both_bad"), (" Tie ", "tie")],
)
def test_a_vote_for_nobody_is_dropped_by_its_name_with_side_a_as_chosen(winner, reason):
    pair = only_pair("arena", {**BATTLE, "winner": winner})
    assert (pair.chosen, pair.rejected, pair.reason) == ("Nile.", "Nile, Po.", reason)
    validate(pair)


def test_a_vote_on_turns_that_differ_before_the_last_is_dropped_and_shows_where_the_sides_part():
    pair = only_pair("arena", LONGER)
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, "Nile, Po.", "Nile.")
    assert pair.reason == "several_turns"


def test_several_turns_first_takes_the_answers_where_the_sides_part_and_counts_it():
    row = Fields(LONGER)
    pair = only_pair("arena", row, several_turns="first")
    assert (pair.prompt, pair.chosen, pair.rejected, pair.reason) == (ASKED, "Nile, Po.", "Nile.", None)
    assert row.notes() == {FIRST_NOTE: 1}


def test_several_turns_that_are_equal_up_to_the_last_answer_are_an_ordinary_pair():
    row = {
        **BATTLE,
        "conversation_a": chat("Hi.", "Hello!", QUESTION, "Nile."),
        "conversation_b": chat("Hi.", "Hello!", QUESTION, "Nile, Po."),
    }
    pair = only_pair("arena", row)
    assert pair.prompt == (Message("user", "Hi."), Message("assistant", "Hello!"), *ASKED)
    assert (pair.chosen, pair.rejected, pair.reason) == ("Nile, Po.", "Nile.", None)


def test_a_tie_over_several_turns_is_a_tie_whatever_the_option_says():
    row = Fields({**LONGER, "winner": "tie"})
    assert only_pair("arena", row, several_turns="first").reason == "tie"
    assert row.notes() == {}


@pytest.mark.parametrize(
    ("languages", "reason"), [([], None), (["english"], None), (["German", "English"], None), (["en"], "language")]
)
def test_languages_are_the_sets_own_words(languages, reason):
    assert only_pair("arena", BATTLE, languages=languages).reason == reason


def test_languages_of_a_set_that_says_none_are_refused():
    with pytest.raises(RowError, match="language is null, expected text, for the recipe asks for English; leave"):
        adapt("arena", KAGGLE, languages=["English"])


@pytest.mark.parametrize(
    "flags",
    [
        {"openai_moderation": {"flagged": True}},
        {"toxic_chat_tag": {"t5-large": {"flagged": False}, "roberta-large": {"flagged": True}}},
    ],
)
def test_toxic_rows_are_kept_and_counted_or_dropped(flags):
    row = Fields({**BATTLE, **flags})
    assert only_pair("arena", row).reason is None
    assert row.notes() == {TOXIC_NOTE: 1}
    dropped = Fields({**BATTLE, **flags, "winner": "tie"})
    assert only_pair("arena", dropped, toxic="drop").reason == "toxic"
    assert dropped.notes() == {}
    assert only_pair("arena", BATTLE, toxic="drop").reason is None


@pytest.mark.parametrize("said", [{}, {"openai_moderation": None}, {"toxic_chat_tag": {"t5-large": {"flagged": None}}}])
def test_toxic_drop_is_refused_where_no_moderation_says_anything(said):
    with pytest.raises(RowError, match=r"openai_moderation and toxic_chat_tag say nothing, .* \(toxic: drop\) cannot"):
        adapt("arena", {**KAGGLE, **said}, toxic="drop")


def test_contents_of_parts_are_read_and_a_picture_among_them_is_refused():
    row = {
        "id": "2a5c1f", "winner": "model_a", "evaluation_order": 1, "language": "en",
        "conversation_a": [
            {"role": "user", "content": parts(QUESTION)}, {"role": "assistant", "content": parts("Nile, Po.")}
        ],
        "conversation_b": json.dumps(
            [{"role": "user", "content": parts(QUESTION)}, {"role": "assistant", "content": parts("Nile.")}]
        ),
    }  # fmt: skip
    pair = only_pair("arena", row, languages=["en"])
    assert (pair.prompt, pair.chosen, pair.rejected, pair.reason) == (ASKED, "Nile, Po.", "Nile.", None)
    assert pair.source_id == "2a5c1f"
    seen = {**row, "conversation_a": [{"role": "user", "content": [*parts("?"), {"type": "image", "image": "x.png"}]}]}
    with pytest.raises(RowError, match=r"conversation_a\[0\].content\[1\] is of type 'image', which is not text"):
        adapt("arena", seen)


def session(turns):
    return [{"user": {}, "model_side_a": {}, "model_side_b": {}}] * turns


@pytest.mark.parametrize(
    ("beside", "reason"),
    [
        ({"full_conversation": session(1), "evaluation_order": 1}, None),
        ({"full_conversation": session(2), "evaluation_order": 2}, "several_turns"),
        ({"full_conversation": json.dumps(session(2))}, "several_turns"),
        ({"evaluation_order": 1}, None),
        ({"evaluation_order": 2}, "several_turns"),
    ],
)
def test_a_later_vote_of_a_session_is_dropped_for_its_row_lacks_what_was_said_before(beside, reason):
    assert only_pair("arena", {**BATTLE, **beside}).reason == reason
    assert only_pair("arena", {**BATTLE, **beside}, several_turns="first").reason == reason


@pytest.mark.parametrize(
    ("flags", "sides"),
    [
        ((0, 1, 0), ("Nile, Po.", "Nile.", None)),
        ((1, 0, 0), ("Nile.", "Nile, Po.", None)),
        ((0, 0, 1), ("Nile.", "Nile, Po.", "tie")),
        (("1", "0", "0"), ("Nile.", "Nile, Po.", None)),
        ((False, True, False), ("Nile, Po.", "Nile.", None)),
    ],
)
def test_kaggle_votes_are_three_columns(flags, sides):
    row = {**KAGGLE, **dict(zip(("winner_model_a", "winner_model_b", "winner_tie"), flags, strict=True))}
    pair = only_pair("arena", row)
    assert (pair.prompt, pair.source_id) == (ASKED, "30192")
    assert (pair.chosen, pair.rejected, pair.reason) == sides


def test_kaggle_turns_are_lists_or_json_text_of_lists():
    row = {**KAGGLE, "prompt": [QUESTION], "response_a": ["Nile."], "response_b": ["Nile, Po."]}
    assert only_pair("arena", row).ids == only_pair("arena", KAGGLE).ids
    longer = {
        **KAGGLE, "prompt": json.dumps([QUESTION, "More?"]), "response_a": json.dumps(["Nile.", None]),
        "response_b": json.dumps(["Nile, Po.", "Rhine."]),
    }  # fmt: skip
    pair = only_pair("arena", longer)
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, "Nile, Po.", "Nile.")
    assert pair.reason == "several_turns"


def test_plain_texts_beside_a_winner_are_one_turn_even_if_one_is_a_list_in_json():
    row = {"id": "w1", "prompt": '["a", "b"]', "response_a": "Two.", "response_b": "Three.", "winner": "model_a"}
    pair = only_pair("arena", row)
    assert (pair.prompt, pair.chosen, pair.rejected) == ((Message("user", '["a", "b"]'),), "Two.", "Three.")


def test_texts_beside_a_winner_that_may_all_be_turns_are_refused():
    row = {**without(KAGGLE, "winner_model_a", "winner_model_b", "winner_tie"), "winner": "model_a"}
    with pytest.raises(
        RowError, match="prompt, response_a, response_b are all JSON text of a list, beside a column win"
    ):
        adapt("arena", row)
    lists = {**row, "prompt": [QUESTION], "response_a": ["Nile."], "response_b": ["Nile, Po."]}
    assert (only_pair("arena", lists).chosen, only_pair("arena", lists).rejected) == ("Nile.", "Nile, Po.")


def test_a_winner_beside_the_three_columns_changes_nothing_and_is_unread():
    row = Fields({**KAGGLE, "winner": "model_a"})
    assert only_pair("arena", row).ids == only_pair("arena", KAGGLE).ids
    assert "winner" in row.unread_names()


def test_an_answer_that_never_came_is_refused():
    pair = only_pair("arena", {**KAGGLE, "response_a": "[null]"})
    with pytest.raises(RowError, match="rejected is null"):
        validate(pair)


def test_half_a_character_in_json_text_is_refused():
    pair = only_pair("arena", {**KAGGLE, "response_a": r'["\ud83d"]'})
    with pytest.raises(RowError, match="rejected holds a lone surrogate at 0"):
        validate(pair)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {**BATTLE, "winner": "model_c"},
            r"winner is the text 'model_c', expected one of model_a, model_b, tie, tie \(bothbad\), both_bad, tie",
        ),
        ({**BATTLE, "winner": None}, "winner is null, expected one of model_a"),
        (
            {**KAGGLE, "winner_model_a": 1},
            "winner_model_a 1, winner_model_b 1, winner_tie 0; expected one of them to be 1 and the others 0",
        ),
        (without(KAGGLE, "winner_tie"), "winner_model_a 0, winner_model_b 1, winner_tie null; expected one of them"),
        ({**KAGGLE, "winner_tie": 0.5}, "winner_model_a 0, winner_model_b 1, winner_tie 0.5; expected one of them"),
        (
            {**BATTLE, "conversation_a": chat("Another?", "Nile.")},
            r"not asked the same: 1 questions in 2 messages \(chosen\) and 1 in 2 \(rejected\); expected the same",
        ),
        (
            {**BATTLE, "conversation_a": chat(QUESTION, "Nile.", "More?", "Po.")},
            r"not asked the same: 1 questions in 2 messages \(chosen\) and 2 in 4 \(rejected\)",
        ),
        ({**BATTLE, "conversation_a": None}, "conversation_a is null, expected a list of messages"),
        ({**BATTLE, "conversation_a": [], "conversation_b": []}, "chosen is empty; expected messages that end in"),
        (
            {**KAGGLE, "response_b": '["a", "b"]'},
            "1 prompts, 1 response_a and 2 response_b, expected equally many",
        ),
        ({**KAGGLE, "prompt": "Name three rivers."}, "prompt is the text 'Name three rivers.', which is no JSON"),
        ({**KAGGLE, "prompt": "[]"}, "prompt is empty, expected turns as a list or JSON text of one"),
        ({**KAGGLE, "prompt": "[3]"}, r"prompt\[0\] is 3, expected text"),
        ({**KAGGLE, "response_a": '{"a": 1}'}, "response_a is dict, expected turns as a list or JSON text of one"),
    ],
)
def test_a_row_that_is_no_vote_on_two_answers_is_refused(row, message):
    with pytest.raises(RowError, match=message):
        adapt("arena", row)


words = st.sampled_from(["q", "", "a", '["a"]', "[null]", '[{"role": "user", "content": "q"}]', "model_a", "tie", "1"])
numbers = st.integers(-1, 2) | st.floats() | st.booleans() | st.none()
turns = st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "assistant"]), words)
values = numbers | words | st.lists(words | numbers | turns, max_size=3) | st.dictionaries(words, words, max_size=1)
conversations = st.lists(turns, max_size=4) | st.sampled_from(
    [chat("q", "a"), chat("q", "b"), chat("q", "b", "q", "a")]
)


@settings(max_examples=200)
@given(
    st.sampled_from([BATTLE, KAGGLE, LONGER, without(BATTLE, "conversation_a", "conversation_b")]),
    st.fixed_dictionaries(
        {},
        optional={"conversation_a": conversations | values, "conversation_b": conversations | values}
        | dict.fromkeys(
            ["winner", "winner_tie", "prompt", "response_a", "response_b", "full_conversation", "evaluation_order",
             "openai_moderation", "toxic_chat_tag", "question_id", "judge", "language"], values,
        ),
    ),
    st.sampled_from(["keep", "drop"]),
)  # fmt: skip
def test_whatever_the_row_holds_it_becomes_a_pair_or_is_refused(row, change, toxic):
    try:
        pair = only_pair("arena", {**row, **change}, toxic=toxic, several_turns="first")
        validate(pair)
    except RowError:
        return
    assert pair.ids.pair
    assert pair.reason in (None, "tie", "both_bad", "inconsistent_judge", "several_turns", "toxic")


def test_what_is_not_read_is_named():
    row = Fields(BATTLE)
    adapt("arena", row)
    assert sorted(row.unread_names()) == [
        "anony", "language", "model_a", "model_b", "openai_moderation.categories", "toxic_chat_tag.t5-large.score",
        "tstamp", "turn",
    ]  # fmt: skip


@pytest.mark.parametrize("row", [BATTLE, KAGGLE, LONGER, {**BATTLE, "extra": 1}, without(BATTLE, "question_id")])
def test_a_battle_looks_like_one_and_like_no_other_kind(row):
    assert [name for name, kind in SOURCES.items() if kind.looks_like(row)] == ["arena"]


def test_a_battle_with_a_number_for_its_question_may_be_read_as_one():
    numbered = {**BATTLE, "question_id": 7}
    assert [name for name, kind in SOURCES.items() if kind.looks_like(numbered)] == ["arena", "mt_bench"]
    assert not SOURCES["arena"].looks_like(without(numbered, "anony"))


def load(path, rows, **options):
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    parsed = TypeAdapter(Source).validate_python({"path": str(path), **options})
    return list(load_batches(parsed))


def test_every_row_ends_as_a_pair_a_pair_with_a_reason_or_in_the_quarantine(tmp_path):
    rows = [BATTLE, {**BATTLE, "winner": "tie"}, LONGER, {**BATTLE, "winner": "?"}]
    (batch,) = load(tmp_path / "x.jsonl", rows, kind="arena")
    assert batch.pairs["reason"].to_pylist() == [None, "tie", "several_turns"]
    assert (batch.raw_rows, len(batch.quarantined)) == (4, 1)


def test_a_file_without_votes_is_refused_by_the_columns_that_it_lacks(tmp_path):
    with pytest.raises(SourceError, match="missing columns: winner or winner_model_a; found columns"):
        load(tmp_path / "x.jsonl", [without(BATTLE, "winner")], kind="arena")
    with pytest.raises(SourceError, match=r"is not of kind preference: .*; it looks like kind arena"):
        load(tmp_path / "x.jsonl", [BATTLE], kind="preference")
