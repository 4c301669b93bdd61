#!/usr/bin/env bash
# tokenizers 0.23.3.
#
# A chat header that ends in a blank line ("assistant\n\n") is one token when it is the end of a prompt and two when
# an ordinary answer follows, if the vocabulary splits text as GPT-2 does: its `\s+(?!\S)` leaves the last white-space
# character to the next word. So the prompt's ids are a prefix of no conversation. Llama 3's way of splitting, for
# which that header was made, has it the other way round: only an answer that begins with a newline merges with the
# header.
#
# Why it surprises: the text of the prompt is a prefix of the text, and the same template is exact with the other
# vocabulary or with one newline. Whom it costs what: slicing `ids[len(prompt_ids):]` puts the header's second newline
# at the front of every answer, behind a prompt that no server sends; sampled completions never begin so; all rows, no
# error.
#
# Seen:
#   gpt2: header end ['ĊĊ'], before 'Hello' ['Ċ', 'Ċ', 'Hello'], prompt is a prefix: False
#   gpt2: header end ['ĊĊ'], before '\nHello' ['ĊĊ', 'Ċ', 'Hello'], prompt is a prefix: True
#   gpt2: header end ['Ċ'], before 'Hello' ['Ċ', 'Hello'], prompt is a prefix: True
#   llama3: header end ['ĊĊ'], before 'Hello' ['ĊĊ', 'Hello'], prompt is a prefix: True
#   llama3: header end ['ĊĊ'], before '\nHello' ['ĊĊĊ', 'Hello'], prompt is a prefix: False
#   llama3: header end ['Ċ'], before '\nHello' ['ĊĊ', 'Hello'], prompt is a prefix: False
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile tokenizers==0.23.3

cat > "$work/see.py" <<'PY'
import sys

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "llama3": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
}
LINES = ["assistant\n\n\nHello there\n\n\n- Hello\n\n"] * 50
KNOWN = {
    ("gpt2", "\n\n", "Hello"): (False, 1, ["Ċ", "Ċ", "Hello"]),
    ("gpt2", "\n\n", "\nHello"): (True, 1, ["ĊĊ", "Ċ", "Hello"]),
    ("gpt2", "\n", "Hello"): (True, 1, ["Ċ", "Hello"]),
    ("llama3", "\n\n", "Hello"): (True, 1, ["ĊĊ", "Hello"]),
    ("llama3", "\n\n", "\nHello"): (False, 1, ["ĊĊĊ", "Hello"]),
    ("llama3", "\n", "\nHello"): (False, 1, ["ĊĊ", "Hello"]),
}
for (split, end, answer), known in KNOWN.items():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = SPLITS[split], decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|start|>", "<|end|>"]
    bpe.train_from_iterator(
        LINES,
        trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=special, show_progress=False),
    )
    head = len(bpe.encode("<|start|>assistant").tokens)
    prompt = bpe.encode(f"<|start|>assistant{end}").tokens
    whole = bpe.encode(f"<|start|>assistant{end}{answer}").tokens
    found = (whole[: len(prompt)] == prompt, len(prompt) - head, whole[head:])
    print(f"{split}: header end {prompt[head:]}, before {answer!r} {whole[head:]}, prompt is a prefix: {found[0]}")
    same((split, end, answer), found, known)
PY
"$work/venv/bin/python" "$work/see.py"
