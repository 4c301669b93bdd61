#!/usr/bin/env bash
# polars 2.1.0.
#
# read_ndjson, scan_ndjson and DataFrame(rows) look for keys in the first 100 rows. What appears later for the first
# time is dropped without an error, columns and, worse, keys within messages: a `reasoning_content` or `tool_calls`
# that the 101st conversation brings in is gone in the middle of an otherwise whole row. `infer_schema_length=None`
# keeps it.
#
# Why it surprises: the option's name speaks of types, a wrong type after row 100 is an error, and a surplus key
# isn't. Whom it costs what: sets that are sorted by kind (plain chats first, reasoning or tools after): half of the
# set trains without its reasoning, and row counts agree.
#
# Seen:
#   read_ndjson, 99 plain rows first: margin kept True, reasoning kept True
#   scan_ndjson, 99 plain rows first: margin kept True, reasoning kept True
#   DataFrame, 99 plain rows first: margin kept True, reasoning kept True
#   read_ndjson, 100 plain rows first: margin kept False, reasoning kept False
#   scan_ndjson, 100 plain rows first: margin kept False, reasoning kept False
#   DataFrame, 100 plain rows first: margin kept False, reasoning kept False
#   another type in row 101: ComputeError
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile polars==2.1.0

cat > "$work/see.py" <<'PY'
import json
import pathlib
import sys

import polars as pl


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


path = pathlib.Path(sys.argv[1]) / "chats.jsonl"


def row(extra):
    answer = {"role": "assistant", "content": "a", **({"reasoning_content": "because"} if extra else {})}
    return {"messages": [{"role": "user", "content": "q"}, answer], **({"margin": 1.5} if extra else {})}


def kept(frame):
    last = frame.to_dicts()[-1]
    return "margin" in last, "reasoning_content" in last["messages"][1]


for plain, known in ((99, (True, True)), (100, (False, False))):
    rows = [row(extra=False)] * plain + [row(extra=True)]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    for name, frame in (
        ("read_ndjson", pl.read_ndjson(path)),
        ("scan_ndjson", pl.scan_ndjson(path).collect()),
        ("DataFrame", pl.DataFrame(rows)),
    ):
        found = kept(frame)
        print(f"{name}, {plain} plain rows first: margin kept {found[0]}, reasoning kept {found[1]}")
        same(f"{name} after {plain}", found, known)
same("all rows looked at", kept(pl.read_ndjson(path, infer_schema_length=None)), (True, True))
path.write_text("\n".join(map(json.dumps, [{"margin": 1}] * 100 + [{"margin": "x"}])) + "\n")
try:
    wrong_type = str(pl.read_ndjson(path)["margin"].dtype)
except pl.exceptions.PolarsError as error:
    wrong_type = type(error).__name__
print(f"another type in row 101: {wrong_type}")
same("another type", wrong_type, "ComputeError")
PY
"$work/venv/bin/python" "$work/see.py" "$work"
