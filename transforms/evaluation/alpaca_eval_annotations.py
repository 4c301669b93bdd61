"""AlpacaEval 2's verdicts, `results/MODEL/ANNOTATOR/annotations.json`: the win rate and the length-controlled one.

    {"instruction": "Who was …?", "output_1": "…", "generator_1": "gpt4_1106_preview", "output_2": "…",
     "generator_2": "my-model", "annotator": "weighted_alpaca_eval_gpt4_turbo", "preference": 1.83}

Source: alpaca_eval 0.6.6, metrics/winrate.py and metrics/glm_winrate.py. A preference is from 1, the baseline's output
is better, to 2, the model's is; 0 and 1.5 are ties, and null is a failure of the judge. The win rate is the mean.
"""

from collections.abc import Sequence
from typing import Final

from transforms.errors import SourceError
from transforms.evaluation.alpaca_eval import Benchmark, Judgement, length_controlled, match, over_instructions
from transforms.evaluation.annotated import (
    Asked,
    JudgedFile,
    Row,
    Verdict,
    alike,
    check_known,
    of_model,
    record_of,
    score_of,
    text_of,
)
from transforms.records.annotations import AnnotationRecord, AnnotationScore
from transforms.sources.rows import kind_of

BENCHMARK: Final = "AlpacaEval 2"
ALL: Final = "all"
CONTROLLED: Final = "length-controlled"


def read_alpaca_eval(
    file: JudgedFile, model: str | None, asked: Sequence[Asked] | None, benchmark: Benchmark | None = None
) -> AnnotationRecord:
    """The win rate, and with the benchmark's own files the length-controlled one beside it.

    Args:
        file: of verdicts.
        model: whose; None where the file has one.
        asked: the benchmark's instructions; None where they are not known.
        benchmark: difficulties and gamed baselines; None for no length-controlled rate.

    Raises:
        ConfigError: as `of_model`.
        SourceError: a line of another layout, two judges, two baselines, an instruction that is not among those asked,
            or too few judgements for the regression.
    """
    name, rows = of_model(file, model, "generator_2")
    judge = alike(rows, [text_of(row, "annotator") for row in rows], "annotator")
    baseline = alike(rows, [text_of(row, "generator_1") for row in rows], "baseline")
    found = [(row, text_of(row, "instruction"), preference(row)) for row in rows]
    verdicts = [Verdict(text, text, () if share is None else (share,)) for _, text, share in found]
    known = None if asked is None else {one.id for one in asked}
    check_known(verdicts, known, file)
    scores = [score_of(verdicts, of=ALL, unit="win_rate", baseline=baseline, known=known)]
    if benchmark is not None:
        judgements = [
            Judgement(text, float("nan") if share is None else share, _longer(row)) for row, text, share in found
        ]
        scores.append(_controlled(judgements, benchmark, scores[0], file))
    return record_of(
        file,
        rows,
        kind="alpaca_eval",
        benchmark=BENCHMARK,
        model=name,
        judge=judge,
        scores=scores,
    )


def preference(row: Row) -> float | None:
    """How far the model's output is preferred, in [0, 1]; None where the judge failed.

    Raises:
        SourceError: no number from 1 to 2, 0 or null.
    """
    value = row.content.get("preference")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value == 0 or 1 <= value <= 2):
        shown = f"{value:g}" if isinstance(value, int | float) else kind_of(value)
        message = f"{row.at}: preference is {shown}, expected null, 0 or a number from 1 to 2"
        raise SourceError(message)
    return 0.5 if value == 0 else float(value) - 1


def _longer(row: Row) -> int:
    """Characters of the baseline's output less the model's; an output may be empty."""
    lengths = []
    for column in ("output_1", "output_2"):
        value = row.content.get(column)
        if not isinstance(value, str):
            message = f"{row.at}: {column} is {kind_of(value)}, expected a text, whose length is controlled for"
            raise SourceError(message)
        lengths.append(len(value))
    return lengths[0] - lengths[1]


def _controlled(
    judgements: Sequence[Judgement], benchmark: Benchmark, plain: AnnotationScore, file: JudgedFile
) -> AnnotationScore:
    matched = match(judgements, benchmark)
    try:
        found = length_controlled(matched, benchmark)
    except SourceError as error:
        message = f"{file.path}: no length-controlled rate: {error}; leave `gamed` out for the plain one"
        raise SourceError(message) from error
    low, high = over_instructions(matched, benchmark) or (None, None)
    counts = plain.counts.model_copy(
        update={
            "judged": found.fitted,
            "no_verdict": matched.failed,
            "doubled": matched.doubled,
            "missing": matched.missing,
        }
    )
    update = {"of": CONTROLLED, "value": found.rate, "low": low, "high": high, "verdicts": found.fitted}
    return plain.model_copy(update={**update, "counts": counts})
