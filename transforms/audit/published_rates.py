"""What the papers measured of cuts and trainings, and what those few settings allow to say."""

from typing import Final, Literal, NamedTuple, Protocol

from transforms.text import signed

Verdict = Literal["supported", "undecided", "unsupported"]


class PublishedRate(NamedTuple):
    """A setting of which POET (arXiv 2506.09457) reports both how many pairs stay consistent and what training did.

    Attributes:
        setting: policy and data.
        rate: share of pairs whose order survives the cut.
        margin: mean reward difference x 100, where it is reported.
        dpo, simpo: change of the AlpacaEval 2 length-controlled win rate by POET, in points; None: not reported.
        on_policy: whether the responses are the policy's own.
        source: the paper's tables.
    """

    setting: str
    rate: float
    margin: float | None
    dpo: float | None
    simpo: float | None
    on_policy: bool
    source: str


PUBLISHED: Final = (
    PublishedRate("Zephyr + UltraFeedback", 0.914, None, +15.6, +3.3, False, "POET, tables 1 and 2"),
    PublishedRate("Llama-3-8B-Instruct v0.1", 0.938, 0.6, None, -2.8, True, "POET, tables 1 and 4"),
    PublishedRate("Llama-3-8B-Instruct v0.2", 0.985, 2.3, None, +2.0, True, "POET, tables 1 and 4"),
    PublishedRate("Interpolated models", 0.989, 2.9, None, +2.9, True, "POET, table 4"),
)

# What these few settings carry (DECISIONS.md). No training is published below the lowest rate. From there up, the
# setting with the lowest rate gained and the next one lost; above the one that lost, all gained.
LOWEST: Final = min(row.rate for row in PUBLISHED)
LOST: Final = max(row.rate for row in PUBLISHED if (row.simpo or 0) < 0)
GAINED: Final = min(row.rate for row in PUBLISHED if row.rate > LOST)


def verdict_of(low: float, high: float) -> Verdict:
    """What the published settings say for a cut whose rate lies in [low, high].

    Returns:
        `supported`: higher than where a setting lost, and not surely lower than where all gained. `unsupported`: lower
        than any that training is published for, which is no word on what training would do. `undecided` between them.
    """
    if low > LOST and high >= GAINED:
        return "supported"
    return "unsupported" if high < LOWEST else "undecided"


def evidence_in_words() -> str:
    """All that is published of rates and what training on cut pairs did, in three sentences."""
    by_rate = [f"{points_in_words(row)} at {row.rate:.1%}" for row in PUBLISHED if row.on_policy]
    [other] = [row for row in PUBLISHED if not row.on_policy]
    return (
        "What is published is POET's alone. On three on-policy sets of one model family (Llama-3-8B-Instruct) it "
        f"changed AlpacaEval 2, in points: {'; '.join(by_rate)}. Off-policy, {other.setting}: {points_in_words(other)} "
        f"at {other.rate:.1%}. So a rate alone foretells neither gain nor loss."
    )


class _Points(Protocol):
    @property
    def dpo(self) -> float | None: ...
    @property
    def simpo(self) -> float | None: ...


def points_in_words(row: _Points) -> str:
    """`DPO +15.6, SimPO +3.3`: what POET changed of AlpacaEval 2, in points."""
    found = (("DPO", row.dpo), ("SimPO", row.simpo))
    return ", ".join(f"{name} {signed(value)}" for name, value in found if value is not None)
