"""What a verdict would have been by other rules: the proof of whether a changed setting changed it.

A run's tables hold each pair's evidence (lengths, scores, rewards, completions and the share that was consistent), so
its verdict can be computed anew by the rules of another recipe. Where the evidence does not say, because those rules
would have asked for more of it or a proxy's prior is not in the tables, the answer is "not known".
"""

from typing import Any, Final, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from transforms.consistency.beliefs import Beliefs

# Reasons that the rules below give; any other belongs to the data or to the cut, and no rule takes it back.
OF_RULES: Final = (
    "inconsistent", "undecided", "min_score_margin", "max_prompt_tokens", "min_kept_tokens", "min_kept_share",
    "min_reward_margin",
)  # fmt: skip
Verdict = Literal["keep", "drop"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Policy(_Section):
    engine: str


class _Sampling(_Section):
    n: int
    step: int = 1


class _Consistency(_Section):
    threshold: float
    delta: float
    reference: Literal["label", "reward"]
    prior: tuple[float, float]
    estimator: Literal["counts", "rewards"] = "counts"  # what recipes without these two keys did
    stop_below: float | None = None


class _Proxy(_Section):
    error: float
    values: bool = False  # likewise


class _Budget(_Section):
    undecided: Verdict


class _Filters(_Section):
    min_score_margin: float | None
    min_reward_margin: float | None
    max_prompt_tokens: int | None
    min_kept_tokens: int | None
    min_kept_share: float | None


class VerdictRules(_Section):
    """The part of a recipe that turns evidence into verdicts; its other keys are ignored."""

    policy: _Policy
    sampling: _Sampling
    consistency: _Consistency
    proxy: _Proxy | None
    budget: _Budget
    filters: _Filters

    @classmethod
    def of(cls, config: dict[str, Any]) -> "VerdictRules | None":
        """Of a manifest's recipe; None where an older or newer release wrote it without these keys."""
        try:
            return cls.model_validate(config)
        except ValidationError:
            return None

    @property
    def samples(self) -> bool:
        """Whether pairs are judged at all."""
        return self.policy.engine != "none"


def verdicts_by(rows: pl.DataFrame, mine: VerdictRules, rules: VerdictRules) -> pl.Series:
    """keep, drop or null (not known) for each row's evidence by `rules`, (rows,).

    Args:
        rows: version_rows.ROWS; null for quarantined rows.
        mine: the rules that the rows were made by: they say what `p_keep` is the probability of.
        rules: to judge by.
    """
    fixed = pl.col("reason").is_not_null() & ~pl.col("reason").is_in(OF_RULES)
    judged = rows.with_columns(_judged=_judged(rows, mine, rules))
    late = _below(pl.col("reward_chosen") - pl.col("reward_rejected"), rules.filters.min_reward_margin)
    verdict = (
        pl.when(pl.col("outcome") == "quarantine")
        .then(None)
        .when(fixed | _early(rules.filters))
        .then(pl.lit("drop"))
        .when((pl.col("_judged") == "keep") & late & pl.lit(rules.samples))
        .then(pl.lit("drop"))
        .otherwise("_judged")
    )
    return judged.select(verdict=verdict.cast(pl.String))["verdict"]


def _early(filters: _Filters) -> pl.Expr:
    """The filters before sampling (transforms.preparation.filters.EARLY), of numbers instead of ids."""
    kept = pl.col("chosen_keep") + pl.col("rejected_keep")
    share = kept / (pl.col("chosen_tokens") + pl.col("rejected_tokens"))
    limit = filters.max_prompt_tokens
    long = pl.lit(False) if limit is None else pl.col("prompt_tokens") > limit
    return (
        _below(pl.col("chosen_score") - pl.col("rejected_score"), filters.min_score_margin)
        | _below(pl.min_horizontal("chosen_keep", "rejected_keep"), filters.min_kept_tokens)
        | _below(share, filters.min_kept_share)
        | long.fill_null(False)
    )


def _below(measure: pl.Expr, limit: float | None) -> pl.Expr:
    return pl.lit(False) if limit is None else (measure < limit).fill_null(False)


def _judged(rows: pl.DataFrame, mine: VerdictRules, rules: VerdictRules) -> pl.Series:
    """The verdict on consistency alone."""
    if not rules.samples:
        return pl.Series(["keep"], dtype=pl.String).new_from_index(0, rows.height)
    rule = rules.consistency
    above, mean = _posterior(rows, mine, rules)
    frame = rows.select("decided_by", "n").with_columns(_above=above, _mean=mean)
    by, n = pl.col("decided_by"), pl.col("n")
    keep, drop = pl.lit("keep"), pl.lit("drop")
    proxied = _proxied(mine, rules)
    verdict = (
        pl.when(by.is_null())
        .then(None)
        .when(by == "uncut")
        .then(keep)
        .when(by == "proxy")
        .then(pl.when(pl.lit(proxied)).then(pl.when(pl.col("_above") >= 0.5).then(keep).otherwise(drop)))
        .when((n > 0) & (pl.col("_above") >= 1 - rule.delta))
        .then(keep)
        .when((n > 0) & (pl.col("_above") <= rule.delta))
        .then(drop)
        .when((n > 0) & pl.col("_above").is_null())
        .then(None)
        .when((n > 0) & (n >= rules.sampling.n))
        .then(pl.when(pl.col("_mean") >= rule.threshold).then(keep).when(pl.col("_mean").is_not_null()).then(drop))
        .when((by == "stopped") & pl.lit(_stops(mine, rules)) & pl.col("_above").is_not_null())
        .then(pl.when(pl.col("_above") >= 0.5).then(keep).otherwise(drop))
        # A pair that was open when the budget ended may have been worth no more completions before.
        .when((by == "undecided") & ((n == 0) | pl.lit(_never_stops_sooner(mine, rules))))
        .then(pl.lit(rules.budget.undecided))
    )
    return frame.select(verdict=verdict.cast(pl.String))["verdict"]


def _stops(mine: VerdictRules, rules: VerdictRules) -> bool:
    """Whether a pair that was worth no completion more would be worth none by the other rules."""
    before, now = mine.consistency.stop_below, rules.consistency.stop_below
    if before is None or now is None or now < before:
        return False
    # At another threshold the same completions may leave much to learn, and so may more of them, or other rounds.
    looks = [(one.sampling.n, one.sampling.step) for one in (mine, rules)]
    return looks[0] == looks[1] and _same_question(mine, rules)


def _never_stops_sooner(mine: VerdictRules, rules: VerdictRules) -> bool:
    """Whether the other rules give up no pair that these went on with."""
    before, now = mine.consistency.stop_below, rules.consistency.stop_below
    return now is None or (before is not None and now <= before)


def _proxied(mine: VerdictRules, rules: VerdictRules) -> bool:
    """Whether a pair that the proxy decided alone would be decided so by the other rules too."""
    return rules.proxy == mine.proxy and _same_question(mine, rules)


def _same_question(mine: VerdictRules, rules: VerdictRules) -> bool:
    """Whether `p_keep` is the probability that the other rules ask for."""
    asked = [one.consistency.model_copy(update={"delta": 0.0, "stop_below": None}) for one in (mine, rules)]
    return asked[0] == asked[1]


def _same_signs(mine: VerdictRules, rules: VerdictRules) -> bool:
    """Whether what foretold a pair's completions would foretell them by the other rules."""
    signs = [None if one.proxy is None else one.proxy.values for one in (mine, rules)]
    return signs[0] == signs[1]


def _posterior(rows: pl.DataFrame, mine: VerdictRules, rules: VerdictRules) -> tuple[pl.Series, pl.Series]:
    """P(consistency ≥ τ) and the posterior mean, by `rules`; null where the tables do not hold them.

    Without a proxy and by counting, a pair's posterior is Beta(prior + wins, prior + losses) (Evidence.posterior).
    A proxy's prior and the shape of gaps are the pair's and the run's own and in no table: what they left is
    `p_keep`, and where n_max decided, on which side of τ the mean is.
    """
    rule = rules.consistency
    share = "consistency" if rule.reference == "label" else "consistency_by_reward"
    counted = all(one.proxy is None and one.consistency.estimator == "counts" for one in (mine, rules))
    if counted:
        n = rows["n"].fill_null(0).to_numpy().astype(np.int64)
        wins = rows[share].fill_null(0.0).to_numpy() * n
        found = Beliefs.alike(len(n), *rule.prior).after(wins, n)
        return pl.Series(found.above(rule.threshold)), pl.Series(found.mean())
    if not _same_signs(mine, rules) or not _same_question(mine, rules):
        nothing = pl.Series([None], dtype=pl.Float64).new_from_index(0, rows.height)
        return nothing, nothing
    side = pl.when(pl.col("reason") == "inconsistent").then(0.0).otherwise(1.0)
    known = pl.when(pl.col("decided_by") == "n_max").then(side)
    return rows["p_keep"], rows.select(known.alias("mean"))["mean"]
