"""Does an annotator say the same when it is asked again, or the other way round?

Whatever an annotator is worth as a judge of quality, these numbers need no labels: a verdict that depends on which
response is shown first, or on when it is asked, is not about the responses. Intervals are over prompts
(`transforms.statistics.clustered`); of nothing they are (0, 0, 1).
"""

from dataclasses import dataclass

import numpy as np

from transforms.errors import SchemaError
from transforms.pairing.scored import checked, names_of, row_pairs
from transforms.statistics.clustered import clustered_rate, clustered_share
from transforms.statistics.intervals import Floats, Ints, Rate


@dataclass(frozen=True, slots=True)
class OrderSwap:
    """Of comparisons that were asked in both orders."""

    comparisons: int
    unread: int  # of which an answer could not be read; they are in no share
    first_place: Rate  # mean share of verdicts for the first place, ties half; ½ without position bias
    consistent: Rate  # comparisons with the same verdict in both orders
    ties: Rate  # verdicts that call the two equal


@dataclass(frozen=True, slots=True)
class Repeated:
    """Of scores that were asked for twice."""

    responses: int
    unread: int  # without a score in one of the two calls; they are in no share
    equal: Rate  # responses with exactly the same score
    largest: float  # difference of the two scores, 0 for none
    pairs: int  # of responses to one prompt
    turned: Rate  # pairs of which the other response is better the second time
    loosened: Rate  # pairs that are a tie in one of the two calls only


@dataclass(frozen=True, slots=True)
class TiesWithin:
    """Of pairs of scored responses to one prompt."""

    pairs: int
    share: Rate  # with equal scores


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Of answers that were asked for."""

    asked: int
    share: Rate  # that could not be read


def verdicts(margins: Floats) -> Floats:
    """1 where the first place is better, 0 where the second is, ½ for a tie, NaN where there is no margin."""
    return np.heaviside(margins, 0.5)


def order_swap(forward: Floats, backward: Floats, prompt: Ints) -> OrderSwap:
    """Position bias and consistency, of the comparisons of which both orders could be read.

    With f the verdict for the first place with a first, and g with b first: bias is the mean of (f + g) / 2, in which
    what a is better than b cancels out; consistent is f = 1 − g, so two ties are.

    Args:
        forward: f of each comparison, 1, ½ or 0, NaN where the answer could not be read; (C,). See `verdicts`.
        backward: g, likewise.
        prompt: of each comparison, in any order; (C,).

    Raises:
        SchemaError: another shape, or a verdict that is no 1, ½ or 0.
    """
    for name, values in {"forward": forward, "backward": backward}.items():
        checked(values, name, np.float64, prompt.shape)
        odd = ~(np.isnan(values) | np.isin(values, (0.0, 0.5, 1.0)))
        if odd.any():
            message = (
                f"{name} is {values[odd][0]} in comparison {int(odd.argmax())}, expected 1, 0.5, 0 or NaN; verdicts() "
                "makes them of margins"
            )
            raise SchemaError(message)
    read = ~(np.isnan(forward) | np.isnan(backward))
    f, g, names = forward[read], backward[read], names_of(prompt[read])
    return OrderSwap(
        comparisons=len(read),
        unread=int((~read).sum()),
        first_place=clustered_rate((f + g) / 2, names),
        consistent=clustered_share((f == 1 - g).astype(np.float64), names),
        ties=clustered_rate(((f == 0.5) * 1.0 + (g == 0.5)) / 2, names),
    )


def repeated(first: Floats, second: Floats, prompt: Ints) -> Repeated:
    """The same requests, asked twice.

    Args:
        first: scores of the first call, NaN where there is none; (R,).
        second: of the second.
        prompt: as of `Scored`, (R,).

    Raises:
        SchemaError: another shape.
    """
    for name, values in {"first": first, "second": second}.items():
        checked(values, name, np.float64, prompt.shape)
    read = ~(np.isnan(first) | np.isnan(second))
    turned, loosened, owner = [], [], []
    for left, right in row_pairs(prompt):
        known = read[left] & read[right]
        i, j = left[known], right[known]
        before, after = np.sign(first[i] - first[j]), np.sign(second[i] - second[j])
        turned.append(before * after < 0)
        loosened.append((before == 0) != (after == 0))
        owner.append(prompt[i])
    owners = names_of(np.concatenate([np.zeros(0, np.int64), *owner]))
    apart = np.abs(first - second)[read]
    return Repeated(
        responses=len(read),
        unread=int((~read).sum()),
        equal=clustered_share((apart == 0).astype(np.float64), names_of(prompt[read])),
        largest=float(apart.max(initial=0.0)),
        pairs=len(owners),
        turned=clustered_share(np.concatenate([np.zeros(0), *turned]), owners),
        loosened=clustered_share(np.concatenate([np.zeros(0), *loosened]), owners),
    )


def ties_within(score: Floats, prompt: Ints) -> TiesWithin:
    """How often two responses to one prompt get the same score, and so make no pair.

    Args:
        score: NaN where there is none; (R,).
        prompt: as of `Scored`, (R,).

    Raises:
        SchemaError: another shape.
    """
    checked(score, "score", np.float64, prompt.shape)
    equal, owner = [np.zeros(0)], [np.zeros(0, np.int64)]
    for left, right in row_pairs(prompt):
        apart = score[left] - score[right]
        known = ~np.isnan(apart)
        equal.append((apart[known] == 0).astype(np.float64))
        owner.append(prompt[left][known])
    values = np.concatenate(equal)
    return TiesWithin(len(values), clustered_share(values, names_of(np.concatenate(owner))))


def unreadable(values: Floats, prompt: Ints) -> Unreadable:
    """How many answers could not be read.

    Args:
        values: what was read of each answer that was asked for, NaN where nothing could be; (answers,).
        prompt: of each, in any order; (answers,).

    Raises:
        SchemaError: another shape.
    """
    checked(values, "values", np.float64, prompt.shape)
    return Unreadable(len(values), clustered_share(np.isnan(values).astype(np.float64), names_of(prompt)))
