#!/usr/bin/env bash
# datasets 5.2.0, pyarrow 26.0.1.
#
# Dataset.from_list and pyarrow's Table.from_pylist take their columns from the first row. A key that a later row
# brings in (a margin, a tools list, a system prompt) is gone, with its values. Inside a column it is the other way
# round: keys of messages are united, and every message gets all of them, as null.
#
# Why it surprises: the same call unites keys one level deeper, and a key that a later row lacks is filled with null,
# but nothing is said about a surplus one. Whom it costs what: reward training without its margins, tool rows without
# their tools; whether it happens depends on which row a shuffle puts first.
#
# Seen:
#   datasets, plain row first: [{'chosen': 'a', 'rejected': 'b'}, {'chosen': 'c', 'rejected': 'd'}]
#   datasets, rich row first:  [{'chosen': 'c', 'rejected': 'd', 'margin': 1.5, 'tools': ['search']}, {'chosen':
#     'a', 'rejected': 'b', 'margin': None, 'tools': None}]
#   pyarrow, plain row first: [{'chosen': 'a', 'rejected': 'b'}, {'chosen': 'c', 'rejected': 'd'}]
#   pyarrow, rich row first:  [{'chosen': 'c', 'rejected': 'd', 'margin': 1.5, 'tools': ['search']}, {'chosen': 'a',
#     'rejected': 'b', 'margin': None, 'tools': None}]
#   datasets, a message without the key: {'role': 'user', 'content': 'q', 'reasoning_content': None}
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile datasets==5.2.0 pyarrow==26.0.1

cat > "$work/see.py" <<'PY'
import sys

import pyarrow as pa
from datasets import Dataset


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


plain = {"chosen": "a", "rejected": "b"}
rich = {"chosen": "c", "rejected": "d", "margin": 1.5, "tools": ["search"]}
for name, read in (
    ("datasets", lambda rows: Dataset.from_list(rows).to_list()),
    ("pyarrow", lambda rows: pa.Table.from_pylist(rows).to_pylist()),
):
    late, early = read([plain, rich]), read([rich, plain])
    print(f"{name}, plain row first: {late}")
    print(f"{name}, rich row first:  {early}")
    same(f"{name}, plain row first", late, [plain, {"chosen": "c", "rejected": "d"}])
    same(f"{name}, rich row first", early, [rich, {**plain, "margin": None, "tools": None}])
messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning_content": "r"}]
nested = Dataset.from_list([{"messages": messages}])[0]["messages"][0]
print(f"datasets, a message without the key: {nested}")
same("nested", nested, {"role": "user", "content": "q", "reasoning_content": None})
PY
"$work/venv/bin/python" "$work/see.py"
