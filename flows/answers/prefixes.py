"""What the beginnings of answers are worth, completed by one policy and scored by the judge (POET, figure 4)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from flows.annotators.protocol import Annotator, Group
from flows.answers.config import PrefixQualityConfig
from flows.answers.reading import AskedAnswer
from flows.generate.voices import FoundPolicy, find_policy
from flows.models.engine_calls import Pay, pay_for, rebatched
from flows.models.recipe_models import model_record
from flows.models.sampling import SamplingCalls
from flows.runtime.progress import Progress
from transforms.asking.readings import spoken
from transforms.asking.requests import completion_id, request_seed
from transforms.audit.curves import mean_point
from transforms.chat.encoding import encode_prompts, encode_responses
from transforms.engines.protocol import CompletionRequest
from transforms.records.answers import PrefixQuality, QualityCurve
from transforms.records.audit import CurvePoint
from transforms.statistics.intervals import Floats
from transforms.tables.ragged import Ids

COMPLETER: Final = "completer"
UNREADABLE: Final = "the completer's chat template does not take it"
NO_ROOM: Final = "prompt and beginning leave the completer no room for a token"
UNSCORED: Final = "the judge gave no score to a completion, or to the answer"
_SIDE: Final = "prefix"  # in seeds, where pairs have chosen and rejected


class _Beginnings(NamedTuple):
    """An answer in the completer's tokens."""

    label: str
    answer: AskedAnswer
    prompt: Ids
    response: Ids
    text: int  # tokens of it before its end-of-turn


class _Wanted(NamedTuple):
    """A beginning to complete."""

    row: int  # of its answer
    keep: int
    requests: list[CompletionRequest]


def prefix_quality(
    answers: Mapping[str, Sequence[AskedAnswer]],
    config: PrefixQualityConfig,
    judge: Annotator,
    *,
    seed: int,
    batch: int,
    ledger_root: str,
    today: date,
    pay: Pay,
    progress: Progress,
) -> PrefixQuality:
    """Q(k) of every model, and how far it is above the baseline's.

    An answer that is not longer than k counts with its own score. One that cannot be read by the completer, or that
    misses a score at any k, is in no point, so that all points are of the same answers.

    Args:
        answers: label → what the model wrote, the baseline first.
        config: who completes, where, and how often.
        judge: scores one answer at a time; its ledger knows those of whole answers.
        seed: of the completions.
        batch: completions an engine call.
        ledger_root: folder or URL.
        today: that chat templates are told.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.
    """
    completer = find_policy(COMPLETER, config.completer, today)
    first = next(iter(answers))
    prompts = sorted({one.prompt_id for one in answers[first]})[: config.max_prompts]
    asked = {label: [one for one in mine if one.prompt_id in set(prompts)] for label, mine in answers.items()}
    readable = [one for label, mine in asked.items() for one in _encoded(label, mine, completer)]
    found = [one for one in readable if _has_room(one, config.tokens, completer.voice.context)]
    wanted = [_wanted(row, one, keep, completer, seed) for row, one in enumerate(found) for keep in config.tokens]
    there = [one for one in wanted if one is not None]
    requests = [request for one in there for request in one.requests]
    longest = max((len(one.prompt) for one in found), default=0) + max(config.tokens)
    calls = completer.calls(ledger_root, longest)
    with closing(calls), progress.bar("complete beginnings", unit="completions", total=len(requests)) as advance:
        pay_for(pay, "complete beginnings", calls, rebatched(requests, batch, calls.ledger), advance)
    said = _completions(calls, requests)
    whole = [Group(one.answer.prompt_id, one.answer.asked, [one.answer.turn]) for one in found]
    complete = [one for one in there if all(request.request_id in said for request in one.requests)]
    groups = [*whole, *(_completed(one, found[one.row], said, completer) for one in complete)]
    with (
        closing(judge),
        progress.bar("judge completions", unit="questions", total=judge.questions(groups)) as advance,
    ):
        judge.pay(groups, "judge completions", pay=pay, advance=advance)
        means = np.array([_mean(marks.scores) for marks in judge.marks(groups)])
    quality = np.repeat(means[: len(whole), None], len(config.tokens), axis=1)  # (answers, kept tokens)
    column = {keep: at for at, keep in enumerate(config.tokens)}
    for one in there:
        quality[one.row, column[one.keep]] = np.nan
    for one, mean in zip(complete, means[len(whole) :], strict=True):
        quality[one.row, column[one.keep]] = mean
    known = np.isfinite(quality).all(axis=1)
    answered = sum(map(len, asked.values()))
    lost = Counter(
        {
            UNREADABLE: answered - len(readable),
            NO_ROOM: len(readable) - len(found),
            UNSCORED: int((~known).sum()),
        }
    )
    return PrefixQuality(
        completer=model_record(completer.model.identity),
        completions_each=config.completer.n,
        prompts=len(prompts),
        answers=answered,
        read=int(known.sum()),
        left_out={why: number for why, number in lost.items() if number},
        curves=_curves(
            list(answers), [one for one, ok in zip(found, known, strict=True) if ok], quality[known], config
        ),
        completions=completer.spend,
        judgements=judge.spend,
    )


def _encoded(label: str, answers: Sequence[AskedAnswer], completer: FoundPolicy) -> list[_Beginnings]:
    """In the completer's tokens, without those that its chat template does not take."""
    if not answers:
        return []
    prompts = encode_prompts(completer.chat, [one.asked for one in answers])
    finished = np.array([one.finished for one in answers], bool)
    responses = encode_responses(completer.chat, prompts, [one.turn for one in answers], finished, "answer")
    bad = {*prompts.errors, *responses.errors}
    lengths = responses.ids.lengths
    return [
        _Beginnings(label, one, prompts.ids.row(row), responses.ids.row(row), int(lengths[row] - responses.end[row]))
        for row, one in enumerate(answers)
        if row not in bad
    ]


def _has_room(one: _Beginnings, tokens: Sequence[int], context: int | None) -> bool:
    """Whether the completer can go on behind the longest beginning that is cut."""
    cut = [keep for keep in tokens if keep < one.text]
    return context is None or not cut or len(one.prompt) + max(cut) < context


def _wanted(row: int, one: _Beginnings, keep: int, completer: FoundPolicy, seed: int) -> _Wanted | None:
    """None where the beginning is the whole text."""
    voice = completer.voice
    token_ids = np.concatenate([one.prompt, one.response[:keep]])
    room = voice.max_new_tokens if voice.context is None else min(voice.max_new_tokens, voice.context - len(token_ids))
    if keep >= one.text:
        return None
    requests = []
    for sample in range(voice.n):
        key = request_seed(seed, one.answer.prompt_id, _SIDE, keep, sample)
        facts = {"seed": key, "sample_index": sample, "max_tokens": room}
        name = completion_id(voice.identity, voice.sampling, token_ids, facts)
        requests.append(CompletionRequest(name, token_ids.tolist(), **facts))
    return _Wanted(row, keep, requests)


def _completions(calls: SamplingCalls, requests: Sequence[CompletionRequest]) -> dict[str, list[int]]:
    rows = calls.ledger.fetch([one.request_id for one in requests])
    found: dict[str, list[int]] = dict(zip(rows["request_id"], rows["completion_ids"].to_list(), strict=True))
    calls.count_reused({key: len(ids) for key, ids in found.items()})
    return found


def _completed(one: _Wanted, of: _Beginnings, said: Mapping[str, Sequence[int]], completer: FoundPolicy) -> Group:
    """A beginning with each of its completions, as answers to the prompt."""
    turns = [
        spoken(completer.chat, np.concatenate([of.response[: one.keep], np.asarray(said[r.request_id], np.int32)]))
        for r in one.requests
    ]
    return Group(of.answer.prompt_id, of.answer.asked, turns)


def _mean(scores: Sequence[float | str]) -> float:
    """NaN where any is missing: the others would not be an unbiased mean."""
    known = [score for score in scores if not isinstance(score, str)]
    return float(np.mean(known)) if known and len(known) == len(scores) else float("nan")


def _curves(
    labels: Sequence[str], found: Sequence[_Beginnings], quality: Floats, config: PrefixQualityConfig
) -> list[QualityCurve]:
    names = np.array([one.label for one in found], object)
    prompts = np.array([one.answer.prompt_id for one in found], object)
    by_prompt = {label: _by_prompt(prompts[names == label], quality[names == label]) for label in labels}
    first = by_prompt[labels[0]]
    curves = []
    for label in labels:
        mine = by_prompt[label]
        shared = [] if label == labels[0] else [prompt for prompt in mine if prompt in first]
        above = np.array([mine[prompt] - first[prompt] for prompt in shared]).reshape(-1, len(config.tokens))
        rows = names == label
        curves.append(
            QualityCurve(
                label=label,
                points=_points(config.tokens, quality[rows], prompts[rows].tolist()),
                over_baseline=_points(config.tokens, above, shared),
            )
        )
    return curves


def _by_prompt(prompts: Sequence[str], quality: Floats) -> dict[str, Floats]:
    rows: dict[str, list[int]] = {}
    for row, prompt in enumerate(prompts):
        rows.setdefault(prompt, []).append(row)
    return {prompt: quality[mine].mean(axis=0) for prompt, mine in rows.items()}


def _points(tokens: Sequence[int], values: Floats, prompts: Sequence[str]) -> list[CurvePoint]:
    points = [mean_point(float(keep), values[:, at], prompts) for at, keep in enumerate(tokens)]
    return [point for point in points if point is not None]
