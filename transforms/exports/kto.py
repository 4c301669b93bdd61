"""TRL's unpaired preferences, for KTOTrainer: a response a row, desirable or not.

    {"prompt": [{"role": "user", "content": "Name a river."}],
     "completion": [{"role": "assistant", "content": "The Nile."}], "label": true}

Source: trl 1.16.0, docs/source/dataset_formats.md ("Unpaired preference") and trl/trainer/kto_trainer.py:
KTOTrainer._prepare_dataset, read and run on these rows (tests/flows/export). Columns `chosen` and `rejected` would make
it take the rows for pairs; further ones are not read.

A label is of the response alone: its score is at least the threshold. Chosen is not the same, for of two good responses
one is rejected, and of two bad ones one is chosen; KTOTrainer labels so when it is handed pairs.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from transforms.chat.conversation import Asked
from transforms.exports.pairs import Answer, Pair, why_not
from transforms.exports.thresholds import Floats
from transforms.exports.trl import for_the_template
from transforms.tables.schema import SIDES

BOTH: Final = "both"


class Response(NamedTuple):
    """One response with its score.

    Attributes:
        named: columns that say where it is from: pair_id; of a generation prompt_id, response_index and more.
        source: label of its source.
        asked: the prompt.
        answer: the response; its score decides the label.
        side: chosen or rejected; None where it is no pair's, BOTH where it is chosen in one and rejected in another.
        unfit: a key of pairs.LEFT_OUT, where it is no response at all.
    """

    named: Mapping[str, Any]
    source: str
    asked: Asked
    answer: Answer
    side: str | None = None
    unfit: str | None = None


class Verdict(NamedTuple):
    """What becomes of a response.

    Attributes:
        response: it.
        row: a line of the file; None where it is left out.
        left_out: a key of pairs.LEFT_OUT; None where there is a row.
    """

    response: Response
    row: dict[str, Any] | None
    left_out: str | None


class ScoreTable:
    """The scores of different responses. One that occurs in several pairs is one response; its scores are averaged."""

    def __init__(self, responses: Iterable[Response]) -> None:
        self._scores: dict[bytes, tuple[float, int]] = {}  # sum and number
        self._several: set[bytes] = set()
        self.sources: set[str] = set()  # of the responses that have a score
        self._by_side: dict[str | None, list[float]] = {side: [] for side in (*SIDES, None)}
        for response in responses:
            if response.answer.score is not None and _refused(response) is None:
                self._add(response, response.answer.score)

    @property
    def scores(self) -> Floats:
        """One a different response."""
        return np.array([total / number for total, number in self._scores.values()], np.float64)

    @property
    def several(self) -> int:
        """How many responses have different scores in different pairs."""
        return len(self._several)

    def of_side(self, side: str | None) -> Floats:
        """Scores of one side, one an occurrence; None for responses of no pair."""
        return np.array(self._by_side[side], np.float64)

    def score(self, response: Response) -> float | None:
        """The response's one score."""
        found = self._scores.get(_key(response))
        return found[0] / found[1] if found else None

    def _add(self, response: Response, score: float) -> None:
        self.sources.add(response.source)
        key = _key(response)
        total, number = self._scores.get(key, (0.0, 0))
        if number and total / number != score:
            self._several.add(key)
        self._scores[key] = (total + score, number + 1)
        for side in SIDES if response.side == BOTH else (response.side,):
            self._by_side[side].append(score)


def responses_of(pairs: Iterable[Pair]) -> Iterator[Response]:
    """Both responses of each pair."""
    for pair in pairs:
        for side, answer in zip(SIDES, (pair.chosen, pair.rejected), strict=True):
            yield Response({"pair_id": pair.pair_id}, pair.source, pair.asked, answer, side)


def judged(
    responses: Iterable[Response], table: ScoreTable, threshold: float, margin: float, *, structured: bool
) -> Iterator[Verdict]:
    """Each response, as a row or with the reason why not; a repeated one is written where it is met first.

    Args:
        responses: those that `table` was made of, in any order.
        table: their scores.
        threshold: least score of a desirable response.
        margin: responses whose score is less than this away from it are left out.
        structured: whether the run has structure, so that all rows of a file have the same columns.
    """
    seen: set[bytes] = set()
    for response in responses:
        score, key = table.score(response), _key(response)
        reason = _refused(response)
        if reason is None and score is None:
            reason = "no_score"
        elif reason is None and score is not None and abs(score - threshold) < margin:
            reason = "near_threshold"
        elif reason is None and key in seen:
            reason = "repeated"
        if reason is not None or score is None:
            yield Verdict(response, None, reason)
        else:
            seen.add(key)
            yield Verdict(response, _row(response, score, score >= threshold, structured), None)


def _row(response: Response, score: float, label: bool, structured: bool) -> dict[str, Any]:
    return {
        "prompt": list(response.asked.turns),
        "completion": [response.answer.turn],
        "label": label,
        **(for_the_template(response.asked) if structured else {}),
        **response.named,
        "source": response.source,
        "score": score,
        "completion_cut": response.answer.cut,
        "completion_finished": response.answer.finished,
    }


def _refused(response: Response) -> str | None:
    return response.unfit or why_not(response.asked, [response.answer], tools=True)


def _key(response: Response) -> bytes:
    """Of what a trainer sees: prompt, tools, arguments, and the response. Of two cuts each is a response of its own."""
    asked, answer = response.asked, response.answer
    text = json.dumps([list(asked.turns), asked.tools, asked.kwargs, answer.turn, answer.cut])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
