"""Reward models of one number whose class transformers does not have: a decoder that it has, under another head.

    EurusRewardModel                 openbmb/Eurus-RM-7b; as RewardBench's LlamaRewardModel, on Mistral
    LlamaRewardModel                 openbmb/UltraRM-13b; RewardBench, models/openbmb.py, commit 853ec54
    Qwen2ForRewardModel              Qwen/Qwen2.5-Math-RM-72B; SGLang, python/sglang/srt/models/qwen2_rm.py
    INFORMForSequenceClassification  infly/INF-ORM-Llama3.1-70B; RewardBench, models/inform.py, commit 2819480

Each reads the last hidden state at the last token of the conversation: one linear layer without bias, or two with bias
and a ReLU between them, the first as wide as the model.
"""

from types import SimpleNamespace
from typing import Any, Final, NamedTuple


class Head(NamedTuple):
    """What a checkpoint calls its head, and what it is made of."""

    name: str
    layers: int  # 1 or 2


HEADS: Final = {
    "EurusRewardModel": Head("regression_head", 1),
    "LlamaRewardModel": Head("regression_head", 1),
    "Qwen2ForRewardModel": Head("score", 2),
    "INFORMForSequenceClassification": Head("score", 2),
}


def headed_decoder(head: Head) -> Any:
    """A class of transformers, to be loaded by `from_pretrained`, whose `logits` have the shape (rows, 1)."""
    import torch
    from torch import nn
    from transformers import AutoModel, PreTrainedModel

    class HeadedDecoder(PreTrainedModel):  # type: ignore[misc]
        _supports_sdpa = True

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            hidden = config.hidden_size
            self.model = AutoModel.from_config(config)
            layers = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
            self.add_module(head.name, layers if head.layers == 2 else nn.Linear(hidden, 1, bias=False))
            self.post_init()

        def forward(self, input_ids: Any, attention_mask: Any) -> SimpleNamespace:
            hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
            last = attention_mask.sum(-1) - 1  # right-padded
            rows = torch.arange(len(last), device=last.device)
            return SimpleNamespace(logits=getattr(self, head.name)(hidden[rows, last]))

    return HeadedDecoder
