"""openbmb/UltraFeedback, raw: several completions a prompt, each rated by GPT-4 in four aspects and overall.

A raw row::

    {"source": "evol_instruct", "instruction": "Name three rivers.", "models": ["alpaca-7b", "gpt-4"],
     "completions": [
       {"model": "alpaca-7b", "response": "Nile, Rhine, Po.", "overall_score": 7.5,
        "annotations": {"helpfulness": {"Rating": "4", "Rationale": "…"}, "honesty": {"Rating": "5"},
                        "instruction_following": {"Rating": "4"}, "truthfulness": {"Rating": "N/A"}}},
       {"model": "gpt-4", "response": "The Nile, the Rhine and the Po.", "overall_score": 8.5, "annotations": {}}],
     "correct_answers": ["None"], "incorrect_answers": ["None"]}

Ratings are text and may be "N/A". A completion without text or without the asked score is no candidate.
"""

from itertools import combinations
from typing import Any, Final, Literal, NamedTuple

from transforms.errors import RowError
from transforms.papers import Paper
from transforms.sources.about import About
from transforms.sources.adapter import Row, SourceKind, is_usable, number, row_hash
from transforms.sources.canonical import (
    Adapted,
    Message,
    Pair,
    Response,
    check_score,
    check_text,
    content_hash,
)
from transforms.sources.options import SourceOptions

ASPECTS: Final = ("helpfulness", "honesty", "instruction_following", "truthfulness")


class UltraFeedbackOptions(SourceOptions):
    """`mean` needs all four ratings: a mean over other aspects is another scale.

    Attributes:
        pairing: best_vs_random is Zephyr's (arXiv 2310.16944); random by content, so a rerun picks the same.
        score: what a completion is worth: GPT-4's overall score, the mean of its four ratings, or one of them.
        exclude: values of the raw `source` whose pairs are dropped, such as `truthful_qa` (a benchmark).
    """

    kind: Literal["ultrafeedback"]
    pairing: Literal["best_vs_random", "best_vs_worst", "all_pairs"] = "best_vs_random"
    score: Literal["overall", "mean", "helpfulness", "honesty", "instruction_following", "truthfulness"] = "overall"
    exclude: tuple[str, ...] = ()


class _Candidate(NamedTuple):
    score: float
    order: str  # breaks ties by content, whatever order the completions are in
    text: str


def adapt(row: Row, options: UltraFeedbackOptions) -> Adapted:
    """Pair the completions of one prompt as `options.pairing` says and keep all of them as responses.

    Raises:
        RowError: fewer than two completions with text and the asked score.
    """
    instruction, completions = row.get("instruction"), row.get("completions")
    check_text(instruction, "instruction")
    if not isinstance(completions, list):
        message = f"completions is {type(completions).__name__}, expected a list"
        raise RowError(message)
    prompt = (Message("user", str(instruction)),)
    candidates, responses = [], []
    for at, completion in enumerate(completions):
        score = _score(completion, options.score)
        text, model = completion.get("response"), completion.get("model")
        if isinstance(text, str):
            responses.append(Response(at, text, model if isinstance(model, str) else None, score))
        if score is not None and is_usable(text):
            candidates.append(_Candidate(score, content_hash(prompt[0].content, text), text))
    if len(candidates) < 2:
        message = (
            f"{len(candidates)} of {len(completions)} completions have text and a score for {options.score},"
            " expected at least two"
        )
        raise RowError(message)
    source_id = row_hash(row)
    reason = "excluded" if row.get("source") in options.exclude else None
    pairs = [
        Pair(source_id, prompt, better.text, worse.text, better.score, worse.score, reason=reason)
        for better, worse in _pairings(candidates, options.pairing)
    ]
    return Adapted(pairs, prompt, responses)


def _pairings(candidates: list[_Candidate], pairing: str) -> list[tuple[_Candidate, _Candidate]]:
    ranked = sorted(candidates, key=lambda one: (-one.score, one.order))
    if pairing == "all_pairs":
        return list(combinations(ranked, 2))
    if pairing == "best_vs_worst":
        return [(ranked[0], ranked[-1])]
    # Not `order` itself: it has just decided which of two equally good ones is the best.
    return [(ranked[0], min(ranked[1:], key=lambda one: content_hash("random", one.order)))]


def _score(completion: Any, wanted: str) -> float | None:
    if not isinstance(completion, dict):
        message = f"a completion is {type(completion).__name__}, expected an object"
        raise RowError(message)
    if wanted == "overall":
        score = number(completion.get("overall_score"), "overall_score")
        check_score(score, "overall_score")
        return score
    ratings = [_rating(completion, aspect) for aspect in (ASPECTS if wanted == "mean" else (wanted,))]
    known = [rating for rating in ratings if rating is not None]
    return sum(known) / len(known) if len(known) == len(ratings) else None


def _rating(completion: Row, aspect: str) -> float | None:
    annotations = completion.get("annotations")
    annotation = annotations.get(aspect) if isinstance(annotations, dict) else None
    raw = annotation.get("Rating") if isinstance(annotation, dict) else None
    try:
        rating = float(raw) if isinstance(raw, str | int | float) else None
    except ValueError:  # "N/A"
        return None
    check_score(rating, f"the rating of {aspect}")
    return rating


ULTRAFEEDBACK: Final = Paper(
    "cui2023ultrafeedback",
    "Cui, Ganqu and Yuan, Lifan and Ding, Ning and Yao, Guanming and He, Bingxiang and others",
    "UltraFeedback: Boosting Language Models with Scaled AI Feedback",
    2023,
    "2310.01377",
)
KIND: Final = SourceKind(
    options=UltraFeedbackOptions,
    required=frozenset({"instruction", "completions"}),
    looks_like=lambda row: isinstance(row.get("completions"), list) and "instruction" in row,
    adapt=adapt,
    about=About(
        sets={"openbmb/UltraFeedback": "mit"},
        languages=("en",),
        papers=(ULTRAFEEDBACK,),
    ),
)
