"""stanfordnlp/SHP: two answers to a Reddit post, ordered by votes.

A raw row::

    {"post_id": "p7", "domain": "askbaking_train", "upvote_ratio": 0.98, "history": "Why is my bread flat?",
     "c_root_id_A": "a1", "c_root_id_B": "b1", "created_at_utc_A": 1600000000, "created_at_utc_B": 1600000100,
     "score_A": 4, "score_B": 12, "human_ref_A": "Old yeast.", "human_ref_B": "Let it rise for longer.",
     "labels": 0, "seconds_difference": 100.0, "score_ratio": 3.0}

`labels` 1 means that A is preferred, 0 that B is: the other way round than "index of the winner".
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted, Message, check_score, check_text
from transforms.sources.fields import number, pair, text_id
from transforms.sources.messages import answers, plain_text
from transforms.sources.options import SourceOptions
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields


class ShpOptions(SourceOptions):
    """The set's card advises both limits: at most 5 pairs a post, and a score ratio of 2 or more.

    Attributes:
        min_score_ratio: pairs whose votes differ by less are dropped (`score_ratio`); 1 keeps all but ties.
        max_pairs_per_prompt: keep at most so many pairs of one post, chosen by content.
    """

    kind: Literal["shp"]
    min_score_ratio: Annotated[float, Field(ge=1)] = 2.0
    max_pairs_per_prompt: Annotated[int, Field(ge=1)] | None = 5


def adapt(row: Fields, options: ShpOptions) -> Adapted:
    """One row, one pair, with the votes as scores.

    Raises:
        RowError: `labels` is neither 0 nor 1, or contradicts the votes.
    """
    raw = row.get("labels")
    label = int(raw) if isinstance(raw, bool) else number(raw, "labels")
    if label not in (0, 1):
        message = f"labels is {raw!r}, expected 1 (A is preferred) or 0 (B is)"
        raise RowError(message)
    winner, loser = ("A", "B") if label == 1 else ("B", "A")
    better = number(row.get(f"score_{winner}"), f"score_{winner}")
    worse = number(row.get(f"score_{loser}"), f"score_{loser}")
    ratio = number(row.get("score_ratio"), "score_ratio")
    check_score(ratio, "score_ratio")
    if better is None or worse is None or ratio is None:
        message = f"score_A, score_B or score_ratio is null in post {row.get('post_id')!r}"
        raise RowError(message)
    if better < worse:
        message = f"labels says {winner} but score_{winner} is {better:g} and score_{loser} is {worse:g}"
        raise RowError(message)
    texts: dict[str, Any] = {side: row.get(f"human_ref_{side}") for side in "AB"}
    ids = [text_id(row.get(name)) for name in ("post_id", "c_root_id_A", "c_root_id_B")]
    history = plain_text(row.get("history"), "history")
    check_text(history, "history")
    one = pair(
        row,
        options,
        answers((Message("user", history),), texts[winner], texts[loser]),
        source_id="/".join(filter(None, ids)) if all(ids) else None,
        scores=(better, worse),
        reason="score_ratio" if better != worse and ratio < options.min_score_ratio else None,
    )
    return Adapted([one])


SHP: Final = Paper(
    "ethayarajh2022understanding",
    "Ethayarajh, Kawin and Choi, Yejin and Swayamdipta, Swabha",
    "Understanding Dataset Difficulty with V-Usable Information",
    2022,
    "2110.08420",
)
KIND: Final = SourceKind(
    options=ShpOptions,
    required=frozenset({"history", "human_ref_A", "human_ref_B", "labels", "score_A", "score_B", "score_ratio"}),
    looks_like=lambda row: "human_ref_A" in row and "labels" in row,
    adapt=adapt,
    about=About(
        sets={"stanfordnlp/SHP": None},
        terms="Reddit's API terms",
        languages=("en",),
        papers=(SHP,),
    ),
)
