"""What the papers measured, and this project's codes said in plain words. Shared by report and card."""

from typing import Any, Final, NamedTuple

from transforms.report.text import percent


class PublishedRate(NamedTuple):
    """One row of POET's consistency table (arXiv 2506.09457, table 1)."""

    setting: str
    rate: float
    margin: float | None  # mean reward difference x 100
    change: float | None  # of AlpacaEval 2 length-controlled win rate when POET was used, in points


PUBLISHED: Final = (
    PublishedRate("Zephyr + UltraFeedback", 0.914, None, None),
    PublishedRate("Llama-3-8B-Instruct v0.1", 0.938, 0.6, -2.8),
    PublishedRate("Llama-3-8B-Instruct v0.2", 0.985, 2.3, +2.0),
    PublishedRate("Interpolated models", 0.989, 2.9, +2.9),
)

# At 93.8 % POET lost points, at 98.5 % it gained; nothing is published between (methods §3).
WARN_AT: Final = 0.94

REASONS: Final = {
    "inconsistent": "order not kept by the cut",
    "tie": "tie: no side is preferred",
    "duplicate": "duplicate of another pair",
    "weight": "left out by the source's weight",
    "pairs_per_prompt": "more pairs of a prompt than wanted",
    "excluded": "excluded by the recipe",
    "score_ratio": "scores too close",
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
