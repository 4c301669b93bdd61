"""TRL's own code on the same weights and token ids gives the same losses and gradients, pair by pair.

Its trainers take text, so their collators, heads and losses are called on ids, on objects that were never prepared.
Ours is what a training runs: batches in both layouts, references, log-probs, objective.

Names that differ: TRL's `ipo` is `ipo_mean` (our `ipo` sums). Its CPO's `hinge` is β · `slic` with δ = 1/β and λ = 0;
its DPO's `hinge` has a reference, which SLiC-HF has not. Its CPO's likelihood term is a mean over the tokens of a batch
and ours is a pair's, so they are compared with one pair a batch.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from models_support import SMALL, examples, seeded
from objectives_support import losses, responses
from rewards_support import small_classifier
from training_support import reference_of
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from trainers.batches.tensors import PACKED, PADDED, Layout
from trainers.objectives import objective
from trainers.policies.completions import Completions
from trainers.policies.preferences import Preferences
from trainers.reading.examples import Example
from trainers.rewards.comparisons import Comparisons
from trainers.steps.settings import BradleyTerry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # TRL's experimental parts warn on import
]

CPU = torch.device("cpu")
PAD = 0
PAIRS = examples((7, 5, 9), (3, 1, 4), (12, 6, 6), (2, 11, 3), (1, 2, 2))
LAYOUTS = pytest.mark.parametrize("layout", [PACKED, PADDED], ids=["packed", "padded"])
Loss = Callable[[Sequence[Example]], torch.Tensor]  # the mean over pairs, as TRL computes it


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


def models(kind: str) -> tuple[Any, Any]:
    """A policy and a reference of other weights."""
    if kind == "llama":
        return seeded(lambda: tuple(LlamaForCausalLM(LlamaConfig(**SMALL)).eval() for _ in range(2)))
    config = Gemma2Config(**SMALL | {"head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0})
    return seeded(lambda: tuple(Gemma2ForCausalLM(config).eval() for _ in range(2)))


def ours(policy: Any, reference: Any, layout: Layout, name: str, settings: dict[str, float]) -> torch.Tensor:
    """Losses of all pairs in one batch, (pairs,), as the trainer reads them."""
    bound = objective(name, **settings)
    task = Preferences(PAIRS, bound, layout=layout, batch_tokens=10_000, references=reference_of(reference, PAIRS))
    return task.read(lambda work: work(policy), range(len(PAIRS)), CPU).losses


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    found = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True, allow_unused=True)
    return {name: value for (name, _), value in zip(model.named_parameters(), found, strict=True) if value is not None}


def assert_equal(model: Any, found: torch.Tensor, expected: torch.Tensor) -> None:
    """One loss, and its gradient by every weight: within 1e-4 of the largest entry."""
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    mine, theirs = gradients(model, found), gradients(model, expected)
    assert mine.keys() == theirs.keys()
    for key, gradient in theirs.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(mine[key], gradient, atol=1e-4 * scale + 1e-9, rtol=0, msg=key)


def assert_all_equal(model: Any, found: torch.Tensor, trl: Loss, *, of_batch: bool = True) -> None:
    """Each pair's loss and gradient, and the mean's over the batch."""
    for pair, loss in zip(PAIRS, found, strict=True):
        assert_equal(model, loss, trl([pair]))
    if of_batch:
        assert_equal(model, found.mean(), trl(PAIRS))


def never_prepared(kind: type, **attributes: Any) -> Any:
    """A trainer with these attributes, whose `__init__` was not run: that would tokenise text."""
    trainer = object.__new__(kind)
    trainer.__dict__ |= attributes
    return trainer


def same(value: Any) -> Any:
    return value


def trl_dpo(policy: Any, reference: Any, loss_type: str, beta: float) -> Loss:
    from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer
    from trl.trainer.utils import add_fused_lm_head

    for model in (policy, reference):
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    trainer = never_prepared(
        DPOTrainer,
        model=policy,
        ref_model=reference,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        accelerator=SimpleNamespace(device=CPU, gather=same, gather_for_metrics=same),
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
    collate = DataCollatorForPreference(pad_token_id=PAD)

    def loss(pairs: Sequence[Example]) -> torch.Tensor:
        rows = [
            {
                "prompt_ids": p.prompt.tolist(),
                "chosen_ids": p.responses[0].tolist(),
                "rejected_ids": p.responses[1].tolist(),
            }
            for p in pairs
        ]
        return trainer._compute_loss(policy, collate(rows), False)

    return loss


@pytest.mark.parametrize("kind", ["llama", "gemma"])
@LAYOUTS
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
    kind: str, layout: Layout, loss_type: str, name: str, settings: dict[str, float]
) -> None:
    policy, reference = models(kind)
    found = ours(policy, reference, layout, name, {"beta": 0.1, **settings})
    assert_all_equal(policy, found, trl_dpo(policy, reference, loss_type, beta=0.1))


def trl_cpo(policy: Any, loss_type: str, *, alpha: float = 0.0, weight: float = 0.0) -> Loss:
    """CPOTrainer past its tokenizer, which appends an end-of-turn: rows as an override of `tokenize_row` makes them."""
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.utils import DPODataCollatorWithPadding

    trainer = never_prepared(
        CPOTrainer,
        accelerator=SimpleNamespace(device=CPU, gather_for_metrics=same),
        is_encoder_decoder=False,
        pad_token_id=PAD,
        aux_loss_enabled=False,
        cpo_alpha=weight,
        alpha=alpha,
        beta=2.0,
        simpo_gamma=0.6,
        loss_type=loss_type,
        label_smoothing=0.0,
    )
    collate = DPODataCollatorWithPadding(pad_token_id=PAD)

    def row(pair: Example) -> dict[str, list[int]]:
        found, prompt = {"prompt_input_ids": pair.prompt.tolist()}, pair.prompt.tolist()
        for side, response in zip(("chosen", "rejected"), pair.responses, strict=True):
            ids = prompt + response.tolist()
            found |= {
                f"{side}_input_ids": ids,
                f"{side}_attention_mask": [1] * len(ids),
                f"{side}_labels": [-100] * len(prompt) + response.tolist(),
            }
        return found

    return lambda pairs: trainer.get_batch_loss_metrics(policy, collate([row(pair) for pair in pairs]))[0]


SIMPO = {"beta": 2.0, "gamma_beta_ratio": 0.3}


@pytest.mark.parametrize("kind", ["llama", "gemma"])
@LAYOUTS
@pytest.mark.parametrize("alpha", [0.0, -0.5, 0.1, 0.25])
def test_losses_and_gradients_are_those_of_trls_simpo_and_alphapo(kind: str, layout: Layout, alpha: float) -> None:
    policy, reference = models(kind)
    name, settings = ("alphapo", SIMPO | {"alpha": alpha}) if alpha else ("simpo", SIMPO)
    assert_all_equal(policy, ours(policy, reference, layout, name, settings), trl_cpo(policy, "simpo", alpha=alpha))


@LAYOUTS
def test_cpo_and_slic_are_those_of_trls_cpo(layout: Layout) -> None:
    policy, reference = models("llama")
    plain = ours(policy, reference, layout, "cpo", {"beta": 2.0, "weight": 0.0})
    assert_all_equal(policy, plain, trl_cpo(policy, "sigmoid"))
    likely = ours(policy, reference, layout, "cpo", {"beta": 2.0, "weight": 0.7})
    assert_all_equal(policy, likely, trl_cpo(policy, "sigmoid", weight=0.7), of_batch=False)
    hinge = 2.0 * ours(policy, reference, layout, "slic", {"delta": 1 / 2.0, "weight": 0.0})
    assert_all_equal(policy, hinge, trl_cpo(policy, "hinge"))


@pytest.mark.parametrize(("margin", "centring"), [(None, 0.0), ("reward", 0.0), (None, 0.01), ("reward", 0.05)])
@LAYOUTS
def test_reward_losses_gradients_and_figures_are_those_of_trls_reward_trainer(
    layout: Layout, margin: Literal["reward"] | None, centring: float
) -> None:
    from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer

    model = small_classifier(torch.float32, pad_token_id=PAD)
    # transformers reads a reward at the last token that is no padding.
    assert not any(ids[-1] == PAD for pair in PAIRS for ids in pair.responses)
    margins = dict(zip((pair.name for pair in PAIRS), [0.5, 0.0, 1.5, -0.2, 3.0], strict=True))
    pairs = [replace(pair, rewards=(margins[pair.name], 0.0)) for pair in PAIRS]
    task = Comparisons(pairs, BradleyTerry(margin=margin, centring=centring), layout=layout, batch_tokens=10_000)
    read = task.read(lambda work: work(model), range(len(pairs)), CPU)
    figures = defaultdict(list)
    trainer = never_prepared(
        RewardTrainer,
        model=model,
        args=SimpleNamespace(center_rewards_coefficient=centring or None),
        accelerator=SimpleNamespace(device=CPU, gather=same, gather_for_metrics=same),
        _metrics={"train": figures, "eval": figures},
        _total_train_tokens=0,
        _tp_size=1,
    )
    collate = DataCollatorForPreference(pad_token_id=PAD)

    def row(pair: Example) -> dict[str, Any]:
        ids = [pair.prompt.tolist() + response.tolist() for response in pair.responses]
        found = {"chosen_ids": ids[0], "rejected_ids": ids[1]}
        return found if margin is None else found | {"margin": margins[pair.name]}

    assert_all_equal(model, read.losses, lambda some: trainer.compute_loss(model, dict(collate(list(map(row, some))))))
    for name, values in read.figures.items():
        assert values.mean().item() == pytest.approx(figures[name][-1], rel=1e-4)


def test_the_odds_ratio_of_orpo_is_that_of_trls_orpo() -> None:
    from trl.experimental.orpo import ORPOTrainer

    log_probs = torch.tensor([-0.8, -2.5, -0.05, -11.0]), torch.tensor([-1.2, -1.9, -0.4, -3.0])
    trainer = SimpleNamespace(beta=0.3, accelerator=SimpleNamespace(device=CPU))
    # TRL's is λ log σ, subtracted from the likelihood's part.
    expected = -log_probs[0] - ORPOTrainer.odds_ratio_loss(trainer, *log_probs)[0]
    sides = [responses(torch.float32, log_prob=side) for side in log_probs]
    torch.testing.assert_close(losses("orpo", *sides, weight=0.3), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", ["llama", "gemma"])
@LAYOUTS
def test_a_steps_loss_and_gradient_are_those_of_trls_sft_trainer_in_micro_batches_too(
    kind: str, layout: Layout
) -> None:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer
    from trl.trainer.utils import add_fused_lm_head

    policy, _ = models(kind)
    alone = [replace(pair, responses=pair.responses[:1]) for pair in PAIRS]
    task = Completions(alone, layout=layout, batch_tokens=10_000)
    found = task.read(lambda work: work(policy), range(len(alone)), CPU)
    add_fused_lm_head(policy, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    trainer = never_prepared(
        SFTTrainer,
        model=policy,
        args=SimpleNamespace(loss_type="nll", average_tokens_across_devices=False),
        accelerator=SimpleNamespace(
            device=CPU, gather=same, gather_for_metrics=same, parallelism_config=None, num_processes=1
        ),
        aux_loss_enabled=False,
        compute_loss_func=None,
        label_smoother=None,
        _metrics={mode: defaultdict(list) for mode in ("train", "eval")},
        _total_train_tokens=0,
        _tp_size=1,
    )
    collate = DataCollatorForLanguageModeling(pad_token_id=PAD)

    def trl(some: Sequence[Example], tokens: int) -> torch.Tensor:
        rows = [
            {
                "input_ids": [*one.prompt.tolist(), *one.responses[0].tolist()],
                "labels": [*([-100] * len(one.prompt)), *one.responses[0].tolist()],
            }
            for one in some
        ]
        return trainer.compute_loss(policy, dict(collate(rows)), num_items_in_batch=tokens)

    total = task.terms(range(len(alone)))
    ours = found.losses.sum() / total
    assert_equal(policy, ours, trl(alone, total))
    assert_equal(policy, ours, trl(alone[:2], total) + trl(alone[2:], total))
