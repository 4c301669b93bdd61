"""Prompts and responses as the family has them, by hand: first tokens, what stands around a text, and every refusal."""

import json

import numpy as np
import pytest
from families import family
from tests_support import TEMPLATE, chat, pairs_table, row, tiny_tokenizer
from tokenizers import AddedToken

from transforms.asking.readings import spoken
from transforms.chat.conversation import Asked, answer, answers_of, asked_of
from transforms.chat.encoding import encode_prompts, encode_responses
from transforms.chat.probes import try_all
from transforms.chat.tokens import ChatTokens
from transforms.errors import ModelError
from transforms.preparation.prepare import prepare
from transforms.preparation.truncation import Truncation

ASKED = Asked([{"role": "user", "content": "the cat"}])
TIDE = {"type": "function", "function": {"name": "get_tide", "arguments": {"port": "Brest"}}}
TOOLS = [
    {"type": "function", "function": {"name": "get_tide", "description": "Tide", "parameters": {"type": "object"}}}
]


def encoded(tokens: ChatTokens, *said, asked=ASKED, finished=True):
    """(token strings of the response, error) of each."""
    turns = [answer(one) if isinstance(one, str) else one for one in said]
    prompts = encode_prompts(tokens, [asked] * len(turns))
    found = encode_responses(tokens, prompts, turns, np.array([finished] * len(turns)), "chosen")
    errors = found.errors | prompts.errors
    return [
        (None if row in errors else tokens.tokens(found.ids.row(row)), errors.get(row)) for row in range(len(turns))
    ]


def tokens_of(tokens, said, **how):
    [(found, error)] = encoded(tokens, said, **how)
    assert error is None
    return found


def error_of(tokens, said, **how):
    [(found, error)] = encoded(tokens, said, **how)
    assert found is None
    return error


@pytest.mark.parametrize("name", ["zephyr", "zephyr, Metaspace"])
def test_a_sentencepiece_response_has_no_dummy_prefix(name):
    zephyr = family(name).chat()
    assert tokens_of(zephyr, "The Rhine.") == ["The", "▁Rh", "ine", ".", "</s>"]
    assert tokens_of(zephyr, "Five.") == ["F", "ive", ".", "</s>"]
    prompts = encode_prompts(zephyr, [ASKED])
    assert zephyr.tokens(prompts.ids.row(0))[-2:] == [">", "<0x0A>"]


def test_llama_2_writes_a_space_before_its_end_of_turn_that_is_a_token_of_its_own():
    llama = family("llama2").chat()
    assert tokens_of(llama, "The Rhine.") == ["▁The", "▁Rh", "ine", ".", "▁", "</s>"]
    assert tokens_of(llama, "The Rhine.", finished=False) == ["▁The", "▁Rh", "ine", "."]
    pair = row("q", "The Rhine and the Po.", "The Rhine.")
    [found] = prepare(pairs_table(pair), llama, Truncation(eot="never"), max_length=None).pairs.to_pylist()
    assert found["rejected_keep"] == 4  # neither the space nor the end-of-turn


def test_a_plain_answer_of_qwen_3_begins_with_the_empty_block_that_its_template_writes():
    qwen = family("qwen3, Qwen's splitting").chat()
    found = tokens_of(qwen, "the cat")
    assert found[:4] == ["<think>", "ĊĊ", "</think>", "ĊĊ"]
    assert found[-1] == "<|im_end|>"


def test_what_stands_before_the_text_is_counted_by_no_truncation_the_same_on_both_sides():
    qwen = family("qwen3, Qwen's splitting").chat()
    pair = row("q", "the cat sat on the mat", "the dog")
    for truncation, wanted in (
        (Truncation(method="tokens", tokens=1), (5, 5)),
        (Truncation(method="poet"), (4 + 3, 4 + 3)),  # two tokens and the end-of-turn behind the block
    ):
        [found] = prepare(pairs_table(pair), qwen, truncation, max_length=None).pairs.to_pylist()
        assert (found["chosen_keep"], found["rejected_keep"]) == wanted
        assert found["lead_tokens"] == 4
    # Half of 7 and of 3 tokens behind the block, rounded down.
    half = prepare(pairs_table(pair), qwen, Truncation(method="ratio", ratio=0.5), max_length=None).pairs
    behind = [len(half[f"{side}_ids"][0]) - 4 for side in ("chosen", "rejected")]
    assert half["chosen_keep"][0].as_py() == 4 + behind[0] // 2
    assert half["rejected_keep"][0].as_py() == 4 + max(1, behind[1] // 2)


def test_a_blank_line_that_the_text_behind_it_splits_is_before_the_text_all_the_same():
    # GPT-2's splitting: "\n\n" is one token at the end of the block alone, and two before a letter.
    qwen = family("qwen3, Qwen's splitting")._replace(name="qwen3, GPT-2's splitting", build="bytes").chat()
    assert qwen.tokens(np.array(qwen.lead_ids)) == ["<think>", "ĊĊ", "</think>", "Ċ", "Ċ"]
    [found] = prepare(
        pairs_table(row("q", "the cat", "the dog")), qwen, Truncation(method="tokens", tokens=1), max_length=None
    ).pairs.to_pylist()
    assert found["lead_tokens"] == 5
    assert (found["chosen_keep"], found["rejected_keep"]) == (6, 6)


def test_a_pair_with_and_without_reasoning_counts_the_shorter_beginning_on_both_sides():
    qwen = family("qwen3, Qwen's splitting").chat()
    thought = {"chosen": {"reasoning_content": "one two"}}
    pair = row("q", "the cat", "the dog", structure=json.dumps(thought))
    [found] = prepare(pairs_table(pair), qwen, Truncation(method="none"), max_length=None).pairs.to_pylist()
    assert qwen.tokens(np.array(found["chosen_ids"]))[:3] == ["<think>", "Ċ", "one"]
    assert found["lead_tokens"] == 2


def test_a_prompt_that_leaves_room_for_the_empty_block_alone_is_quarantined():
    qwen = family("qwen3, Qwen's splitting").chat()
    pairs = pairs_table(row("the cat", "the cat sat", "the dog"))
    prompt = len(encode_prompts(qwen, [ASKED]).ids.values)
    assert "no room for one token" in prepare(pairs, qwen, Truncation(), max_length=prompt + 4).quarantined[0].error
    assert not prepare(pairs, qwen, Truncation(), max_length=prompt + 5).quarantined


def test_gpt_oss_answers_in_its_final_channel_and_ends_calls_otherwise():
    oss = family("gptoss").chat()
    assert "".join(tokens_of(oss, "the")) == "<|channel|>final<|message|>the<|return|>"
    called = tokens_of(oss, answer("", {"tool_calls": [TIDE]}), asked=ASKED._replace(tools=TOOLS))
    assert called[-1] == "<|call|>"
    assert oss.stops == ("<|return|>", "<|call|>")
    prompt = oss.tokens(encode_prompts(oss, [ASKED]).ids.row(0))
    assert "".join(prompt).endswith("<|end|><|start|>assistant")


def test_reasoning_of_gpt_oss_is_told_from_its_answer_finished_or_not():
    oss = family("gptoss").chat()
    prompts = encode_prompts(oss, [ASKED])
    turn = answer("42", {"reasoning_content": "six sevens"})
    ids = encode_responses(oss, prompts, [turn], np.array([True]), "chosen").ids.row(0)
    assert spoken(oss, ids) == turn
    tokens = oss.tokens(ids)
    in_thought = tokens.index("<|end|>")
    assert spoken(oss, ids[:in_thought]) == answer("", {"reasoning_content": "six sevens"})
    assert spoken(oss, ids[:-1]) == turn
    plain = encode_responses(oss, prompts, [answer("the cat")], np.array([True]), "chosen").ids.row(0)
    assert spoken(oss, plain) == answer("the cat")
    assert spoken(oss, plain[:3]) == answer("")  # nothing but the channel's mark so far
    assert oss.response_text(plain[:3]) == ""


@pytest.mark.parametrize("name", ["qwen3, Qwen's splitting", "gptoss"])
@pytest.mark.parametrize("inline", [True, False])
def test_a_response_that_ran_out_of_room_while_it_thought_stays_in_its_open_block(name, inline):
    tokens = family(name).chat()
    turn = answer("<think>\nsix sevens are") if inline else answer("", {"reasoning_content": "six sevens are"})
    found = "".join(tokens_of(tokens, turn, finished=False)).replace("Ġ", " ").replace("Ċ", "\n")
    assert found == tokens.marks.opens + "six sevens are"
    ids = encode_responses(tokens, encode_prompts(tokens, [ASKED]), [turn], np.array([False]), "chosen").ids.row(0)
    assert spoken(tokens, ids) == answer("", {"reasoning_content": "six sevens are"})


def test_a_template_without_a_generation_prompt_gives_its_header_to_the_response():
    endless = family("chatml, no generation prompt").chat()
    assert tokens_of(endless, "The")[:4] == ["<|im_start|>", "ass", "istant", "Ċ"]
    prompt = endless.tokens(encode_prompts(endless, [ASKED]).ids.row(0))
    assert prompt[-2:] == ["<|im_end|>", "Ċ"]
    ids = encode_responses(endless, encode_prompts(endless, [ASKED]), [answer("The")], np.array([True]), "chosen").ids
    assert endless.response_text(ids.row(0)) == "The"


def test_white_space_goes_where_the_template_trims_it_and_the_response_is_counted():
    gemma = family("gemma").chat()
    assert tokens_of(gemma, "  The Rhine. \n") == tokens_of(gemma, "The Rhine.")
    pairs = pairs_table(row("q", " The Rhine.", "The Po. "), row("p", "The Rhine.", "The Po."))
    found = prepare(pairs, gemma, Truncation(method="none"), max_length=None)
    assert found.changed_by_template == 2
    below = pairs_table(row("q", "\nThe Rhine.", "The Po."))  # its newline is the header's, too
    assert prepare(below, gemma, Truncation(method="none"), max_length=None).changed_by_template == 1
    ids = [pair["chosen_ids"] for pair in found.pairs.to_pylist()]
    assert gemma.kept_texts([" The Rhine."], _ragged(ids[:1]), [len(ids[0])]) == ["The Rhine."]


def test_the_day_is_an_argument_and_not_the_clock(monkeypatch):
    from datetime import date

    tokenizer = family("chatml with a date").tokenizer()
    first, second = (ChatTokens(tokenizer, today=date(2024, 1, day)) for day in (1, 2))
    [text] = first.template.prompts([ASKED])
    assert "Today is 01 January 2024." in text
    assert first.sha256 != second.sha256
    assert chat().template.asked_for_the_date is False
    assert first.template.asked_for_the_date


def test_a_text_that_begins_with_a_newline_is_refused_where_it_becomes_one_token_with_the_header():
    qwen = family("chatml, Qwen's splitting").chat()
    error = error_of(qwen, "\nthe cat")
    assert "its beginning and the end of the prompt are one token: the prompt alone ends in" in error
    assert error.index("'Ċ']") < error.index("'ĊĊ'")


def test_a_template_that_opens_a_thinking_block_takes_reasoning_and_refuses_a_plain_text():
    think = family("nemotron_3_nano").chat()
    assert "ends the prompt with" in error_of(think, "the cat")
    assert "".join(tokens_of(think, answer("the", {"reasoning_content": "one"}))) == "oneĊ</think>Ċthe<|im_end|>"
    off = family("nemotron_3_nano, enable_thinking: false").chat()
    assert tokens_of(off, "the")[-1] == "<|im_end|>"


def test_a_template_that_drops_the_reasoning_of_a_text_says_so():
    forgetful = TEMPLATE.replace("m['content'] +", "m['content'].split('</think>')[-1] +")
    error = error_of(ChatTokens(tiny_tokenizer(template=forgetful)), "<think>one two</think>the cat")
    assert "leaves out a part of the text '<think>one two</think>the cat': it ends with" in error


def test_reasoning_goes_into_the_text_only_where_the_recipe_says_so():
    turn = answer("the cat", {"reasoning_content": "one two"})
    assert "does not write its reasoning_content" in error_of(chat(), turn)
    inline = ChatTokens(tiny_tokenizer(), reasoning="inline")
    prompts = encode_prompts(inline, [ASKED])
    ids = encode_responses(inline, prompts, [turn], np.array([True]), "chosen").ids.row(0)
    assert inline.response_text(ids) == "<think>\none two\n</think>\n\nthe cat"


def test_what_a_template_does_not_write_is_named():
    tools = ASKED._replace(tools=TOOLS)
    assert "does not write `tools`" in error_of(chat(), "the cat", asked=tools)
    assert "does not write its tool_calls" in error_of(chat(), answer("the cat", {"tool_calls": [TIDE]}))
    called = Asked([*ASKED.turns, answer("one", {"tool_calls": [TIDE]}), {"role": "user", "content": "two"}])
    assert "the tool_calls of turn 1 of the prompt" in error_of(chat(), "the cat", asked=called)
    kwargs = ASKED._replace(kwargs={"enable_thinking": False})
    assert "knows no 'enable_thinking'" in error_of(chat(), "the cat", asked=kwargs)


def test_a_template_that_leaves_out_a_turn_is_found():
    deaf = "{% for m in messages if m['role'] != 'system' %}" + TEMPLATE.partition("{% for m in messages %}")[2]
    tokens = ChatTokens(tiny_tokenizer(template=deaf))
    system = Asked([{"role": "system", "content": "be kind"}, *ASKED.turns])
    assert "leaves out turn 0 of the prompt, of the role system: 'be kind'" in error_of(tokens, "the cat", asked=system)


def test_a_row_cannot_choose_its_own_template():
    rows = ASKED._replace(kwargs={"chat_template": "{{ 'all yours' }}"})
    assert "chat_template_kwargs may not set chat_template" in error_of(chat(), "the cat", asked=rows)


def test_a_rows_own_arguments_reach_its_template_and_no_other_row():
    qwen = family("qwen3, Qwen's splitting").chat()
    off = ASKED._replace(kwargs={"enable_thinking": False})
    prompts = encode_prompts(qwen, [ASKED, off])
    last = [qwen.tokens(prompts.ids.row(at))[-1] for at in (0, 1)]
    assert last == ["Ċ", "ĊĊ"]
    assert tokens_of(qwen, "the", asked=off)[0] != "<think>"


def test_arguments_of_a_call_go_over_as_text_where_the_template_pastes_them():
    pasting = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] }}{% if m['content'] %}{{ m['content'] }}{% endif %}"
        "{% for c in m['tool_calls'] or [] %}{{ c['function']['name'] + c['function']['arguments'] }}{% endfor %}"
        "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}"
    )
    tokens = ChatTokens(tiny_tokenizer(template=pasting))
    found = tokens_of(tokens, answer("", {"tool_calls": [TIDE], "content": None}))
    assert "".join(found).replace("Ġ", " ") == 'get_tide{"port": "Brest"}<|im_end|>'


def test_a_character_that_the_vocabulary_does_not_know_costs_its_row():
    unigram = family("chatml, Unigram").chat()
    assert "no token for" in error_of(unigram, "the cat 🚀")


def test_a_response_that_the_template_leaves_without_an_end_is_refused():
    moody = TEMPLATE.replace("+ '<|im_end|>' +", "+ ('' if 'sat' in m['content'] else '<|im_end|>') +")
    tokens = ChatTokens(tiny_tokenizer(template=moody))
    assert "ends it with no end-of-turn (<|im_end|>)" in error_of(tokens, "the cat sat")


def test_structure_of_a_row_is_what_its_template_gets():
    structure = {
        "tools": TOOLS,
        "chat_template_kwargs": {"a": 1},
        "prompt": {"1": {"tool_calls": [TIDE], "content": None}},
        "chosen": {"reasoning_content": "why"},
    }
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": ""}, {"role": "user", "content": "r"}]
    table = pairs_table(row(turns, "yes", "no", structure=json.dumps(structure)), row("p", "a", "b"))
    first, second = asked_of(table)
    assert first.turns[1] == {"role": "assistant", "content": None, "tool_calls": [TIDE]}
    assert (first.tools, first.kwargs, first.plain) == (TOOLS, {"a": 1}, False)
    assert second.plain
    assert answers_of(table, "chosen") == [answer("yes", {"reasoning_content": "why"}), answer("a")]
    assert answers_of(table, "rejected") == [answer("no"), answer("b")]


def test_ids_that_a_row_brought_along_are_taken_as_they_are():
    tokens = chat()
    cat = tokens.encode(["the cat"]).row(0).tolist()
    spelled = [token for letter in "the cat" for token in tokens.encode([letter]).row(0).tolist()]
    assert spelled != cat
    given = row("q", "the cat", "the dog", given_chosen_ids=[*spelled, tokens.eot_id])
    [found] = prepare(pairs_table(given), tokens, Truncation(method="none"), max_length=None).pairs.to_pylist()
    assert found["chosen_ids"] == [*spelled, tokens.eot_id]
    assert found["rejected_ids"] == [*tokens.encode(["the dog"]).row(0).tolist(), tokens.eot_id]


def test_ids_without_an_end_of_turn_are_of_an_unfinished_response():
    tokens = chat()
    cat = tokens.encode(["the cat"]).row(0).tolist()
    given = row("q", "the cat", "the dog", given_chosen_ids=cat)
    [found] = prepare(pairs_table(given), tokens, Truncation(method="none"), max_length=None).pairs.to_pylist()
    assert (found["chosen_ids"], found["chosen_finished"], found["chosen_cut"]) == (cat, False, True)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"given_chosen_ids": [1, 2]}, "chosen_ids say"),
        ({"given_chosen_ids": []}, "holds no token"),
        ({"given_rejected_ids": [10**6]}, "are they another model's?"),
        ({"given_prompt_ids": [5, 6]}, "prompt_ids say"),
    ],
)
def test_ids_that_do_not_say_the_text_cost_their_row(fields, says):
    pairs = pairs_table(row("q", "the cat", "the dog", **fields))
    [bad] = prepare(pairs, chat(), Truncation(), max_length=None).quarantined
    assert says in bad.error


@pytest.mark.parametrize(
    ("part", "ids", "found"),
    [
        ("chosen", ["the", "Ġcat", "<|im_end|>", "<|endoftext|>"], "['<|im_end|>', '<|endoftext|>']"),
        ("chosen", ["the", "Ġcat", "<|im_end|>", "<|im_end|>"], "['<|im_end|>']"),
        ("chosen", ["<|endoftext|>", "the", "Ġcat", "<|im_end|>"], "['<|endoftext|>']"),
        ("prompt", [*"<|im_start|>userĊq<|im_end|>Ċ<|im_start|>assistantĊ"], "[]"),
    ],
    ids=["padded behind", "padded with the end-of-turn", "padded before", "marks in letters"],
)
def test_given_ids_with_padding_or_without_the_templates_special_tokens_cost_their_row(part, ids, found):
    tokens = chat()
    given = [tokens._backend.token_to_id(token) for token in ids]
    pairs = pairs_table(row("q", "the cat", "the dog", **{f"given_{part}_ids": given}))
    [bad] = prepare(pairs, tokens, Truncation(), max_length=None).quarantined
    assert f"{part}_ids hold the special tokens {found} where the conversation has " in bad.error


def test_ids_that_end_are_not_of_a_response_that_is_said_to_be_unfinished():
    tokens = chat()
    ids = [*tokens.encode(["the cat"]).row(0).tolist(), tokens.eot_id]
    pairs = pairs_table(row("q", "the cat", "the dog", given_chosen_ids=ids, chosen_finished=False))
    [bad] = prepare(pairs, tokens, Truncation(), max_length=None).quarantined
    assert "said to be unfinished" in bad.error


def _ragged(rows):
    from transforms.tables.ragged import Ragged

    return Ragged.of([np.array(one, np.int32) for one in rows])


@pytest.mark.parametrize(
    "behind", ["{{ '<|im_end|>' }}", "{{ '<|im_start|>system\nThat was all.<|im_end|>\n' }}"], ids=["end", "turn"]
)
@pytest.mark.parametrize(("finished", "last"), [(True, ["<|im_end|>"]), (False, [])])
def test_a_response_ends_at_its_own_end_of_turn_whatever_the_template_writes_behind_it(behind, finished, last):
    template = f"{TEMPLATE}{{% if not add_generation_prompt %}}{behind}{{% endif %}}"
    tokens = ChatTokens(tiny_tokenizer(template))
    found = tokens_of(tokens, "the cat", finished=finished)
    assert found == tokens.tokens(tokens.encode(["the cat"]).row(0)) + last


@pytest.mark.parametrize("name", ["llama3_1", "llama3_2", "muse_glimmer"])
def test_a_text_beside_calls_that_the_template_leaves_out_is_missed_also_where_the_call_has_its_words(name):
    tokens = family(name).chat()
    asked = ASKED._replace(tools=TOOLS)
    called = answer("tide", {"tool_calls": [TIDE]})
    assert "leaves out the text 'tide'" in error_of(tokens, called, asked=asked)
    later = asked._replace(turns=[*asked.turns, called, {"role": "tool", "content": "high"}])
    assert "leaves out turn 1 of the prompt, of the role assistant: 'tide'" in error_of(tokens, "x", asked=later)


@pytest.mark.parametrize("name", ["gptoss", "lfm2_2_5", "qwen3, Qwen's splitting"])
def test_a_response_that_was_cut_before_it_thought_anything_says_nothing(name):
    error = error_of(family(name).chat(), "<think>\n", finished=False)
    assert error == "the chosen response: it was cut within reasoning that says nothing"


def test_reasoning_that_the_template_writes_otherwise_has_no_place_where_it_was_cut():
    template = TEMPLATE.replace(
        "m['content']",
        "('<think>' + m.reasoning_content.split() | join(' ') + '</think>' if m.reasoning_content else '')"
        " + m['content']",
    )
    tokens = ChatTokens(tiny_tokenizer(template))
    thought = answer("", {"reasoning_content": "the\ncat"})
    error = error_of(tokens, thought, finished=False)
    assert error == "the chosen response: it was cut within reasoning that the template changes"


def test_a_special_token_in_a_rows_own_arguments_of_the_template_costs_the_row():
    tokens = ChatTokens(tiny_tokenizer(f"{{{{ persona }}}}{TEMPLATE}"))
    asked = ASKED._replace(kwargs={"persona": "the dog<|im_end|>"})
    assert "the prompt spells out the special token <|im_end|>" in error_of(tokens, "the cat", asked=asked)
    assert tokens_of(tokens, "the cat", asked=ASKED._replace(kwargs={"persona": "the dog"}))[-1] == "<|im_end|>"


def test_a_response_whose_end_of_turn_became_a_part_of_its_text_is_not_taken_for_a_finished_one():
    """An added token that stands for a single word is none behind a letter."""
    made = tiny_tokenizer(TEMPLATE.replace("<|im_end|>", "<END>"))
    made.add_tokens([AddedToken("<END>", special=True, single_word=True)], special_tokens=True)
    tokens = ChatTokens(made)
    assert tokens_of(tokens, "the cat.")[-1] == "<END>"
    assert "takes the end-of-turn behind it (<END>) for a part of its text" in error_of(tokens, "the 莱")


def test_a_header_that_the_template_writes_behind_every_conversation_ends_no_response():
    llama = ChatTokens(tiny_tokenizer(always_a_header("'<|im_end|>'")))
    assert llama.stops == ("<|im_end|>",)
    assert tokens_of(llama, "the cat") == ["the", "Ġcat", "<|im_end|>"]
    with pytest.raises(ModelError, match=r"puts '<\|im_start\|>assistant' after an assistant turn: the beginning of"):
        ChatTokens(tiny_tokenizer(always_a_header("''")))


def test_a_text_that_begins_as_a_thinking_block_does_has_no_tokens_of_the_template_in_it():
    llama = family("llama2").chat()
    assert llama.opens_ids == ()
    assert tokens_of(llama, "<") == ["▁<", "▁", "</s>"]
    pairs = pairs_table(row("q", "<b> is bold.", "The Rhine."))
    [found] = prepare(pairs, llama, Truncation(method="none"), max_length=None).pairs.to_pylist()
    assert found["lead_tokens"] == 0


def test_a_template_that_wants_ids_of_nine_characters_has_its_tool_call_tried():
    calling = (
        "{% for c in m['tool_calls'] or [] %}{% if c.id | length != 9 %}{{ raise_exception('nine') }}{% endif %}"
        "{{ c.function.name }}{% endfor %}{{ '<|im_end|>"
    )
    template = "{% if tools %}{{ tools }}{% endif %}" + TEMPLATE.replace(" + '<|im_end|>", " }}" + calling)
    tried = {one.name: one for one in try_all(ChatTokens(tiny_tokenizer(template)))}
    assert tried["tool call"].exact, tried["tool call"].why


@pytest.mark.parametrize("name", ["gptoss", "qwen3_vl"])
def test_a_call_without_content_is_an_empty_one_where_the_template_reads_it(name):
    tokens = family(name).chat()
    result = {"role": "tool", "content": "high"}
    asked = [
        Asked([*ASKED.turns, answer(said, {"tool_calls": [TIDE], "content": said}), result], TOOLS)
        for said in ("", None)
    ]
    prompts = encode_prompts(tokens, asked)
    assert prompts.errors == {}
    assert prompts.texts[0] == prompts.texts[1]
    with pytest.raises(TypeError):
        tokens.template._render(list(asked[1].turns), generation=True, tools=TOOLS)


def always_a_header(end: str) -> str:
    """As in Llama 3's first template (and GLM Edge's, which has no end)."""
    turns = f"{{% for m in messages %}}{{{{ '<|im_start|>' + m['role'] + m['content'] + {end} }}}}{{% endfor %}}"
    return turns + "{{ '<|im_start|>assistant' }}"
