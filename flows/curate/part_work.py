"""One part of the preparation: 4,096 marked pairs in, token ids, keeps and early reasons out, with what was counted.

A run prepares its parts with `prepare_part`, or has workers do it with `work`: the same between two files. A worker is
told numbers and says counts; rows stay on the disk. Doing a part again gives the same bytes in the same place, so one
whose worker died is just done again.
"""

import json
import os
import platform
from collections import Counter
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import pyarrow as pa

from flows.models.recipe_models import load_chat
from flows.recipe.curation import Recipe
from flows.versions.fingerprint import code_hash, package_versions
from flows.versions.run_record import quarantine_line
from transforms.chat.tokens import ChatTokens
from transforms.errors import ConfigError
from transforms.preparation import filters
from transforms.preparation.prepare import prepare
from transforms.sources.load import Quarantined
from transforms.tables.parts import Parts, replace_file
from transforms.tables.schema import TRUNCATED

SCORE_MARGIN: Final = "min_score_margin"


class PartCounts(NamedTuple):
    """What was counted in a part.

    Attributes:
        rows_in: pairs that came in.
        rows_out: pairs of the prepared part, dropped ones among them.
        quarantined: pairs that could not be used; with `rows_out` they are all that came in.
        dropped: reason → pairs of the prepared part.
        changed_by_template: responses whose white space the chat template changed.
        unscored: pairs that a filter on scores lets pass, as they have none.
        scored: pairs that it could judge.
        asked_for_the_date: whether the chat template asked what day it is.
    """

    rows_in: int
    rows_out: int
    quarantined: int
    dropped: dict[str, int]
    changed_by_template: int
    unscored: int
    scored: int
    asked_for_the_date: bool


class PreparedPart(NamedTuple):
    """A part with its bad rows, and what was counted."""

    pairs: pa.Table  # schema.TRUNCATED
    quarantined: list[Quarantined]
    counts: PartCounts


def prepare_part(part: pa.Table, chat: ChatTokens, recipe: Recipe, *, context: int | None) -> PreparedPart:
    """Token ids, keeps, and the reasons of filters that need no more.

    Args:
        part: schema.PAIRS, with the reasons that its pairs have already.
        chat: tokenizer and chat template of the policy.
        recipe: says how much is kept, and has the filters.
        context: of the policy, in tokens.
    """
    result = prepare(part, chat, recipe.truncate, max_length=context)
    table, unscored, scored = _filtered(result.pairs, recipe.filters.model_dump())
    counts = PartCounts(
        rows_in=len(part),
        rows_out=len(table),
        quarantined=len(result.quarantined),
        dropped=dict(Counter(table["reason"].drop_null().to_pylist())),
        changed_by_template=result.changed_by_template,
        unscored=unscored,
        scored=scored,
        asked_for_the_date=chat.template.asked_for_the_date,
    )
    return PreparedPart(table, result.quarantined, counts)


def _filtered(pairs: pa.Table, limits: dict[str, Any]) -> tuple[pa.Table, int, int]:
    """The part with the reasons of early filters, and how many pairs have no scores for a filter on them, and have."""
    if all(limits[rule.reason] is None for rule in filters.EARLY):
        return pairs, 0, 0
    frame = pl.DataFrame(pl.from_arrow(pairs))
    unscored = scored = 0
    if limits[SCORE_MARGIN] is not None:
        without = frame.select(pl.col("chosen_score").is_null() | pl.col("rejected_score").is_null()).to_series()
        unscored = int((without & frame["reason"].is_null()).sum())
        scored = int((~without).sum())
    frame = filters.apply(frame, filters.EARLY, limits)
    names = pairs.schema.names
    reason = pa.array(frame["reason"].to_list(), pa.string())
    return pairs.set_column(names.index("reason"), TRUNCATED.field("reason"), reason), unscored, scored


class Job(NamedTuple):
    """What a worker has to know of a run, in plain values.

    Attributes:
        recipe: as JSON.
        commit: of a tokenizer on the Hub.
        context: of the policy, in tokens.
        here: the working directory, which relative paths of the recipe mean.
        marked: folder of the parts to prepare.
        prepared: folder of the prepared parts.
        makers: what makes the ids, in the run's own process; as JSON.
        threads: that a worker tokenises with.
    """

    recipe: str
    commit: str | None
    context: int | None
    here: str
    marked: str
    prepared: str
    makers: str
    threads: int


def makers(chat: ChatTokens) -> dict[str, Any]:
    """What has to be equal wherever ids of one run are made: code, packages, tokenizer and chat template."""
    return {
        "this project's code": code_hash("flows", "transforms"),
        "packages": package_versions(),
        "tokenizer": chat.vocabulary_sha256,
        "chat template": sha256(chat.template.text.encode()).hexdigest(),
    }


def work(job: Job, number: int) -> PartCounts:
    """Prepare part `number`: read it, write its bad rows, then the prepared part, each whole or not at all.

    Raises:
        ConfigError: this process would make other ids than the run's own.
    """
    recipe, chat = _opened(job)
    done = prepare_part(Parts(Path(job.marked)).read(number), chat, recipe, context=job.context)
    prepared = Parts(Path(job.prepared))
    lines = "".join(map(quarantine_line, done.quarantined)).encode()
    replace_file(quarantine_file(prepared, number), lambda path: path.write_bytes(lines))
    prepared.write(number, done.pairs)
    return done.counts


def quarantine_file(prepared: Parts, number: int) -> Path:
    """Where the bad rows of a part wait until those of the parts before it are written."""
    return prepared.folder / f"quarantine-{number:05d}.jsonl"


@lru_cache(maxsize=1)
def _opened(job: Job) -> tuple[Recipe, ChatTokens]:
    """A worker's recipe and tokenizer, read once."""
    # Before the tokenizer's first call, which makes its threads: a worker a core with threads for every core each was
    # what they would be otherwise.
    os.environ["RAYON_NUM_THREADS"] = str(job.threads)
    try:
        os.chdir(job.here)
    except OSError as error:
        message = (
            f"preparation: {platform.node()} has no folder {job.here}, where the run was started "
            f"({error.strerror}). All machines need this code and the output folder under the same paths"
        )
        raise ConfigError(message) from error
    recipe = Recipe.model_validate_json(job.recipe)
    chat = load_chat(recipe, None, job.commit)
    ours, theirs = makers(chat), json.loads(job.makers)
    if other := [name for name in ours if ours[name] != theirs[name]]:
        message = (
            f"preparation: a worker on {platform.node()} has other {' and '.join(other)} than this run: its token ids "
            "could be others. Install the same there, or prepare here (preparation.on: processes)"
        )
        raise ConfigError(message)
    return recipe, chat
