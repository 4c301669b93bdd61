"""report.html of rounds: did each round make the policy better, and is it the goal that it got better at?"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import yaml

from transforms.dataset.redaction import public
from transforms.records.manifest import ShareRecord
from transforms.records.rounds import AnswersRecord, Rounds, WinRecord
from transforms.report.environment import render
from transforms.report.figures import Layer, Plot, Word
from transforms.report.funnel import Forest, ForestRow
from transforms.report.scales import Scale, Tick, around, band, dots, polyline
from transforms.text import interval

EVEN: Final = 0.5
NOT_FITTED: Final = {
    "few_prompts": "fewer than three prompts have a score of both",
    "separated": "length alone parts wins from losses",
    "one_difference": "all differences in length are the same",
}


class Policy(NamedTuple):
    """A row of the table of answers: the start or what a round made."""

    name: str
    answers: AnswersRecord
    gains: list[float | None]  # of the judge, then of each annotator, in standard deviations of the start's answers


def render_rounds(found: Rounds, *, best: int) -> str:
    """One HTML page that needs no network and runs no script; every number on it is that of rounds.json.

    Args:
        found: what the rounds say.
        best: number of the round with the best policy, 0 for the start.
    """
    policies = _policies(found)
    page = {
        "found": found,
        "best": best,
        "headline": headline(found, best),
        "last": found.rounds[-1] if found.rounds else None,
        "plots": [plot for plot in (win_plot(found), gain_plot(policies)) if plot],
        "over_start": win_forest([(f"round {one.number}", one.over_start) for one in found.rounds]),
        "over_previous": win_forest([(f"round {one.number}", one.over_previous) for one in found.rounds]),
        "policies": policies,
        "annotators": list(found.annotators),
        "win": win_in_words,
        "not_fitted": NOT_FITTED,
        "model": policy_of(found, best),
        "recipe": yaml.safe_dump(public(found.config), sort_keys=False, allow_unicode=True),
    }
    return render("rounds.html.j2", page)


def headline(found: Rounds, best: int) -> str:
    """The outcome in a sentence."""
    done = len(found.rounds)
    if best == 0:
        return f"no policy of {done} round{'' if done == 1 else 's'} is better than the start"
    won = next(one for one in found.rounds if one.number == best).over_start.rate
    return f"round {best} is the best, and wins {win_in_words(won)} over the start"


def policy_of(found: Rounds, number: int) -> str:
    """Folder or Hub id of the policy after a round, 0 for that of the start."""
    if number == 0:
        return str(found.config["start"]["model"])
    return next(one for one in found.rounds if one.number == number).folder


def win_in_words(rate: ShareRecord | None) -> str:
    """61.3 % [52.0, 69.9]; a dash where there is none."""
    return "–" if rate is None else interval(rate.value, rate.low, rate.high)


def win_forest(wins: Sequence[tuple[str, WinRecord]]) -> Forest:
    """A row a policy; left of the line is to lose more often than to win."""
    ends = [end for _, one in wins for end in (one.rate.low, one.rate.high)]
    # Tenths, one of them on the losing side at least.
    lowest, highest = (min([*ends, EVEN]) - 1e-9) * 10, (max([*ends, EVEN]) - 1e-9) * 10
    scale = Scale(max(0.0, math.floor(lowest) / 10), min(1.0, math.ceil(highest) / 10))
    rows = [
        ForestRow(
            group="",
            first=False,
            name=name,
            kind="label",
            at=scale.at(one.rate.value),
            low=scale.at(one.rate.low),
            high=scale.at(one.rate.high),
            text=win_in_words(one.rate),
            note="",
        )
        for name, one in wins
    ]
    return Forest(rows, scale.ticks(5, percent=True), scale.at(EVEN))


def win_plot(found: Rounds) -> Plot | None:
    """Win rate over the start with its interval by round; None without a round."""
    if not found.rounds:
        return None
    wins = [one.over_start.rate for one in found.rounds]
    across = around(1, len(wins), least=1.0, margin=0.04)
    up = around(EVEN, *(end for win in wins for end in (win.low, win.high)), least=0.1)
    xs = np.array([across.at(one.number) for one in found.rounds])
    values, lows, highs = (
        np.array([100 - up.at(getattr(win, name)) for win in wins]) for name in ("value", "low", "high")
    )
    return Plot(
        title=[Word("Win rate", "quality"), Word("over the start and its 95\u00a0% interval by round")],
        x_name="round",
        x_ticks=across.ticks(len(wins), whole=True),
        y_ticks=[Tick(100 - at, text) for at, text in up.ticks(4, percent=True)],
        layers=[
            Layer(band(xs, lows, highs), "band quality"),
            Layer(polyline(xs, values), "line quality"),
            Layer(dots(xs, values), "dots quality"),
        ],
        levels=[Tick(100 - up.at(EVEN), "")],
        note=f"by the judge, on {wins[0].count:,} held-out prompts",
    )


def gain_plot(policies: Sequence[Policy]) -> Plot | None:
    """How far judge and training annotators (their mean) say that answers got better; None where one says nothing."""
    judge = [(number, one.gains[0]) for number, one in enumerate(policies) if one.gains]
    training = [(number, _mean(one.gains[1:])) for number, one in enumerate(policies)]
    lines: Mapping[str, list[tuple[int, float]]] = {
        style: [(number, gain) for number, gain in line if gain is not None]
        for style, line in (("policy", judge), ("reference", training))
    }
    if any(len(line) < 2 for line in lines.values()):
        return None
    across = around(0, len(policies) - 1, least=1.0, margin=0.04)
    up = around(*(gain for line in lines.values() for _, gain in line), 0.0, least=0.2)
    layers = []
    for style, line in lines.items():
        xs = np.array([across.at(number) for number, _ in line])
        ys = np.array([100 - up.at(gain) for _, gain in line])
        layers += [Layer(polyline(xs, ys), f"line {style}"), Layer(dots(xs, ys), f"dots {style}")]
    return Plot(
        title=[
            Word("Mean score by"),
            Word("the judge", "policy"),
            Word("and by"),
            Word("training annotators", "reference"),
        ],
        x_name="round, 0 is the start",
        x_ticks=across.ticks(len(policies), whole=True),
        y_ticks=[Tick(100 - at, text) for at, text in up.ticks(4)],
        layers=layers,
        levels=[Tick(100 - up.at(0.0), "")],
        note="standard deviations of the start's held-out answers above their mean",
    )


def _policies(found: Rounds) -> list[Policy]:
    if found.start_answers is None:
        return []
    start = found.start_answers
    named = [("start", start), *((f"round {one.number}", one.answers) for one in found.rounds)]
    return [Policy(name, answers, _gains(answers, start, list(found.annotators))) for name, answers in named]


def _gains(answers: AnswersRecord, start: AnswersRecord, labels: Sequence[str]) -> list[float | None]:
    found: list[float | None] = []
    for mine, theirs in [
        (answers.judge, start.judge),
        *((answers.annotators.get(label), start.annotators.get(label)) for label in labels),
    ]:
        known = mine is not None and theirs is not None and theirs.sd > 0
        found.append((mine.mean - theirs.mean) / theirs.sd if known and mine and theirs else None)
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
