"""The linear head: ranks, folds its scaling back, chooses its penalty on other prompts."""

import dataclasses

import numpy as np
import pytest
import torch

from trainers.reading.pair_tokens import PairTokens
from trainers.rewards.head import HeadFit, fit_head, folds_by_prompt
from transforms.errors import ModelError, SchemaError


def pairs(count: int, prompts: int) -> PairTokens:
    """Pair i prefers sequence 2i to sequence 2i + 1."""
    names = tuple(f"pair-{i}" for i in range(count))
    chosen = np.arange(count) * 2
    return PairTokens(names, tuple(str(i % prompts) for i in range(count)), (), chosen, chosen + 1, None, None, "")


def features(count: int) -> torch.Tensor:
    """Noise off zero in unequal scales; direction 3 is higher for the chosen one of each pair."""
    made = torch.randn(2 * count, 8, generator=torch.Generator().manual_seed(1))
    made[0::2, 3] += 4
    return (made + 1) * torch.tensor([1.0, 50, 1, 0.1, 1, 1, 9, 1])


def fit(
    made: torch.Tensor, data: PairTokens, centring: float = 0.0, decays: tuple[float, ...] = (1e-3, 1e-1)
) -> HeadFit:
    folds = folds_by_prompt(data.prompts, 4, seed=0)
    return fit_head(made, data, folds=folds, weight_decays=decays, centring=centring)


def test_the_head_ranks_separable_pairs_right_also_those_it_never_saw() -> None:
    rewards = features(200) @ fit(features(80), pairs(80, 20)).weight
    # Direction 3 differs by 4 standard deviations of each side: Φ(4 / √2) = 99.8 %.
    assert (rewards[0::2] > rewards[1::2]).float().mean() > 0.98


def test_all_but_the_useful_direction_weigh_next_to_nothing() -> None:
    made = features(80)
    weight = fit(made, pairs(80, 20)).weight * made.std(dim=0)
    assert weight.abs().argmax() == 3


def test_the_same_data_gives_the_same_bits() -> None:
    assert torch.equal(fit(features(80), pairs(80, 20)).weight, fit(features(80), pairs(80, 20)).weight)


def test_the_weight_decay_is_the_one_with_the_lowest_held_out_loss() -> None:
    found = fit(features(80), pairs(80, 20))
    assert found.validation_losses[found.weight_decay] == min(found.validation_losses.values())
    assert set(found.validation_losses) == {1e-3, 1e-1}


def test_a_stronger_penalty_gives_a_smaller_head() -> None:
    norms = [fit(features(40), pairs(40, 10), decays=(decay,)).weight.norm() for decay in (1e-3, 1e-1, 10.0)]
    assert norms[0] > norms[1] > norms[2]


def test_a_held_out_head_does_not_depend_on_its_fold() -> None:
    made, data = features(40), pairs(40, 10)
    part = fit(made, data, decays=(1e-1,)).held_out[0]
    swapped = dataclasses.replace(data, chosen=data.chosen.copy(), rejected=data.rejected.copy())
    swapped.chosen[part.rows], swapped.rejected[part.rows] = data.rejected[part.rows], data.chosen[part.rows]
    assert torch.equal(fit(made, swapped, decays=(1e-1,)).held_out[0].weight, part.weight)


def test_centring_brings_the_sum_of_both_rewards_near_zero() -> None:
    made, data = features(80), pairs(80, 20)
    sums = [(made @ fit(made, data, centring).weight).reshape(-1, 2).sum(1) for centring in (0.0, 0.1)]
    assert sums[1].square().mean() < sums[0].square().mean() / 4


def test_scaling_the_features_scales_the_head_inversely() -> None:
    made, data = features(40), pairs(40, 10)
    torch.testing.assert_close(fit(made * 4, data).weight * 4, fit(made, data).weight, rtol=1e-3, atol=1e-5)


def test_all_pairs_of_a_prompt_are_in_one_fold() -> None:
    data = pairs(60, 12)
    folds = folds_by_prompt(data.prompts, 5, seed=0)
    prompts = [{data.prompts[row] for row in fold} for fold in folds]
    assert [len(part) for part in prompts] == [3, 3, 2, 2, 2]
    assert len(set().union(*prompts)) == 12
    assert sorted(np.concatenate(folds)) == list(range(60))


def test_another_seed_makes_other_folds() -> None:
    first, second = (folds_by_prompt(pairs(60, 60).prompts, 2, seed=seed)[0].tolist() for seed in (0, 1))
    assert first != second


def test_there_are_no_more_folds_than_prompts() -> None:
    assert [len(fold) for fold in folds_by_prompt(list("abca"), 5, seed=0)] in (
        [1, 1, 2],
        [1, 2, 1],
        [2, 1, 1],
    )


def test_one_prompt_alone_cannot_be_split() -> None:
    with pytest.raises(SchemaError, match="all pairs have the same prompt"):
        folds_by_prompt(["a", "a"], 5, seed=0)


def test_features_that_are_not_numbers_name_their_pairs() -> None:
    made = features(10)
    made[7, 0] = torch.nan  # the rejected side of pair 3
    with pytest.raises(ModelError, match=r"last hidden state is not finite for 1 pairs: pair-3\."):
        fit(made, pairs(10, 5))


def test_margins_of_unequal_pairs_enter_the_fit() -> None:
    made, data = features(40), pairs(40, 10)
    wide = dataclasses.replace(data, margin=np.full(40, 5, dtype=np.float32))
    gaps = [float(((made[0::2] - made[1::2]) @ fit(made, which).weight).mean()) for which in (data, wide)]
    assert gaps[1] > gaps[0] + 2
