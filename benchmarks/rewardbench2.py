"""Are our scores of RewardBench 2 those of the benchmark's own code, for the same rewards?

    python3 -m venv rewardbench && rewardbench/bin/pip install --no-deps rewardbench==0.1.4 && \\
        rewardbench/bin/pip install transformers==4.51.0 torch datasets pandas fschat accelerate "trl<0.20" wandb einops
    python benchmarks/rewardbench2.py --python rewardbench/bin/python

Draws rewards for rows in the benchmark's layout, hands them to `reroll_and_score_dataset` and `process_single_model` of
the package in its environment as `scripts/run_v2.py` does, and to `transforms.evaluation.rewardbench2`. Rewards are
drawn three times: none alike, rounded to bfloat16, and whole numbers, of which many are alike. There the release leaves
questions whose right responses score alike out of one mean (0.01 of the score of Ties), and the code at a0096928 does
not; what that is worth is printed below. Exit code 1 where a score differs by more than rounding.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from transforms.evaluation.rewardbench2 import (  # noqa: E402
    MARGIN,
    SUBSETS,
    Rewarded,
    subset_records,
    ties_record,
    ties_score,
)

ROUNDING: Final = 1e-12
THEIRS: Final = """
import json, sys
from datasets import Dataset
from rewardbench.utils import process_single_model, reroll_and_score_dataset
rows = json.load(sys.stdin)
unrolled = [
    {"text": str(at), "scores": score, "subset": row["subset"], "id": row["id"]}
    for row in rows for at, score in enumerate(row["scores"])
]
whole = reroll_and_score_dataset(Dataset.from_list(unrolled), [len(row["scores"]) for row in rows])
whole = whole.add_column("num_correct", [row["num_correct"] for row in rows])
found = {}
for subset in sorted({row["subset"] for row in rows}):
    mine = whole.filter(lambda example: example["subset"] == subset)
    if subset.lower() == "ties":
        found[subset] = float(process_single_model(mine)[1])
    else:
        found[subset] = sum(mine["results"]) / len(mine["results"])
json.dump(found, sys.stdout)
"""


def draw(rng: np.random.Generator, kind: str, rows: int, questions: int) -> list[Rewarded]:
    """Rows of all subsets, right responses a little better than wrong ones."""

    def rewards(count: int, shift: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        found = rng.normal(shift, 1.0, count)
        if kind == "whole":
            return np.round(found)
        if kind == "bfloat16":  # the upper half of a float32
            return (
                (found.astype(np.float32).view(np.uint32) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(float)
            )
        return found

    made = [
        Rewarded(f"{subset}-{row}", subset, str(row), rewards(1, 0.7), rewards(3, 0.0))
        for subset in SUBSETS[:-1]
        for row in range(rows)
    ]
    for number in range(questions):
        right, wrong = int(rng.integers(2, 9)), int(rng.integers(3, 12))
        made.append(Rewarded(f"tied:{number}", "Ties", str(number), rewards(right, 2.5), rewards(wrong, 0.0)))
        made.append(Rewarded(f"ref:{number}", "Ties", str(number), rewards(1, 2.5), rewards(wrong, 0.0)))
    return made


def theirs(python: str, rows: Sequence[Rewarded]) -> dict[str, float]:
    """Scores by subset, by the package's own functions."""
    content = [
        {
            "id": row.source_id,
            "subset": row.subset,
            "scores": [*row.chosen.tolist(), *row.rejected.tolist()],
            "num_correct": len(row.chosen),
        }
        for row in rows
    ]
    done = subprocess.run(
        [python, "-c", THEIRS], input=json.dumps(content), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{python} cannot run rewardbench:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def ours(rows: Sequence[Rewarded]) -> tuple[dict[str, float], float]:
    """Scores by subset, and that of Ties as the release has it."""
    scores = {record.subset: record.value for record in subset_records(rows)}
    ties = [row for row in rows if row.subset == "Ties"]
    parts = ties_record(ties)
    if parts is None:
        raise SystemExit("no question of Ties was drawn: give --questions 1 or more")
    apart = [row.source_id.partition(":")[2] for row in ties if row.source_id[0] == "t" and np.ptp(row.chosen) > 0]
    some = ties_record([row for row in ties if row.source_id.partition(":")[2] in apart])
    released = ties_score(parts) - MARGIN * parts.margin + MARGIN * (some.margin if some else 0.0)
    return scores, released


def main() -> int:
    """Draw, score twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="of an environment with rewardbench 0.1.4")
    parser.add_argument("--rows", type=int, default=100, help="of each subset but Ties")
    parser.add_argument("--questions", type=int, default=50, help="of Ties")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.python is None:
        print(__doc__)
        return 2
    rng, worst = np.random.default_rng(arguments.seed), 0.0
    print(f"{'rewards':<10} {'subset':<12} {'theirs':>18} {'ours':>18} {'difference':>11}")
    for kind in ("real", "bfloat16", "whole"):
        rows = draw(rng, kind, arguments.rows, arguments.questions)
        expected = theirs(arguments.python, rows)
        found, released = ours(rows)
        for subset in SUBSETS:
            mine = released if subset == "Ties" else found[subset]
            difference = abs(mine - expected[subset])
            worst = max(worst, difference)
            print(f"{kind:<10} {subset:<12} {expected[subset]:>18.15f} {mine:>18.15f} {difference:>11.1e}")
        if found["Ties"] != released:
            print(
                f"{kind:<10} {'Ties, a0096928':<12} {'':>16} {found['Ties']:>18.15f} {found['Ties'] - released:>+11.1e}"
            )
    print("equal" if worst <= ROUNDING else f"DIFFERENT by {worst:.1e}")
    return 0 if worst <= ROUNDING else 1


if __name__ == "__main__":
    raise SystemExit(main())
