"""What the judge says of a policy's answers to the held-out prompts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from flows.answers.reading import prompt_number, responses_in
from flows.rounds.recipes import JUDGE
from transforms.errors import SourceError
from transforms.pairing.win_rate import Samples
from transforms.records.generation import GenerationManifest
from transforms.records.rounds import AnswersRecord, MeanScore
from transforms.statistics.intervals import Floats


class Answers(NamedTuple):
    """A policy's answers."""

    samples: Samples  # scored by the judge; prompts are numbered by `prompt_number`
    record: AnswersRecord


def read_answers(folder: Path, manifest: GenerationManifest) -> Answers:
    """Read what a finished generation of held-out answers wrote.

    Raises:
        SourceError: it wrote no responses.
    """
    tables = list(responses_in(folder, manifest))
    if not tables:
        message = f"{folder} holds no responses to held-out prompts; remove it and run again"
        raise SourceError(message)
    table = pa.concat_tables(tables)
    tokens = np.asarray([len(ids) for ids in table["response_ids"].to_pylist()], np.int64)
    labels = [one.label for one in manifest.annotators]
    scores = {label: _numbers(table, f"score_{label}") for label in labels}
    prompts = np.asarray([prompt_number(one) for one in table["prompt_id"].to_pylist()], np.int64)
    return Answers(
        Samples(prompts, scores[JUDGE], tokens),
        AnswersRecord(
            responses=len(table),
            finished=sum(table["finished"].to_pylist()),
            tokens=float(tokens.mean()),
            judge=_mean(scores[JUDGE]),
            annotators=_means({label: scores[label] for label in labels if label != JUDGE}),
        ),
    )


def _numbers(table: pa.Table, column: str) -> Floats:
    values: Sequence[float | None] = table[column].to_pylist()
    return np.asarray([np.nan if value is None else value for value in values], np.float64)


def _means(scores: Mapping[str, Floats]) -> dict[str, MeanScore]:
    found = {label: _mean(values) for label, values in scores.items()}
    return {label: mean for label, mean in found.items() if mean is not None}


def _mean(scores: Floats) -> MeanScore | None:
    known = scores[~np.isnan(scores)]
    if not len(known):
        return None
    return MeanScore(mean=float(known.mean()), sd=float(known.std()), scored=len(known))
