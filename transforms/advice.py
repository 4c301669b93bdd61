"""What an audit's numbers mean for a training run: is this cut safe, which one is best, how sure is that.

The only published rates that come with an effect are POET's own (arXiv 2506.09457, table 1 and 2): at 93.8 %
consistency it cost 2.8 points of AlpacaEval 2, at 98.5 % it brought 2.0, at 98.9 % 2.9. Nothing is published between
93.8 % and 98.5 %, nor for ratios. So a cut is called safe where its whole interval lies above the rate that hurt and
its rate nearer to the one that helped; harmful where it lies at or below the one that hurt; else unclear.
"""

from collections.abc import Sequence
from typing import Final, Literal

from transforms.audit import MethodAudit, PublishedRate
from transforms.manifest import ShareRecord
from transforms.report import published

HURT: Final = 0.938
HELP: Final = 0.985
PUBLISHED: Final = [
    PublishedRate(data=row.setting, rate=row.rate, points=row.change, source="POET, arXiv 2506.09457, table 1")
    for row in published.PUBLISHED
]
Verdict = Literal["safe", "unclear", "harmful"]


def judged_rate(consistency: ShareRecord, by_reward: ShareRecord, reward_agrees: ShareRecord) -> ShareRecord:
    """The rate that the verdict rests on.

    Against the label, unless the reward model orders the uncut pairs so unlike the label that no cut could reach
    the published rates; then against its own order of the full responses, which the cut alone can change.
    """
    return by_reward if reward_agrees.high < HELP else consistency


def verdict_of(rate: ShareRecord) -> Verdict:
    """Whether truncating data with such a rate is known to be safe."""
    if rate.low > HURT and rate.value >= (HURT + HELP) / 2:
        return "safe"
    if rate.value <= HURT and rate.high < HELP:
        return "harmful"
    return "unclear"


def why_of(verdict: Verdict, rate: ShareRecord) -> str:
    """The verdict in words."""
    found = _interval(rate)
    return {
        "safe": f"{found} keep their order: above the {HURT:.1%} at which POET lost points, near the {HELP:.1%} at "
        "which it gained",
        "harmful": f"{found} keep their order: at or below the {HURT:.1%} at which POET lost 2.8 points",
        "unclear": f"{found} keep their order: between the {HURT:.1%} that hurt and the {HELP:.1%} that helped, or too "
        "few pairs to tell",
    }[verdict]


def recommended(methods: Sequence[MethodAudit]) -> MethodAudit | None:
    """The safe cut that saves most tokens; None where none is safe."""
    safe = [method for method in methods if method.verdict == "safe"]
    return max(safe, key=lambda method: method.tokens_saved, default=None)


def sentences(
    methods: Sequence[MethodAudit],
    reward_agrees: ShareRecord,
    *,
    audited: int,
    pairs: int,
    tokens: int,
    seconds: float,
) -> list[str]:
    """The advice, most important first.

    Args:
        methods: as audited; POET is first.
        reward_agrees: the reward model's order against the label before any cut.
        audited: pairs of the audit.
        pairs: live pairs of the dataset.
        tokens: sampled for the audit, ledger included.
        seconds: that the audit took.
    """
    poet, best = methods[0], recommended(methods)
    against = "its own order of the full responses" if reward_agrees.high < HELP else "the label"
    first = {
        "safe": "POET is safe on this data",
        "unclear": "POET is not clearly safe on this data",
        "harmful": "POET would hurt on this data",
    }[poet.verdict]
    advice = [f"{first}: {poet.why} (against {against}). It would cut {poet.tokens_saved:.1%} of the response tokens."]
    if best is None:
        advice.append(
            "None of the cuts is safe for the data as it is. Train on full responses, or curate: "
            "`python -m flows.curate` keeps the pairs whose preference survives the cut and drops the rest."
        )
    elif best is poet:
        advice.append("Use POET: no ratio that saves more is as safe.")
    else:
        advice.append(f"Use {best.name}: {best.why}, and it saves {best.tokens_saved:.1%} of the response tokens.")
    if reward_agrees.high < HELP:
        advice.append(
            f"The reward model orders only {_interval(reward_agrees)} of the uncut pairs as the label does, so "
            "disagreement with the label is mostly its own, not the cut's. Verdicts rest on its own order; a better "
            "reward model would say more."
        )
    widest = max(method.consistency.high - method.consistency.low for method in methods) / 2
    advice.append(_surer(widest, audited, pairs, tokens, seconds))
    return advice


def _surer(half: float, audited: int, pairs: int, tokens: int, seconds: float) -> str:
    sure = f"The rates are known to ±{100 * half:.1f} points or better from {audited:,} of {pairs:,} pairs."
    more = min(4 * audited, pairs)
    if more <= audited:
        return f"{sure} These are all pairs there are."
    factor = more / audited
    return (
        f"{sure} {more:,} pairs would know them to about ±{100 * half / factor**0.5:.1f}, for about "
        f"{tokens * (factor - 1):,.0f} sampled tokens and {seconds * (factor - 1) / 60:.0f} minutes more here."
    )


def _interval(rate: ShareRecord) -> str:
    return f"{rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]"
