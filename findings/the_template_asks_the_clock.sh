#!/usr/bin/env bash
# transformers 5.19.0, tokenizers 0.23.3, with the models' own chat templates as TRL 1.16.0 ships them.
#
# Llama 3.2's and gpt-oss's chat templates call `strftime_now`: the ids of a conversation depend on the day on which
# it is tokenised. Llama 3.1's, of the same text, has a fixed date.
#
# Why it surprises: apply_chat_template looks like a pure function of messages and template, and the change sits in a
# system turn that one didn't write. Whom it costs what: completions sampled yesterday don't begin with today's prompt
# ids; cached reference log-probs, reward scores and prefix caches are of another prompt; two "equal" runs differ, and
# evaluation sees a date that training never saw. `date_string=` fixes Llama's; for gpt-oss pass a `strftime_now`.
#
# Seen:
#   llama3_1: same prompt on two days True
#   llama3_2: same prompt on two days False
#       Today Date: 29 Nov 2026
#   gptoss: same prompt on two days False
#       Current date: 2026-11-29
#   muse_glimmer: same prompt on two days False
#       Current date: 2026-11-29.
#   qwen3: same prompt on two days True
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile transformers==5.19.0 tokenizers==0.23.3 jinja2==3.1.6
"$work/venv/bin/pip" install -qq --no-compile --no-deps trl==1.16.0

cat > "$work/see.py" <<'PY'
import datetime as dates
import pathlib
import sys
from importlib.util import find_spec

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

FOLDER = pathlib.Path(find_spec("trl").origin).parent / "chat_templates"
words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>")


def render(name, messages, **options):
    template = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    return tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **options)


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


def on(day, name, **options):
    """The rendering on a day: the module's clock is replaced, nothing else."""

    class Clock(dates.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromisoformat(day)

    chat_template_utils.datetime = Clock
    return render(name, [{"role": "user", "content": "Hi"}], **options)


KNOWN = {"llama3_1": True, "llama3_2": False, "gptoss": False, "muse_glimmer": False, "qwen3": True}
for name, known in KNOWN.items():
    first, second = on("2026-11-28", name), on("2026-11-29", name)
    print(f"{name}: same prompt on two days {first == second}")
    for line in second.splitlines():
        if "2026" in line and line not in first.splitlines():
            print(f"    {line}")
    same(name, first == second, known)
fixed = {"date_string": "26 Jul 2024"}
same("Llama with a date", on("2026-11-28", "llama3_2", **fixed) == on("2026-11-29", "llama3_2", **fixed), True)
same("gpt-oss with a date", on("2026-11-28", "gptoss", **fixed) == on("2026-11-29", "gptoss", **fixed), False)
clock = {"strftime_now": lambda form: "2024-07-26"}
same("gpt-oss with a clock", on("2026-11-28", "gptoss", **clock) == on("2026-11-29", "gptoss", **clock), True)
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py"
