#!/usr/bin/env bash
# transformers 5.19.0, jinja2 3.1.6, with the models' own chat templates as TRL 1.16.0 ships them.
#
# Reasoning templates find reasoning by the mere text `</think>`. An answer that talks about the tag is cut at it:
# what stands before the first is moved into a thinking block (last turn) or deleted (earlier turns), and what stands
# between the first and the last is deleted in both (Qwen3, Qwen3.5, GLM-4.5). DeepSeek-R1's and V3's delete all of it
# also in the last turn.
#
# Why it surprises: no reasoning is switched on, `reasoning_content` isn't used, the answer is plain prose about
# prompts, parsers or chat templates. LFM2.5's keeps it in the last turn and cuts it as soon as a turn follows. Whom
# it costs what: code and LLM-help data lose sentences; the model learns to think its answer instead of saying it, and
# a DPO pair that differs before the tag becomes equal.
#
# Seen:
#   qwen3: sentences left as the last turn 2 of 3, as an earlier one 1 of 3
#   qwen3_5_think: sentences left as the last turn 2 of 3, as an earlier one 1 of 3
#   glm4moe: sentences left as the last turn 2 of 3, as an earlier one 1 of 3
#   deepseek_r1_distill: sentences left as the last turn 1 of 3, as an earlier one 1 of 3
#   deepseekv3: sentences left as the last turn 1 of 3, as an earlier one 1 of 3
#   lfm2_2_5: sentences left as the last turn 3 of 3, as an earlier one 1 of 3
#   qwen3_instruct_2507: sentences left as the last turn 3 of 3, as an earlier one 3 of 3
#   qwen3, last turn: 'rt|>assistant\n<think>\nClose it with \n</think>\n\n twice. It works.<|im_end|>\n'
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


answer = "Close it with </think> first. Some write </think> twice. It works."
row = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": answer}]
more = [*row, {"role": "user", "content": "Thanks"}, {"role": "assistant", "content": "Bye"}]
PARTS = ("Close it with", "Some write", "It works.")
KNOWN = {
    "qwen3": ((True, False, True), (False, False, True)),
    "qwen3_5_think": ((True, False, True), (False, False, True)),
    "glm4moe": ((True, False, True), (False, False, True)),
    "deepseek_r1_distill": ((False, False, True), (False, False, True)),
    "deepseekv3": ((False, False, True), (False, False, True)),
    "lfm2_2_5": ((True, True, True), (False, False, True)),
    "qwen3_instruct_2507": ((True, True, True), (True, True, True)),
}
for name, known in KNOWN.items():
    found = tuple(tuple(part in render(name, rows) for part in PARTS) for rows in (row, more))
    print(f"{name}: sentences left as the last turn {sum(found[0])} of 3, as an earlier one {sum(found[1])} of 3")
    same(name, found, known)
print(f"qwen3, last turn: {render('qwen3', row)[-75:]!r}")
same(
    "Qwen3's last turn",
    render("qwen3", row).endswith("<think>\nClose it with \n</think>\n\n twice. It works.<|im_end|>\n"),
    True,
)
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py"
