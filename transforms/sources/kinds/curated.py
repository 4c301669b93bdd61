"""What a run of this project wrote: its folder, one of its shards, or the Hub revision that it was published as.

A raw row::

    {"pair_id": "5850c6…", "source": "shp", "source_id": "p7/a1/b1",
     "prompt": [{"role": "user", "content": "Name three rivers."}],
     "chosen": "The Nile, the", "chosen_full": "The Nile, the Rhine and the Po.", "chosen_cut": true,
     "chosen_finished": true, "chosen_ids": [504, 18231], "chosen_keep": 4,
     "rejected": "Nile.", "rejected_full": "Nile.", "rejected_cut": false, "rejected_finished": true}
"""

from typing import Any, Final, Literal

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import SourceKind, row_hash
from transforms.sources.canonical import Adapted, Pair
from transforms.sources.fields import Given, number, row_id, text_id, token_ids
from transforms.sources.messages import json_text, messages
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields
from transforms.sources.structures import part_of, read_structure, with_more


class CuratedOptions(SourceOptions):
    """Which form of the responses is meant.

    Attributes:
        responses: `full` as they were before the cut; `kept` what the cut left, as text, without an end-of-turn.
            Tokenised anew, the last token or two of a cut response may differ from the shard's. A response that was cut
            in a tool call or in its reasoning is no text, and its row is quarantined.
        token_ids: `ignore` encodes the texts with the policy's tokenizer; `use` takes the run's own token ids, where
            both have the same tokenizer (a row of which they do not give the text is quarantined).
    """

    kind: Literal["curated"]
    responses: Literal["full", "kept"] = "full"
    token_ids: Literal["use", "ignore"] = "ignore"


def adapt(row: Fields, options: CuratedOptions) -> Adapted:
    """One row, one pair, its subset the source that the run took it from.

    Raises:
        RowError: a flag that is no truth value, what `messages` and `number` refuse, or a kept response with structure.
    """
    ending = "_full" if options.responses == "full" else ""
    structure = read_structure(row.get("structure"))
    prompt = messages(row, "prompt").turns
    ids = _ids(row, options) if options.token_ids == "use" else Given()
    found = Pair(
        row_id(row, "source_id") or row_hash(row.raw),
        with_more(prompt, structure),
        row.get(f"chosen{ending}"),
        row.get(f"rejected{ending}"),
        number(row.get("chosen_score"), "chosen_score"),
        number(row.get("rejected_score"), "rejected_score"),
        chosen_finished=_finished(row, "chosen", options),
        rejected_finished=_finished(row, "rejected", options),
        subset=text_id(row.get("source")),
        chosen_more=_more(row, structure, "chosen", options),
        rejected_more=_more(row, structure, "rejected", options),
        tools=part_of(structure, "tools"),
        template_kwargs=part_of(structure, "chat_template_kwargs"),
        prompt_ids=ids.prompt_ids,
        chosen_ids=ids.chosen_ids,
        rejected_ids=ids.rejected_ids,
    )
    return Adapted([found])


def _more(row: Fields, structure: dict[str, Any], side: str, options: CuratedOptions) -> str:
    value = structure.get(side)
    if not value:
        return ""
    if options.responses == "kept" and row.get(f"{side}_cut") is not False:
        message = (
            f"the {side} response has {', '.join(value)} and was cut, so what is left of it is no text; read the row"
            " with responses: full"
        )
        raise RowError(message)
    return json_text(value, "structure")


def _ids(row: Fields, options: CuratedOptions) -> Given:
    """The run's own ids: of kept responses as many as were kept."""
    prompt, *sides = (token_ids(row.get(f"{part}_ids"), f"{part}_ids") for part in ("prompt", "chosen", "rejected"))
    if options.responses == "full":
        return Given(prompt, *sides)
    kept = []
    for side, ids in zip(("chosen", "rejected"), sides, strict=True):
        keep = row.get(f"{side}_keep")
        if ids is not None and (not isinstance(keep, int) or not 0 < keep <= len(ids)):
            message = f"{side}_keep is {keep!r} of {len(ids)} tokens, expected how many of them are kept"
            raise RowError(message)
        kept.append(ids and ids[:keep])
    return Given(prompt, *kept)


def _finished(row: Fields, side: str, options: CuratedOptions) -> bool:
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
