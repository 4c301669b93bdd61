"""Log-probs of targets from logits: log_softmax's, their gradient too, whatever is held at once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.batches import target_log_probs as module
from trainers.batches.target_log_probs import log_norm, target_log_probs


def read(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return target_log_probs(logits, targets, log_norm(logits))


def test_a_uniform_position_gives_each_token_one_part_of_the_vocabulary() -> None:
    # log 1/4 = −1.386294; and of logits (0, log 3) the second token has 3/4: log 0.75 = −0.287682.
    assert read(torch.zeros(1, 4), torch.tensor([2])).tolist() == pytest.approx([-1.386294])
    assert read(torch.tensor([[0.0, 1.0986123]]), torch.tensor([1])).tolist() == pytest.approx([-0.287682])


def test_a_token_that_the_model_does_not_have_takes_no_share() -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf]], requires_grad=True)
    found = read(logits, torch.tensor([0]))
    found.sum().backward()
    assert found.tolist() == pytest.approx([-0.693147])
    assert logits.grad is not None
    assert logits.grad.tolist() == [pytest.approx([0.5, -0.5, 0.0])]


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(2, 40), st.sampled_from([1, 64, 1 << 18]))
def test_log_probs_and_gradients_are_log_softmaxs(seed: int, positions: int, vocabulary: int, at_once: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = (torch.randn(positions, vocabulary, generator=draw) * 20).requires_grad_()
    targets = torch.randint(vocabulary, (positions,), generator=draw)
    weights = torch.randn(positions, generator=draw)
    expected = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    (gradient,) = torch.autograd.grad((expected * weights).sum(), logits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "IN_CACHE", at_once)
        found = read(logits, targets)
        (mine,) = torch.autograd.grad((found * weights).sum(), logits)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(mine, gradient, atol=1e-5, rtol=1e-5)  # logits of 60 are known to 4e-6


def test_the_gradient_is_the_numerical_one() -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    norm = log_norm(logits)
    # The norm is a constant to autograd; what flows through it is part of the written-out gradient.
    (mine,) = torch.autograd.grad(target_log_probs(logits, torch.tensor([4, 0, 2]), norm).sum(), logits)
    step = 1e-6
    for place in [(0, 4), (0, 1), (2, 2)]:
        moved = logits.detach().clone()
        moved[place] += step
        difference = read(moved, torch.tensor([4, 0, 2])).sum() - read(logits, torch.tensor([4, 0, 2])).sum()
        assert mine[place].item() == pytest.approx(difference.item() / step, abs=1e-5)


def test_bf16_logits_are_read_in_fp32_and_get_a_bf16_gradient() -> None:
    logits = torch.randn(4, 300, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    targets = torch.arange(4)
    found = read(logits, targets)
    exact = logits.detach().float().log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, atol=1e-6, rtol=1e-6)
    found.sum().backward()
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16


def test_a_likely_token_among_large_logits_keeps_its_digits() -> None:
    # Beside 2^15 a difference of 1e-4 is lost in fp32: log Σ exp is kept as a sum of two.
    logits = torch.tensor([[32768.0, 32759.0]])
    assert read(logits, torch.tensor([0])).item() == pytest.approx(-1.2339e-4, rel=1e-3)


def test_a_second_derivative_is_refused() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    (first,) = torch.autograd.grad(read(logits, torch.tensor([0, 1])).square().sum(), logits, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
