r"""nvidia/HelpSteer2: responses of NVIDIA's models, rated by people in five attributes; and preferences between them.

Raw rows, of `train.jsonl.gz` (one response each, two of a prompt) and of `preference/preference.jsonl.gz`::

    {"prompt": "Name three rivers.", "response": "The Nile, the Rhine and the Po.",
     "helpfulness": 4, "correctness": 4, "coherence": 4, "complexity": 1, "verbosity": 1}
    {"prompt": "Name three rivers.", "response": "Nile.",
     "helpfulness": 1, "correctness": 2, "coherence": 4, "complexity": 0, "verbosity": 0}
    {"split": "train", "prompt": "Hi.\n<extra_id_1>Assistant\nHello!\n<extra_id_1>User\nName three rivers.",
     "response_1": "Nile.", "response_2": "The Nile, the Rhine and the Po.", "preference_strength": 2,
     "preference_statement": "@Response 2 is better than @Response 1.", "preference_elaboration": "It names three.",
     "three_most_similar_preferences": [{"statement": "…", "elaboration": "…", "strength": 2}],
     "all_preferences_unprocessed": [{"strength": 2, "justification": "…"}]}

About 29 % of the prompts have several turns, with the marks of NVIDIA's own template between them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import BadRow, SourceKind, row_hash
from transforms.sources.canonical import Adapted, Message, Pair, Prompt, Response, check_text, content_hash
from transforms.sources.endings import finished_one
from transforms.sources.fields import EXCLUDED, OF_PROMPT, number, pair
from transforms.sources.messages import answers, holds_messages, messages
from transforms.sources.pairing import Candidate, Completion, Pairing, is_usable, paired
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields, kind_of
from transforms.sources.votes import VoteOptions, judged

Attribute = Literal["helpfulness", "correctness", "coherence", "complexity", "verbosity"]
HIGHEST: Final = 4
REPEATED: Final = "rows that say again what another row says: counted once"
# The template of NeMo-Aligner puts a newline behind each role and one before the next mark: they are none of the text.
_MARK: Final = re.compile(r"\n?<extra_id_1>(?P<role>[^\n]*)(?:\n|\Z)")
_ROLES: Final = {"User": "user", "Assistant": "assistant"}
# Sums of weighted ratings are compared, and 0.1 + 0.2 is not 0.3.
_DIGITS: Final = 9


class HelpSteer2Options(VoteOptions):
    """`score`, `weights` and `pairing` are for ratings, `min_strength`, `min_agreement` and `part` for preferences.

    Attributes:
        score: the attribute that orders the responses; by default helpfulness, as the set's card advises.
        weights: of attributes, whose weighted sum orders the responses in place of `score`, such as
            `{helpfulness: 0.65, correctness: 0.8, coherence: 0.45, complexity: 0.55, verbosity: -0.4}`.
        pairing: which responses meet if a prompt has more than two; random by content, so a rerun picks the same.
        part: the file of preferences holds those for training and those for validation: pairs of the other part are
            dropped (`excluded`).
    """

    kind: Literal["helpsteer2"]
    score: Attribute | None = None
    weights: dict[Attribute, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)
    pairing: Pairing = "best_vs_worst"
    part: Literal["train", "val", "all"] = "train"

    @model_validator(mode="after")
    def _has_one_order(self) -> Self:
        if self.weights and self.score is not None:
            message = f"score is {self.score} and weights are of {', '.join(self.weights)}; give one of the two"
            raise ValueError(message)
        return self

    @property
    def order(self) -> Mapping[Attribute, float]:
        """Attribute → weight in what a response is worth."""
        return self.weights or {self.score or "helpfulness": 1.0}


def gather(rows: Iterable[Fields | BadRow], options: HelpSteer2Options) -> Iterator[Fields | BadRow]:
    """Put the rated responses of each prompt into one row; preferences pass.

    Rows of one prompt need not be neighbours, so all rows with a rating are held in memory: the set has 21,362.
    """
    groups: dict[str, dict[str, Fields]] = {}
    repeated: dict[str, int] = {}
    for row in rows:
        if isinstance(row, BadRow) or _is_preference(row) or not row.peek("prompt"):
            yield row
            continue
        key = row_hash({name: row.peek(name) for name in ("prompt", *OF_PROMPT) if row.peek(name) is not None})
        content = row_hash(row.raw)
        if content in groups.setdefault(key, {}):
            repeated[key] = repeated.get(key, 0) + 1
        groups[key][content] = row
    for key, group in groups.items():
        same = sorted(group.values(), key=lambda row: (str(row.peek("response")), row_hash(row.raw)))
        shared = {name: same[0].peek(name) for name in ("prompt", *OF_PROMPT) if name in same[0]}
        for row in same:
            for name in shared:
                row.get(name)
        whole = Fields.of_rows(same, **shared)
        for _ in range(repeated.get(key, 0)):
            whole.note(REPEATED)
        yield whole


def adapt(row: Fields, options: HelpSteer2Options) -> Adapted:
    """One pair of a preference; of ratings those that `pairing` says, and all responses.

    Raises:
        RowError: fewer than two responses with text and ratings; a rating, a strength or a prompt that cannot be read.
    """
    if _is_preference(row):
        return Adapted([_preferred(row, options)])
    prompt = prompt_turns(row)
    samples = row.rows()
    candidates, responses = [], []
    for at, sample in enumerate(samples):
        score, text = _score(sample, options), sample.get("response")
        ended = finished_one(sample, of="response_")
        if isinstance(text, str):
            responses.append(Response(at, text, score=score, finished=ended is not False))
        if score is not None and is_usable(text):
            candidates.append(Candidate(score, content_hash(text), Completion(text, ended)))
    if len(candidates) < 2:
        wanted = ", ".join(options.order)
        message = (
            f"{len(candidates)} of {len(samples)} rows of this prompt have a response and {wanted}, expected at least"
            " two"
        )
        raise RowError(message)
    pairs = paired(row, options, prompt, candidates, options.pairing)
    return Adapted(pairs, pairs[0].prompt, responses)


def prompt_turns(row: Fields) -> Prompt:
    r"""The turns of `{user}\n<extra_id_1>Assistant\n{assistant}\n<extra_id_1>User\n{user}`; of messages theirs.

    Raises:
        RowError: no text, or a mark of another role.
    """
    text = row.get("prompt")
    if holds_messages(text):
        return messages(row, "prompt").turns
    check_text(text, "prompt")
    turns, role, start = [], "user", 0
    for mark in _MARK.finditer(str(text)):
        turns.append(Message(role, str(text)[start : mark.start()]))
        if mark["role"] not in _ROLES:
            message = f"prompt has <extra_id_1> before {mark['role'][:40]!r}, expected User or Assistant and a newline"
            raise RowError(message)
        role, start = _ROLES[mark["role"]], mark.end()
    return (*turns, Message(role, str(text)[start:]))


def _is_preference(row: Fields) -> bool:
    # By what is not null: a table of both layouts has all columns in every row.
    return any(row.peek(name) is not None for name in ("response_1", "response_2", "preference_strength"))


def _preferred(row: Fields, options: HelpSteer2Options) -> Pair:
    votes = []
    if options.min_agreement:
        name = "all_preferences_unprocessed"
        given = row.objects(name)
        votes = [(vote.get("strength"), f"{name}[{at}].strength") for at, vote in enumerate(given)]
    found = judged(row, "preference_strength", votes, options)
    sides = answers(prompt_turns(row), *found.sides(row.get("response_1"), row.get("response_2")))
    reason = EXCLUDED if _is_left_out(row, options) else found.reason
    return pair(row, options, sides, scores=found.scores, reason=reason)


def _is_left_out(row: Fields, options: HelpSteer2Options) -> bool:
    part = row.get("split")
    if part is None:
        return False
    if part not in ("train", "val", "validation"):
        message = f"split is {kind_of(part)}, expected train or val"
        raise RowError(message)
    return options.part not in ("all", str(part).removesuffix("idation"))


def _score(sample: Fields, options: HelpSteer2Options) -> float | None:
    weights = options.order
    ratings: dict[Attribute, float | None] = {name: _rating(sample, name) for name in weights}
    known = {name: rating for name, rating in ratings.items() if rating is not None}
    return round(sum(weights[name] * known[name] for name in weights), _DIGITS) if len(known) == len(weights) else None


def _rating(sample: Fields, name: str) -> float | None:
    value = sample.get(name)
    if isinstance(value, list):
        message = f"{name} is a list, expected a number: lists are single votes (disagreements/), not the set's ratings"
        raise RowError(message)
    rating = number(value, name)
    if rating is not None and not 0 <= rating <= HIGHEST:
        message = f"{name} is {rating:g}, expected a rating from 0 to {HIGHEST}"
        raise RowError(message)
    return rating


HELPSTEER2: Final = Paper(
    "wang2024helpsteer2",
    "Wang, Zhilin and Dong, Yi and Delalleau, Olivier and Zeng, Jiaqi and Shen, Gerald and others",
    "HelpSteer2: Open-source dataset for training top-performing reward models",
    2024,
    "2406.08673",
)
PREFERENCE: Final = Paper(
    "wang2024helpsteer2preference",
    "Wang, Zhilin and Bukharin, Alexander and Delalleau, Olivier and Egert, Daniel and Shen, Gerald and others",
    "HelpSteer2-Preference: Complementing Ratings with Preferences",
    2024,
    "2410.01257",
)
KIND: Final = SourceKind(
    options=HelpSteer2Options,
    required=frozenset({"prompt"}),
    looks_like=lambda row: (
        {"prompt", "response", "helpfulness", "verbosity"} <= row.keys()
        or {"prompt", "response_1", "response_2", "preference_strength"} <= row.keys()
    ),
    adapt=adapt,
    gather=gather,
    about=About(
        sets={"nvidia/HelpSteer2": "cc-by-4.0"},
        languages=("en",),
        papers=(HELPSTEER2, PREFERENCE),
    ),
)
