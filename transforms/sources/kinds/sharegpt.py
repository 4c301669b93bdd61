"""ShareGPT-style pairs, as LLaMA-Factory reads them: the conversation, and one more turn on each side.

A raw row::

    {"system": "Answer in one sentence.", "conversations": [{"from": "human", "value": "Name three rivers."}],
     "chosen": {"from": "gpt", "value": "The Nile, the Rhine and the Po."},
     "rejected": {"from": "gpt", "value": "Nile."}}

`tools` may hold the functions as JSON text.
"""

from typing import Final, Literal

from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted
from transforms.sources.fields import pair
from transforms.sources.messages import holds_messages, messages, replies
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields


class SharegptOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["sharegpt"]


def adapt(row: Fields, options: SharegptOptions) -> Adapted:
    """One row, one pair. `function_call` and `observation` turns are calls and what the tools answered."""
    turns = messages(row, "conversations").turns
    return Adapted([pair(row, options, replies(turns, messages(row, "chosen"), messages(row, "rejected")))])


KIND: Final = SourceKind(
    options=SharegptOptions,
    required=frozenset({"conversations", "chosen", "rejected"}),
    looks_like=lambda row: holds_messages(row.get("conversations")) and holds_messages(row.get("chosen")),
    adapt=adapt,
    about=About(
        sets={"llamafactory/DPO-En-Zh-20k": "apache-2.0"},
        terms="that of the set in question",
        any_set=True,
    ),
)
