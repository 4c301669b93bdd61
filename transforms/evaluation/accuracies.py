"""From margins of pairs to accuracies: of all, by source, by subset, by RewardBench section, by how much is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transforms.evaluation.rewardbench import BENCHMARK, SUBSETS, WEIGHTS
from transforms.records.audit import CurvePoint
from transforms.records.evaluation import ALL, AccuracyRecord, SectionRecord
from transforms.statistics.clustered import clustered_share, weighted_share
from transforms.statistics.intervals import Bools, Floats, Rate


@dataclass(frozen=True, slots=True)
class Groups:
    """What each pair belongs to, (pairs,) each."""

    sources: Sequence[str]
    subsets: Sequence[str | None]
    prompts: Sequence[str]

    def of(self, rows: Sequence[int]) -> "Groups":
        """Of some of the pairs."""
        sources, prompts = ([values[row] for row in rows] for values in (self.sources, self.prompts))
        return Groups(sources, [self.subsets[row] for row in rows], prompts)


def correct(margins: Floats) -> Floats:
    """1 where the chosen response scores higher, 0 where it scores lower, one half for an exact tie."""
    return np.heaviside(margins, 0.5)


def accuracies(margins: Floats, groups: Groups) -> list[AccuracyRecord]:
    """Of all pairs, then of each source where there are several, then of each source's subsets.

    Args:
        margins: score of chosen minus rejected, (pairs,), finite.
        groups: of the same pairs.
    """
    if not len(margins):
        return []
    sources = np.asarray(groups.sources, object)
    subsets = np.asarray(groups.subsets, object)
    records = [_accuracy(ALL, None, margins, groups, np.ones(len(margins), bool))]
    names = sorted(set(groups.sources))
    if len(names) > 1:
        records += [_accuracy(name, None, margins, groups, sources == name) for name in names]
    parts = sorted({(s, part) for s, part in zip(groups.sources, groups.subsets, strict=True) if part is not None})
    # One subset that is all of its source says nothing that the source does not.
    told = [(s, part) for s, part in parts if ((sources == s) & (subsets != part)).any() or part in SUBSETS]
    return records + [_accuracy(s, part, margins, groups, (sources == s) & (subsets == part)) for s, part in told]


def sections(records: Sequence[AccuracyRecord]) -> list[SectionRecord]:
    """RewardBench's sections of every source with subsets of it, and the score where all four are there."""
    found: list[SectionRecord] = []
    for source in dict.fromkeys(record.source for record in records):
        mine = {r.subset: r for r in records if r.source == source and r.subset is not None}
        made = [_section(source, name, mine) for name in WEIGHTS]
        there = [section for section in made if section is not None]  # other subsets are in no section
        found += there
        if len(there) == len(WEIGHTS):
            score = weighted_share([Rate(s.value, s.low, s.high) for s in there], [1.0] * len(there))
            found.append(
                SectionRecord(
                    source=source,
                    section=BENCHMARK,
                    pairs=sum(section.pairs for section in there),
                    missing=[subset for section in there for subset in section.missing],
                    **score._asdict(),
                )
            )
    return found


def kept_curve(margins: Mapping[float, Floats], prompts: Sequence[str]) -> list[CurvePoint]:
    """Accuracy against what is kept; a point of fewer than two pairs is left out.

    Args:
        margins: by kept ratio or kept tokens, (pairs,) each, finite.
        prompts: of the pairs.
    """
    if len(prompts) < 2:
        return []
    points = []
    for at, values in margins.items():
        share = clustered_share(correct(values), prompts)
        points.append(CurvePoint(at=at, mean=share.value, low=share.low, high=share.high, pairs=len(values)))
    return points


def _accuracy(source: str, subset: str | None, margins: Floats, groups: Groups, mine: Bools) -> AccuracyRecord:
    prompts = [groups.prompts[row] for row in np.flatnonzero(mine)]
    share = clustered_share(correct(margins[mine]), prompts)
    return AccuracyRecord(
        source=source,
        subset=subset,
        pairs=len(prompts),
        prompts=len(set(prompts)),
        ties=int((margins[mine] == 0).sum()),
        margin=float(margins[mine].mean()),
        **share._asdict(),
    )


def _section(source: str, name: str, subsets: Mapping[str, AccuracyRecord]) -> SectionRecord | None:
    weights = {subset: weight for subset, weight in WEIGHTS[name].items() if subset in subsets}
    if not weights:
        return None
    there = [subsets[subset] for subset in weights]
    share = weighted_share([Rate(r.value, r.low, r.high) for r in there], list(weights.values()))
    return SectionRecord(
        source=source,
        section=name,
        pairs=sum(record.pairs for record in there),
        missing=[subset for subset in WEIGHTS[name] if subset not in subsets],
        **share._asdict(),
    )
