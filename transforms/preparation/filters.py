"""Rules that drop pairs: each a measure, a limit from the recipe and a reason that a table can be asked for."""

from typing import NamedTuple

import polars as pl


class Rule(NamedTuple):
    """Drop a pair where `measure` is below (or above) the limit. A null measure drops nothing."""

    reason: str  # also the key under `filters:` in the recipe
    measure: pl.Expr
    keep_above: bool


_PROMPT_TOKENS = pl.col("prompt_ids").list.len()
_KEPT = pl.min_horizontal("chosen_keep", "rejected_keep")
_KEPT_SHARE = (pl.col("chosen_keep") + pl.col("rejected_keep")) / (
    pl.col("chosen_ids").list.len() + pl.col("rejected_ids").list.len()
)

# Before anything is paid for.
EARLY = (
    Rule("min_score_margin", pl.col("chosen_score") - pl.col("rejected_score"), keep_above=True),
    Rule("max_prompt_tokens", _PROMPT_TOKENS, keep_above=False),
    Rule("min_kept_tokens", _KEPT, keep_above=True),
    Rule("min_kept_share", _KEPT_SHARE, keep_above=True),
)
# After scoring.
LATE = (Rule("min_reward_margin", pl.col("reward_chosen") - pl.col("reward_rejected"), keep_above=True),)


def apply(frame: pl.DataFrame, rules: tuple[Rule, ...], limits: dict[str, float | None]) -> pl.DataFrame:
    """Fill `reason` with the first rule that a pair breaks; reasons that are there stay.

    Args:
        frame: pairs with the columns that the measures need.
        rules: EARLY or LATE.
        limits: reason → limit; None is off.
    """
    reason = pl.col("reason")
    for rule in rules:
        limit = limits.get(rule.reason)
        if limit is None:
            continue
        broken = rule.measure < limit if rule.keep_above else rule.measure > limit
        reason = pl.coalesce(reason, pl.when(broken).then(pl.lit(rule.reason)))
    return frame.with_columns(reason=reason)
