"""Marks in texts that are no words: those of a chat template that leaked into the data, and places of pictures.

Foreign templates are counted whatever the policy's tokenizer is: a text with `<|eot_id|>` or `[INST]` is one that some
pipeline wrote out and did not take apart again, and whatever model reads it learns to write the mark. (Marks that are
special tokens of the policy's own tokenizer cannot be encoded as text at all and are quarantined when it reads them.)

Placeholders of pictures, sounds and films say that the row means something that is not there. Only well-known ones
count; of those that are words of HTML too (`<image>`, `<audio>`, `<video>`) only such as are not written as markup or
spoken about: no closing tag in the same text, not in code, not followed by "tag" or "element".
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import polars as pl

from transforms.sources.canonical import Pair

Side = Literal["prompt", "chosen", "rejected"]
SIDES: Final[tuple[Side, ...]] = ("prompt", "chosen", "rejected")

# Family → what its templates write and people do not. A mark of several families stands with the one that is named
# first, and the name says so where it matters.
FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "ChatML (Qwen, SmolLM, Yi, Nemotron)": ("<|im_start|>", "<|im_end|>", "<|im_sep|>"),
    "Llama 3": (
        "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",
        "<|python_tag|>",
    ),
    "Llama 4": ("<|header_start|>", "<|header_end|>", "<|eot|>", "<|eom|>"),
    "Llama 2 and Mistral": (
        "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
    ),
    "SentencePiece (Llama 2, Mistral, Zephyr, Vicuna)": ("<s>", "</s>"),
    "Gemma": ("<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>"),
    "Gemma 4": ("<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|tool>", "<tool|>"),
    "Zephyr, Phi and GLM": ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<|observation|>"),
    "gpt-oss": ("<|start|>", "<|channel|>", "<|message|>", "<|return|>", "<|call|>", "<|constrain|>"),
    "GPT (also Qwen, Phi, OLMo)": ("<|endoftext|>", "<|endofprompt|>"),
    "DeepSeek": (
        "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>",
        "<｜tool▁outputs▁begin｜>",
        "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>", "<|EOT|>",
    ),
    "OpenChat": ("<|end_of_turn|>", "GPT4 Correct User:", "GPT4 Correct Assistant:"),
    "Command": (
        "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>",
        "<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_THINKING|>", "<|END_THINKING|>",
    ),
    "Granite": ("<|start_of_role|>", "<|end_of_role|>"),
    "GLM": ("[gMASK]", "<sop>"),
    "EXAONE": ("[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"),
    "LFM2": ("<|tool_list_start|>", "<|tool_call_start|>", "<|tool_response_start|>"),
    "Idefics and SmolVLM": ("<end_of_utterance>",),
    "InternLM": ("<|User|>", "<|Bot|>", "<eoh>", "<eoa>"),
    "Nemotron 4": ("<extra_id_0>", "<extra_id_1>"),
    "Kimi": ("<|im_user|>", "<|im_assistant|>", "<|im_middle|>"),
    "Human/Assistant transcript": ("\n\nHuman:", "\n\nAssistant:"),
    "Alpaca": ("### Instruction:", "### Response:"),
    "SOLAR and Guanaco": ("### User:\n", "### Human:", "### Assistant:"),
    "Vicuna": ("USER:", "ASSISTANT:"),
}  # fmt: skip
# Families whose marks are words that people write, too: the text must have both.
_BOTH: Final = ("Alpaca", "Vicuna")
_SENTENCEPIECE: Final = "SentencePiece (Llama 2, Mistral, Zephyr, Vicuna)"

PLACEHOLDERS: Final = (
    "<|image|>", "<|audio|>", "<|video|>", "<|image_pad|>", "<|video_pad|>", "<|audio_pad|>", "<|vision_start|>",
    "<start_of_image>", "<image_soft_token>", "<audio_soft_token>", "<IMG_CONTEXT>", "<|AUDIO|>", "<|IMAGE|>",
    "<|begin_of_image|>", "<|begin_of_audio|>", "<|begin_of_video|>", "<|media_pad|>", "<image_placeholder>",
    "<ImageHere>",
)  # fmt: skip
_NUMBERED: Final = r"<\|(?:image|audio)_\d+\|>|<(?:image|audio|video)[ _]\d+>"
_WORDS: Final = r"<(?:image|audio|video)>"
_SPOKEN_OF: Final = re.compile(
    r"[ \t]*(?:`|'|\")?[ \t]*(?:tag|element|node|field|placeholder|token)s?\b", re.IGNORECASE
)

_FAMILY_OF: Final = {mark: family for family, marks in FAMILIES.items() for mark in marks}
_MARKS: Final = re.compile("|".join(map(re.escape, sorted(_FAMILY_OF, key=len, reverse=True))))
_PLACEHOLDER: Final = re.compile("|".join((*map(re.escape, PLACEHOLDERS), _NUMBERED, _WORDS)))
# Of a whole batch at once, by Rust's regex: 0.3 µs a text of 1,000 characters, where Python's `re` takes 6.
_ANY: Final = "|".join((*(pl.escape_regex(mark) for mark in (*_FAMILY_OF, *PLACEHOLDERS)), _NUMBERED, _WORDS))

SHOWN_CHARS: Final = 30  # on each side of a mark in an example
MOST_EXAMPLES: Final = 3


class Leak(NamedTuple):
    """Marks of one family in one part of a pair."""

    family: str
    side: Side
    marks: tuple[str, ...]
    example: str  # the text around the first


class Found(NamedTuple):
    """What the texts of one pair hold that is no text."""

    placeholder: str | None  # what it is and where; None for a pair of text
    leaks: list[Leak]


def find_marks(pairs: Sequence[Pair]) -> dict[int, Found]:
    """Place of a pair → what was found in it, for the few that hold anything."""
    count = len(pairs)
    texts = [pair.chosen for pair in pairs]
    texts += [pair.rejected for pair in pairs]
    texts += [pair.prompt[-1].content for pair in pairs]
    # Further turns and fields are rarer, and so have their places written down.
    places: list[tuple[int, Side]] = []
    for at, pair in enumerate(pairs):
        if len(pair.prompt) > 1 or pair.chosen_more or pair.rejected_more or pair.prompt[-1].more or pair.tools:
            for side, text in _further_texts(pair):
                places.append((at, side))
                texts.append(text)
    sides: tuple[Side, Side, Side] = ("chosen", "rejected", "prompt")
    found: dict[int, Found] = {}
    for hit in pl.Series(texts, dtype=pl.String).str.contains(_ANY).arg_true().to_list():
        at, side = (hit % count, sides[hit // count]) if hit < len(sides) * count else places[hit - len(sides) * count]
        before = found.setdefault(at, Found(None, []))
        placeholder = before.placeholder or placeholder_in(texts[hit], side)
        found[at] = Found(placeholder, before.leaks + leaks_in(texts[hit], side))
    return {at: one for at, one in found.items() if one.placeholder or one.leaks}


def leaks_in(text: str, side: Side) -> list[Leak]:
    """Families whose marks a text holds."""
    marks: dict[str, Counter[str]] = {}
    firsts: dict[str, int] = {}
    for match in _MARKS.finditer(text):
        family = _FAMILY_OF[match[0]]
        marks.setdefault(family, Counter())[match[0]] += 1
        firsts.setdefault(family, match.start())
    for family in _BOTH:
        if family in marks and len(marks[family]) < len(FAMILIES[family]):
            del marks[family]
    if _SENTENCEPIECE in marks and _is_struck_out(text):
        del marks[_SENTENCEPIECE]
    return [
        Leak(family, side, tuple(mark.strip() for mark in counted), _around(text, firsts[family]))
        for family, counted in marks.items()
    ]


def placeholder_in(text: str, side: str) -> str | None:
    """The first place of a picture, a sound or a film in a text, in words; None where there is none."""
    for match in _PLACEHOLDER.finditer(text):
        mark = match[0]
        if re.fullmatch(_WORDS, mark):
            code = text.count("```", 0, match.start()) % 2 or text[match.start() - 1 : match.start()] == "`"
            if code or f"</{mark[1:]}" in text or _SPOKEN_OF.match(text, match.end()):
                continue
        return f"{side} holds {mark}, the place of something that is not text"
    return None


def _further_texts(pair: Pair) -> Iterator[tuple[Side, str]]:
    for turn in pair.prompt[:-1]:
        yield "prompt", turn.content
    for more in (*(turn.more for turn in pair.prompt), pair.tools):
        if more:
            yield "prompt", more
    if pair.chosen_more:
        yield "chosen", pair.chosen_more
    if pair.rejected_more:
        yield "rejected", pair.rejected_more


def _is_struck_out(text: str) -> bool:
    """Whether `<s>` and `</s>` are HTML for struck-out words: as many open as close, and not around the whole text."""
    return text.count("<s>") == text.count("</s>") and not text.lstrip().startswith("<s>")


def _around(text: str, place: int) -> str:
    start, end = max(0, place - SHOWN_CHARS), place + SHOWN_CHARS
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


class Leaks:
    """Counts over a source: family and side → pairs, marks and some examples."""

    def __init__(self) -> None:
        self._pairs: Counter[tuple[str, Side]] = Counter()
        self._marks: dict[tuple[str, Side], Counter[str]] = {}
        self._examples: dict[tuple[str, Side], list[tuple[str, str]]] = {}

    def add(self, pair_id: str, leaks: Iterable[Leak]) -> None:
        """Count a pair; each family and side once."""
        merged: dict[tuple[str, Side], tuple[set[str], str]] = {}
        for leak in leaks:
            merged.setdefault((leak.family, leak.side), (set(), leak.example))[0].update(leak.marks)
        for key, (marks, example) in merged.items():
            self._pairs[key] += 1
            self._marks.setdefault(key, Counter()).update(sorted(marks))
            examples = self._examples.setdefault(key, [])
            if len(examples) < MOST_EXAMPLES:
                examples.append((pair_id, example))

    def update(self, other: "Leaks") -> None:
        """Add what another count has."""
        for key, pairs in other._pairs.items():
            self._pairs[key] += pairs
            self._marks.setdefault(key, Counter()).update(other._marks[key])
            mine = self._examples.setdefault(key, [])
            mine += other._examples[key][: MOST_EXAMPLES - len(mine)]

    def rows(self) -> list[tuple[str, Side, int, dict[str, int], list[tuple[str, str]]]]:
        """(family, side, pairs, mark → pairs, (pair_id, text)), the most pairs first."""
        order = sorted(self._pairs, key=lambda key: (-self._pairs[key], key[0], SIDES.index(key[1])))
        return [(*key, self._pairs[key], dict(self._marks[key].most_common()), self._examples[key]) for key in order]
