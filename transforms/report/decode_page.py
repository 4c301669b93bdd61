"""decode.html from a comparison of decoding rules: what each gains, and how far from the reference it goes for it."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from transforms.choices import RuleKind
from transforms.evaluation.decodings import best
from transforms.records.decoding import Decodings, RuleResult
from transforms.report.curves import lines_plot
from transforms.report.environment import render
from transforms.report.figures import Label, Layer, Plot, Word
from transforms.report.scales import Numbers, Scale, Tick, around, dots, polyline, whiskers

NAMES: Final[dict[RuleKind, str]] = {"mix": "mixing", "length": "length control", "kl": "KL threshold"}
# A label in percent of the panel: how far its middle stands from its point, and from the next label at least.
_OFF, _WIDE, _HIGH = 6.0, 9.0, 7.0


def render_decodings(found: Decodings) -> str:
    """One HTML page that needs no network and runs no script; every number on it is that of decode.json."""
    page = {
        "found": found,
        "best": best(found.rules),
        "names": NAMES,
        "prompts": prompts_in_words(found),
        "tradeoff": tradeoff_plot(found.rules),
        "positions": lines_plot({"policy": found.policy_kl}, "KL from the reference", over="responses"),
    }
    return render("decode.html.j2", page)


def prompts_in_words(found: Decodings) -> str:
    """What became of the prompts of sources; nothing of a run's test split."""
    if (read := found.read) is None:
        return ""
    left = {
        "without room for a response": found.prompts_too_long,
        "doubled": read.repeated,
        "left out by a weight": read.weighed_out,
        "in quarantine.jsonl": read.quarantined,
        "beyond max_prompts": read.not_drawn,
    }
    return ", ".join(
        [
            f"{read.found:,} read",
            f"{found.prompts:,} answered",
            *(f"{number:,} {why}" for why, number in left.items() if number),
        ]
    )


def tradeoff_plot(rules: Sequence[RuleResult]) -> Plot:
    """Mean reward against mean Σ log(π/π_ref), a line a kind of rule, with both 95 % intervals (Shallow §3.3)."""
    across = around(*(end for rule in rules for end in (rule.log_ratio.low, rule.log_ratio.high)), least=0.1)
    up = around(*(end for rule in rules for end in (rule.reward.low, rule.reward.high)), least=0.1, margin=0.14)
    kinds = {kind: [rule for rule in rules if rule.kind == kind] for kind in NAMES}
    drawn = {kind: sorted(some, key=lambda rule: rule.value) for kind, some in kinds.items() if some}
    words = [word for kind in drawn for word in (Word("and"), Word(NAMES[kind], kind))][1:]
    return Plot(
        title=[Word("Reward by"), *words],
        x_name="Σ log(π/π_ref) of a response, nats",
        x_ticks=across.ticks(5),
        y_ticks=[Tick(100 - at, text) for at, text in up.ticks(4)],
        layers=[layer for kind, some in drawn.items() for layer in _layers(kind, some, across, up)],
        labels=_labels([rule for some in drawn.values() for rule in some], across, up),
        note="bars are 95\u00a0% intervals of both means, over prompts; the same luck was drawn for every rule",
    )


def _layers(kind: RuleKind, rules: Sequence[RuleResult], across: Scale, up: Scale) -> list[Layer]:
    xs, lefts, rights = (_places(rules, "log_ratio", end, across) for end in ("value", "low", "high"))
    ys, bottoms, tops = (100 - _places(rules, "reward", end, up) for end in ("value", "low", "high"))
    flat = "".join(f"M{left:.2f} {y:.2f}H{right:.2f}" for left, y, right in zip(lefts, ys, rights, strict=True))
    return [
        Layer(whiskers(xs, bottoms, tops) + flat, f"line soft {kind}", 1.0),
        Layer(polyline(xs, ys), f"line {kind}"),
        Layer(dots(xs, ys), f"dots {kind}"),
    ]


def _places(rules: Sequence[RuleResult], measure: str, end: str, scale: Scale) -> Numbers:
    return np.array([scale.at(getattr(getattr(rule, measure), end)) for rule in rules])


def _labels(rules: Sequence[RuleResult], across: Scale, up: Scale) -> list[Label]:
    """Each rule's name over or under its point, where no other name stands; the table has those without room."""
    points = [(across.at(rule.log_ratio.value), round(100 - up.at(rule.reward.value), 2)) for rule in rules]
    taken: list[tuple[float, float]] = []
    labels = []
    for rule, (x, y) in zip(rules, points, strict=True):
        for over in (True, False):
            middle = y - _OFF if over else y + _OFF
            others = [*taken, *(point for point in points if point != (x, y))]
            if all(abs(x - left) > _WIDE or abs(middle - top) > _HIGH for left, top in others):
                taken.append((x, middle))
                labels.append(Label(x, y, rule.name, rule.kind, over))
                break
    return labels
