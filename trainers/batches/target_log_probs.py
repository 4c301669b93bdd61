"""log softmax(logits)[target] of logits in any dtype, without further tensors of their size.

cross_entropy over bf16 logits makes three fp32 ones: a copy, its log-softmax and the gradient. On a CPU those go
through memory, and cost half as much as the matrix products around them (DECISIONS.md).
"""

from typing import Any, Final, NamedTuple

import torch
from torch.autograd.function import once_differentiable

# Logits at once on a CPU: 1 MiB in fp32, which stays in a core's cache. A GPU takes all of them.
IN_CACHE: Final = 1 << 18


class LogNorm(NamedTuple):
    """log Σ exp(logits) of each position, (positions, 1) each, as a sum of two: the second may be small beside it."""

    highest: torch.Tensor  # logit
    rest: torch.Tensor  # log Σ exp(logits − highest)


def log_norm(logits: torch.Tensor) -> LogNorm:
    """What the logits of each position, (positions, vocabulary), are normalised by; fp32 or wider, without gradient."""
    with torch.no_grad():
        highest = logits.amax(-1, keepdim=True).to(torch.promote_types(logits.dtype, torch.float32))
        rows = _rows(logits)
        parts = zip(logits.split(rows), highest.split(rows), strict=True)
        return LogNorm(highest, torch.cat([torch.sub(*part).exp_().sum(-1, keepdim=True) for part in parts]).log_())


def target_log_probs(logits: torch.Tensor, targets: torch.Tensor, norm: LogNorm) -> torch.Tensor:
    """Log-probs of `targets`, (positions,), in the dtype of `norm`; differentiable once.

    Args:
        logits: (positions, vocabulary), of any floating dtype; −∞ is a token that the model does not have.
        targets: (positions,), int64.
        norm: `log_norm` of these logits.
    """
    found: torch.Tensor = _TargetLogProbs.apply(logits, targets, *norm)
    return found


class _TargetLogProbs(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, targets: torch.Tensor, highest: torch.Tensor, rest: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(logits, targets, highest + rest)
        return (logits.gather(-1, targets.unsqueeze(-1)) - highest - rest).squeeze(-1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """∂ log p(target) / ∂ logit_v = [v = target] − p(v)."""
        logits, targets, norm = ctx.saved_tensors
        found = torch.empty_like(logits)
        columns = (logits, targets.unsqueeze(-1), norm, gradient.unsqueeze(-1), found)
        for some, some_targets, norms, by, out in zip(*(one.split(_rows(logits)) for one in columns), strict=True):
            out.copy_(torch.sub(some, norms).exp_().mul_(-by).scatter_add_(-1, some_targets, by))
        return found, None, None, None


def _rows(logits: torch.Tensor) -> int:
    """Positions at once."""
    positions, vocabulary = (int(size) for size in logits.shape)
    return max(1, IN_CACHE // vocabulary if logits.device.type == "cpu" else positions)
