#!/usr/bin/env bash
# transformers 5.19.0, jinja2 3.1.6, with the models' own chat templates as TRL 1.16.0 ships them.
#
# A turn may say something and call a tool. Llama 3.1's and 3.2's templates and gpt-oss's write the call and drop the
# words, without an error; Qwen3's and GLM-4.5's write both.
#
# Why it surprises: both are fields of one valid message, and `content` is the one that everybody reads. Whom it costs
# what: a preference pair whose sides differ in what is said before the same call becomes two equal texts; a judge's
# or reward model's input lacks the words it is asked to judge; "I'll look that up" is never learned.
#
# Seen:
#   llama3_1: words written False, chosen == rejected True
#   llama3_2: words written False, chosen == rejected True
#   gptoss: words written False, chosen == rejected True
#   qwen3: words written True, chosen == rejected False
#   glm4moe: words written True, chosen == rejected False
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


call = {"id": "call_0001", "type": "function", "function": {"name": "refund", "arguments": {"order": 7}}}


def row(words):
    return [
        {"role": "user", "content": "Refund order 7."},
        {"role": "assistant", "content": words, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0001", "content": "done"},
        {"role": "assistant", "content": "It is on its way."},
    ]


KNOWN = {"llama3_1": False, "llama3_2": False, "gptoss": False, "qwen3": True, "glm4moe": True}
for name, known in KNOWN.items():
    polite, rude = render(name, row("Happy to help!")), render(name, row("Not again."))
    written = "Happy to help!" in polite
    print(f"{name}: words written {written}, chosen == rejected {polite == rude}")
    same(name, (written, polite == rude), (known, not known))
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py"
