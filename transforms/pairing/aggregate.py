"""Several annotators' scores of a response to one. A response that one of them could not score has none."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from transforms.errors import SchemaError
from transforms.pairing.scored import AGGREGATES, Scored
from transforms.statistics.intervals import Floats

# Votes that cancel out (+z of one, −z of another) differ by 1e-16, and a tie would become a preference.
_DECIMALS: Final = 10


def aggregate(scored: Scored, how: str, names: Sequence[str] | None = None) -> Floats:
    """One score a response, (R,); NaN where one of the annotators that are read has none.

    With s_ra the score of response r by annotator a of A, μ_a and σ_a the mean and the population's standard deviation
    of all scores that a gave in the run, and z_ra = (s_ra − μ_a) / σ_a, or 0 where σ_a = 0:

        mean_z     1/A Σ_a z_ra: how much better weighs, and annotators weigh alike whatever their scales
        minimum    min_a z_ra: as good as the one that likes it least says
        mean_rank  1/A Σ_a (rank_ra − 1) / (n − 1): only the order within the prompt weighs

    rank_ra is 1 for the worst of the n responses of the prompt that all A scored, n for the best, and the mean of the
    places for equal scores; ½ where n = 1. All three are rounded to ten decimals, so that votes that cancel out are a
    tie. Any other `how` is an annotator's name, and the score is what it said.

    Args:
        how: `mean_z`, `mean_rank`, `minimum` or an annotator's name.
        names: the annotators that an aggregate reads; all by default.

    Raises:
        SchemaError: an annotator has no scores here, or names are given beside an annotator's.
    """
    if how not in AGGREGATES:
        if names is not None:
            message = (
                f"{how!r} is an annotator, so none are to be put together, but {list(names)} were given; expected one "
                f"of {', '.join(AGGREGATES)} with them"
            )
            raise SchemaError(message)
        return scored.columns([how])[:, 0].copy()
    values = scored.columns(names)
    if how == "mean_rank":
        together: Floats = _ranks(scored, values).mean(1)
    else:
        z = _standardised(values)
        together = z.mean(1) if how == "mean_z" else z.min(1)
    return together.round(_DECIMALS)


def constant_annotators(scored: Scored) -> tuple[str, ...]:
    """Those that gave at least one score and no two different ones in the whole run; `mean_z` and `minimum` read 0."""
    return tuple(
        name
        for name, column in zip(scored.annotators, scored.scores.T, strict=True)
        if (given := column[~np.isnan(column)]).size and given.min() == given.max()
    )


def _standardised(values: Floats) -> Floats:
    z = np.full_like(values, np.nan)
    for column, out in zip(values.T, z.T, strict=True):
        given = column[~np.isnan(column)]
        if not given.size:
            continue
        deviation = given.std()
        constant = given.min() == given.max() or not deviation  # of equal ones it need not be an exact 0
        out[:] = column * 0 if constant else (column - given.mean()) / deviation
    return z


def _ranks(scored: Scored, values: Floats) -> Floats:
    """Ranks from 0 (worst) to 1 (best) among the responses of a prompt that all annotators scored."""
    ranks = np.full_like(values, np.nan)
    rows = np.flatnonzero(~np.isnan(values).any(1))
    prompt = scored.prompt[rows]
    sizes = np.bincount(prompt, minlength=scored.prompts)
    starts = np.cumsum(sizes) - sizes
    for annotator in range(values.shape[1]):
        column = values[rows, annotator]
        order = np.lexsort((column, prompt))
        ordered, owner = column[order], prompt[order]
        new = np.ones(len(order), bool)
        new[1:] = (ordered[1:] != ordered[:-1]) | (owner[1:] != owner[:-1])
        run = np.cumsum(new) - 1  # which run of equal scores
        first = np.flatnonzero(new)
        middle = first + (np.bincount(run, minlength=len(first)) - 1) / 2
        size = sizes[owner]
        place = np.where(size > 1, (middle[run] - starts[owner]) / np.maximum(size - 1, 1), 0.5)
        ranks[rows[order], annotator] = place
    return ranks
