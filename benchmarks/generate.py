"""What a generation costs over its engines: tokens/s of answering over a bare `LLM.generate` of the same requests, and
of annotating over bare forward passes of the same conversations; alternating, in one run.

    python benchmarks/generate.py
    python benchmarks/generate.py --prompts 32 --tokens 64 --rounds 3

Answering is everything between prompts and a filled ledger: chat template, ids, fixed batches, an emptied prefix cache
at each, progress, Parquet parts, and the table of what was said. The bare call gets all requests at once, and its
outputs are dropped. Annotating is everything between that table and scores; the bare passes get the conversations as
padded batches of the same rows. Both sides of each comparison share one loaded engine with the same settings.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def generation(folder: Path, arguments: argparse.Namespace) -> Any:
    """A starter generation."""
    from flows.recipe.generation import Generation

    return Generation.model_validate(
        {
            "name": "benchmark",
            "prompts": [
                {"kind": "starter", "path": str(ROOT / "data_cards/starter/responses.parquet"), "prompts": "test"}
            ],
            "max_prompts": arguments.prompts,
            "policies": [
                {"model": "smollm2", "engine": "vllm", "max_new_tokens": arguments.tokens, "max_concurrency": 96}
            ],
            "annotators": [{"kind": "reward", "model": "starter", "batch": arguments.reward_batch}],
            "repeats": 0,
            "batch": arguments.batch,
            "output": {"dir": str(folder / "out")},
            "ledger": str(folder / "ledger"),
        }
    )


def started(folder: Path, config: Any, name: str) -> Any:
    """A run with its prompts read, and a ledger of its own."""
    from flows.generate.plan import plan_generation
    from flows.generate.prompts import read_prompts
    from flows.generate.run import GenerationRun
    from flows.generate.sources import load

    work = folder / name
    work.mkdir()
    run = GenerationRun(plan_generation(config.model_copy(update={"ledger": str(work / "ledger")})), work)
    read_prompts(run, load(run))
    run.drawn = min(config.max_prompts, run.prompted.prompts)
    return run


def at_once(_name: str, work: Callable[[], None]) -> None:
    work()


def answering(run: Any) -> Callable[[], int]:
    """The answering stage; returns how to run it."""
    from flows.generate.answering import answer

    def work() -> int:
        answer(run, 0, run.drawn, at_once)
        return int(run.spend.tokens_generated)

    return work


def bare_answering(run: Any, engine: Any) -> Callable[[], int]:
    """One LLM.generate of every request."""
    from flows.generate.answering import requests_of
    from transforms.engines.vllm_completions import _params

    policy = run.plan.policies[0]
    requests = list(requests_of(run, policy, 0, run.drawn))
    prompts = [{"prompt_token_ids": list(request.token_ids)} for request in requests]
    params = [_params(request, policy.voice.sampling) for request in requests]

    def work() -> int:
        llm = engine._process._llm
        llm.reset_prefix_cache()
        return sum(len(out.outputs[0].token_ids) for out in llm.generate(prompts, params, use_tqdm=False))

    return work


def annotating(run: Any) -> Callable[[], int]:
    """The annotating stage over the run's answers."""
    from flows.generate.annotating import annotate

    def work() -> int:
        annotate(run, 0, at_once)
        return int(run.plan.annotators[0].spend.tokens_generated)

    return work


def bare_annotating(run: Any, engine: Any, arguments: argparse.Namespace) -> Callable[[], int]:
    """Forward passes of the same conversations, in batches of the same rows."""
    from flows.generate.annotating import _part
    from transforms.engines.batches import longest_first

    groups = [group for number in range(len(run.answers)) for group in _part(run, number).groups]
    requests = run.plan.annotators[0]._requests(groups, 0)
    unique = list({request.request_id: request for request in requests}.values())
    unique.sort(key=lambda request: (len(request.token_ids), request.request_id))
    batches = [unique[at : at + arguments.reward_batch] for at in range(0, len(unique), arguments.reward_batch)]

    def work() -> int:
        for batch in batches:
            for rows in longest_first([len(request.token_ids) for request in batch], engine._budget):
                engine._forward([batch[row].token_ids for row in rows])
        return sum(len(request.token_ids) for request in unique)

    return work


def timed(name: str, work: Callable[[], int]) -> float:
    start = time.perf_counter()
    tokens = work()
    rate = tokens / (time.perf_counter() - start)
    print(f"{name:<28} {tokens:>7,} tokens  {rate:>6,.0f} tokens/s", flush=True)
    return rate


def compare(
    what: str, rounds: int, ours: Callable[[int], Callable[[], int]], bare: Callable[[int], Callable[[], int]]
) -> None:
    """Print both speeds, alternating, and their ratios."""
    ratios = []
    for number in range(rounds):
        mine, theirs = ours(number), bare(number)
        ratios.append(timed(what, mine) / timed("bare", theirs))
    print(f"{what} / bare: {', '.join(f'{ratio:.2f}' for ratio in ratios)}   (target ≥ 0.95)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128, help="new tokens a response at most")
    parser.add_argument("--batch", type=int, default=2048, help="responses an engine call; the recipe's default")
    parser.add_argument("--reward-batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    from flows.generate import voices
    from flows.generate.answering import calls_of
    from flows.models import recipe_models

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = generation(folder, arguments)
        runs = {number: started(folder, config, f"run-{number}") for number in range(arguments.rounds)}
        policy = runs[0].plan.policies[0]
        calls_of(runs[0], policy)  # tells it its longest prompt
        engine = policy.open()
        closes, kept = engine.close, patch.object(engine, "close", lambda: None)  # one engine for all rounds
        try:
            with kept, patch.object(voices, "open_sampler", lambda *_: engine):
                bare_answering(runs[0], engine)()  # warm
                compare(
                    "answering",
                    arguments.rounds,
                    lambda number: answering(runs[number]),
                    lambda number: bare_answering(runs[number], engine),
                )
        finally:
            closes()
        reward: Any = recipe_models.open_reward(runs[0].plan.annotators[0]._model, config.annotators[0])
        kept = patch.object(reward, "close", lambda: None)
        with kept, patch.object(recipe_models, "open_reward", lambda *_: reward):
            bare_annotating(runs[0], reward, arguments)()  # warm
            compare(
                "annotating",
                arguments.rounds,
                lambda number: annotating(runs[number]),
                lambda number: bare_annotating(runs[number], reward, arguments),
            )


if __name__ == "__main__":
    main()
