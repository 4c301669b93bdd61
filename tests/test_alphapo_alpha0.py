"""AlphaPO's corollary 3.3 against the objective that this project trains with: where α₀ is, and where it is not."""

import math
from collections.abc import Iterator

import pytest
import torch

from benchmarks.alphapo_alpha0 import BESIDE, FRACTIONS, RIGHT, Case, alpha_zero, cases, holds, mean_log_prob, rises


@pytest.fixture(scope="module")
def found() -> Iterator[list[Case]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield list(cases(240, seed=3))
    torch.set_num_threads(threads)


def test_random_cases_have_both_signs_of_the_margin_and_of_alpha_zero(found: list[Case]) -> None:
    assert len(found) > 60
    assert {case.gap > 0 for case in found} == {alpha_zero(case, RIGHT) > 0 for case in found} == {True, False}


def test_the_chosen_probability_turns_at_alpha_zero_with_the_fraction_of_eq_26_in_every_case(
    found: list[Case],
) -> None:
    assert RIGHT == "⟨∇π_w, ∇π_l⟩ / ‖∇π_w‖²"
    assert [case for case in found if holds(case, RIGHT) != (True, True)] == []


def test_with_the_rejected_response_s_norm_or_both_the_claim_is_wrong_in_about_every_other_case(
    found: list[Case],
) -> None:
    for fraction in ("⟨∇π_w, ∇π_l⟩ / ‖∇π_l‖²", "⟨∇π_w, ∇π_l⟩ / (‖∇π_w‖ ‖∇π_l‖)"):
        claims = [holds(case, fraction)[0] for case in found]
        assert 0.25 < sum(claims) / len(claims) < 0.75


def test_no_other_fraction_holds_everywhere(found: list[Case]) -> None:
    for fraction in FRACTIONS:
        if fraction != RIGHT:
            assert not all(turns for _, turns in (holds(case, fraction) for case in found)), fraction


def test_two_responses_that_only_take_from_each_other_let_the_chosen_one_rise_for_every_alpha() -> None:
    # Two tokens after the prompt, token 0: π_w = σ(−0.7), π_l = σ(0.7), and their gradients are opposite.
    logits = torch.tensor([[0.0, 0.7], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    opposite = Case(logits, torch.tensor([0, 0]), torch.tensor([0, 1]), 0.7, -1.0, 1.0, 1.0)
    assert all(rises(opposite, alpha) for alpha in (-4.0, -1.0, 0.0, 1.0, 4.0))


def test_alpha_zero_of_a_case_worked_by_hand() -> None:
    # y_w is token 1, of probability p = σ(0.7); y_l goes on with token 0, of probability ½, so π_l = √(p/2). Of ∇π_l
    # only the part that y_l shares with y_w meets ∇π_w: π_l/(2p) ∇π_w. So c = π_l/(2p) and ℓ̄_l − ℓ̄_w = ln(π_l/p).
    logits = torch.tensor([[0.0, 0.7], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    chosen, rejected = torch.tensor([0, 1]), torch.tensor([0, 1, 0])
    p = 1 / (1 + math.exp(-0.7))
    mean = math.sqrt(p / 2)
    towards, other = (torch.autograd.grad(mean_log_prob(logits, side).exp(), logits)[0] for side in (chosen, rejected))
    norms = float(towards.norm()), float(other.norm())
    case = Case(logits, chosen, rejected, math.log(mean / p), float((towards * other).sum()), *norms)
    expected = math.log(mean / (2 * p)) / math.log(mean / p) - 1
    assert alpha_zero(case, RIGHT) == pytest.approx(expected)
    # ℓ̄_l < ℓ̄_w, so π_w rises below α₀ and falls above it.
    assert rises(case, expected - BESIDE)
    assert not rises(case, expected + BESIDE)
