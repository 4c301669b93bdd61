"""Canonical pairs to token ids, keeps and cut flags: one table in, one table and the bad rows out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.chat.conversation import answers_of, asked_of
from transforms.chat.encoding import Errors, Responses, encode_prompts, encode_sides, take_given
from transforms.chat.tokens import ChatTokens
from transforms.preparation.truncation import Keeps, Truncation, keeps
from transforms.sources.load import Quarantined
from transforms.tables.ragged import Ragged
from transforms.tables.schema import GIVEN, PAIRS, STRUCTURE, TRUNCATED, check

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
Given = list[list[int] | None] | None  # ids that rows brought along; None where none did
Ends = Sequence[Sequence[tuple[int, ...]]] | None  # tokens appended to each response of both sides; None for no rows

IDENTICAL_AFTER_CUT = "identical_after_cut"
SIDES = ("chosen", "rejected")


class Prepared(NamedTuple):
    """Pairs ready for sampling and the rows that could not be."""

    pairs: pa.Table  # schema.TRUNCATED, in the order in which they came
    quarantined: list[Quarantined]
    rows: Rows  # of each of the pairs among those that came in
    changed_by_template: int  # responses of `pairs` whose white space the chat template changed


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
    prompts = encode_prompts(chat, asked_of(pairs))
    unfinished: Errors = {}
    given = {side: _given(pairs, side) for side in SIDES}
    ended = {side: _ended(pairs, side, chat, given[side], unfinished) for side in SIDES}
    found = encode_sides(chat, prompts, {side: answers_of(pairs, side) for side in SIDES}, ended)
    chosen, rejected = (_with_given(chat, found[side], given[side], ended[side], side) for side in SIDES)
    if (brought := _given(pairs, "prompt")) is not None:
        prompts = prompts._replace(ids=take_given(chat, prompts.ids, brought, "prompt_ids", prompts.errors))
    lead = np.minimum(chosen.lead, rejected.lead)
    errors = unfinished | rejected.errors | chosen.errors | prompts.errors
    kept = keeps(
        truncation,
        prompt_tokens=prompts.ids.lengths,
        chosen_tokens=chosen.ids.lengths,
        rejected_tokens=rejected.ids.lengths,
        chosen_end=chosen.end,
        rejected_end=rejected.end,
        max_length=limit,
        lead=lead,
        tail=len(chat.tail_ids),
    )
    for row in np.flatnonzero(np.minimum(kept.chosen, kept.rejected) < 1).tolist():
        errors.setdefault(
            row,
            f"the prompt has {prompts.ids.lengths[row]} tokens and the context {limit}: no room for one token "
            "of the response; raise truncate.max_length or shorten the prompt",
        )
    changed = chosen.changed.astype(np.int64) + rejected.changed
    finished = {"chosen": chosen.end > 0, "rejected": rejected.end > 0}
    ends = None
    if truncation.eot == "always":
        both = ((chosen, kept.chosen), (rejected, kept.rejected))
        ends = [chat.turn_tokens.missing(side.ids, keep, side.end > 0) for side, keep in both]
    identical = _identical(chosen.ids, rejected.ids, kept, ends)
    sides = {"chosen": chosen.ids, "rejected": rejected.ids}
    table = _truncated(pairs, prompts.ids, sides, kept, lead, finished, identical)
    if not errors:
        return Prepared(table, [], np.arange(len(pairs)), int(changed.sum()))
    good = np.ones(len(pairs), dtype=bool)
    good[list(errors)] = False
    bad = [quarantine(pairs, row, errors[row]) for row in sorted(errors)]
    return Prepared(table.filter(pa.array(good)), bad, np.flatnonzero(good), int(changed[good].sum()))


def _ended(pairs: pa.Table, side: str, chat: ChatTokens, given: Given, unfinished: Errors) -> Bools:
    """Whether each response of one side ended by itself, by what its row says and the ids that it brought along."""
    finished = _bools(pairs, f"{side}_finished")
    if given is None:
        return finished
    # Ids without an end-of-turn are of a response that did not finish, whatever its row leaves unsaid.
    ended = np.array([ids is None or (bool(ids) and ids[-1] in chat.stop_ids) for ids in given])
    for row in np.flatnonzero(~finished & ended).tolist():
        if given[row] is not None:
            unfinished[row] = f"{side}_ids end in {chat.eot} but the {side} response is said to be unfinished"
    both: Bools = finished & ended
    return both


def _with_given(chat: ChatTokens, found: Responses, given: Given, ended: Bools, side: str) -> Responses:
    """The responses of one side, those that brought their ids along as these are."""
    if given is None:
        return found
    ids = take_given(chat, found.ids, given, f"{side}_ids", found.errors)
    around = chat.turn_tokens
    return found._replace(ids=ids, lead=around.lead(ids), end=around.end(ids, ended))


def _given(pairs: pa.Table, part: str) -> Given:
    """Ids that rows brought along; None where none did."""
    column = pairs[f"given_{part}_ids"]
    return None if column.null_count == len(column) else column.to_pylist()


def _truncated(
    pairs: pa.Table,
    prompts: Ragged,
    sides: dict[str, Ragged],
    kept: Keeps,
    lead: Rows,
    finished: dict[str, Bools],
    identical: Bools,
) -> pa.Table:
    columns: dict[str, Any] = {name: pairs[name] for name in PAIRS.names if name not in GIVEN}
    columns["prompt_ids"] = prompts.to_arrow()
    columns["lead_tokens"] = pa.array(lead, pa.int32())
    for side, keep, by in (("chosen", kept.chosen, kept.chosen_by), ("rejected", kept.rejected, kept.rejected_by)):
        whole = keep == sides[side].lengths
        columns[f"{side}_ids"] = sides[side].to_arrow()
        columns[f"{side}_keep"] = pa.array(keep, pa.int32())
        columns[f"{side}_finished"] = pa.array(finished[side])
        columns[f"{side}_cut"] = pa.array(~(whole & finished[side]))
        columns[f"{side}_cut_by"] = pa.array(by, pa.string())
    columns["reason"] = pc.coalesce(pairs["reason"], pc.if_else(pa.array(identical), IDENTICAL_AFTER_CUT, None))
    return pa.Table.from_arrays([columns[name] for name in TRUNCATED.names], schema=TRUNCATED)


def _identical(chosen: Ragged, rejected: Ragged, kept: Keeps, ends: Ends) -> Bools:
    """Pairs of which the same tokens are trained on, on both sides: no preference is left in them.

    Args:
        chosen: whole responses.
        rejected: likewise.
        kept: of them.
        ends: what is appended to each side's; None for nothing.
    """
    same = np.zeros(len(kept.chosen), dtype=bool)
    more = [np.array([len(end) for end in side], np.int64) for side in ends] if ends else [0, 0]
    alike = kept.chosen + more[0] == kept.rejected + more[1]
    candidates = np.flatnonzero(alike & (np.minimum(kept.chosen, kept.rejected) > 0))
    firsts = chosen.values[chosen.offsets[candidates]] == rejected.values[rejected.offsets[candidates]]
    for row in candidates[firsts].tolist():
        one, other = chosen.row(row)[: kept.chosen[row]], rejected.row(row)[: kept.rejected[row]]
        if ends:
            one, other = (np.append(ids, side[row]) for ids, side in zip((one, other), ends, strict=True))
        same[row] = np.array_equal(one, other)
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
