#!/usr/bin/env bash
# datasets 5.2.0, pyarrow 26.0.1, jinja2 3.1.6.
#
# load_dataset("json") reads a text field as a timestamp if all its values in the file are ISO dates: `"1848-09-12"`
# in quotes comes back as datetime(1848, 9, 12, 0, 0), also within messages. A chat template prints it as "1848-09-12
# 00:00:00". One answer that is no date, anywhere in this file, and all are text again.
#
# Why it surprises: JSON has no dates, the values are quoted, and the type of a row depends on the other rows. Whom it
# costs what: short-answer and extraction data, a filtered subset or a small shard of it: the chosen answers end in a
# time of day that nobody wrote. `features=` with string doesn't help: it is cast after the reading, and the midnight
# stays, now as text. from_list leaves the strings alone.
#
# Seen:
#   dates: timestamp[s], <|assistant|>1848-09-12 00:00:00<|end|>
#   dates_and_one_sentence: string, <|assistant|>1848-09-12<|end|>
#   dates_with_features: string, <|assistant|>1848-09-12 00:00:00<|end|>
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile datasets==5.2.0 pyarrow==26.0.1 jinja2==3.1.6

cat > "$work/see.py" <<'PY'
import json
import pathlib
import sys

import jinja2
from datasets import Dataset, Features, List, Value, load_dataset


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


folder = pathlib.Path(sys.argv[1])


def read(name, answers, **options):
    path = folder / f"{name}.jsonl"
    rows = [{"messages": [{"role": "assistant", "content": answer}]} for answer in answers]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return load_dataset("json", data_files=str(path), split="train", cache_dir=str(folder / name), **options)


template = jinja2.Template("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}")
dates = ["1848-09-12", "1815-06-18"]
as_text = Features({"messages": List({"role": Value("string"), "content": Value("string")})})
KNOWN = {
    "dates": "<|assistant|>1848-09-12 00:00:00<|end|>",
    "dates_and_one_sentence": "<|assistant|>1848-09-12<|end|>",
    "dates_with_features": "<|assistant|>1848-09-12 00:00:00<|end|>",
}
for name, data in (
    ("dates", read("dates", dates)),
    ("dates_and_one_sentence", read("dates_and_one_sentence", [*dates, "In 1291."])),
    ("dates_with_features", read("dates_with_features", dates, features=as_text)),
):
    kind = data.features["messages"].feature["content"].dtype
    text = template.render(messages=data[0]["messages"])
    print(f"{name}: {kind}, {text}")
    same(name, text, KNOWN[name])
same("from_list", Dataset.from_list([{"chosen": "1848-09-12"}]).features["chosen"].dtype, "string")
PY
HF_DATASETS_DISABLE_PROGRESS_BARS=1 HF_HUB_OFFLINE=1 "$work/venv/bin/python" "$work/see.py" "$work"
