"""Canonical pairs to token ids, keeps and cut flags: one table in, one table and the bad rows out."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.schema import GIVEN, PAIRS, STRUCTURE, TRUNCATED, check
from transforms.sources.load import Quarantined
from transforms.tokens import ChatTokens, Conversation, Ragged
from transforms.truncation import Keeps, Truncation, keeps

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

IDENTICAL_AFTER_CUT = "identical_after_cut"


class Prepared(NamedTuple):
    """Pairs ready for sampling and the rows that could not be."""

    pairs: pa.Table  # schema.TRUNCATED, in the order in which they came
    quarantined: list[Quarantined]
    rows: Rows  # of each of the pairs among those that came in


def prepare(pairs: pa.Table, chat: ChatTokens, truncation: Truncation, *, max_length: int | None) -> Prepared:
    """Tokenise and truncate canonical pairs.

    Args:
        pairs: schema.PAIRS.
        chat: tokenizer and chat template of the policy.
        truncation: how much of each response to keep.
        max_length: the policy's context, where the recipe sets no `truncate.max_length`.

    Returns:
        Every pair that came in is in exactly one of the two parts.
    """
    check(pairs, PAIRS, where="tokenise")
    limit = truncation.max_length or max_length
    errors: dict[int, str] = {}
    prompts = _prompt_ids(pairs, chat, errors)
    sides = {side: _response_ids(pairs, side, chat, errors) for side in ("chosen", "rejected")}
    kept = keeps(
        truncation,
        prompt_tokens=prompts.lengths,
        chosen_tokens=sides["chosen"].lengths,
        rejected_tokens=sides["rejected"].lengths,
        chosen_finished=_bools(pairs, "chosen_finished"),
        rejected_finished=_bools(pairs, "rejected_finished"),
        max_length=limit,
    )
    for row in np.flatnonzero(np.minimum(kept.chosen, kept.rejected) < 1).tolist():
        errors.setdefault(
            row,
            f"the prompt has {prompts.lengths[row]} tokens and the context {limit}: no room for one token "
            "of the response; raise truncate.max_length or shorten the prompt",
        )
    table = _truncated(pairs, prompts, sides, kept)
    if not errors:
        return Prepared(table, [], np.arange(len(pairs)))
    good = np.ones(len(pairs), dtype=bool)
    good[list(errors)] = False
    bad = [quarantine(pairs, row, errors[row]) for row in sorted(errors)]
    return Prepared(table.filter(pa.array(good)), bad, np.flatnonzero(good))


def _prompt_ids(pairs: pa.Table, chat: ChatTokens, errors: dict[int, str]) -> Ragged:
    conversations: list[Conversation] = pairs["prompt"].to_pylist()
    rendered = chat.prompts(conversations)
    for row, text in enumerate(rendered):
        if isinstance(text, Exception):
            errors[row] = f"the chat template refuses the prompt: {text}"
    ids = chat.encode([text if isinstance(text, str) else "" for text in rendered])
    for row, found in chat.specials_in_prompts(conversations, ids):
        errors.setdefault(row, _special_message("prompt", found))
    return ids


def _response_ids(pairs: pa.Table, side: str, chat: ChatTokens, errors: dict[int, str]) -> Ragged:
    texts = pairs[side].to_pylist()
    ids = chat.encode(texts)
    for row in chat.rows_with_specials(ids):
        errors.setdefault(row, _special_message(f"{side} response", str(chat.special_in(texts[row]))))
    for row in np.flatnonzero(ids.lengths == 0).tolist():
        errors.setdefault(row, f"the {side} response has no tokens")
    return ids.with_end(chat.eot_id, _bools(pairs, f"{side}_finished"))


def _special_message(what: str, token: str) -> str:
    return (
        f"the {what} spells out the special token {token}, which the tokenizer would take for a real one; "
        "clean the text (a chat template leaked into it?)"
    )


def _truncated(pairs: pa.Table, prompts: Ragged, sides: dict[str, Ragged], kept: Keeps) -> pa.Table:
    columns: dict[str, Any] = {name: pairs[name] for name in PAIRS.names if name not in GIVEN}
    columns["prompt_ids"] = prompts.to_arrow()
    for side, keep, by in (("chosen", kept.chosen, kept.chosen_by), ("rejected", kept.rejected, kept.rejected_by)):
        whole = keep == sides[side].lengths
        columns[f"{side}_ids"] = sides[side].to_arrow()
        columns[f"{side}_keep"] = pa.array(keep, pa.int32())
        columns[f"{side}_cut"] = pa.array(~(whole & _bools(pairs, f"{side}_finished")))
        columns[f"{side}_cut_by"] = pa.array(by, pa.string())
    identical = _identical(sides["chosen"], sides["rejected"], kept)
    columns["reason"] = pc.coalesce(pairs["reason"], pc.if_else(pa.array(identical), IDENTICAL_AFTER_CUT, None))
    return pa.Table.from_arrays([columns[name] for name in TRUNCATED.names], schema=TRUNCATED)


def _identical(chosen: Ragged, rejected: Ragged, kept: Keeps) -> Bools:
    """Pairs whose kept tokens are the same on both sides: no preference is left in them."""
    same = np.zeros(len(kept.chosen), dtype=bool)
    candidates = np.flatnonzero((kept.chosen == kept.rejected) & (kept.chosen > 0))
    firsts = chosen.values[chosen.offsets[candidates]] == rejected.values[rejected.offsets[candidates]]
    for row in candidates[firsts].tolist():
        keep = int(kept.chosen[row])
        same[row] = np.array_equal(chosen.row(row)[:keep], rejected.row(row)[:keep])
    return same


def _bools(pairs: pa.Table, column: str) -> Bools:
    values: Bools = pairs[column].to_numpy(zero_copy_only=False).astype(bool)
    return values


def quarantine(pairs: pa.Table, row: int, error: str, *, stage: str = "tokenise") -> Quarantined:
    """A row of schema.PAIRS, or of a table that has more columns, as a line of quarantine.jsonl."""
    names = [name for name in PAIRS.names if name in pairs.column_names]
    raw = pairs.select(names).slice(row, 1).to_pylist()[0]
    for name in (STRUCTURE.name, *GIVEN):
        if raw.get(name) is None:
            raw.pop(name, None)
    return Quarantined(stage, raw["source"], raw["source_id"], error, raw)
