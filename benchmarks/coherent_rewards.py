"""Does `reward.regularizer: temporally_coherent` earn its place? Two reward models, one trained with it.

    python benchmarks/coherent_rewards.py --data FOLDER --out runs/coherent
    python benchmarks/coherent_rewards.py --data FOLDER --out runs/coherent --steps judge curve

FOLDER holds `alpacaeval_responses.parquet` (instruction, model, response, win_prob) and `raw/*.jsonl`. Trains both on
the same pairs in the same order (`train`), holds them against pairs of other instructions by the share of each response
that is read (`judge`), and compares what they say of prefixes with their own rewards of sampled completions (`curve`:
prefix quality ΔQ(k) of UltraFeedback pairs that neither has seen).
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.real_data import draw, prompts_of  # noqa: E402

REGULARIZERS: Final[dict[str, dict[str, Any]]] = {
    "plain": {},
    "coherent": {"regularizer": "temporally_coherent"},
}
SHARES: Final = (0.25, 0.5, 0.75)


def command(*arguments: str) -> None:
    """One of the project's commands, as a user gives it."""
    subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, check=True)


def write_pairs(data: Path, out: Path, *, prompts: int, longest: int) -> None:
    """train.jsonl and test.jsonl, of instructions that no raw file has; to train on, each response is in one pair."""
    responses, seen = data / "alpacaeval_responses.parquet", prompts_of(data / "raw")
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in draw(responses, seen, prompts=prompts, per_prompt=4, longest=longest).items():
        pairs = list(apart(rows)) if name == "train" else rows
        lines = [json.dumps({key: row[key] for key in ("prompt", "chosen", "rejected")}) for row in pairs]
        (out / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        print(f"{name}: {len(pairs)} pairs of {len({row['source_id'] for row in pairs})} instructions")


def apart(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Those whose responses are in no earlier one."""
    used: set[tuple[str, str]] = set()
    for row in rows:
        both = {(row["source_id"], row[side]) for side in ("chosen", "rejected")}
        if not both & used:
            used |= both
            yield row


def train(out: Path, arguments: argparse.Namespace) -> None:
    """Both reward models, equal but for the regularizer."""
    source = {"kind": "preference", "path": str(out / "train.jsonl")}
    command(
        "flows.curate", "--config", "flows/configs/shp-truncate.yaml", "--name", "coherent",
        "--sources", json.dumps([source]), "--truncate.method", "none", "--truncate.ratio", "null",
        "--output.dir", str(out / "pairs"), "--output.overwrite", "true", "--output.test_size", "0",
    )  # fmt: skip
    steps = {"learning_rate": arguments.learning_rate, "pairs_per_step": 16, "epochs": arguments.epochs, "seed": 0}
    memory = {"batch_tokens": 4096, "dtype": "auto", "gradient_checkpointing": False}
    for name, reward in REGULARIZERS.items():
        given = reward and reward | {"lookahead": arguments.lookahead, "smoothness": arguments.smoothness}
        recipe = {
            "name": name,
            "kind": "reward",
            "dataset": {"path": str(out / "pairs"), "kept": "full", "splits": ["train"]},
            "model": {"model": "smollm2"},
            "optimisation": steps | {"schedule": "cosine", "warmup": 0.1, "weight_decay": 0.01},
            "memory": memory,
            "reward": given,
            "output": {"dir": str(out / name), "overwrite": True},
        }
        (out / f"{name}.yaml").write_text(json.dumps(recipe))
        command("flows.train", str(out / f"{name}.yaml"))


def judge(out: Path) -> None:
    """Accuracy on the other instructions by the share that is read."""
    for name in REGULARIZERS:
        recipe = {
            "name": name,
            "sources": [{"kind": "preference", "path": str(out / "test.jsonl")}],
            "reward": {"model": str(out / name / "model"), "dtype": "auto", "ratios": list(SHARES)},
            "output": {"dir": str(out / f"{name}-judged"), "overwrite": True},
            "ledger": str(out / "ledger"),
        }
        (out / f"{name}-judged.yaml").write_text(json.dumps(recipe))
        command("flows.evaluate", str(out / f"{name}-judged.yaml"))
    print("share read  " + "".join(f"{name:>28}" for name in REGULARIZERS))
    found = {name: json.loads((out / f"{name}-judged" / "evaluation.json").read_text()) for name in REGULARIZERS}
    curves = {name: one["reward"]["kept"]["by_ratio"] for name, one in found.items()}
    for at in range(len(SHARES) + 1):
        points = [curve[at] for curve in curves.values()]
        shown = "".join(f"{p['mean']:>12.1%} [{p['low']:.1%}, {p['high']:.1%}]" for p in points)
        print(f"{points[0]['at']:>10.0%}  {shown}")


def curve(data: Path, out: Path, *, pairs: int, n: int) -> None:
    """ΔQ(k) of UltraFeedback pairs by values and by completions, each by the same reward model."""
    from transforms.audit.advice import values_in_words
    from transforms.statistics.intervals import MeanRecord

    found = {}
    for name in REGULARIZERS:
        recipe = {
            "name": name,
            "sources": [{"kind": "ultrafeedback", "path": str(data / "raw" / "ultrafeedback.jsonl")}],
            "truncate": {"method": "poet"},
            "policy": {"model": "smollm2", "dtype": "auto"},
            "sampling": {"n": n, "max_new_tokens": 128, "temperature": 1.0, "batch": 256},
            "reward": {"model": str(out / name / "model"), "dtype": "auto", "batch": 256},
            "output": {"dir": str(out / f"{name}-curated")},
            "ledger": str(out / "ledger"),
        }
        (out / f"{name}-audit.yaml").write_text(json.dumps(recipe))
        looked = {"pairs": pairs, "n": n, "curve-pairs": pairs, "curve-tokens": 128, "position-pairs": 0}
        flags = [word for flag, value in looked.items() for word in (f"--{flag}", str(value))]
        command("flows.audit", str(out / f"{name}-audit.yaml"), *flags, "--out", str(out / f"{name}-audit"))
        found[name] = json.loads((out / f"{name}-audit" / "audit.json").read_text())
    for name, audit in found.items():
        print(f"{name}: a pair's ΔQ(k) by values and by {n} completions a side, {audit['curve_pairs']} pairs")
        agree = audit["values_agree"]
        print("  " + (values_in_words(MeanRecord.model_validate(agree)) if agree else "no rank correlation"))
        read = {point["at"]: point for point in audit["values_by_tokens"]}
        for sampled in audit["quality_by_tokens"]:
            points = [sampled, *([read[sampled["at"]]] if sampled["at"] in read else [])]
            both = "".join(f"{p['mean']:+9.3f} [{p['low']:+.3f}, {p['high']:+.3f}]" for p in points)
            print(f"  k = {sampled['at']:>4.0f}  completions, values {both}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", nargs="+", default=["train", "judge", "curve"])
    parser.add_argument("--prompts", type=int, default=230, help="instructions to train on; half as many to judge")
    parser.add_argument("--longest", type=int, default=1200, help="characters of a response")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--lookahead", type=float, default=0.1)
    parser.add_argument("--smoothness", type=float, default=0.1)
    parser.add_argument("--curve-pairs", type=int, default=64, help="UltraFeedback pairs of ΔQ(k)")
    parser.add_argument("--n", type=int, default=2, help="completions a prefix")
    arguments = parser.parse_args()
    data, out = arguments.data.resolve(), arguments.out.resolve()
    if "train" in arguments.steps:
        write_pairs(data, out, prompts=arguments.prompts, longest=arguments.longest)
        train(out, arguments)
    if "judge" in arguments.steps:
        judge(out)
    if "curve" in arguments.steps:
        curve(data, out, pairs=arguments.curve_pairs, n=arguments.n)


if __name__ == "__main__":
    main()
