"""Judged pairs as they are published: the kept tokens as text beside the original, and a scalar row each."""

import numpy as np
import pyarrow as pa

from transforms.chat.tokens import ChatTokens
from transforms.tables.ragged import Ragged
from transforms.tables.schema import CURATED, SIDES, TOKEN_IDS


def curated(judged: pa.Table, chat: ChatTokens, *, appended: bool = False) -> pa.Table:
    """schema.CURATED from a judged part: `chosen` and `rejected` become what the kept tokens say.

    Args:
        judged: the part.
        chat: what made its ids.
        appended: whether an end-of-turn is trained on behind every response (`truncate.eot: always`).
    """
    columns = {name: judged[name] for name in judged.schema.names}
    for side in SIDES:
        columns[f"{side}_appended_ids"] = (
            _appended(judged, side, chat) if appended else pa.nulls(len(judged), TOKEN_IDS)
        )
        columns[f"{side}_full"] = judged[side]
        columns[side] = _kept_texts(judged, side, chat)
    return pa.Table.from_arrays([columns[field.name] for field in CURATED], schema=CURATED)


def _kept_texts(judged: pa.Table, side: str, chat: ChatTokens) -> pa.Array:
    ids = Ragged.from_arrow(judged[f"{side}_ids"])
    return pa.array(chat.kept_texts(judged[side].to_pylist(), ids, judged[f"{side}_keep"].to_pylist()), pa.string())


def _appended(judged: pa.Table, side: str, chat: ChatTokens) -> pa.Array:
    ids = Ragged.from_arrow(judged[f"{side}_ids"])
    finished = np.asarray(judged[f"{side}_finished"], bool)
    ends = chat.turn_tokens.missing(ids, judged[f"{side}_keep"].to_numpy(), finished)
    return pa.array([one or None for one in ends], TOKEN_IDS)


def summary_rows(judged: pa.Table, split: pa.Array) -> pa.Table:
    """One scalar row a pair, for figures and counts; `split` is train, test or dropped."""
    columns = [
        "pair_id", "source", "reason", "verdict", "chosen_keep", "rejected_keep", "chosen_cut", "rejected_cut",
        "chosen_cut_by", "rejected_cut_by",
        "reward_chosen", "reward_rejected", "consistency", "consistency_low", "consistency_high",
        "consistency_by_reward", "n", "p_keep", "expected", "audit", "decided_by",
    ]  # fmt: skip
    rows = judged.select(columns).append_column("split", split)
    for name in ("prompt", "chosen", "rejected"):
        lengths = Ragged.from_arrow(judged[f"{name}_ids"]).lengths
        rows = rows.append_column(f"{name}_tokens", pa.array(lengths, pa.int32()))
    return rows
