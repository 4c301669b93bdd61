#!/usr/bin/env bash
# transformers 5.19.0, jinja2 3.1.6, with the models' own chat templates as TRL 1.16.0 ships them.
#
# OpenAI's format has a call's arguments as JSON text. Which form a template takes is nowhere declared. Llama 3.1,
# 3.2, Qwen2.5 and gpt-oss encode the text a second time; Gemma 4 puts braces around the braces; Qwen3.5 and Nemotron
# 3 raise; DeepSeek-V3 is the other way round and raises for a mapping; Qwen3's takes both.
#
# Why it surprises: no error, and what comes out is valid JSON of another type: a string. Whom it costs what: the
# model learns to emit arguments that every parser reads as a string, so each call fails in deployment after a
# training run with a falling loss.
#
# Seen:
#   qwen3: as text {"name": "weather", "arguments": {"city": "Bern"}}
#   qwen2_5: as text {"name": "weather", "arguments": "{\"city\": \"Bern\"}"}
#   llama3_1: as text {"name": "weather", "parameters": "{\"city\": \"Bern\"}"}<|eot_id|>
#   llama3_2: as text {"name": "weather", "parameters": "{\"city\": \"Bern\"}"}<|eot_id|>
#   gptoss: as text .weather<|channel|>commentary json<|message|>"{\"city\": \"Bern\"}"<|call|>
#   gemma4: as text <|tool_call>call:weather{{"city": "Bern"}}<tool_call|><|tool_response>
#   qwen3_5_think: as text TypeError: Can only get item pairs from a mapping.
#   nemotron_3_nano: as text TypeError: Can only get item pairs from a mapping.
#   deepseekv3: as text {"city": "Bern"}
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


def row(arguments):
    call = {"id": "call_0001", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    return [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "City."}},
            "required": ["city"],
        },
    },
}


def end(name, arguments):
    try:
        text = render(name, row(arguments), tools=[TOOL])
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return next((line for line in text.splitlines()[::-1] if "Bern" in line), "no arguments")


TWICE = r'"{\"city\": \"Bern\"}"'
KNOWN = {
    "qwen3": (False, True, True),
    "qwen2_5": (True, True, True),
    "llama3_1": (True, True, True),
    "llama3_2": (True, True, True),
    "gptoss": (True, True, True),
    "gemma4": (False, True, True),
    "qwen3_5_think": (False, True, False),
    "nemotron_3_nano": (False, True, False),
    "deepseekv3": (False, False, True),
}
for name, known in KNOWN.items():
    mapping, text = end(name, {"city": "Bern"}), end(name, '{"city": "Bern"}')
    print(f"{name}: as text {text[-75:]}")
    same(name, (TWICE in text, "Error" not in mapping, "Error" not in text), known)
same("Gemma 4's braces", '{{"city": "Bern"}}' in end("gemma4", '{"city": "Bern"}'), True)
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py"
