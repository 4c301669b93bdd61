"""Intel/orca_dpo_pairs, and argilla/distilabel-intel-orca-dpo-pairs: the same pairs, rated by GPT-4.

Raw rows::

    {"system": "", "question": "Name three rivers.", "chosen": "The Nile, the Rhine and the Po.", "rejected": "Nile."}
    {"system": "Answer in one sentence.", "input": "Name three rivers.", "chosen": "The Nile, the Rhine and the Po.",
     "rejected": "Nile.", "generations": ["Nile.", "The Nile, the Rhine and the Po."], "order": ["rejected", "chosen"],
     "labelling_model": "gpt-4-1106-preview", "labelling_prompt": [{"role": "system", "content": "…"}],
     "raw_labelling_response": "4 9\\n…", "rating": [4.0, 9.0], "rationale": "…", "status": "unchanged",
     "original_chosen": "The Nile, the Rhine and the Po.", "original_rejected": "Nile.", "chosen_score": 9.0,
     "in_gsm8k_train": false}

`rating` is in the order of `generations`, which were shuffled: it is not [chosen, rejected].
"""

from dataclasses import replace
from typing import Any, Final, Literal

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted, Message
from transforms.sources.fields import EXCLUDED, TIE, Scores, number, pair
from transforms.sources.messages import answers
from transforms.sources.options import SourceOptions
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields, kind_of

ORDERED: Final = ("unchanged", "swapped")
UNRATED: Final = "pairs without a rejected score: a side is none of the rated generations"


class OrcaDpoPairsOptions(SourceOptions):
    """For Argilla's set, whose card trains on no ties, on chosen scores of 8 and more, and not on GSM8K.

    Attributes:
        ties: what becomes of pairs that GPT-4 rated equally or not at all (`status` tie): dropped (`tie`), or kept in
            Intel's order, without scores.
        min_chosen_score: pairs whose chosen response is rated lower, or not at all, are dropped (`min_chosen_score`).
        exclude_gsm8k: pairs whose question is in GSM8K's training set are dropped (`excluded`).
    """

    kind: Literal["orca_dpo_pairs"]
    ties: Literal["drop", "keep"] = "drop"
    min_chosen_score: float | None = None
    exclude_gsm8k: bool = False


def adapt(row: Fields, options: OrcaDpoPairsOptions) -> Adapted:
    """One row, one pair, with the ratings of its two texts.

    Raises:
        RowError: no question, ratings that are not of two generations, or a status that they contradict.
    """
    question = row.get("question" if row.peek("question") is not None else "input")
    chosen, rejected = row.get("chosen"), row.get("rejected")
    # A question of FLAN may begin with "Human:" and is no transcript.
    sides = answers((Message("user", question),), chosen, rejected)
    scores = _scores(row, chosen, rejected)
    tied = _is_tied(row, scores)
    least, reason = options.min_chosen_score, None
    if options.exclude_gsm8k and _is_of_gsm8k(row):
        reason = EXCLUDED
    elif tied and options.ties == "drop":
        reason = TIE
    elif least is not None and (scores.chosen is None or scores.chosen < least):
        reason = "min_chosen_score"
    found = pair(row, options, sides, scores=scores, reason=reason or (TIE if tied else None))
    if tied and reason is None:
        # Equal scores would make it a tie again, and it is not their order that is kept.
        found = replace(found, reason=None, chosen_score=None, rejected_score=None)
    return Adapted([found])


def _scores(row: Fields, chosen: Any, rejected: Any) -> Scores:
    own = number(row.get("chosen_score"), "chosen_score")
    if row.peek("rejected_score") is not None:
        return Scores(own, number(row.get("rejected_score"), "rejected_score"))
    ratings = row.get("rating")
    if ratings is None:
        return Scores(own)
    texts = row.get("generations")
    if not isinstance(ratings, list) or not isinstance(texts, list) or not len(ratings) == len(texts) == 2:
        counts = [f"{len(one)}" if isinstance(one, list) else kind_of(one) for one in (ratings, texts)]
        message = f"rating has {counts[0]} and generations {counts[1]}, expected two of each"
        raise RowError(message)
    numbers = [number(one, f"rating[{at}]") for at, one in enumerate(ratings)]
    if chosen == rejected or chosen not in texts or rejected not in texts:
        row.note(UNRATED)
        return Scores(own)
    scores = Scores(numbers[texts.index(chosen)], numbers[texts.index(rejected)])
    if own not in (None, scores.chosen):
        message = f"chosen_score is {own:g} and the rating of chosen {scores.chosen}, expected the same"
        raise RowError(message)
    return scores


def _is_tied(row: Fields, scores: Scores) -> bool:
    status = row.get("status")
    if status is None:
        return False
    if status != TIE and status not in ORDERED:
        message = f"status is {kind_of(status)}, expected tie, unchanged or swapped"
        raise RowError(message)
    better, worse = scores
    known = better is not None and worse is not None
    if known and (better == worse if status != TIE else better != worse):
        message = f"status is {status} and the ratings are {better:g} (chosen) and {worse:g} (rejected)"
        raise RowError(message)
    if known and status != TIE and better < worse:  # type: ignore[operator] # known
        message = f"the ratings are {better:g} (chosen) and {worse:g} (rejected), expected the higher one for chosen"
        raise RowError(message)
    return bool(status == TIE)


def _is_of_gsm8k(row: Fields) -> bool:
    value = row.get("in_gsm8k_train")
    if value is not None and not isinstance(value, bool):
        message = f"in_gsm8k_train is {kind_of(value)}, expected true or false"
        raise RowError(message)
    return bool(value)


ORCA: Final = Paper(
    "mukherjee2023orca",
    "Mukherjee, Subhabrata and Mitra, Arindam and Jawahar, Ganesh and Agarwal, Sahaj and Palangi, Hamid and others",
    "Orca: Progressive Learning from Complex Explanation Traces of GPT-4",
    2023,
    "2306.02707",
)
KIND: Final = SourceKind(
    options=OrcaDpoPairsOptions,
    required=frozenset({"chosen", "rejected", "system"}),
    looks_like=lambda row: (
        isinstance(row.get("chosen"), str)
        and isinstance(row.get("rejected"), str)
        and "system" in row
        and "prompt" not in row
        and (isinstance(row.get("question"), str) or (isinstance(row.get("input"), str) and "generations" in row))
    ),
    adapt=adapt,
    about=About(
        sets={
            "Intel/orca_dpo_pairs": "apache-2.0",
            "argilla/distilabel-intel-orca-dpo-pairs": "apache-2.0",
        },
        languages=("en",),
        papers=(ORCA,),
    ),
)
