"""This project's codes said in plain words: reasons, what decided a pair, how responses are cut."""

from typing import Any, Final

from transforms.text import percent

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
    "accept": "more than the recipe accepts",
}

# Why a prompt that was answered has no pair (transforms/pairing/strategies.py).
UNPAIRED: Final = {
    "one_response": "it has one response",
    "unscored": "fewer than two of its responses have a score",
    "same_text": "all its responses are one text",
    "tie": "its responses have equal scores",
    "unfinished": "too few of its responses ended (pairing.unfinished)",
    "no_second": "nothing is worse than the second",
    "margin": "scores too close",
}

# What became of a response (schema.AnswerStatus).
STATUS: Final = {
    "usable": "can be scored and paired",
    "empty": "empty: it ended at once",
    "no_answer": "no answer: it ended within its reasoning",
    "unusable": "unusable: text and tokens do not say the same",
    "unscored": "unscored: an annotator gave no score",
}

# Why no more prompts were drawn (records/generation.py).
ENDED: Final = {
    "all_prompts": "the prompts ended",
    "accepted": "as many pairs are there as are accepted",
    "budget": "the budget ended",
    "max_prompts": "max_prompts was reached",
}

# What decided a pair (manifest.DecidedBy): the name in tables, and what it means.
DECIDED_BY: Final = {
    "uncut": ("nothing cut", "no side was cut, so the order is kept by definition"),
    "proxy": ("proxy", "the reward margin of the full responses was sure enough: nothing was sampled"),
    "sampling": ("sampling", "the completions made it sure"),
    "n_max": ("mean at n_max", "the most completions were spent and their mean decided"),
    "stopped": ("worth no more", "a completion more was expected to prevent too few wrong verdicts"),
    "undecided": ("undecided", "the budget ended before the completions made it sure"),
}


def reason_in_words(reason: str) -> str:
    """A reason's plain words; its own name with spaces where none are known."""
    return REASONS.get(reason, reason.replace("_", " "))


def unpaired_in_words(reason: str) -> str:
    """Why a prompt has no pair; its own name with spaces where it is not known."""
    return UNPAIRED.get(reason, reason.replace("_", " "))


def status_in_words(status: str) -> str:
    """What became of a response; its own name with spaces where it is not known."""
    return STATUS.get(status, status.replace("_", " "))


def ended_in_words(ended: str) -> str:
    """Why no more prompts were drawn."""
    return ENDED[ended]


# What `truncate.eot` adds to what the cut is, where it adds anything.
ENDS_IN_WORDS: Final = {
    "never": ", and none keeps its end-of-turn",
    "always": ", and each is trained on with an end-of-turn behind it",
}
# What whoever trains on such a run has to know.
APPENDED_ENDS: Final = (
    "truncate.eot: always appends an end-of-turn to responses that were cut or never finished: a model that is trained "
    "on them learns to stop in mid-sentence. It is for reproducing Shallow Preference Signals, whose cut texts went "
    "through a chat template; natural trains on the same cuts without it."
)


def cut_in_words(config: dict[str, Any]) -> str:
    """What the recipe's truncation does to a response, as a clause."""
    truncate = config.get("truncate") or {}
    ratio, tokens = truncate.get("ratio") or 1.0, truncate.get("tokens")
    words = {
        "poet": "both responses are cut to the length of the shorter one (POET)",
        "ratio": f"each response is cut to the first {percent(float(ratio), 0)} of its tokens",
        "tokens": f"each response is cut to at most {tokens} tokens",
    }.get(truncate.get("method", "none"), "responses are cut only where they pass the context limit")
    return words + ENDS_IN_WORDS.get(truncate.get("eot", "natural"), "")
