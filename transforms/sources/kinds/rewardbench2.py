"""allenai/reward-bench-2: right and wrong responses to a prompt, for `python -m flows.evaluate` alone.

Raw rows; a question of the subset Ties has two, of which `ref` has one right response::

    {"id": "12", "prompt": "Name three rivers.", "chosen": ["The Nile, the Rhine and the Po."],
     "rejected": ["The Nile, the Alps and the Po.", "Nile.", "Three rivers."],
     "num_correct": 1, "num_incorrect": 3, "total_completions": 4, "models": ["a", "b", "c", "d"],
     "subset": "Factuality", "additional_metadata": {"category": null}}
    {"id": "tied:7", "prompt": "Name a colour of the rainbow.", "chosen": ["Red.", "Green.", "Violet."],
     "rejected": ["Brown.", "Pink."], "num_correct": 3, "num_incorrect": 2, "total_completions": 5,
     "models": ["a"], "subset": "Ties", "additional_metadata": {"category": null}}

One right response against three wrong ones is no pair, and a model's score is no share of pairs: the total is the mean
of six subsets, and that of Ties is of all rows together (`transforms.evaluation.rewardbench2`).
"""

import re
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, Self

from pydantic import model_validator

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted, Message, Prompt, Question, Response, check_prompt, check_text
from transforms.sources.fields import row_id, text_id
from transforms.sources.options import SourceOptions
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields, kind_of, opened

NAME: Final = "rewardbench2"
TIES: Final = "ties"  # the subset's name in small letters, as the benchmark's own code compares it
TIES_ID: Final = re.compile(r"(?P<form>ref|tied):(?P<question>0|[1-9][0-9]{0,8})")
COUNTS: Final = ("num_correct", "num_incorrect", "total_completions")


class RewardBench2Options(SourceOptions):
    """Every row of the benchmark has its weight in the scores, so `limit` alone reads fewer, for a trial.

    Attributes:
        split: of a Hub dataset or a `save_to_disk` folder; the public set has no other.
    """

    kind: Literal["rewardbench2"]
    split: str = "test"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name, meant in (("weight", 1.0), ("max_pairs_per_prompt", None)):
            if getattr(self, name) != meant:
                message = f"{name} is for pairs, and rewardbench2 has rows of several responses; leave it out"
                raise ValueError(message)
        return self


class BestOf(NamedTuple):
    """A prompt with its right and its wrong responses.

    Attributes:
        source_id: the row's own; of Ties `ref:7` or `tied:7`.
        subset: as the row names it.
        prompt: one user turn.
        chosen: right responses, one outside Ties.
        rejected: wrong ones, at least one.
    """

    source_id: str
    subset: str
    prompt: Prompt
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]


def best_of(row: Fields) -> BestOf:
    """A raw row as a prompt with right and wrong responses; texts stay letter for letter.

    Raises:
        RowError: a text or a list that is missing, counts that are not those of the lists, several right responses
            outside Ties, one in a `tied` row of it, or an id of Ties that names no question.
    """
    subset = text_id(row.get("subset"))
    if subset is None:
        message = f"subset is {kind_of(row.raw.get('subset'))}, expected a name such as Factuality"
        raise RowError(message)
    source_id = row_id(row, "id")
    if source_id is None:
        message = f"id is {kind_of(row.raw.get('id'))}, expected the row's own"
        raise RowError(message)
    check_text(source_id, "id")
    check_text(subset, "subset")
    asked = row.get("prompt")
    if not isinstance(asked, str):
        message = f"prompt is {kind_of(asked)}, expected text"
        raise RowError(message)
    prompt = (Message("user", asked),)
    check_prompt(prompt)
    chosen, rejected = _texts(row, "chosen"), _texts(row, "rejected")
    for name, found in zip(COUNTS, (len(chosen), len(rejected), len(chosen) + len(rejected)), strict=True):
        stated = row.get(name)
        if stated is not None and stated != found:
            message = f"{name} is {kind_of(stated)}, and there are {found}: a response is missing, or one too many"
            raise RowError(message)
    if is_ties(subset):
        if not TIES_ID.fullmatch(source_id):
            message = f"id is {source_id!r}, expected ref:NUMBER or tied:NUMBER in the subset {subset}"
            raise RowError(message)
        if source_id.startswith("tied") and len(chosen) == 1:
            message = "chosen has 1 response, expected several in a row that is called tied"
            raise RowError(message)
    elif len(chosen) != 1:
        message = f"chosen has {len(chosen)} responses, expected one outside the subset Ties"
        raise RowError(message)
    return BestOf(source_id, subset, prompt, chosen, rejected)


def is_ties(subset: str) -> bool:
    """Whether rows of this subset are scored together."""
    return subset.lower() == TIES


def adapt(row: Fields, options: RewardBench2Options) -> Adapted:
    """The prompt and all responses; a right one has the score 1, a wrong one 0. There are no pairs.

    Raises:
        RowError: as `best_of`.
    """
    found = best_of(row)
    scored = [(text, 1.0) for text in found.chosen] + [(text, 0.0) for text in found.rejected]
    responses = [Response(at, text, score=score) for at, (text, score) in enumerate(scored)]
    return Adapted([], found.prompt, responses, Question(found.source_id, found.prompt))


def _texts(row: Fields, name: str) -> tuple[str, ...]:
    value = opened(row.get(name))
    if not isinstance(value, list) or not value:
        message = f"{name} is {'an empty list' if value == [] else kind_of(value)}, expected a list of responses"
        raise RowError(message)
    for at, text in enumerate(value):
        check_text(text, "{name}[{at}]", name=name, at=at)
    return tuple(value)


def _are_texts(value: Any) -> bool:
    value = opened(value)
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, str) for one in value)


KIND: Final = SourceKind(
    options=RewardBench2Options,
    required=frozenset({"id", "prompt", "chosen", "rejected", "subset"}),
    looks_like=lambda row: (
        row.keys() >= {"id", "prompt", "subset"} and _are_texts(row.get("chosen")) and _are_texts(row.get("rejected"))
    ),
    adapt=adapt,
    about=About(
        sets={"allenai/reward-bench-2": "odc-by"},
        terms="that of the set in question",
        papers=(
            Paper(
                "malik2025rewardbench2",
                "Malik, Saumya and Pyatkin, Valentina and Land, Sander and Morrison, Jacob and Smith, Noah A. and "
                "Hajishirzi, Hannaneh and Lambert, Nathan",
                "RewardBench 2: Advancing Reward Model Evaluation",
                2025,
                "2506.01937",
            ),
        ),
        any_set=True,
    ),
)
