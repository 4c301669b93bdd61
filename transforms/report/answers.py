"""Models by their answers: win rates as a forest, how answers ended, how long they are and what they score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from transforms.records.answers import AnswersEvaluation, End, HistogramRecord, PrefixQuality, WinsRecord
from transforms.records.audit import CurvePoint
from transforms.records.manifest import ShareRecord
from transforms.report.curves import MODEL_STYLES, models_plot
from transforms.report.decided import Piece, Stack
from transforms.report.figures import Layer, Plot, Word, y_axis
from transforms.report.funnel import Forest, ForestRow
from transforms.report.scales import Scale, outline
from transforms.text import count, interval, one_line, percent, visible_plain

EVEN: Final = 0.5
NOT_FITTED: Final[dict[str, str]] = {
    "few_prompts": "fewer than three prompts can be compared",
    "separated": "one side wins all, or length alone parts wins from losses",
    "one_difference": "all answers differ by the same length",
}
PLAIN: Final = "All answers"
EQUAL: Final = "At equal length"
BENCHMARK: Final = "AlpacaEval 2, length-controlled"
ENDS: Final[dict[End, str]] = {
    "ended": "ended by itself",
    "out_of_room": "ran out of room",
    "empty": "empty",
    "no_answer": "ended within its reasoning",
    "unusable": "cannot be used",
}
_APART: Final = 0.1  # shares of answers that ended, a choice
_TOGETHER: Final = len(MODEL_STYLES)  # lines a panel
_KINDS: Final[dict[End, Literal["kept", "open"]]] = {"ended": "kept", "out_of_room": "open"}


@dataclass(frozen=True, slots=True)
class AnswersView:
    """The part of a page."""

    found: AnswersEvaluation
    headline: str
    rates: Forest
    notes: list[str]
    ends: list[Stack]
    other_ends: list[tuple[End, str]]  # those that there are, but for answers that ended by themselves
    lengths: list[Plot]
    scores: list[Plot]
    prefixes: list[Plot]
    entropy: list[Plot]


def answers_view(found: AnswersEvaluation) -> AnswersView:
    """Everything that is drawn and said."""
    return AnswersView(
        found=found,
        headline=headline(found),
        rates=wins_forest(found.wins),
        notes=notes(found),
        ends=[_ends(one.label, one.ends, one.responses) for one in found.models],
        other_ends=[
            (end, said) for end, said in list(ENDS.items())[1:] if any(one.ends.get(end) for one in found.models)
        ],
        lengths=_panels(found.lengths, found.baseline, "characters of an answer"),
        scores=_panels(found.scores, found.baseline, "score by the judge") if found.scores else [],
        prefixes=_prefix_plots(found.prefixes),
        entropy=_in_fours(
            {one.label: one.points for one in found.entropy}, "Entropy, nats", kept=False, over="answers"
        ),
    )


def headline(found: AnswersEvaluation) -> str:
    """The model that wins most often over the baseline, and whether that is sure."""
    best = max(found.wins, key=lambda one: one.rate.value)
    rate = best.rate
    if not rate.count:
        return "No answers could be compared"
    share = interval(rate.value, rate.low, rate.high)
    one, other = visible_plain(best.label), visible_plain(found.baseline)
    if rate.low > EVEN:
        return f"{one} beats {other}: it wins {share}"
    if rate.high < EVEN:
        return f"{one} loses to {other}: it wins {share}"
    return f"{one} is not told from {other}: it wins {share}"


def wins_forest(wins: Sequence[WinsRecord]) -> Forest:
    """Rates of each model over the baseline; left of the line it loses more often than it wins."""
    rows: list[tuple[str, str, float, float | None, float | None, str]] = []
    rows += [(PLAIN, one.label, *_ends_of(one.rate), count(one.rate.count)) for one in wins if one.rate.count]
    rows += [
        (EQUAL, one.label, *_ends_of(one.at_equal_length), count(one.at_equal_length.count))
        for one in wins
        if one.at_equal_length
    ]
    rows += [
        (BENCHMARK, one.label, own.rate, own.low, own.high, count(own.instructions))
        for one in wins
        if (own := one.alpaca_eval)
    ]
    scale = Scale(0.0, 1.0)
    drawn, before = [], ""
    for group, label, value, low, high, note in rows:
        text = percent(value) if low is None or high is None else interval(value, low, high)
        drawn.append(
            ForestRow(
                group=group,
                first=group != before,
                name=label,
                kind="label" if group == PLAIN else "reward",
                at=scale.at(value),
                low=scale.at(value if low is None else low),
                high=scale.at(value if high is None else high),
                text=text,
                note=note,
            )
        )
        before = group
    return Forest(drawn, scale.ticks(5, percent=True), scale.at(EVEN))


def notes(found: AnswersEvaluation) -> list[str]:
    """What the rates rest on, and what is missing."""
    said = [
        f"{count(number)} answers have no score by the judge: {one_line(visible_plain(why), 300)}"
        for why, number in list(found.unscored.items())[:3]
    ]
    if found.not_of_all:
        said.append(f"{count(found.not_of_all)} prompts are left out because not all models can read them.")
    for one in found.wins:
        name = visible_plain(one.label)
        if one.left_out:
            why = "; ".join(f"{count(number)} because {reason}" for reason, number in one.left_out.items())
            said.append(f"{name}: {count(sum(one.left_out.values()))} of {count(one.prompts)} prompts left out, {why}.")
        if one.not_fitted:
            why = NOT_FITTED.get(one.not_fitted, one.not_fitted)
            said.append(f"{name}: no rate at equal length, because {why}.")
        if one.extrapolated:
            said.append(
                f"{name}: all answers of one side are the longer ones, so equal length is beyond what was seen."
            )
        if one.alpaca_eval_why:
            said.append(f"{name}: no rate by AlpacaEval's regression: {one.alpaca_eval_why}.")
        if (own := one.alpaca_eval) and own.missing + own.foreign + own.doubled:
            said.append(
                f"{name}: AlpacaEval's rate rests on {count(own.instructions)} of its instructions; "
                f"{count(own.missing)} have no judgement, {count(own.foreign)} judgements are of others, "
                f"{count(own.doubled)} were made twice."
            )
    shares = [(one.label, one.ended) for one in found.models if one.responses]
    if apart := ends_apart(shares):
        said.append(apart)
    return said


def ends_apart(shares: Sequence[tuple[str, float]]) -> str | None:
    """A warning where models differ in how often their answers end, which a judge may take for what they are worth.

    Measured (docs/measured.md, "Does curation help?"): a reward model that had learned from whole responses liked those
    that were cut off more than those to the same prompt that ended, and a difference of win rates that lay apart from 0
    did not among answers that ended alike.

    Args:
        shares: model → of its answers, those that ended by themselves.
    """
    ended = [share for _, share in shares]
    if not ended or round(max(ended) - min(ended), 9) < _APART:  # 0.6 - 0.5 is below 0.1
        return None
    each = ", ".join(f"{visible_plain(label)} {percent(share)}" for label, share in shares)
    return (
        f"How many answers ended by themselves differs: {each}. A judge may score an answer that did not end otherwise "
        "than a whole one, and then the win rate may measure how answers end, not how good they are. Where they ran "
        "out of room, a larger max_new_tokens leaves fewer of them."
    )


def _prefix_plots(found: PrefixQuality | None) -> list[Plot]:
    if found is None:
        return []
    quality = {one.label: one.points for one in found.curves}
    above = {one.label: one.over_baseline for one in found.curves[1:]}
    plots = _in_fours(quality, "Score of completions", kept=True, over="answers")
    for start in range(0, len(above), _TOGETHER - 1):
        some = dict(list(above.items())[start : start + _TOGETHER - 1])
        plot = models_plot(some, "Minus the baseline's", kept=True, over="prompts", styles=MODEL_STYLES[1:])
        plots += [plot] if plot else []
    return plots


def _in_fours(lines: Mapping[str, Sequence[CurvePoint]], title: str, *, kept: bool, over: str) -> list[Plot]:
    """As many lines a panel as there are styles, the baseline's in each."""
    if not lines:
        return []
    (first, baseline), *others = lines.items()
    groups = [others[start : start + _TOGETHER - 1] for start in range(0, len(others), _TOGETHER - 1)]
    plots = [models_plot({first: baseline, **dict(group)}, title, kept=kept, over=over) for group in groups]
    return [plot for plot in plots if plot]


def _ends_of(share: ShareRecord) -> tuple[float, float, float]:
    return share.value, share.low, share.high


def _ends(label: str, ends: Mapping[End, int], responses: int) -> Stack:
    scale, pieces, start = Scale(0, max(responses, 1)), [], 0
    for name in ENDS:
        number = ends.get(name, 0)
        if number:
            width = scale.at(start + number) - scale.at(start)
            pieces.append(Piece(_KINDS.get(name, "lost"), scale.at(start), width))
            start += number
    return Stack(visible_plain(label), pieces, percent(ends.get("ended", 0) / max(responses, 1)), "")


def _panels(found: HistogramRecord, baseline: str, x_name: str) -> list[Plot]:
    """A panel a model, the baseline's outline in each. Up are shares of the model's own answers."""
    edges = np.array(found.edges)
    heights = {label: np.array(of, np.float64) / max(sum(of), 1) for label, of in found.counts.items()}
    top, ticks = y_axis(max(float(one.max(initial=0.0)) for one in heights.values()), percent=True)
    scale = Scale(float(edges[0]), float(edges[-1]))
    plots = []
    for label, mine in heights.items():
        if label == baseline:
            continue
        plots.append(
            Plot(
                title=[Word(visible_plain(label), "kept"), Word("and"), Word(visible_plain(baseline), "before")],
                x_name=x_name,
                x_ticks=scale.ticks(4),
                y_ticks=ticks,
                layers=[Layer(outline(mine, top), "fill kept"), Layer(outline(heights[baseline], top), "line before")],
            )
        )
    return plots
