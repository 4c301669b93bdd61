"""Where training moved the probability of the data: up, down, or only apart (AlphaPO fig. 2, RAO fig. 2)."""

from collections.abc import Sequence

from transforms.evaluation.implicit_rewards import PairLogProbs, mean_log_probs
from transforms.records.evaluation import Displacement
from transforms.statistics.clustered import clustered_mean
from transforms.statistics.intervals import Floats


def displacement(policy: PairLogProbs, reference: PairLogProbs | None, prompts: Sequence[str]) -> list[Displacement]:
    """ℓ̄ of chosen, of rejected and their margin, before and after.

    Args:
        policy: after training; at least one pair.
        reference: before; None where there is none.
        prompts: of the pairs.
    """
    after, before = _sides(policy), _sides(reference) if reference else None
    return [
        Displacement(
            side=side,
            after=clustered_mean(values, prompts),
            before=clustered_mean(before[side], prompts) if before else None,
            change=clustered_mean(values - before[side], prompts) if before else None,
        )
        for side, values in after.items()
    ]


def _sides(read: PairLogProbs) -> dict[str, Floats]:
    chosen, rejected = mean_log_probs(read).values()
    return {"chosen": chosen, "rejected": rejected, "margin": chosen - rejected}
