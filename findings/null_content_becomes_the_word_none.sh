#!/usr/bin/env bash
# transformers 5.19.0, jinja2 3.1.6, with the models' own chat templates as TRL 1.16.0 ships them.
#
# An assistant turn that only calls a tool has `content: null` in OpenAI's format, and Arrow writes null for any
# message without a content. Five families' templates print it: the training text says "None" (or "null") in the
# assistant's own words. GLM-4.5's does so right before a well-formed tool call; the other four, which write no calls,
# in place of it.
#
# Why it surprises: the row is valid, the template supports tools, other templates test for null, and nothing is
# raised. Whom it costs what: tool-use SFT and preference data; every calling turn teaches the model to say "None"
# first, and a reward model sees it in both responses.
#
# Seen:
#   glm4moe: '<|assistant|>\n<think></think>\nNone\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Bern</ar
#     g_value>\n</tool_call>'
#   lfm2: '<|im_start|>assistant\nnull<|im_end|>\n'
#   llama3: '<|start_header_id|>assistant<|end_header_id|>\n\nNone<|eot_id|>'
#   gemma: '<start_of_turn>model\nNone<end_of_turn>\n'
#   cohere2: '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>None<|END_RESPONSE|><|END_OF_TURN_TOKEN|>'
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


call = {"id": "call_0001", "type": "function", "function": {"name": "weather", "arguments": {"city": "Bern"}}}
row = [
    {"role": "user", "content": "Rain?"},
    {"role": "assistant", "content": None, "tool_calls": [call]},
]
KNOWN = {
    "glm4moe": "<|assistant|>\n<think></think>\nNone\n<tool_call>weather\n<arg_key>city</arg_key>\n"
    "<arg_value>Bern</arg_value>\n</tool_call>",
    "lfm2": "<|im_start|>assistant\nnull<|im_end|>\n",
    "llama3": "<|start_header_id|>assistant<|end_header_id|>\n\nNone<|eot_id|>",
    "gemma": "<start_of_turn>model\nNone<end_of_turn>\n",
    "cohere2": "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>None<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
}
for name, known in KNOWN.items():
    end = render(name, row)[-len(known) :]
    print(f"{name}: {end!r}")
    same(name, end, known)
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py"
