"""MT-Bench's ratings of single answers, `data/mt_bench/model_judgment/JUDGE_single.jsonl`: means by turn, 1 to 10.

    {"question_id": 81, "model": "my-model", "judge": ["gpt-4", "single-v1"], "user_prompt": "…", "judgment": "…",
     "score": 9, "turn": 1, "tstamp": 1764500000.0}

Source: fschat 0.2.36 (lm-sys/FastChat), `fastchat.llm_judge.show_result.display_result_single` and
`common.play_a_match_single`. The file holds every model that this judge rated. A score of −1 is one that could not be
read, and is left out; the mean of both turns is that of all ratings. Ratings are appended, so that a question which is
judged again is there twice, and counts twice.
"""

from collections.abc import Sequence
from typing import Any, Final

from transforms.errors import SourceError
from transforms.evaluation.annotated import (
    Asked,
    JudgedFile,
    Row,
    Verdict,
    alike,
    check_known,
    id_of,
    of_model,
    record_of,
    score_of,
)
from transforms.records.annotations import AnnotationRecord
from transforms.sources.rows import kind_of

BENCHMARK: Final = "MT-Bench"
SCALE: Final = (1.0, 10.0)
UNREADABLE: Final = -1
_PARTS: Final = {"first turn": (1,), "second turn": (2,), "both turns": (1, 2)}


def read_mt_bench(file: JudgedFile, model: str | None, asked: Sequence[Asked] | None) -> AnnotationRecord:
    """Mean ratings of the first turns, of the second, and of both.

    Args:
        file: of ratings.
        model: whose; None where the file has one.
        asked: the benchmark's questions, by which something may be missing; None where they are not known.

    Raises:
        ConfigError: as `of_model`.
        SourceError: a line of another layout, two judges, or a question that is not among those asked.
    """
    name, rows = of_model(file, model)
    judge = alike(rows, [_judge(row) for row in rows], "judge")
    verdicts: dict[int, list[Verdict]] = {1: [], 2: []}
    for row in rows:
        turn, instruction = _turn(row), id_of(row, "question_id")
        verdicts[turn].append(Verdict(_item(instruction, turn), instruction, _rating(row)))
    known = None
    if asked is not None:
        known = {turn: {_item(one.id, turn) for one in asked if one.turns >= turn} for turn in verdicts}
        for turn, mine in verdicts.items():
            check_known(mine, known[turn], file)
    return record_of(
        file,
        rows,
        kind="mt_bench",
        benchmark=BENCHMARK,
        model=name,
        judge=judge,
        scores=[
            score_of(
                [verdict for turn in turns for verdict in verdicts[turn]],
                of=part,
                unit="score",
                baseline=None,
                known=None if known is None else {item for turn in turns for item in known[turn]},
                scale=SCALE,
            )
            for part, turns in _PARTS.items()
        ],
    )


def _item(instruction: str, turn: int) -> str:
    return f"{instruction}, turn {turn}"


def _turn(row: Row) -> int:
    turn = row.content.get("turn")
    if isinstance(turn, bool) or turn not in (1, 2):
        message = f"{row.at}: turn is {kind_of(turn)}, expected 1 or 2"
        raise SourceError(message)
    return int(turn)


def _judge(row: Row) -> str:
    """Who rated; the name of the question that the judge was asked, which differs by category and turn, is left out."""
    judge = row.content.get("judge")
    named = judge[0] if isinstance(judge, list) and judge else judge
    if not isinstance(named, str) or not named:
        message = f"{row.at}: judge is {kind_of(judge)}, expected a list: the judge and the name of its prompt"
        raise SourceError(message)
    return named


def _rating(row: Row) -> Sequence[float]:
    score: Any = row.content.get("score")
    if score is None and "score" in row.content:
        return ()
    if isinstance(score, bool) or not isinstance(score, int | float):
        message = f"{row.at}: score is {kind_of(score)}, expected a rating, or {UNREADABLE} for none"
        raise SourceError(message)
    return () if score == UNREADABLE else (float(score),)
