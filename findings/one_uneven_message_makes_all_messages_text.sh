#!/usr/bin/env bash
# datasets 5.2.0, pyarrow 26.0.1, polars 2.1.0.
#
# load_dataset("json") keeps messages as structs if all have the same keys. As soon as one message in the file has one
# more, the whole column becomes `List(Json)`: in memory nothing changes, but in Parquet each message is a string of
# JSON, and polars finds text where yesterday's file had role and content. Written by from_list the same rows are
# structs with nulls.
#
# Why it surprises: `dataset[0]` shows the same Python dicts; the type on disk depends on the least regular row of the
# file, or on which of the library's two readers was used. Whom it costs what: a pipeline reads shards apart: one tool
# call in a shard and an expression on the messages' fields fails there, or a length in characters counts the JSON.
#
# Seen:
#   even rows: datasets reads {'role': 'user', 'content': 'q'}, polars {'role': 'user', 'content': 'q'}
#   one uneven row: datasets reads {'role': 'user', 'content': 'q'}, polars '{"role":"user","content":"q"}'
#   the same by from_list: datasets reads {'role': 'user', 'content': 'q', 'reasoning_content': None}, polars
#     {'role': 'user', 'content': 'q', 'reasoning_content': None}
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile datasets==5.2.0 pyarrow==26.0.1 polars==2.1.0

cat > "$work/see.py" <<'PY'
import json
import pathlib
import sys

import polars as pl
from datasets import Dataset, load_dataset


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


folder = pathlib.Path(sys.argv[1])
even = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
uneven = {"messages": [even["messages"][0], {**even["messages"][1], "reasoning_content": "r"}]}


def read(name, rows):
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return load_dataset("json", data_files=str(path), split="train", cache_dir=str(folder / name))


STRUCT = {"role": "user", "content": "q"}
for name, data, known in (
    ("even rows", read("even", [even] * 3), STRUCT),
    ("one uneven row", read("uneven", [even, even, uneven]), '{"role":"user","content":"q"}'),
    ("the same by from_list", Dataset.from_list([even, even, uneven]), {**STRUCT, "reasoning_content": None}),
):
    path = folder / f"{name}.parquet"
    data.to_parquet(path)
    found = pl.read_parquet(path)["messages"].to_list()[0][0]
    print(f"{name}: datasets reads {data[0]['messages'][0]}, polars {found!r}")
    same(f"{name} in Parquet", found, known)
same("dicts in memory", read("again", [even, even, uneven])[0], even)
PY
HF_DATASETS_DISABLE_PROGRESS_BARS=1 HF_HUB_OFFLINE=1 "$work/venv/bin/python" "$work/see.py" "$work"
