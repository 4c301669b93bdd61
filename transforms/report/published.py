"""What the papers measured, and this project's codes said in plain words. Shared by report and card."""

from typing import Any, Final, Literal, NamedTuple, Protocol

from transforms.report.text import percent, signed

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


REASONS: Final = {
    "inconsistent": "order not kept by the cut",
    "tie": "tie: no side is preferred",
    "duplicate": "duplicate of another pair",
    "weight": "left out by the source's weight",
    "pairs_per_prompt": "more pairs of a prompt than wanted",
    "excluded": "excluded by the rules of its source",
    "score_ratio": "scores too close",
    "min_strength": "preference too weak",
    "min_agreement": "too few annotators agree",
    "min_chosen_score": "chosen response rated too low",
    "both_bad": "tie: both sides are bad",
    "inconsistent_judge": "the judge preferred another side with the sides swapped",
    "several_turns": "the vote is on several turns that differ",
    "language": "in another language than the recipe asks for",
    "toxic": "flagged as toxic",
    "contradiction": "order contradicted by other rows",
    "foreign_template": "marks of a chat template in its texts",
    "identical_after_cut": "sides became equal by the cut",
    "min_score_margin": "score margin too small",
    "min_reward_margin": "reward margin too small",
    "max_prompt_tokens": "prompt too long",
    "min_kept_tokens": "too few tokens kept",
    "min_kept_share": "too small a share kept",
}

# What decided a pair (manifest.DecidedBy): the name in tables, and what it means.
DECIDED_BY: Final = {
    "uncut": ("nothing cut", "no side was cut, so the order is kept by definition"),
    "proxy": ("proxy", "the reward margin of the full responses was sure enough: nothing was sampled"),
    "sampling": ("sampling", "the completions made it sure"),
    "n_max": ("mean at n_max", "the most completions were spent and their mean decided"),
    "undecided": ("undecided", "the budget ended before the completions made it sure"),
}


def reason_in_words(reason: str) -> str:
    """A reason's plain words; its own name with spaces where none are known."""
    return REASONS.get(reason, reason.replace("_", " "))


def cut_in_words(config: dict[str, Any]) -> str:
    """What the recipe's truncation does to a response, as a clause."""
    truncate = config.get("truncate") or {}
    ratio, tokens = truncate.get("ratio") or 1.0, truncate.get("tokens")
    words = {
        "poet": "both responses are cut to the length of the shorter one (POET)",
        "ratio": f"each response is cut to the first {percent(float(ratio), 0)} of its tokens",
        "tokens": f"each response is cut to at most {tokens} tokens",
    }.get(truncate.get("method", "none"), "responses are cut only where they pass the context limit")
    return words + (", and none keeps its end-of-turn" if truncate.get("eot") == "never" else "")
