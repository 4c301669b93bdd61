"""Pairs a second and memory of our trainers and of TRL's, on the same weights, token ids and steps.

    python benchmarks/train.py --data FILE --out runs/train-benchmark

Pairs of `alpacaeval_responses.parquet` with their real prompts. Both sides train all weights with AdamW in the same
dtype (bfloat16 is fp32 weights under automatic casting, as TRL does it), `--batch` pairs a step, the same pairs in the
same order; TRL is handed the token ids, so it reads what we read. Every line is a process of its own, for the sake of
its memory, and both sides' losses are kept: where they differ, something else was trained. Ours has the variables that
our commands set, TRL none.

TRL is run as it comes (activations checkpointed, a reference model in memory) and set for speed (no checkpointing,
reference log-probs computed before). Ours reads the reference's log-probs from the ledger, where they stay for all
further runs; computing them is a line of its own, and the table says what an epoch that includes it comes to.

`of peak` is the physical limit: the floating-point operations that training on these tokens takes at least (no padding,
a prompt once, nothing computed twice, attention not counted), as a share of what this machine's matrix products reach.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.train_sides import (  # noqa: E402  found only now
    LEARNING_RATE,
    OURS,
    OURS_COMPILED,
    OURS_SMALL,
    SIDES,
    our_trainer,
    reference,
    their_trainer,
    time_reference,
)
from flows.runtime.environment import ENVIRONMENT  # noqa: E402

if TYPE_CHECKING:
    from transformers import TrainerCallback

    from trainers.reading.examples import Example

REFERENCE = "reference log-probs"
SILENT: Final = {"TRL_EXPERIMENTAL_SILENCE": "1", "TOKENIZERS_PARALLELISM": "false"}
TRAINERS: Final = ("dpo", "simpo", "reward")
DTYPES: Final = ("bfloat16", "float32")


def read_pairs(data: Path, count: int) -> "list[Example]":
    """Real pairs, whole, in the policy's tokens and in an order that knows nothing of their lengths."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from benchmarks.real_data import draw
    from trainers.reading.examples import read_examples
    from transforms.chat.tokens import ChatTokens
    from transforms.engines.tokenizer import load_tokenizer
    from transforms.preparation.prepare import prepare
    from transforms.preparation.truncation import Truncation
    from transforms.tables.schema import PAIRS

    rows = draw(data, set(), prompts=2 * count, per_prompt=2)["train"]
    chat = ChatTokens(load_tokenizer("smollm2"))
    made = prepare(pa.Table.from_pylist(rows, schema=PAIRS), chat, Truncation(method="none"), max_length=None).pairs
    usable = made.filter(pc.is_null(made["reason"]))
    return sorted(read_examples(usable, where="pairs"), key=lambda pair: pair.name)[:count]


def clock(ends: list[float]) -> "TrainerCallback":
    """Notes the time at the end of every step, when a GPU has done it. Its peak memory counts from the first one on."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
                if not ends:
                    torch.cuda.reset_peak_memory_stats()
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
    weights = matrices()
    work = sum(flops(pair, arguments, weights) for pair in counted) / seconds
    return {
        "matmul_share": work / matmul_peak(arguments.dtype),
        "pairs_per_second": len(counted) / seconds,
        "tokens_per_second": sum(len(pair.prompt) + pair.kept_tokens for pair in counted) / seconds,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "losses": losses,
    }


class Matrices(NamedTuple):
    """How many weights the model multiplies by."""

    layers: int
    head: int


def matrices() -> Matrices:
    """SmolLM2's, without its values."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from transforms.engines.starter_model import smollm2_folder

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(smollm2_folder()))
    layers = sum(weight.numel() for weight in model.model.layers.parameters() if weight.ndim == 2)
    return Matrices(layers, model.lm_head.weight.numel())


def flops(pair: "Example", arguments: argparse.Namespace, weights: Matrices) -> float:
    """What training on a pair takes at least: six a weight and token, the prompt read once, logits of responses only.

    Two of them are the forward pass, which is all that a reference needs.
    """
    logits = 0 if arguments.trainer == "reward" else weights.head * pair.kept_tokens
    read = weights.layers * (len(pair.prompt) + pair.kept_tokens)
    return (2 if arguments.side == REFERENCE else 6) * (read + logits)


def matmul_peak(dtype: str, seconds: float = 1.0) -> float:
    """Floating-point operations a second of this machine's matrix products of the model's sizes."""
    import torch

    one, other = (
        torch.randn(2048, 576, dtype=getattr(torch, dtype)),
        torch.randn(576, 1536, dtype=getattr(torch, dtype)),
    )
    best, end = math.inf, time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.perf_counter()
        one @ other
        best = min(best, time.perf_counter() - start)
    return 2 * 2048 * 576 * 1536 / best


def measure_apart(arguments: argparse.Namespace, trainer: str, dtype: str, side: str) -> dict[str, Any]:
    """The same in a process of its own."""
    own = {"--trainer": trainer, "--dtype": dtype, "--side": side}
    shared = {f"--{name.replace('_', '-')}": str(getattr(arguments, name)) for name in SHARED}
    flags = [word for pair in (own | shared).items() for word in pair]
    found = subprocess.run(
        [sys.executable, __file__, *flags],
        env={**(ENVIRONMENT if side.startswith("ours") or side == REFERENCE else {}), **os.environ, **SILENT},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return {"trainer": trainer, "dtype": dtype, "side": side, **measured}


SHARED: Final = ("data", "out", "batch", "steps", "batch_tokens")


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Every line, and ours over TRL's fastest and TRL's smallest."""
    text = [f"{'':<34}{'pairs/s':>9}{'tokens/s':>10}{'peak GiB':>10}{'of peak':>9}   losses"]
    for trainer, dtype in dict.fromkeys((line["trainer"], line["dtype"]) for line in lines):
        mine = {line["side"]: line for line in lines if (line["trainer"], line["dtype"]) == (trainer, dtype)}
        text.append(f"{trainer}, {dtype}")
        text += [_row(line) for line in mine.values()]
        theirs = [line for side, line in mine.items() if side.startswith("TRL")]
        for side in (OURS, OURS_COMPILED, OURS_SMALL):
            if side in mine and theirs:
                text.append("  " + _against(mine[side], side, theirs, mine.get(REFERENCE)))
    return "\n".join(text)


def _row(line: Mapping[str, Any]) -> str:
    figures = f"{line['pairs_per_second']:>9.3f}{line['tokens_per_second']:>10,.0f}{line['peak_gib']:>10.2f}"
    figures += f"{line['matmul_share']:>9.0%}"
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
    parser.add_argument("--batch-tokens", type=int, default=1024, help="of our forward passes")
    for own in ("trainer", "dtype", "side"):
        parser.add_argument(f"--{own}", help=argparse.SUPPRESS)  # of one line, in its process
    parser.set_defaults(model=None, learning_rate=LEARNING_RATE)
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
