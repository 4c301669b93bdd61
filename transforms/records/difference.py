"""diff.json: what became other between two versions of a curated dataset, counted so that it adds up."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from transforms.records.manifest import RateRecord, ShareRecord, SpendRecord
from transforms.statistics.intervals import MeanRecord

# What became of a pair. rewritten: its row of the source is there in both, with other texts. verdict: the same texts,
# and another outcome.
Change = Literal["added", "removed", "rewritten", "verdict", "same"]
Outcome = Literal["keep", "drop", "quarantine"]
# Why, the earliest stage of a run first; that order is the precedence where several apply (transforms.versions.causes).
Reason = Literal["data", "model", "truncation", "recipe", "completions", "code", "unknown"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class VersionRecord(_Part):
    """One of the two versions. pairs = kept + sum(dropped) + quarantined + copies."""

    where: str
    commit: str | None  # of the Hub
    name: str
    version: str
    finished_at: str
    pairs: int
    kept: int
    splits: dict[str, int]
    dropped: dict[str, int]  # without copies
    quarantined: int
    copies: int  # rows that repeat another pair: they are that pair's, and are counted with nothing else


class SettingChange(_Part):
    """One key that differs: of the recipe, a model, a source or the code."""

    kind: Literal["data", "model", "truncation", "recipe", "code"]  # the reason that it can be
    key: str
    old: Any
    new: Any


class ReasonCount(_Part):
    """How many changed pairs a reason explains. The counts of `first` add up to all changed pairs."""

    reason: Reason
    first: int
    applies: int  # pairs that it is a reason of, first or not
    proven: int  # of `first`: the verdict was computed anew with the other version's rules, and shows it
    by_change: dict[Change, int]  # of `first`


class Transition(_Part):
    """Pairs by what they were and became; None on the side that does not have them."""

    change: Change
    old: Outcome | None
    new: Outcome | None
    pairs: int


class Unchanged(_Part):
    """Pairs that both versions treat alike, and what still differs among them."""

    kept: int
    dropped: int
    quarantined: int
    kept_other_tokens: int  # kept in both, another number of tokens of them
    moved_split: int  # kept in both, in another split
    dropped_other_reason: int
    measured_otherwise: int  # of all of these: other rewards or completions, the same outcome


class JudgedAnew(_Part):
    """One version's evidence by the other version's rules, over the common pairs where that is known."""

    known: int
    kept: int  # by the rules of their own version
    kept_by_other_rules: int


class RateDifference(_Part):
    """Consistency of all pairs of each version, and how far apart. Intervals of 95 %, as if pairs were not shared."""

    source: str  # "all" is first
    reference: Literal["label", "reward"]
    old: RateRecord
    new: RateRecord
    difference: float
    low: float
    high: float


class PairedDifference(_Part):
    """The same pairs in both versions: consistency where both know it, and what was kept of those that both judged.

    Attributes:
        measured: pairs whose consistency both know.
        by_label: mean of new − old of their consistency with the label, interval over prompts; None without any.
        by_reward: the same with the reward model's own order.
        judged: pairs kept or dropped in both.
        gained: dropped before, kept now.
        lost: kept before, dropped now.
        p_value: exact McNemar test of gained against lost, two-sided (McNemar 1947; a binomial test of the pairs that
            differ); None where none differs. It takes pairs as independent, which pairs of one prompt are not.
    """

    source: str
    measured: int
    by_label: MeanRecord | None
    by_reward: MeanRecord | None
    judged: int
    gained: int
    lost: int
    p_value: float | None


class Spread(_Part):
    """Mean and quantiles of some numbers; None where there are none."""

    count: int
    mean: float | None
    low: float | None  # 10 %
    median: float | None
    high: float | None  # 90 %


class LengthShift(_Part):
    """Tokens of the responses of kept pairs: whole, and what is kept of them."""

    source: str
    side: Literal["chosen", "rejected"]
    old_full: Spread
    new_full: Spread
    old: Spread
    new: Spread
    paired: MeanRecord | None  # kept tokens new − old of pairs kept in both; None without any, or by other tokenizers


class MarginShift(_Part):
    """Reward of chosen minus rejected, full responses, of kept pairs."""

    source: str
    old: Spread
    new: Spread
    old_agrees: ShareRecord | None  # share with a margin above 0
    new_agrees: ShareRecord | None


class SourceShift(_Part):
    """One source's pairs and what was kept of them, copies left out."""

    source: str
    old_pairs: int
    new_pairs: int
    old_kept: int
    new_kept: int


class CostShift(_Part):
    """What one kind of model call cost; None for a version that made none."""

    kind: Literal["completions", "rewards"]
    old: SpendRecord | None
    new: SpendRecord | None


class VersionDifference(_Part):
    """Everything that `python -m flows.diff A B` found, A being the old version and B the new one."""

    old: VersionRecord
    new: VersionRecord
    equal: bool  # no pair changed, and the kept rows are the same bit for bit
    common: int  # pairs in both, by content
    changed: int
    transitions: list[Transition]
    reasons: list[ReasonCount]
    unchanged: Unchanged
    old_by_new_rules: JudgedAnew
    new_by_old_rules: JudgedAnew
    settings: list[SettingChange]
    same_tokenizer: bool  # else token counts are of different tokens
    same_reward_model: bool  # else rewards are of different scales
    sources: list[SourceShift]
    rates: list[RateDifference]
    paired: list[PairedDifference]
    lengths: list[LengthShift]
    margins: list[MarginShift]
    costs: list[CostShift]
    seconds: tuple[float, float]
    caveats: list[str]

    def pairs_of(self, change: Change, old: Outcome | None = None, new: Outcome | None = None) -> int:
        """Pairs of a change, all or those of one outcome on a side."""
        return sum(
            one.pairs
            for one in self.transitions
            if one.change == change and old in (None, one.old) and new in (None, one.new)
        )
