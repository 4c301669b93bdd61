"""Tiny random checkpoints in the layout of published reward models: the names of their configs' fields and tensors."""

import copy
import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from families import family
from safetensors.torch import save_file
from transformers import (
    AddedToken,
    DebertaV2Config,
    DebertaV2Model,
    DebertaV2Tokenizer,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
)

OBJECTIVES = 19
# In the order in which LLM-Blender adds them.
MARKS = ("<|source|>", "<|candidate1|>", "<|candidate2|>", "<|candidate|>")
_TEXT = "the cat sat on mat and dog ran to river one two three four five six seven of a in it is was"
WORDS = tuple(_TEXT.split())


@cache
def llama3() -> PreTrainedTokenizerFast:
    """Llama 3's template and marks on a small vocabulary, in which the header of an answer has as many tokens."""
    made = copy.deepcopy(family("llama3").with_few_tokens().tokenizer())
    made.add_tokens([AddedToken(word, normalized=False) for word in ("assistant", "\n\n")])
    return made


def write(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor], tokenizer: Any) -> Path:
    """A checkpoint as a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def armorm_config(**changes: Any) -> dict[str, Any]:
    """config.json with the fields of RLHFlow/ArmoRM-Llama3-8B-v0.1, all sizes small."""
    return {
        "_name_or_path": "sfairXC/FsfairX-LLaMA3-RM-v0.1",
        "architectures": ["LlamaForRewardModelWithGating"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "auto_map": {"AutoModelForSequenceClassification": "modeling_custom.LlamaForRewardModelWithGating"},
        "bos_token_id": llama3().convert_tokens_to_ids("<|begin_of_text|>"),
        "eos_token_id": llama3().convert_tokens_to_ids("<|eot_id|>"),
        "gating_hidden_dim": 24,
        "gating_n_hidden": 3,
        "gating_temperature": 10,
        "hidden_act": "silu",
        "hidden_size": 32,
        "id2label": {"0": "LABEL_0"},
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "label2id": {"LABEL_0": 0},
        "max_position_embeddings": 512,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "num_objectives": OBJECTIVES,
        "pad_token_id": llama3().pad_token_id,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.41.2",
        "use_cache": True,
        "vocab_size": len(llama3()),
    } | changes


def armorm_tensors(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Random, under the names of the published shards."""
    torch.manual_seed(0)
    known = {key: value for key, value in config.items() if key not in ("architectures", "auto_map", "torch_dtype")}
    tensors = {f"model.{name}": t for name, t in LlamaModel(LlamaConfig(**known)).state_dict().items()}
    for name, tensor in tensors.items():  # wide enough that every token counts
        tensors[name] = torch.randn_like(tensor) * (0.3 if tensor.dim() > 1 else 0.1) + (tensor.dim() == 1)
    count, hidden, width = config["num_objectives"], config["hidden_size"], config["gating_hidden_dim"]
    sizes = [hidden, *[width] * config["gating_n_hidden"], count]
    for layer, (into, out) in enumerate(pairwise(sizes)):
        tensors[f"gating.layers.{layer}.weight"] = torch.randn(out, into)
        tensors[f"gating.layers.{layer}.bias"] = torch.randn(out)
    return tensors | {
        "gating.logit_scale": torch.tensor([1.7]),
        "regression_layer.weight": torch.randn(count, hidden) * 0.3,
        "reward_transform_matrix": torch.eye(count) - 0.2 * torch.rand(count, count),
    }


def save_armorm(folder: Path, **changes: Any) -> Path:
    """A tiny ArmoRM."""
    config = armorm_config(**changes)
    return write(folder, config, armorm_tensors(config), llama3())


@cache
def deberta() -> DebertaV2Tokenizer:
    """A small Unigram tokenizer of the class of microsoft/deberta-v3-large, with PairRM's marks added."""
    letters = "abcdefghijklmnopqrstuvwxyz.,:!?'USERAIst<>0123456789"
    pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "▁", *dict.fromkeys(letters), *(f"▁{word}" for word in WORDS)]
    vocabulary = [(piece, 0.0 if piece[0] == "[" else -float(9 - len(piece))) for piece in pieces]
    made = DebertaV2Tokenizer(vocab=[*vocabulary, ("[MASK]", 0.0)], unk_id=3, model_max_length=4096)
    made.add_tokens([AddedToken(mark, normalized=False) for mark in MARKS])
    return made


def pairrm_config(**changes: Any) -> dict[str, Any]:
    """config.json with the fields of llm-blender/PairRM-hf, all sizes small."""
    tokenizer = deberta()
    ids = dict(zip(("source", "cand1", "cand2", "cand"), tokenizer.convert_tokens_to_ids(list(MARKS)), strict=True))
    return {
        "architectures": ["DebertaV2PairRM"],
        "attention_probs_dropout_prob": 0.1,
        **{f"{name}_prefix_id": value for name, value in ids.items()},
        "drop_out": 0.05,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "layer_norm_eps": 1e-07,
        "max_position_embeddings": 512,
        "max_relative_positions": -1,
        "model_type": "deberta-v2",
        "n_tasks": 1,
        "norm_rel_ebd": "layer_norm",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "pad_token_id": 0,
        "pooler_dropout": 0,
        "pooler_hidden_act": "gelu",
        "pooler_hidden_size": 32,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "position_buckets": 256,
        "relative_attention": True,
        "sep_token_id": tokenizer.sep_token_id,
        "share_att_key": True,
        "torch_dtype": "float32",
        "type_vocab_size": 0,
        "vocab_size": len(tokenizer),
    } | changes


def pairrm_tensors(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Random, under the names of the published class."""
    torch.manual_seed(1)
    known = {key: value for key, value in config.items() if key not in ("architectures", "torch_dtype")}
    tensors = {f"pretrained_model.{n}": t for n, t in DebertaV2Model(DebertaV2Config(**known)).state_dict().items()}
    for name, tensor in tensors.items():
        tensors[name] = torch.randn_like(tensor) * (0.3 if tensor.dim() > 1 else 0.1) + name.endswith("Norm.weight")
    hidden, tasks = config["hidden_size"], config["n_tasks"]
    return tensors | {
        "head_layer.1.weight": torch.randn(hidden, 2 * hidden) * 0.3,
        "head_layer.1.bias": torch.randn(hidden),
        "head_layer.4.weight": torch.randn(tasks, hidden),
        "head_layer.4.bias": torch.randn(tasks),
    }


def save_pairrm(folder: Path, **changes: Any) -> Path:
    """A tiny PairRM."""
    config = pairrm_config(**changes)
    return write(folder, config, pairrm_tensors(config), deberta())


def changed(source: Path, folder: Path, *, drop: str | None = None, **tensors: torch.Tensor) -> Path:
    """The same checkpoint without a tensor, or with others; `__` stands for a dot in their names."""
    from safetensors.torch import load_file

    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    kept = {name: tensor for name, tensor in load_file(source / "model.safetensors").items() if name != drop}
    new = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file(kept | new, folder / "model.safetensors", {"format": "pt"})
    return folder
