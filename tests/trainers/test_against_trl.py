"""TRL's own loss code on the same ids and weights gives the same losses and gradients.

Called unbound, on a stand-in for the trainer: TRL's trainers take text only, and their collators, heads and losses
are what is compared here.
"""

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from objectives_support import losses, responses
from rewards_support import small_classifier
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from trainers.batches import PACKED, packed
from trainers.comparisons import Comparisons
from trainers.examples import Example
from trainers.logprobs import log_probs
from trainers.objectives import Responses
from trainers.settings import BradleyTerry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # TRL's experimental parts warn on import
]

VOCAB = 61
SMALL = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


def models(kind: str) -> tuple[Any, Any]:
    """A policy and a reference of other weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "llama":
            return tuple(LlamaForCausalLM(LlamaConfig(**SMALL)).eval() for _ in range(2))
        config = Gemma2Config(**SMALL | {"head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0})
        return tuple(Gemma2ForCausalLM(config).eval() for _ in range(2))


def pairs() -> list[Example]:
    draw = np.random.default_rng(1)
    shapes = [(7, 5, 9), (3, 1, 4), (12, 6, 6), (2, 11, 3)]
    return [
        Example(str(i), *(lambda p, *r: (p, r))(*(draw.integers(VOCAB, size=n, dtype=np.int32) for n in shape)))
        for i, shape in enumerate(shapes)
    ]


def ours(policy: Any, reference: Any) -> tuple[Responses, Responses]:
    batch = packed(pairs())
    found = log_probs(policy, batch).responses
    with torch.no_grad():
        frozen = log_probs(reference, batch).responses
    tokens = torch.tensor(batch.lengths)
    sides = [Responses(found[side::2], tokens[side::2], frozen[side::2]) for side in (0, 1)]
    return sides[0], sides[1]


def trl_dpo(policy: Any, reference: Any, loss_type: str, beta: float) -> torch.Tensor:
    """Mean loss by TRL's collator, head and loss."""
    from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer
    from trl.trainer.utils import add_fused_lm_head

    for model in (policy, reference):
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    rows = [
        {
            "prompt_ids": pair.prompt.tolist(),
            "chosen_ids": pair.responses[0].tolist(),
            "rejected_ids": pair.responses[1].tolist(),
        }
        for pair in pairs()
    ]
    same = lambda value: value  # noqa: E731
    trainer = SimpleNamespace(
        model=policy,
        ref_model=reference,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        accelerator=SimpleNamespace(device=torch.device("cpu"), gather=same, gather_for_metrics=same),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=False,
        f_divergence_type="reverse_kl",
        loss_types=[loss_type],
        loss_weights=[1.0],
        label_smoothing=0.0,
        use_weighting=False,
        beta=beta,
        _metrics={mode: defaultdict(list) for mode in ("train", "eval")},
        _total_train_tokens=0,
        _tp_size=1,
    )
    return DPOTrainer._compute_loss(trainer, policy, DataCollatorForPreference(pad_token_id=0)(rows), False)


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("kind", ["llama", "gemma"])
@pytest.mark.parametrize(
    ("loss_type", "name", "settings"),
    [
        ("sigmoid", "dpo", {}),
        ("ipo", "ipo_mean", {}),
        ("sppo_hard", "sppo", {}),
        ("sigmoid_norm", "simpo_ref", {"gamma_beta_ratio": 0.0}),
    ],
)
def test_losses_and_gradients_are_those_of_trls_dpo(
    kind: str, loss_type: str, name: str, settings: dict[str, float]
) -> None:
    policy, reference = models(kind)
    found = losses(name, *ours(policy, reference), beta=0.1, **settings).mean()
    mine = gradients(policy, found)
    expected = trl_dpo(policy, reference, loss_type, beta=0.1)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    for key, gradient in gradients(policy, expected).items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(mine[key], gradient, atol=1e-4 * scale, rtol=0, msg=key)


LOG_PROBS = torch.tensor([-0.8, -2.5, -0.05, -11.0]), torch.tensor([-1.2, -1.9, -0.4, -3.0])


def cpo(loss_type: str, alpha: float = 0.0) -> torch.Tensor:
    from trl.experimental.cpo import CPOTrainer

    trainer = SimpleNamespace(
        alpha=alpha,
        beta=2.0,
        simpo_gamma=0.6,
        loss_type=loss_type,
        label_smoothing=0.0,
        accelerator=SimpleNamespace(device=torch.device("cpu")),
    )
    return CPOTrainer.cpo_loss(trainer, *LOG_PROBS)[0]


def test_simpo_alphapo_and_cpo_are_those_of_trls_cpo() -> None:
    # Its SimPO is given means already; with one token each ℓ̄ = ℓ.
    sides = [responses(torch.float32, log_prob=side) for side in LOG_PROBS]
    same = {"beta": 2.0, "gamma_beta_ratio": 0.3}
    torch.testing.assert_close(losses("simpo", *sides, **same), cpo("simpo"), rtol=1e-4, atol=0)
    for alpha in (-0.5, 0.1, 0.25):
        found = losses("alphapo", *sides, alpha=alpha, **same)
        torch.testing.assert_close(found, cpo("simpo", alpha), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses("cpo", *sides, beta=2.0, weight=0.0), cpo("sigmoid"), rtol=1e-4, atol=0)


def test_the_odds_ratio_of_orpo_is_that_of_trls_orpo() -> None:
    from trl.experimental.orpo import ORPOTrainer

    trainer = SimpleNamespace(beta=0.3, accelerator=SimpleNamespace(device=torch.device("cpu")))
    # TRL's is λ log σ, subtracted from the likelihood's part.
    expected = -LOG_PROBS[0] - ORPOTrainer.odds_ratio_loss(trainer, *LOG_PROBS)[0]
    sides = [responses(torch.float32, log_prob=side) for side in LOG_PROBS]
    torch.testing.assert_close(losses("orpo", *sides, weight=0.3), expected, rtol=1e-4, atol=0)


def test_losses_and_gradients_of_reward_models_are_those_of_trls_reward_trainer() -> None:
    from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer

    model = small_classifier(torch.float32)
    margins = [0.3, -0.2, 1.0, 0.0]
    rewarded = [replace(pair, rewards=(margin, 0.0)) for pair, margin in zip(pairs(), margins, strict=True)]
    terms = BradleyTerry(margin="reward", centring=0.05)
    task = Comparisons(rewarded, terms, layout=PACKED, batch_tokens=10_000)
    read = task.read(lambda work: work(model), range(len(margins)), torch.device("cpu"))
    mine = gradients(model, read.losses.mean())
    rows = [
        {
            "chosen_ids": [*pair.prompt.tolist(), *pair.responses[0].tolist()],
            "rejected_ids": [*pair.prompt.tolist(), *pair.responses[1].tolist()],
            "margin": margin,
        }
        for pair, margin in zip(pairs(), margins, strict=True)
    ]
    same = lambda value: value  # noqa: E731
    metrics = {mode: defaultdict(list) for mode in ("train", "eval")}
    trainer = SimpleNamespace(
        model=model,
        args=SimpleNamespace(center_rewards_coefficient=0.05),
        accelerator=SimpleNamespace(gather=same, gather_for_metrics=same),
        _metrics=metrics,
        _total_train_tokens=0,
        _tp_size=1,
    )
    # Padding that no response ends in: transformers reads a reward at the last token that is none.
    model.config.pad_token_id = VOCAB - 1
    inputs = DataCollatorForPreference(pad_token_id=VOCAB - 1)(rows)
    expected = RewardTrainer.compute_loss(trainer, model, inputs)
    assert read.losses.mean().item() == pytest.approx(expected.item(), rel=1e-4)
    for key, gradient in gradients(model, expected).items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(mine[key], gradient, atol=1e-4 * scale, rtol=0, msg=key)
    for name, values in read.figures.items():
        assert values.mean().item() == pytest.approx(metrics["train"][name][0], rel=1e-4)
