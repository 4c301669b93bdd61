"""report.html from a manifest, one scalar row per pair, and a few pairs with their texts."""

from collections.abc import Sequence
from typing import Any, Final

import polars as pl
import yaml

from transforms.audit.published_rates import LOWEST, PUBLISHED, evidence_in_words, verdict_of
from transforms.dataset.redaction import public
from transforms.errors import SchemaError
from transforms.records.manifest import Manifest, RateRecord, SpendRecord
from transforms.report.calibration import calibration_plot, error_in_words, group_plots, group_range
from transforms.report.chat_template import rows_that_cannot_be, template_in_words
from transforms.report.codes_in_words import DECIDED_BY, cut_in_words
from transforms.report.decided import decisions, rounds
from transforms.report.environment import render
from transforms.report.examples import Example
from transforms.report.figures import consistency_plots, kept_lengths, length_plots, margin_plot
from transforms.report.funnel import adds_up, distinct_sources, forest, funnel
from transforms.report.pairs import pair_table, pairs_script
from transforms.report.remarks import decisions_in_words, leak_rows, unread_rows
from transforms.report.replicas import replica_rows
from transforms.report.scales import Scale

COLUMNS: Final = (
    "pair_id",
    "source",
    "split",
    "reason",
    "prompt_tokens",
    "chosen_tokens",
    "rejected_tokens",
    "chosen_keep",
    "rejected_keep",
    "chosen_cut",
    "rejected_cut",
    "reward_chosen",
    "reward_rejected",
    "consistency",
    "consistency_low",
    "consistency_high",
    "consistency_by_reward",
    "n",
    "verdict",
    "decided_by",
    "p_keep",
    "expected",
    "audit",
)
_REWARDS: Final = ("reward_chosen", "reward_rejected")
_HAS_MARGIN: Final = pl.col("reward_chosen").is_not_null() & pl.col("reward_rejected").is_not_null()
_FACTS: Final = ("verdict", "consistency", "consistency_low", "consistency_high", "n")


def render_report(manifest: Manifest, rows: pl.DataFrame | pl.LazyFrame, examples: Sequence[Example]) -> str:
    """One HTML page that needs no network; its one script sorts and searches the table of pairs.

    Args:
        manifest: of the finished run; every count on the page is from here.
        rows: one scalar row per pair, kept and dropped alike, in any order; every distribution is from here. Of a
            LazyFrame no more is held than the columns of one figure at a time.
        examples: pairs to read, as `choose_examples` picked them.

    Raises:
        SchemaError: `rows` lacks a column, or has other numbers of kept and dropped pairs than the manifest.
    """
    rows = rows.lazy()
    _check(manifest, rows)
    kept = kept_lengths(rows)
    measured = rows.filter(pl.col("consistency").is_finite())
    table = pair_table(manifest, rows)
    headline = headline_rate(manifest)
    page = {
        "manifest": manifest,
        "cut": cut_in_words(manifest.config),
        "saved": saved_share(manifest),
        "headline": headline,
        "verdict": verdict_of(headline.low, headline.high) if headline else None,
        "evidence": evidence_in_words(),
        "low_sources": low_sources(manifest.consistency),
        "published": PUBLISHED,
        "lowest": LOWEST,
        "funnel": funnel(manifest.counts),
        "adds_up": adds_up(manifest.counts),
        "unread": unread_rows(manifest.sources),
        "leaks": leak_rows(manifest.sources),
        "remarks": decisions_in_words(manifest),
        "forest": forest(manifest.consistency) if manifest.consistency else None,
        "rates": _rate_table(manifest.consistency),
        "group_plots": group_plots(manifest.groups),
        "group_range": group_range,
        "decisions": decisions(manifest.decisions),
        "decided_by": DECIDED_BY,
        "calibration": calibration_plot(manifest.proxy.calibration) if manifest.proxy else None,
        "proxy_error": error_in_words(manifest.proxy) if manifest.proxy else "",
        "rounds": rounds(manifest.rounds),
        "lengths": length_plots(kept) if kept.height else [],
        "length_table": _length_table(manifest, kept),
        "margin": margin_plot(_collected(rows.filter(_HAS_MARGIN), "verdict", *_REWARDS)),
        "pair_plots": consistency_plots(_collected(measured, "pair_id", "verdict", "consistency", *_REWARDS)),
        "pair_facts": _pair_facts(_collected(measured, *_FACTS), rows),
        "table": table,
        "threshold": (manifest.config.get("consistency") or {}).get("threshold", 0.5),
        "examples": {
            "Kept": [example for example in examples if example.verdict == "keep"],
            "Dropped": [example for example in examples if example.verdict != "keep"],
        },
        "spends": _spends(manifest),
        "replicas": replica_rows(spend for _, _, spend in _spends(manifest)),
        "seconds": _seconds(manifest.seconds),
        "total_seconds": sum(manifest.seconds.values()),
        "template_words": template_in_words(manifest),
        "not_exact": rows_that_cannot_be(manifest.template),
        "recipe": yaml.safe_dump(public(manifest.config), sort_keys=False, allow_unicode=True),
    }
    return render("template.html.j2", page, script=pairs_script() if table else "")


def headline_rate(manifest: Manifest) -> RateRecord | None:
    """The rate of all sources against the recipe's own reference; None where nothing was sampled."""
    reference = (manifest.config.get("consistency") or {}).get("reference", "label")
    overall = [rate for rate in manifest.consistency if rate.source == "all"] or manifest.consistency[:1]
    return next((rate for rate in overall if rate.reference == reference), overall[0] if overall else None)


def low_sources(rates: Sequence[RateRecord]) -> list[RateRecord]:
    """Single sources whose rate against the label is lower than any that a training is published for."""
    mine = [rate for rate in rates if rate.source != "all" and rate.reference == "label"]
    return [rate for rate in mine if verdict_of(rate.low, rate.high) == "unsupported"]


def saved_share(manifest: Manifest) -> float:
    """Share of the kept pairs' response tokens that the cut saves."""
    tokens = manifest.tokens
    before = tokens.chosen_before + tokens.rejected_before
    return 1 - (tokens.chosen_after + tokens.rejected_after) / before if before else 0.0


def _collected(rows: pl.LazyFrame, *columns: str) -> pl.DataFrame:
    return rows.select(columns).collect(engine="streaming")


def _check(manifest: Manifest, rows: pl.LazyFrame) -> None:
    found_columns = rows.collect_schema().names()
    missing = [name for name in COLUMNS if name not in found_columns]
    if missing:
        message = f"rows of the report: missing columns: {', '.join(missing)}"
        raise SchemaError(message)
    found = rows.select(pairs=pl.len(), kept=(pl.col("verdict") == "keep").sum()).collect(engine="streaming")
    kept = int(found["kept"].item())
    dropped = int(found["pairs"].item()) - kept
    expected = manifest.counts.kept, sum(manifest.counts.dropped.values())
    if (kept, dropped) != expected:
        message = (
            f"rows of the report hold {kept} kept and {dropped} dropped pairs, "
            f"the manifest counts {expected[0]} and {expected[1]}; pass every pair that was not quarantined"
        )
        raise SchemaError(message)


def _rate_table(rates: Sequence[RateRecord]) -> list[tuple[str, dict[str, RateRecord]]]:
    """(source, rate by reference), all sources together first."""
    return [
        (source, {rate.reference: rate for rate in rates if rate.source == source})
        for source in distinct_sources(rates)
    ]


def _length_table(manifest: Manifest, kept: pl.DataFrame) -> list[dict[str, Any]]:
    """Tokens of the kept pairs: sums from the manifest, medians from the rows."""
    table = []
    for side in ("chosen", "rejected"):
        before = getattr(manifest.tokens, f"{side}_before")
        after = getattr(manifest.tokens, f"{side}_after")
        table.append(
            {
                "side": side,
                "before": before,
                "after": after,
                "saved": 1 - after / before if before else 0.0,
                "median_before": kept[f"{side}_tokens"].median() if kept.height else None,
                "median_after": kept[f"{side}_keep"].median() if kept.height else None,
                "cut": kept[f"{side}_cut"].mean() if kept.height else None,
            }
        )
    return table


def _pair_facts(measured: pl.DataFrame, rows: pl.LazyFrame) -> dict[str, Any] | None:
    """Numbers for the caption of the per-pair figures."""
    if measured.is_empty():
        return None
    kept = measured.filter(pl.col("verdict") == "keep")
    sampled = measured.filter(pl.col("n") > 0)
    return {
        "pairs": measured.height,
        "sampled": sampled.height,
        "n": sampled["n"].median(),
        "n_low": sampled["n"].min(),
        "n_high": sampled["n"].max(),
        "proxy": rows.select((pl.col("decided_by").cast(pl.String) == "proxy").sum()).collect().item(),
        "width": sampled.select((pl.col("consistency_high") - pl.col("consistency_low")).mean()).item(),
        "perfect": measured.filter(pl.col("consistency") == 1).height,
        "kept_mean": kept["consistency"].mean(),
    }


def _spends(manifest: Manifest) -> list[tuple[str, str, SpendRecord]]:
    """(kind of call, its model, what it cost)."""
    made = manifest.generated
    kinds = (
        ("Responses", ", ".join(model.name for model in made.policies), made.completions) if made else None,
        ("Annotations", ", ".join(model.name for model in made.annotators), made.scores) if made else None,
        ("Completions", manifest.policy.name if manifest.policy else "", manifest.completions),
        ("Scores", manifest.reward.name if manifest.reward else "", manifest.scores),
    )
    return [(name, models, spend) for name, models, spend in filter(None, kinds) if spend]


def _seconds(seconds: dict[str, float]) -> list[tuple[str, float, float]]:
    """(stage, seconds, percent of the longest)."""
    scale = Scale(0, max(seconds.values(), default=0.0) or 1.0)
    return [(stage.replace("_", " "), spent, scale.at(spent)) for stage, spent in seconds.items()]
