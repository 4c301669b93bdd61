"""Pairs that `python -m flows.generate` made: its output folder, or one of its shards.

A raw row::

    {"pair_id": "5850c6…", "prompt_id": "5850c6…", "source": "prompts", "source_id": "p7",
     "prompt": [{"role": "user", "content": "Name three rivers."}],
     "chosen": "The Nile, the Rhine and the Po.", "chosen_ids": [504, 18231, 2], "chosen_finished": true,
     "chosen_score": 1.4, "chosen_policy": "policy", "chosen_index": 3,
     "rejected": "Nile.", "rejected_ids": [51, 2], "rejected_finished": true, "rejected_score": -0.2,
     "rejected_policy": "policy", "rejected_index": 0, "margin": 1.6}
"""

from typing import Final, Literal

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import SourceKind, row_hash
from transforms.sources.canonical import Adapted, Pair
from transforms.sources.fields import number, row_id, text_id, token_ids
from transforms.sources.messages import messages
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields
from transforms.sources.structures import part_of, read_structure, with_more

# Of no use to a pair: the generation's responses/ has them.
_KEPT_THERE: Final = (
    "pair_id",
    "prompt_id",
    "chosen_policy",
    "rejected_policy",
    "chosen_index",
    "rejected_index",
    "margin",
)


class GeneratedOptions(SourceOptions):
    """Whose sampled tokens are taken.

    Attributes:
        token_ids: `use` takes the tokens that were sampled, for a policy with the tokenizer of the one that answered;
            `ignore` encodes the texts anew.
        ids_of: policies whose sampled tokens are taken, by their labels; responses of others are encoded anew. All by
            default.
    """

    kind: Literal["generated"]
    ids_of: tuple[str, ...] | None = None


def adapt(row: Fields, options: GeneratedOptions) -> Adapted:
    """One row, one pair. Its scores are the generation's aggregate.

    Raises:
        RowError: a flag that is no truth value, or what `messages`, `number` and `token_ids` refuse.
    """
    structure = read_structure(row.get("structure"))
    for name in _KEPT_THERE:
        row.get(name)
    ids = {side: _ids(row, side, options) for side in ("chosen", "rejected")}
    found = Pair(
        row_id(row, "source_id") or row_hash(row.raw),
        with_more(messages(row, "prompt").turns, structure),
        row.get("chosen"),
        row.get("rejected"),
        number(row.get("chosen_score"), "chosen_score"),
        number(row.get("rejected_score"), "rejected_score"),
        chosen_finished=_finished(row, "chosen"),
        rejected_finished=_finished(row, "rejected"),
        subset=text_id(row.get("source")),
        chosen_more=part_of(structure, "chosen"),
        rejected_more=part_of(structure, "rejected"),
        tools=part_of(structure, "tools"),
        template_kwargs=part_of(structure, "chat_template_kwargs"),
        chosen_ids=ids["chosen"],
        rejected_ids=ids["rejected"],
    )
    return Adapted([found])


def _ids(row: Fields, side: str, options: GeneratedOptions) -> tuple[int, ...] | None:
    """The sampled tokens, where they are to be taken."""
    found = token_ids(row.get(f"{side}_ids"), f"{side}_ids")
    mine = options.ids_of is None or row.get(f"{side}_policy") in options.ids_of
    return found if mine and options.token_ids == "use" else None


def _finished(row: Fields, side: str) -> bool:
    value = row.get(f"{side}_finished")
    if not isinstance(value, bool):
        message = f"{side}_finished is {value!r}, expected true or false"
        raise RowError(message)
    return value


KIND: Final = SourceKind(
    options=GeneratedOptions,
    required=frozenset({"prompt", "chosen", "rejected", "chosen_finished", "rejected_finished", "chosen_policy"}),
    looks_like=lambda row: isinstance(row.get("chosen_policy"), str) and isinstance(row.get("chosen_index"), int),
    adapt=adapt,
    about=About(
        terms="those of the prompts and of the policies that answered",
        any_set=True,
    ),
)
