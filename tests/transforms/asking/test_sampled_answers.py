"""What policies answered: reasoning kept, hidden or cut; room in the context; texts that do not say their tokens."""

import numpy as np
import pyarrow as pa
import pytest
from tests_support import TEMPLATE, tiny_tokenizer

from transforms.asking.answers import Voice, answer_requests, encode_for, read_answers, shown
from transforms.chat.tokens import ChatTokens
from transforms.engines.protocol import ModelIdentity, Sampling
from transforms.sources.canonical import Message, Question
from transforms.tables.schema import PROMPTS

# Writes reasoning in a block of its own, as Qwen3's does.
THINKING = TEMPLATE.replace(
    "+ m['content'] +",
    "+ ('<think>\n' + m['reasoning_content'] + '\n</think>\n\n' if m['reasoning_content'] is defined else '')"
    " + m['content'] +",
)
IDENTITY = ModelIdentity("policy", "local", "0" * 64, "float32", "fake")


def voice(chat, **changes):
    sampling = Sampling(0.8, 1.0, chat.stop_ids)
    return Voice("policy", chat, IDENTITY, sampling, 1, 8, None)._replace(**changes)


def prompts(*texts):
    rows = [Question(text, (Message("user", text),)) for text in texts]
    return pa.Table.from_pylist(
        [
            {
                "prompt_id": one.prompt_id,
                "source": "unit",
                "source_id": one.source_id,
                "prompt": [{"role": "user", "content": one.source_id}],
                "structure": None,
            }
            for one in rows
        ],
        schema=PROMPTS,
    )


def said(chat, text, thinking="keep", *, finished=True):
    mine, asked = voice(chat, thinking=thinking), prompts("question")
    encoded = encode_for(mine, asked)
    requests = list(answer_requests(mine, asked, encoded, seed=0))
    ids = chat.encode([text]).row(0).tolist() + [chat.eot_id] * finished
    completions = {requests[0].request.request_id: (ids, "stop" if finished else "length")}
    (row,) = read_answers(mine, asked, encoded, requests, completions, first_index=0).to_pylist()
    return row, ids


@pytest.fixture(scope="module")
def plain():
    return ChatTokens(tiny_tokenizer())


@pytest.fixture(scope="module")
def thinking():
    return ChatTokens(tiny_tokenizer(THINKING))


def test_a_plain_response_is_its_text_with_the_tokens_that_were_sampled(plain):
    row, ids = said(plain, "the cat")
    assert (row["response"], row["reasoning"], row["status"], row["why"]) == ("the cat", None, "usable", None)
    assert row["response_ids"] == ids
    assert row["finished"]


def test_reasoning_that_the_template_knows_is_kept_beside_the_text(thinking):
    row, _ = said(thinking, "<think>\none two\n</think>\n\nthe cat")
    assert (row["response"], row["reasoning"], row["status"]) == ("the cat", "one two", "usable")


@pytest.mark.parametrize("how", ["keep", "hide", "cut"])
def test_reasoning_that_never_ends_is_no_answer(thinking, how):
    row, _ = said(thinking, "<think>\none two", how, finished=False)
    assert (row["status"], row["response"], row["finished"]) == ("no_answer", "", False)


@pytest.mark.parametrize(("how", "text"), [("keep", None), ("hide", None), ("cut", "the cat")])
def test_reasoning_inside_the_text_is_taken_out_only_where_the_recipe_cuts_it(plain, how, text):
    whole = "<think>\none two\n</think>\n\nthe cat"
    row, _ = said(plain, whole, how)
    assert row["response"] == (text or whole)
    assert row["status"] == "usable"


@pytest.mark.parametrize("how", ["hide", "cut"])
def test_open_reasoning_inside_the_text_is_no_answer_where_annotators_are_not_to_see_it(plain, how):
    row, _ = said(plain, "<think>\none two", how, finished=False)
    assert row["status"] == "no_answer"


@pytest.mark.parametrize("how", ["hide", "cut"])
def test_reasoning_inside_the_text_with_nothing_behind_it_is_no_answer(plain, how):
    row, _ = said(plain, "<think>\none two\n</think>\n\n", how)
    assert (row["status"], row["response"]) == ("no_answer", "")


def test_annotators_see_reasoning_only_where_it_is_kept():
    assert shown("the cat", "one", "keep") == {"role": "assistant", "content": "the cat", "reasoning_content": "one"}
    assert shown("the cat", "one", "hide") == {"role": "assistant", "content": "the cat"}
    assert shown("<think>one</think>\n\nthe cat", None, "hide")["content"] == "the cat"


def test_white_space_that_a_template_trims_keeps_the_sampled_tokens():
    trims = ChatTokens(tiny_tokenizer(TEMPLATE.replace("m['content']", "m['content'] | trim")))
    row, ids = said(trims, " the cat\n")
    assert row["status"] == "usable"
    assert row["response_ids"] == ids


def test_an_answer_has_the_room_that_the_context_leaves_and_a_prompt_that_fills_it_is_refused(plain):
    asked = prompts("question", "the cat " * 20)
    lengths = encode_for(voice(plain), asked).ids.lengths
    short, long = (int(length) for length in lengths)
    mine = voice(plain, context=short + 3)
    encoded = encode_for(mine, asked)
    assert list(encoded.errors) == [1]
    assert f"the prompt has {long} tokens and the policy reads {short + 3}" in encoded.errors[1]
    (request,) = answer_requests(mine, asked.slice(0, 1), encode_for(mine, asked.slice(0, 1)), seed=0)
    assert request.request.max_tokens == 3


def test_seeds_follow_from_prompt_policy_and_sample_and_not_from_the_row(plain):
    mine = voice(plain, n=3)
    both, alone = prompts("one", "two"), prompts("two")
    first = [one.request.seed for one in answer_requests(mine, both, encode_for(mine, both), seed=1)]
    again = [one.request.seed for one in answer_requests(mine, alone, encode_for(mine, alone), seed=1)]
    named = mine._replace(label="other")
    other = [one.request.seed for one in answer_requests(named, alone, encode_for(named, alone), seed=1)]
    assert first[3:] == again
    assert len({*first, *other}) == 9


def test_a_system_prompt_is_put_before_prompts_without_one_only(plain):
    asked = prompts("question")
    with_system = encode_for(voice(plain, system_prompt="be brief"), asked)
    assert plain.written(np.asarray(with_system.ids.row(0))).startswith("<|im_start|>system\nbe brief<|im_end|>")
    turns = [{"role": "system", "content": "one"}, {"role": "user", "content": "two"}]
    own = asked.set_column(3, PROMPTS.field("prompt"), pa.array([turns], PROMPTS.field("prompt").type))
    assert "be brief" not in plain.written(
        np.asarray(encode_for(voice(plain, system_prompt="be brief"), own).ids.row(0))
    )
