#!/usr/bin/env bash
# transformers 5.19.0, tokenizers 0.23.3.
#
# A folder holds a complete tokenizer.json (here a byte-level BPE) and a tokenizer_config.json that says
# `"tokenizer_class": "LlamaTokenizerFast"`, as checkpoints of DeepSeek's do. AutoTokenizer keeps the vocabulary and
# merges and replaces the file's pre-tokenizer and decoder by Llama's own: other ids, and spaces and newlines are gone
# after decoding. The name GPT2TokenizerFast or Qwen2Tokenizer does no harm, and neither does Llama's if config.json
# says `"model_type": "mistral"`. Reported upstream (transformers #45488); some models are excepted there by their hub
# id, so the same files work from the hub and fail from a folder.
#
# Why it surprises: in version 4 the class was a label around tokenizer.json; no warning, no unknown token, a loss
# that falls. Whom it costs what: everybody who exports or fine-tunes with a tokenizer of their own or a local copy:
# the run trains on ids that the model was never trained on, and that no reader of tokenizer.json itself
# (`tokenizers`, a Rust server) produces. PreTrainedTokenizerFast.from_pretrained reads the file as it is.
#
# Seen:
#   tokenizer.json itself: 6 ids
#   LlamaTokenizerFast, model_type llama: same ids False, decoded 'theskyisblue'
#   LlamaTokenizerFast, model_type mistral: same ids True, decoded 'the sky\n\nis blue'
#   GPT2TokenizerFast, model_type llama: same ids True, decoded 'the sky\n\nis blue'
#   Qwen2Tokenizer, model_type llama: same ids True, decoded 'the sky\n\nis blue'
#   PreTrainedTokenizerFast, model_type llama: same ids True, decoded 'the sky\n\nis blue'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile transformers==5.19.0 tokenizers==0.23.3

cat > "$work/see.py" <<'PY'
import json
import pathlib
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
bpe.train_from_iterator(["the sky is blue"] * 3, trainer)
folder = pathlib.Path(sys.argv[1])
PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>").save_pretrained(folder)
settings = json.loads((folder / "tokenizer_config.json").read_text())
text = "the sky\n\nis blue"
true_ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
print(f"tokenizer.json itself: {len(true_ids)} ids")
KNOWN = {
    ("LlamaTokenizerFast", "llama"): (False, "theskyisblue"),
    ("LlamaTokenizerFast", "mistral"): (True, text),
    ("GPT2TokenizerFast", "llama"): (True, text),
    ("Qwen2Tokenizer", "llama"): (True, text),
    ("PreTrainedTokenizerFast", "llama"): (True, text),
}
for (label, model_type), known in KNOWN.items():
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": label}))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    loaded = AutoTokenizer.from_pretrained(folder)
    ids = loaded(text, add_special_tokens=False)["input_ids"]
    found = (ids == true_ids, loaded.decode(ids))
    print(f"{label}, model_type {model_type}: same ids {found[0]}, decoded {found[1]!r}")
    same((label, model_type), found, known)
PY
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py" "$work/model"
