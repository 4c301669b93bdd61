"""The parts of evaluation.html about RewardBench 2."""

from typing import Final

from transforms.records.evaluation import Evaluation
from transforms.records.rewardbench2 import RewardBench2Evaluation
from transforms.report.funnel import Forest, ForestRow
from transforms.report.scales import Scale
from transforms.text import count, interval, percent

ONE_IN_FOUR: Final = 0.25  # a right response among four, by chance


def subsets_forest(found: RewardBench2Evaluation) -> Forest:
    """A row a subset, and the mean of all six where there is one; shaded up to chance among four."""
    lowest = min([row.low for row in found.subsets] + [ONE_IN_FOUR])
    scale = Scale(max(0.0, int(lowest * 20 - 0.2) / 20), 1.0)
    rows = [
        _row("Subsets", at == 0, row.subset, (row.value, row.low, row.high), scale, count(row.rows))
        for at, row in enumerate(found.subsets)
    ]
    if found.total is not None and found.low is not None and found.high is not None:
        rows.append(_row("Mean of six", True, "RewardBench 2", (found.total, found.low, found.high), scale, ""))
    return Forest(rows, scale.ticks(5, percent=True), scale.at(ONE_IN_FOUR))


def headline(evaluation: Evaluation) -> str:
    """What an evaluation without labelled pairs is headed by."""
    parts = [f"{one.source}: {percent(one.total)}" for one in evaluation.rewardbench2 if one.total is not None]
    if evaluation.tasks:
        tasks = dict.fromkeys(score.task for score in evaluation.tasks.scores if not score.group)
        parts.append(f"{len(tasks)} task{'' if len(tasks) == 1 else 's'}")
    return ", ".join(parts) or ("RewardBench 2" if evaluation.rewardbench2 else "")


def _row(group: str, first: bool, name: str, share: tuple[float, float, float], scale: Scale, note: str) -> ForestRow:
    value, low, high = share
    return ForestRow(
        group=group,
        first=first,
        name=name,
        kind="label" if note else "reward",
        at=scale.at(value),
        low=scale.at(low),
        high=scale.at(high),
        text=interval(value, low, high),
        note=note,
    )
