"""How far bf16 rounds the log-prob of a response: here and in transformers' own forward pass, against fp32.

    python benchmarks/rounding.py --data FILE

Pairs of `alpacaeval_responses.parquet` with their real prompts, read by SmolLM2 with fp32 weights under automatic
casting, as training reads them. β times such an error is in every implicit reward.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.train import read_pairs  # noqa: E402  found only now
from benchmarks.train_sides import load_model  # noqa: E402

if TYPE_CHECKING:
    import torch

    from trainers.batches.tensors import Layout
    from trainers.reading.examples import Example


def ours(model: Any, layout: "Layout", pairs: "Sequence[Example]") -> "torch.Tensor":
    """Log-probs of all responses, a pair at a time."""
    import torch

    from trainers.batches.logprobs import log_probs

    return torch.cat([log_probs(model, layout.batch([pair])).responses for pair in pairs])


def theirs(model: Any, pairs: "Sequence[Example]") -> "torch.Tensor":
    """The same from whole logits, a response at a time."""
    import torch

    found = []
    for pair in pairs:
        for response in pair.responses:
            row = torch.tensor([[*pair.prompt.tolist(), *response.tolist()]])
            logits = model(input_ids=row, use_cache=False).logits[0, len(pair.prompt) - 1 : -1]
            read = logits.float().log_softmax(-1).gather(1, row[0, len(pair.prompt) :, None])
            found.append(read.sum())
    return torch.stack(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="alpacaeval_responses.parquet")
    parser.add_argument("--pairs", type=int, default=12)
    arguments = parser.parse_args()

    import torch

    from trainers.batches.tensors import PACKED, PADDED

    pairs, model = read_pairs(arguments.data.resolve(), arguments.pairs), load_model("dpo").cpu().eval()
    ways: dict[str, Callable[[], torch.Tensor]] = {
        "here, packed": lambda: ours(model, PACKED, pairs),
        "here, padded": lambda: ours(model, PADDED, pairs),
        "transformers, whole logits": lambda: theirs(model, pairs),
    }
    print(f"{2 * len(pairs)} responses, {sum(pair.kept_tokens for pair in pairs):,} tokens; nats a response")
    with torch.no_grad():
        exact = {name: read() for name, read in ways.items()}
        with torch.autocast("cpu", torch.bfloat16):
            rounded = {name: read() for name, read in ways.items()}
    truth = exact["transformers, whole logits"]
    print(f"{'':<28}{'fp32 differs':>14}{'bf16, rms':>11}{'bf16, mean':>12}")
    for name in ways:
        error = rounded[name] - truth
        most = (exact[name] - truth).abs().max()
        print(f"{name:<28}{most:>14.4f}{error.square().mean().sqrt():>11.3f}{error.mean():>+12.3f}")


if __name__ == "__main__":
    main()
