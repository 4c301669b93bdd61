"""Ids come from content alone and never collide by layout; validation says what is wrong with a pair."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.errors import RowError
from transforms.sources.canonical import MAX_TEXT_CHARS, Message, Pair, pair_id, pair_ids, prompt_id, validate

PROMPT = (Message("user", "Name three rivers."),)
GOOD = Pair("r1", PROMPT, "Nile, Rhine, Po.", "Nile.")

# Few characters, digits and the separators of the encoding among them, so that clashes would be found.
texts = st.text(alphabet="1:;a\ud800é", max_size=4)
prompts = st.lists(st.builds(Message, texts, texts), max_size=3).map(tuple)
triples = st.tuples(prompts, texts, texts)


@given(triples, triples)
def test_pair_ids_are_equal_only_for_equal_pairs(one, other):
    assert (pair_id(*one) == pair_id(*other)) == (one == other)


@given(triples)
def test_a_pair_id_starts_with_its_prompts_id(triple):
    ids = pair_ids(*triple)
    assert ids.pair[:16] == ids.prompt == prompt_id(triple[0])
    assert len(ids.pair) == 32


def test_pair_id_is_a_fixed_function_of_content():
    # Published versions depend on it: a changed encoding must be a decision.
    assert pair_id(PROMPT, "Nile, Rhine, Po.", "Nile.") == "4de40d2b954a0ce2d25c8a25a01f13a4"


@given(st.text(), st.text(), st.text())
def test_what_validate_lets_through_can_be_written_as_utf8_and_has_two_sides(question, chosen, rejected):
    pair = Pair("r", (Message("user", question),), chosen, rejected)
    try:
        validate(pair)
    except RowError:
        return
    for text in (question, chosen, rejected):
        assert text.encode().strip() and b"\0" not in text.encode()
    assert chosen != rejected


CALLS = '{"tool_calls":[]}'


def turn(letter):
    """Each letter a turn: c is an assistant's with calls."""
    role = {"s": "system", "u": "user", "a": "assistant", "c": "assistant", "t": "tool"}[letter]
    return Message(role, "text", CALLS if letter == "c" else "")


def in_order(letters):
    """By hand: who may speak after whom."""
    after = {"": "su", "s": "u", "u": "ac", "a": "u", "c": "ut", "t": "tacu"}
    pairs = zip(["", *letters], letters, strict=False)
    return all(letter in after[before] for before, letter in pairs) and letters[-1:] in ("u", "t")


@given(st.text("suact", max_size=7))
def test_roles_are_taken_exactly_when_they_take_turns_and_tools_answer_calls(letters):
    pair = dataclasses.replace(GOOD, prompt=tuple(map(turn, letters)))
    if in_order(letters):
        validate(pair)
    else:
        with pytest.raises(RowError, match="prompt has the roles"):
            validate(pair)


@pytest.mark.parametrize("more", [CALLS, '{"reasoning_content":"why"}', '{"content":null,"tool_calls":[{}]}'])
@pytest.mark.parametrize("text", ["", "\n"])
def test_a_response_may_be_silent_only_beside_a_call_or_reasoning(more, text):
    validate(dataclasses.replace(GOOD, chosen=text, chosen_more=more))
    with pytest.raises(RowError, match="chosen is"):
        validate(dataclasses.replace(GOOD, chosen=text, chosen_more='{"name":"tool_calls"}'))


def test_a_tool_may_have_nothing_to_say_and_nobody_else():
    turns = (Message("user", "q"), Message("assistant", "", CALLS), Message("tool", ""))
    validate(dataclasses.replace(GOOD, prompt=turns))
    with pytest.raises(RowError, match=r"prompt turn 0 \(user\) is empty"):
        validate(dataclasses.replace(GOOD, prompt=(Message("user", ""), *turns[1:])))


def test_equal_texts_are_a_pair_where_calls_or_reasoning_differ():
    same = {"chosen": "a", "rejected": "a"}
    validate(dataclasses.replace(GOOD, **same, chosen_more='{"reasoning_content":"x"}'))
    with pytest.raises(RowError, match="the same text"):
        validate(dataclasses.replace(GOOD, **same, chosen_more=CALLS, rejected_more=CALLS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"chosen_more": '{"reasoning_content":"a\\u0000b"}'},
            "chosen is holding a NUL character in its further fields",
        ),
        ({"tools": '[{"name":"\\u0000"}]'}, "tools is holding a NUL character"),
        ({"rejected_more": '{"reasoning_content":"\ud800"}'}, "rejected holds a lone surrogate"),
        ({"template_kwargs": '{"a":"' + "x" * 1_000_000 + '"}'}, "chat_template_kwargs is 1,000,008 characters long"),
    ],
)
def test_further_fields_are_held_to_what_texts_are(change, message):
    with pytest.raises(RowError, match=message):
        validate(dataclasses.replace(GOOD, **change))


def test_a_backslash_before_a_number_is_no_nul():
    validate(dataclasses.replace(GOOD, chosen_more='{"reasoning_content":"\\\\u0000"}'))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": None}, "chosen is null"),
        ({"chosen": 7}, "chosen is int, expected text"),
        ({"chosen": ""}, "chosen is empty"),
        ({"rejected": " \n\t "}, "rejected is whitespace only"),
        ({"chosen": "Nile."}, "chosen and rejected are the same text"),
        ({"rejected": "a\0b"}, "rejected is holding a NUL character at 1"),
        ({"chosen": "é\ud800"}, "chosen holds a lone surrogate at 1"),
        ({"chosen": "x" * 5_000_000}, "chosen is 5,000,000 characters long, the limit is 1,000,000"),
        ({"chosen_score": math.nan}, "chosen_score is nan"),
        ({"rejected_score": -math.inf}, "rejected_score is -inf"),
        ({"prompt": ()}, r"prompt has the roles \[\]"),
        ({"prompt": (Message("user", " "),)}, r"prompt turn 0 \(user\) is whitespace only"),
    ],
)
def test_a_broken_pair_is_refused_by_name(change, message):
    with pytest.raises(RowError, match=message):
        validate(dataclasses.replace(GOOD, **change))


def test_the_longest_allowed_text_passes():
    validate(dataclasses.replace(GOOD, chosen="x" * MAX_TEXT_CHARS))


def test_sides_that_differ_in_white_space_alone_are_two_texts():
    validate(dataclasses.replace(GOOD, chosen="Nile. ", rejected="Nile."))
