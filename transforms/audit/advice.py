"""What an audit's numbers mean for a training run: how much of the order a cut keeps, and what is known to follow.

The consistency of a cut is measured here; what training on such pairs does is known from four settings of one paper
(`transforms.audit.published_rates`): POET with SimPO on three on-policy sets of one model family, which lost at 93.8 %
and gained at 98.5 and 98.9 %, and one off-policy set that gained at 91.4 % with SimPO and DPO. So a verdict says what
these settings carry and no more: `supported` where the settings with such a rate gained, `unsupported` where none is
published, and `undecided` between, where some gained and one lost. None of the three says that a cut hurts. For ratios
no rate is published at all, and POET's are an analogy.
"""

from collections.abc import Sequence
from typing import Final

from transforms.audit import published_rates as published
from transforms.audit.published_rates import GAINED, LOST, LOWEST, Verdict
from transforms.records.audit import MethodAudit, PublishedRate
from transforms.records.manifest import ShareRecord
from transforms.statistics.intervals import MeanRecord

PUBLISHED: Final = [
    PublishedRate(data=row.setting, rate=row.rate, dpo=row.dpo, simpo=row.simpo, on_policy=row.on_policy,
                  source=row.source)
    for row in published.PUBLISHED
]  # fmt: skip
POET: Final = "poet"


def judged_rate(consistency: ShareRecord, by_reward: ShareRecord, reward_agrees: ShareRecord) -> ShareRecord:
    """The rate that the verdict rests on.

    Against the label, unless the reward model orders the uncut pairs so unlike the label that no cut could reach
    the published rates; then against its own order of the full responses, which the cut alone can change.
    """
    return by_reward if reward_agrees.high < GAINED else consistency


def verdict_of(rate: ShareRecord) -> Verdict:
    """What the published settings say for a cut with such a rate."""
    return published.verdict_of(rate.low, rate.high)


def why_of(name: str, rate: ShareRecord) -> str:
    """The verdict on the method `name` in words: its rate, and the published settings that it can be held against."""
    verdict = verdict_of(rate)
    if verdict == "supported":
        said = (
            f"above the {LOST:.1%} at which a published setting lost, and not surely below the {GAINED:.1%} from "
            "which on both gained"
        )
    elif verdict == "unsupported":
        said = f"fewer than in any published setting (the lowest: {LOWEST:.1%}), so what training would do is not known"
    elif rate.low > LOST:
        said = (
            f"between the {LOST:.1%} at which a published setting lost and the {GAINED:.1%} from which on both gained"
        )
    elif rate.high >= GAINED:
        said = "too few pairs to tell the published settings that gained from the one that lost"
    else:
        said = f"of the published settings the one with {LOWEST:.1%} gained and the one with {LOST:.1%} lost"
    analogy = "" if name == POET else " (those are POET's: no rate is published for ratios)"
    return f"{_interval(rate)} keep their order: {said}{analogy}"


def recommended(methods: Sequence[MethodAudit]) -> MethodAudit | None:
    """The supported cut that saves most tokens; None where none is supported."""
    supported = [method for method in methods if method.verdict == "supported"]
    return max(supported, key=lambda method: method.tokens_saved, default=None)


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
    against = "its own order of the full responses" if reward_agrees.high < GAINED else "the label"
    first = {
        "supported": "POET keeps the order of this data",
        "undecided": "The rate of this data does not decide whether to use POET",
        "unsupported": "POET keeps the order of fewer pairs here than where it was published",
    }[poet.verdict]
    advice = [f"{first}: {poet.why} (against {against}). It would cut {poet.tokens_saved:.1%} of the response tokens."]
    if best is None:
        advice.append(
            "Published settings neither speak for cutting this data as it is nor foretell what it would do. Curate: "
            "`python -m flows.curate` keeps the pairs whose preference survives the cut and drops the rest. Then "
            "`python -m flows.compare` trains on whole, cut and curated pairs and says what each does to your model."
        )
    elif best is poet:
        advice.append("Use POET: no ratio that saves more is supported as well.")
    else:
        advice.append(f"Use {best.name}: {best.why}, and it saves {best.tokens_saved:.1%} of the response tokens.")
    if reward_agrees.high < GAINED:
        advice.append(
            f"The reward model orders only {_interval(reward_agrees)} of the uncut pairs as the label does, so "
            "disagreement with the label is mostly its own, not the cut's. Verdicts rest on its own order; a better "
            "reward model would say more."
        )
    advice.append(published.evidence_in_words())
    widest = max(method.consistency.high - method.consistency.low for method in methods) / 2
    advice.append(_surer(widest, audited, pairs, tokens, seconds))
    return advice


def values_in_words(agree: MeanRecord) -> str:
    """How far what the reward model says of prefixes can stand in for completions of them."""
    known = agree.low is not None and agree.high is not None
    said = f"{agree.value:+.2f}" + (f" [{agree.low:+.2f}, {agree.high:+.2f}]" if known else "")
    means = ""
    if agree.low is not None and agree.high is not None and agree.low <= 0:
        against = "values order pairs against what completions say"
        means = f": {against}" if agree.high < 0 else ": values say nothing here that chance would not"
    return f"ΔQ(k) of a pair by values and by completions have a rank correlation of {said} within each k{means}."


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
