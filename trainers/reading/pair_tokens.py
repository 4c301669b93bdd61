"""A preference table as the token sequences that a reward model reads, each distinct one once.

A sequence is `prompt_ids + response_ids[:keep]`: nothing is appended here, so a cut response ends where it was cut, but
for what a run appended itself (`response_ids`). Rows are put in an order of their own (by content) before anything is
computed, which makes the trained head independent of the order of the table.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.errors import SchemaError

_REQUIRED = ("prompt_ids", "chosen_ids", "rejected_ids", "chosen_keep", "rejected_keep")
_NAMES = ("pair_id", "prompt_id")

Ids = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PairTokens:
    """Pairs as indices into distinct sequences.

    Attributes:
        names: `pair_id` of each pair, or `prompt_id` where the table has no `pair_id`; for messages.
        prompts: a hash of each pair's prompt ids; pairs of one prompt never lie on both sides of a split.
        sequences: the distinct sequences.
        chosen: index into `sequences`, (pairs,).
        rejected: index into `sequences`, (pairs,).
        margin: (pairs,), None where the table has no such column.
        groups: what to report accuracy by, None where the table has no column `group`.
        sha256: of sequences, sides and margins, independent of the order of the rows.
    """

    names: tuple[str, ...]
    prompts: tuple[str, ...]
    sequences: tuple[Ids, ...]
    chosen: Rows
    rejected: Rows
    margin: npt.NDArray[np.float32] | None
    groups: tuple[str, ...] | None
    sha256: str

    @property
    def tokens(self) -> int:
        """Tokens of the distinct sequences together."""
        return sum(len(sequence) for sequence in self.sequences)

    def subset(self, rows: Rows) -> "PairTokens":
        """The given pairs over the same sequences; the hash stays that of the whole."""
        return replace(
            self,
            names=tuple(self.names[row] for row in rows),
            prompts=tuple(self.prompts[row] for row in rows),
            chosen=self.chosen[rows],
            rejected=self.rejected[rows],
            margin=None if self.margin is None else self.margin[rows],
            groups=None if self.groups is None else tuple(self.groups[row] for row in rows),
        )


def read_pairs(table: pa.Table, *, where: str) -> PairTokens:
    """The sequences of `table`.

    Args:
        table: `prompt_ids`, `chosen_ids`, `rejected_ids` (lists of ints), `chosen_keep`, `rejected_keep`,
            `pair_id` or `prompt_id`, and optionally `margin`, `group` and the `…_appended_ids` of `response_ids`; other
            columns are ignored.
        where: which table this is, for messages.

    Raises:
        SchemaError: no rows, a column or a value is missing, or a side keeps no token or more than it has.
    """
    name_column = check_columns(table, where)
    names = [str(name) for name in table.column(name_column).to_pylist()]
    prompts = id_lists(table, "prompt_ids")
    chosen, rejected = (response_ids(table, side, names, where) for side in ("chosen", "rejected"))
    margins = _margins(table, names, where) if "margin" in table.column_names else None
    groups = table.column("group").to_pylist() if "group" in table.column_names else None
    return distinct(names, prompts, chosen, rejected, margins=margins, groups=groups)


def distinct(
    names: Sequence[str],
    prompts: Sequence[Ids],
    chosen: Sequence[Ids],
    rejected: Sequence[Ids],
    *,
    margins: Sequence[float] | None = None,
    groups: Sequence[object] | None = None,
) -> PairTokens:
    """Pairs over their distinct sequences, in an order that content decides.

    Args:
        names: of the pairs.
        prompts: their tokens.
        chosen: the kept tokens of each chosen response.
        rejected: likewise.
        margins: of each pair, finite.
        groups: to report accuracy by.
    """
    each = margins if margins is not None else [0.0] * len(names)
    full = [[np.concatenate(pair) for pair in zip(prompts, side, strict=True)] for side in (chosen, rejected)]
    keys = [
        (hashlib.sha256(prompt.tobytes()).hexdigest(), better.tobytes(), worse.tobytes(), margin)
        for prompt, better, worse, margin in zip(prompts, *full, each, strict=True)
    ]
    order = sorted(range(len(keys)), key=lambda row: (keys[row], names[row]))
    index: dict[bytes, int] = {}
    for row in order:
        for key in keys[row][1:3]:
            index.setdefault(key, len(index))
    digest = hashlib.sha256()
    for row in order:
        for part in (keys[row][1], keys[row][2]):
            digest.update(len(part).to_bytes(8, "little") + part)
        digest.update(f"{keys[row][0]} {each[row]!r}".encode())
    return PairTokens(
        names=tuple(names[row] for row in order),
        prompts=tuple(keys[row][0] for row in order),
        sequences=tuple(np.frombuffer(key, dtype=np.int32) for key in index),
        chosen=np.array([index[keys[row][1]] for row in order], dtype=np.int64),
        rejected=np.array([index[keys[row][2]] for row in order], dtype=np.int64),
        margin=np.array([each[row] for row in order], dtype=np.float32) if margins is not None else None,
        groups=tuple(str(groups[row]) for row in order) if groups is not None else None,
        sha256=digest.hexdigest(),
    )


def check_fits(pairs: PairTokens, *, vocabulary: int, context: int, where: str) -> None:
    """Raise SchemaError where a pair has an id the model does not know, or more than its context."""
    unknown = [bool(((ids < 0) | (ids >= vocabulary)).any()) for ids in pairs.sequences]
    too_long = [len(ids) > context for ids in pairs.sequences]
    for flags, problem, advice in (
        (unknown, f"token ids outside 0…{vocabulary - 1}", "Tokenise with the tokenizer of that model."),
        (too_long, f"more than the {context} tokens the model can read", "Truncate to its context first."),
    ):
        bad = [
            name
            for name, chosen, rejected in zip(pairs.names, pairs.chosen, pairs.rejected, strict=True)
            if flags[chosen] or flags[rejected]
        ]
        if bad:
            message = f"{where}: {problem} in {len(bad)} pairs: {some(bad)}. {advice}"
            raise SchemaError(message)


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few names and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def check_columns(table: pa.Table, where: str) -> str:
    """Name of the column that names the pairs.

    Raises:
        SchemaError: no rows, a required column is missing or has nulls, or one of ids holds something else.
    """
    columns = table.column_names
    named = [name for name in _NAMES if name in columns]
    missing = [name for name in _REQUIRED if name not in columns] + ([] if named else [" or ".join(_NAMES)])
    if missing:
        message = f"{where}: no column {', '.join(missing)}; found {', '.join(columns)}"
        raise SchemaError(message)
    if table.num_rows == 0:
        message = f"{where}: no pairs; see for what reasons the stages before dropped them"
        raise SchemaError(message)
    holed = [name for name in (*_REQUIRED, named[0]) if table.column(name).null_count]
    if holed:
        message = f"{where}: nulls in {', '.join(holed)}"
        raise SchemaError(message)
    for name in ("prompt_ids", "chosen_ids", "rejected_ids"):
        kind = table.schema.field(name).type
        listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        if not (listed and pa.types.is_integer(kind.value_type)):
            message = f"{where}: {name} is {kind}, expected list<int32>"
            raise SchemaError(message)
    return named[0]


def id_lists(table: pa.Table, column: str) -> list[Ids]:
    """The token ids in each row of `column`."""
    values = []
    for chunk in table.column(column).chunks:
        flat = chunk.values.to_numpy(zero_copy_only=False).astype(np.int32, casting="same_kind")
        offsets = chunk.offsets.to_numpy()
        values += [flat[start:end] for start, end in pairwise(offsets)]
    return values


def response_ids(table: pa.Table, side: str, names: list[str], where: str) -> list[Ids]:
    """The tokens of one side that are trained on: those that are kept, and behind them what the run appended.

    Args:
        table: `SIDE_ids`, `SIDE_keep`, and where the run appends ends of turns `SIDE_appended_ids`.
        side: chosen or rejected.
        names: of the pairs.
        where: which table this is, for messages.

    Raises:
        SchemaError: as `kept`.
    """
    found = kept(id_lists(table, f"{side}_ids"), table.column(f"{side}_keep").to_pylist(), names, side, where)
    column = f"{side}_appended_ids"
    if column not in table.column_names:
        return found
    ends = table.column(column).to_pylist()
    return [np.append(ids, np.array(end, np.int32)) if end else ids for ids, end in zip(found, ends, strict=True)]


def kept(responses: list[Ids], keeps: list[int], names: list[str], side: str, where: str) -> list[Ids]:
    """The kept tokens of each response.

    Raises:
        SchemaError: a response keeps no token, or more than it has; names the pairs.
    """
    bad = [name for name, ids, keep in zip(names, responses, keeps, strict=True) if not 1 <= keep <= len(ids)]
    if bad:
        message = (
            f"{where}: {side}_keep must lie between 1 and the length of {side}_ids, "
            f"but does not in {len(bad)} pairs: {some(bad)}"
        )
        raise SchemaError(message)
    return [ids[:keep] for ids, keep in zip(responses, keeps, strict=True)]


def _margins(table: pa.Table, names: list[str], where: str) -> list[float]:
    values = [float("nan") if value is None else float(value) for value in table.column("margin").to_pylist()]
    bad = [name for name, value in zip(names, values, strict=True) if not np.isfinite(value)]
    if bad:
        message = f"{where}: margin is null or not finite in {len(bad)} pairs: {some(bad)}"
        raise SchemaError(message)
    return values
