"""The reward model's objective. No policy can name it: it is not in `OBJECTIVES`."""

import torch
from torch.nn import functional


def bradley_terry(
    chosen: torch.Tensor,
    rejected: torch.Tensor,
    margin: torch.Tensor | None = None,
    centring: float = 0.0,
) -> torch.Tensor:
    """Per-pair loss −log σ(r_w − r_l − margin) + λ(r_w + r_l)², not reduced.

    Bradley & Terry 1952, as reward models use it (arXiv 2203.02155, eq. 1; margin: arXiv 2307.09288, eq. 2;
    centring: arXiv 2312.09244, eq. 2). The likelihood knows differences only: without the centring
    term any constant may be added to every reward.

    Args:
        chosen: rewards of the chosen responses, (pairs,).
        rejected: rewards of the rejected responses, (pairs,).
        margin: how far apart the two should be at least, (pairs,); in units of reward.
        centring: λ.

    Returns:
        Losses, (pairs,), so that a loss that is not a number can be traced to its pair.
    """
    difference = chosen - rejected
    if margin is not None:
        difference = difference - margin
    losses = -functional.logsigmoid(difference)
    if centring:
        losses = losses + centring * (chosen + rejected).square()
    return losses
