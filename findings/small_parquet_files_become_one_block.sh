#!/usr/bin/env bash
# ray 2.60.0 (Ray Data), pyarrow 26.0.1.
#
# read_parquet reads small files into one block, with `override_num_blocks=16` too: sixteen files of 100 rows are one block
# of 1,600 rows, and one task does all that is mapped over them. read_json obeys the same option on the same rows.
#
# Why it surprises: “Override the number of output blocks from all read tasks” is what the documentation says of it. Whom
# it costs what: tokenising, sampling or scoring of preference pairs in shards that are small in bytes and dear to
# compute: one of all workers has work. And with `DataContext.max_errored_blocks = 1`, which drops the block of a row that
# raises (as documented): that block is the whole dataset. One row that a template refuses, the job succeeds, and the
# result is empty; the log has the row's error and “Ignoring this exception”, and neither log nor stats() say how many
# rows went. `repartition` is obeyed; and a row's error is caught in the function that is mapped.
#
# Seen:
#   parquet: 1 blocks; one row of 1,600 raises: 0 rows are left
#   parquet, repartition(16): 16 blocks; one row of 1,600 raises: 1,500 rows are left
#   json: 16 blocks; one row of 1,600 raises: 1,500 rows are left
#   3 Ignoring this exception with remaining max_errored_blocks=0
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile "ray[data]==2.60.0" pyarrow==26.0.1

cat > "$work/see.py" <<'PY'
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import ray


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


folder = pathlib.Path(sys.argv[1])
for number in range(16):
    ids = list(range(100 * number, 100 * number + 100))
    (folder / "parquet").mkdir(exist_ok=True)
    (folder / "json").mkdir(exist_ok=True)
    pq.write_table(pa.table({"id": ids}), folder / "parquet" / f"{number:02}.parquet")
    (folder / "json" / f"{number:02}.jsonl").write_text("".join(f'{{"id": {one}}}\n' for one in ids))

ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
context = ray.data.DataContext.get_current()
context.enable_progress_bars = False
WAYS = {
    "parquet": lambda: ray.data.read_parquet(str(folder / "parquet"), override_num_blocks=16),
    "parquet, repartition(16)": lambda: ray.data.read_parquet(str(folder / "parquet")).repartition(16),
    "json": lambda: ray.data.read_json(str(folder / "json"), override_num_blocks=16),
}
KNOWN = {"parquet": (1, 0), "parquet, repartition(16)": (16, 1500), "json": (16, 1500)}


def refuse_one(row):
    if row["id"] == 777:
        raise ValueError("no template for this row")
    return row


for name, read in WAYS.items():
    context.max_errored_blocks = 0
    blocks = read().materialize().num_blocks()
    context.max_errored_blocks = 1
    left = read().map(refuse_one).materialize()
    print(f"{name}: {blocks} blocks; one row of 1,600 raises: {left.count():,} rows are left")
    same(name, (blocks, left.count()), KNOWN[name])
    same(f"stats of {name}", [word for word in ("error", "drop", "fail") if word in left.stats().lower()], [])
ray.shutdown()
PY
RAY_USAGE_STATS_ENABLED=0 "$work/venv/bin/python" "$work/see.py" "$work" 2> "$work/log" || {
    tail -n 30 "$work/log" >&2
    exit 1
}
grep -o "Ignoring this exception[^.]*" "$work/log" | sort | uniq -c
