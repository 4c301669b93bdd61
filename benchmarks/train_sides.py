"""The two sides of benchmarks/train.py and gpu.py: our trainers and TRL's on the same weights and token ids.

Their `arguments` have trainer, dtype, side, batch, batch_tokens, out (for the ledger), learning_rate and model: a
folder, or None for SmolLM2.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datasets import Dataset

    from trainers.reading.examples import Example
    from trainers.reading.references import References

OURS, OURS_SMALL, TRL, TRL_FAST = "ours", "ours, checkpointed", "TRL as it comes", "TRL for speed"
OURS_COMPILED: Final = "ours, compiled"
SIDES: Final = (TRL, TRL_FAST, OURS, OURS_COMPILED, OURS_SMALL)
LEARNING_RATE: Final = 1e-6
BETA: Final = {"dpo": 0.1, "simpo": 2.5}
GAMMA: Final = 1.4  # SimPO's target margin
LONGEST: Final = 4096  # more than any pair has: TRL is to cut nothing


def load_model(trainer: str, folder: Path | None = None) -> Any:
    """The model of a folder, or SmolLM2, in fp32, on a GPU if there is one; a new head is the same in every process."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    from transforms.engines.starter_model import smollm2_folder

    torch.manual_seed(0)
    folder = folder or smollm2_folder()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if trainer == "reward":
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
        return model.to(device)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device)


def reference(pairs: "Sequence[Example]", arguments: argparse.Namespace) -> "References":
    """From the benchmark's ledger, or by the model."""
    from flows.models.log_probs import find_causal
    from flows.runtime.progress import Progress
    from flows.train.reference_log_probs import reference_log_probs

    def pay(_name: str, work: Any) -> None:
        work()

    return reference_log_probs(
        pairs,
        pairs,
        find_causal(arguments.model or "smollm2", dtype="float32", cast_to=arguments.dtype),
        ledger=str(arguments.out / "ledger"),
        pay=pay,
        progress=Progress(),
        batch_tokens=arguments.batch_tokens,
    ).log_probs


def time_reference(pairs: "list[Example]", arguments: argparse.Namespace) -> list[float]:
    """When a warm model began to read the pairs that are counted, and when it ended."""
    import torch

    from trainers.policies.token_readings import FrozenModel

    cast_to = torch.bfloat16 if arguments.dtype == "bfloat16" else None
    model = FrozenModel(load_model("dpo", arguments.model), batch_tokens=arguments.batch_tokens, cast_to=cast_to)
    ends = []
    for part in (pairs[: arguments.batch], pairs[arguments.batch :]):
        model.token_log_probs(part, lambda _tokens: None)
        ends.append(time.monotonic())
    return ends


def our_trainer(pairs: "list[Example]", arguments: argparse.Namespace, folder: str) -> Any:
    """A StepTrainer whose steps have the pairs in their order."""
    from trainers.batches.layouts import choose_layout
    from trainers.objectives import objective
    from trainers.policies.preferences import Preferences
    from trainers.rewards.comparisons import Comparisons, reward_layout
    from trainers.steps.arguments import training_arguments, training_order
    from trainers.steps.compiled import compile_layers
    from trainers.steps.settings import BradleyTerry, Memory, Optimisation
    from trainers.steps.trained_model import trainable
    from trainers.steps.trainer import StepTrainer

    name, batch_tokens = arguments.trainer, arguments.batch_tokens
    optimisation = Optimisation(
        learning_rate=arguments.learning_rate, schedule="constant", warmup=0.0, pairs_per_step=arguments.batch
    )
    order = training_order(optimisation, len(pairs))
    taken = [place for step in order for place in step]
    pairs = [pair for _, pair in sorted(zip(taken, pairs, strict=True), key=lambda one: one[0])]
    if name == "reward":
        model = trainable(load_model(name, arguments.model), adapter=None, seed=0, task="SEQ_CLS")
        layout = reward_layout(model, pairs).layout
        task: Any = Comparisons(pairs, BradleyTerry(), layout=layout, batch_tokens=batch_tokens)
    else:
        model = trainable(load_model(name, arguments.model), adapter=None, seed=0)
        own = {"gamma_beta_ratio": GAMMA / BETA[name]} if name == "simpo" else {}
        task = Preferences(
            pairs,
            objective(name, beta=BETA[name], **own),
            layout=choose_layout(model, pairs).layout,
            batch_tokens=batch_tokens,
            references=reference(pairs, arguments) if name == "dpo" else None,
        )
    if arguments.side == OURS_COMPILED:
        compile_layers(model)
    memory = Memory(
        batch_tokens=batch_tokens, dtype=arguments.dtype, gradient_checkpointing=arguments.side == OURS_SMALL
    )
    settings = training_arguments(Path(folder), optimisation, memory, order)
    return StepTrainer(model, settings, task=task, order=order, identity={})


def their_trainer(pairs: "list[Example]", arguments: argparse.Namespace, folder: str) -> Any:
    """TRL's trainer of that name over the same ids, which it neither tokenises nor shuffles."""
    import torch
    from torch.utils.data import SequentialSampler

    from transforms.engines.starter_model import smollm2_folder
    from transforms.engines.tokenizer import load_tokenizer

    base, config, own = _trl(arguments.trainer, fast=arguments.side == TRL_FAST)

    class InOrder(base):  # type: ignore[misc,valid-type]
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return SequentialSampler(train_dataset or self.train_dataset)

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
            return _cpo_row(feature)

    tokenizer = load_tokenizer(arguments.model or "smollm2")
    if arguments.model is None:
        # Its own padding is the end-of-turn, and transformers reads a reward before the last token that is no padding.
        tokenizer.pad_token = "<|endoftext|>"
    model = load_model(arguments.trainer, arguments.model)
    model.config._name_or_path = str(arguments.model or smollm2_folder())  # where DPOTrainer takes its reference from
    return InOrder(
        model=model,
        args=config(
            output_dir=folder,
            per_device_train_batch_size=arguments.batch,
            num_train_epochs=1,
            learning_rate=arguments.learning_rate,
            lr_scheduler_type="constant",
            bf16=arguments.dtype == "bfloat16",
            gradient_checkpointing=arguments.side == TRL,
            max_length=LONGEST,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.accelerator.is_available(),
            **own,
        ),
        train_dataset=_their_rows(pairs, arguments.trainer),
        processing_class=tokenizer,
    )


def _trl(trainer: str, *, fast: bool) -> tuple[Any, Any, dict[str, Any]]:
    """Trainer, its config and what is set of it."""
    if trainer == "dpo":
        from trl import DPOConfig, DPOTrainer

        return DPOTrainer, DPOConfig, {"beta": BETA["dpo"], "precompute_ref_log_probs": fast}
    if trainer == "simpo":
        from trl.experimental.cpo import CPOConfig, CPOTrainer

        own = {"loss_type": "simpo", "cpo_alpha": 0.0, "beta": BETA["simpo"], "simpo_gamma": GAMMA}
        return CPOTrainer, CPOConfig, own
    from trl import RewardConfig, RewardTrainer

    return RewardTrainer, RewardConfig, {}


def _their_rows(pairs: "Sequence[Example]", trainer: str) -> "Dataset":
    from datasets import Dataset

    rows: list[dict[str, Any]] = []
    for pair in pairs:
        prompt = pair.prompt.tolist()
        chosen, rejected = (response.tolist() for response in pair.responses)
        if trainer == "reward":
            rows.append({"chosen_ids": prompt + chosen, "rejected_ids": prompt + rejected})
        else:
            ids = {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
            rows.append(ids | ({"prompt": "", "chosen": "", "rejected": ""} if trainer == "simpo" else {}))
    return Dataset.from_list(rows)


def _cpo_row(feature: Mapping[str, Any]) -> dict[str, Any]:
    """What CPOTrainer makes of a row, from ids."""
    prompt = feature["prompt_ids"]
    row = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for side in ("chosen", "rejected"):
        ids = feature[f"{side}_ids"]
        row[f"{side}_input_ids"] = prompt + ids
        row[f"{side}_attention_mask"] = [1] * len(prompt + ids)
        row[f"{side}_labels"] = [-100] * len(prompt) + ids
    return row
