#!/usr/bin/env bash
# transformers 5.19.0, tokenizers 0.23.3, with gpt-oss's chat template as TRL 1.16.0 ships it.
#
# In gpt-oss's format the channel's name stands as plain text between special tokens.
# decode(skip_special_tokens=True), which is how completions usually become text, takes the marks away and leaves the
# names: the thinking and the answer become one word chain, "analysisAdd them.assistantfinal4".
#
# Why it surprises: for ChatML, Llama and Gemma the same call on the same part of a conversation gives the answer
# alone. Whom it costs what: sampled completions that become preference data or go to a reward model: every text
# begins with "analysis", contains the thinking, and the answer can't be cut out again safely ("assistantfinal" is a
# text, too).
#
# Seen:
#   gptoss: '<|channel|>analysis<|message|>Add them.<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>'
#     -> 'analysisAdd them.assistantfinal4'
#   qwen3_instruct_2507: '4<|im_end|>\n' -> '4\n'
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

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


SPECIAL = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|im_start|>", "<|im_end|>"]
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
bpe.train_from_iterator(
    [], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False)
)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|return|>")
folder = pathlib.Path(find_spec("trl").origin).parent / "chat_templates"
question = {"role": "user", "content": "2+2?"}
answer = {"role": "assistant", "content": "4", "thinking": "Add them."}
KNOWN = {"gptoss": "analysisAdd them.assistantfinal4", "qwen3_instruct_2507": "4\n"}
for name, known in KNOWN.items():
    options = {"chat_template": (folder / f"{name}.jinja").read_text(encoding="utf-8"), "tokenize": False}
    prompt = tokenizer.apply_chat_template([question], add_generation_prompt=True, **options)
    whole = tokenizer.apply_chat_template([question, answer], **options)
    generated = tokenizer(whole.removeprefix(prompt))["input_ids"]
    found = tokenizer.decode(generated, skip_special_tokens=True)
    print(f"{name}: {tokenizer.decode(generated)!r} -> {found!r}")
    same(name, found, known)
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py"
