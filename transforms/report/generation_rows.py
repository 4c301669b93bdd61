"""What the report of a generation is drawn from beside its manifest: a scalar row a response and a pair, a few texts.

Texts are only those of the prompts to read, so that a page of 300,000 responses costs what one of 300 does, but for
the arrays.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import polars as pl

from transforms.errors import SchemaError
from transforms.records.generation import GenerationManifest
from transforms.text import one_line

RESPONSE_COLUMNS: Final = ("prompt", "policy", "tokens", "finished", "status", "score", "chosen_in", "rejected_in")
PAIR_COLUMNS: Final = ("prompt", "chosen", "rejected", "margin")
DRAWN: Final = 3  # prompts to read that are drawn by chance
KINDS_SHOWN: Final = 12  # errors of quarantine.jsonl that have a row of their own
KINDS_KEPT: Final = 2000  # that are told apart at all: hostile rows may each have an error of their own
_NUMBER: Final = re.compile(r"\d[\d,.]*")


@dataclass(frozen=True, slots=True)
class AnsweredResponse:
    """A response with its text, as the page shows it.

    Attributes:
        score: the aggregate; None where it has none.
        scores: by column of schema.ANSWERS without `score_`: each annotator's, and its objectives'.
        side: of the pair that is shown; empty for the other responses.
    """

    policy: str
    text: str = field(repr=False)
    reasoning: str | None = field(repr=False)
    tokens: int
    finished: bool
    status: str
    why: str | None
    score: float | None
    scores: Mapping[str, float | None]
    side: str = ""


@dataclass(frozen=True, slots=True)
class AnsweredPrompt:
    """A prompt to read with all its responses.

    Attributes:
        why: it was picked.
        unpaired: why it has no pair (a code); None where it has one.
        margin: of the pair that is shown.
    """

    prompt_id: str
    source: str
    why: str
    unpaired: str | None
    margin: float | None
    prompt: Sequence[Mapping[str, str]] = field(repr=False)
    responses: Sequence[AnsweredResponse] = field(repr=False)


class Picked(NamedTuple):
    """A prompt to read."""

    prompt: int  # its number
    why: str  # it was picked
    pair: int | None  # row of the pairs that is shown


class QuarantineKind(NamedTuple):
    """Lines of quarantine.jsonl with one error, but for numbers in it."""

    stage: str
    error: str  # of the first of them
    lines: int
    source: str  # of the first of them
    source_id: str
    row: str  # the start of the first row, as JSON


class QuarantineSummary(NamedTuple):
    """What quarantine.jsonl holds: the most frequent errors first."""

    lines: int
    kinds: list[QuarantineKind]
    others: int  # lines with other errors


def check_rows(manifest: GenerationManifest, responses: pl.DataFrame, pairs: pl.DataFrame) -> None:
    """Hold the rows of a report against what the manifest counts.

    Raises:
        SchemaError: a column is missing, or there are other numbers of responses or pairs.
    """
    wanted = [*RESPONSE_COLUMNS, *score_columns(manifest)]
    for what, frame, names in (("responses", responses, wanted), ("pairs", pairs, PAIR_COLUMNS)):
        if missing := [name for name in names if name not in frame.columns]:
            message = f"{what} of the report: missing columns: {', '.join(missing)}"
            raise SchemaError(message)
    for what, found, expected in (
        ("responses", responses.height, manifest.counts.responses),
        ("pairs", pairs.height, manifest.counts.pairs),
    ):
        if found != expected:
            message = f"the report was given {found} {what}, the manifest counts {expected}; pass every one of them"
            raise SchemaError(message)


def score_columns(manifest: GenerationManifest) -> dict[str, str]:
    """Columns of single scores, by name → what they are called: an annotator, or an annotator's objective."""
    found: dict[str, str] = {}
    for one in manifest.annotators:
        found[f"score_{one.label}"] = one.label
        found |= {f"score_{one.label}_{name}": f"{one.label}: {name}" for name in one.objectives}
    return found


def pick_prompts(
    responses: pl.DataFrame, pairs: pl.DataFrame, *, keys: Sequence[str], annotators: Sequence[str], seed: int = 0
) -> list[Picked]:
    """Prompts worth reading: of the pairs the widest, the median and the narrowest margin, the prompt that the first
    two annotators order most differently, one without a pair, and some by chance.

    Within a kind the choice is by hash of the prompt's id, so nothing is picked for being pretty.

    Args:
        responses: as `RESPONSE_COLUMNS`, with `score_NAME` of the annotators.
        pairs: as `PAIR_COLUMNS`.
        keys: ids of the prompts, by number.
        annotators: their names.
    """
    found: list[Picked] = []
    by_margin = pairs.with_row_index("row").sort("margin", "row")
    if by_margin.height:
        places = {"the widest margin": -1, "the median margin": (by_margin.height - 1) // 2, "the narrowest margin": 0}
        for why, place in places.items():
            _add(found, Picked(int(by_margin["prompt"][place]), why, int(by_margin["row"][place])))
    first = dict(pairs.with_row_index("row").group_by("prompt").agg(pl.col("row").min()).iter_rows())
    if len(annotators) > 1 and (apart := _most_different(responses, annotators[0], annotators[1])) is not None:
        _add(found, Picked(apart, f"ordered most differently by {annotators[0]} and {annotators[1]}", first.get(apart)))
    drawn = sorted(range(len(keys)), key=lambda prompt: hashlib.sha256(f"{seed}:{keys[prompt]}".encode()).digest())
    unpaired = next((prompt for prompt in drawn if prompt not in first), None)
    if unpaired is not None:
        _add(found, Picked(unpaired, "without a pair", None))
    taken = {one.prompt for one in found}
    others = [prompt for prompt in drawn if prompt not in taken][:DRAWN]
    return [*found, *(Picked(prompt, "drawn by chance", first.get(prompt)) for prompt in others)]


def _add(found: list[Picked], one: Picked) -> None:
    if one.prompt not in {other.prompt for other in found}:
        found.append(one)


def _most_different(responses: pl.DataFrame, first: str, second: str) -> int | None:
    """The prompt with the least correlation of two annotators' scores, below 0, of those with three scored twice."""
    columns = [pl.col(f"score_{name}") for name in (first, second)]
    both = responses.filter(*(column.is_finite() for column in columns))
    found = (
        both.group_by("prompt")
        .agg(pl.corr(*columns).alias("corr"), pl.len().alias("n"))
        .filter(pl.col("n") > 2, pl.col("corr").is_finite(), pl.col("corr") < 0)
        .sort("corr", "prompt")
    )
    return int(found["prompt"][0]) if found.height else None


def summarise_quarantine(lines: Iterable[str]) -> QuarantineSummary:
    """What quarantine.jsonl holds by its errors, of which only the first example is kept.

    Args:
        lines: as they were written, each the JSON of a `transforms.sources.load.Quarantined`.
    """
    counts: Counter[tuple[str, str]] = Counter()
    firsts: dict[tuple[str, str], QuarantineKind] = {}
    total = others = 0
    for line in lines:
        total += 1
        row = json.loads(line)
        key = (row["stage"], _NUMBER.sub("0", row["error"]))
        if key not in firsts:
            if len(firsts) >= KINDS_KEPT:
                others += 1
                continue
            start = one_line(json.dumps(row["row"], ensure_ascii=False), 400)
            error = one_line(row["error"], 300)
            firsts[key] = QuarantineKind(row["stage"], error, 0, str(row["source"]), str(row["source_id"]), start)
        counts[key] += 1
    kinds = [firsts[key]._replace(lines=number) for key, number in counts.most_common()]
    rest = sum(kind.lines for kind in kinds[KINDS_SHOWN:])
    return QuarantineSummary(total, kinds[:KINDS_SHOWN], others + rest)
