"""Real responses with real judgements through the whole pipeline, on a CPU.

    python benchmarks/real_data.py --data FOLDER --out runs/real

FOLDER holds `alpacaeval_responses.parquet` (instruction, model, response, win_prob) and `raw/*.jsonl`, one file a
source kind. Trains a reward model on pairs of instructions that no raw file has, measures it on further ones,
curates every raw file with truncation only, then two of them with sampling and scoring, and prints what came out.
"""

import argparse
import json
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

KINDS = {
    "ultrafeedback": "ultrafeedback",
    "ultrafeedback_binarized": "ultrafeedback_binarized",
    "skywork_reward_preference": "skywork",
    "rlhflow_pair": "rlhflow",
    "princeton_onpolicy": "onpolicy",
    "shp": "shp",
    "sharegpt_dpo": "sharegpt",
}
SAMPLED = {"ultrafeedback": ["--truncate.method", "poet"], "skywork_reward_preference": ["--truncate.method", "ratio"]}


def prompts_of(raw: Path) -> set[str]:
    """Every user text in the raw files, so that none of them is trained on."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.add(value.strip())
        elif isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    for path in sorted(raw.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            walk(json.loads(line))
    return found


def draw(
    responses: Path, seen: set[str], *, prompts: int, per_prompt: int, seed: int = 0, longest: int = 3000
) -> dict[str, Any]:
    """Pairs of `per_prompt` random responses of instructions that are not `seen`: train and, of half as many, test.

    Responses of `longest` characters or more are left out.
    """
    import polars as pl

    from transforms.sources.canonical import Message, pair_id

    rng = random.Random(seed)
    groups = (
        pl.read_parquet(responses)
        .group_by("instruction", maintain_order=True)
        .agg("response", "win_prob", pl.col("category").first())
    )
    free = [row for row in groups.iter_rows(named=True) if row["instruction"].strip() not in seen]
    rng.shuffle(free)
    halves: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    for number, group in enumerate(free[: prompts + prompts // 2]):
        usable = [i for i, text in enumerate(group["response"]) if text.strip() and len(text) < longest]
        if len(usable) < per_prompt:
            continue
        for first, second in combinations(rng.sample(usable, per_prompt), 2):
            better, worse = sorted((first, second), key=lambda i: -group["win_prob"][i])
            if group["win_prob"][better] == group["win_prob"][worse]:
                continue
            prompt = [{"role": "user", "content": group["instruction"]}]
            chosen, rejected = group["response"][better], group["response"][worse]
            halves["train" if number < prompts else "test"].append(
                {
                    "pair_id": pair_id((Message("user", group["instruction"]),), chosen, rejected),
                    "source": group["category"],
                    "source_id": str(number),
                    "prompt": prompt,
                    "chosen": chosen,
                    "rejected": rejected,
                    "chosen_finished": True,
                    "rejected_finished": True,
                }
            )
    return halves


def train(responses: Path, seen: set[str], out: Path, *, prompts: int) -> None:
    """A reward model on whole responses, and its accuracy on instructions of neither half."""
    import pyarrow as pa

    from trainers.rewards.fit import RewardTrainConfig, train_reward_model
    from transforms.chat.tokens import ChatTokens
    from transforms.engines.starter_model import smollm2_folder
    from transforms.engines.tokenizer import load_tokenizer
    from transforms.preparation.prepare import prepare
    from transforms.preparation.truncation import Truncation
    from transforms.tables.schema import PAIRS

    chat = ChatTokens(load_tokenizer("smollm2"))
    tables = {
        name: prepare(pa.Table.from_pylist(rows, schema=PAIRS), chat, Truncation(method="none"), max_length=None).pairs
        for name, rows in draw(responses, seen, prompts=prompts, per_prompt=4).items()
    }
    result = train_reward_model(
        tables["train"],
        policy=smollm2_folder(),
        out=out,
        config=RewardTrainConfig(),
        evaluation={"held-out instructions": tables["test"]},
    )
    for name, found in {"cross-validation": result.validation, **result.evaluation}.items():
        print(f"reward model, {name}: {found.accuracy:.1%} [{found.low:.1%}, {found.high:.1%}] of {found.pairs} pairs")


def curate(data: Path, out: Path, name: str, kind: str, flags: list[str], limit: int | None = None) -> dict[str, Any]:
    """Run the command and return its manifest."""
    source = {"kind": kind, "path": str(data / "raw" / f"{name}.jsonl"), "limit": limit}
    command = [sys.executable, "-m", "flows.curate", "--config", "flows/configs/shp-truncate.yaml"]
    command += ["--name", name, "--sources", json.dumps([source])]
    command += ["--output.dir", str(out), "--output.overwrite", "true"]
    subprocess.run([*command, *flags], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return manifest


def row(name: str, manifest: dict[str, Any]) -> str:
    counts, tokens = manifest["counts"], manifest["tokens"]
    before = tokens["chosen_before"] + tokens["rejected_before"]
    after = tokens["chosen_after"] + tokens["rejected_after"]
    return (
        f"{name:<27} {counts['raw_rows']:>5} rows {counts['pairs']:>5} pairs {counts['kept']:>5} kept "
        f"{json.dumps(counts['dropped'])} {counts['quarantined']} quarantined, {1 - after / max(before, 1):.1%} saved"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=100, help="instructions to train the reward model on")
    parser.add_argument("--steps", nargs="+", default=["truncate", "reward", "sample"])
    parser.add_argument("--limit", type=int, help="rows of each sampled file; all by default")
    parser.add_argument("--n", type=int, default=3)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    arguments = parser.parse_args()
    data, out = arguments.data.resolve(), arguments.out.resolve()
    if "truncate" in arguments.steps:
        truncate_all(data, out)
    if "reward" in arguments.steps:
        train(
            data / "alpacaeval_responses.parquet", prompts_of(data / "raw"), out / "reward", prompts=arguments.prompts
        )
    if "sample" in arguments.steps:
        sample_some(data, out, n=arguments.n, max_new_tokens=arguments.max_new_tokens, limit=arguments.limit)


def truncate_all(data: Path, out: Path) -> None:
    """Every raw file through POET, nothing sampled."""
    for name, kind in KINDS.items():
        flags = ["--truncate.method", "poet", "--truncate.ratio", "null"]
        print(row(name, curate(data, out / f"{name}-poet", name, kind, flags)), flush=True)


def sample_some(data: Path, out: Path, *, n: int, max_new_tokens: int, limit: int | None) -> None:
    """Two raw files with completions and rewards."""
    for name, cut in SAMPLED.items():
        flags = [*cut, "--truncate.ratio", "0.5" if "ratio" in cut else "null", "--policy.engine", "auto"]
        flags += ["--reward", json.dumps({"model": str(out / "reward")}), "--sampling.n", str(n)]
        flags += ["--sampling.max_new_tokens", str(max_new_tokens), "--ledger", str(out / "ledger")]
        manifest = curate(data, out / f"{name}-sampled", name, KINDS[name], flags, limit=limit)
        print(row(name + " sampled", manifest))
        for rate in manifest["consistency"]:
            interval = f"{rate['rate']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}]"
            print(f"  consistency against {rate['reference']}: {interval}, {rate['sampled']} pairs sampled")
            print(f"  before any cut the reward model orders {rate['reward_agrees']:.1%} as the label does")
        print(f"  completions {manifest['completions']}\n  scores {manifest['scores']}", flush=True)


if __name__ == "__main__":
    main()
