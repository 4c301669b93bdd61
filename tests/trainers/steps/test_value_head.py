"""V(x): what it reads and what its error moves."""

import torch

from trainers.steps.value_head import ValueHead


def test_the_error_of_a_value_moves_the_head_and_not_the_state_that_it_read() -> None:
    head = ValueHead(3, mean_reward=0.5)
    with torch.no_grad():
        head.read.weight.fill_(1.0)
    states = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], requires_grad=True)
    values = head(states)
    assert values.tolist() == [3.5, 12.5]
    # The policy's share of the loss has a gradient, as the log-probs of DRO have; the value's error adds nothing to it.
    ((values - 1).square().sum() + states.sum()).backward()
    assert states.grad is not None and head.read.weight.grad is not None and head.read.bias.grad is not None
    assert states.grad.tolist() == [[1.0] * 3] * 2
    # 2 (V − 1) is 5 and 23.
    assert head.read.weight.grad.tolist() == [[23 * 3.0, 5 + 23 * 4.0, 5 * 2 + 23 * 5.0]]
    assert head.read.bias.grad.tolist() == [28.0]
