"""Pairs to train on, exactly as a run wrote them: its manifest is held against its shards before anything is read."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.train.config import DatasetConfig, Kept
from flows.versions.version import Version, open_version
from trainers.reading.pair_tokens import some
from transforms.chat.tokens import NOTHING_AROUND, Bools, TurnTokens
from transforms.consistency.judge import OF_THE_CUT
from transforms.dataset.shards import in_test_split
from transforms.errors import SchemaError
from transforms.preparation.truncation import Truncation, keeps
from transforms.records.manifest import Manifest
from transforms.tables.ragged import Offsets, Ragged
from transforms.tables.schema import (
    APPENDED,
    CURATED,
    RESPONSES,
    SIDES,
    check,
    with_later_columns,
    without_appended,
    written_like,
)

SPLITS: Final[tuple[str, ...]] = ("train", "test")


class FoundRun(NamedTuple):
    """A curated run that has been found and not yet read."""

    dataset: DatasetConfig
    version: Version

    @property
    def manifest(self) -> Manifest:
        """Of the run."""
        return self.version.manifest

    @property
    def content_version(self) -> str:
        """Of the run."""
        return self.manifest.version

    @property
    def commit(self) -> str | None:
        """Of a Hub id."""
        return self.version.commit

    @property
    def content(self) -> dict[str, Any]:
        """What decides the rows, beside the keys of `dataset`."""
        # The version is of kept pairs alone.
        beside = {"dropped": self.dataset.pairs, "responses": self.dataset.responses}
        shards = [
            file.sha256
            for table, wanted in beside.items()
            if wanted == "all"
            for file in self.version.tables.get(table, [])
        ]
        return {"version": self.manifest.version, "revision": self.version.commit, "shards": shards}


class KeptTable(NamedTuple):
    """Pairs with the keeps that training asks for."""

    table: pa.Table
    cut_by_context: int  # responses that only the context limit cut
    cut: Bools  # which they are, (2, pairs): chosen and rejected


def find_run(dataset: DatasetConfig) -> FoundRun:
    """The run that `dataset` names; only its manifest is read.

    Raises:
        SourceError: no finished run there, or a Hub id that cannot be reached.
        OutputError: a manifest that this project did not write.
    """
    return FoundRun(dataset, open_version(dataset.path, dataset.revision))


def read_splits(found: FoundRun) -> dict[str, pa.Table]:
    """The run's pairs by split, schema.CURATED; those that `dataset` asks for.

    Raises:
        SourceError: shards are missing, or are not those of the manifest.
        SchemaError: a column is missing or of another type.
    """
    tables = {split: _read(found, split, CURATED) for split in found.version.splits if split in SPLITS}
    if found.dataset.pairs == "all" or found.dataset.test_size is not None:
        tables = _split_anew(found, list(tables.values()))
    return {split: table for split, table in tables.items() if split in found.dataset.splits}


def has_responses(found: FoundRun) -> bool:
    """Whether the run has a responses table."""
    return "responses" in found.version.tables


def read_responses(found: FoundRun) -> pa.Table:
    """Every response of the run's sources that have several a prompt, schema.RESPONSES.

    Raises:
        SourceError: shards are missing, or are not those of the manifest.
        SchemaError: a column is missing or of another type.
    """
    return _read(found, "responses", RESPONSES)


def with_kept(
    table: pa.Table, kept: Kept, *, max_length: int, where: str, around: TurnTokens = NOTHING_AROUND
) -> KeptTable:
    """`table` with the keeps that `kept` means, none beyond `max_length` together with its prompt.

    What the run appended to its responses (`truncate.eot: always`) stays with `truncated` alone, and where the limit
    cuts such a response shorter its end-of-turn is appended there. Any other `kept` cuts anew and appends nothing.

    Args:
        table: schema.CURATED.
        kept: which tokens of each response.
        max_length: of prompt and response together.
        where: which table this is, for messages.
        around: what the run's chat template writes around a text (`turn_tokens_of`): a cut does not count it.

    Raises:
        SchemaError: a prompt leaves no room for a response; names the pairs.
    """
    ids = {part: Ragged.from_arrow(table[f"{part}_ids"]) for part in ("prompt", "chosen", "rejected")}
    lengths = {part: found.lengths for part, found in ids.items()}
    sides = ("chosen", "rejected")
    appends = kept == "truncated" and APPENDED[0].name in table.column_names
    tail = len(around.tail) if appends else 0
    if kept == "truncated":
        wanted = np.stack([table[f"{side}_keep"].to_numpy() for side in sides])
    else:
        rule = keeps(
            _truncation(kept),
            prompt_tokens=lengths["prompt"],
            chosen_tokens=lengths["chosen"],
            rejected_tokens=lengths["rejected"],
            chosen_end=around.end(ids["chosen"], np.asarray(table["chosen_finished"])),
            rejected_end=around.end(ids["rejected"], np.asarray(table["rejected_finished"])),
            max_length=None,
            lead=np.minimum(around.lead(ids["chosen"]), around.lead(ids["rejected"])),
        )
        wanted = np.stack([rule.chosen, rule.rejected])
    check_room(table["pair_id"].to_pylist(), lengths["prompt"] + tail, max_length, where)
    room = max_length - lengths["prompt"]
    if appends:
        fits = wanted + np.stack([_appended_tokens(table, side) for side in sides]) <= room
        kept_tokens = np.where(fits, wanted, room - tail)
        table = _append_anew(table, kept_tokens, fits, around)
    else:
        kept_tokens = np.minimum(wanted, room)
        table = without_appended(table)
    for side, values in zip(sides, kept_tokens, strict=True):
        table = _with_column(table, CURATED.field(f"{side}_keep"), values)
    cut = kept_tokens < wanted
    return KeptTable(table, int(cut.sum()), cut)


def chosen_once(kept: KeptTable) -> KeptTable:
    """The rows of which the chosen sides are every chosen response of every prompt once, in their order.

    Pairs that share a chosen response may keep different parts of it, as POET does; the one that keeps most of it
    stays, of equal ones the first.

    Args:
        kept: schema.CURATED with the keeps that training asks for. Of what is returned `cut_by_context` counts chosen
            responses alone.
    """
    prompts, chosen = (Ragged.from_arrow(kept.table[f"{part}_ids"]) for part in ("prompt", "chosen"))
    keeps_of = kept.table["chosen_keep"].to_numpy()
    best: dict[tuple[bytes, bytes], int] = {}
    for row, keep in enumerate(keeps_of.tolist()):
        key = (prompts.row(row).tobytes(), chosen.row(row).tobytes())
        if key not in best or keep > keeps_of[best[key]]:
            best[key] = row
    rows = np.array(sorted(best.values()), np.int64)
    return KeptTable(kept.table.take(pa.array(rows)), int(kept.cut[0, rows].sum()), kept.cut[:, rows])


def _appended_tokens(table: pa.Table, side: str) -> Offsets:
    """How many tokens the run appended to each response of one side."""
    found: Offsets = pc.fill_null(pc.list_value_length(table[f"{side}_appended_ids"]), 0).to_numpy().astype(np.int64)
    return found


def _append_anew(table: pa.Table, keep: Offsets, fits: Bools, around: TurnTokens) -> pa.Table:
    """What is appended where the context cuts shorter than the run did: a run that ends every response ends those too.

    Args:
        table: schema.CURATED with what the run appended.
        keep: of chosen and rejected responses, (2, pairs).
        fits: whether each is as the run cut it, (2, pairs).
        around: what the run's chat template writes around a text.
    """
    for side, keeps_of_side, same in zip(SIDES, keep, fits, strict=True):
        if not same.all():
            finished = np.asarray(table[f"{side}_finished"], bool)
            ends = around.missing(Ragged.from_arrow(table[f"{side}_ids"]), keeps_of_side, finished)
            theirs = table[f"{side}_appended_ids"].to_pylist()
            found = [old if is_same else new or None for old, new, is_same in zip(theirs, ends, same, strict=True)]
            table = _with_column(table, CURATED.field(f"{side}_appended_ids"), found)
    return table


def _with_column(table: pa.Table, field: pa.Field, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(field.name), field, pa.array(values, field.type))


def turn_tokens_of(manifest: Manifest) -> TurnTokens:
    """What the chat template of a run writes around the text of a response."""
    template = manifest.template
    if template is None:  # of a version before templates were asked
        return TurnTokens()
    leads = tuple(tuple(ids) for ids in (template.before_text, template.before_reasoning) if ids)
    return TurnTokens(leads, tuple(template.after_text))


def check_room(names: Sequence[str], prompt_tokens: Offsets, max_length: int, where: str) -> None:
    """Raise SchemaError where a prompt leaves no room for one response token; names the pairs."""
    full = list(dict.fromkeys(name for name, taken in zip(names, prompt_tokens, strict=True) if taken >= max_length))
    if full:
        message = (
            f"{where}: the prompt fills all {max_length} tokens that may be read, in {len(full)} pairs: {some(full)}. "
            "Raise dataset.max_length, or leave them out with filters.max_prompt_tokens when curating"
        )
        raise SchemaError(message)


def _truncation(kept: Kept) -> Truncation:
    if isinstance(kept, float):
        return Truncation(method="ratio", ratio=kept)
    return Truncation(method="poet" if kept == "poet" else "none")


def _split_anew(found: FoundRun, tables: list[pa.Table]) -> dict[str, pa.Table]:
    """All rows that are wanted, by the hash of their prompts; in the order of their ids."""
    if found.dataset.pairs == "all":
        tables = [*tables, _dropped_by_the_cut(found)]
    together = pa.concat_tables(tables).sort_by("pair_id")
    ids = together["pair_id"].to_numpy()
    # A pair that the cut made useless was dropped before duplicates were looked for.
    together = together.filter(pa.array(np.append(True, ids[1:] != ids[:-1])[: len(ids)], pa.bool_()))
    size = found.dataset.test_size
    if size is None:
        size = found.manifest.config["output"]["test_size"]
    test = pa.array([in_test_split(key, size) for key in together["pair_id"].to_pylist()], pa.bool_())
    return {"train": together.filter(pc.invert(test)), "test": together.filter(test)}


def _dropped_by_the_cut(found: FoundRun) -> pa.Table:
    table = _read(found, "dropped", CURATED)
    return table.filter(pc.is_in(table["reason"], pa.array(OF_THE_CUT)))


def _read(found: FoundRun, name: str, schema: pa.Schema) -> pa.Table:
    table = found.version.read(name)
    table = with_later_columns(table) if schema is CURATED else table
    check(table, written_like(schema, table.column_names), where=f"{found.dataset.path}, {name}")
    return table
