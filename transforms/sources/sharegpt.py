"""ShareGPT-style pairs, as LLaMA-Factory reads them: the conversation, and one more turn on each side.

A raw row::

    {"system": "Answer in one sentence.", "conversations": [{"from": "human", "value": "Name three rivers."}],
     "chosen": {"from": "gpt", "value": "The Nile, the Rhine and the Po."},
     "rejected": {"from": "gpt", "value": "Nile."}}
"""

from typing import Final, Literal

from transforms.sources.about import About
from transforms.sources.adapter import Row, SourceKind, messages, row_hash, split_conversations
from transforms.sources.canonical import Adapted, Message, Pair
from transforms.sources.options import SourceOptions


class SharegptOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["sharegpt"]


def adapt(row: Row, options: SharegptOptions) -> Adapted:
    """One row, one pair. A `system` column with text becomes the first turn."""
    system = row.get("system")
    head = (Message("system", system),) if isinstance(system, str) and system.strip() else ()
    turns = head + messages(row.get("conversations"), "conversations", role="from", content="value")
    sides = [turns + messages([row.get(side)], side, role="from", content="value") for side in ("chosen", "rejected")]
    prompt, chosen, rejected = split_conversations(*sides)
    return Adapted([Pair(row_hash(row), prompt, chosen, rejected)])


KIND: Final = SourceKind(
    options=SharegptOptions,
    required=frozenset({"conversations", "chosen", "rejected"}),
    looks_like=lambda row: isinstance(row.get("conversations"), list) and isinstance(row.get("chosen"), dict),
    adapt=adapt,
    about=About(
        sets={"llamafactory/DPO-En-Zh-20k": "apache-2.0"},
        terms="that of the set in question",
        any_set=True,
    ),
)
