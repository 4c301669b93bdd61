#!/usr/bin/env bash
# trl 1.16.0, transformers 5.19.0, datasets 5.2.0, torch 2.13.0 (CPU).
#
# DPOTrainer appends the end-of-sequence to plain-text pairs. Whether a row is plain text it asks of one column,
# popped from a *set* of column names. If the data also have a `messages` column (sets that offer both forms have one
# beside prompt, chosen and rejected), the answer depends on PYTHONHASHSEED, which Python draws anew for every
# process: with one seed in four or so the rows are "conversational" and get no end-of-sequence. Ids and losses look
# normal.
#
# Why it surprises: a column that the trainer doesn't use, equal code, data and `seed=`, and another training set.
# Whom it costs what: some runs of a sweep never learn to stop; nobody can reproduce which. `remove_columns` prevents
# it.
#
# Seen:
#   PYTHONHASHSEED=0: chosen ' Hi!</s>', with a messages column beside it ' Hi!</s>'
#   PYTHONHASHSEED=4: chosen ' Hi!</s>', with a messages column beside it ' Hi!'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile \
  torch==2.13.0 transformers==5.19.0 tokenizers==0.23.3 trl==1.16.0 datasets==5.2.0 accelerate==1.15.0

cat > "$work/see.py" <<'PY'
import os
import pathlib
import sys

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


folder = pathlib.Path(sys.argv[1])
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
special = ["</s>", "<pad>", "<think>", "</think>"]
bpe.train_from_iterator(
    [], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=special, show_progress=False)
)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>", pad_token="<pad>")
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=300,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    eos_token_id=tokenizer.eos_token_id,
    pad_token_id=tokenizer.pad_token_id,
)
LlamaForCausalLM(config).save_pretrained(folder / "model")


def trainer(rows, **options):
    options = {"output_dir": str(folder / "out"), "report_to": [], "use_cpu": True, "bf16": False, **options}
    return DPOTrainer(
        model=str(folder / "model"), args=DPOConfig(**options), train_dataset=rows, processing_class=tokenizer
    )


pair = {"prompt": "Say hi.", "chosen": " Hi!", "rejected": " No."}
chat = {"messages": [{"role": "user", "content": "Say hi."}, {"role": "assistant", "content": "Hi!"}]}
seed = os.environ["PYTHONHASHSEED"]
KNOWN = {"0": (" Hi!</s>", " Hi!</s>"), "4": (" Hi!</s>", " Hi!")}
rows = [trainer(Dataset.from_list([row])).train_dataset[0] for row in (pair, {**pair, **chat})]
found = tuple(tokenizer.decode(row["chosen_ids"]) for row in rows)
print(f"PYTHONHASHSEED={seed}: chosen {found[0]!r}, with a messages column beside it {found[1]!r}")
same(f"PYTHONHASHSEED={seed}", found, KNOWN[seed])
PY
for seed in 0 4; do
  env HF_DATASETS_DISABLE_PROGRESS_BARS=1 HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TQDM_DISABLE=1 \
    PYTHONHASHSEED=$seed "$work/venv/bin/python" "$work/see.py" "$work" 2> "$work/log" ||
    { tail -5 "$work/log" >&2; exit 1; }
done
