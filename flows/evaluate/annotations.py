"""What a chat benchmark's own judge said of answers, read from its files: rates with intervals and counts.

A further kind is a class in `annotation_config`, in its union, and a function in READERS.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from flows.answers.benchmark import FoundBenchmark, find_benchmark
from flows.answers.config import AlpacaEvalFiles
from flows.evaluate.annotation_config import (
    AlpacaEvalAnnotations,
    AnnotationFile,
    ArenaHardAnnotations,
    MtBenchAnnotations,
)
from transforms.evaluation.alpaca_eval_annotations import read_alpaca_eval
from transforms.evaluation.annotated import Asked, JudgedFile, read_judged
from transforms.evaluation.arena_hard import read_arena_hard
from transforms.evaluation.mt_bench import read_mt_bench
from transforms.exports.questions import Benchmark, Questions, read_questions
from transforms.records.annotations import AnnotationRecord
from transforms.sources.kinds.prompts import PromptsOptions
from transforms.sources.read import fingerprint

# A file, whose verdicts (None: of the one model that it has), and the benchmark's questions where they are named.
Reader = Callable[[JudgedFile, str | None, Sequence[Asked] | None], AnnotationRecord]
READERS: Final[Mapping[type[AnnotationFile], tuple[Benchmark, Reader]]] = {
    AlpacaEvalAnnotations: ("alpaca_eval", read_alpaca_eval),
    ArenaHardAnnotations: ("arena_hard", read_arena_hard),
    MtBenchAnnotations: ("mt_bench", read_mt_bench),
}


def fingerprints(files: Sequence[AnnotationFile]) -> list[str]:
    """The content of each file, and of its questions.

    Raises:
        SourceError: one that is missing or unreadable.
    """
    paths = [path for file in files for path in (file.path, file.questions) if path is not None]
    found = [fingerprint(PromptsOptions(kind="prompts", path=path)).fingerprint for path in paths]
    return found + [benchmark.content for file in files if (benchmark := _benchmark(file))]


def read_annotations(files: Sequence[AnnotationFile]) -> list[AnnotationRecord]:
    """What each file says, in order.

    Raises:
        ConfigError: a file of several models, or without the one that is named.
        SourceError: a file that is missing, of another layout, or of other questions.
    """
    return [_read(file) for file in files]


def _read(file: AnnotationFile) -> AnnotationRecord:
    benchmark, reader = READERS[type(file)]
    asked = None if file.questions is None else _asked(read_questions(file.questions, benchmark))
    if known := _benchmark(file):
        reader = partial(read_alpaca_eval, benchmark=known.benchmark)
    found = reader(read_judged(file.path), file.model, asked)
    return found.model_copy(update={"questions": file.questions})


def _benchmark(file: AnnotationFile) -> FoundBenchmark | None:
    """What AlpacaEval's length-controlled rate rests on, where it is asked for."""
    if not isinstance(file, AlpacaEvalAnnotations) or file.gamed is None or file.questions is None:
        return None
    return find_benchmark(AlpacaEvalFiles(instructions=file.questions, gamed=file.gamed))


def _asked(questions: Questions) -> list[Asked]:
    found = []
    for one in questions.rows:
        category = one.raw.get("category")
        name = one.turns[0] if one.id is None else str(one.id)  # AlpacaEval knows an instruction by its text
        found.append(Asked(name, len(one.turns), category if isinstance(category, str) else None))
    return found
