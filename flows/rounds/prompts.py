"""Training and held-out prompts, kept apart: distinct by content, written down as files that each round reads.

The files are what rounds are made of: whoever looks into them sees which prompts a round answered. They have the same
bytes for the same prompts, so that what was made of them is known again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from flows.versions.output_folder import disk_errors, write_bytes
from flows.versions.source_account import SourceAccount
from transforms.chat.conversation import asked_of
from transforms.errors import ConfigError, SourceError
from transforms.records.manifest import SourceRecord
from transforms.records.rounds import PromptsRecord
from transforms.sources.canonical import content_hash
from transforms.sources.kinds import KINDS
from transforms.sources.options import SourceOptions
from transforms.sources.prompts import load_prompts


class OnePrompt(NamedTuple):
    """A prompt and where it is from."""

    prompt_id: str
    source: str  # label
    row: dict[str, Any]  # as `kind: prompts` reads it


class Loaded(NamedTuple):
    """All prompts of some sources, each once, by id."""

    prompts: list[OnePrompt]
    unusable: int
    licences: dict[str, str]  # label → licence, where one is known


class Written(NamedTuple):
    """The files of the prompts, as sources, and what they hold."""

    parts: list[list[dict[str, Any]]]  # of training prompts
    held_out: list[dict[str, Any]]
    record: PromptsRecord


def write_prompts(
    folder: Path,
    training: Sequence[SourceOptions],
    held_out: Sequence[SourceOptions],
    records: tuple[list[SourceRecord], list[SourceRecord]],
    *,
    parts: int,
    max_held_out: int | None,
) -> Written:
    """Read both, hold out, split what is left into parts, and write a file for each part and source.

    Args:
        folder: of the rounds; the files go to `prompts/` in it.
        training: sources of training prompts.
        held_out: sources of held-out prompts.
        records: of both, as they lie there now; they are filled in.
        parts: that training prompts are split into, by content.
        max_held_out: hold out so many at most, the first by id.

    Raises:
        ConfigError: nothing is held out, or nothing is left for some part.
        SourceError: a source that cannot be read, or a prompt that reads otherwise once it is written.
    """
    held = _load(held_out, records[1])
    kept_out = held.prompts[:max_held_out]
    ids = {one.prompt_id for one in kept_out}
    found = _load(training, records[0])
    left = [one for one in found.prompts if one.prompt_id not in ids]
    split: list[list[OnePrompt]] = [[] for _ in range(parts)]
    for one in left:
        split[part_of(one.prompt_id, parts)].append(one)
    if not kept_out or not all(split):
        message = (
            f"{len(found.prompts):,} training prompts, of which {len(found.prompts) - len(left):,} are held out, in "
            f"{parts} parts of {', '.join(f'{len(part):,}' for part in split)}, and {len(kept_out):,} held-out "
            "prompts: expected some in each; name other prompts, or set held_out.max_prompts or prompt_parts lower"
        )
        raise ConfigError(message)
    place = folder / "prompts"
    with disk_errors(folder):
        place.mkdir(exist_ok=True)
    return Written(
        [_write(place, f"part-{number}", part, found.licences) for number, part in enumerate(split, 1)],
        _write(place, "held-out", kept_out, held.licences),
        PromptsRecord(
            training=records[0],
            held_out=records[1],
            found=len(found.prompts),
            overlap=len(found.prompts) - len(left),
            parts=[len(part) for part in split],
            held=len(kept_out),
            unusable=found.unusable + held.unusable,
        ),
    )


def part_of(prompt_id: str, parts: int) -> int:
    """Which part, from 0, a prompt falls into, whatever else is in the data."""
    # Hashed once more: the id itself orders prompts, and the first of them are taken where there is a limit.
    return int(content_hash("part", prompt_id), 16) % parts


def _load(sources: Sequence[SourceOptions], records: list[SourceRecord]) -> Loaded:
    prompts: dict[str, OnePrompt] = {}
    unusable, licences = 0, {}
    for source, record in zip(sources, records, strict=True):
        account = SourceAccount(record)
        licence = record.license or KINDS[record.kind].about.sets.get(record.path)
        if licence:
            licences[record.label] = licence
        for batch in load_prompts(account.pinned(source)):
            unusable += len(batch.quarantined)
            table = batch.prompts
            columns = zip(table["prompt_id"].to_pylist(), table["source_id"].to_pylist(), asked_of(table), strict=True)
            for prompt_id, source_id, asked in columns:
                if prompt_id in prompts:
                    continue  # the source that the recipe names first has it
                row: dict[str, Any] = {"id": source_id, "prompt": [dict(turn) for turn in asked.turns]}
                if asked.tools:
                    row["tools"] = list(asked.tools)
                if asked.kwargs:
                    row["chat_template_kwargs"] = dict(asked.kwargs)
                prompts[prompt_id] = OnePrompt(prompt_id, record.label, row)
            came = len(table) + batch.weighed_out + len(batch.quarantined)
            account.count(batch.raw_rows, came, batch.columns)
        account.close()
    return Loaded([prompts[key] for key in sorted(prompts)], unusable, licences)


def _write(place: Path, name: str, prompts: Sequence[OnePrompt], licences: dict[str, str]) -> list[dict[str, Any]]:
    """A file for each source, by number, since a label may be anything; as sources of a recipe."""
    found = []
    for number, label in enumerate(sorted({one.source for one in prompts}), 1):
        mine = [one for one in prompts if one.source == label]
        path = place / f"{name}-{number}.jsonl"
        write_bytes(path, b"".join(orjson.dumps(one.row) + b"\n" for one in mine))
        shown = str(path) if path.is_absolute() else f"./{path}"
        source: dict[str, Any] = {"kind": "prompts", "path": shown, "label": label}
        if label in licences:
            source["license"] = licences[label]
        _check(source, [one.prompt_id for one in mine])
        found.append(source)
    return found


def _check(source: dict[str, Any], expected: Sequence[str]) -> None:
    """Hold out what is held out: a prompt that read otherwise would have another id, and be told apart by nobody."""
    options = KINDS["prompts"].options.model_validate(source)
    read = [key for batch in load_prompts(options) for key in batch.prompts["prompt_id"].to_pylist()]
    if read != list(expected):
        lost = sorted(set(expected) - set(read))
        message = (
            f"{source['path']}: {len(lost):,} of {len(expected):,} prompts of {source['label']} read otherwise once "
            f"they are written ({', '.join(lost[:3])}), so they could not be told from held-out ones; leave them out"
        )
        raise SourceError(message)
