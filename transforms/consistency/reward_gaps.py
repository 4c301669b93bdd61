"""How far completions win, and what that says of the share that does.

The gap of a completion is r(chosen side) − r(rejected side), towards the reference: the completion's reward on one
side and the whole response's on the other, or two completions'. Counting asks for its sign alone; here its size speaks:

    gap_ij = m_i + s_i · e_ij,   e ~ Student's t with ν degrees of freedom, skewed by γ (Fernández and Steel 1998),
    log s_i ~ N(l₀ + l₁ · share cut + l₂ · [both sides are completed], ω²),
    m_i ~ N(a + margin · (b + c · (1 − share cut)) + g · values, t²), or with probability ε a stranger's N(0, T²),

values what the reward model's values at both cuts differ by, where they were read (`proxy.values`), else nought. So a
pair has a place and a spread of its own and borrows from the run what few completions cannot tell. A pair's
consistency is P(gap > 0) = G(m / s), G the noise's distribution function, so its posterior is one of u = m / s, taken
on a grid of cells whose middle edge lies where the consistency is the threshold: no cell is on both sides of it.

Near the threshold a counted win carries 2/π of what the gap's size does, where the noise is normal (Pitman's
efficiency of the sign test); far from it, one gap says what many wins say.
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from transforms.consistency.posteriors import Posterior
from transforms.statistics.intervals import Bools, Floats, Ints

_SIDE: Final = 33  # cells on either side of the threshold: 0.14 wide next to it, 0.6 at ±5, the last edges at ±31
_EDGES: Final[Floats] = 1.2 * np.sinh(0.12 * np.arange(-_SIDE, _SIDE + 1.0))
_CELLS: Final[Floats] = (_EDGES[1:] + _EDGES[:-1]) / 2
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
_SHARES: Final[Floats] = _WEIGHTS / _WEIGHTS.sum()
_DIGITS: Final = 12  # of a value: beyond them, pairs of equal worth would be ranked by the machine's last bit
_CHUNK: Final = 2048  # pairs whose grids are held at once: 2 · 7 · 66 numbers each
_DEGREES: Final = (3.0, 4.0, 6.0, 10.0, 30.0)
_SKEWS: Final = tuple(np.round(np.linspace(-0.6, 0.6, 9), 2).tolist())  # log γ
_SKEW_SPREAD: Final = 0.3  # of log γ beforehand
_ROUNDS: Final = 60  # of expectation and maximisation at most
_ENOUGH: Final = 1e-3  # nats a pair: a round that gains less is the last
_TINY: Final = 1e-300


class Gaps(NamedTuple):
    """Of some pairs, towards the reference."""

    margin: Floats  # (pairs,), of the full responses
    share_cut: Floats  # (pairs,)
    values: Floats  # (pairs, most), NaN where there is no completion; the first ones first
    skew: Ints  # (pairs,), 1 where the completed side's reward is added, −1 where it is taken away, 0 for both
    value_gap: Floats | None = None  # (pairs,), of the values at both cuts; None where none were read

    def of(self, rows: Ints | Bools | slice) -> "Gaps":
        """Of some of the pairs."""
        value_gap = None if self.value_gap is None else self.value_gap[rows]
        return Gaps(self.margin[rows], self.share_cut[rows], self.values[rows], self.skew[rows], value_gap)

    def before(self) -> "Gaps":
        """As they were before the first completion."""
        return self._replace(values=np.full((len(self.margin), 0), np.nan))


@dataclass(frozen=True)
class Shape:
    """What all pairs of a run share; margins, gaps and spreads are divided by `scale` first."""

    scale: float
    place: tuple[float, float, float]  # a, b, c
    apart: float  # t
    strangers: float  # ε
    far: float  # T
    spread: tuple[float, float, float]  # l₀, l₁, and what two completions add
    uneven: float  # ω
    degrees: float  # ν
    skew: float  # log γ
    by_value: float = 0.0  # g

    def foretold(self, gaps: Gaps) -> Floats:
        """What margin and values foretell of m, over `scale`, (pairs,)."""
        a, b, c = self.place
        found: Floats = a + gaps.margin / self.scale * (b + c * (1 - gaps.share_cut))
        return found if gaps.value_gap is None else found + self.by_value * gaps.value_gap / self.scale


class _Cells(NamedTuple):
    weight: Floats  # (pairs, cells), rows add up to 1
    edges: Floats  # (kinds, cells + 1), the consistency at the cells' edges, rising from 0 to 1
    kind: Ints  # (pairs,), which of them are the pair's
    information: Floats  # (pairs,), Fisher's of one gap on u; 1 for normal noise


class GapBeliefs(_Cells, Posterior):
    """What is believed of some pairs' consistencies, as the weights of cells."""

    def of(self, rows: Ints | Bools) -> "GapBeliefs":
        """Of some of the pairs."""
        return self._replace(weight=self.weight[rows], kind=self.kind[rows], information=self.information[rows])

    def above(self, threshold: float) -> Floats:
        """P(consistency ≥ τ), (pairs,); exact for the threshold that the cells were made for."""
        below = np.clip((threshold - self.edges[:, :-1]) / np.maximum(np.diff(self.edges, axis=1), _TINY), 0.0, 1.0)
        return np.clip(self._sums(1 - below), 0.0, 1.0)

    def mean(self) -> Floats:
        """P(a comparison is consistent), (pairs,)."""
        return self._sums((self.edges[:, 1:] + self.edges[:, :-1]) / 2)

    def _sums(self, of_cells: Floats) -> Floats:
        """What is given of each kind's cells, (kinds, cells), by the pairs' weights, (pairs,)."""
        found = np.empty(len(self.weight))
        for kind, values in enumerate(of_cells):
            mine = self.kind == kind
            found[mine] = self.weight[mine] @ values
        return found

    def mirrored(self, mask: Bools) -> "GapBeliefs":
        """Of the opposite order where `mask` (pairs,) says so."""
        return self._replace(
            weight=np.where(mask[:, None], self.weight[:, ::-1], self.weight),
            edges=np.concatenate([self.edges, 1 - self.edges[:, ::-1]]),
            kind=self.kind + mask * len(self.edges),
        )

    def value_of_sampling(self, *, step: int, threshold: float) -> Floats:
        """How much `step` more gaps are expected to lower a pair's chance of a wrong verdict, (pairs,).

        By a normal distribution of u with this one's mean and variance V, and gaps that each carry the noise's Fisher
        information about it. With the share ρ of V that they take away, a verdict after them is wrong as often as two
        normal variables of mean E[u], correlated by √ρ, have different signs: 2 T(|E[u]| / √V, √((1 − ρ) / ρ)), T of
        Owen (1956). Before them it is wrong with probability Φ(−|E[u]| / √V).
        """
        from scipy import special

        mean = self.weight @ _CELLS
        variance = np.maximum(self.weight @ _CELLS**2 - mean**2, _TINY)
        more = variance * step * self.information  # ρ / (1 − ρ)
        away = np.abs(mean) / np.sqrt(variance)
        later = 2 * special.owens_t(away, 1 / np.sqrt(more))
        found: Floats = np.maximum(np.round(special.ndtr(-away) - later, _DIGITS), 0.0)
        return found

    def _quantile(self, level: float) -> Floats:
        up_to = np.concatenate([np.zeros((len(self.weight), 1)), np.cumsum(self.weight, axis=1)], axis=1)
        at = np.clip((up_to <= level).sum(axis=1) - 1, 0, self.weight.shape[1] - 1)[:, None]
        start, end = (self.edges[self.kind, at[:, 0] + more] for more in (0, 1))
        mass = np.take_along_axis(self.weight, at, axis=1)[:, 0]
        way = (level - np.take_along_axis(up_to, at, axis=1)[:, 0]) / np.maximum(mass, _TINY)
        found: Floats = start + np.clip(way, 0.0, 1.0) * (end - start)
        return found


def first_shape(gaps: Gaps) -> Shape:
    """A rough one, to begin with."""
    values = gaps.values
    scale = float(np.nanmedian(np.abs(values))) or 1.0
    means = np.nanmean(values, axis=1) / scale
    within = (
        float(np.sqrt(np.nanmean(np.nanvar(values[(~np.isnan(values)).sum(axis=1) > 1], axis=1, ddof=1)))) / scale
        if ((~np.isnan(values)).sum(axis=1) > 1).any()
        else 1.0
    )
    within = within if within > 0 else 1.0
    return Shape(
        scale=scale,
        place=(float(np.median(means)), 0.2, 0.2),
        apart=max(float(means.std()), 0.1),
        strangers=0.1,
        far=3 * max(float(means.std()), 0.1),
        spread=(float(np.log(within)), 0.0, 0.0),
        uneven=0.4,
        degrees=6.0,
        skew=0.0,
    )


def fit_shape(gaps: Gaps, *, threshold: float, start: Shape | None = None) -> Shape:
    """The likeliest shape, lightly penalised, by expectation and maximisation over the cells.

    Args:
        gaps: of pairs with at least one completion.
        threshold: τ.
        start: of a fit to nearly the same pairs.
    """
    shape = start or first_shape(gaps)
    before, moved = -np.inf, True
    for number in range(_ROUNDS):
        expected = _expect(shape, gaps, threshold)
        shape = _maximise(shape, gaps, expected)
        settled = expected.evidence - before < _ENOUGH * len(gaps.margin)
        if settled or number % 4 == 1:
            reshaped = _reshaped(shape, gaps, threshold)
            shape, moved = reshaped, reshaped != shape
            if settled and not moved:
                break
        before = expected.evidence
    return shape


def believe(shape: Shape, gaps: Gaps, *, threshold: float) -> GapBeliefs:
    """The posterior of some pairs given their gaps, or what is believed before the first."""
    weight = np.empty((len(gaps.margin), len(_CELLS)))
    for rows in _chunks(len(weight)):
        joint = _joint(shape, gaps.of(rows), threshold)[0].sum(axis=(1, 2))
        weight[rows] = joint / joint.sum(axis=1, keepdims=True)
    edges = np.stack([_consistency(_EDGES + _at(threshold, shape, skew), shape, skew) for skew in (-1, 0, 1)])
    edges[:, 0], edges[:, -1] = 0.0, 1.0
    degrees = shape.degrees
    information = np.full(len(weight), (degrees + 1) / (degrees + 3))
    return GapBeliefs(weight, edges, gaps.skew + 1, information)


def foresight(shape: Shape, gaps: Gaps, *, threshold: float) -> Floats:
    """How well each gap's sign is foretold by those before it: log-probabilities, (pairs, most), NaN where no gap.

    A gap of nought is half a win, and half of each log-probability.
    """
    scores = np.full(gaps.values.shape, np.nan)
    for rows in _chunks(len(scores)):
        some = gaps.of(rows)
        for number in range(some.values.shape[1]):
            has = ~np.isnan(some.values[:, number])
            if not has.any():
                break
            now = some.of(has)
            seen = now._replace(values=now.values[:, :number])
            chance = believe(shape, seen, threshold=threshold).mean()
            won = np.heaviside(now.values[:, number], 0.5)
            scores[np.flatnonzero(has) + (rows.start or 0), number] = log_score(won, chance)
    return scores


def log_score(won: Floats, chance: Floats) -> Floats:
    """Log-probability of wins that were foretold with a chance each; half a win is half of each log-probability."""
    chance = np.clip(chance, 1e-6, 1 - 1e-6)
    found: Floats = won * np.log(chance) + (1 - won) * np.log1p(-chance)
    return found


class _Expected(NamedTuple):
    """Sums over cells, with what is believed of each pair by the shape so far."""

    evidence: float  # log-likelihood of all gaps, with the penalty
    kind: Floats  # (pairs,), P(no stranger)
    place: Floats  # (pairs,), E[m | no stranger]
    place_spread: Floats  # (pairs,), Var[m | no stranger]
    far: Floats  # (pairs,), E[m² · stranger]
    spread: Floats  # (pairs,), E[log s]
    spread_spread: Floats  # (pairs,), Var[log s]


def _expect(shape: Shape, gaps: Gaps, threshold: float) -> _Expected:
    count = len(gaps.margin)
    columns = np.empty((6, count))
    evidence = _penalty(shape)
    for rows in _chunks(count):
        some = gaps.of(rows)
        joint, top = _joint(shape, some, threshold)
        total = joint.sum(axis=(1, 2, 3), keepdims=True)
        evidence += float((np.log(total[:, 0, 0, 0]) + top).sum())
        joint /= total
        spread = _spreads(shape, some)  # (pairs, nodes)
        place = (_CELLS + _thresholds(shape, some, threshold)[:, None])[:, None, :] * np.exp(spread)[:, :, None]
        known, strange = joint[:, 0], joint[:, 1]
        kind = np.maximum(known.sum(axis=(1, 2)), 1e-12)
        mean = (known * place).sum(axis=(1, 2)) / kind
        columns[0, rows] = kind
        columns[1, rows] = mean
        columns[2, rows] = (known * place**2).sum(axis=(1, 2)) / kind - mean**2
        columns[3, rows] = (strange * place**2).sum(axis=(1, 2))
        of_spread = joint.sum(axis=(1, 3))
        columns[4, rows] = (of_spread * spread).sum(axis=1)
        columns[5, rows] = (of_spread * spread**2).sum(axis=1) - columns[4, rows] ** 2
    return _Expected(evidence, *columns)


def _maximise(shape: Shape, gaps: Gaps, expected: _Expected) -> Shape:
    from scipy import optimize

    x = gaps.margin / shape.scale
    signs = [x, x * (1 - gaps.share_cut)]
    if gaps.value_gap is not None:
        signs.append(gaps.value_gap / shape.scale)
    design = np.stack([np.ones_like(x), *signs], axis=1)
    root = np.sqrt(expected.kind)[:, None]
    ridge = np.diag([0.0] + [0.1] * len(signs))  # pulls what nothing speaks for to nought
    place = optimize.lsq_linear(
        np.concatenate([design * root, ridge * shape.apart]),
        np.concatenate([expected.place * root[:, 0], np.zeros(1 + len(signs))]),
        bounds=([-np.inf] + [0.0] * len(signs), np.inf),
    ).x
    off = expected.place_spread + (expected.place - design @ place) ** 2
    apart = np.sqrt((expected.kind @ off + 0.01) / (expected.kind.sum() + 1.0))
    strange = (1 - expected.kind).sum()
    far = np.sqrt((expected.far.sum() + (3 * apart) ** 2) / (strange + 1.0))
    about = np.stack([np.ones_like(x), gaps.share_cut - 0.5, gaps.skew == 0], axis=1)
    gram = about.T @ about + np.diag([1e-9, 4 * shape.uneven**2, 4 * shape.uneven**2])
    slope = np.linalg.solve(gram, about.T @ expected.spread)
    uneven = expected.spread_spread + (expected.spread - about @ slope) ** 2
    return replace(
        shape,
        place=(float(place[0]), float(place[1]), float(place[2])),
        by_value=float(place[3]) if len(place) > 3 else 0.0,
        apart=float(max(apart, 0.02)),
        strangers=float((strange + 1) / (len(x) + 10)),
        far=float(max(far, 2 * apart)),
        spread=(float(slope[0] - slope[1] * 0.5), float(slope[1]), float(slope[2])),
        uneven=float(np.sqrt((uneven.sum() + 4 * 0.3**2) / (len(x) + 4))),
    )


def _reshaped(shape: Shape, gaps: Gaps, threshold: float) -> Shape:
    """With the tails and the skew that are likeliest among the neighbours of today's."""
    best, likely = shape, _evidence(shape, gaps, threshold)
    for name, values in (("degrees", _DEGREES), ("skew", _SKEWS)):
        at = int(np.argmin(np.abs(np.array(values) - getattr(best, name))))
        for other in (at - 1, at + 1):
            if 0 <= other < len(values):
                tried = replace(best, **{name: values[other]})
                if (found := _evidence(tried, gaps, threshold)) > likely:
                    best, likely = tried, found
    return best


def _evidence(shape: Shape, gaps: Gaps, threshold: float) -> float:
    found = _penalty(shape)
    for rows in _chunks(len(gaps.margin)):
        joint, top = _joint(shape, gaps.of(rows), threshold)
        found += float((np.log(joint.sum(axis=(1, 2, 3))) + top).sum())
    return found


def _penalty(shape: Shape) -> float:
    return -((shape.skew / _SKEW_SPREAD) ** 2) / 2


def _joint(shape: Shape, gaps: Gaps, threshold: float) -> tuple[Floats, Floats]:
    """Density of gaps with kind, spread and cell, (pairs, 2, nodes, cells), over exp of a number a pair, (pairs,)."""
    from scipy import special

    spread = _spreads(shape, gaps)
    size = np.exp(spread)
    middle = _thresholds(shape, gaps, threshold)
    edges = (_EDGES + middle[:, None])[:, None, :] * size[:, :, None]
    joint = np.empty((len(middle), 2, len(_NODES), len(_CELLS)))
    kinds = (
        (shape.foretold(gaps), shape.apart, 1 - shape.strangers),
        (np.zeros(len(middle)), shape.far, shape.strangers),
    )
    for kind, (mean, width, share) in enumerate(kinds):
        below = special.ndtr((edges - mean[:, None, None]) / width)
        below[..., 0], below[..., -1] = 0.0, 1.0  # the last cells have all that lies beyond
        # What is foretold may be far from what is seen, so no cell is ruled out.
        joint[:, kind] = np.maximum(np.diff(below, axis=-1) * share, _TINY)
    joint *= _SHARES[:, None]
    likely = _likelihood(shape, gaps, spread, middle)
    top: Floats = likely.max(axis=(1, 2))
    joint *= np.exp(likely - top[:, None, None])[:, None]
    return joint, top


def _likelihood(shape: Shape, gaps: Gaps, spread: Floats, middle: Floats) -> Floats:
    """Log-density of all gaps of a pair, (pairs, nodes, cells)."""
    from scipy import special

    found = np.zeros((len(middle), spread.shape[1], len(_CELLS)))
    degrees = shape.degrees
    constant = special.gammaln((degrees + 1) / 2) - special.gammaln(degrees / 2) - 0.5 * np.log(degrees * np.pi)
    tilt = shape.skew * gaps.skew
    constant = constant + np.log(2) - np.log(np.exp(tilt) + np.exp(-tilt)) - np.log(shape.scale)
    by_sign = np.exp(tilt)[:, None, None]
    for column in gaps.values.T / shape.scale:
        rows = np.flatnonzero(~np.isnan(column))
        if not len(rows):
            break
        z = (column[rows, None] * np.exp(-spread[rows]))[:, :, None] - (_CELLS + middle[rows, None])[:, None, :]
        z = np.where(z >= 0, z / by_sign[rows], z * by_sign[rows])
        found[rows] += (constant[rows, None] - spread[rows])[:, :, None] - (degrees + 1) / 2 * np.log1p(z * z / degrees)
    return found


def _spreads(shape: Shape, gaps: Gaps) -> Floats:
    """log s at the nodes, (pairs, nodes)."""
    constant, slope, of_two = shape.spread
    middle = constant + slope * gaps.share_cut + of_two * (gaps.skew == 0)
    found: Floats = middle[:, None] + shape.uneven * _NODES
    return found


def _thresholds(shape: Shape, gaps: Gaps, threshold: float) -> Floats:
    """u where the consistency is τ, (pairs,)."""
    return np.array([_at(threshold, shape, skew) for skew in (-1, 0, 1)])[gaps.skew + 1]


def _consistency(u: Floats, shape: Shape, skew: int) -> Floats:
    """P(u + e > 0), elementwise."""
    from scipy import special

    tilt = np.exp(shape.skew * skew)
    lower = 2 / (1 + tilt**2)  # twice the share of the noise below nought
    found: Floats = np.where(
        u >= 0,
        1 - lower * special.stdtr(shape.degrees, -u * tilt),
        (2 - lower) * special.stdtr(shape.degrees, u / tilt),
    )
    return found


def _at(consistency: float, shape: Shape, skew: int) -> float:
    """The u of a consistency."""
    from scipy import special

    tilt = float(np.exp(shape.skew * skew))
    lower = 2 / (1 + tilt**2)
    if consistency >= 1 - lower / 2:
        return float(-special.stdtrit(shape.degrees, (1 - consistency) / lower) / tilt)
    return float(special.stdtrit(shape.degrees, consistency / (2 - lower)) * tilt)


def _chunks(count: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]
