"""AlpacaEval's two files: read, hashed, and put beside judgements for the benchmark's own length-controlled rate."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import fsspec

from flows.answers.config import AlpacaEvalFiles
from transforms.errors import SourceError
from transforms.evaluation.alpaca_eval import (
    Benchmark,
    Judgement,
    length_controlled,
    match,
    over_instructions,
    read_benchmark,
)
from transforms.records.answers import AlpacaEvalRecord
from transforms.sources.adapter import BadRow
from transforms.sources.canonical import content_hash
from transforms.sources.files import read_file


class FoundBenchmark(NamedTuple):
    """The files as they were read."""

    benchmark: Benchmark
    content: str  # hash of instructions and gamed baselines


def find_benchmark(files: AlpacaEvalFiles) -> FoundBenchmark:
    """Read both files.

    Raises:
        SourceError: a file that cannot be read, or that is not what the benchmark's is.
    """
    filesystem, path = _filesystem(files.instructions)
    rows = []
    for at, row in enumerate(read_file(filesystem, path)):
        if isinstance(row, BadRow):
            message = f"{files.instructions}: row {at} cannot be read: {row.error}"
            raise SourceError(message)
        rows.append(row)
    filesystem, path = _filesystem(files.gamed)
    try:
        text = filesystem.cat_file(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{files.gamed} cannot be read: {type(error).__name__}: {error}"
        raise SourceError(message) from error
    try:
        found = read_benchmark(rows, csv.DictReader(io.StringIO(text)))
    except SourceError as error:
        message = f"{files.instructions}, {files.gamed}: {error}"
        raise SourceError(message) from error
    return FoundBenchmark(found, content_hash(*(row["instruction"] for row in rows), text))


def benchmark_rate(judgements: Sequence[Judgement], benchmark: Benchmark) -> AlpacaEvalRecord | str:
    """The length-controlled rate, or why there is none."""
    matched = match(judgements, benchmark)
    try:
        found = length_controlled(matched, benchmark)
    except SourceError as error:
        return str(error)
    interval = over_instructions(matched, benchmark)
    return AlpacaEvalRecord(
        rate=found.rate,
        standard_error=found.standard_error,
        low=interval and interval[0],
        high=interval and interval[1],
        instructions=found.instructions,
        fitted=found.fitted,
        foreign=matched.foreign,
        doubled=matched.doubled,
        missing=matched.missing,
    )


def _filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        message = f"{url} cannot be opened: {error}"
        raise SourceError(message) from error
    return filesystem, path
