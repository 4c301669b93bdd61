"""The reward model's objective. No policy can name it: it is not in `OBJECTIVES`."""

from collections.abc import Sequence

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


def temporal_incoherence(values: torch.Tensor, places: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the rewards of prefixes are from what they should foretell, each (responses,), not weighted.

    Temporally coherent reward models (Nikulkov 2026, arXiv 2604.22981) add both to Bradley and Terry's loss. The first,
    lookahead consistency, is the mean over the prefixes t of (V_t − r)², r the reward of the whole response, as a value
    function is learned by Monte Carlo; the second, smoothness, the mean of (V_t − V_{t+1})², as by TD(0). Either is
    least where V_t is the expected reward given the prefix. So that prefixes learn from what they foretell and not the
    other way round, no gradient flows into r and V_{t+1}.

    Args:
        values: the head's reading after the prompt and after each token, response by response, (all places,). The
            prompt's own is not asked for anything: both responses share it.
        places: of each response: its tokens and one.
    """
    counts = torch.tensor(places, device=values.device)
    response = torch.repeat_interleave(torch.arange(len(counts), device=values.device), counts)
    ends = counts.cumsum(0) - 1
    starts = ends + 1 - counts
    at = torch.arange(len(values), device=values.device)
    prefix = (at != starts[response]) & (at != ends[response])
    rows, before = response[prefix], values[prefix]
    ahead = (before - values.detach()[ends[rows]]).square()
    steps = (before - values.detach()[at[prefix] + 1]).square()
    number = (counts - 2).clamp_min(1).to(values.dtype)
    nothing = torch.zeros(len(counts), dtype=values.dtype, device=values.device)
    return nothing.index_add(0, rows, ahead) / number, nothing.index_add(0, rows, steps) / number
