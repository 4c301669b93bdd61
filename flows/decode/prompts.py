"""The prompts that are answered: of a run's test split, or of sources, where every row is accounted for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

from flows.decode.files import RESULT
from flows.generate.prompts import PART_PROMPTS
from flows.generate.sources import PromptReading, distinct, load, quarantine_row
from flows.runtime.progress import Progress
from flows.versions.output_folder import disk_errors, write_bytes
from flows.versions.run_record import QUARANTINE
from flows.versions.version import open_folder
from transforms.chat.conversation import Asked, asked_of
from transforms.chat.encoding import encode_prompts
from transforms.chat.tokens import ChatTokens
from transforms.errors import ConfigError
from transforms.records.decoding import PromptsRead
from transforms.sources.prompts import STAGE
from transforms.tables.parts import Buckets, rechunk
from transforms.tables.ragged import Ids, Ragged
from transforms.tables.schema import PROMPT_DIGITS, STRUCTURE

if TYPE_CHECKING:
    from flows.decode.plan import DecodePlan

_SHOWN: Final = 3  # errors of prompts in a message


@dataclass
class Prompts:
    """Distinct prompts in the order of their ids, which are hashes.

    Attributes:
        pair_ids: of the pair that each is of, or of the prompt itself where it is of a source.
        ids: in tokens.
        asked: as the reward model is to read them.
        too_long: prompts left out because they leave no room for a response.
        rows: label and row of each in its source; empty for a test split.
        read: what became of the others; None for a test split.
        quarantine: lines of quarantine.jsonl. It is written with the result: another one may lie there until then.
    """

    pair_ids: list[str] = field(default_factory=list)
    ids: list[Ids] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    too_long: int = 0
    rows: list[tuple[str, str]] = field(default_factory=list)
    read: PromptsRead | None = None
    quarantine: bytes = b""


def prompts_of(plan: "DecodePlan", progress: Progress) -> Prompts:
    """What a plan answers, at most `max_prompts`.

    Raises:
        SourceError: a run or source that is missing, or cannot be read.
        ConfigError: fewer than two prompts leave room for a response.
    """
    config = plan.config
    room = plan.context - config.max_tokens
    if config.prompts:
        return _of_sources(plan, progress, room=room)
    if config.run is None:
        message = "neither a run nor prompts: name --prompts"
        raise ConfigError(message)
    return read_prompts(config.run, config.max_prompts, room=room)


def read_prompts(run: Path, wanted: int, *, room: int) -> Prompts:
    """The first `wanted` distinct prompts of a run's test split that have at most `room` tokens.

    Raises:
        SourceError: no finished run there, or shards that are missing or not those it wrote.
        ConfigError: there are fewer than two.
    """
    version = open_folder(run)
    table = version.read("test").sort_by("pair_id") if "test" in version.tables else None
    names = ["pair_id", "prompt", "prompt_ids", STRUCTURE.name]
    table = table.select([name for name in names if name in table.column_names]) if table is not None else None
    found = Prompts()
    seen: set[bytes] = set()
    if table is not None:
        rows = Ragged.from_arrow(table["prompt_ids"])
        pair_ids, asked = table["pair_id"].to_pylist(), asked_of(table)
        for row in range(len(table)):
            ids = rows.row(row)
            if len(found.ids) == wanted or ids.tobytes() in seen:
                continue
            seen.add(ids.tobytes())
            if len(ids) > room:
                found.too_long += 1
                continue
            found.pair_ids.append(pair_ids[row])
            found.ids.append(ids)
            found.asked.append(asked[row])
    if len(found.ids) < 2:
        message = (
            f"the test split of {run} has {len(found.ids)} prompts of at most {room} tokens, and {found.too_long} "
            "longer ones; at least 2 are needed. Curate with output.test_size above 0, name --prompts, or lower "
            "--max-tokens"
        )
        raise ConfigError(message)
    return found


def _of_sources(plan: "DecodePlan", progress: Progress, *, room: int) -> Prompts:
    config, out = plan.config, plan.config.out
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out, prefix=".prompts-") as work:
        reading = PromptReading(Path(work), config.prompts, plan.sources)
        reading.progress = progress
        found = _take(reading, load(reading), plan.chat, config.max_prompts, room=room)
        found.quarantine = (Path(work) / QUARANTINE).read_bytes()
        errors = reading.quarantine_errors()
    if len(found.ids) < 2:
        if not (out / RESULT).exists():
            write_bytes(out / QUARANTINE, found.quarantine)
        raise ConfigError(_too_few(reading, found.too_long, len(found.ids), errors, room))
    trained = None if config.run is None else _in_training_split(config.run, found)
    asked = reading.prompted
    found.read = PromptsRead(
        sources=list(reading.records),
        found=asked.found,
        repeated=asked.repeated,
        weighed_out=asked.weighed_out,
        quarantined=asked.quarantined,
        not_drawn=asked.prompts - len(found.ids),
        trained_on=trained,
    )
    return found


def _take(reading: PromptReading, buckets: Buckets, chat: ChatTokens, wanted: int, *, room: int) -> Prompts:
    """The first `wanted` distinct ones that both models can read; those behind them are not looked at."""
    found, seen = Prompts(), set[bytes]()
    with reading.progress.bar("tokenise prompts", unit="prompts", total=reading.prompted.found) as advance:
        for part in rechunk(distinct(reading, buckets), PART_PROMPTS):
            advance(len(part))
            if len(found.ids) == wanted:
                reading.prompted.prompts += len(part)
                continue
            encoded = encode_prompts(chat, asked_of(part))
            for row, (key, label, source_id) in enumerate(
                zip(*(part[name].to_pylist() for name in ("prompt_id", "source", "source_id")), strict=True)
            ):
                ids = encoded.ids.row(row)
                if len(found.ids) == wanted:
                    reading.prompted.prompts += 1
                elif row in encoded.errors:
                    bad = quarantine_row(STAGE, part, row, encoded.errors[row])
                    reading.prompted.quarantined += reading.quarantine([bad])
                elif ids.tobytes() in seen:  # as in a test split: a template may write two prompts alike
                    reading.prompted.repeated += 1
                else:
                    seen.add(ids.tobytes())
                    if len(ids) > room:
                        found.too_long += 1
                        continue
                    reading.prompted.prompts += 1
                    found.pair_ids.append(key)
                    found.ids.append(ids)
                    found.asked.append(encoded.asked[row])
                    found.rows.append((label, source_id))
    return found


def _in_training_split(run: Path, prompts: Prompts) -> int:
    """Prompts that a run's training split has, by their messages or by their tokens; each is counted once.

    Ids hash messages. Two ways to write a prompt, such as with the default system message, are one to a model.
    """
    version = open_folder(run)
    by_messages = {name: row for row, name in enumerate(prompts.pair_ids)}
    by_tokens = {ids.astype(np.int32).tobytes(): row for row, ids in enumerate(prompts.ids)}
    found: set[int] = set()
    if "train" in version.tables:
        for batch in version.all_batches("train", ["pair_id", "prompt_ids"]):
            ids = Ragged.from_arrow(batch["prompt_ids"])
            for row, key in enumerate(batch["pair_id"].to_pylist()):
                told = by_messages.get(key[:PROMPT_DIGITS]), by_tokens.get(ids.row(row).astype(np.int32).tobytes())
                found |= {one for one in told if one is not None}
    return len(found)


def _too_few(reading: PromptReading, too_long: int, kept: int, errors: Mapping[str, int], room: int) -> str:
    labels = ", ".join(f"{record.label} ({record.path})" for record in reading.records)
    asked = reading.prompted
    why = "".join(f"; {rows:,} × {error}" for error, rows in list(errors.items())[:_SHOWN])
    return (
        f"{labels}: {kept} of {asked.found:,} prompts can be answered, and at least 2 are needed: {too_long:,} of more "
        f"than {room:,} tokens (lower --max-tokens), {asked.repeated:,} doubled, {asked.weighed_out:,} left out by a "
        f"weight, {asked.quarantined:,} for {QUARANTINE}{why}"
    )
