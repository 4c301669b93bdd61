"""Files of verdicts that a chat benchmark's own tool wrote: read line by line, of one model, made into rates.

What each kind of file has to say is in a module of its own, a function from `JudgedFile` to an AnnotationRecord:
`arena_hard`, `mt_bench`. What they share is here: which model is meant, what a line's verdicts are of, and counts.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from transforms.errors import ConfigError, SourceError
from transforms.records.annotations import AnnotationCounts, AnnotationRecord, AnnotationScore, Unit
from transforms.sources.adapter import BadRow
from transforms.sources.kinds.prompts import PromptsOptions
from transforms.sources.read import fingerprint, read_rows
from transforms.sources.rows import kind_of
from transforms.statistics.clustered import clustered_mean, clustered_share
from transforms.text import visible_plain

SHOWN: Final = 3  # names in an error


class Row(NamedTuple):
    """A line of the file.

    Attributes:
        at: the file and the line's number, for errors.
        content: as it is.
    """

    at: str
    content: Mapping[str, Any]


class JudgedFile(NamedTuple):
    """A file of verdicts.

    Attributes:
        path: as the user named it.
        sha256: of its content.
        rows: all of them.
    """

    path: str
    sha256: str
    rows: list[Row]


class Asked(NamedTuple):
    """A question of the benchmark's own file, which says what is missing.

    Attributes:
        id: as in the file of verdicts.
        turns: that the user has.
        category: of Arena-Hard.
    """

    id: str
    turns: int = 1
    category: str | None = None


class Verdict(NamedTuple):
    """What a line says.

    Attributes:
        item: what is judged once: an instruction, or a turn of one.
        instruction: that it is of: items of one are not independent.
        numbers: that it gives; none where the judge's verdict cannot be read.
    """

    item: str
    instruction: str
    numbers: Sequence[float]


def read_judged(path: str) -> JudgedFile:
    """A file of verdicts: JSON lines, or a JSON list.

    Raises:
        SourceError: missing, unreadable, empty, or a line that is no JSON object.
    """
    options = PromptsOptions(kind="prompts", path=path)
    found = fingerprint(options)
    rows = []
    for number, row in enumerate(read_rows(options), 1):
        at = f"{path}: line {number}"
        if isinstance(row, BadRow):
            message = f"{at}: {row.error}; was the judge's run cut short? Take the line out, and judge it again"
            raise SourceError(message)
        rows.append(Row(at, row))
    if not rows:
        message = f"{path} holds no verdict"
        raise SourceError(message)
    return JudgedFile(path, found.fingerprint, rows)


def of_model(file: JudgedFile, wanted: str | None, column: str = "model") -> tuple[str, list[Row]]:
    """Whose verdicts are meant, and their lines.

    Args:
        file: of verdicts.
        wanted: the model; None where the file has one.
        column: that names it.

    Raises:
        ConfigError: several models and none wanted, or one that the file does not have.
        SourceError: a line without a model.
    """
    named = [text_of(row, column) for row in file.rows]
    models = Counter(named)
    if wanted is None and len(models) > 1:
        message = f"{file.path} has verdicts on {len(models)} models ({_some(models)}); name one as `model`"
        raise ConfigError(message)
    model = next(iter(models)) if wanted is None else wanted
    if model not in models:
        message = f"{file.path} has no verdict on {visible_plain(model)!r}; it has {_some(models)}"
        raise ConfigError(message)
    return model, [row for row, name in zip(file.rows, named, strict=True) if name == model]


def text_of(row: Row, column: str) -> str:
    """A text of a line.

    Raises:
        SourceError: there is none.
    """
    value = row.content.get(column)
    if not isinstance(value, str) or not value:
        raise SourceError(_unlike(row, column, "text"))
    return value


def id_of(row: Row, column: str) -> str:
    """An instruction's id, a text or a whole number.

    Raises:
        SourceError: there is none.
    """
    value = row.content.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise SourceError(_unlike(row, column, "an id"))
    return str(value)


def alike(rows: Sequence[Row], values: Sequence[str], what: str) -> str:
    """What all lines say, such as who judged.

    Raises:
        SourceError: they differ.
    """
    found = Counter(values)
    if len(found) > 1:
        other = next(row for row, value in zip(rows, values, strict=True) if value != values[0])
        message = f"{other.at}: the {what} is another than in the lines before ({_some(found)}); expected one in a file"
        raise SourceError(message)
    return values[0]


def score_of(
    verdicts: Sequence[Verdict],
    *,
    of: str,
    unit: Unit,
    baseline: str | None,
    known: Collection[str] | None,
    scale: tuple[float, float] | None = None,
) -> AnnotationScore:
    """The mean of all numbers, with its interval over instructions, and what it rests on.

    Args:
        verdicts: a line each.
        of: the part that they are of.
        unit: of the numbers: 0 to 1 with the interval of a share, or points with that of a mean.
        baseline: whom the answers are compared with.
        known: the items of the benchmark; None where they are not known.
        scale: of points. No interval goes beyond it where no number does.
    """
    numbers = np.array([number for verdict in verdicts for number in verdict.numbers], np.float64)
    clusters = [verdict.instruction for verdict in verdicts for _ in verdict.numbers]
    items = {verdict.item for verdict in verdicts}
    judged = {verdict.item for verdict in verdicts if verdict.numbers}
    value = low = high = None
    if len(numbers) and unit == "win_rate":
        value, low, high = clustered_share(numbers, clusters)
    elif len(numbers):
        mean = clustered_mean(numbers, clusters)
        value, low, high = mean.value, mean.low, mean.high
        if scale and low is not None and high is not None and scale[0] <= numbers.min() <= numbers.max() <= scale[1]:
            low, high = max(low, scale[0]), min(high, scale[1])
    return AnnotationScore(
        of=of,
        baseline=baseline,
        unit=unit,
        value=value,
        low=low,
        high=high,
        verdicts=len(numbers),
        counts=AnnotationCounts(
            lines=len(verdicts),
            judged=len(judged),
            no_verdict=len(items) - len(judged),
            doubled=len(verdicts) - len(items),
            missing=None if known is None else len(set(known) - items),
        ),
    )


def record_of(
    file: JudgedFile,
    rows: Sequence[Row],
    *,
    kind: str,
    benchmark: str,
    model: str,
    judge: str,
    scores: list[AnnotationScore],
) -> AnnotationRecord:
    """What a file says of a model.

    Args:
        file: of verdicts.
        rows: those on the model.
        kind: of the file, as a recipe has it.
        benchmark: its title.
        model: as the file calls it.
        judge: likewise.
        scores: of its parts.
    """
    return AnnotationRecord(
        kind=kind,
        benchmark=benchmark,
        model=model,
        judge=judge,
        path=file.path,
        sha256=file.sha256,
        questions=None,
        others=len(file.rows) - len(rows),
        scores=scores,
    )


def check_known(verdicts: Sequence[Verdict], known: Collection[str] | None, file: JudgedFile) -> None:
    """Raise SourceError for verdicts on what the benchmark's file of questions does not have."""
    foreign = dict.fromkeys(verdict.item for verdict in verdicts if known is not None and verdict.item not in known)
    if foreign:
        message = (
            f"{file.path} has verdicts on {len(foreign):,} instructions that `questions` does not have "
            f"({_some(foreign)}); name the file of questions that was judged"
        )
        raise SourceError(message)


def _some(names: Collection[str]) -> str:
    return visible_plain(", ".join(list(names)[:SHOWN]) + (", …" if len(names) > SHOWN else ""))


def _unlike(row: Row, column: str, expected: str) -> str:
    found = kind_of(row.content[column]) if column in row.content else "not there"
    return f"{row.at}: {column} is {found}, expected {expected}"
