"""openbmb/UltraFeedback, raw: several completions a prompt, each rated by GPT-4 in four aspects and overall.

A raw row::

    {"source": "evol_instruct", "instruction": "Name three rivers.", "models": ["alpaca-7b", "gpt-4"],
     "completions": [
       {"model": "alpaca-7b", "response": "Nile, Rhine, Po.", "overall_score": 7.5,
        "annotations": {"helpfulness": {"Rating": "4", "Rationale": "…"}, "honesty": {"Rating": "5"},
                        "instruction_following": {"Rating": "4"}, "truthfulness": {"Rating": "3"}}},
       {"model": "gpt-4", "response": "The Nile, the Rhine and the Po.", "overall_score": 8.5,
        "annotations": {"helpfulness": {"Rating": "5"}, "honesty": {"Rating": "5"},
                        "instruction_following": {"Rating": "5"}, "truthfulness": {"Rating": "5"}}}],
     "correct_answers": ["None"], "incorrect_answers": ["None"]}

Ratings are text and may be "N/A". A completion without text or without the asked score is no candidate.

`overall_score` was read out of GPT-4's critique by code that took a 1 for a 10 (OpenBMB/UltraFeedback, issue 8; some
2,000 completions). The authors mended it by the aspects: a mean of 2 or less meant 1, up to 4 GPT-4 was asked again,
above 4 the 10 stood. Revisions from before and after are both in use, so here a 10 counts only with a mean above 4.
"""

from typing import Final, Literal

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import SourceKind, row_hash
from transforms.sources.canonical import Adapted, Message, Response, check_score, check_text, content_hash
from transforms.sources.endings import finished_one
from transforms.sources.fields import left_out, number
from transforms.sources.messages import plain_text
from transforms.sources.options import SourceOptions
from transforms.sources.pairing import Candidate, Completion, Pairing, is_usable, paired
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields

ASPECTS: Final = ("helpfulness", "honesty", "instruction_following", "truthfulness")
# overall_score: a best mark that may be the worst, and the mean of the aspects above which it is no mistake.
DOUBTFUL: Final = 10
BEYOND_DOUBT: Final = 4
NOT_RATED: Final = "N/A"  # GPT-4's word for an aspect that does not apply
NOT_RATED_NOTE: Final = "completions without a score: a rating that it is made of is N/A or missing"
DOUBTFUL_NOTE: Final = "completions without a score: overall_score is 10 and may mean 1"


class UltraFeedbackOptions(SourceOptions):
    """`mean` needs all four ratings: a mean over other aspects is another scale.

    Attributes:
        pairing: best_vs_random is Zephyr's (arXiv 2310.16944); random by content, so a rerun picks the same.
        score: what a completion is worth: the mean of its four ratings (as in the data of POET and of RAO), one of
            them, or GPT-4's overall score, in which a 10 may mean 1: one without a mean above 4 is no score.
        exclude: values of the raw `source` whose pairs are dropped, such as `truthful_qa` (a benchmark).
    """

    kind: Literal["ultrafeedback"]
    pairing: Pairing = "best_vs_random"
    score: Literal["mean", "overall", "helpfulness", "honesty", "instruction_following", "truthfulness"] = "mean"
    exclude: tuple[str, ...] = ()


def adapt(row: Fields, options: UltraFeedbackOptions) -> Adapted:
    """Pair the completions of one prompt as `options.pairing` says and keep all of them as responses.

    Raises:
        RowError: fewer than two completions with text and the asked score.
    """
    instruction = plain_text(row.get("instruction"), "instruction")
    check_text(instruction, "instruction")
    completions = row.objects("completions")
    prompt = (Message("user", str(instruction)),)
    candidates, responses = [], []
    for at, completion in enumerate(completions):
        score = _score(completion, options.score)
        text, model = completion.get("response"), completion.get("model")
        ended = finished_one(completion, f"completions[{at}].")
        if isinstance(text, str):
            named = model if isinstance(model, str) else None
            responses.append(Response(at, text, named, score, finished=ended is not False))
        if score is not None and is_usable(text):
            candidates.append(Candidate(score, content_hash(prompt[0].content, text), Completion(text, ended)))
    if len(candidates) < 2:
        message = (
            f"{len(candidates)} of {len(completions)} completions have text and a score for {options.score},"
            " expected at least two"
        )
        raise RowError(message)
    reason = left_out(row, [row.get("source")], options.exclude)
    source_id = row_hash(row.raw)
    pairs = paired(row, options, prompt, candidates, options.pairing, source_id=source_id, reason=reason)
    return Adapted(pairs, pairs[0].prompt, responses)


def _score(completion: Fields, wanted: str, *, noted: bool = True) -> float | None:
    if wanted == "overall":
        score = number(completion.get("overall_score"), "overall_score")
        check_score(score, "overall_score")
        if score == DOUBTFUL:
            mean = _score(completion, "mean", noted=False)
            if mean is None or mean <= BEYOND_DOUBT:
                completion.note(DOUBTFUL_NOTE)
                return None
        return score
    annotations = completion.object("annotations")
    ratings = [_rating(annotations, aspect) for aspect in (ASPECTS if wanted == "mean" else (wanted,))]
    known = [rating for rating in ratings if rating is not None]
    if len(known) < len(ratings):
        if noted:
            completion.note(NOT_RATED_NOTE)
        return None
    return sum(known) / len(known)


def _rating(annotations: Fields | None, aspect: str) -> float | None:
    annotation = annotations.object(aspect) if annotations is not None else None
    raw = annotation.get("Rating") if annotation is not None else None
    if isinstance(raw, str) and raw.strip().upper() == NOT_RATED:
        return None
    rating = number(raw, f"the rating of {aspect}")
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
