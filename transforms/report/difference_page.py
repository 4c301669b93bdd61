"""diff.html: two versions of a dataset side by side, for whoever must decide whether the new one may be used."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import polars as pl

from transforms.audit.published_rates import LOWEST
from transforms.records.difference import Change, Outcome, RateDifference, VersionDifference
from transforms.report import difference_words as words
from transforms.report.codes_in_words import reason_in_words
from transforms.report.decided import Piece, Stack
from transforms.report.environment import render
from transforms.report.examples import Example
from transforms.report.figures import Layer, Plot, Word
from transforms.report.funnel import Forest, ForestRow
from transforms.report.pairs import MOST, NONE, Column, PairTable, Row, filled_table, pairs_script
from transforms.report.scales import Numbers, Scale, Tick, around, bin_count, counts, edges, outline, token_bins
from transforms.text import count, interval, one_line, percent, signed, visible_plain
from transforms.versions.matched_rows import NEW, OLD


class Step(NamedTuple):
    """One bar of the waterfall from the pairs kept before to those kept now, in percent of the axis."""

    name: str
    kind: Literal["all", "lost", "gained", "kept"]
    left: float
    width: float
    pairs: int


class Read(NamedTuple):
    """A changed pair with its texts in both versions; None where one has none."""

    reason: str
    change: str
    old: Example | None
    new: Example | None


# What the pairs kept before lose, and what comes to them.
_LOSSES: Final[tuple[tuple[str, Change, Outcome | None], ...]] = (
    ("gone", "removed", None),
    ("rewritten, their old text", "rewritten", None),
    ("dropped now", "verdict", "drop"),
    ("quarantined now", "verdict", "quarantine"),
)
_GAINS: Final[tuple[tuple[str, Change, Outcome | None], ...]] = (
    ("new", "added", None),
    ("rewritten, their new text", "rewritten", None),
    ("had been dropped", "verdict", "drop"),
    ("had been quarantined", "verdict", "quarantine"),
)


def render_difference(found: VersionDifference, pairs: pl.DataFrame, reads: Sequence[Read]) -> str:
    """One HTML page that needs no network; its one script sorts and searches the table of changed pairs.

    Args:
        found: every count on the page is from here.
        pairs: of `causes.with_causes`; distributions and the table are from here.
        reads: changed pairs to read.
    """
    changed = pairs.filter(pl.col("change") != "same")
    table = _table(changed)
    page = {
        "found": found,
        "headline": words.headline(found),
        "sentences": words.sentences(found),
        "steps": waterfall(found),
        "reasons": _reasons(found),
        "reason_words": words.REASON_WORDS,
        "about": words.REASON_ABOUT,
        "changes": words.CHANGE_WORDS,
        "rates": rate_forest(found.rates),
        "lowest": LOWEST,
        "shifts": shift_forest(found),
        "plots": _plots(found, pairs),
        "spread": words.spread_in_words,
        "value": words.value_in_words,
        "costs": words.cost_in_words(found),
        "p": words.p_in_words,
        "table": table,
        "reads": reads,
    }
    return render("difference.html.j2", page, script=pairs_script() if table else "")


def waterfall(found: VersionDifference) -> list[Step]:
    """From the pairs kept before to those kept now; each bar starts where the one above leaves off."""
    losses = [(name, found.pairs_of(change, "keep", new)) for name, change, new in _LOSSES]
    gains = [(name, found.pairs_of(change, old, "keep")) for name, change, old in _GAINS]
    scale = Scale(0, max(found.old.kept, found.old.kept - sum(n for _, n in losses) + sum(n for _, n in gains), 1))
    steps = [_step("kept before", "all", 0, found.old.kept, scale)]
    left = found.old.kept
    for name, lost in losses:
        if lost:
            left -= lost
            steps.append(_step(name, "lost", left, lost, scale))
    for name, gained in gains:
        if gained:
            steps.append(_step(name, "gained", left, gained, scale))
            left += gained
    return [*steps, _step("kept now", "kept", 0, found.new.kept, scale)]


def _step(name: str, kind: Literal["all", "lost", "gained", "kept"], start: int, pairs: int, scale: Scale) -> Step:
    left = scale.at(start)
    return Step(name, kind, left, round(scale.at(start + pairs) - left, 2), pairs)


def _reasons(found: VersionDifference) -> list[Stack]:
    """A bar of first reasons each: proven, then the rest."""
    scale = Scale(0, max([1, *(one.first for one in found.reasons)]))
    rows = []
    for one in found.reasons:
        proven, all_of_it = scale.at(one.proven), scale.at(one.first)
        pieces = [Piece("spent", 0.0, proven), Piece("open", proven, round(all_of_it - proven, 2))]
        also = f"+ {count(one.applies - one.first)} also" if one.applies > one.first else ""
        drawn = [piece for piece in pieces if piece.width > 0]
        rows.append(Stack(words.REASON_WORDS[one.reason], drawn, count(one.first), also))
    return rows


def rate_forest(rates: Sequence[RateDifference]) -> Forest | None:
    """Consistency of each version by source; None where one was not measured."""
    if not rates:
        return None
    lowest = min(0.9, *(rate.low for one in rates for rate in (one.old, one.new)))
    scale = Scale(max(0.0, int(lowest * 20 - 0.2) / 20), 1.0)
    rows = []
    for one in rates:
        by = "label" if one.reference == "label" else "reward model"
        group = f"{'All sources' if one.source == 'all' else one.source}, against the {by}"
        for first, name, kind, rate in ((True, "before", "agrees", one.old), (False, "now", "label", one.new)):
            text = interval(rate.rate, rate.low, rate.high)
            places = scale.at(rate.rate), scale.at(rate.low), scale.at(rate.high)
            rows.append(ForestRow(group, first, name, kind, *places, text, ""))  # type: ignore[arg-type]
    return Forest(rows, scale.ticks(5, percent=True), scale.at(LOWEST))


def shift_forest(found: VersionDifference) -> Forest | None:
    """Changes of consistency with the label in percentage points; left of the line is lower."""
    drawn = [
        ("All sources" if one.source == "all" else one.source, "all pairs", one.difference, one.low, one.high)
        for one in found.rates
        if one.reference == "label"
    ]
    for one in found.paired:
        mean = one.by_label
        if mean is not None and mean.low is not None and mean.high is not None:
            group = "All sources" if one.source == "all" else one.source
            drawn.append((group, f"{count(one.measured)} common pairs", mean.value, mean.low, mean.high))
    if not drawn:
        return None
    scale = around(0.0, *(100 * end for row in drawn for end in row[2:]), least=2.0, margin=0.08)
    order = list(dict.fromkeys(row[0] for row in drawn))
    rows, before = [], ""
    for group, name, value, low, high in sorted(drawn, key=lambda row: order.index(row[0])):
        text = f"{signed(100 * value)} [{signed(100 * low)}, {signed(100 * high)}]"
        places = (scale.at(100 * value), scale.at(100 * low), scale.at(100 * high))
        rows.append(ForestRow(group, group != before, name, "label", *places, text, ""))
        before = group
    return Forest(rows, scale.ticks(5), scale.at(0.0))


def _plots(found: VersionDifference, pairs: pl.DataFrame) -> list[Plot]:
    """Kept tokens of each side where they are comparable, then margins where those are."""
    kept = {side: pairs.filter(pl.col(f"outcome{side}") == "keep") for side in (OLD, NEW)}
    if not all(frame.height for frame in kept.values()):
        return []
    plots = []
    if found.same_tokenizer:
        tokens = {
            name: [_numbers(kept[at][f"{name}_keep{at}"]) for at in (OLD, NEW)] for name in ("chosen", "rejected")
        }
        bins = token_bins(*(values for both in tokens.values() for values in both))
        plots += [_shift(f"Kept tokens, {name}:", tokens[name], bins, name, "tokens") for name in tokens]
    margins = [_numbers(kept[at][f"reward_chosen{at}"] - kept[at][f"reward_rejected{at}"]) for at in (OLD, NEW)]
    if found.same_reward_model and all(len(values) for values in margins):
        low, high = np.quantile(np.concatenate(margins), [0.005, 0.995])
        bins = edges(float(low), float(high) if high > low else float(low) + 1, bin_count(min(map(len, margins)), 32))
        plots.append(_shift("Reward margin:", margins, bins, "kept", "reward of chosen − reward of rejected"))
    return plots


def _shift(title: str, versions: Sequence[Numbers], bins: Numbers, style: str, x_name: str) -> Plot:
    """Histograms of the old version and the new one, as shares of their own pairs: they may be of unequal size."""
    heights = [counts(values, bins) / len(values) for values in versions]
    scale, up = Scale(float(bins[0]), float(bins[-1])), max(float(height.max()) for height in heights) * 1.06
    ticks = [Tick(100 - at, text) for at, text in Scale(0, up).ticks(3, percent=True)]
    return Plot(
        title=[Word(title), Word("before", "before"), Word("and"), Word("now", style)],
        x_name=x_name,
        x_ticks=scale.ticks(5),
        y_ticks=ticks,
        layers=[Layer(outline(heights[1], up), f"fill {style}"), Layer(outline(heights[0], up), "line before")],
        note="up is the share of the version's own kept pairs",
    )


def _numbers(values: pl.Series) -> Numbers:
    numbers: Numbers = values.drop_nulls().cast(pl.Float64).to_numpy()
    finite: Numbers = numbers[np.isfinite(numbers)]
    return finite


def _table(changed: pl.DataFrame) -> PairTable | None:
    if changed.is_empty():
        return None
    shown = changed.head(MOST).with_columns(pair_id=pl.coalesce(f"pair_id{NEW}", f"pair_id{OLD}", pl.lit("(no pair)")))
    columns = [column for name, column in _COLUMNS.items() if shown[name].null_count() < shown.height]
    return filled_table(shown, columns, total=changed.height)


def _text(label: str, name: str) -> Column:
    return Column(label, lambda row: NONE if row[name] is None else one_line(visible_plain(str(row[name])), 80))


def _reason(label: str, name: str) -> Column:
    return Column(
        label, lambda row: NONE if row[name] is None else one_line(visible_plain(reason_in_words(row[name])), 80)
    )


def _float(label: str, name: str, digits: int) -> Column:
    def cell(row: Row) -> str:
        return NONE if row[name] is None else f"{row[name]:.{digits}f}".replace("-", "−")

    return Column(label, cell, lambda row: None if row[name] is None else round(float(row[name]), 6))


def _share(label: str, name: str) -> Column:
    return Column(label, lambda row: NONE if row[name] is None else percent(row[name], 0), lambda row: row[name])


def _tokens(label: str, side: str, at: str) -> Column:
    keep, whole = f"{side}_keep{at}", f"{side}_tokens{at}"
    return Column(
        label,
        lambda row: NONE if row[keep] is None else f"{count(row[keep])} / {count(row[whole])}",
        lambda row: row[keep],
    )


_SIDES: Final = (("before", OLD), ("now", NEW))
# By the column of the pairs that must hold something for the column to be drawn; before and now side by side.
_COLUMNS: Final[dict[str, Column]] = {
    "pair_id": _text("pair", "pair_id"),
    "change": Column("change", lambda row: words.CHANGE_WORDS[row["change"]]),
    "first": Column("first reason", lambda row: words.REASON_WORDS[row["first"]]),
    "proven": Column("proven", lambda row: "yes" if row["proven"] else "no"),
    **{f"outcome{side}": _text(f"verdict {at}", f"outcome{side}") for at, side in _SIDES},
    **{f"consistency{side}": _share(f"consistency {at}", f"consistency{side}") for at, side in _SIDES},
    **{f"n{side}": _float(f"n {at}", f"n{side}", 0) for at, side in _SIDES},
    **{f"p_keep{side}": _float(f"P(keeps order) {at}", f"p_keep{side}", 3) for at, side in _SIDES},
    "old_by_new_rules": _text("before, by the new rules", "old_by_new_rules"),
    "new_by_old_rules": _text("now, by the old rules", "new_by_old_rules"),
    **{f"chosen_keep{side}": _tokens(f"chosen kept / full {at}", "chosen", side) for at, side in _SIDES},
    **{f"rejected_keep{side}": _tokens(f"rejected kept / full {at}", "rejected", side) for at, side in _SIDES},
    **{f"reason{side}": _reason(f"why not kept {at}", f"reason{side}") for at, side in _SIDES},
    "reasons": Column("all reasons", lambda row: ", ".join(row["reasons"])),
    **{f"source{side}": _text(f"source {at}", f"source{side}") for at, side in _SIDES},
}
