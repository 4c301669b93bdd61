"""What exact tokens cost, by model family: CPU seconds of this build against an earlier one, alternating.

    git worktree add ../earlier COMMIT
    python benchmarks/prepare_families.py --responses alpacaeval_responses.parquet --earlier ../earlier MODEL ...

A MODEL is a folder with tokenizer, chat template and config. Where a prompt's end has an added token (ChatML, Llama 3,
gpt-oss), only what follows it is encoded with each response; where it has none (Llama 2, Vicuna, Zephyr), the whole
conversation is, and this shows what that costs. The earlier build may make other ids; what is compared is the work.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

STAGES = """
import json, sys, tempfile, time
from pathlib import Path
sys.path.insert(0, ".")
from flows.recipe.curation import Recipe
from flows.curate.judging import judge_parts
from flows.curate.loading import load, prepare_parts
from flows.curate.plan import plan_run
from flows.curate.run import Run
from flows.curate.writing import write_data
with tempfile.TemporaryDirectory() as folder:
    recipe = Recipe.model_validate({
        "name": "benchmark", "sources": [{"kind": "preference", "path": sys.argv[1]}], "truncate": {"method": "poet"},
        "policy": {"model": sys.argv[2], "engine": "none"}, "output": {"dir": folder},
    })
    run = Run(plan_run(recipe), Path(folder))
    cpu = time.process_time()
    prepare_parts(run, load(run))
    judge_parts(run, None)
    written = write_data(run)
    print(json.dumps({"cpu": time.process_time() - cpu, "pairs": sum(map(len, run.judged))}))
"""


def measure(checkout: Path, pairs: Path, model: Path) -> dict[str, float]:
    """CPU seconds from raw rows to shards, in a process of its own with the code of `checkout`."""
    environment = {**os.environ, "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    command = [sys.executable, "-c", STAGES, str(pairs), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=checkout, check=False)
    if done.returncode:
        raise SystemExit(f"{checkout} with {model} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def main() -> None:
    """Draw pairs, alternate the builds, print a line for each family."""
    from benchmarks.prepare import draw_pairs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--responses", type=Path, required=True, help="Parquet file of responses to draw pairs from")
    parser.add_argument("--earlier", type=Path, required=True, help="checkout of the build to compare with")
    parser.add_argument("--pairs", type=int, default=8_000)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    builds = {"earlier": arguments.earlier.resolve(), "this build": ROOT.resolve()}
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.parquet"
        draw_pairs(arguments.responses, arguments.pairs, pairs)
        for model in arguments.models:
            found: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
            for _ in range(arguments.times):
                for name, checkout in builds.items():
                    found[name].append(measure(checkout, pairs, model.resolve()))
            seconds = {name: statistics.median(one["cpu"] for one in runs) for name, runs in found.items()}
            shown = "  ".join(
                f"{name} {seconds[name]:6.2f} s ({found[name][0]['pairs']:,.0f} pairs)" for name in builds
            )
            ratio = seconds["this build"] / seconds["earlier"]
            print(f"{model.name:<20} {shown}  CPU this build / earlier {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
