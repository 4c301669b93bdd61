"""Whether a win rate is about how answers end, by themselves or at the token limit: a part of does_it_help.py.

A judge that has learned from whole responses may like one kind more than the other, and trained models differ in how
many of each they write. Two things are told apart here: what the judge makes of an end, within a writer and a prompt;
and how often answers win against one that ended as they did. Both leave out that a model chooses which answers end.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from flows.answers.generations import labels_of
from flows.answers.reading import responses_in
from transforms.records.generation import GenerationManifest
from transforms.statistics.clustered import clustered_mean

Floats = npt.NDArray[np.float64]
START: Final = "start"
RAW: Final = "raw"


class Scored(NamedTuple):
    """An answer that the judge scored."""

    ended: bool  # by itself
    score: float


class Wrote(NamedTuple):
    """What a trained model and the start wrote: prompt → answers."""

    variant: str
    model: dict[str, list[Scored]]
    start: dict[str, list[Scored]]


def written(folder: Path) -> list[Wrote]:
    """Of every training of a comparison whose model answered."""
    comparison = json.loads((folder / "comparison.json").read_text())
    found = []
    for one in comparison["trainings"]:
        answers = folder / "answers" / Path(one["folder"]).name
        if not (answers / "manifest.json").is_file():
            continue  # the comparison says what failed
        manifest = GenerationManifest.model_validate_json((answers / "manifest.json").read_bytes())
        labels = labels_of(manifest)
        sides: dict[str, dict[str, list[Scored]]] = {labels.model: {}, labels.baseline: {}}
        for responses in responses_in(answers, manifest):
            for row in responses.select(["prompt_id", "policy", "finished", "score"]).to_pylist():
                if row["score"] is not None:
                    scored = Scored(row["finished"], row["score"])
                    sides[row["policy"]].setdefault(row["prompt_id"], []).append(scored)
        found.append(Wrote(one["variant"], sides[labels.model], sides[labels.baseline]))
    return found


def worth_of_an_end(found: Sequence[Wrote]) -> str:
    """By how much answers that ended score higher than those of the same writer to the same prompt that were cut off.

    Writers are the start and the variants, seeds together. Differences are averaged over the writers of a prompt, then
    over prompts, with Student's interval over prompts.
    """
    both: dict[str, dict[str, list[Scored]]] = {}  # prompt → writer
    for at, one in enumerate(found):
        sides = [(one.variant, one.model)]
        sides += [(START, one.start)] if at == 0 else []  # the same beside every training
        for writer, side in sides:
            for prompt, answers in side.items():
                both.setdefault(prompt, {}).setdefault(writer, []).extend(answers)
    every = _worth([list(writers.values()) for writers in both.values()])
    start = _worth([[writers[START]] for writers in both.values() if START in writers])
    return f"answers that ended score {every} against cut ones of the same writer and prompt; the start's alone {start}"


def _worth(prompts: Iterable[Sequence[Sequence[Scored]]]) -> str:
    apart = []
    for writers in prompts:
        each = [
            sum(ended) / len(ended) - sum(cut) / len(cut)
            for answers in writers
            for ended, cut in [([one.score for one in answers if one.ended == which] for which in (True, False))]
            if ended and cut
        ]
        apart += [sum(each) / len(each)] if each else []
    if len(apart) < 2:
        return "nobody knows what: fewer than two prompts have both"
    mean = clustered_mean(np.array(apart), [str(at) for at in range(len(apart))])
    return f"{mean.value:+.2f} [{mean.low:+.2f}, {mean.high:+.2f}] ({len(apart)} prompts)"


def ended_alike(found: Iterable[Wrote]) -> dict[str, dict[str, Floats]]:
    """Variant → prompt → its comparisons over all seeds, (2, 2): both cut off, both ended; won, compared."""
    alike: dict[str, dict[str, Floats]] = {}
    for one in found:
        prompts = alike.setdefault(one.variant, {})
        for prompt, baseline in one.start.items():
            counts = prompts.setdefault(prompt, np.zeros((2, 2)))
            for ours in one.model.get(prompt, []):
                for theirs in baseline:
                    if ours.ended == theirs.ended:
                        counts[int(ours.ended)] += (np.heaviside(ours.score - theirs.score, 0.5), 1)
    return alike


def alike_table(found: Mapping[str, Mapping[str, Floats]]) -> list[str]:
    """Win rates among comparisons whose answers ended alike, as Markdown.

    `together` has the two kinds at the same weights for all variants, those of all their comparisons, so that ends are
    equal between variants too. A comparison counts once, not a prompt, for many prompts have none of a kind. Intervals
    are of the delete-one-prompt jackknife, with Student's t: seeds are in none.
    """
    from scipy import stats

    if not found:
        return ["no trained model answered"]

    head = ("ended alike", "both cut off", "both ended", "together, %", "minus raw")
    lines = ["| " + " | ".join(head) + " |", "| --- | ---: | ---: | ---: | ---: |"]
    prompts = sorted({prompt for side in found.values() for prompt, one in side.items() if one[:, 1].any()})
    counts = np.stack([[side.get(prompt, np.zeros((2, 2))) for prompt in prompts] for side in found.values()])
    counts = counts.reshape(len(found), len(prompts), 2, 2)
    rates = _together(counts)
    without = np.array([_together(np.delete(counts, at, axis=1)) for at in range(len(prompts))])
    without = without.reshape(len(prompts), len(found))
    half_t = float(stats.t.ppf(0.975, len(prompts) - 1)) if len(prompts) > 1 else math.nan

    def shown(value: float, each: Floats, sign: str = "") -> str:
        n = len(each)
        half = half_t * math.sqrt((n - 1) / n * float(np.square(each - each.mean()).sum())) if n > 1 else math.nan
        ends = (value - half, value + half)
        low, high = (format(100 * end, f"{sign}.1f") if math.isfinite(end) else "–" for end in ends)
        return f"{100 * value:{sign}.1f} [{low}, {high}]" if math.isfinite(value) else "–"

    names = list(found)
    for at, name in enumerate(names):
        kinds = [f"{100 * won / of:.1f} of {of:,.0f}" if of else "–" for won, of in counts[at].sum(0)]
        minus = "–"
        if RAW in names and name != RAW:
            raw = names.index(RAW)
            minus = shown(rates[at] - rates[raw], without[:, at] - without[:, raw], "+")
        cells = [name, *kinds, shown(rates[at], without[:, at]), minus]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _together(counts: Floats) -> Floats:
    """(variants, prompts, kinds, [won, compared]) → the rate of each variant; NaN without comparisons of a kind."""
    totals = counts.sum(1)
    weights = totals[:, :, 1].sum(0)
    there = weights > 0
    if not there.any():
        return np.full(len(counts), math.nan)
    won, compared = totals[:, there, 0], totals[:, there, 1]
    share = np.divide(won, compared, out=np.full_like(won, math.nan), where=compared > 0)
    found: Floats = share @ (weights[there] / weights[there].sum())
    return found
