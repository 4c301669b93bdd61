"""Everything a finished run knows of one pair: the row it came from, its tokens, completions, scores and verdict."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.models import recipe_models as models
from flows.recipe.curation import GENERATED_FOLDER, Recipe
from flows.versions.version import QUARANTINE, RESPONSES, Version, open_folder
from transforms.asking.ledger import Ledger
from transforms.asking.readings import Reading, completion_readings
from transforms.asking.requests import SAMPLED_CUTS, Prefix, sample_prefixes, score_requests
from transforms.chat.tokens import ChatTokens
from transforms.engines.protocol import ModelIdentity, Sampling
from transforms.errors import ConfigError, CurationError
from transforms.paths import ledger_root
from transforms.preparation.dedupe import DUPLICATE
from transforms.records.manifest import Manifest, ModelRecord
from transforms.sources.kinds import Source
from transforms.sources.raw_row import find_raw_row
from transforms.tables.schema import CURATED, SIDES, Side, check, with_later_columns, written_like

MIN_PREFIX: Final = 4


@dataclass(frozen=True)
class SampledCompletion:
    """One completion of a kept prefix. `reward` is None where the ledger no longer has it."""

    side: Side
    sample: int
    text: str  # the new tokens alone
    tokens: int
    reward: float | None


@dataclass(frozen=True)
class Explanation:
    """One pair of a run.

    Attributes:
        manifest: of the run.
        place: `dataset/train`, `dataset/test`, `dropped` or `quarantine.jsonl`.
        row: schema.CURATED as a dict, or the quarantined line.
        copies: how many further rows of the run have the same id (duplicates).
        raw: the source's own row; None where it was not looked for or not found.
        raw_note: why there is none.
        texts: side → (kept tokens as text, tail that was cut).
        completions: in the order they were sampled.
        completions_note: why there are none, or not all.
    """

    manifest: Manifest
    place: str
    row: dict[str, Any]
    copies: int
    raw: Any
    raw_note: str
    texts: dict[Side, tuple[str, str]] = field(default_factory=dict)
    completions: list[SampledCompletion] = field(default_factory=list)
    completions_note: str = ""

    @property
    def quarantined(self) -> bool:
        return self.place == QUARANTINE


def explain(folder: Path, pair_id: str, *, find_raw: bool = True) -> Explanation:
    """What happened to a pair of the run in `folder`.

    Args:
        folder: of a finished run.
        pair_id: the whole id or the start of it that no other pair has.
        find_raw: read the source again for the raw row.

    Raises:
        SourceError: no finished run there, or files that are missing or not those it wrote.
        ConfigError: no such pair, several that start like this, or a recipe of another release.
    """
    version = open_folder(folder)
    if len(pair_id) < MIN_PREFIX:
        message = f"{pair_id!r} is too short: give the id's first {MIN_PREFIX} digits at least"
        raise ConfigError(message)
    found = list(chain(_curated(version, pair_id), _quarantined(version, pair_id)))
    ids = sorted({str(_id_of(row)) for _, row in found})
    if len(ids) != 1:
        what = f"{len(ids)} pairs start with {pair_id}: {', '.join(ids[:5])}" if ids else f"no pair {pair_id}"
        message = f"{what} in {folder}; ids are the column pair_id of dataset/ and dropped/"
        raise ConfigError(message)
    # A kept pair and its dropped duplicates share an id: the one that was judged is meant.
    found.sort(key=lambda item: item[1].get("reason") == DUPLICATE)
    place, row = found[0]
    manifest, recipe = version.manifest, version.recipe
    sources = recipe.every_source(str(folder.resolve() / GENERATED_FOLDER))
    raw, note = _raw_row(manifest, sources, ids[0], row["source"]) if find_raw else (None, "not looked for")
    if place == QUARANTINE:
        return Explanation(manifest, place, row, len(found) - 1, raw, note)
    chat = models.load_chat(recipe, manifest)
    texts = {side: _kept_and_cut(row, side, chat) for side in SIDES}
    completions, why = _completions(manifest, recipe, row, chat)
    return Explanation(manifest, place, row, len(found) - 1, raw, note, texts, completions, why)


def _curated(version: Version, pair_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in version.tables:
        if name == RESPONSES:
            continue
        for batch in version.batches(name):
            batch = with_later_columns(batch)
            check(batch, written_like(CURATED, batch.column_names), where=f"{version.where}, {name}")
            mine = batch.filter(pc.starts_with(batch["pair_id"], pair_id))
            for row in mine.to_pylist():
                yield f"dataset/{name}" if name in version.splits else name, row


def _quarantined(version: Version, pair_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with version.file(QUARANTINE).open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if str(_id_of(row)).startswith(pair_id):
                yield QUARANTINE, row


def _id_of(row: dict[str, Any]) -> str | None:
    """A quarantined line has the id inside its row, where a pair could be made at all; else the source's id."""
    if "pair_id" in row:
        return str(row["pair_id"])
    inner = row.get("row")
    return inner["pair_id"] if isinstance(inner, dict) and "pair_id" in inner else row.get("source_id")


def _raw_row(manifest: Manifest, sources: Sequence[Source], pair_id: str, label: str) -> tuple[Any, str]:
    for source, record in zip(sources, manifest.sources, strict=True):
        if record.label != label:
            continue
        pinned = source.model_copy(update={"revision": record.revision}) if record.revision else source
        try:
            row = find_raw_row(pinned, pair_id)
        except CurationError as error:
            return None, str(error)
        if row is not None:
            return row, ""
    return None, "the source has no row that gives this pair any more"


def _kept_and_cut(row: dict[str, Any], side: Side, chat: ChatTokens) -> tuple[str, str]:
    ids, keep, kept = row[f"{side}_ids"], row[f"{side}_keep"], str(row[side])
    if keep >= len(ids):
        return kept, ""
    whole = chat.response_text(np.asarray(ids, np.int32))
    return kept, whole[len(kept) :] if whole.startswith(kept) else _text(ids[keep:], chat)


def _text(ids: list[int], chat: ChatTokens) -> str:
    return chat.decode(np.asarray(ids, np.int32))


def _completions(
    manifest: Manifest, recipe: Recipe, row: dict[str, Any], chat: ChatTokens
) -> tuple[list[SampledCompletion], str]:
    if not row["n"]:
        return [], "no completion was sampled for this pair"
    if manifest.policy is None or manifest.reward is None or recipe.reward is None:
        return [], "this run has no models"
    pairs = pa.Table.from_pylist([row | {side: row[f"{side}_full"] for side in SIDES}])
    prefixes = [
        Prefix(0, side, row[f"{side}_keep"], range(row["n"])) for side in SIDES if row[f"{side}_cut_by"] in SAMPLED_CUTS
    ]
    config = recipe.sampling
    samples = list(
        sample_prefixes(
            pairs,
            prefixes,
            _identity(manifest.policy),
            Sampling(config.temperature, config.top_p, chat.stop_ids),
            run_seed=config.seed,
            max_new_tokens=config.max_new_tokens,
            context=models.policy_context(recipe),
        )
    )
    root = ledger_root(recipe.ledger)
    ledger = Ledger(root, "completions", _identity(manifest.policy), writable=False)
    rows = ledger.fetch([sample.request.request_id for sample in samples])
    found: dict[str, list[int]] = dict(zip(rows["request_id"], rows["completion_ids"].to_list(), strict=True))
    there = [sample for sample in samples if sample.request.request_id in found]
    read = completion_readings(pairs, there, found, chat)
    rewards = _rewards(manifest.reward, recipe, read, chat, root)
    completions = [
        SampledCompletion(
            sample.side,
            sample.request.sample_index,
            _text(found[sample.request.request_id], chat),
            len(found[sample.request.request_id]),
            reward,
        )
        for sample, reward in zip(there, rewards, strict=True)
    ]
    missing = len(samples) - len(there)
    return completions, f"{missing} of {len(samples)} completions are not in the ledger at {root}" if missing else ""


def _rewards(
    record: ModelRecord, recipe: Recipe, read: list[Reading], chat: ChatTokens, root: str
) -> list[float | None]:
    """Of each completion, from the ledger; None where it is not there."""
    config = recipe.reward
    if config is None:
        return [None] * len(read)
    inputs = models.load_reward_inputs(models.resolve_reward(config, lambda: chat), config, recipe.chat_template_date)
    conversations = inputs.token_ids([r.asked for r in read], [r.answer for r in read])
    requests = score_requests(_identity(record), conversations, inputs.context)
    ids = [None if isinstance(request, str) else request.request_id for request in requests]
    rows = Ledger(root, "scores", _identity(record), writable=False).fetch([key for key in ids if key])
    known: dict[str, float] = dict(zip(rows["request_id"], rows["reward"], strict=True))
    return [known.get(key) if key else None for key in ids]


def _identity(record: ModelRecord) -> ModelIdentity:
    return ModelIdentity(**record.model_dump())
