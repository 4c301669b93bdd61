"""Curves of an audit: how sure the policy is at each position, and what a prefix is worth by how much is kept.

By position: POET (arXiv 2506.09457) fig. 2. Prefix quality ΔQ(k) = Q(y_w,≤k) − Q(y_l,≤k): POET fig. 3, where
Q(y_≤k) is the expected reward of completions of the prefix (methods §3). Pairs of one prompt are alike, so all
intervals are Student's t over prompts (`transforms.statistics.clustered`); a point of fewer than two prompts
has none and is left out.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.asking.requests import Prefix, PrefixSample
from transforms.engines.protocol import Positions
from transforms.preparation.truncation import Truncation, keeps
from transforms.records.audit import CurvePoint, PositionCurves
from transforms.statistics.clustered import clustered_mean, clustered_rank_correlation
from transforms.statistics.intervals import MeanRecord
from transforms.tables.schema import PROMPT_DIGITS, SIDES, Side

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Cut(NamedTuple):
    """One point of a quality curve: where it stands, and how many tokens of each response it keeps."""

    at: float  # kept tokens, or kept ratio
    keep: Mapping[Side, Ints]  # shape (pairs,), at least 1 and at most the response's length


class PrefixKey(NamedTuple):
    """A prefix whatever table its pair lies in."""

    pair_id: str
    side: Side
    keep: int


def position_curves(positions: Mapping[Side, Sequence[Positions]], prompts: Sequence[str]) -> list[PositionCurves]:
    """Entropy and log-probability of the data by response position, one entry a side.

    Each pair's numbers are averaged within a bin of positions, then over the pairs that reach it.

    Args:
        positions: of the policy on the full responses, one entry a pair.
        prompts: of each pair.
    """
    return [
        PositionCurves(
            side=side,
            entropy=binned([one.entropy for one in found], prompts),
            log_prob=binned([one.log_prob for one in found], prompts),
        )
        for side, found in positions.items()
    ]


def prompts_of(pairs: pa.Table) -> list[str]:
    """What each pair's prompt is known by; of any table with pair ids."""
    return [key[:PROMPT_DIGITS] for key in pairs["pair_id"].to_pylist()]


def binned(rows: Sequence[npt.NDArray[np.float32]], prompts: Sequence[str]) -> list[CurvePoint]:
    """A measure by response position; each point stands at the mean of the positions that it averages.

    Args:
        rows: of every token of a response, one entry a response.
        prompts: of each response.
    """
    names = np.array(prompts, object)
    starts = bin_starts(max(map(len, rows), default=0))
    values = np.full((len(rows), len(starts)), np.nan)
    centres = np.full_like(values, np.nan)
    for index, row in enumerate(rows):
        reached = starts[starts < len(row)]
        ends = np.append(reached[1:], len(row))
        values[index, : len(reached)] = np.add.reduceat(row, reached, dtype=np.float64) / (ends - reached)
        centres[index, : len(reached)] = (reached + 1 + ends) / 2
    points = []
    for column in range(len(starts)):
        reach = ~np.isnan(values[:, column])
        points.append(mean_point(float(centres[reach, column].mean()), values[reach, column], names[reach].tolist()))
    return [point for point in points if point is not None]


def bin_starts(longest: int) -> Ints:
    """First positions of the bins, counted from 0: positions 1, 2, 3, 4, 5–6, 7–8, 9–12, 13–16, 17–24, …

    Two bins for each doubling, so that late ones, which few responses reach, hold more positions.
    """
    doublings = 2 ** np.arange(max(longest, 1).bit_length(), dtype=np.int64)
    starts = np.unique(np.concatenate([[0], doublings, 3 * doublings]))
    return starts[starts < longest]


def mean_point(at: float, values: Floats, prompts: Sequence[str]) -> CurvePoint | None:
    """Mean and 95 % interval of one value a pair; None for fewer than two prompts.

    Args:
        at: where it stands.
        values: (values,).
        prompts: of each value.
    """
    if len(set(prompts)) < 2:
        return None
    mean = clustered_mean(values, prompts)
    if mean.low is None or mean.high is None:
        return None
    return CurvePoint(at=at, mean=mean.value, low=mean.low, high=mean.high, pairs=len(values))


def token_cuts(pairs: pa.Table, tokens: Sequence[int]) -> list[Cut]:
    """Keep at most so many tokens of each response.

    Args:
        pairs: schema.TRUNCATED; its own keeps are not read.
        tokens: each at least 1.
    """
    return [cut_by(pairs, Truncation(method="tokens", tokens=k), at=k) for k in tokens]


def cutting_tokens(pairs: pa.Table, tokens: Sequence[int]) -> list[int]:
    """Those of `tokens`, in order, that cut at least one response of schema.TRUNCATED."""
    longest = max((int(_lengths(pairs, side).max()) for side in SIDES if len(pairs)), default=0)
    return [k for k in sorted(tokens) if k < longest]


def ratio_cuts(pairs: pa.Table, ratios: Sequence[float]) -> list[Cut]:
    """Keep max(1, ⌊ρ·|y|⌋) tokens of each response.

    Args:
        pairs: schema.TRUNCATED; its own keeps are not read.
        ratios: each in (0, 1].
    """
    return [cut_by(pairs, Truncation(method="ratio", ratio=ratio), at=ratio) for ratio in ratios]


def cut_prefixes(pairs: pa.Table, cuts: Sequence[Cut], n: int) -> list[Prefix]:
    """What must be completed for the cuts: each prefix once, in the order of the pairs, shorter ones first.

    `requests.sample_prefixes` makes requests of them, with the ids that the truncation of a run gives the
    same prefixes.

    Args:
        pairs: schema.TRUNCATED; pairs that have a reason are left out.
        cuts: of these pairs.
        n: completions of each prefix.
    """
    live = pc.is_null(pairs["reason"]).to_numpy()
    lengths = {side: _lengths(pairs, side) for side in SIDES}
    return [
        Prefix(row, side, keep, range(n))
        for row in np.flatnonzero(live).tolist()
        for side in SIDES
        for keep in sorted({int(cut.keep[side][row]) for cut in cuts})
        if keep < lengths[side][row]
    ]


def rewards_by_prefix(
    pairs: pa.Table, samples: Sequence[PrefixSample | Prefix], rewards: Sequence[float]
) -> dict[PrefixKey, list[float]]:
    """The rewards of each prefix's completions, or of the prefixes as they are.

    Args:
        pairs: the table that the samples' rows count in.
        samples: what was sampled, or read.
        rewards: of each of them; NaN where the reward model gave none.
    """
    ids = pairs["pair_id"].to_pylist()
    found: dict[PrefixKey, list[float]] = {}
    for sample, reward in zip(samples, rewards, strict=True):
        found.setdefault(PrefixKey(ids[sample.pair_row], sample.side, sample.keep), []).append(reward)
    return found


def quality_curve(
    pairs: pa.Table,
    cuts: Sequence[Cut],
    full: Mapping[str, Mapping[Side, float]],
    drawn: Mapping[PrefixKey, Sequence[float]],
) -> list[CurvePoint]:
    """ΔQ of each cut: the mean over a prefix's completions, chosen minus rejected, then the mean over pairs.

    A side that the cut leaves whole counts with its full response's reward. A pair is in a point only if all
    its rewards there are finite: one that lacks some (no reward, or a prefix that fills the policy's context)
    is left out of it, never judged by the rest. `pairs` of the point says how many are in.

    Args:
        pairs: schema.TRUNCATED; pairs that have a reason are left out.
        cuts: of these pairs.
        full: rewards of the full responses by pair id; a pair that is not in there is left out.
        drawn: rewards of completions, as `rewards_by_prefix` sorts them.

    Returns:
        A point a cut, in their order, without those of fewer than two prompts.
    """
    prompts = np.array(prompts_of(pairs), object)
    points = []
    for cut, gaps in zip(cuts, quality_gaps(pairs, cuts, full, drawn), strict=True):
        known = np.isfinite(gaps)
        points.append(mean_point(cut.at, gaps[known], prompts[known].tolist()))
    return [point for point in points if point is not None]


def quality_gaps(
    pairs: pa.Table,
    cuts: Sequence[Cut],
    full: Mapping[str, Mapping[Side, float]],
    drawn: Mapping[PrefixKey, Sequence[float]],
) -> Floats:
    """What each point of `quality_curve` is the mean of, (cuts, pairs); NaN for a pair that is not in it."""
    ids, reasons = pairs["pair_id"].to_pylist(), pairs["reason"].to_pylist()
    rows = [row for row, key in enumerate(ids) if reasons[row] is None and key in full]
    lengths = {side: _lengths(pairs, side) for side in SIDES}

    def quality(row: int, side: Side, keep: int) -> float:
        if keep >= lengths[side][row]:
            return full[ids[row]][side]
        rewards = drawn.get(PrefixKey(ids[row], side, keep), ())
        return sum(rewards) / len(rewards) if rewards else np.nan

    gaps = np.full((len(cuts), len(ids)), np.nan)
    for number, cut in enumerate(cuts):
        chosen, rejected = ([quality(row, side, int(cut.keep[side][row])) for row in rows] for side in SIDES)
        gaps[number, rows] = np.array(chosen) - np.array(rejected)
    return gaps


def values_agree(
    pairs: pa.Table,
    cuts: Sequence[Cut],
    full: Mapping[str, Mapping[Side, float]],
    drawn: Mapping[PrefixKey, Sequence[float]],
    values: Mapping[PrefixKey, Sequence[float]],
) -> MeanRecord | None:
    """Rank correlation of ΔQ by values and ΔQ by completions of a cut's pairs, over all cuts; None where there is none.

    Ranks are taken within each cut, so that two curves that rise together do not pass for pairs that agree. Pairs that
    a cut leaves a side whole of are left out: both ways know the same reward of it.

    Args:
        pairs: schema.TRUNCATED, as for `quality_curve`.
        cuts: of these pairs.
        full: rewards of the full responses by pair id.
        drawn: rewards of completions.
        values: of the prefixes as they are.
    """
    sampled, read = (quality_gaps(pairs, cuts, full, known) for known in (drawn, values))
    prompts = np.array(prompts_of(pairs), object)
    ranks: list[tuple[Floats, Floats]] = []
    clusters: list[str] = []
    for cut, by_completions, by_values in zip(cuts, sampled, read, strict=True):
        known = np.isfinite(by_completions) & np.isfinite(by_values)
        known &= np.all([cut.keep[side] < _lengths(pairs, side) for side in SIDES], axis=0)
        ranks.append((_ranks(by_values[known]), _ranks(by_completions[known])))
        clusters += prompts[known].tolist()
    if not ranks:
        return None
    one, other = (np.concatenate(side) for side in zip(*ranks, strict=True))
    return clustered_rank_correlation(one, other, clusters)


def _ranks(values: Floats) -> Floats:
    """Ranks as places between −½ and ½, so that those of few values and of many compare."""
    from scipy import stats

    found: Floats = stats.rankdata(values) / (len(values) + 1) - 0.5
    return found


def cut_by(pairs: pa.Table, truncation: Truncation, *, at: float) -> Cut:
    """What a truncation keeps of each response.

    Args:
        pairs: schema.TRUNCATED; its own keeps are not read.
        truncation: the rule.
        at: where the cut stands on its curve.
    """
    kept = keeps(
        truncation,
        prompt_tokens=_lengths(pairs, "prompt"),
        chosen_tokens=_lengths(pairs, "chosen"),
        rejected_tokens=_lengths(pairs, "rejected"),
        chosen_end=pairs["chosen_finished"].to_numpy().astype(np.int64),
        rejected_end=pairs["rejected_finished"].to_numpy().astype(np.int64),
        max_length=None,
        lead=pairs["lead_tokens"].to_numpy().astype(np.int64),
    )
    return Cut(at, {"chosen": kept.chosen, "rejected": kept.rejected})


def _lengths(pairs: pa.Table, part: str) -> Ints:
    lengths: Ints = pc.list_value_length(pairs[f"{part}_ids"]).to_numpy().astype(np.int64)
    return lengths
