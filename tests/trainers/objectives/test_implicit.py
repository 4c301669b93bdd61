"""The reward that each objective reads off a policy, by hand."""

import math

import pytest
from objectives_support import responses

from trainers.objectives import OBJECTIVES, objective
from transforms.errors import ConfigError

# ℓ = −6 over 3 tokens, ℓ_ref = −9: Δ = 3, ℓ̄ = −2, Δ̄ = 1.
ONE = responses(log_prob=[-6.0], tokens=[3.0], reference=[-9.0], reward=[0.5], value=[0.25], prompt_ratio=[2.0])

BY_HAND = {
    "dpo": ({"beta": 0.1}, 0.3),
    "ipo": ({"beta": 0.1}, 0.3),
    "ipo_mean": ({"beta": 0.1}, 0.1),
    "rpo": ({"beta": 0.1}, 0.3),
    "cal_dpo": ({"beta": 0.1}, 0.3),
    "sppo": ({"beta": 0.1}, 0.3),
    "sppo_soft": ({"beta": 0.1}, 0.3),
    "slic": ({}, -6.0),
    "simpo": ({"beta": 2.0}, -4.0),
    "simpo_ref": ({"beta": 2.0}, 2.0),
    "alphapo": ({"beta": 2.0, "alpha": 0.25}, 8 * (1 - math.exp(0.5))),
    "alphapo_ref": ({"beta": 2.0, "alpha": 0.25}, 8 * (1 - math.exp(-0.25))),
    "orpo": ({}, -2.0),
    "cpo": ({"beta": 0.1}, -0.6),
    "dro": ({"tau": 0.1}, 0.55),
    "rao": ({"beta": 0.1, "log_z0": 1.0}, 0.6),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_implicit_rewards(name: str) -> None:
    settings, expected = BY_HAND[name]
    assert float(objective(name, **settings).implicit_reward(ONE)[0]) == pytest.approx(expected)


def test_every_objective_was_worked_out() -> None:
    assert set(BY_HAND) == set(OBJECTIVES)


# β Δ = 3 β for all that read a reference; DRO calls its β τ.
REFERENCED = sorted(name for name, found in OBJECTIVES.items() if "reference" in found.needs)


@pytest.mark.parametrize("name", REFERENCED)
def test_beta_times_the_log_ratio_is_that_alone(name: str) -> None:
    assert float(objective(name, **BY_HAND[name][0]).beta_log_ratio(ONE)[0]) == pytest.approx(
        3 * BY_HAND[name][0].get("beta", BY_HAND[name][0].get("tau", math.nan))
    )


def test_raos_reward_holds_log_z_beside_it() -> None:
    rao = objective("rao", beta=0.1, log_z0=1.0)
    # log Z_i = 1 + 2, the prompt's own ratio.
    assert float((rao.implicit_reward(ONE) - rao.beta_log_ratio(ONE))[0]) == pytest.approx(0.1 * 3)


def test_a_log_ratio_needs_a_reference() -> None:
    with pytest.raises(ConfigError, match=r"reads reference of every response"):
        objective("dpo").beta_log_ratio(responses(log_prob=[-6.0], tokens=[3.0]))
