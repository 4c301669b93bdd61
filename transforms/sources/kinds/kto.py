"""Unpaired sets, as KTO takes them: one completion a row, and whether it is a good one.

Raw rows: TRL's layout with messages or text, whole conversations, and LLaMA-Factory's two::

    {"prompt": [{"role": "user", "content": "Name three rivers."}],
     "completion": [{"role": "assistant", "content": "The Nile, the Rhine and the Po."}], "label": true}
    {"prompt": "Name three rivers.", "completion": "Nile.", "label": false}
    {"completion": [{"role": "user", "content": "Name three rivers."},
                    {"role": "assistant", "content": "Rhine, Po, Nile."}], "label": true}
    {"messages": [{"role": "user", "content": "Name three rivers."},
                  {"role": "assistant", "content": "Three rivers."}], "label": false}
    {"instruction": "Name three rivers.", "input": "", "output": "I cannot.", "kto_tag": false}

Rows of one prompt are put together, wherever they are, and each desirable completion meets each undesirable one. A
prompt whose completions all have one label has no pair; its rows are counted in a note.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Final, Literal, NamedTuple

from transforms.errors import RowError, SourceError
from transforms.sources.about import About
from transforms.sources.adapter import BadRow, Row, SourceKind, row_hash
from transforms.sources.canonical import Adapted, Message, Prompt, Response, check_prompt, check_text, prompt_id
from transforms.sources.completions import CONVERSATIONS, LABELLED, LABELS, as_label, conversation_of
from transforms.sources.endings import finished_one
from transforms.sources.fields import (
    pair,
    refuse_what_is_not_text,
    template_kwargs,
    tools,
    with_system,
)
from transforms.sources.messages import Sides, holds_messages
from transforms.sources.options import SourceOptions
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields, kind_of

DESIRABLE, UNDESIRABLE = 1.0, 0.0
MOST_PAIRS: Final = 10_000  # of one prompt: more are one prompt for many questions, and would fill the memory
ONE_LABEL_NOTE: Final = {
    True: "rows in no pair: all completions of their prompt are desirable",
    False: "rows in no pair: all completions of their prompt are undesirable",
}
BOTH_LABELS_NOTE: Final = "rows in no pair: their completion has both labels"
NOTHING_LEFT_NOTE: Final = "rows in no pair: all that differs from them in the label has both labels"
LEFT_OVER_NOTE: Final = "rows in no pair: `pairing` is once, and their prompt has fewer of the other label"


class KtoOptions(SourceOptions):
    """Which completions of a prompt meet.

    Attributes:
        pairing: `all` pairs each desirable completion with each undesirable one (`max_pairs_per_prompt` caps them);
            `once` uses each completion in one pair at most, and picks them by content.
    """

    kind: Literal["kto"]
    pairing: Literal["all", "once"] = "all"


class _Sample(NamedTuple):
    """One row: a completion with its label, and what it was said to."""

    prompt: Prompt
    completion: Message
    label: bool
    ended: bool | None
    tools: str
    template_kwargs: str


def gather(rows: Iterable[Fields | BadRow], options: KtoOptions) -> Iterator[Fields | BadRow]:
    """Put the rows of each prompt into one, in the order of prompt ids.

    All rows are held in memory, for those of one prompt may be anywhere. One that cannot be used goes to the quarantine
    alone, and the others of its prompt stay.

    Raises:
        SourceError: no prompt has completions of both labels.
    """
    groups: defaultdict[str, list[Fields]] = defaultdict(list)
    labels: defaultdict[str, set[bool]] = defaultdict(set)
    unusable: list[str] = []
    for row in rows:
        if isinstance(row, BadRow):
            unusable.append(row.error)
            yield row
            continue
        try:
            # Read from a copy: `adapt` reads the row itself, and what is unread in it must be counted once.
            found = _sample(Fields(row.raw))
        except RowError as error:
            unusable.append(str(error))
            yield BadRow(str(error), row.raw, row_hash(row.raw))
            continue
        key = prompt_id(found.prompt, found.tools, found.template_kwargs)
        groups[key].append(row)
        labels[key].add(found.label)
    if groups and all(len(found) == 1 for found in labels.values()):
        good = sum(True in found for found in labels.values())
        message = (
            f"{options.path}: no prompt has both a desirable and an undesirable completion ({good:,} prompts have"
            f" desirable ones only, {len(labels) - good:,} undesirable ones only), so there is no pair; a limit"
            " may cut the rows of a prompt apart"
        )
        if unusable:
            message += f". {len(unusable):,} rows could not be used, the first because {unusable[0]}"
        raise SourceError(message)
    for key in sorted(groups):
        yield Fields.of_rows(groups.pop(key), prompt_id=key)


def adapt(row: Fields, options: KtoOptions) -> Adapted:
    """Pair the desirable completions of a prompt with the undesirable ones, whatever order its rows are in.

    Scores are 1 and 0. No pair, and a note for every row, where there are not both.

    Raises:
        RowError: more pairs than can be held.
    """
    samples = sorted(((one, _sample(one)) for one in row.rows()), key=lambda found: _order(found[1]))
    doubtful = {_said(one) for _, one in samples if one.label} & {_said(one) for _, one in samples if not one.label}
    usable = {label: [one for one in samples if one[1].label is label] for label in (True, False)}
    sides = {label: [one for one in found if _said(one[1]) not in doubtful] for label, found in usable.items()}
    for source, one in samples:
        if _said(one) in doubtful:
            source.note(BOTH_LABELS_NOTE)
        elif not sides[not one.label]:
            source.note(NOTHING_LEFT_NOTE if usable[not one.label] else ONE_LABEL_NOTE[one.label])
    meeting = _meeting(sides, options)
    pairs = [
        replace(
            pair(
                row,
                options,
                Sides(better.prompt, better.completion, worse.completion),
                source_id=row["prompt_id"],
                scores=(DESIRABLE, UNDESIRABLE),
                finished=(better.ended, worse.ended),
            ),
            tools=better.tools,
            template_kwargs=better.template_kwargs,
        )
        for better, worse in meeting
    ]
    if not pairs:
        return Adapted([])
    responses = [
        Response(
            at,
            one.completion.content,
            score=DESIRABLE if one.label else UNDESIRABLE,
            finished=one.ended is not False,
        )
        for at, (_, one) in enumerate(samples)
    ]
    return Adapted(pairs, pairs[0].prompt, responses)


def _meeting(sides: dict[bool, list[tuple[Fields, _Sample]]], options: KtoOptions) -> list[tuple[_Sample, _Sample]]:
    good, bad = sides[True], sides[False]
    if options.pairing == "once":
        if good and bad:
            for source, _ in (*good[len(bad) :], *bad[len(good) :]):
                source.note(LEFT_OVER_NOTE)
        return [(better, worse) for (_, better), (_, worse) in zip(good, bad, strict=False)]
    if len(good) * len(bad) > MOST_PAIRS:
        message = (
            f"one prompt has {len(good):,} desirable and {len(bad):,} undesirable completions, which would be"
            f" {len(good) * len(bad):,} pairs; expected at most {MOST_PAIRS:,} (`pairing: once` takes each completion"
            " once)"
        )
        raise RowError(message)
    return [(better, worse) for (_, better), (_, worse) in product(good, bad)]


def _sample(row: Fields) -> _Sample:
    """One row, with everything that may be wrong with it alone.

    Raises:
        RowError: no label, no completion, or something that `fields` refuses.
    """
    label = _label(row)
    refuse_what_is_not_text(row)
    sides = conversation_of(row, LABELLED)
    prompt = with_system(sides.prompt, row)
    check_prompt(prompt)
    if not sides.chosen.more:
        check_text(sides.chosen.content, "the completion")
    ended = finished_one(row, of="completion_", of_message=sides.chosen_ending)
    return _Sample(prompt, sides.chosen, label, ended, tools(row), template_kwargs(row))


def _label(row: Fields) -> bool:
    found = {name: _is_desirable(row.get(name), name) for name in LABELS if row.peek(name) is not None}
    if len(set(found.values())) != 1:
        problem = "contradict each other" if found else "are null or missing"
        message = f"{' and '.join(LABELS)} {problem}; expected one label, true or false"
        raise RowError(message)
    return next(iter(found.values()))


def _is_desirable(value: object, name: str) -> bool:
    label = as_label(value)
    if label is None:
        message = f"{name} is {kind_of(value)}, expected true or false (or 1 or 0, as a number or as text)"
        raise RowError(message)
    return label


def _said(sample: _Sample) -> tuple[str, str]:
    return sample.completion.content, sample.completion.more


def _order(sample: _Sample) -> tuple[Any, ...]:
    return (*_said(sample), sample.label, str(sample.ended))


def _holds_one(row: Row, names: Sequence[str]) -> bool:
    return any(holds_messages(row.get(name)) for name in names)


def looks_like(row: Row) -> bool:
    """Whether a row is one completion with its label."""
    if "chosen" in row or "rejected" in row or all(as_label(row.get(name)) is None for name in LABELS):
        return False
    return "completion" in row or _holds_one(row, CONVERSATIONS) or ("instruction" in row and "output" in row)


KTO: Final = Paper(
    "ethayarajh2024kto",
    "Ethayarajh, Kawin and Xu, Winnie and Muennighoff, Niklas and Jurafsky, Dan and Kiela, Douwe",
    "KTO: Model Alignment as Prospect Theoretic Optimization",
    2024,
    "2402.01306",
)
KIND: Final = SourceKind(
    options=KtoOptions,
    required=frozenset({"label or kto_tag", "completion or messages or conversations or output"}),
    looks_like=looks_like,
    adapt=adapt,
    gather=gather,
    about=About(
        sets={
            "trl-lib/kto-mix-14k": None,
            "argilla/kto-mix-15k": "mit",
            "argilla/ultrafeedback-binarized-preferences-cleaned-kto": "mit",
        },
        terms="that of the set that it was made of (argilla/dpo-mix-7k: MIT)",
        papers=(KTO,),
        any_set=True,
    ),
)
