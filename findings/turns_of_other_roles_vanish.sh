#!/usr/bin/env bash
# transformers 5.19.0, jinja2 3.1.6, with the models' own chat templates as TRL 1.16.0 ships them.
#
# A turn whose role the template doesn't list leaves no trace. `developer`, which replaced `system` in OpenAI's API,
# vanishes in Qwen3, DeepSeek-R1 and GLM-4.5; a tool's results vanish in Phi-3; a system turn that is not the first
# vanishes in gpt-oss and Qwen3-VL, while Qwen2.5 writes it and Qwen3.5 raises.
#
# Why it surprises: a chain of `elif role == …` has no `else`, so the usual typo protection of a template engine (an
# undefined name) never fires. Whom it costs what: instructions that made the chosen answer the better one are not in
# the prompt, and answers "come from nowhere": DPO teaches to invent what the tool said.
#
# Seen:
#   developer, qwen3: gone
#   developer, deepseek_r1_distill: gone
#   developer, glm4moe: gone
#   developer, gptoss: written
#   tool, phi3: gone
#   tool, qwen3: written
#   later system, gptoss: gone
#   later system, qwen3_vl: gone
#   later system, qwen2_5: written
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


user, answer = {"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "Yes."}
call = {"id": "call_0001", "type": "function", "function": {"name": "weather", "arguments": {"city": "Bern"}}}
ROWS = {
    "developer": [{"role": "developer", "content": "MARK"}, user, answer],
    "tool": [
        user,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0001", "content": "MARK"},
        answer,
    ],
    "later system": [user, answer, {"role": "system", "content": "MARK"}, user, answer],
}
KNOWN = {
    ("developer", "qwen3"): False,
    ("developer", "deepseek_r1_distill"): False,
    ("developer", "glm4moe"): False,
    ("developer", "gptoss"): True,
    ("tool", "phi3"): False,
    ("tool", "qwen3"): True,
    ("later system", "gptoss"): False,
    ("later system", "qwen3_vl"): False,
    ("later system", "qwen2_5"): True,
}
for (turn, name), known in KNOWN.items():
    found = "MARK" in render(name, ROWS[turn])
    print(f"{turn}, {name}: {'written' if found else 'gone'}")
    same(f"{turn}, {name}", found, known)
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py"
