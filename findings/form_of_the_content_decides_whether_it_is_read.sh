#!/usr/bin/env bash
# transformers 5.19.0, jinja2 3.1.6, with the models' own chat templates as TRL 1.16.0 ships them.
#
# A content may be text or a list of parts; both are valid and mean the same. SmolVLM's and Idefics3's templates loop
# over the letters of a plain text, find no part among them and write empty turns. Qwen3's text models do the
# opposite: a list of text parts is an empty turn. Llama 3 prints the Python list. None of them raises.
#
# Why it surprises: Qwen2.5-VL's takes both and Qwen2.5's raises, so one expects a rendering or an error. Whom it
# costs what: a VLM trained on text-only rows, or a text model on rows of a multimodal set: every turn is empty, the
# loss falls fast (it is only headers) and nobody looks. Where TRL holds a VLM's processor it makes parts of the text
# first; the tokenizer's apply_chat_template, seen here, doesn't.
#
# Seen:
#   smolvlm: text written False, parts written True
#   idefics3: text written False, parts written True
#   qwen3: text written True, parts written False
#   qwen3_instruct_2507: text written True, parts written False
#   qwen2_5_vl: text written True, parts written True
#   smolvlm, text: '<|im_start|>User: <end_of_utterance>\nAssistant: <end_of_utterance>\n'
#   qwen3, parts:  '<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n'
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


def row(form):
    return [{"role": "user", "content": form("Why?")}, {"role": "assistant", "content": form("Because.")}]


text, parts = row(str), row(lambda words: [{"type": "text", "text": words}])
KNOWN = {
    "smolvlm": (False, True),
    "idefics3": (False, True),
    "qwen3": (True, False),
    "qwen3_instruct_2507": (True, False),
    "qwen2_5_vl": (True, True),
}
for name, known in KNOWN.items():
    found = tuple("Because." in render(name, rows) for rows in (text, parts))
    print(f"{name}: text written {found[0]}, parts written {found[1]}")
    same(name, found, known)
print(f"smolvlm, text: {render('smolvlm', text)!r}")
print(f"qwen3, parts:  {render('qwen3', parts)!r}")
same("SmolVLM's turns", render("smolvlm", text).count("User: <end_of_utterance>\nAssistant: <end_of_utterance>"), 1)
same("Llama 3 prints a list", "[{'type': 'text', 'text': 'Because.'}]" in render("llama3", parts), True)
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py"
