"""AlpacaEval 2's length-controlled win rates beside those of the package, which has an environment of its own.

    python -m venv /tmp/alpaca-eval && /tmp/alpaca-eval/bin/pip install alpaca_eval==0.6.6
    python benchmarks/alpaca_eval_rates.py --package /tmp/alpaca-eval/bin/python alpacaeval_responses.parquet

The parquet file has columns instruction, model, response and win_prob (over gpt4_1106_preview, one of the models). The
benchmark's df_gamed.csv is not in the package and not here, so two models of the file stand in for the baseline made
longer and shorter, and difficulties are log-odds of the mean win_prob; both sides read the same files. With the real
ones: `--gamed df_gamed.csv --instructions alpaca_eval.json`. Prints both rates, their difference, and what the package
makes of the same judgements in another order.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from transforms.evaluation.alpaca_eval import Judgement, length_controlled, match, over_instructions, read_benchmark

BASELINE = "gpt4_1106_preview"
GAMED = ("gpt-3.5-turbo-1106_verbose", "Mixtral-8x7B-Instruct-v0.1_concise")
MODELS = ("FuseChat-Llama-3.2-1B-Instruct", "claude-2.1", "alpaca-7b")
# The package downloads df_gamed.csv at every call; all else is its own.
ASK = """
import json, sys
import pandas
from alpaca_eval.metrics import glm_winrate
glm_winrate.hf_hub_download = lambda **_: sys.argv[2]
found = glm_winrate.get_length_controlled_winrate(
    pandas.DataFrame(json.load(open(sys.argv[1]))), save_weights_dir=None, is_add_glm_preference_inplace=False
)
print(json.dumps({key: float(value) for key, value in found.items()}))
"""


def package(python: str, annotations: list[dict[str, Any]], gamed: Path, folder: Path) -> float:
    """length_controlled_winrate as the package computes it, in percent."""
    path = folder / "annotations.json"
    path.write_text(json.dumps(annotations))
    done = subprocess.run(
        [python, "-W", "ignore", "-c", ASK, str(path), str(gamed)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the package failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["length_controlled_winrate"])


def judgements(annotations: list[dict[str, Any]]) -> list[Judgement]:
    return [
        Judgement(
            row["instruction"],
            float("nan") if row["preference"] is None else row["preference"] - 1,
            len(row["output_1"]) - len(row["output_2"]),
        )
        for row in annotations
    ]


def stand_in(rows: pl.DataFrame, baseline: dict[str, str], path: Path) -> None:
    """df_gamed.csv's columns, of two models of the file."""
    means = dict(rows.group_by("instruction").agg(pl.col("win_prob").mean()).iter_rows())
    names = list(baseline)
    with path.open("w", newline="") as file:
        fields = ["index", "preference", "std_delta_len", "instruction_difficulty", "not_gamed_baseline", "model"]
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for model in GAMED:
            mine = {row["instruction"]: row for row in rows.filter(pl.col("model") == model).iter_rows(named=True)}
            apart = np.array([len(baseline[n]) - len(mine[n]["response"]) if n in mine else np.nan for n in names])
            spread = np.nanstd(apart, ddof=1)
            for place, name in enumerate(names):
                there = name in mine
                values = [place, mine[name]["win_prob"] if there else 0.5, apart[place] / spread if there else 0.0]
                values += [float(np.log(means[name] / (1 - means[name]))), False, model]
                writer.writerow(dict(zip(fields, values, strict=True)))


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("responses", type=Path)
    parser.add_argument("--package", required=True, help="python of the package's environment")
    parser.add_argument("--gamed", type=Path)
    parser.add_argument("--instructions", type=Path)
    parser.add_argument("--models", nargs="+", default=MODELS)
    options = parser.parse_args(argv)
    rows = pl.read_parquet(options.responses)
    baseline = dict(rows.filter(pl.col("model") == BASELINE).select("instruction", "response").iter_rows())
    order = [{"instruction": name} for name in baseline]
    if options.instructions:
        order = json.loads(options.instructions.read_text())
        baseline = {row["instruction"]: baseline[row["instruction"]] for row in order if row["instruction"] in baseline}
    worst = 0.0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        gamed = options.gamed or folder / "df_gamed.csv"
        if not options.gamed:
            stand_in(rows, baseline, gamed)
        with gamed.open(newline="") as file:
            benchmark = read_benchmark(order, csv.DictReader(file))
        print(
            f"{'model':34} {'package':>14} {'ours':>14} {'apart':>9} {'shuffled: package':>18} {'ours':>14}  interval"
        )
        for model in options.models:
            mine = dict(rows.filter(pl.col("model") == model).select("instruction", "response").iter_rows())
            wins = dict(rows.filter(pl.col("model") == model).select("instruction", "win_prob").iter_rows())
            given = [
                {"instruction": name, "output_1": text, "generator_1": BASELINE, "output_2": mine[name]}
                | {"generator_2": model, "annotator": "made", "preference": 1 + wins[name]}
                for name, text in baseline.items()
                if name in mine
            ]
            shuffled = random.Random(0).sample(given, len(given))
            theirs, theirs_shuffled = (package(options.package, some, gamed, folder) for some in (given, shuffled))
            matched = match(judgements(given), benchmark)
            ours = 100 * length_controlled(matched, benchmark).rate
            ours_shuffled = 100 * length_controlled(match(judgements(shuffled), benchmark), benchmark).rate
            interval = over_instructions(matched, benchmark)
            said = "none" if interval is None else f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
            worst = max(worst, abs(ours - theirs), abs(ours - ours_shuffled))
            print(
                f"{model:34} {theirs:14.9f} {ours:14.9f} {abs(ours - theirs):9.1e} {theirs_shuffled:18.9f} "
                f"{ours_shuffled:14.9f}  {said}"
            )
    print(f"largest difference {worst:.1e} points (wanted: at most 1e-6 of the package's own order)")
    return 0 if worst <= 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
