#!/usr/bin/env bash
# transformers 5.19.0, jinja2 3.1.6, with the models' own chat templates as TRL 1.16.0 ships them.
#
# `"tool_calls": []` beside an ordinary answer (a logged chat, a dump of objects with defaults) is not "no calls".
# DeepSeek-V3's template asks whether the key is there: it leaves the whole answer out and writes the end of a list of
# calls that never began. LFM2.5's appends an empty list of calls that the model then learns to write.
#
# Why it surprises: in Python an empty list is as good as none, most templates (Qwen, Nemotron) treat it so, and the
# text that comes out ends in a proper end-of-turn. Whom it costs what: SFT or DPO on logged chats: all answers of one
# model family are gone, chosen and rejected are equal, the loss stays at 0.693 and nothing is raised.
#
# Seen:
#   qwen3_instruct_2507: no key    …'Lima.<|im_end|>\n'
#   qwen3_instruct_2507: empty list …'Lima.<|im_end|>\n'
#   deepseekv3: no key    …'Peru?<｜Assistant｜>Lima.<｜end▁of▁sentence｜>'
#   deepseekv3: empty list …'Peru?<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'
#   lfm2_2_5: no key    …'Lima.<|im_end|>\n'
#   lfm2_2_5: empty list …'Lima.<|tool_call_start|>[]<|tool_call_end|><|im_end|>\n'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile transformers==5.19.0 tokenizers==0.23.3 jinja2==3.1.6
"$work/venv/bin/pip" install -qq --no-compile --no-deps trl==1.16.0

cat > "$work/see.py" <<'PY'
import pathlib
import sys
from importlib.util import find_spec

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

FOLDER = pathlib.Path(find_spec("trl").origin).parent / "chat_templates"
words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>")


def render(name, messages, **options):
    template = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    return tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **options)


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


without = [{"role": "user", "content": "Capital of Peru?"}, {"role": "assistant", "content": "Lima."}]
with_none = [without[0], {**without[1], "tool_calls": []}]
KNOWN = {
    "qwen3_instruct_2507": ("Lima.<|im_end|>\n", "Lima.<|im_end|>\n"),
    "deepseekv3": (
        "Peru?<｜Assistant｜>Lima.<｜end▁of▁sentence｜>",
        "Peru?<｜tool▁calls▁end｜><｜end▁of▁sentence｜>",
    ),
    "lfm2_2_5": ("Lima.<|im_end|>\n", "Lima.<|tool_call_start|>[]<|tool_call_end|><|im_end|>\n"),
}
for name, known in KNOWN.items():
    found = tuple(render(name, row)[-len(end) :] for row, end in zip((without, with_none), known))
    print(f"{name}: no key    …{found[0]!r}")
    print(f"{name}: empty list …{found[1]!r}")
    same(name, found, known)
same("answer in DeepSeek's text", "Lima" in render("deepseekv3", with_none), False)
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py"
