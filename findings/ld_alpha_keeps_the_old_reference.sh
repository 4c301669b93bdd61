#!/usr/bin/env bash
# trl 1.16.0, transformers 5.19.0, datasets 5.2.0, torch 2.13.0 (CPU).
#
# With precompute_ref_log_probs=True DPOTrainer caches the reference's log-probs by the dataset's fingerprint and the
# model. `ld_alpha` (LD-DPO's weight of the tokens beyond the shorter response) changes what those log-probs are but
# isn't in the key: with max_length=None a second run with another ld_alpha reads the first run's numbers. With a
# max_length it works, because a filter step happens to put all arguments into the fingerprint.
#
# Why it surprises: the policy's log-probs follow the new value, the reference's don't; no message, a plausible loss.
# Whom it costs what: a sweep over ld_alpha compares runs whose margins start at the difference of two definitions
# (here 131 nats) instead of 0, and concludes that ld_alpha hurts.
#
# Seen:
#   max_length None, ld_alpha 1.0: cached -160.0, computed -160.0
#   max_length None, ld_alpha 0.0: cached -160.0, computed -28.6
#   max_length 1024, ld_alpha 1.0: cached -160.0, computed -160.0
#   max_length 1024, ld_alpha 0.0: cached -28.6, computed -28.6
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile \
  torch==2.13.0 transformers==5.19.0 tokenizers==0.23.3 trl==1.16.0 datasets==5.2.0 accelerate==1.15.0

cat > "$work/see.py" <<'PY'
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


pairs = [{"prompt": "Q: ", "chosen": "a long answer about the sky", "rejected": "blue"}] * 2
Dataset.from_list(pairs).save_to_disk(folder / "pairs")
for max_length, stale in ((None, True), (1024, False)):
    for ld_alpha in (1.0, 0.0):
        run = trainer(
            Dataset.load_from_disk(folder / "pairs"),
            precompute_ref_log_probs=True,
            ld_alpha=ld_alpha,
            max_length=max_length,
            per_device_train_batch_size=2,
        )
        run.get_train_dataloader()
        cached = run.train_dataset[0]["ref_chosen_logps"]
        with torch.no_grad():
            true, _ = run.compute_ref_log_probs(run.model, run.data_collator([run.train_dataset[0]]))
        found = abs(cached - true.item()) > 1
        print(f"max_length {max_length}, ld_alpha {ld_alpha}: cached {cached:.1f}, computed {true.item():.1f}")
        same(f"max_length {max_length}, ld_alpha {ld_alpha}: stale", found, stale and ld_alpha == 0.0)
PY
HF_DATASETS_DISABLE_PROGRESS_BARS=1 HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TQDM_DISABLE=1 \
  "$work/venv/bin/python" "$work/see.py" "$work" 2> "$work/log" ||
  { tail -5 "$work/log" >&2; exit 1; }
