"""Arena-Hard v2's verdicts, `data/arena-hard-v2.0/model_judgment/JUDGE/MODEL.jsonl`: win rates over its baselines.

    {"uid": "2edbb5f36f5b42be", "category": "hard_prompt", "judge": "gpt-4.1", "model": "my-model",
     "baseline": "o3-mini-2025-01-31",
     "games": [{"score": "A>B", "judgment": {"answer": "…"}, "prompt": […]}, {"score": "A=B", …}]}

Source: lmarena/arena-hard-auto, gen_judgment.py (commit bed160442a7e, under src/arenahard) and
show_result.py:load_judgments (commit 005ac120c11d). In the first game A is the baseline, in the second the model. A
verdict is a battle, one by far (>>) three of them; a line without a verdict in either game is left out; the rate is the
mean over battles, by category, whose baselines differ. There it is the mean of a hundred bootstrap samples, and its
interval (90 %) takes battles of one instruction for independent; here it is exact, and its interval is over
instructions.
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
    text_of,
)
from transforms.records.annotations import AnnotationRecord, AnnotationScore
from transforms.sources.rows import kind_of

BENCHMARK: Final = "Arena-Hard v2"
BY_FAR: Final = 3  # battles
# What A has of each battle.
_OF_A: Final = {
    "A>>B": (1.0,) * BY_FAR,
    "B<<A": (1.0,) * BY_FAR,
    "A>B": (1.0,),
    "B<A": (1.0,),
    "A=B": (0.5,),
    "B=A": (0.5,),
    "A<B": (0.0,),
    "B>A": (0.0,),
    "A<<B": (0.0,) * BY_FAR,
    "B>>A": (0.0,) * BY_FAR,
}


def read_arena_hard(file: JudgedFile, model: str | None, asked: Sequence[Asked] | None) -> AnnotationRecord:
    """Win rates by category.

    Args:
        file: of verdicts.
        model: whose; None where the file has one.
        asked: the benchmark's questions, by which something may be missing; None where they are not known.

    Raises:
        ConfigError: as `of_model`.
        SourceError: a line of another layout, two judges, a category with two baselines, or a question that is not
            among those asked.
    """
    name, rows = of_model(file, model)
    judge = alike(rows, [text_of(row, "judge") for row in rows], "judge")
    categories: dict[str, list[Row]] = {}
    for row in rows:
        categories.setdefault(text_of(row, "category"), []).append(row)
    for one in asked or ():
        categories.setdefault(one.category or "", [])
    return record_of(
        file,
        rows,
        kind="arena_hard",
        benchmark=BENCHMARK,
        model=name,
        judge=judge,
        scores=[_score(category, of, asked, file) for category, of in categories.items()],
    )


def battles(games: Any, at: str) -> Sequence[float]:
    """What the model has of each battle: 1 won, 0 lost, ½ a tie; none where a game has no verdict.

    Args:
        games: both of a line.
        at: the line, for errors.

    Raises:
        SourceError: no two games, or a verdict that the benchmark does not have.
    """
    if not isinstance(games, list) or len(games) != 2 or not all(isinstance(one, dict | None) for one in games):
        message = f"{at}: games is {kind_of(games)}, expected two, with the answers in either order"
        raise SourceError(message)
    first, second = (_of_a(game, at) for game in games)
    return (*second, *(1 - share for share in first)) if first and second else ()


def _of_a(game: dict[str, Any] | None, at: str) -> Sequence[float]:
    score = None if game is None else game.get("score")
    if score is None:
        return ()
    if not isinstance(score, str) or score not in _OF_A:
        message = f"{at}: a score is {kind_of(score)}, expected null or one of {', '.join(_OF_A)}"
        raise SourceError(message)
    return _OF_A[score]


def _score(category: str, rows: Sequence[Row], asked: Sequence[Asked] | None, file: JudgedFile) -> AnnotationScore:
    known = None if asked is None else {one.id for one in asked if (one.category or "") == category}
    verdicts = []
    for row in rows:
        uid = id_of(row, "uid")
        verdicts.append(Verdict(uid, uid, battles(row.content.get("games"), row.at)))
    check_known(verdicts, known, file)
    baseline = alike(rows, [text_of(row, "baseline") for row in rows], f"baseline of {category}") if rows else None
    return score_of(verdicts, of=category, unit="win_rate", baseline=baseline, known=known)
