"""What there is to export: the kept pairs of a run, or the pairs and all the responses of a generation."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from flows.versions.version import RESPONSES, GeneratedVersion, Version
from transforms.choices import Thinking
from transforms.errors import ConfigError
from transforms.exports.generated import (
    PAIR_COLUMNS,
    PLACES,
    RESPONSE_COLUMNS,
    generated_answers,
    generated_columns,
    generated_pairs,
)
from transforms.exports.kto import Response, responses_of
from transforms.exports.layouts import KTO
from transforms.exports.pairs import SCORE_COLUMNS, Pair, Score, columns_of, pairs_of
from transforms.records.export import GenerationPart
from transforms.tables.schema import APPENDED, STRUCTURE

TRAIN: Final = "train"
Scale = Score | Literal["aggregate"]


class Kept(NamedTuple):
    """The kept pairs of a version.

    Attributes:
        version: of them.
        columns: the names of each split's columns, of the splits with rows.
    """

    version: Version
    columns: dict[str, list[str]]

    @classmethod
    def of(cls, version: Version) -> "Kept":
        """Those of a version.

        Raises:
            ConfigError: it has none.
        """
        splits = [split for split in version.splits if version.manifest.counts.splits[split]]
        if not splits:
            message = f"{version.where} kept no pair, so there is nothing to export"
            raise ConfigError(message)
        return cls(version, {split: next(version.batches(split)).column_names for split in splits})

    @property
    def splits(self) -> list[str]:
        """Those with rows."""
        return list(self.columns)

    @property
    def is_structured(self) -> bool:
        """Whether any row may have more than roles and contents."""
        return any(STRUCTURE.name in names for names in self.columns.values())

    @property
    def part(self) -> None:
        """It is no generation."""

    @property
    def appended(self) -> bool:
        """Whether trainings on it read an end-of-turn behind every response (`truncate.eot: always`)."""
        return any(APPENDED[0].name in names for names in self.columns.values())

    def pairs(self, split: str, score: Score | None = None) -> Iterator[Pair]:
        """Those of a split, in its order.

        Raises:
            SourceError: as `Shards.all_batches`.
        """
        for batch in self.version.all_batches(split, columns_of(self.columns[split], score)):
            yield from pairs_of(batch, score)

    def responses(self, split: str, scale: Scale) -> Iterator[Response]:
        """Both of each pair of a split.

        Raises:
            SourceError: as `pairs`.
        """
        return responses_of(self.pairs(split, None if scale == "aggregate" else scale))

    def scale(self, asked: Score | None, split: str) -> Scale:
        """The score that labels responses.

        The reward model's if half of the split's responses have it, so that a few unread ones change no scale. Else
        the one that more of them have.

        Raises:
            ConfigError: there is none of either.
        """
        if asked is not None:
            return asked
        found: Counter[Score] = Counter()
        sides: Counter[Score] = Counter()
        for score, columns in SCORE_COLUMNS.items():
            for batch in self.version.batches(split, list(columns.values())):
                sides[score] += len(columns) * len(batch)
                found[score] += sum(len(batch) - batch[name].null_count for name in columns.values())
        if not found.total():
            message = (
                f"no response of {self.version.where} has a score, neither the reward model's (reward_chosen, "
                "reward_rejected) nor the source's (chosen_score, rejected_score), so none is desirable or not; curate "
                "with a reward model, or leave kto out of --to"
            )
            raise ConfigError(message)
        is_read = 2 * found["reward"] >= sides["reward"] or found["reward"] >= found["source"]
        return "reward" if is_read else "source"


class Generated(NamedTuple):
    """The pairs and all responses of a generation.

    Attributes:
        version: of them.
        thinking: what its recipe does with reasoning, of each policy.
        columns: the names of each table's columns.
        part: what it holds, counted.
    """

    version: GeneratedVersion
    thinking: dict[str, Thinking]
    columns: dict[str, list[str]]
    part: GenerationPart

    @classmethod
    def of(cls, version: GeneratedVersion, layouts: Sequence[str]) -> "Generated":
        """Those of a generation.

        Args:
            version: of it.
            layouts: what is to be made of it; only kto needs no pairs.

        Raises:
            ConfigError: it made no pair and a layout of pairs is asked for, or no response at all.
            SourceError: as `Shards.all_batches`.
        """
        recipe, manifest = version.recipe, version.manifest
        in_pairs = 0
        for batch in version.all_batches(RESPONSES, list(PLACES)):
            places = zip(*(batch[name].to_pylist() for name in PLACES), strict=True)
            in_pairs += sum(any(counts) for counts in places)
        counts = manifest.counts
        of_pairs = [layout for layout in layouts if layout != KTO]
        if of_pairs and not counts.pairs:
            message = (
                f"{version.where} is a generation without a pair, which {', '.join(of_pairs)} cannot do without; its "
                f"report.html says why no prompt has one. --to {KTO} takes single responses, of which there are "
                f"{counts.responses:,}"
            )
            raise ConfigError(message)
        return cls(
            version,
            dict(zip(recipe.policy_labels(), (policy.thinking for policy in recipe.policies), strict=True)),
            {table: next(version.batches(table)).column_names for table in version.tables},
            GenerationPart(
                prompts=counts.drawn,
                responses=counts.responses,
                in_pairs=in_pairs,
                pairs=counts.pairs,
                annotators=[annotator.label for annotator in manifest.annotators],
                aggregate=recipe.aggregate,
            ),
        )

    @property
    def appended(self) -> bool:
        """A generation cuts nothing."""
        return False

    @property
    def splits(self) -> list[str]:
        """A generation has no other."""
        return [TRAIN]

    @property
    def is_structured(self) -> bool:
        """Whether any row may have more than roles and contents. Where any response has reasoning, the pairs say so."""
        return any(STRUCTURE.name in names for names in self.columns.values())

    def pairs(self, split: str) -> Iterator[Pair]:
        """Its pairs, in their order.

        Raises:
            SourceError: as `Shards.all_batches`.
        """
        for batch in self.version.all_batches(split, generated_columns(PAIR_COLUMNS, self.columns[split])):
            yield from generated_pairs(batch)

    def responses(self, _split: str, _scale: Scale) -> Iterator[Response]:
        """All that was answered, those of no use among them.

        Raises:
            SourceError: as `Shards.all_batches`.
        """
        names = generated_columns(RESPONSE_COLUMNS, self.columns[RESPONSES])
        for batch in self.version.all_batches(RESPONSES, names):
            yield from generated_answers(batch, self.thinking)

    def scale(self, asked: Score | None, _split: str) -> Scale:
        """The aggregate of its annotators, for it has no other.

        Raises:
            ConfigError: another is asked for.
        """
        if asked is not None:
            message = (
                f"{self.version.where} is a generation, whose responses have one score: the aggregate "
                f"({self.part.aggregate}) of its annotators ({', '.join(self.part.annotators)}). Leave out "
                f"--score {asked}"
            )
            raise ConfigError(message)
        return "aggregate"


def contents_of(version: Version | GeneratedVersion, layouts: Sequence[str]) -> Kept | Generated:
    """What of it is exported.

    Args:
        version: of a run or a generation.
        layouts: what is to be made of it.

    Raises:
        ConfigError: nothing.
        SourceError: as `Shards.all_batches`.
    """
    return Generated.of(version, layouts) if isinstance(version, GeneratedVersion) else Kept.of(version)
