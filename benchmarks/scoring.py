"""What does it cost to score the completions of one prefix? The prefix read once, against each conversation by itself.

    python benchmarks/scoring.py --data FOLDER --reward runs/real/reward

FOLDER holds `alpacaeval_responses.parquet` (instruction, response). Each group is an instruction of about 60 tokens,
the first 190 tokens of a response and `--n` continuations of at most 128 tokens: those of the response itself and of
other responses to the instruction, which need not make sense to cost what completions cost. Both ways take turns on one
loaded model; prints tokens a second (of conversations), tokens that went through the model a completion, and how far
apart the rewards are.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

PROMPT, PREFIX, COMPLETION = 60, 190, 128


def conversations(path: Path, prompts: int, n: int) -> list[list[int]]:
    """Token ids of prompts · n conversations, completion after completion of one prefix."""
    import polars as pl

    from transforms.engines.tokenizer import load_tokenizer

    tokenizer: Any = load_tokenizer("smollm2")
    groups = pl.read_parquet(path).group_by("instruction", maintain_order=True).agg("response")
    found: list[list[int]] = []
    for instruction, responses in groups.iter_rows():
        turns = [{"role": "user", "content": instruction}]
        asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(asked, add_special_tokens=False).input_ids
        texts = [tokenizer(text, add_special_tokens=False).input_ids for text in responses]
        long = [ids for ids in texts if len(ids) >= PREFIX + COMPLETION]
        if len(long) < n or not PROMPT - 20 <= len(prompt) <= PROMPT + 20:
            continue
        prefix = long[0][:PREFIX]
        found += [[*prompt, *prefix, *ids[PREFIX : PREFIX + COMPLETION]] for ids in long[:n]]
        if len(found) >= prompts * n:
            break
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--reward", required=True, help="folder of a reward model in SmolLM2's tokens")
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--n", type=int, default=8, help="completions of a prefix")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="bfloat16")
    arguments = parser.parse_args()
    from transforms.engines.models import resolve_model
    from transforms.engines.protocol import ScoreRequest
    from transforms.engines.transformers_rewards import TransformersRewards

    rows = conversations(arguments.data / "alpacaeval_responses.parquet", arguments.prompts, arguments.n)
    tokens = sum(map(len, rows))
    print(f"{len(rows)} conversations of {tokens / len(rows):.0f} tokens, {arguments.n} completions a prefix")
    model = resolve_model(arguments.reward, engine="transformers", dtype=arguments.dtype)
    engines: dict[str, Any] = {
        name: TransformersRewards(model, share_prefixes=name == "prefix once") for name in ("each alone", "prefix once")
    }
    read = dict.fromkeys(engines, 0)
    for name, engine in engines.items():
        forward = engine._model.model.forward

        def counted(*given: Any, name: str = name, forward: Any = forward, **rest: Any) -> Any:
            read[name] += rest["input_ids"].numel() if "input_ids" in rest else given[0].numel()
            return forward(*given, **rest)

        engine._model.model.forward = counted
    requests = [ScoreRequest(str(row), ids) for row, ids in enumerate(rows)]
    for engine in engines.values():
        engine.score(requests[: 2 * arguments.n])  # warm, and the trial is over
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    found: dict[str, list[float]] = {}
    for number in range(arguments.rounds):
        for name in list(engines)[:: 1 if number % 2 else -1]:
            read[name] = 0
            started = time.perf_counter()
            found[name] = engines[name].score(requests)
            seconds[name].append(time.perf_counter() - started)
    for name in engines:
        speeds = ", ".join(f"{tokens / one:,.0f}" for one in seconds[name])
        print(f"{name:<12} {speeds} tokens/s; {read[name] / len(rows):.0f} tokens read a completion")
    ratios = [alone / once for alone, once in zip(*seconds.values(), strict=True)]
    print(f"ratios of the rounds {', '.join(f'{one:.2f}' for one in ratios)}")
    apart = [abs(a - b) for a, b in zip(*found.values(), strict=True)]
    print(f"rewards apart at most {max(apart):.2g}, of {max(map(abs, found['each alone'])):.3g}")


if __name__ == "__main__":
    main()
