"""What became other between two versions of a curated dataset, and why."""

from collections import Counter
from typing import NamedTuple

import polars as pl

from flows.versions.version import QUARANTINE, RESPONSES, Version
from transforms.records.difference import (
    JudgedAnew,
    ReasonCount,
    Transition,
    Unchanged,
    VersionDifference,
    VersionRecord,
)
from transforms.versions.causes import REASONS, with_causes
from transforms.versions.matched_rows import NEW, OLD, match_rows
from transforms.versions.settings_changes import changed_models, setting_changes
from transforms.versions.shifts import consistency_shift, cost_shift, length_shift, margin_shift, source_shift
from transforms.versions.verdict_rules import VerdictRules
from transforms.versions.version_rows import COLUMNS, VersionRows, version_rows


class Difference(NamedTuple):
    """The numbers, and the rows that they are of."""

    record: VersionDifference
    pairs: pl.DataFrame  # of `causes.with_causes`: every pair of either version


def summarize_difference(old: Version, new: Version) -> VersionDifference:
    """The numbers alone: what a refresh or a publication says of the version before.

    Raises:
        SourceError: files that are missing, unreachable or not the manifest's.
        SchemaError: a quarantine.jsonl that no run wrote.
    """
    return difference(old, new).record


def difference(old: Version, new: Version) -> Difference:
    """Compare two versions, pair by pair.

    Raises:
        SourceError: files that are missing, unreachable or not the manifest's.
        SchemaError: a quarantine.jsonl that no run wrote.
    """
    rows = _rows(old), _rows(new)
    pairs = with_causes(match_rows(rows[0].rows, rows[1].rows), old.manifest, new.manifest)
    both = (old.manifest, new.manifest)
    models = changed_models(*both)
    same_tokenizer = "tokenizer" not in models
    consistency = consistency_shift(*both, pairs)
    changed = pairs.filter(pl.col("change") != "same").height
    record = VersionDifference(
        old=_version_record(old, rows[0]),
        new=_version_record(new, rows[1]),
        equal=not changed and old.manifest.version == new.manifest.version,
        common=pairs.filter(pl.col(f"pair_id{OLD}") == pl.col(f"pair_id{NEW}")).height,
        changed=changed,
        transitions=_transitions(pairs),
        reasons=_reasons(pairs),
        unchanged=_unchanged(pairs),
        old_by_new_rules=_judged_anew(pairs, "old_by_new_rules", OLD),
        new_by_old_rules=_judged_anew(pairs, "new_by_old_rules", NEW),
        settings=setting_changes(*both),
        same_tokenizer=same_tokenizer,
        same_reward_model="reward" not in models,
        sources=source_shift(pairs),
        rates=consistency.rates,
        paired=consistency.paired,
        lengths=length_shift(pairs, same_tokenizer=same_tokenizer),
        margins=margin_shift(pairs),
        costs=cost_shift(*both),
        seconds=(sum(old.manifest.seconds.values()), sum(new.manifest.seconds.values())),
        caveats=_caveats(old, new, models),
    )
    return Difference(record, pairs)


def _rows(version: Version) -> VersionRows:
    tables = {name: version.batches(name, COLUMNS) for name in version.tables if name != RESPONSES}
    return version_rows(tables, version.file(QUARANTINE))


def _version_record(version: Version, found: VersionRows) -> VersionRecord:
    manifest, rows = version.manifest, found.rows
    reasons = Counter(rows.filter(pl.col("outcome") == "drop")["reason"].to_list())
    return VersionRecord(
        where=version.where,
        commit=version.commit,
        name=manifest.name,
        version=manifest.version,
        finished_at=manifest.finished_at,
        pairs=rows.height + found.copies.height,
        kept=rows.filter(pl.col("outcome") == "keep").height,
        splits=manifest.counts.splits,
        dropped=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        quarantined=rows.filter(pl.col("outcome") == "quarantine").height,
        copies=found.copies.height,
    )


def _transitions(pairs: pl.DataFrame) -> list[Transition]:
    keys = ("change", f"outcome{OLD}", f"outcome{NEW}")
    counted = Counter(pairs.select(keys).iter_rows())
    order = ("verdict", "rewritten", "removed", "added", "same")
    ranked = sorted(counted.items(), key=lambda item: (order.index(item[0][0]), str(item[0][1]), str(item[0][2])))
    return [Transition(change=change, old=was, new=now, pairs=count) for (change, was, now), count in ranked]


def _reasons(pairs: pl.DataFrame) -> list[ReasonCount]:
    """Reasons that anything has, by precedence."""
    changed = pairs.filter(pl.col("change") != "same")
    first = Counter(changed.select("first", "change").iter_rows())
    proven = Counter(changed.filter("proven")["first"].to_list())
    applies = Counter(changed["reasons"].explode(empty_as_null=True).to_list())
    return [
        ReasonCount(
            reason=reason,
            first=sum(count for (of, _), count in first.items() if of == reason),
            applies=applies[reason],
            proven=proven[reason],
            by_change={change: count for (of, change), count in sorted(first.items()) if of == reason},
        )
        for reason in REASONS
        if applies[reason]
    ]


def _unchanged(pairs: pl.DataFrame) -> Unchanged:
    same = pairs.filter(pl.col("change") == "same")
    kept, dropped = (same.filter(pl.col(f"outcome{NEW}") == outcome) for outcome in ("keep", "drop"))
    measures = [
        pl.col(f"{name}{OLD}").ne_missing(pl.col(f"{name}{NEW}"))
        for name in ("reward_chosen", "reward_rejected", "n", "consistency")
    ]
    keeps = [pl.col(f"{side}_keep{OLD}") != pl.col(f"{side}_keep{NEW}") for side in ("chosen", "rejected")]
    return Unchanged(
        kept=kept.height,
        dropped=dropped.height,
        quarantined=same.height - kept.height - dropped.height,
        kept_other_tokens=kept.filter(pl.any_horizontal(*keeps)).height,
        moved_split=kept.filter(pl.col(f"place{OLD}") != pl.col(f"place{NEW}")).height,
        dropped_other_reason=dropped.filter(pl.col(f"reason{OLD}") != pl.col(f"reason{NEW}")).height,
        measured_otherwise=same.filter(pl.any_horizontal(*measures)).height,
    )


def _judged_anew(pairs: pl.DataFrame, name: str, side: str) -> JudgedAnew:
    known = pairs.filter(pl.col(name).is_not_null())
    kept, by_other = ((known[column] == "keep").sum() for column in (f"outcome{side}", name))
    return JudgedAnew(known=known.height, kept=int(kept), kept_by_other_rules=int(by_other))


def _caveats(old: Version, new: Version, models: list[str]) -> list[str]:
    """What the numbers must not be read as."""
    found = []
    if "tokenizer" in models:
        found.append("The tokenizers differ, so token counts are of different tokens: lengths are not comparable.")
    if "reward" in models:
        found.append(
            "The reward models differ, so margins are on different scales: only how often they agree with the label is "
            "comparable."
        )
    unreadable = [one.where for one in (old, new) if VerdictRules.of(one.manifest.config) is None]
    if unreadable:
        found.append(
            f"The recipe of {' and '.join(unreadable)} is of another release, so no verdict was computed anew and no "
            "reason is proven."
        )
    if any(one.manifest.proxy or one.manifest.estimator for one in (old, new)):
        found.append(
            "A proxy's prior, and the shape of a run's reward gaps, are in no table: where they took part, a verdict "
            "by another τ is not known, and reasons are not proven."
        )
    return found
