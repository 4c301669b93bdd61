"""End-of-turn, prompts, kept text: what the ids mean."""

import json

import numpy as np
import pytest
from families import family
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_support import TEMPLATE, chat, tiny_tokenizer

from transforms.chat import tokens as tokens_module
from transforms.chat.conversation import Asked
from transforms.chat.encoding import encode_prompts, encode_responses, encode_sides
from transforms.chat.tokens import ChatTokens, TurnTokens
from transforms.engines.tokenizer import load_tokenizer
from transforms.errors import ModelError
from transforms.tables.ragged import Ragged

CHAT = chat()


def test_end_of_turn_is_the_special_token_after_an_assistant_turn_not_the_newline():
    assert CHAT.eot == "<|im_end|>"
    assert CHAT.eot_id == tiny_tokenizer().convert_tokens_to_ids("<|im_end|>")


def test_a_prompt_is_the_template_with_the_generation_prompt():
    [text] = CHAT.template.prompts([Asked([{"role": "user", "content": "hi"}])])
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_prompt_and_response_ids_are_what_the_template_gives_for_the_whole_conversation():
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "the cat sat"}]
    prompts = encode_prompts(CHAT, [Asked(turns[:1])])
    prompt, response = (
        prompts.ids.row(0),
        encode_responses(CHAT, prompts, turns[1:], np.array([True]), "chosen").ids.row(0),
    )
    whole = tiny_tokenizer().apply_chat_template(turns, return_dict=False)
    newline = CHAT.encode(["\n"]).row(0)
    assert [*prompt, *response, *newline] == whole


def test_a_tokenizer_without_a_chat_template_is_refused():
    with pytest.raises(ModelError, match="has no usable chat template"):
        ChatTokens(tiny_tokenizer(template=None))


def test_a_template_without_an_end_of_turn_is_refused():
    template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    with pytest.raises(ModelError, match="no special token"):
        ChatTokens(tiny_tokenizer(template=template))


def test_a_class_name_under_which_the_tokenizer_loses_white_space_is_refused_with_the_way_out(tmp_path):
    # Copies of DeepSeek's checkpoints look like this; transformers 5 then splits byte-level text as Llama 2's.
    tiny_tokenizer().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "LlamaTokenizerFast"}))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match=r'does not give back(.|\n)*set "tokenizer_class": "PreTrainedTokenizerFast"'):
        ChatTokens(load_tokenizer(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert ChatTokens(load_tokenizer(tmp_path)).eot == "<|im_end|>"


def test_a_template_that_refuses_a_role_gives_an_error_for_that_row_only():
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
    refusing = ChatTokens(tiny_tokenizer(template=template))
    turns = [{"role": "user", "content": "hi"}], [{"role": "system", "content": "be kind"}]
    good, bad = refusing.template.prompts([Asked(one) for one in turns])
    assert isinstance(good, str)
    assert "no system" in str(bad)


def test_equal_texts_are_encoded_alike_and_in_place():
    ids = CHAT.encode(["the cat", "dog", "the cat", ""])
    assert ids.row(0).tolist() == ids.row(2).tolist() == CHAT.encode(["the cat"]).row(0).tolist()
    assert ids.lengths.tolist()[3] == 0


def test_texts_that_are_encoded_a_few_at_a_time_have_the_same_ids_in_the_same_places(monkeypatch):
    texts = [f"the cat {'sat ' * (at % 5)}{at}" for at in range(11)] + ["the cat 0", ""]
    whole = CHAT.encode(texts)
    monkeypatch.setattr(tokens_module, "_AT_ONCE", 3)
    few = CHAT.encode(texts)
    assert few.offsets.tolist() == whole.offsets.tolist()
    assert few.values.tolist() == whole.values.tolist()
    assert few.values.dtype == whole.values.dtype == np.int32
    assert CHAT.encode([]).offsets.tolist() == [0]


def test_a_response_that_is_chosen_in_one_pair_and_rejected_in_another_is_rendered_once(monkeypatch):
    tokens, done = chat(), np.array([True, True])
    own, rendered = tokens.template._render, []

    def render(conversations, **how):
        rendered.append([turns[-1]["content"] for turns in conversations])
        return own(conversations, **how)

    monkeypatch.setattr(tokens.template, "_render", render)
    prompts = encode_prompts(tokens, [Asked([{"role": "user", "content": "the cat"}])] * 2)
    good, fair, bad = ({"role": "assistant", "content": text} for text in ("sat", "sat on", "dog"))
    sides = {"chosen": [good, fair], "rejected": [fair, bad]}
    found = encode_sides(tokens, prompts, sides, dict.fromkeys(sides, done))
    assert rendered[0] == ["the cat"]
    assert rendered[-1] == ["sat", "sat on", "dog"]
    assert len(rendered) == 3  # the one between counts a prompt's special tokens, once for all of these roles
    for side, turns in sides.items():
        alone = encode_responses(tokens, prompts, turns, done, side)
        assert [found[side].ids.row(row).tolist() for row in (0, 1)] == [alone.ids.row(row).tolist() for row in (0, 1)]


def test_special_tokens_spelled_out_in_a_prompt_are_told_from_the_templates_own():
    prompts = [Asked([{"role": "user", "content": text}]) for text in ("hi", "x <|im_start|> y")]
    ids = CHAT.encode([str(text) for text in CHAT.template.prompts(prompts)])
    assert CHAT.specials_in_prompts(prompts, ids) == [(1, "<|im_start|>")]


def test_a_cut_inside_a_character_leaves_the_character_out():
    text = "a 👩 b"  # four bytes, one token each in this vocabulary
    ids = CHAT.encode([text])
    texts = [CHAT.kept_texts([text], ids, [keep])[0] for keep in range(1, len(ids.values) + 1)]
    assert set(texts) == {"a", "a ", "a 👩", "a 👩 ", "a 👩 b"}


def test_a_character_that_a_cut_split_is_in_no_decoded_text():
    ids = CHAT.encode(["a 👩 b"]).row(0)
    assert [CHAT.decode(ids[:keep]) for keep in range(1, len(ids) + 1)] == [
        "a", "a ", "a ", "a ", "a ", "a 👩", "a 👩 ", "a 👩 b"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["zephyr", "zephyr, Metaspace", "chatml, Unigram"])
@pytest.mark.parametrize("said", ["the cat", " the cat", "  the cat"])
def test_a_space_at_the_beginning_of_a_text_stays_where_decoders_take_one_away(name, said):
    tokens = family(name).chat()
    prompts = encode_prompts(tokens, [Asked([{"role": "user", "content": "the dog"}])])
    ids = encode_responses(tokens, prompts, [{"role": "assistant", "content": said}], np.array([True]), "chosen").ids
    assert tokens.said(ids.row(0)).text == tokens.decode(ids.row(0)) == said
    begun = tokens.kept_texts([said] * 2, ids.take(np.array([0, 0])), [1, len(ids.values) - 1])
    assert begun[1] == said
    assert said.startswith(begun[0]) and begun[0]


def test_the_kept_text_of_all_but_the_end_of_turn_is_the_whole_text():
    ids = CHAT.encode(["the cat"]).with_end(CHAT.eot_id, np.array([True]))
    assert CHAT.kept_texts(["the cat"], ids, [len(ids.values) - 1]) == ["the cat"]


@given(st.text(max_size=40), st.data())
@settings(deadline=None)
def test_kept_text_is_a_prefix_of_the_original_and_equals_decoding(text, data):
    ids = CHAT.encode([text]).row(0)
    keep = data.draw(st.integers(0, len(ids)))
    [kept] = CHAT.kept_texts([text], CHAT.encode([text]), [keep])
    assert text.startswith(kept)
    # Decoding may leave a split character as U+FFFD in the middle of nowhere; beyond that it is the same text.
    assert CHAT.decode(ids[:keep]).rstrip("\ufffd") == kept.rstrip("\ufffd") or keep == len(ids)


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6), st.data())
def test_ragged_take_and_end_are_what_lists_would_do(rows, data):
    ragged = Ragged(
        np.array([i for row in rows for i in row], np.int32),
        np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64),
    )
    where = [data.draw(st.booleans()) for _ in rows]
    ended = ragged.with_end(7, np.array(where, bool))
    assert [ended.row(i).tolist() for i in range(len(rows))] == [
        row + [7] * end for row, end in zip(rows, where, strict=True)
    ]
    order = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)) if rows else []
    taken = ragged.take(np.array(order, np.int64))
    assert [taken.row(i).tolist() for i in range(len(order))] == [rows[i] for i in order]
    assert Ragged.from_arrow(ragged.to_arrow()[1:]).values.tolist() == [i for row in rows[1:] for i in row]


@pytest.mark.parametrize("said", ["the cat", "the cat ", " the cat", "the cat\n"])
def test_a_text_is_what_its_tokens_say_also_where_as_much_is_trimmed_as_the_template_writes_before_it(said):
    trimming = TEMPLATE.replace("m['content']", "(' ' if m['role'] == 'assistant' else '') + m['content'] | trim")
    spaced = ChatTokens(tiny_tokenizer(trimming))
    prompts = encode_prompts(spaced, [Asked([{"role": "user", "content": "the dog"}])])
    ids = encode_responses(spaced, prompts, [{"role": "assistant", "content": said}], np.array([True]), "chosen").ids
    size = len(ids.values)
    assert spaced.kept_texts([said] * 2, ids.take(np.array([0, 0])), [size, size - 1]) == ["the cat"] * 2
    [begun] = spaced.kept_texts([said], ids, [size - 2])
    assert f" {begun}" == spaced.written(ids.row(0)[: size - 2])


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (TEMPLATE.replace("m['content']", "(m['content'] if m['role'] == 'user' else '')"), "the assistant's turn"),
        (TEMPLATE.replace("m['content']", "(m['content'] | upper)"), "the user's turn"),
    ],
    ids=["without answers", "upper case"],
)
def test_a_template_that_leaves_out_or_changes_what_is_said_is_refused(template, says):
    with pytest.raises(ModelError, match=f"has no usable chat template .it leaves out or changes {says}"):
        ChatTokens(tiny_tokenizer(template))


def test_what_kept_tokens_lack_of_the_end_of_a_turn():
    ids = [1, 2, 3, 8, 9]  # 8 and 9 are written behind a text
    rows = Ragged.of([np.array(one, np.int32) for one in (ids, ids, ids, ids, ids[:3], ids[:3])])
    keep = np.array([5, 4, 3, 1, 3, 2])
    finished = np.array([True, True, True, True, False, False])
    found = TurnTokens(tail=(8, 9)).missing(rows, keep, finished)
    assert found == [(), (9,), (8, 9), (8, 9), (8, 9), (8, 9)]


def test_another_end_than_the_templates_is_an_end():
    rows = Ragged.of([np.array([1, 2, 7], np.int32)] * 2)  # 7 ends a turn with a call
    found = TurnTokens(tail=(8, 9)).missing(rows, np.array([3, 2]), np.array([True, True]))
    assert found == [(), (8, 9)]
