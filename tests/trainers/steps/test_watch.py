"""What stops a run, what does not, and what is said."""

import pytest
import torch

from trainers.steps.watch import check_gradient, check_loss, check_trend
from transforms.errors import ModelError

NAMES = [f"pair-{number}" for number in range(8)]


def test_a_loss_that_is_not_finite_names_step_and_pairs() -> None:
    check_loss(torch.tensor([0.1, 1e30]), 3, NAMES)
    with pytest.raises(ModelError, match=r"step 3: the loss is not finite for 2 pairs: pair-1, pair-2\."):
        check_loss(torch.tensor([0.1, torch.nan, torch.inf]), 3, NAMES)


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_is_refused_at_any_step(norm: float) -> None:
    with pytest.raises(ModelError, match=r"step 1: the gradient's norm is (nan|inf), in a step of 8 examples: pair-0"):
        check_gradient(norm, [], 1, NAMES)


def test_a_thousand_times_the_usual_gradient_is_refused_and_a_spike_that_runs_survive_is_not() -> None:
    check_gradient(900.0, [1.0] * 10, 11, NAMES)
    check_gradient(1e9, [1.0] * 9, 10, NAMES)  # too few steps to know what is usual
    with pytest.raises(ModelError, match=r"step 11: the gradient's norm is 2e\+03, 2,000 times its median of 1 so far"):
        check_gradient(2000.0, [1.0] * 10, 11, NAMES)


def test_a_loss_ten_times_its_start_for_ten_steps_stops_and_a_single_one_does_not() -> None:
    start = [0.7] * 10
    check_trend([*start, *[0.7] * 5, 100.0, *[0.6] * 4], 21, NAMES)
    check_trend([*start, *[100.0] * 9], 20, NAMES)
    check_trend([*start, *[6.0] * 10], 21, NAMES)
    with pytest.raises(ModelError, match=r"step 21: the loss has run away, its median .* is 8 and was 0\.7"):
        check_trend([*start, *[8.0] * 10], 21, NAMES)


def test_a_loss_that_begins_at_nothing_has_no_trend() -> None:
    check_trend([*[0.0] * 10, *[1.0] * 10], 21, NAMES)
