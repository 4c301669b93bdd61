"""comparison.html from a comparison: what a team is shown that has not seen the tool."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from transforms.records.comparison import AnswersStanding, Budget, Comparison, Standing, VariantRecord
from transforms.report import comparison_words as words
from transforms.report.environment import render
from transforms.report.evaluation_page import mean_in_words
from transforms.report.funnel import Forest, ForestRow
from transforms.report.scales import Scale, around
from transforms.statistics.intervals import MeanRecord

CHANCE: Final = 0.5


class Result(NamedTuple):
    """One budget's part of the page."""

    budget: Budget
    title: str
    about: str
    rows: list[Standing]
    missing: list[str]  # variants without a result
    accuracy: Forest
    difference: Forest | None


class AnswersResult(NamedTuple):
    """The same of what models wrote."""

    title: str
    rows: list[AnswersStanding]
    rate: Forest
    difference: Forest | None


def render_comparison(found: Comparison) -> str:
    """One HTML page that needs no network and runs no script; every number on it is that of comparison.json."""
    focus = words.focus(found)
    page = {
        "found": found,
        "headline": words.headline(found),
        "focus": focus,
        "results": [_result(found, budget) for budget in found.budgets],
        "variants": [
            (variant, words.variant_in_words(variant, found.cut), _a_pair(variant)) for variant in found.variants
        ],
        "answers": _answers(found),
        "caveats": words.caveats(found),
        "at": words.AT,
        "say": words.difference_in_words,
        "share": words.share,
        "points": words.points,
        "mean": mean_in_words,
        "time": words.time_in_words(found),
        "steps": [one.steps for one in found.trainings if "steps" in one.budgets],
    }
    return render("comparison.html.j2", page)


def share_forest(shares: Sequence[tuple[str, MeanRecord]]) -> Forest:
    """A share of each variant; left of the line is worse than chance."""
    ends = [end for _, one in shares for end in (one.low, one.high, one.value) if end is not None]
    lowest, highest = min([*ends, CHANCE]), max([*ends, CHANCE])
    scale = Scale(max(0.0, int(lowest * 20 - 0.2) / 20), min(1.0, (int(highest * 20 + 0.2) + 1) / 20))
    drawn = [_row(name, one.value, one.low, one.high, words.share(one), scale) for name, one in shares]
    return Forest(drawn, scale.ticks(5, percent=True), scale.at(CHANCE))


def difference_forest(found: Sequence[tuple[str, MeanRecord]]) -> Forest | None:
    """Percentage points against the first variant; left of the line is less. None without a difference."""
    if not found:
        return None
    ends = [100 * end for _, one in found for end in (one.value, one.low, one.high) if end is not None]
    scale = around(0.0, *ends, least=2.0, margin=0.08)
    drawn = [
        _row(
            variant,
            100 * one.value,
            None if one.low is None else 100 * one.low,
            None if one.high is None else 100 * one.high,
            words.points(one),
            scale,
        )
        for variant, one in found
    ]
    return Forest(drawn, scale.ticks(5), scale.at(0.0))


def _result(found: Comparison, budget: Budget) -> Result:
    rows = [one for one in found.standings if one.budget == budget]
    there = {one.variant for one in rows}
    return Result(
        budget,
        words.AT[budget].capitalize(),
        words.budget_in_words(found, budget),
        rows,
        [variant.name for variant in found.variants if variant.name not in there],
        share_forest([(row.variant, row.accuracy) for row in rows]),
        difference_forest([(row.variant, row.difference.accuracy) for row in rows if row.difference]),
    )


def _answers(found: Comparison) -> list[AnswersResult]:
    if found.answers is None:
        return []
    results = []
    for budget in found.budgets:
        rows = [one for one in found.answers.standings if one.budget == budget]
        if rows:
            results.append(
                AnswersResult(
                    words.AT[budget].capitalize(),
                    rows,
                    share_forest([(row.variant, row.rate) for row in rows]),
                    difference_forest([(row.variant, row.difference.rate) for row in rows if row.difference]),
                )
            )
    return results


def _row(name: str, value: float, low: float | None, high: float | None, text: str, scale: Scale) -> ForestRow:
    at = scale.at(value)
    return ForestRow(
        group="",
        first=False,
        name=name,
        kind="label",
        at=at,
        low=at if low is None else scale.at(low),
        high=at if high is None else scale.at(high),
        text=text,
        note="",
    )


def _a_pair(variant: VariantRecord) -> float | None:
    """Tokens of a pair, prompt once."""
    return variant.tokens / variant.examples if variant.tokens and variant.examples else None
