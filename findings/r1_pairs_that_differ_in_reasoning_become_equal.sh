#!/usr/bin/env bash
# trl 1.16.0, transformers 5.19.0, datasets 5.2.0, torch 2.13.0 (CPU).
#
# DeepSeek-R1-Distill's template deletes an assistant turn up to `</think>`, while its generation prompt opens
# `<think>`. DPOTrainer takes what both have in common: prompts without `<think>`, responses without reasoning. A pair
# that differs in its reasoning only becomes two equal lists of ids. A warning names the `<think>` that the prompt
# lost; that all reasoning is gone, and that pairs are equal, isn't said.
#
# Why it surprises: SFT in TRL swaps in a patched template for assistant-only loss, DPO doesn't; the loss starts at
# 0.693 as always and the pairs that differ in the answer still move it. Whom it costs what: reasoning preference
# data: the run teaches to answer without thinking behind a header that no server sends.
#
# Seen:
#   generation prompt: '<｜User｜>2+2?<｜Assistant｜><think>\n'
#   DPOTrainer's prompt: '<｜User｜>2+2?<｜Assistant｜>'
#   DPOTrainer's chosen: '\n\n4<｜end▁of▁sentence｜>'
#   DPOTrainer's rejected: '\n\n4<｜end▁of▁sentence｜>'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile \
  torch==2.13.0 transformers==5.19.0 tokenizers==0.23.3 trl==1.16.0 datasets==5.2.0 accelerate==1.15.0

cat > "$work/see.py" <<'PY'
import pathlib
import sys
from importlib.util import find_spec

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


template = pathlib.Path(find_spec("trl").origin).parent / "chat_templates" / "deepseek_r1_distill.jinja"
tokenizer.chat_template = template.read_text(encoding="utf-8")
row = {
    "prompt": [{"role": "user", "content": "2+2?"}],
    "chosen": [{"role": "assistant", "content": "<think>\nAdd them.\n</think>\n\n4"}],
    "rejected": [{"role": "assistant", "content": "<think>\nIs it 5? 6? 5? Say 4.\n</think>\n\n4"}],
}
made = trainer(Dataset.from_list([row])).train_dataset[0]
found = {name: tokenizer.decode(made[f"{name}_ids"]) for name in row}
prompt = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
print(f"generation prompt: {prompt!r}")
for name, text in found.items():
    print(f"DPOTrainer's {name}: {text!r}")
same(
    "rows",
    found,
    {
        "prompt": "<｜User｜>2+2?<｜Assistant｜>",
        "chosen": "\n\n4<｜end▁of▁sentence｜>",
        "rejected": "\n\n4<｜end▁of▁sentence｜>",
    },
)
same("the pair is equal", made["chosen_ids"] == made["rejected_ids"], True)
PY
HF_DATASETS_DISABLE_PROGRESS_BARS=1 HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TQDM_DISABLE=1 \
  "$work/venv/bin/python" "$work/see.py" "$work" 2> "$work/log" ||
  { tail -5 "$work/log" >&2; exit 1; }
