"""A round against the start, the round before and the best so far; which policy is the best, and when to stop."""

from collections.abc import Sequence

from flows.rounds.config import StopConfig
from transforms.pairing.win_rate import Samples, length_controlled_win_rate, win_rate
from transforms.records.manifest import ShareRecord
from transforms.records.rounds import RoundRecord, WinRecord
from transforms.statistics.intervals import Rate


def compared(ours: Samples, theirs: Samples) -> WinRecord:
    """How often our answers beat theirs, also at equal length."""
    plain, equal = win_rate(ours, theirs), length_controlled_win_rate(ours, theirs)
    return WinRecord(
        rate=_share(plain.rate, plain.prompts),
        ties=plain.ties,
        left_out=plain.left_out,
        at_equal_length=_share(equal.rate, equal.prompts) if equal.rate else None,
        not_fitted=equal.not_fitted,
    )


def is_better(over_best: WinRecord, rule: StopConfig) -> bool:
    """Whether a policy counts as better than the one that it was held against; not where no number says so."""
    found = over_best.at_equal_length if rule.length_controlled else over_best.rate
    if found is None or not found.count:
        return False
    return (found.low if rule.by == "low" else found.value) > 0.5 + rule.min_gain


def best_of(rounds: Sequence[RoundRecord]) -> int:
    """The round with the best policy; 0 is the start."""
    return next((one.number for one in reversed(rounds) if one.better), 0)


def should_stop(rounds: Sequence[RoundRecord], rule: StopConfig) -> bool:
    """Whether as many rounds in a row as the rule has patience for brought nothing better."""
    return rule.patience is not None and len(rounds) - best_of(rounds) >= rule.patience


def _share(rate: Rate, count: int) -> ShareRecord:
    return ShareRecord(value=rate.value, low=rate.low, high=rate.high, count=count)
