"""How far the numbers of two versions are apart: consistency, lengths, margins, sources and costs."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import polars as pl

from transforms.records.difference import (
    CostShift,
    LengthShift,
    MarginShift,
    PairedDifference,
    RateDifference,
    SourceShift,
    Spread,
)
from transforms.records.manifest import Manifest, RateRecord, ShareRecord
from transforms.statistics.clustered import clustered_difference, clustered_mean
from transforms.statistics.intervals import Floats, MeanRecord, wilson
from transforms.tables.schema import PROMPT_DIGITS
from transforms.versions.matched_rows import NEW, OLD

ALL: Final = "all"
SIDES: Final[tuple[Literal["chosen", "rejected"], ...]] = ("chosen", "rejected")


class ConsistencyShift(NamedTuple):
    """Of all pairs of each version, and of the pairs that both have."""

    rates: list[RateDifference]
    paired: list[PairedDifference]


def source_names(matched: pl.DataFrame) -> list[str]:
    """`all`, then every source of either version; a single one is the same as all of them and is left out."""
    names = pl.concat([matched["source" + OLD], matched["source" + NEW]]).drop_nulls().unique().sort().to_list()
    return [ALL, *names] if len(names) > 1 else [ALL]


def consistency_shift(old: Manifest, new: Manifest, matched: pl.DataFrame) -> ConsistencyShift:
    """How much more often the cut keeps the order, of everything and pair by pair."""
    sources = source_names(matched)
    rates = []
    for one in old.consistency:
        other = next((x for x in new.consistency if (x.source, x.reference) == (one.source, one.reference)), None)
        if other is not None and one.source in sources:
            rates.append(_rate_difference(one, other))
    common = matched.filter(pl.col("change").is_in(["same", "verdict"]))
    paired = [_paired(_of(common, name, NEW), name) for name in sources]
    return ConsistencyShift(rates, [one for one in paired if one.judged])


def length_shift(matched: pl.DataFrame, *, same_tokenizer: bool) -> list[LengthShift]:
    """Response tokens of the kept pairs of each version."""
    found = []
    for name in source_names(matched):
        kept = {side: _kept(matched, name, side) for side in (OLD, NEW)}
        both = _of(matched, name, NEW).filter(_kept_in_both())
        for side in SIDES:
            change = (both[f"{side}_keep{NEW}"] - both[f"{side}_keep{OLD}"]).cast(pl.Float64).to_numpy()
            found.append(
                LengthShift(
                    source=name,
                    side=side,
                    old_full=spread(kept[OLD][f"{side}_tokens{OLD}"]),
                    new_full=spread(kept[NEW][f"{side}_tokens{NEW}"]),
                    old=spread(kept[OLD][f"{side}_keep{OLD}"]),
                    new=spread(kept[NEW][f"{side}_keep{NEW}"]),
                    paired=_mean(change, _prompts(both)) if same_tokenizer else None,
                )
            )
    return found


def margin_shift(matched: pl.DataFrame) -> list[MarginShift]:
    """Reward margins of the kept pairs of each version; empty where neither was scored."""
    found = []
    for name in source_names(matched):
        margins = {}
        for side in (OLD, NEW):
            kept = _kept(matched, name, side)
            margins[side] = (kept[f"reward_chosen{side}"] - kept[f"reward_rejected{side}"]).drop_nulls()
        if any(len(values) for values in margins.values()):
            agrees = [_share(margins[side] > 0) for side in (OLD, NEW)]
            spreads = [spread(margins[side]) for side in (OLD, NEW)]
            found.append(
                MarginShift(source=name, old=spreads[0], new=spreads[1], old_agrees=agrees[0], new_agrees=agrees[1])
            )
    return found


def source_shift(matched: pl.DataFrame) -> list[SourceShift]:
    """Pairs and kept pairs by source."""
    return [
        SourceShift(
            source=name,
            old_pairs=_of(matched, name, OLD)[f"outcome{OLD}"].count(),
            new_pairs=_of(matched, name, NEW)[f"outcome{NEW}"].count(),
            old_kept=_kept(matched, name, OLD).height,
            new_kept=_kept(matched, name, NEW).height,
        )
        for name in source_names(matched)
    ]


def cost_shift(old: Manifest, new: Manifest) -> list[CostShift]:
    """What the model calls of each version cost."""
    costs = [
        CostShift(kind="completions", old=old.completions, new=new.completions),
        CostShift(kind="rewards", old=old.scores, new=new.scores),
    ]
    return [one for one in costs if one.old or one.new]


def spread(values: pl.Series) -> Spread:
    """Mean, 10 %, median and 90 %."""
    numbers = values.drop_nulls().cast(pl.Float64)
    if numbers.is_empty():
        return Spread(count=0, mean=None, low=None, median=None, high=None)
    array = numbers.to_numpy()
    low, median, high = np.quantile(array, [0.1, 0.5, 0.9]).tolist()
    return Spread(count=len(array), mean=float(array.mean()), low=low, median=median, high=high)


def _rate_difference(old: RateRecord, new: RateRecord) -> RateDifference:
    """Newcombe's interval (Statistics in Medicine 17, 1998, method 10): the two Wilson intervals put together."""
    difference = new.rate - old.rate
    below = float(np.hypot(new.rate - new.low, old.high - old.rate))
    above = float(np.hypot(new.high - new.rate, old.rate - old.low))
    return RateDifference(
        source=old.source,
        reference=old.reference,
        old=old,
        new=new,
        difference=difference,
        low=max(-1.0, difference - below),
        high=min(1.0, difference + above),
    )


def _paired(common: pl.DataFrame, source: str) -> PairedDifference:
    from scipy import stats

    judged = common.filter((pl.col(f"outcome{OLD}") != "quarantine") & (pl.col(f"outcome{NEW}") != "quarantine"))
    known = [pl.col(f"consistency{side}").is_not_null() for side in (OLD, NEW)]
    measured = judged.filter(*known)
    gained = judged.filter(pl.col(f"outcome{OLD}") < pl.col(f"outcome{NEW}")).height  # drop < keep
    lost = judged.filter(pl.col(f"outcome{OLD}") > pl.col(f"outcome{NEW}")).height
    return PairedDifference(
        source=source,
        measured=measured.height,
        by_label=_consistency(measured, "consistency"),
        by_reward=_consistency(measured, "consistency_by_reward"),
        judged=judged.height,
        gained=gained,
        lost=lost,
        p_value=float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else None,
    )


def _consistency(measured: pl.DataFrame, name: str) -> MeanRecord | None:
    change = (measured[f"{name}{NEW}"] - measured[f"{name}{OLD}"]).to_numpy()
    return clustered_difference(change, _prompts(measured)) if len(change) else None


def _of(matched: pl.DataFrame, source: str, side: str) -> pl.DataFrame:
    """Rows of a source, as one side names it."""
    return matched if source == ALL else matched.filter(pl.col(f"source{side}") == source)


def _kept(matched: pl.DataFrame, source: str, side: str) -> pl.DataFrame:
    return _of(matched, source, side).filter(pl.col(f"outcome{side}") == "keep")


def _kept_in_both() -> pl.Expr:
    kept = (pl.col(f"outcome{OLD}") == "keep") & (pl.col(f"outcome{NEW}") == "keep")
    return kept & pl.col("change").is_in(["same", "verdict"])


def _prompts(rows: pl.DataFrame) -> Sequence[str]:
    prompts: list[str] = rows[f"pair_id{NEW}"].str.slice(0, PROMPT_DIGITS).to_list()
    return prompts


def _mean(values: Floats, prompts: Sequence[str]) -> MeanRecord | None:
    return clustered_mean(values, prompts) if len(values) else None


def _share(values: pl.Series) -> ShareRecord | None:
    if values.is_empty():
        return None
    found = wilson(float(values.sum()), len(values))
    return ShareRecord(value=found.value, low=found.low, high=found.high, count=len(values))
