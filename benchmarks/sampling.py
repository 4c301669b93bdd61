"""Generated tokens/s of the consistency stage over a bare `LLM.generate` of the same requests, in one run.

    python benchmarks/sampling.py --pairs 48
    python benchmarks/sampling.py --pairs 48 --in-flight 32 64 128    # sequences at a time, the bare call

The stage is everything a run does between prepared pairs and a filled ledger: requests and their ids, fixed batches,
an emptied prefix cache at each, progress, Parquet parts. The bare call gets all requests at once. Both engines have
the same settings, are loaded before the clock starts and are warmed up; the order is stage, bare, stage, bare.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def prepared_run(folder: Path, pairs: int, batch: int) -> Any:
    """A starter run up to its prepared pairs."""
    from flows.curate.loading import load, prepare_parts
    from flows.curate.plan import Plan
    from flows.curate.run import Run
    from flows.models.recipe_models import Models
    from flows.recipe.curation import Recipe

    recipe = Recipe.model_validate(
        {
            "name": "benchmark",
            "sources": [
                {"kind": "starter", "path": str(ROOT / "data_cards/starter/responses.parquet"), "prompts": "train"}
            ],
            "policy": {"model": "smollm2", "engine": "vllm", "max_concurrency": 64},
            "sampling": {"n": 3, "max_new_tokens": 160, "batch": batch},
            "reward": {"model": "smollm2"},
            "output": {"dir": str(folder / "out")},
            "ledger": str(folder / "ledger"),
        }
    )
    run = Run(Plan(recipe, folder, [_record()], Models(recipe), "benchmark", None), folder)
    prepare_parts(run, load(run))
    part = run.prepared.read(0).slice(0, pairs)
    run.prepared.write(0, part)
    return run


def _record() -> Any:
    from transforms.records.manifest import SourceRecord

    return SourceRecord(label="starter", kind="starter", path="", revision=None, fingerprint="", raw_rows=0, pairs=0)


def every_sample(run: Any, sampler: Any) -> list[Any]:
    """n completions of every cut response."""
    from transforms.asking.requests import Prefix, cut_sides

    return [
        sample
        for part in run.prepared
        for sample in sampler.samples(
            part, [Prefix(row, side, keep, range(run.recipe.sampling.n)) for row, side, keep in cut_sides(part)]
        )
    ]


def stage(run: Any, engine: Any, ledger: Path) -> Callable[[], int]:
    """The sampling stage into a new ledger; returns how to run it."""
    from flows.curate.sampling import Sampler
    from flows.models import recipe_models as models

    models.open_policy = lambda *_: engine

    def work() -> int:
        run.recipe = run.recipe.model_copy(update={"ledger": str(ledger)})
        run.spend = {}
        sampler = Sampler(run)
        samples = every_sample(run, sampler)
        with run.progress.bar("sample", unit="completions", total=len(samples)) as advance:
            for batch in sampler.batches(samples):
                sampler.calls.run(batch, advance)
        return int(sampler.calls.spend.tokens_generated)

    return work


def bare(run: Any, engine: Any) -> Callable[[], int]:
    """One LLM.generate of every request."""
    from flows.curate.sampling import Sampler
    from transforms.engines.vllm_completions import _params

    sampler = Sampler(run)
    requests = [sample.request for sample in every_sample(run, sampler)]
    prompts = [{"prompt_token_ids": list(request.token_ids)} for request in requests]
    params = [_params(request, sampler.sampling) for request in requests]

    def work() -> int:
        llm = engine._process._llm
        llm.reset_prefix_cache()
        return sum(len(out.outputs[0].token_ids) for out in llm.generate(prompts, params, use_tqdm=False))

    return work


def timed(name: str, work: Callable[[], int]) -> float:
    start = time.perf_counter()
    tokens = work()
    rate = tokens / (time.perf_counter() - start)
    print(f"{name:<28} {tokens:>7,} tokens  {rate:>6,.0f} tokens/s", flush=True)
    return rate


def compare_in_flight(counts: list[int], pairs: int, rounds: int) -> None:
    """The same requests with another number of sequences at a time, an engine each, turn by turn."""
    from flows.models.recipe_models import open_policy

    found: dict[int, list[float]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as name:
        run = prepared_run(Path(name), pairs, 192)
        for _ in range(rounds):
            for count in counts:
                policy = run.recipe.policy.model_copy(update={"max_concurrency": count})
                recipe = run.recipe.model_copy(update={"policy": policy})
                engine = open_policy(run.models.policy, recipe, run.models.context)
                try:
                    work = bare(run, engine)
                    work()  # warms up
                    found[count].append(timed(f"{count} in flight", work))
                finally:
                    engine.close()
    best = max(counts, key=lambda count: sum(found[count]))
    for count, rates in found.items():
        print(f"{count} in flight: {sum(rates) / sum(found[best]):.2f} of {best} in flight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--batch", type=int, default=192, help="requests an engine call; the recipe's default")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--in-flight", nargs="+", type=int, help="compare so many sequences at a time instead")
    arguments = parser.parse_args()
    from flows.models.recipe_models import open_policy

    if arguments.in_flight:
        compare_in_flight(arguments.in_flight, arguments.pairs, arguments.rounds)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = prepared_run(folder, arguments.pairs, arguments.batch)
        engine = open_policy(run.models.policy, run.recipe, run.models.context)
        try:
            ratios = []
            for number in range(arguments.rounds):
                ours = timed("consistency stage", stage(run, engine, folder / f"ledger-{number}"))
                theirs = timed("bare LLM.generate", bare(run, engine))
                ratios.append(ours / theirs)
            print(f"stage / bare: {', '.join(f'{ratio:.2f}' for ratio in ratios)}   (target ≥ 0.95)")
        finally:
            engine.close()


if __name__ == "__main__":
    main()
