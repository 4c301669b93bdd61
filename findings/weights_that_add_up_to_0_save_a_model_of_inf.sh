#!/usr/bin/env bash
# mergekit 0.1.5, torch 2.13.0 (CPU).
#
# `merge_method: linear` divides by the sum of the weights unless `normalize: false` says not to. Weights 1 and -1 (what a
# training changed) add up to 0, and the saved checkpoint is inf in every tensor: exit code 0, no warning. Weights 0.5 and
# -0.3 are scaled fivefold to 2.5 and -1.5.
#
# Why it surprises: 1.1 and -0.1 (extrapolation past one of two models) add up to 1, so that the recipe that one begins
# with is exactly the sum that it says, and the same recipe with other numbers isn't.
# Whom it costs what: differences of models, deltas and sweeps over one weight with the other held fixed: the model that is
# sampled from isn't the one of the recipe, or its every answer is the same token.
#
# Seen:
#   1.1 · 3 + -0.1 · 1 by default: {3.2}, exit code 0, a warning: False
#   0.5 · 3 + -0.3 · 1 by default: {6.0}, exit code 0, a warning: False
#   0.5 · 3 + -0.3 · 1 parameters: {normalize: false}: {1.2}, exit code 0, a warning: False
#   1 · 3 + -1 · 1 by default: {inf}, exit code 0, a warning: False
#   1 · 3 + -1 · 1 parameters: {normalize: false}: {2.0}, exit code 0, a warning: False
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile mergekit==0.1.5 torch==2.13.0 transformers==5.19.0 tokenizers==0.23.3

cat > "$work/see.py" <<'PY'
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

disable_progress_bar()
WORK = Path(sys.argv[1])


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


for name, value in (("instruct", 3.0), ("base", 1.0)):
    config = LlamaConfig(
        vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    model.save_pretrained(WORK / name)
    words = Tokenizer(models.WordLevel({str(number): number for number in range(16)}, unk_token="0"))
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(WORK / name)

for number, (a, b, options, known) in enumerate(
    [
        (1.1, -0.1, "", 3.2),
        (0.5, -0.3, "", 6.0),
        (0.5, -0.3, "parameters: {normalize: false}", 1.2),
        (1, -1, "", float("inf")),
        (1, -1, "parameters: {normalize: false}", 2.0),
    ]
):
    recipe, out = WORK / f"{number}.yml", WORK / str(number)
    recipe.write_text(
        f"merge_method: linear\ndtype: float32\n{options}\nmodels:\n"
        f"  - model: {WORK}/instruct\n    parameters: {{weight: {a}}}\n"
        f"  - model: {WORK}/base\n    parameters: {{weight: {b}}}\n"
    )
    done = subprocess.run([WORK / "venv/bin/mergekit-yaml", recipe, out], capture_output=True, text=True)
    tensors = load_file(out / "model.safetensors").values()
    values = {round(value, 4) for tensor in tensors for value in tensor.unique().tolist()}
    said = "inf" in done.stderr.lower() or "warn" in done.stderr.lower()
    print(f"{a} · 3 + {b} · 1 {options or 'by default'}: {values}, exit code {done.returncode}, a warning: {said}")
    same(f"{a} and {b} {options}", (values, done.returncode, said), ({known}, 0, False))
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py" "$work"
