#!/usr/bin/env bash
# transformers 5.19.0, torch 2.13.0 (CPU).
#
# A *ForSequenceClassification model without attention to the mask: it reads the score at the last id that isn't
# `config.pad_token_id`. With the usual `pad_token = eos_token` the final end-of-turn counts as padding, so a response
# with it and without it get one and the same score, read at the last word. Given as inputs_embeds, the same row with
# the same mask is read at its last position instead, and scores something else.
#
# Why it surprises: the row isn't padded at all, the attention mask says so, and the decoder does see the end-of-turn.
# Whom it costs what: reward models that were trained with a pad token of their own and are served with pad = eos (or
# the reverse): all rewards are of another position; "finished or cut off" can't move a score any more.
#
# Seen:
#   pad is a token of its own: finished 0.0115, cut off -0.0888, finished by embeddings 0.0115
#   pad is the end-of-turn: finished -0.0888, cut off -0.0888, finished by embeddings -0.0454
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile torch==2.13.0 transformers==5.19.0 tokenizers==0.23.3

cat > "$work/see.py" <<'PY'
import sys

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification


def same(what, found, known):
    if found != known:
        sys.exit(f"CHANGED {what}: found {found!r}, known {known!r}")


EOS, PAD = 2, 3
finished = torch.tensor([[5, 6, 7, 8, EOS]])
cut_off = finished[:, :-1]


def scores(pad):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=1,
        eos_token_id=EOS,
        pad_token_id=pad,
    )
    model = LlamaForSequenceClassification(config).eval()
    with torch.no_grad():
        by_ids = model(input_ids=finished, attention_mask=torch.ones_like(finished)).logits
        cut = model(input_ids=cut_off, attention_mask=torch.ones_like(cut_off)).logits
        by_embeds = model(
            inputs_embeds=model.get_input_embeddings()(finished), attention_mask=torch.ones_like(finished)
        ).logits
    return by_ids.item(), cut.item(), by_embeds.item()


def equal(one, other):
    return abs(one - other) < 1e-5


for name, pad, known in (
    ("pad is a token of its own", PAD, (False, True)),
    ("pad is the end-of-turn", EOS, (True, False)),
):
    ids, cut, embeds = scores(pad)
    found = (equal(ids, cut), equal(ids, embeds))
    print(f"{name}: finished {ids:.4f}, cut off {cut:.4f}, finished by embeddings {embeds:.4f}")
    same(name, found, known)
PY
TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" "$work/see.py"
