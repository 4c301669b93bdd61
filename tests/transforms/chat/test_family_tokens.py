"""Every family's template and vocabulary: the family's own tokens, or a reason; never something else."""

import re
import unicodedata

import numpy as np
import pytest
from families import Family, families
from families_page import PAGE, page
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.chat.conversation import Asked
from transforms.chat.encoding import encode_prompts, encode_responses
from transforms.chat.probes import PLAIN, PROBES
from transforms.chat.tokens import ChatTokens
from transforms.errors import ModelError

FAMILIES = list(families())
pytestmark = pytest.mark.slow


def usable(family: Family) -> ChatTokens | None:
    """None for a family whose template is refused as it stands."""
    try:
        return family.chat()
    except ModelError:
        return None


def own_tokens(family: Family, chat: ChatTokens, turns: list[dict], *, generation: bool, **more) -> list[int]:
    """What transformers gives for the conversation, without anything of this project."""
    if chat.template.parts:
        turns = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
    day = {"strftime_now": lambda form: chat.template.today.strftime(form)}
    return family.tokenizer().apply_chat_template(
        turns, add_generation_prompt=generation, tokenize=True, return_dict=False, **family.kwargs, **day, **more
    )


def test_the_page_of_families_is_what_the_probes_find():
    assert PAGE.read_text(encoding="utf-8") == page()


def test_there_are_as_many_families_as_promised():
    assert len({family.template for family in FAMILIES}) >= 30
    assert len({family.build for family in FAMILIES}) >= 8


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_a_probe_calls_exact_are_transformers_own_tokens(family):
    chat = usable(family)
    if chat is None:
        lines = PAGE.read_text(encoding="utf-8").splitlines()
        [line] = [line for line in lines if line.startswith(f"| {family.name} |")]
        assert "**refused**" in line
        return
    for one in family.probed():
        if not one.exact:
            continue
        probe = PROBES[one.name]
        prompts = encode_prompts(chat, [probe.asked])
        found = encode_responses(chat, prompts, [probe.answer], np.array([True]), "chosen")
        tools = {"tools": list(probe.asked.tools)} if probe.asked.tools else {}
        turns = list(probe.asked.turns)
        whole = own_tokens(family, chat, [*turns, found.turns[0]], generation=False, **tools)
        ours = [*prompts.ids.row(0).tolist(), *found.ids.row(0).tolist()]
        assert prompts.ids.row(0).tolist() == own_tokens(family, chat, turns, generation=True, **tools), one.name
        assert ours == whole[: len(ours)], one.name
        assert ours[-1] in chat.stop_ids
        assert not set(whole[len(ours) :]) & set(chat.stop_ids), "the end-of-turn is the last one"


WORDS = st.sampled_from(
    ["the", "The", " Rhine", "  ", "\n", "\n\n", "1", "42", ".", "```", "é", "é", "莱茵", "👩‍🚀", "▁", "<", "x"]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map("".join).filter(lambda text: not text.isspace())
EARLIER = st.lists(st.tuples(TEXTS, TEXTS), max_size=2)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    system=st.none() | TEXTS,
    earlier=EARLIER,
    question=TEXTS,
    thought=st.none() | TEXTS,
    said=TEXTS,
    finished=st.booleans(),
    data=st.data(),
)
def test_random_conversations_are_the_familys_own_tokens_and_decode_to_their_text(
    family, system, earlier, question, thought, said, finished, data
):
    chat = usable(family)
    if chat is None:
        return
    turns = [{"role": "system", "content": system}] if system else []
    for asked, answered in earlier:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    turns.append({"role": "user", "content": question})
    answer = {"role": "assistant", "content": said} | ({"reasoning_content": thought} if thought else {})
    prompts = encode_prompts(chat, [Asked(turns)])
    found = encode_responses(chat, prompts, [answer], np.array([finished]), "chosen")
    if prompts.errors or found.errors:
        assert (prompts.errors or found.errors)[0]
        return
    prompt, response = prompts.ids.row(0).tolist(), found.ids.row(0).tolist()
    assert prompt == own_tokens(family, chat, turns, generation=True)
    if finished:
        whole = own_tokens(family, chat, [*turns, *found.turns], generation=False)
        assert prompt + response == whole[: len(prompt) + len(response)]
        assert response[-1] in chat.stop_ids
    else:
        assert not set(response) & set(chat.stop_ids)
    text = chat.response_text(found.ids.row(0))
    spoken = chat.said(found.ids.row(0))
    assert squeezed(spoken.text) == squeezed(said)
    assert squeezed(spoken.reasoning or "") == squeezed(thought or "")
    assert thought or squeezed(text) == squeezed(said)
    keep = data.draw(st.integers(0, len(response)))
    [kept] = chat.kept_texts([said], found.ids, [keep])
    assert text.startswith(kept) or (said.startswith(kept) and not thought and not found.changed[0])


def squeezed(text: str) -> str:
    # SentencePiece writes a space as ▁, so a ▁ of the text comes back as one.
    return re.sub(r"[\s▁]+", "", unicodedata.normalize("NFC", text))


def test_plain_responses_can_be_had_from_nearly_all_of_them():
    refused = [
        family.name
        for family in FAMILIES
        if usable(family) is None or not next(one for one in family.probed() if one.name == PLAIN).exact
    ]
    known = r"deepseek|glm4moe|solar|nemotron|qwen3_[568]|vicuna, gen|glm edge|minimax|saiga"
    assert all(re.match(known, name) for name in refused)
    assert len(refused) == 25
