"""Semantic versions of a dataset: what a major, a minor and a patch version mean for those who load it.

major: what reads the last version may not read this one, or means something else by it. A column or its type changed, a
    table or split is gone, the tokenizer or the truncation of the recipe is another, or fewer than half of the last
    version's kept pairs are still there.
minor: the same kind of data with other rows. Pairs came or went, a verdict or any value of a row changed, a table is
    new.
patch: every table is equal row for row. Card, report, figures or what the manifest says changed.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from transforms.records.manifest import Manifest

Bump = Literal["major", "minor", "patch"]
BUMPS: Final[tuple[Bump, ...]] = ("patch", "minor", "major")  # small to large
_TAG: Final = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_REMAIN: Final = 0.5


class SemanticVersion(NamedTuple):
    """v<major>.<minor>.<patch>; compares as it counts."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"

    def bumped(self, bump: Bump) -> "SemanticVersion":
        """The version after this one."""
        if bump == "major":
            return SemanticVersion(self.major + 1, 0, 0)
        if bump == "minor":
            return SemanticVersion(self.major, self.minor + 1, 0)
        return SemanticVersion(self.major, self.minor, self.patch + 1)


FIRST: Final = SemanticVersion(1, 0, 0)


def parse_tag(tag: str) -> SemanticVersion | None:
    """The version that a tag names, None where it names none."""
    match = _TAG.fullmatch(tag)
    return SemanticVersion(*map(int, match.groups())) if match else None


def newest(tags: Iterable[str]) -> SemanticVersion | None:
    """The highest version among tags."""
    return max(filter(None, map(parse_tag, tags)), default=None)


@dataclass(frozen=True)
class Contents:
    """What is compared of a version.

    Attributes:
        manifest: its own.
        columns: types by column, by table.
        rows: a hash of each table's rows.
        kept: ids of the pairs in its splits.
    """

    manifest: Manifest
    columns: Mapping[str, Mapping[str, str]]
    rows: Mapping[str, str]
    kept: frozenset[str]


class Change(NamedTuple):
    """How a version differs from the one before, and why in words."""

    bump: Bump
    why: list[str]


def change(old: Contents, new: Contents) -> Change:
    """The smallest bump that is honest; the reasons for it."""
    if breaking := _breaking(old, new):
        return Change("major", breaking)
    added, removed = len(new.kept - old.kept), len(old.kept - new.kept)
    why = [f"{count:,} kept pairs {words}" for count, words in ((added, "added"), (removed, "removed")) if count]
    why += [f"table {name} is new" for name in new.rows if name not in old.rows]
    why += [f"rows of {name} changed" for name in new.rows if old.rows.get(name, new.rows[name]) != new.rows[name]]
    return Change("minor", why) if why else Change("patch", ["equal rows; card, report or metadata changed"])


def _breaking(old: Contents, new: Contents) -> list[str]:
    why = [f"table {name} is gone" for name in old.rows if name not in new.rows]
    why += [
        f"columns of {name} changed: {', '.join(sorted(differing))}"
        for name in old.columns
        if name in new.columns
        and (differing := {key for key, _ in old.columns[name].items() ^ new.columns[name].items()})
    ]
    before, now = old.manifest.tokenizer, new.manifest.tokenizer
    if (before.sha256, before.eot_id) != (now.sha256, now.eot_id):
        why.append(f"the tokenizer is {now.name}, it was {before.name}")
    if old.manifest.config.get("truncate") != new.manifest.config.get("truncate"):
        why.append("the recipe truncates in another way")
    remain = len(old.kept & new.kept)
    if remain < _REMAIN * len(old.kept):
        why.append(f"{remain:,} of {len(old.kept):,} kept pairs remain")
    return why
