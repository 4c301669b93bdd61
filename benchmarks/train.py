"""Pairs a second and memory of our trainers and of TRL's, on the same weights, token ids and steps.

    python benchmarks/train.py --data FILE --out runs/train-benchmark

Pairs of `alpacaeval_responses.parquet` with their real prompts. Both sides train all weights with AdamW in the same
dtype (bfloat16 is fp32 weights under automatic casting, as TRL does it), `--batch` pairs a step, the same pairs in the
same order; TRL is handed the token ids, so it reads what we read. Every line is a process of its own, for the sake of
its memory, and both sides' losses are kept: where they differ, something else was trained.

TRL is run as it comes (activations checkpointed, a reference model in memory) and set for speed (no checkpointing,
reference log-probs computed before). Ours reads the reference's log-probs from the ledger, where they stay for all
further runs; computing them is a line of its own, and the table says what an epoch that includes it comes to.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import TrainerCallback

    from trainers.examples import Example
    from trainers.references import References

OURS, OURS_SMALL, TRL, TRL_FAST = "ours", "ours, checkpointed", "TRL as it comes", "TRL for speed"
REFERENCE = "reference log-probs"
SIDES: Final = (TRL, TRL_FAST, OURS, OURS_SMALL)
TRAINERS: Final = ("dpo", "simpo", "reward")
DTYPES: Final = ("bfloat16", "float32")
LEARNING_RATE: Final = 1e-6
BETA: Final = {"dpo": 0.1, "simpo": 2.5}
GAMMA: Final = 1.4  # SimPO's target margin
LONGEST: Final = 4096  # more than any pair has: TRL is to cut nothing


def read_pairs(data: Path, count: int) -> "list[Example]":
    """Real pairs, whole, in the policy's tokens and in an order that knows nothing of their lengths."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from benchmarks.real_data import draw
    from trainers.examples import read_examples
    from transforms.engines.tokenizer import load_tokenizer
    from transforms.prepare import prepare
    from transforms.schema import PAIRS
    from transforms.tokens import ChatTokens
    from transforms.truncation import Truncation

    rows = draw(data, set(), prompts=2 * count, per_prompt=2)["train"]
    chat = ChatTokens(load_tokenizer("smollm2"))
    made = prepare(pa.Table.from_pylist(rows, schema=PAIRS), chat, Truncation(method="none"), max_length=None).pairs
    usable = made.filter(pc.is_null(made["reason"]))
    return sorted(read_examples(usable, where="pairs"), key=lambda pair: pair.name)[:count]


def load_model(trainer: str) -> Any:
    """SmolLM2 in fp32; with a new head for rewards, the same in every process."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    from transforms.engines.starter_model import smollm2_folder

    torch.manual_seed(0)
    if trainer == "reward":
        return AutoModelForSequenceClassification.from_pretrained(smollm2_folder(), num_labels=1, dtype=torch.float32)
    return AutoModelForCausalLM.from_pretrained(smollm2_folder(), dtype=torch.float32)


def reference(pairs: "Sequence[Example]", arguments: argparse.Namespace) -> "References":
    """From the benchmark's ledger, or by the model."""
    from flows.log_probs import find_causal
    from flows.progress import Progress
    from flows.references import reference_log_probs

    def pay(_name: str, work: Any) -> None:
        work()

    return reference_log_probs(
        pairs,
        pairs,
        find_causal("smollm2", dtype="float32", cast_to=arguments.dtype),
        ledger=str(arguments.out / "ledger"),
        pay=pay,
        progress=Progress(),
        batch_tokens=arguments.batch_tokens,
    ).log_probs


def time_reference(pairs: "list[Example]", arguments: argparse.Namespace) -> list[float]:
    """When a warm model began to read the pairs that are counted, and when it ended."""
    import torch

    from trainers.token_readings import FrozenModel

    cast_to = torch.bfloat16 if arguments.dtype == "bfloat16" else None
    model = FrozenModel(load_model("dpo"), batch_tokens=arguments.batch_tokens, cast_to=cast_to)
    ends = []
    for part in (pairs[: arguments.batch], pairs[arguments.batch :]):
        model.token_log_probs(part, lambda _tokens: None)
        ends.append(time.monotonic())
    return ends


def our_trainer(pairs: "list[Example]", arguments: argparse.Namespace, folder: str) -> Any:
    """A StepTrainer whose steps have the pairs in their order."""
    from trainers.arguments import training_arguments, training_order
    from trainers.comparisons import Comparisons, reward_layout
    from trainers.layouts import choose_layout
    from trainers.objectives import objective
    from trainers.policies import trainable
    from trainers.preferences import Preferences
    from trainers.settings import BradleyTerry, Memory, Optimisation
    from trainers.step_trainer import StepTrainer

    name, batch_tokens = arguments.trainer, arguments.batch_tokens
    optimisation = Optimisation(
        learning_rate=LEARNING_RATE, schedule="constant", warmup=0.0, pairs_per_step=arguments.batch
    )
    order = training_order(optimisation, len(pairs))
    taken = [place for step in order for place in step]
    pairs = [pair for _, pair in sorted(zip(taken, pairs, strict=True), key=lambda one: one[0])]
    if name == "reward":
        model = trainable(load_model(name), adapter=None, seed=0, task="SEQ_CLS")
        layout = reward_layout(model, pairs).layout
        task: Any = Comparisons(pairs, BradleyTerry(), layout=layout, batch_tokens=batch_tokens)
    else:
        model = trainable(load_model(name), adapter=None, seed=0)
        own = {"gamma_beta_ratio": GAMMA / BETA[name]} if name == "simpo" else {}
        task = Preferences(
            pairs,
            objective(name, beta=BETA[name], **own),
            layout=choose_layout(model, pairs).layout,
            batch_tokens=batch_tokens,
            references=reference(pairs, arguments) if name == "dpo" else None,
        )
    memory = Memory(
        batch_tokens=batch_tokens, dtype=arguments.dtype, gradient_checkpointing=arguments.side == OURS_SMALL
    )
    settings = training_arguments(Path(folder), optimisation, memory, order)
    return StepTrainer(model, settings, task=task, order=order, identity={})


def their_trainer(pairs: "list[Example]", arguments: argparse.Namespace, folder: str) -> Any:
    """TRL's trainer of that name over the same ids, which it neither tokenises nor shuffles."""
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

    model = load_model(arguments.trainer)
    model.config._name_or_path = str(smollm2_folder())  # where DPOTrainer takes its reference from
    return InOrder(
        model=model,
        args=config(
            output_dir=folder,
            per_device_train_batch_size=arguments.batch,
            num_train_epochs=1,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            bf16=arguments.dtype == "bfloat16",
            gradient_checkpointing=arguments.side == TRL,
            max_length=LONGEST,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            **own,
        ),
        train_dataset=_their_rows(pairs, arguments.trainer),
        processing_class=load_tokenizer("smollm2"),
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


def clock(ends: list[float]) -> "TrainerCallback":
    """Notes the time at the end of every step."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.monotonic())

    return Clock()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """One line of the table, in this process. The first step warms up and is not counted."""
    pairs = read_pairs(arguments.data, arguments.batch * (arguments.steps + 1))
    counted = pairs[arguments.batch :]
    ends: list[float] = []
    losses: list[float] = []
    if arguments.side == REFERENCE:
        reference(pairs, arguments)  # into the ledger, for the lines to come
        ends = time_reference(pairs, arguments)
    else:
        make = their_trainer if arguments.side.startswith("TRL") else our_trainer
        with tempfile.TemporaryDirectory() as folder:
            trainer = make(pairs, arguments, folder)
            trainer.add_callback(clock(ends))
            trainer.train()
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    seconds = ends[-1] - ends[0]
    return {
        "pairs_per_second": len(counted) / seconds,
        "tokens_per_second": sum(len(pair.prompt) + pair.kept_tokens for pair in counted) / seconds,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "losses": losses,
    }


def measure_apart(arguments: argparse.Namespace, trainer: str, dtype: str, side: str) -> dict[str, Any]:
    """The same in a process of its own."""
    own = {"--trainer": trainer, "--dtype": dtype, "--side": side}
    shared = {f"--{name.replace('_', '-')}": str(getattr(arguments, name)) for name in SHARED}
    flags = [word for pair in (own | shared).items() for word in pair]
    found = subprocess.run(
        [sys.executable, __file__, *flags],
        env={**os.environ, "TRL_EXPERIMENTAL_SILENCE": "1", "TOKENIZERS_PARALLELISM": "false"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return {"trainer": trainer, "dtype": dtype, "side": side, **measured}


SHARED: Final = ("data", "out", "batch", "steps", "batch_tokens")


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Every line, and ours over TRL's fastest and TRL's smallest."""
    text = [f"{'':<34}{'pairs/s':>9}{'tokens/s':>10}{'peak GiB':>10}   losses"]
    for trainer, dtype in dict.fromkeys((line["trainer"], line["dtype"]) for line in lines):
        mine = {line["side"]: line for line in lines if (line["trainer"], line["dtype"]) == (trainer, dtype)}
        text.append(f"{trainer}, {dtype}")
        text += [_row(line) for line in mine.values()]
        theirs = [line for side, line in mine.items() if side.startswith("TRL")]
        for side in (OURS, OURS_SMALL):
            if side in mine and theirs:
                text.append("  " + _against(mine[side], side, theirs, mine.get(REFERENCE)))
    return "\n".join(text)


def _row(line: Mapping[str, Any]) -> str:
    figures = f"{line['pairs_per_second']:>9.3f}{line['tokens_per_second']:>10,.0f}{line['peak_gib']:>10.2f}"
    return f"  {line['side']:<32}{figures}   " + " ".join(f"{loss:.4f}" for loss in line["losses"])


def _against(line: Mapping[str, Any], side: str, theirs: Sequence[Mapping[str, Any]], first: Any) -> str:
    fastest = max(one["pairs_per_second"] for one in theirs)
    smallest = min(one["peak_gib"] for one in theirs)
    speeds = " and ".join(f"{line['pairs_per_second'] / one['pairs_per_second']:.1f}×" for one in theirs)
    memory = " and ".join(f"{line['peak_gib'] / one['peak_gib']:.2f}×" for one in theirs)
    said = f"{side}: {speeds} the pairs/s, {memory} the memory of {' and '.join(one['side'] for one in theirs)}"
    if first:
        epoch = 1 / (1 / line["pairs_per_second"] + 1 / first["pairs_per_second"])
        said += f"; {epoch / fastest:.1f}× the fastest in an epoch that computes the reference"
    return f"{said}; the smallest has {smallest:.2f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="alpacaeval_responses.parquet")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trainers", nargs="+", choices=TRAINERS, default=TRAINERS)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--batch", type=int, default=4, help="pairs a step")
    parser.add_argument("--steps", type=int, default=3, help="that are counted, after one that is not")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="of our forward passes")
    for own in ("trainer", "dtype", "side"):
        parser.add_argument(f"--{own}", help=argparse.SUPPRESS)  # of one line, in its process
    arguments = parser.parse_args()
    arguments.data, arguments.out = arguments.data.resolve(), arguments.out.resolve()
    if arguments.side:
        print(json.dumps(measure(arguments)))
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    pairs = read_pairs(arguments.data, arguments.batch * (arguments.steps + 1))[arguments.batch :]
    sizes = [[len(pair.prompt), *map(len, pair.responses)] for pair in pairs]
    prompt, chosen, rejected = (statistics.mean(column) for column in zip(*sizes, strict=True))
    print(
        f"{len(pairs)} pairs, mean tokens: prompt {prompt:.0f}, chosen {chosen:.0f}, rejected {rejected:.0f}",
        flush=True,
    )
    lines = []
    for trainer in arguments.trainers:
        for dtype in arguments.dtypes:
            for side in ([REFERENCE] if trainer == "dpo" else []) + list(arguments.sides):
                lines.append(measure_apart(arguments, trainer, dtype, side))
                print(f"{trainer:<7}{dtype:<9}{_row(lines[-1])}", flush=True)
    (arguments.out / "train.json").write_text(json.dumps(lines, indent=2) + "\n")
    print(table(lines))


if __name__ == "__main__":
    main()
