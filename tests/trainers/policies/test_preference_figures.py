"""What a training logs of its examples: each figure by hand, and none of it is what the loss is made of."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_support import differ, lines, reference_of, small_policy, some_examples, trainer, weights

from trainers.batches.logprobs import log_probs
from trainers.batches.tensors import PADDED
from trainers.objectives import OBJECTIVES, BoundObjective, objective
from trainers.policies.preferences import SPREAD, Preferences
from trainers.reading.examples import Example
from trainers.reading.references import References
from trainers.steps.settings import Adapter
from trainers.steps.trained_model import trainable
from transforms.errors import ConfigError

PAIRS = some_examples(6)
CPU = torch.device("cpu")
WITHOUT_REFERENCE = sorted(name for name, found in OBJECTIVES.items() if "reference" not in found.needs)


def by_hand(model: Any, examples: list[Example]) -> dict[str, np.ndarray[Any, Any]]:
    """ℓ and |y| of each side."""
    with torch.no_grad():
        found = [log_probs(model, PADDED.batch([example])).responses.tolist() for example in examples]
    lengths = [[len(response) for response in example.responses] for example in examples]
    return {"log_prob": np.array(found), "tokens": np.array(lengths)}


def figures(model: Any, task: Preferences) -> dict[str, np.ndarray[Any, Any]]:
    read = task.read(lambda work: work(model), range(task.size), CPU)
    return {name: value.detach().numpy() for name, value in read.figures.items()}


def moved(references: References, by: float) -> References:
    """The reference gave every response that many nats more."""
    return references._replace(responses=[tuple(value + by for value in one) for one in references.responses])


def test_log_probs_and_margins_are_of_each_pair() -> None:
    model = small_policy()
    found = figures(model, Preferences(PAIRS, objective("simpo", beta=2.0), layout=PADDED, batch_tokens=10_000))
    hand = by_hand(model, PAIRS)
    mean = hand["log_prob"] / hand["tokens"]
    assert found["logps/chosen"] == pytest.approx(hand["log_prob"][:, 0])
    assert found["mean_logps/rejected"] == pytest.approx(mean[:, 1])
    assert found["mean_logps/margins"] == pytest.approx(mean[:, 0] - mean[:, 1])
    assert found["rewards/margins"] == pytest.approx(2 * (mean[:, 0] - mean[:, 1]))
    assert set(SPREAD) <= set(found)
    assert not {"kl", "displacement", "beta_log_ratio/chosen"} & set(found)


def test_raos_rewards_and_its_log_ratios_have_names_of_their_own() -> None:
    model = small_policy()
    pairs = [replace(example, rewards=(2.0, 0.5)) for example in PAIRS]
    references = moved(reference_of(model, pairs), -0.5)  # Δ is 0.5 everywhere
    rao = objective("rao", beta=0.1, log_z0=3.0)
    found = figures(model, Preferences(pairs, rao, layout=PADDED, batch_tokens=10_000, references=references))
    assert found["beta_log_ratio/chosen"] == pytest.approx(np.full(6, 0.05), abs=1e-6)
    assert found["beta_log_ratio/rejected"] == pytest.approx(np.full(6, 0.05), abs=1e-6)
    assert found["rewards/chosen"] == pytest.approx(np.full(6, 0.1 * (0.5 + 3)), abs=1e-6)


@pytest.mark.parametrize("name", WITHOUT_REFERENCE)
def test_the_distance_to_a_reference_is_logged_of_objectives_that_have_none_and_is_no_part_of_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = small_policy(), []
    references = moved(reference_of(model, PAIRS), 0.5)
    bound = objective(name)
    plain, with_kl = (
        Preferences(PAIRS, bound, layout=PADDED, batch_tokens=10_000, references=known) for known in (None, references)
    )
    losses = BoundObjective.losses

    def noted(self: BoundObjective, *sides: Any) -> torch.Tensor:
        seen.extend(side.reference for side in sides)
        return losses(self, *sides)

    monkeypatch.setattr(BoundObjective, "losses", noted)
    one, other = (task.read(lambda work: work(model), range(6), CPU) for task in (plain, with_kl))
    assert torch.equal(one.losses, other.losses)
    assert seen == [None] * 4
    lengths = by_hand(model, PAIRS)["tokens"]
    # The policy gives each response half a nat less: Δ̄ = −0.5/|y|.
    assert other.figures["kl"].numpy() == pytest.approx(0.5 / lengths.ravel(), abs=1e-6)
    assert other.figures["displacement"].numpy() == pytest.approx(-0.5 / lengths[:, 0], abs=1e-6)
    added = {"kl", "displacement"}
    assert other.figures.keys() - one.figures.keys() == added
    assert all(torch.equal(one.figures[name], other.figures[name]) for name in one.figures)


def test_a_reference_of_other_examples_is_refused_for_the_log_too() -> None:
    references = reference_of(small_policy(), PAIRS[:2])
    with pytest.raises(ConfigError, match=r"of 2 other examples than the 6 to train on"):
        Preferences(PAIRS, objective("simpo"), layout=PADDED, batch_tokens=1, references=references)


@pytest.mark.slow
@pytest.mark.parametrize("adapted", [False, True])
def test_weights_are_the_same_to_the_bit_with_and_without_a_distance_in_the_log(tmp_path: Path, adapted: bool) -> None:
    def load() -> Any:
        model = small_policy(torch.float32)
        return trainable(model, adapter=Adapter(rank=2), seed=0) if adapted else model

    pairs, test = some_examples(16), some_examples(5, seed=1)
    start = small_policy(torch.float32)
    known = {"references": reference_of(start, pairs), "test_references": reference_of(start, test)}
    runs = []
    for name, more in (("plain", {}), ("kl", known)):
        run = trainer(tmp_path / name, load(), pairs, "simpo", epochs=3, test=test, dtype="bfloat16", **more)
        run.train()
        runs.append(weights(run.model))
    assert differ(*runs) == 0
    assert differ(runs[0], weights(load())) > 0
    one, other = (lines(tmp_path / name) for name in ("plain", "kl"))
    assert all("kl" in line or "eval_kl" in line for line in other)
    assert [line.get("loss", line.get("eval_loss")) for line in one] == [
        line.get("loss", line.get("eval_loss")) for line in other
    ]


@pytest.mark.slow
def test_a_measurement_logs_the_quantiles_of_all_test_pairs(tmp_path: Path) -> None:
    test = some_examples(9, seed=1)
    model = small_policy()
    trainer(tmp_path, model, some_examples(16), test=test, batch_tokens=40).train()
    last = [line for line in lines(tmp_path) if "eval_loss" in line][-1]
    hand = by_hand(model, test)  # it is the trained model now
    mean = hand["log_prob"] / hand["tokens"]
    expected = {
        "logps/chosen": hand["log_prob"][:, 0], "logps/rejected": hand["log_prob"][:, 1],
        "mean_logps/chosen": mean[:, 0], "mean_logps/rejected": mean[:, 1],
        "mean_logps/margins": mean[:, 0] - mean[:, 1],
        "rewards/chosen": 2 * mean[:, 0], "rewards/rejected": 2 * mean[:, 1],
        "rewards/margins": 2 * (mean[:, 0] - mean[:, 1]),
    }  # fmt: skip
    assert set(expected) == set(SPREAD)
    for name, values in expected.items():
        found = [last[f"eval_{name}_{level}"] for level in ("p05", "p25", "p50", "p75", "p95")]
        assert found == pytest.approx(np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()), name
    steps = [line for line in lines(tmp_path) if "loss" in line]
    assert not any(name.endswith("_p50") for line in steps for name in line)
