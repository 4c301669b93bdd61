#!/usr/bin/env bash
# alpaca_eval 0.6.6, scikit-learn 1.9.1, pandas 3.1.1.
#
# AlpacaEval 2's length-controlled win rate has a term for each instruction's difficulty. It is looked up by the number of
# the row in the annotations, not by the instruction: the same judgements in another order have another rate. Nothing is
# said, also not where one instruction has no judgement and all rows after it take their neighbour's difficulty.
#
# Why it surprises: the plain win rate beside it, of the same rows, does not move, and every row carries its instruction.
# Whom it costs what: annotations that were merged from several runs, filtered, sorted, or made by a judge that answers in
# parallel: a rate that is off by as much as what papers report as gains. On 585 real instructions it was 2 to 11 points.
#
# Seen (a made file of difficulties, in df_gamed.csv's columns):
#   in the benchmark's order: win rate 47.26, length-controlled 45.73
#   the same rows shuffled: win rate 47.26, length-controlled 44.52
#   without the first row: length-controlled 44.41
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile alpaca_eval==0.6.6 scikit-learn==1.9.1 pandas==3.1.1

cat > "$work/see.py" <<'PY'
import csv
import math
import random
import sys

import pandas
from alpaca_eval.metrics import glm_winrate

WORK = sys.argv[1]
COUNT = 120
dice = random.Random(0)
difficulty = [3 * math.sin(row) for row in range(COUNT)]
with open(f"{WORK}/df_gamed.csv", "w", newline="") as file:
    out = csv.writer(file)
    out.writerow(["index", "preference", "std_delta_len", "instruction_difficulty", "not_gamed_baseline", "model"])
    for model, side in (("long", -1.0), ("short", 1.0)):
        for row in range(COUNT):
            out.writerow([row, 0.5 - 0.2 * side, side + dice.gauss(0, 0.2), difficulty[row], False, model])
# The package downloads that file from a dataset; it is the only thing that is replaced here.
glm_winrate.hf_hub_download = lambda **_: f"{WORK}/df_gamed.csv"

rows = []
for row in range(COUNT):
    longer = round(60 * difficulty[row]) + dice.randint(-120, 160)  # long answers where it is the better one
    odds = 0.9 * difficulty[row] - 0.2
    rows.append(
        {
            "instruction": f"question {row}",
            "output_1": "b" * 300,
            "generator_1": "baseline",
            "output_2": "m" * (300 + longer),
            "generator_2": "model",
            "annotator": "judge",
            "preference": 1 + 1 / (1 + math.exp(-odds)),
        }
    )


def rates(some):
    found = glm_winrate.get_length_controlled_winrate(
        pandas.DataFrame(some), save_weights_dir=None, is_add_glm_preference_inplace=False
    )
    return round(float(found["win_rate"]), 2), round(float(found["length_controlled_winrate"]), 2)


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


in_order, shuffled, without = rates(rows), rates(random.Random(1).sample(rows, COUNT)), rates(rows[1:])
print(f"in the benchmark's order: win rate {in_order[0]}, length-controlled {in_order[1]}")
print(f"the same rows shuffled: win rate {shuffled[0]}, length-controlled {shuffled[1]}")
print(f"without the first row: length-controlled {without[1]}")
KNOWN = ((47.26, 45.73), (47.26, 44.52), 44.41)
same("in order", in_order, KNOWN[0])
same("shuffled", shuffled, KNOWN[1])
same("without one", without[1], KNOWN[2])
PY
"$work/venv/bin/python" -W ignore "$work/see.py" "$work" 2> "$work/log" || {
    tail -n 30 "$work/log" >&2
    exit 1
}
