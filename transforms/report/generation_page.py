"""report.html of a generation: what became of the prompts, who answered, who judged, and what that is worth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import yaml

from transforms.dataset.redaction import public
from transforms.records.generation import GenerationManifest
from transforms.records.manifest import SpendRecord
from transforms.report.codes_in_words import ended_in_words, status_in_words, unpaired_in_words
from transforms.report.environment import render
from transforms.report.figures import numbers
from transforms.report.generation_figures import annotator_plots, length_plots, margin_plot, policy_plots
from transforms.report.generation_rows import AnsweredPrompt, QuarantineSummary, check_rows, score_columns
from transforms.report.generation_words import (
    aggregate_in_words,
    agreement_matrix,
    length_in_words,
    longer_chosen,
    measures,
    policy_sides,
    price,
    prompt_funnel,
    remarks,
    response_funnel,
    rule_in_words,
    sampling_rows,
)
from transforms.report.replicas import replica_rows
from transforms.report.scales import Scale

QUANTILES = {"lowest": 0.0, "a tenth": 0.1, "half": 0.5, "nine tenths": 0.9, "highest": 1.0}


def render_generation(
    manifest: GenerationManifest,
    responses: pl.DataFrame,
    pairs: pl.DataFrame,
    examples: Sequence[AnsweredPrompt] = (),
    quarantined: QuarantineSummary | None = None,
) -> str:
    """One HTML page that needs no network and runs no script.

    Args:
        manifest: of the finished generation; every count on the page is from here.
        responses: one scalar row a response in the order of prompts (`generation_rows.RESPONSE_COLUMNS`, and a
            `score_NAME` an annotator and objective); every distribution is from here.
        pairs: one scalar row a pair (`PAIR_COLUMNS`); `chosen` and `rejected` are rows of `responses`.
        examples: prompts to read with their texts.
        quarantined: what quarantine.jsonl holds.

    Raises:
        SchemaError: a column is missing, or there are other numbers of responses or pairs than the manifest counts.
    """
    check_rows(manifest, responses, pairs)
    longer = longer_chosen(responses, pairs)
    page = {
        "manifest": manifest,
        "ended": ended_in_words(manifest.counts.ended),
        "rule": rule_in_words(manifest),
        "aggregate": aggregate_in_words(manifest),
        "remarks": remarks(manifest, longer),
        "prompt_funnel": prompt_funnel(manifest),
        "response_funnel": response_funnel(manifest, responses),
        "status": [(status_in_words(status), number) for status, number in manifest.counts.status.items()],
        "policy_plots": policy_plots(manifest, responses),
        "policy_sides": policy_sides(manifest, responses, pairs),
        "annotator_plots": annotator_plots(manifest, responses),
        "objectives": _objectives(manifest, responses),
        "measures": measures(manifest.reliability),
        "matrix": agreement_matrix(manifest),
        "length": length_in_words(manifest),
        "length_plots": length_plots(manifest, responses, pairs),
        "longer": longer,
        "margin": margin_plot(pairs),
        "margins": _quantiles(pairs),
        "examples": examples,
        "unpaired": unpaired_in_words,
        "status_in_words": status_in_words,
        "names": _names(manifest),
        "quarantined": quarantined,
        "spends": _spends(manifest),
        "replicas": replica_rows(spend for _, spend, _ in _spends(manifest)),
        "price": price(manifest),
        "seconds": _seconds(manifest.seconds),
        "total_seconds": sum(manifest.seconds.values()),
        "sampling": sampling_rows(manifest),
        "recipe": yaml.safe_dump(public(manifest.config), sort_keys=False, allow_unicode=True),
    }
    return render("generation.html.j2", page)


def _names(manifest: GenerationManifest) -> dict[str, str]:
    """Score columns without `score_` → what they are called."""
    return {column.removeprefix("score_"): name for column, name in score_columns(manifest).items()}


def _quantiles(pairs: pl.DataFrame) -> list[tuple[str, float]]:
    """(share of pairs, the margin that so many do not exceed); empty without pairs."""
    values = numbers(pairs, "margin")
    return [(name, float(np.quantile(values, at))) for name, at in QUANTILES.items()] if len(values) else []


def _objectives(manifest: GenerationManifest, responses: pl.DataFrame) -> list[dict[str, Any]]:
    """What an annotator scores beside its score: mean, deviation, correlation with the score within prompts."""
    found = []
    for one in manifest.annotators:
        for name in one.objectives:
            column, score = f"score_{one.label}_{name}", f"score_{one.label}"
            both = responses.filter(pl.col(column).is_finite(), pl.col(score).is_finite())
            within = both.select(
                (pl.col(each) - pl.col(each).mean().over("prompt")).alias(each) for each in (column, score)
            )
            spread = within.select(pl.all().std()).row(0)
            told = all(value is not None and value > 0 for value in spread)
            values = numbers(responses, column)
            found.append(
                {
                    "annotator": one.label,
                    "name": name,
                    "mean": float(values.mean()) if len(values) else None,
                    "sd": float(values.std()) if len(values) else None,
                    "corr": float(within.select(pl.corr(column, score)).item()) if told else None,
                }
            )
    return found


def _spends(manifest: GenerationManifest) -> list[tuple[str, SpendRecord, float | None]]:
    """(kind of call, what was asked, what was paid)."""
    rows: list[tuple[str, SpendRecord, float | None]] = [("responses", manifest.completions, None)]
    return rows + [(one.label, one.spend, one.price) for one in manifest.annotators]


def _seconds(seconds: dict[str, float]) -> list[tuple[str, float, float]]:
    """(stage, seconds, percent of the longest)."""
    scale = Scale(0, max(seconds.values(), default=0.0) or 1.0)
    return [(stage.replace("_", " "), spent, scale.at(spent)) for stage, spent in seconds.items()]
