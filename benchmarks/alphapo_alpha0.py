"""From which α on does AlphaPO raise the chosen response's probability, and is that what its gradient does?

    python benchmarks/alphapo_alpha0.py

AlphaPO's corollary 3.3 (arXiv 2501.03884): under gradient flow on one pair π_w rises for α ≥ α₀ where the rejected
response is the likelier one, for α ≤ α₀ where the chosen one is. With π = exp ℓ̄, a token's geometric mean, the loss's
gradient is −σ(−m) β (π_w^(−α−1) ∇π_w − π_l^(−α−1) ∇π_l), so that

    π_w rises  ⇔  (α + 1)(ℓ̄_l − ℓ̄_w) > log c,    c = ⟨∇π_w, ∇π_l⟩ / ‖∇π_w‖²,    α₀ = log c / (ℓ̄_l − ℓ̄_w) − 1,

and it rises for every α where c ≤ 0. That is what the paper's eq. 26 implies; its eq. 10 prints another fraction. Here
random bigram policies and random pairs are trained by one step of the `alphapo` that this project trains with, just on
both sides of α₀, and autograd says which way ℓ̄_w goes; and the same with fractions that are easily written in its
place, of which none holds everywhere.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from trainers.objectives import BoundObjective, Responses, objective
from trainers.objectives.numerics import STEEPEST

BESIDE: Final = 0.01  # how far from α₀ the gradient is looked at
FARTHEST: Final = 4.0  # |α₀| of a case that is looked at, sixteen times the published α
MOST: Final = 5.0  # |α| at which a gradient is; a case whose exp(−α ℓ̄) passes e³⁰ there is left out (numerics.STEEPEST)


class Case(NamedTuple):
    """A policy and a pair of which the inner product of the gradients is positive, so that there is an α₀."""

    logits: torch.Tensor  # (tokens, tokens) of the next token by the last one; what is trained
    chosen: torch.Tensor  # (|y_w| + 1,) token ids, the first one the prompt
    rejected: torch.Tensor
    gap: float  # ℓ̄_l − ℓ̄_w
    inner: float  # ⟨∇π_w, ∇π_l⟩ > 0
    chosen_norm: float  # ‖∇π_w‖
    rejected_norm: float


# What stands in the logarithm of α₀.
FRACTIONS: Final[dict[str, Callable[[Case], float]]] = {
    "⟨∇π_w, ∇π_l⟩ / ‖∇π_w‖²": lambda case: case.inner / case.chosen_norm**2,
    "⟨∇π_w, ∇π_l⟩": lambda case: case.inner,
    "⟨∇π_w, ∇π_l⟩ / ‖∇π_w‖": lambda case: case.inner / case.chosen_norm,
    "⟨∇π_w, ∇π_l⟩ / ‖∇π_l‖²": lambda case: case.inner / case.rejected_norm**2,
    "⟨∇π_w, ∇π_l⟩ / (‖∇π_w‖ ‖∇π_l‖)": lambda case: case.inner / (case.chosen_norm * case.rejected_norm),
    "‖∇π_w‖² / ⟨∇π_w, ∇π_l⟩": lambda case: case.chosen_norm**2 / case.inner,
}
RIGHT: Final = next(iter(FRACTIONS))


def mean_log_prob(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """ℓ̄ of a response under a bigram policy, a number; nats a token."""
    found: torch.Tensor = logits.log_softmax(-1)[tokens[:-1], tokens[1:]].mean()
    return found


def cases(count: int, seed: int) -> Iterator[Case]:
    """Those of `count` random draws of which α₀ exists and is at most FARTHEST, either way, and can be looked at."""
    draw = torch.Generator().manual_seed(seed)
    for _ in range(count):
        tokens = int(torch.randint(3, 9, (), generator=draw))
        logits = torch.randn(tokens, tokens, generator=draw, dtype=torch.float64).requires_grad_()
        lengths = torch.randint(1, 13, (2,), generator=draw).tolist()
        start = torch.randint(tokens, (1,), generator=draw)
        sides = [torch.cat([start, torch.randint(tokens, (length,), generator=draw)]) for length in lengths]
        means = [mean_log_prob(logits, side) for side in sides]
        chosen, rejected = (torch.autograd.grad(mean.exp(), logits)[0] for mean in means)
        inner = float((chosen * rejected).sum())
        norms = float(chosen.norm()), float(rejected.norm())
        if MOST * -float(min(mean.detach() for mean in means)) > STEEPEST:
            continue
        case = Case(logits, sides[0], sides[1], float(means[1].detach() - means[0].detach()), inner, *norms)
        if inner > 0 and case.gap and abs(alpha_zero(case, RIGHT)) <= FARTHEST:
            yield case


def alpha_zero(case: Case, fraction: str) -> float:
    """α₀ with one of FRACTIONS in its logarithm."""
    return math.log(FRACTIONS[fraction](case)) / case.gap - 1


def rises(case: Case, alpha: float, *, beta: float = 1e-3, gamma_beta_ratio: float = 0.1) -> bool:
    """Whether a step of gradient descent on `alphapo` raises ℓ̄_w, and with it π_w.

    β and γ scale the gradient and do not turn it; with a small β its σ(−m) is no 0 in floating point.
    """
    bound = objective("alphapo", alpha=alpha, beta=beta, gamma_beta_ratio=gamma_beta_ratio)
    change = -_gradient(bound, case)
    [towards] = torch.autograd.grad(mean_log_prob(case.logits, case.chosen), case.logits)
    return float((change * towards).sum()) > 0


def holds(case: Case, fraction: str) -> tuple[bool, bool]:
    """Whether π_w rises just beyond α₀, as the corollary says, and whether it falls just before it besides."""
    at, upward = alpha_zero(case, fraction), BESIDE if case.gap > 0 else -BESIDE
    if abs(at) > MOST:
        # Exponentials say nothing there. The sign of the gradient changes once, at the right α₀, which is not there.
        rises_beyond = (at > 0) == (upward > 0)
        return rises_beyond, False
    rises_beyond = rises(case, at + upward)
    return rises_beyond, rises_beyond and not rises(case, at - upward)


def _gradient(bound: BoundObjective, case: Case) -> torch.Tensor:
    def side(tokens: torch.Tensor) -> Responses:
        length = torch.tensor([len(tokens) - 1.0], dtype=torch.float64)
        return Responses((mean_log_prob(case.logits, tokens) * length[0])[None], length)

    [found] = torch.autograd.grad(bound.losses(side(case.chosen), side(case.rejected)).sum(), case.logits)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a thread each for matrices of eight by eight is slower
    found = list(cases(arguments.draws, arguments.seed))
    print(f"{len(found):,} of {arguments.draws:,} random pairs have an α₀ within ±{FARTHEST:g}")
    print(f"{'in the logarithm of α₀':<36}{'π_w rises beyond α₀':>22}{'and falls before it':>22}")
    for fraction in FRACTIONS:
        claims, turns = zip(*(holds(case, fraction) for case in found), strict=True)
        print(f"{fraction:<36}{sum(claims):>22,}{sum(turns):>22,}")


if __name__ == "__main__":
    main()
