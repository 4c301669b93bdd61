"""What a generation's numbers mean: funnels, measures of its annotators in words, and what a reader should look at."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from transforms.records.generation import AgreementRecord, GenerationManifest, ReliabilityRecord, TauRecord
from transforms.records.manifest import ShareRecord
from transforms.report.codes_in_words import ended_in_words, status_in_words, unpaired_in_words
from transforms.report.funnel import FunnelRow, waterfall
from transforms.statistics.clustered import clustered_share
from transforms.text import NBSP, count, interval, percent, signed

NONE: Final = "–"
LOG_2: Final = float(np.log(2))  # of ln(1 + tokens): what twice as long adds, but for the 1
LET_THEM_END: Final = "A larger max_new_tokens lets more responses end."
UNFINISHED: Final = {
    "allow": "they are treated as any other response",
    "exclude": "they are in no pair",
    "rejected_only": "they are never chosen",
    "worst": "they count as worse than any finished one",
}


class Measure(NamedTuple):
    """A row of the reliability table: what is measured, what it means, its value for every annotator."""

    name: str
    meaning: str
    values: list[str]


class MatrixCell(NamedTuple):
    """A cell of the agreement matrix: its text, a second line, and how dark it is in percent."""

    text: str
    more: str
    shade: int


def prompt_funnel(manifest: GenerationManifest) -> list[FunnelRow]:
    """From the prompts of the sources to those with a pair."""
    counts = manifest.counts
    lost = [
        ("quarantined: unusable", counts.quarantined),
        ("the same prompt again", counts.repeated),
        ("left out by a source's weight", counts.weighed_out),
        (f"not drawn: {ended_in_words(counts.ended)}", counts.prompts - counts.drawn),
        *((f"no pair: {unpaired_in_words(why)}", number) for why, number in counts.without_pair.items()),
    ]
    return waterfall(
        ("prompts found", counts.found), [one for one in lost if one[1]], ("with a pair", counts.with_pair)
    )


def response_funnel(manifest: GenerationManifest, responses: pl.DataFrame) -> list[FunnelRow]:
    """From all responses to those that are in a pair."""
    counts = manifest.counts
    lost = [(status_in_words(status), number) for status, number in counts.status.items() if status != "usable"]
    used = pl.col("chosen_in") + pl.col("rejected_in") > 0
    # A rule may pair what has no aggregate (an unfinished one that counts as worst), so a pair is asked for first.
    left = responses.filter(~used, pl.col("status").cast(pl.String) == "usable")
    # Under any other rule one that ran out of room may be in a pair, and is left out for what all others are.
    excluded = (manifest.config.get("pairing") or {}).get("unfinished") == "exclude"
    cut = left.height - int(left["finished"].sum()) if excluded else 0
    lost += [("in no pair: ran out of room", cut), ("in no pair: the rule took others, or none", left.height - cut)]
    return waterfall(
        ("responses", counts.responses),
        [one for one in lost if one[1]],
        ("in a pair", responses.filter(used).height),
    )


def share(found: ShareRecord | None) -> str:
    """`91.4 % [89.0, 93.3]`, a dash where there is none."""
    return interval(found.value, found.low, found.high) if found else NONE


def tau(found: TauRecord | None) -> str:
    """`+0.45 [+0.31, +0.58]`, without interval where there is none."""
    if found is None:
        return NONE
    if found.low is None or found.high is None:
        return signed(found.value, 2)
    return f"{signed(found.value, 2)} [{signed(found.low, 2)},{NBSP}{signed(found.high, 2)}]"


_MEASURES: Final[tuple[tuple[str, str, Callable[[ReliabilityRecord], str]], ...]] = (
    (
        "Ties",
        "How often two responses to one prompt have exactly the same score. A tie makes no pair.",
        lambda one: share(one.ties),
    ),
    (
        "Same score again",
        "How often a response had exactly the same score when it was asked about again. Where it had not: sampling, or "
        "batches that round differently.",
        lambda one: share(one.repeat_equal),
    ),
    (
        "Order turned again",
        "How often the other one of two responses was better when both were asked about again. So much of the order is "
        "noise.",
        lambda one: share(one.repeat_turned),
    ),
    (
        "Largest change",
        "Between two scores of one response, in the annotator's own points.",
        lambda one: NONE if one.repeat_largest is None else f"{one.repeat_largest:.3g}",
    ),
    (
        "Same verdict in both orders",
        "How often two responses had one verdict whichever was shown first. The rest is decided by the place and not "
        "by the response.",
        lambda one: share(one.order_same),
    ),
    (
        "First place wins",
        "Share of verdicts for the response that is shown first; 50 % has no bias to a place.",
        lambda one: share(one.first_wins),
    ),
    (
        "Unreadable",
        "Questions that brought no score or verdict.",
        lambda one: count(one.unreadable),
    ),
)


def measures(found: Sequence[ReliabilityRecord]) -> list[Measure]:
    """The rows of the reliability table that any annotator has a value of."""
    rows = [Measure(name, meaning, [value(one) for one in found]) for name, meaning, value in _MEASURES]
    return [row for row in rows if set(row.values) - {NONE}]


def agreement_matrix(manifest: GenerationManifest) -> list[tuple[str, list[MatrixCell | None]]]:
    """(annotator, its cells): τ above the diagonal, how often the best response is the same below it; None on it.

    Empty for a single annotator.
    """
    names = [one.label for one in manifest.annotators]
    if len(names) < 2:
        return []
    found = {frozenset((two.first, two.second)): two for two in manifest.agreement}
    return [
        (row, [_cell(found.get(frozenset((row, column))), up=at < place) for place, column in enumerate(names)])
        for at, row in enumerate(names)
    ]


def _cell(two: AgreementRecord | None, *, up: bool) -> MatrixCell | None:
    if two is None:
        return None
    if up:
        if two.tau is None:
            return MatrixCell(NONE, "no prompt can be compared", 0)
        left = sum(two.left_out.values())
        more = f"{count(two.tau.prompts)} prompts" + (f", {count(left)} left out" if left else "")
        return MatrixCell(tau(two.tau), more, _shade(two.tau.value))
    if two.same_best is None:
        return MatrixCell(NONE, "", 0)
    return MatrixCell(share(two.same_best), f"of {count(two.same_best.count)} prompts", _shade(two.same_best.value))


def _shade(value: float) -> int:
    """0 for no agreement, 45 for a whole one: text stays readable on it, by day and by night."""
    return round(45 * min(max(value, 0.0), 1.0))


def longer_chosen(responses: pl.DataFrame, pairs: pl.DataFrame) -> ShareRecord | None:
    """Pairs whose chosen side is the longer one, equal lengths one half, with an interval over prompts."""
    if pairs.is_empty():
        return None
    tokens = responses["tokens"].cast(pl.Int64).to_numpy()
    step = np.sign(tokens[pairs["chosen"].to_numpy()] - tokens[pairs["rejected"].to_numpy()])
    found = clustered_share((step + 1) / 2, [str(prompt) for prompt in pairs["prompt"]])
    return ShareRecord(value=found.value, low=found.low, high=found.high, count=pairs.height)


def length_in_words(manifest: GenerationManifest) -> str:
    """The fitted slope as a sentence; empty where nothing could be fitted."""
    fit = manifest.length
    if fit is None:
        return ""
    points = signed(fit.slope * LOG_2, 2)
    if fit.low is not None and fit.high is not None:
        points += f" (95 % interval {signed(fit.low * LOG_2, 2)} to {signed(fit.high * LOG_2, 2)})"
    applied = "Pairs are made of what is left." if fit.applied else "Pairs are made of the scores as they are."
    return (
        f"Among responses to one prompt, twice the length goes with a difference of {points} points of score; length "
        f"explains {percent(fit.explained)} of what scores within a prompt differ by. {applied}"
    )


def policy_sides(manifest: GenerationManifest, responses: pl.DataFrame, pairs: pl.DataFrame) -> list[list[int]]:
    """Pairs by policy of the chosen side (rows) and of the rejected one (columns); empty for a single policy."""
    names = [voice.label for voice in manifest.voices]
    if len(names) < 2:
        return []
    of = responses["policy"].cast(pl.String)
    sides = pl.DataFrame({side: of.gather(pairs[side].cast(pl.Int64)) for side in ("chosen", "rejected")})
    found = {(a, b): number for a, b, number in sides.group_by("chosen", "rejected").len().iter_rows()}
    return [[found.get((row, column), 0) for column in names] for row in names]


def remarks(manifest: GenerationManifest, longer: ShareRecord | None) -> list[str]:
    """What a reader should look at before training on the pairs, most important first; empty where there is nothing.

    Each comes of an interval that leaves out what it should hold, or of a count that should be 0.
    """
    counts = manifest.counts
    found = []
    if not counts.pairs:
        found.append("There is no pair: the funnel says what became of the prompts.")
    lost = max(counts.without_pair.items(), key=lambda one: one[1], default=("", 0))
    if 2 * lost[1] > counts.drawn:
        why = f"{count(lost[1])} of {count(counts.drawn)} prompts have no pair because {unpaired_in_words(lost[0])}."
        found.append(why + (f" {LET_THEM_END}" if lost[0] == "unfinished" else ""))
    for voice in manifest.voices:
        cut = voice.responses - voice.finished
        if 2 * cut > voice.responses and lost[0] != "unfinished":
            share_cut = percent(cut / voice.responses)
            found.append(f"{voice.label}: {share_cut} of its responses ran out of room. {LET_THEM_END}")
    found += [words for one in manifest.reliability for words in _of_annotator(one)]
    for two in manifest.agreement:
        if two.tau and two.tau.low is not None and two.tau.low <= 0:
            found.append(
                f"{two.first} and {two.second} agree no more than chance may (τ {tau(two.tau)}): they measure "
                "different things, or the prompts are too few to tell."
            )
    fit = manifest.length
    if fit and not fit.applied and fit.low is not None and fit.high is not None and (fit.low > 0 or fit.high < 0):
        what = "Longer" if fit.slope > 0 else "Shorter"
        chosen = f", and of {percent(longer.value)} of the pairs the chosen side is the longer one" if longer else ""
        found.append(f"{what} responses score higher{chosen}. pairing.length_controlled takes that out.")
    return found


def _of_annotator(one: ReliabilityRecord) -> list[str]:
    found = []
    if one.first_wins and not one.first_wins.low <= 0.5 <= one.first_wins.high:
        place = "first" if one.first_wins.value > 0.5 else "second"
        found.append(
            f"{one.label} prefers what is shown {place} ({share(one.first_wins)} for the first place). Both orders are "
            "asked, so it costs decisions and does not tilt them."
        )
    if one.repeat_turned and one.repeat_turned.value:
        found.append(f"{one.label} turns {share(one.repeat_turned)} of its orders when it is asked again.")
    if one.unreadable:
        found.append(f"{one.label}: {count(one.unreadable)} questions brought no score or verdict.")
    return found


def sampling_rows(manifest: GenerationManifest) -> list[dict[str, Any]]:
    """How each policy was asked, as its section of the recipe says."""
    names = ("n", "temperature", "top_p", "top_k", "min_p", "max_new_tokens", "thinking", "system_prompt")
    asked = manifest.config.get("policies") or [{}] * len(manifest.voices)
    return [
        {"label": voice.label, **{name: policy.get(name) for name in names}}
        for voice, policy in zip(manifest.voices, asked, strict=False)
    ]


def price(manifest: GenerationManifest) -> float | None:
    """What was paid in this run by all that has a price; None where nothing has one."""
    known = [one.price for one in manifest.annotators if one.price is not None]
    return sum(known) if known else None


def rule_in_words(manifest: GenerationManifest) -> str:
    """How pairs were chosen, as a sentence."""
    rule = manifest.config.get("pairing") or {}
    strategy = {
        "best_worst": "the best response of a prompt against its worst",
        "best_random": "the best response of a prompt against one drawn at random",
        "second_worst": "the second-best response of a prompt against its worst",
        "all": "any two responses to a prompt with different scores, the better one against the worse one",
    }.get(rule.get("strategy", ""), str(rule.get("strategy", "as the recipe says")))
    least = rule.get("min_margin") or 0.0
    words = f"A pair is {strategy}" + (f", if their scores differ by {least:g} at least" if least else "")
    unfinished = UNFINISHED.get(rule.get("unfinished", ""), "")
    return words + "." + (f" Of responses that ran out of room: {unfinished}." if unfinished else "")


def aggregate_in_words(manifest: GenerationManifest) -> str:
    """What the score is."""
    if len(manifest.annotators) == 1:
        return f"the score of {manifest.annotators[0].label} as it is"
    aggregate = manifest.config.get("aggregate", "mean_z")
    return {
        "mean_z": "the mean of the annotators' z-scores over the run",
        "mean_rank": "the mean of the annotators' ranks within the prompt",
        "minimum": "the lowest of the annotators' z-scores over the run",
    }.get(aggregate, f"the score of {aggregate}")
