"""Marks of templates and places of pictures in texts: found where they are, and not where people speak of them."""

import time

import pytest
from sources_support import QUESTION

from transforms.sources.canonical import Message, Pair
from transforms.sources.marks import FAMILIES, PLACEHOLDERS, Leaks, find_marks, leaks_in, placeholder_in


def pair(chosen="Nile, Po.", rejected="Nile.", prompt=QUESTION, **more):
    return Pair("r", (Message("user", prompt),), chosen, rejected, **more)


def families(text):
    return [leak.family.split(" (")[0] for leak in leaks_in(text, "chosen")]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_mark_of_every_family_is_found_in_a_batch(family):
    # Vicuna's and Alpaca's marks are words that people write; only all of them together are a template.
    text = "so " + " ".join(FAMILIES[family]) if family in ("Alpaca", "Vicuna") else None
    for mark in FAMILIES[family]:
        found = find_marks([pair(), pair(rejected=text or f"so {mark} it is"), pair()])
        assert [(at, {leak.family for leak in one.leaks}) for at, one in found.items()] == [(1, {family})]


def test_a_pair_is_looked_through_in_all_of_its_parts():
    found = find_marks(
        [
            pair(prompt="[INST] q [/INST]", chosen="a<|eot_id|>", rejected="b</s>"),
            Pair("r", (Message("user", "q<|im_end|>"), Message("assistant", "x"), Message("user", "q")), "a", "b"),
            pair(chosen_more='{"reasoning_content":"<start_of_turn>"}', rejected_more='{"reasoning_content":"x"}'),
        ]
    )
    assert {at: {(leak.side, leak.family.split(" ")[0]) for leak in one.leaks} for at, one in found.items()} == {
        0: {("prompt", "Llama"), ("chosen", "Llama"), ("rejected", "SentencePiece")},
        1: {("prompt", "ChatML")},
        2: {("chosen", "Gemma")},
    }


@pytest.mark.parametrize(
    "text",
    [
        "Write <s>old</s> for struck-out words.",
        "Use a[INST] or <img> or 3 < 4 | 5 > 2, [/i], <|>",
        "### Instructions:\n1. Boil.",
        "### Response:\nOK",
        "USER: a role in the table",
        "The word Human: and Assistant: on one line",
        "a | b <| c |> d",
    ],
)
def test_what_people_write_is_no_mark(text):
    assert families(text.replace("[INST]", "[INSTALL]")) == []


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("Enjoy!</s> \nWhat else?", ["SentencePiece"]),
        ("<s>A cake.</s>", ["SentencePiece"]),
        ("USER: hi ASSISTANT: ho", ["Vicuna"]),
        ("### Instruction:\nq\n\n### Response:\na", ["Alpaca"]),
        ("a\n\nHuman: b", ["Human/Assistant transcript"]),
        ("<|im_start|>user\nq<|im_end|><|endoftext|>", ["ChatML", "GPT"]),
    ],
)
def test_leaked_templates_are_told_by_family(text, family):
    assert families(text) == family


def test_an_example_shows_the_text_around_the_first_mark():
    (leak,) = leaks_in("x" * 40 + "<|eot_id|>" + "y" * 40 + "<|eot_id|><|eom_id|>", "rejected")
    assert (leak.side, leak.marks, leak.example) == (
        "rejected", ("<|eot_id|>", "<|eom_id|>"), f"…{'x' * 30}<|eot_id|>{'y' * 20}…",
    )  # fmt: skip


def test_counts_are_of_pairs_and_examples_are_few():
    leaks, more = Leaks(), Leaks()
    for number in range(5):
        leaks.add(f"p{number}", leaks_in("a</s>", "chosen") + leaks_in("b</s></s>", "chosen"))
    more.add("q", leaks_in("<|eot_id|>", "prompt") + leaks_in("c</s>", "chosen"))
    leaks.update(more)
    first, second = leaks.rows()
    assert first[1:4] == ("chosen", 6, {"</s>": 6})
    assert [pair_id for pair_id, _ in first[4]] == ["p0", "p1", "p2"]
    assert second[1:] == ("prompt", 1, {"<|eot_id|>": 1}, [("q", "<|eot_id|>")])


@pytest.mark.parametrize(
    "text",
    [
        "<image>\nWhat is it?",
        "What is it? <image>",
        "Compare <image> with <image>.",
        "Who speaks in <audio>?",
        "<video>",
        "<|image_1|>\nWhat is it?",
        *PLACEHOLDERS,
    ],
)
def test_the_place_of_a_picture_makes_a_row_one_that_is_not_text(text):
    assert placeholder_in(text, "prompt").startswith("prompt holds <")
    (found,) = find_marks([pair(prompt=text)]).values()
    assert found.placeholder == placeholder_in(text, "prompt")


@pytest.mark.parametrize(
    "text",
    [
        "How do I use the <video> tag?",
        "An `<image>` in SVG",
        "Put <video>a.mp4</video> there",
        "```html\n<audio>\n```",
        "the <image> element",
        "the <image> tags",
        "<img src='x'>",
        "<videos>",
    ],
)
def test_html_that_is_spoken_about_is_text(text):
    assert placeholder_in(text, "chosen") is None
    assert find_marks([pair(chosen=text)]) == {}


def test_looking_through_a_batch_takes_microseconds_a_pair():
    pairs = [pair(chosen="word < word [x] " * 80, rejected="word | word " * 80, prompt="word " * 100)] * 2000
    find_marks(pairs[:10])
    start = time.process_time()
    assert find_marks(pairs) == {}
    # About 3 µs by itself; the bound is for a machine with other tenants. Python's `re` takes 60 over the same texts.
    assert (time.process_time() - start) / len(pairs) < 30e-6


def test_what_the_prompt_has_beside_its_texts_is_looked_through_too():
    call = '{"tool_calls":[{"type":"function","function":{"name":"f","arguments":{"x":"<|im_end|>"}}}]}'
    asked = (Message("user", "q"), Message("assistant", "", call), Message("tool", "r", '{"name":"<eos>"}'))
    found = find_marks([Pair("r", asked, "a", "b"), pair(tools='[{"description":"<|eot_id|>"}]')])
    assert [[(leak.side, leak.marks) for leak in found[at].leaks] for at in (0, 1)] == [
        [("prompt", ("<|im_end|>",)), ("prompt", ("<eos>",))],
        [("prompt", ("<|eot_id|>",))],
    ]


@pytest.mark.parametrize("text", ["<image 1> What?", "<image_2>", "<video_1>", "<image>\nElements of a logo?"])
def test_numbered_places_and_those_on_a_line_of_their_own_are_places(text):
    assert placeholder_in(text, "prompt").startswith("prompt holds <")
