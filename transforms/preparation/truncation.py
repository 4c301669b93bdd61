"""How many tokens of each response to keep (methods §2): numbers, never copies.

What a template writes between prompt and text (`lead`: an empty thinking block, a channel, a space) is generated like
any other token and so belongs to the response, but it is the same for every response and says nothing: it is kept
whole, and minimum, ratio and number are of the tokens behind it. Both sides of a pair count the same lead, the shorter.

POET: arXiv 2506.09457. Ratio: Shallow Preference Signals (THUQiXuan/Shallow-preference-signal), whose
paper says tokens while its script cuts characters; here it is tokens.
"""

from fractions import Fraction
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Strings = npt.NDArray[np.object_]


class Truncation(BaseModel):
    """Which tokens of a response are used.

    Attributes:
        method: `poet` keeps min(|y_w|, |y_l|) of both; `ratio` keeps max(1, ⌊ρ·|y|⌋) of each; `tokens`
            keeps at most a fixed number; `none` keeps all.
        ratio: ρ, for method ratio only.
        tokens: the fixed number, for method tokens only.
        eot: `natural` leaves a whole response its end-of-turn, and a cut one has none; `never` takes it from every
            response, so that its presence does not tell which side was shorter; `always` has trainers read one behind
            every response, cut ones too, which teaches a policy to stop in mid-sentence: for reproducing Shallow
            Preference Signals, whose cut texts went through a chat template.
        max_length: prompt and kept response together, in tokens, an end-of-turn that `always` appends among them; null
            is the policy's context length.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["poet", "ratio", "tokens", "none"] = "poet"
    ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    eot: Literal["natural", "never", "always"] = "natural"
    max_length: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _method_has_its_number(self) -> Self:
        for key in ("ratio", "tokens"):
            value = getattr(self, key)
            if (self.method == key) != (value is not None):
                message = (
                    f"method {key} needs truncate.{key}"
                    if value is None
                    else f"truncate.{key} = {value} has no effect with method {self.method}; leave it out"
                )
                raise ValueError(message)
        return self


class Keeps(NamedTuple):
    """Per pair, shape (pairs,). `*_by` names the rule that bound: none, poet, ratio, tokens, eot, context."""

    chosen: Ints
    rejected: Ints
    chosen_by: Strings
    rejected_by: Strings


def floor_share(ratio: float, lengths: Ints) -> Ints:
    """⌊ratio · length⌋ as the decimal number that the user wrote, so that 0.29 of 100 is 29 and not 28."""
    exact = Fraction(str(ratio))
    floors: Ints = lengths * exact.numerator // exact.denominator
    return floors


def keeps(
    truncation: Truncation,
    *,
    prompt_tokens: Ints,
    chosen_tokens: Ints,
    rejected_tokens: Ints,
    chosen_end: Ints,
    rejected_end: Ints,
    max_length: int | None,
    lead: Ints | int = 0,
    tail: int = 0,
) -> Keeps:
    """How many tokens of each response to keep.

    Args:
        truncation: the rule.
        prompt_tokens: shape (pairs,).
        chosen_tokens: shape (pairs,), end-of-turn included; at least 1.
        rejected_tokens: likewise.
        chosen_end: tokens behind the text, the end-of-turn among them; 0 for an unfinished response.
        rejected_end: likewise.
        max_length: prompt and response together; None is no limit.
        lead: tokens before the text, of both sides.
        tail: tokens that the template writes behind a text. With `eot: always` there is room for them behind a response
            that does not end in them.

    Returns:
        Keeps of at least one token behind the lead, but 0 where the prompt leaves no room for it (an invalid pair).
    """
    lengths = np.stack([chosen_tokens, rejected_tokens])
    usable = lengths.copy()
    if truncation.eot == "never":
        usable -= np.stack([chosen_end, rejected_end]).astype(np.int64)
    by_rule = lead + _kept_by_rule(truncation, lengths - lead, usable - lead)
    room = np.full_like(prompt_tokens, np.iinfo(np.int64).max)
    if max_length is not None:
        room = np.maximum(max_length - prompt_tokens, 0)
        if truncation.eot == "always":
            ends = np.stack([chosen_end, rejected_end]) > 0
            room = room - tail * ~(ends & (np.minimum(by_rule, room) == lengths))
        room[room <= lead] = 0
    kept = np.minimum(by_rule, room)
    by = np.full(kept.shape, "none", dtype=object)
    by[usable < lengths] = "eot"
    by[by_rule < usable] = truncation.method
    by[room < by_rule] = "context"
    return Keeps(kept[0], kept[1], by[0], by[1])


def _kept_by_rule(truncation: Truncation, lengths: Ints, usable: Ints) -> Ints:
    """Keeps of shape (2, pairs), of the tokens behind the lead, before any context limit."""
    kept: Ints = usable
    if truncation.method == "poet":
        kept = np.broadcast_to(usable.min(axis=0), usable.shape)
    elif truncation.method == "ratio" and truncation.ratio is not None:
        kept = np.minimum(usable, np.maximum(1, floor_share(truncation.ratio, lengths)))
    elif truncation.method == "tokens" and truncation.tokens is not None:
        kept = np.minimum(usable, truncation.tokens)
    return kept
