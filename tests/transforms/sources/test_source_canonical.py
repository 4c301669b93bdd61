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


@given(st.lists(st.sampled_from(["system", "user", "assistant", "tool"]), max_size=6))
def test_roles_are_taken_exactly_when_they_alternate_and_end_in_user(roles):
    letters = "".join(role[0] for role in roles)
    fits = letters.removeprefix("s") in {"u", "uau", "uauau"}
    pair = dataclasses.replace(GOOD, prompt=tuple(Message(role, "text") for role in roles))
    if fits:
        validate(pair)
    else:
        with pytest.raises(RowError, match="prompt has the roles"):
            validate(pair)


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
