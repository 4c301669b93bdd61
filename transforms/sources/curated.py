"""What a run of this project wrote: its folder, one of its shards, or the Hub revision that it was published as.

A raw row::

    {"pair_id": "5850c6…", "source": "shp", "source_id": "p7/a1/b1",
     "prompt": [{"role": "user", "content": "Name three rivers."}],
     "chosen": "The Nile, the", "chosen_full": "The Nile, the Rhine and the Po.", "chosen_cut": true,
     "chosen_finished": true, "chosen_ids": [504, 18231], "chosen_keep": 4,
     "rejected": "Nile.", "rejected_full": "Nile.", "rejected_cut": false, "rejected_finished": true}
"""

from typing import Final, Literal

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import Row, SourceKind, messages, number, row_hash, text_id
from transforms.sources.canonical import Adapted, Pair
from transforms.sources.options import SourceOptions


class CuratedOptions(SourceOptions):
    """Which form of the responses is meant.

    Attributes:
        responses: `full` as they were before the cut; `kept` what the cut left, as text, without an end-of-turn.
            Tokenised anew, the last token or two of a cut response may differ from the shard's.
    """

    kind: Literal["curated"]
    responses: Literal["full", "kept"] = "full"


def adapt(row: Row, options: CuratedOptions) -> Adapted:
    """One row, one pair, its subset the source that the run took it from.

    Raises:
        RowError: a flag that is no truth value, or what `messages` and `number` refuse.
    """
    ending = "_full" if options.responses == "full" else ""
    pair = Pair(
        text_id(row.get("source_id")) or row_hash(row),
        messages(row.get("prompt"), "prompt"),
        row.get(f"chosen{ending}"),  # type: ignore[arg-type]  # validated with every other pair
        row.get(f"rejected{ending}"),  # type: ignore[arg-type]
        number(row.get("chosen_score"), "chosen_score"),
        number(row.get("rejected_score"), "rejected_score"),
        chosen_finished=_finished(row, "chosen", options),
        rejected_finished=_finished(row, "rejected", options),
        subset=text_id(row.get("source")),
    )
    return Adapted([pair])


def _finished(row: Row, side: str, options: CuratedOptions) -> bool:
    """A response that was cut has no end-of-turn, and one that its source left unfinished never had one."""
    name = f"{side}_cut" if options.responses == "kept" else f"{side}_finished"
    value = row.get(name)
    if not isinstance(value, bool):
        message = f"{name} is {value!r}, expected true or false"
        raise RowError(message)
    return value != (options.responses == "kept")


KIND: Final = SourceKind(
    options=CuratedOptions,
    required=frozenset({"prompt", "chosen_full", "rejected_full", "chosen_cut", "rejected_cut", "chosen_finished"}),
    looks_like=lambda row: isinstance(row.get("chosen_full"), str) and isinstance(row.get("chosen_ids"), list),
    adapt=adapt,
    about=About(
        terms="those of the sources that went into it",
        any_set=True,
    ),
)
