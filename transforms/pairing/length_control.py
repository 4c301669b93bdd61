"""A score less what length explains of it, fitted on the run's own responses.

Judges and reward models tend to like what is longer. AlpacaEval-LC (arXiv 2404.04475) puts tanh of the standardised
difference in length into a logistic model of who wins; of scores, which are no wins, the plain analogue is a linear
slope. With s_r the score, x_r = ln(1 + tokens) and a bar for the mean over the scored responses of r's prompt,

    s_r = α_prompt + b x_r + ε_r,   b = Σ (x_r − x̄)(s_r − s̄) / Σ (x_r − x̄)²,   adjusted_r = s_r − b (x_r − x̄).

The prompt has a mean of its own (fixed effects), so that prompts that ask for long answers and are answered well, or
badly, say nothing of b. The logarithm, because what twice as long does is then the same at 50 tokens and at 500;
lengths are skewed, and of tokens as they are a few very long responses would decide the slope alone. 1 +, because a
response may be empty.

What it cannot tell apart: length that is liked, and content that needs length. Both go.
"""

from dataclasses import dataclass

import numpy as np

from transforms.pairing.scored import Scored, checked, sums
from transforms.statistics.intervals import LEVEL, Floats


@dataclass(frozen=True, slots=True)
class LengthFit:
    """What length explains of a score, and the score without it.

    Where no two scored responses of any prompt differ in length, `prompts` is 0: nothing was fitted, the slope is 0,
    without interval, and `adjusted` is the score as it was.
    """

    slope: float  # points of score for ln(1 + tokens) one higher, so 0.69 of it for twice as long
    low: float | None  # 95 %, over prompts; None where fewer than two prompts say anything of it
    high: float | None
    explained: float  # share of the scores' variance within prompts, [0, 1]; 0 where there is none
    prompts: int  # those with scored responses of different lengths
    responses: int  # with a score, in these prompts
    adjusted: Floats  # (R,), NaN where the score is


def length_controlled(scored: Scored, score: Floats) -> LengthFit:
    """Fit the slope within prompts and take it out; what two responses of equal length differ by stays.

    The interval is the delete-one-prompt jackknife's with Student's t, as in `transforms.statistics.clustered`, and its
    degrees of freedom those of (Σ S_g)² / Σ S_g² prompts, S_g being Σ (x_r − x̄)² of prompt g: few prompts with most
    of the differences in length do not pass for many.

    Args:
        score: of each response, NaN where it has none; (R,).

    Raises:
        SchemaError: score is no float64 of shape (R,).
    """
    checked(score, "score", np.float64, scored.prompt.shape)
    rows = np.flatnonzero(~np.isnan(score))
    prompt, s, x = scored.prompt[rows], score[rows], np.log1p(scored.tokens[rows].astype(np.float64))
    count = np.maximum(np.bincount(prompt, minlength=scored.prompts), 1)
    x_off, s_off = (v - (sums(prompt, v, scored.prompts) / count)[prompt] for v in (x, s))
    # Lengths that are equal must not differ by the rounding of their mean.
    low, high = np.full(scored.prompts, np.inf), np.full(scored.prompts, -np.inf)
    np.minimum.at(low, prompt, x)
    np.maximum.at(high, prompt, x)
    telling = low < high
    x_off = np.where(telling[prompt], x_off, 0.0)
    squares = sums(prompt, x_off**2, scored.prompts)[telling]
    if not len(squares):
        return LengthFit(0.0, None, None, 0.0, 0, 0, score.copy())
    products = sums(prompt, x_off * s_off, scored.prompts)[telling]
    slope = float(products.sum() / squares.sum())
    spread = float(np.square(s_off).sum())
    adjusted = score.copy()
    adjusted[rows] -= slope * x_off
    half = _half(products, squares, slope)
    return LengthFit(
        slope=slope,
        low=None if half is None else slope - half,
        high=None if half is None else slope + half,
        explained=min(1.0, slope**2 * float(squares.sum()) / spread) if spread else 0.0,
        prompts=len(squares),
        responses=int(telling[prompt].sum()),
        adjusted=adjusted,
    )


def _half(products: Floats, squares: Floats, slope: float) -> float | None:
    """Half the interval; without a prompt its own mean goes too, so the slope of the others is a plain quotient."""
    from scipy import stats

    prompts = len(squares)
    if prompts < 2:
        return None
    without = (products.sum() - products) / (squares.sum() - squares)
    variance = float(np.square(without - slope).sum()) * (prompts - 1) / prompts
    effective = float(squares.sum() ** 2 / np.square(squares).sum())
    return float(stats.t.ppf(0.5 + LEVEL / 2, effective - 1) * variance**0.5)
