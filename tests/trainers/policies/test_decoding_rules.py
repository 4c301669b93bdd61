"""Rules of decoding by hand and at their ends, and the draw from what they give."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, kl_divergence

from trainers.policies.decoding import Rule, _draw, divergence, kl_threshold, length_control, mix
from transforms.errors import ConfigError


def logs(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


@pytest.mark.parametrize(
    ("a", "weights"),
    [
        (0.5, [0.1**0.5, 0.3, 0.1**0.5]),  # √(p r)
        (2.0, [0.25 / 0.2, 0.09 / 0.3, 0.04 / 0.5]),  # p² / r
        (0.0, [0.2, 0.3, 0.5]),
        (1.0, [0.5, 0.3, 0.2]),
    ],
)
def test_mixing_is_the_policy_to_the_a_times_the_reference_to_the_rest(a: float, weights: list[float]) -> None:
    found = mix(logs(0.5, 0.3, 0.2), logs(0.2, 0.3, 0.5), a).exp()[0].tolist()
    assert found == pytest.approx([weight / sum(weights) for weight in weights], abs=1e-12)


def test_at_0_and_1_mixing_gives_the_very_numbers_of_reference_and_policy() -> None:
    one, other = logs(0.5, 0.5, 0.0), logs(0.0, 0.3, 0.7)
    assert mix(one, other, 0) is other
    assert mix(one, other, 1) is one


@pytest.mark.parametrize("a", [0.5, 1.5])
def test_a_token_that_the_reference_never_gives_is_never_given(a: float) -> None:
    found = mix(logs(0.5, 0.4, 0.1), logs(0.0, 0.5, 0.5), a).exp()[0]
    assert found[0] == 0
    assert found.sum() == pytest.approx(1)


def test_length_control_follows_the_policy_for_t_tokens() -> None:
    one, other = logs(0.9, 0.1), logs(0.2, 0.8)
    followed = [length_control(one, other, 2, position) is one for position in range(4)]
    assert followed == [True, True, False, False]
    assert length_control(one, other, 0, 0) is other
    assert length_control(one, other, math.inf, 10**6) is one


def test_the_threshold_follows_the_policy_row_by_row_where_it_differs_more_than_b() -> None:
    one = torch.cat([logs(0.9, 0.1), logs(0.5, 0.5)])
    other = torch.cat([logs(0.5, 0.5), logs(0.5, 0.5)])
    # KL of the first row: 0.9 log 1.8 + 0.1 log 0.2 = 0.368.
    assert divergence(one, other).tolist() == pytest.approx([0.9 * math.log(1.8) + 0.1 * math.log(0.2), 0])
    torch.testing.assert_close(kl_threshold(one, other, 0.3), one)
    torch.testing.assert_close(kl_threshold(one, other, 0.4), other)


def test_a_threshold_of_0_is_the_policy_and_of_infinity_the_reference() -> None:
    one, other = torch.randn(5, 9).log_softmax(-1), torch.randn(5, 9).log_softmax(-1)
    assert torch.equal(kl_threshold(one, other, 0), one)
    assert torch.equal(kl_threshold(one, other, math.inf), other)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_the_divergence_is_that_of_torch_distributions(seed: int) -> None:
    one, other = (3 * torch.randn((2, 4, 11), generator=torch.Generator().manual_seed(seed))).log_softmax(-1)
    expected = kl_divergence(Categorical(logits=one), Categorical(logits=other))
    torch.testing.assert_close(divergence(one, other), expected, atol=1e-5, rtol=1e-5)


def test_the_divergence_skips_what_the_first_never_gives_and_is_infinite_where_the_second_never_does() -> None:
    assert divergence(logs(0.5, 0.5, 0.0), logs(0.25, 0.25, 0.5)).item() == pytest.approx(math.log(2))
    assert divergence(logs(0.5, 0.5), logs(1.0, 0.0)).item() == math.inf


@pytest.mark.parametrize(
    ("kind", "value"), [("mix", -0.1), ("mix", math.inf), ("length", 1.5), ("kl", -1), ("kl", math.nan)]
)
def test_a_value_that_a_rule_has_no_meaning_for_is_refused(kind: Any, value: float) -> None:
    with pytest.raises(ConfigError, match=f"decoding rule {kind} has the value {value}"):
        Rule(kind, value)


# ---- the draw


def test_a_token_is_drawn_where_the_cumulative_probability_passes_the_number() -> None:
    rows = logs(0.5, 0.0, 0.25, 0.25).expand(5, -1)
    assert _draw(rows, torch.tensor([0.0, 0.49, 0.5, 0.74, 0.75])).tolist() == [0, 0, 2, 2, 3]


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 99))
@settings(max_examples=50)
def test_a_token_without_probability_is_never_drawn(uniform: float, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn((1, 20), generator=draw)
    logits[torch.rand((1, 20), generator=draw) < 0.5] = -torch.inf
    logits[0, 3] = 0.0
    token = _draw(logits.log_softmax(-1), torch.tensor([uniform], dtype=torch.float64))
    assert logits[0, token] > -torch.inf
