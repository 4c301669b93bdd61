"""What policies are asked to answer prompts, and what they said: requests, then rows of schema.ANSWERS."""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.asking.requests import completion_id, request_seed
from transforms.chat.conversation import Asked, Turn, answer, asked_of
from transforms.chat.encoding import Errors, Prompts, encode_prompts, encode_responses, take_given
from transforms.chat.tokens import ChatTokens
from transforms.chat.turn import REASONING_FIELDS, Said
from transforms.choices import Thinking
from transforms.engines.protocol import CompletionRequest, ModelIdentity, Sampling
from transforms.tables.ragged import Ragged
from transforms.tables.schema import ANSWERS, PROMPTS, AnswerStatus

SIDE: Final = "answer"  # in seeds, where pairs have chosen and rejected
NO_ANSWER: Final = "it ended within its reasoning"
NUL: Final = "it holds a NUL character, which no curation takes"
EMPTY: Final = "it ended at once, without a text"
_INLINE: Final = re.compile(r"\A\s*<think>(?P<thought>.*?)</think>\s*", re.DOTALL)
_OPEN: Final = re.compile(r"\A\s*<think>")


class Voice(NamedTuple):
    """A policy and how it answers."""

    label: str
    chat: ChatTokens
    identity: ModelIdentity
    sampling: Sampling
    n: int  # responses a prompt
    max_new_tokens: int
    context: int | None  # positions of the policy, None for no limit
    system_prompt: str | None = None  # for prompts without a system turn
    thinking: Thinking = "keep"


class AnswerRequest(NamedTuple):
    """One response to sample: of which row of the prompts, and the request itself."""

    row: int
    request: CompletionRequest


def encode_for(voice: Voice, prompts: pa.Table) -> Prompts:
    """The prompts (schema.PROMPTS) in a policy's tokens; those that leave no room for an answer have an error."""
    found = encode_prompts(voice.chat, [_with_system(one, voice.system_prompt) for one in asked_of(prompts)])
    if voice.context is not None:
        for row in np.flatnonzero(found.ids.lengths >= voice.context).tolist():
            found.errors.setdefault(
                row,
                f"the prompt has {found.ids.lengths[row]} tokens and the policy reads {voice.context}: no room for one "
                "token of a response; shorten it, or use a model with a longer context",
            )
    return found


def answer_requests(voice: Voice, prompts: pa.Table, encoded: Prompts, *, seed: int) -> Iterator[AnswerRequest]:
    """The requests behind all responses, prompt by prompt.

    Args:
        voice: who is to answer.
        prompts: schema.PROMPTS, without one that has an error.
        encoded: the same in the policy's tokens.
        seed: of the run. A prompt's own come from it, its id and the policy's name, and from no row's place.
    """
    prompt_ids = prompts["prompt_id"].to_pylist()
    for row, prompt_id in enumerate(prompt_ids):
        token_ids = encoded.ids.row(row)
        room = (
            voice.max_new_tokens if voice.context is None else min(voice.max_new_tokens, voice.context - len(token_ids))
        )
        side = f"{SIDE}/{voice.label}"
        for sample in range(voice.n):
            facts = {
                "seed": request_seed(seed, prompt_id, side, 0, sample),
                "sample_index": sample,
                "max_tokens": room,
            }
            key = completion_id(voice.identity, voice.sampling, token_ids, facts)
            yield AnswerRequest(row, CompletionRequest(key, token_ids.tolist(), **facts))


def read_answers(
    voice: Voice,
    prompts: pa.Table,
    encoded: Prompts,
    requests: Sequence[AnswerRequest],
    completions: Mapping[str, tuple[Sequence[int], str]],
    *,
    first_index: int,
    refused: Mapping[str, str] = MappingProxyType({}),
) -> pa.Table:
    """What a policy said, one row a response (schema.ANSWERS), in the order of the requests.

    A text is held against its tokens as a curation will: a response that spells out a special token, that breaks off
    in a character that no text has, or that holds a NUL is `unusable` and says why.

    Args:
        voice: who answered.
        prompts: schema.PROMPTS.
        encoded: the same in the policy's tokens.
        requests: what was asked.
        completions: request id → token ids and finish reason.
        first_index: response_index of each prompt's first response.
        refused: request id → why it has no answer; the response is empty and `unusable`.
    """
    rows = np.array([one.row for one in requests], np.int64)
    ids = [one.request.request_id for one in requests]
    nothing: tuple[Sequence[int], str] = ([], "length")
    said = [nothing if key in refused else completions[key] for key in ids]
    sampled = [np.asarray(tokens, np.int32) for tokens, _ in said]
    finished = np.array([reason == "stop" for _, reason in said], bool)
    parts = [_parts(voice.chat.said(ids), voice.thinking) for ids in sampled]
    asked = _rows_of(encoded, rows)
    errors = _held_against_tokens(voice, asked, parts, sampled, finished)
    states: list[tuple[AnswerStatus, str | None]] = [
        ("unusable", refused[ids[row]]) if ids[row] in refused else _status(part, errors.get(row))
        for row, part in enumerate(parts)
    ]
    taken = prompts.take(pa.array(rows))
    columns: dict[str, Any] = {name: taken[name].combine_chunks() for name in PROMPTS.names}
    samples = [one.request.sample_index for one in requests]
    columns |= {
        "response_index": [first_index + sample for sample in samples],
        "policy": [voice.label] * len(requests),
        "sample_index": samples,
        "seed": [one.request.seed for one in requests],
        "prompt_ids": asked.ids.to_arrow(),
        "response_ids": Ragged.of(sampled).to_arrow(),
        "response": [part.text for part in parts],
        "reasoning": [part.reasoning for part in parts],
        "finished": finished,
        "status": [status for status, _ in states],
        "why": [why for _, why in states],
    }
    arrays = [
        value if isinstance(value, pa.Array) else pa.array(value, ANSWERS.field(name).type)
        for name, value in ((name, columns[name]) for name in ANSWERS.names)
    ]
    return pa.table(arrays, schema=ANSWERS)


def shown(text: str, reasoning: str | None, thinking: Thinking) -> Turn:
    """A response as annotators are to read it."""
    if thinking == "keep":
        return said_turn(text, reasoning)
    return answer(_INLINE.sub("", text, count=1))


def said_turn(text: str, reasoning: str | None) -> Turn:
    """A response as the turn that it is, its reasoning where chat templates look for it."""
    return answer(text, {REASONING_FIELDS[0]: reasoning} if reasoning else None)


def _with_system(asked: Asked, system_prompt: str | None) -> Asked:
    if system_prompt is None or asked.turns[0]["role"] == "system":
        return asked
    return asked._replace(turns=[{"role": "system", "content": system_prompt}, *asked.turns])


def _parts(said: Said, thinking: Thinking) -> Said:
    """Text and reasoning as the recipe wants them; a text may hold reasoning between <think> and </think>."""
    if said.reasoning is None and thinking != "keep" and _OPEN.match(said.text):
        inline = _INLINE.match(said.text)
        if inline is None:
            return Said("", _OPEN.sub("", said.text), closed=False)
        if thinking == "cut":
            return Said(said.text[inline.end() :], inline["thought"].strip())
        answered = bool(said.text[inline.end() :].strip())
        return said if answered else Said("", inline["thought"].strip())
    return said


def _rows_of(prompts: Prompts, rows: Any) -> Prompts:
    places = rows.tolist()
    return Prompts(
        [prompts.asked[row] for row in places],
        [prompts.texts[row] for row in places],
        prompts.ids.take(rows),
        [prompts.anchors[row] for row in places],
        prompts.heads.take(rows),
        {},
    )


def _held_against_tokens(
    voice: Voice, asked: Prompts, parts: Sequence[Said], sampled: Sequence[Any], finished: Any
) -> Errors:
    good = [row for row, part in enumerate(parts) if part.closed and part.text.strip()]
    if not good:
        return {}
    of = _rows_of(asked, np.array(good, np.int64))
    kept = voice.thinking != "cut"
    turns = [said_turn(parts[row].text, parts[row].reasoning if kept else None) for row in good]
    encoded = encode_responses(voice.chat, of, turns, finished[good], "sampled")
    # Reasoning that was cut out is in the tokens and not in the text.
    given = [sampled[row].tolist() if kept or not parts[row].reasoning else None for row in good]
    errors = {at: NUL for at, row in enumerate(good) if "\0" in parts[row].text + (parts[row].reasoning or "")}
    errors |= encoded.errors
    take_given(voice.chat, encoded.ids, given, "the sampled tokens", errors)
    return {good[row]: error for row, error in errors.items()}


def _status(part: Said, error: str | None) -> tuple[AnswerStatus, str | None]:
    if not part.closed:
        return "no_answer", NO_ANSWER
    if not part.text.strip():
        return ("no_answer", NO_ANSWER) if part.reasoning else ("empty", EMPTY)
    return ("unusable", error) if error else ("usable", None)
