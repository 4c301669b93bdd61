"""Scores to pairs, and for a prompt without a pair the reason.

All strategies look at the same candidates, ordered pairs (i, j) of responses to one prompt of which i can be chosen and
j rejected. Of those of a prompt they take

    best_worst    the one of the largest margin
    best_random   i the best that is in any, j drawn among those that it is paired with
    second_worst  i of the second-highest score, j the worst: the best may be what a reward model was fooled by
    all           all, or the `max_per_prompt` of the largest margin; of those with the same two texts the first

The names say chosen, then rejected. A prompt has at most one reason, the first condition after which none of its
ordered pairs is left:

    one_response  it has one response
    unscored      fewer than two responses have a score
    same_text     all of these have one text
    tie           the texts differ, and all such pairs have equal scores; also, under `ties: skip`, several pairs are
                  the best one
    unfinished    an order is there, and the rule for unfinished responses leaves none of it
    no_second     `second_worst` only: nothing is worse than the second, or there is none
    margin        what is left differs by less than `min_margin`
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from transforms.choices import Strategy, Ties, Unfinished
from transforms.errors import ConfigError, SchemaError
from transforms.pairing.scored import Scored, checked, row_pairs
from transforms.statistics.intervals import Bools, Floats, Ints

Reason = Literal["one_response", "unscored", "same_text", "tie", "unfinished", "no_second", "margin"]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
PAIRED: Final = -1
_ROUNDING: Final = 1e-9  # 4.3 − 4.2 is 0.0999…, and yet a margin of 0.1


@dataclass(frozen=True, slots=True)
class PairingRule:
    """Which pairs are made of a prompt's responses.

    Args:
        strategy: see the module.
        min_margin: at least this much lies between the scores; equal scores never make a pair, at 0 neither. One that
            misses it by rounding alone (a billionth of it) is enough.
        max_per_prompt: of `all`, how many pairs a prompt may have at most: those of the largest margin, and of equal
            ones the first by the response index of chosen, then of rejected. None: no limit.
        unfinished: what responses may be that the model did not end. `allow`: anything; `exclude`: in no pair;
            `rejected_only`: rejected, by a higher score of a finished one; `worst`: worse than every finished one
            whatever the scores say, so `min_margin` is not asked there and the margin can be 0 or negative; two of them
            are ordered by their scores.
        ties: where the best pair (of `best_random`: the best response) is not the only one, `first` takes that of the
            lowest response index of chosen, then of rejected; `skip` makes no pair of the prompt. Candidates of the
            same texts are one.

    Raises:
        ConfigError: an unknown choice, a negative or infinite margin, a limit below 1 or of another strategy than all.
    """

    strategy: Strategy = "best_worst"
    min_margin: float = 0.0
    max_per_prompt: int | None = None
    unfinished: Unfinished = "exclude"
    ties: Ties = "first"

    def __post_init__(self) -> None:
        for key, kind in {"strategy": Strategy, "unfinished": Unfinished, "ties": Ties}.items():
            if (value := getattr(self, key)) not in get_args(kind):
                message = f"{key} is {value!r}, expected one of {', '.join(get_args(kind))}"
                raise ConfigError(message)
        if not 0 <= self.min_margin < np.inf:
            message = f"min_margin is {self.min_margin}, expected a finite number of at least 0"
            raise ConfigError(message)
        if self.max_per_prompt is not None and self.max_per_prompt < 1:
            message = f"max_per_prompt is {self.max_per_prompt}, expected at least 1, or none for no limit"
            raise ConfigError(message)
        if self.max_per_prompt is not None and self.strategy != "all":
            message = f"max_per_prompt is of strategy all; {self.strategy} makes one pair a prompt, so leave it out"
            raise ConfigError(message)


@dataclass(frozen=True, slots=True)
class Account:
    """Where all prompts and candidates went: prompts = paired + Σ unpaired, candidates = pairs + beyond."""

    prompts: int
    paired: int  # prompts with at least one pair
    unpaired: dict[Reason, int]  # each reason, also those of no prompt
    pairs: int
    beyond: int  # of `all`: candidates over `max_per_prompt`


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs, ordered by prompt and then as the rule prefers them, and of every prompt without one the reason."""

    chosen: Ints  # row numbers, (pairs,)
    rejected: Ints
    margin: Floats  # score of chosen less score of rejected
    reason: npt.NDArray[np.int8]  # index into REASONS, or PAIRED; (P,)
    beyond: int

    @property
    def account(self) -> Account:
        """The counts."""
        counts = np.bincount(self.reason[self.reason != PAIRED], minlength=len(REASONS)).tolist()
        unpaired = dict(zip(REASONS, counts, strict=True))
        paired = int((self.reason == PAIRED).sum())
        return Account(len(self.reason), paired, unpaired, len(self.chosen), self.beyond)


def pairs_of(
    scored: Scored, score: Floats, rule: PairingRule, *, prompt_keys: Sequence[str], texts: Sequence[str], seed: int
) -> Pairs:
    """Pairs of responses to the same prompt with different texts.

    `best_random` takes the partner of the smallest blake2b of seed, prompt key and text: an equal chance for every
    text, and the same draw whatever other prompts are there and in which order responses came.

    Args:
        score: of each response, NaN where it has none (it is then in no pair); (R,).
        prompt_keys: what names a prompt in every run, such as the hash of its content; (P,).
        texts: of the responses, (R,).
        seed: of `best_random`; others do not read it.

    Raises:
        SchemaError: score, texts or prompt_keys do not fit the responses, or a score is infinite.
    """
    checked(score, "score", np.float64, scored.prompt.shape)
    for name, found, expected in (
        ("texts", len(texts), len(score)),
        ("prompt_keys", len(prompt_keys), scored.prompts),
    ):
        if found != expected:
            message = f"{found} {name} for {expected} {'responses' if name == 'texts' else 'prompts'}, expected as many"
            raise SchemaError(message)
    codes: dict[str, int] = {}
    responses = _Responses(
        prompt=scored.prompt,
        score=score,
        finished=scored.finished,
        text=np.array([codes.setdefault(text, len(codes)) for text in texts], np.int64),
        lot=_lots(scored.prompt, prompt_keys, texts, seed) if rule.strategy == "best_random" else None,
        second=_second(scored, score, rule) if rule.strategy == "second_worst" else None,
    )
    reason = np.full(scored.prompts, PAIRED, np.int8)
    alone = np.bincount(scored.prompt, minlength=scored.prompts) < 2
    reason[alone] = REASONS.index("one_response")
    blocks = [_of_block(responses, left, right, rule, reason) for left, right in row_pairs(scored.prompt)]
    nothing = np.zeros(0, np.int64)
    chosen = np.concatenate([nothing, *(block.chosen for block in blocks)])
    rejected = np.concatenate([nothing, *(block.rejected for block in blocks)])
    return Pairs(chosen, rejected, score[chosen] - score[rejected], reason, sum(block.beyond for block in blocks))


@dataclass(frozen=True, slots=True)
class _Responses:
    """What is asked of each response, (R,) each."""

    prompt: Ints
    score: Floats
    finished: Bools
    text: Ints  # equal where texts are
    lot: npt.NDArray[np.uint64] | None
    second: Bools | None


class _Found(NamedTuple):
    chosen: Ints
    rejected: Ints
    beyond: int


def _of_block(
    responses: _Responses, left: Ints, right: Ints, rule: PairingRule, reason: npt.NDArray[np.int8]
) -> _Found:
    """The pairs of the block's prompts; writes the reasons of those that have none."""
    i, j = np.concatenate([left, right]), np.concatenate([right, left])
    concerned = np.unique(responses.prompt[left])
    score, finished = responses.score, responses.finished
    margin = score[i] - score[j]
    worst = rule.unfinished == "worst"
    by_end = finished[i] & ~finished[j] & worst  # decided by who came to an end
    against = ~finished[i] & finished[j] & worst
    may_be = {"exclude": finished[i] & finished[j], "rejected_only": finished[i]}
    everywhere = np.ones(len(i), bool)
    conditions: dict[Reason, Bools] = {
        "unscored": ~np.isnan(margin),
        "same_text": responses.text[i] != responses.text[j],
        "tie": by_end | ((margin > 0) & ~against),
        "unfinished": may_be.get(rule.unfinished, everywhere),
        "no_second": everywhere if responses.second is None else responses.second[i],
        "margin": by_end | (margin >= rule.min_margin * (1 - _ROUNDING)),
    }
    left_over = everywhere
    for why, holds in conditions.items():
        left_over = left_over & holds
        gone = np.setdiff1d(concerned, responses.prompt[i[left_over]])
        reason[gone] = REASONS.index(why)
        concerned = np.setdiff1d(concerned, gone, assume_unique=True)
    i, j, margin, by_end = i[left_over], j[left_over], margin[left_over], by_end[left_over]
    prompt = responses.prompt[i]
    if responses.lot is None:
        order = np.lexsort((j, i, -margin, ~by_end, prompt))
        rank: tuple[npt.NDArray[Any], ...] = (margin, by_end, prompt)
        same: tuple[Ints, ...] = (responses.text[i], responses.text[j])
    else:
        ended = finished[i] & worst
        order = np.lexsort((j, responses.lot[j], i, -score[i], ~ended, prompt))
        rank, same = (score[i], ended, prompt), (responses.text[i],)
    i, j, prompt = i[order], j[order], prompt[order]
    if rule.strategy == "all":
        once = _first_of_each(prompt, responses.text[i], responses.text[j])
        i, j, prompt = i[once], j[once], prompt[once]
    new = np.diff(prompt, prepend=-1) > 0
    first = np.flatnonzero(new)[np.cumsum(new) - 1]  # of each candidate, where its prompt's begin
    if rule.strategy == "all":
        keep = np.arange(len(i)) - first < (len(i) if rule.max_per_prompt is None else rule.max_per_prompt)
        return _Found(i[keep], j[keep], int((~keep).sum()))
    keep = new
    if rule.ties == "skip":
        level, other = np.ones(len(i), bool), np.zeros(len(i), bool)
        for values in rank:
            level &= values[order] == values[order][first]
        for values in same:
            other |= values[order] != values[order][first]
        tied = np.unique(prompt[level & other])
        reason[tied] = REASONS.index("tie")
        keep = new & ~np.isin(prompt, tied)
    return _Found(i[keep], j[keep], 0)


def _first_of_each(*columns: Ints) -> Bools:
    """Whether no row before it has the same values in all columns, (rows,)."""
    order = np.lexsort(columns)  # stable: of equal rows the first comes first
    new = np.ones(len(order), bool)
    new[1:] = np.any([np.diff(column[order]) != 0 for column in columns], axis=0)
    first = np.empty(len(order), bool)
    first[order] = new
    return first


def _lots(prompt: Ints, keys: Sequence[str], texts: Sequence[str], seed: int) -> npt.NDArray[np.uint64]:
    def lot(key: str, text: str) -> int:
        # The key's length keeps key and text apart; a lone surrogate is text of a dataset too.
        content = f"{seed}\0{len(key)}\0{key}{text}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")

    return np.array([lot(keys[at], text) for at, text in zip(prompt.tolist(), texts, strict=True)], np.uint64)


def _second(scored: Scored, score: Floats, rule: PairingRule) -> Bools:
    """Whether a response's is the second-highest of the scores of its prompt that may be chosen."""
    usable = ~np.isnan(score)
    if rule.unfinished in ("exclude", "rejected_only"):
        usable &= scored.finished
    ended = scored.finished & (rule.unfinished == "worst")
    rows = np.flatnonzero(usable)
    rows = rows[np.lexsort((-score[rows], ~ended[rows], scored.prompt[rows]))]
    prompt = scored.prompt[rows]
    begins = np.diff(prompt, prepend=-1) > 0
    lower = (np.diff(score[rows], prepend=0.0) != 0) | (np.diff(ended[rows], prepend=False) != 0)
    steps = np.cumsum(lower | begins)
    place = steps - steps[begins][np.cumsum(begins) - 1] if len(rows) else steps
    second = np.zeros(len(score), bool)
    second[rows[place == 1]] = True
    return second
