"""Two functions of a mean log-probability that overflow or cancel when written as in the papers."""

import math
from typing import Final

import torch

# AlphaPO's exp(−α ℓ̄) is exact up to e^30 = 1e13 and goes on along its tangent: fp32 ends at e^88, and a square
# (as in the norm of a gradient) at e^44. At the published α = 0.25 this is 120 nats a token away.
STEEPEST: Final = 30.0

# Below, α ℓ̄ would be a denormal fp32 number before expm1 sees it; two terms of the series are exact there.
TINY_ALPHA: Final = 1e-8


def alpha_reward(log_prob: torch.Tensor, alpha: float) -> torch.Tensor:
    """(1 − exp(−α ℓ̄))/α, AlphaPO's reward without β (arXiv 2501.03884, eq. 3); ℓ̄ where α = 0.

    Increasing and concave in ℓ̄ for α > 0. Value and gradient are finite for |ℓ̄| ≤ 1e5 and |α| ≤ 10 in fp32.

    Args:
        log_prob: ℓ̄ or Δ̄, any shape; nats a token.
        alpha: any real number.
    """
    if abs(alpha) < TINY_ALPHA:
        return log_prob - alpha / 2 * log_prob.square()
    exponent = -alpha * log_prob
    # Not exponent − clamped: its gradient of e^30 − e^30 below the bound would swallow that of expm1.
    beyond = torch.relu(exponent - STEEPEST)
    return -(torch.expm1(exponent.clamp(max=STEEPEST)) + math.exp(STEEPEST) * beyond) / alpha


def log1mexp(log_prob: torch.Tensor) -> torch.Tensor:
    """log(1 − p) from log p < 0, any shape; exact at both ends (Mächler 2012, eq. 7).

    Each branch of `where` is kept away from the other's half: its gradient there would be inf · 0.
    """
    half = -math.log(2)
    small = torch.log1p(-torch.exp(log_prob.clamp(max=half)))
    large = torch.log(-torch.expm1(log_prob.clamp(min=half)))
    return torch.where(log_prob < half, small, large)


def log_odds(log_prob: torch.Tensor) -> torch.Tensor:
    """log(p/(1 − p)) from log p ≤ 0, any shape.

    A p that the dtype cannot tell from 1 counts as 1 − ε (ε its machine epsilon), with a gradient of zero: its
    log odds are 15.9 in fp32, not infinite.
    """
    below_one = log_prob.clamp(max=-torch.finfo(log_prob.dtype).eps)
    return below_one - log1mexp(below_one)
