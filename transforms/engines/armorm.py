"""Rewards by ArmoRM: 19 objectives, weighed by a gating network that reads the prompt. No code of the checkpoint's.

What the published code computes (`modeling_custom.py` of RLHFlow/ArmoRM-Llama3-8B-v0.1 on the Hub, commit
eb2676d20da2f2d41082289d23c59b9f7427f955; Wang et al. 2024, arXiv 2406.12845, §3). With h the hidden states after the
last norm, z the last token of the conversation and p the end of the turn before the last answer:

    rewards = W_reg h_z                      W_reg: objectives x hidden, no bias
    weights = s · softmax(MLP(h_p) / T)      MLP: linear layers with bias, ReLU between them; s a learned number
    reward  = weights · (rewards M)          M: objectives x objectives, `reward_transform_matrix`

p is the first token of the last `<|eot_id|><|start_header_id|>assistant<|end_header_id|>\\n\\n`, so the weights follow
from the prompt alone. z is the token before the first padding token, which is the last one of a conversation that
spells no padding token; here it is the last one of any. T, the layers and their width are of config.json
(`gating_temperature`, `gating_n_hidden`, `gating_hidden_dim`; 10, 3 and 1024 where it has none, as there). Each
objective's own reward is its row of W_reg h_z, before M.

The head is read and computed in float32 whatever the dtype of the rest: in bfloat16 rewards near 0.15 are steps of
0.001 apart, and many pairs are ties.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from transformers import LlamaModel, LlamaPreTrainedModel

from transforms.engines.batches import longest_first, right_padded
from transforms.engines.checks import check_scores
from transforms.engines.models import ResolvedModel
from transforms.engines.objectives import (
    ARMORM,
    ARMORM_OBJECTIVES,
    config_json,
    gating_position,
    gating_tokens,
    is_armorm,
    names_of,
)
from transforms.engines.protocol import ModelIdentity, Objectives, Progress, ScoreRequest, no_progress
from transforms.engines.reward_checks import load_own_class
from transforms.engines.tokenizer import load_tokenizer
from transforms.errors import EngineError, ModelError


class ArmoRm:
    """Scores in batches of like length, right-padded.

    Attributes:
        identity: what fixes its rewards.
        objectives: the names of what its reward is made of.
    """

    def __init__(self, model: ResolvedModel, *, max_tokens_per_batch: int = 8192) -> None:
        """Load the model, on a GPU if there is one.

        Args:
            model: what `resolve_model` found.
            max_tokens_per_batch: padded tokens in one forward pass; a longer conversation goes alone.

        Raises:
            ModelError: it is another kind of model, its tensors are not all there in their shapes, or its vocabulary
                has no marks of Llama 3.
        """
        self.identity: ModelIdentity = model.identity
        self._model: Any = _load(model)
        config = self._model.config
        self.objectives: tuple[str, ...] = names_of(config.num_objectives)
        tokenizer = load_tokenizer(model.location, model.revision, needs_template=False)
        self._tokens = gating_tokens(
            lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"]), model.identity.name
        )
        self._budget = max_tokens_per_batch
        self._vocab: int = config.vocab_size
        self._context: int = config.max_position_embeddings
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model.to(self._device).eval()

    def score(self, requests: Sequence[ScoreRequest], progress: Progress = no_progress) -> list[float]:
        """Rewards in the order of `requests`; see RewardEngine."""
        return [each.reward for each in self.score_objectives(requests, progress)]

    def score_objectives(self, requests: Sequence[ScoreRequest], progress: Progress = no_progress) -> list[Objectives]:
        """Rewards with those of each objective, in the order of `requests`.

        Raises:
            EngineError: the batch failed as a whole, or a conversation has no header of an answer.
        """
        if self._model is None:
            message = "this reward engine is closed: open another one"
            raise EngineError(message)
        check_scores(requests, vocab=self._vocab, context=self._context)
        places = [self._place(request) for request in requests]
        found: list[Objectives | None] = [None] * len(requests)
        for rows in longest_first([len(request.token_ids) for request in requests], self._budget):
            batch = self._forward([requests[row].token_ids for row in rows], [places[row] for row in rows])
            for row, each in zip(rows, batch, strict=True):
                found[row] = each
            progress(len(rows), sum(len(requests[row].token_ids) for row in rows))
        return [each for each in found if each is not None]

    def close(self) -> None:
        """Free the model."""
        self._model = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _place(self, request: ScoreRequest) -> int:
        place = gating_position(request.token_ids, self._tokens)
        if place is None:
            message = (
                f"request {request.request_id} has no header of an answer (token ids "
                f"{', '.join(map(str, self._tokens))}), where the gating network of {self.identity.name} reads"
            )
            raise EngineError(message)
        return place

    def _forward(self, rows: list[Sequence[int]], places: list[int]) -> list[Objectives]:
        ids, mask = right_padded(rows, 0)  # nothing before the padding sees it, so that any id will do
        last = torch.tensor([len(row) - 1 for row in rows])
        try:
            with torch.inference_mode():
                given = (each.to(self._device) for each in (ids, mask, last, torch.tensor(places)))
                scores, rewards = self._model(*given)
        except (RuntimeError, ValueError, IndexError) as error:
            message = f"the reward model {self.identity.name} failed: {type(error).__name__}: {error}"
            raise EngineError(message) from error
        return [Objectives(*each) for each in zip(scores.double().tolist(), rewards.double().tolist(), strict=True)]


class _Gating(nn.Module):  # type: ignore[misc]
    """One weight an objective, of a prompt's hidden state."""

    def __init__(self, hidden: int, objectives: int, *, width: int, layers: int, temperature: float) -> None:
        super().__init__()
        sizes = [hidden, *[width] * layers, objectives]
        self.layers = nn.ModuleList(nn.Linear(*shape) for shape in pairwise(sizes))
        self.logit_scale = nn.Parameter(torch.ones(1))
        self.temperature = temperature

    def forward(self, prompts: torch.Tensor) -> torch.Tensor:
        """Of shape (rows, objectives), from (rows, hidden)."""
        state = prompts
        for layer in self.layers[:-1]:
            state = torch.relu(layer(state))
        weights: torch.Tensor = torch.softmax(self.layers[-1](state) / self.temperature, dim=-1) * self.logit_scale
        return weights


class _GatedLlama(LlamaPreTrainedModel):  # type: ignore[misc]
    """The tensors of a checkpoint, under its names."""

    _keep_in_fp32_modules_strict = frozenset({"regression_layer", "reward_transform_matrix", "gating"})

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        objectives = config.num_objectives
        self.regression_layer = nn.Linear(config.hidden_size, objectives, bias=False)
        self.reward_transform_matrix = nn.Parameter(torch.eye(objectives))
        self.gating = _Gating(
            config.hidden_size,
            objectives,
            width=config.gating_hidden_dim,
            layers=config.gating_n_hidden,
            temperature=config.gating_temperature,
        )
        self.post_init()

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, last: torch.Tensor, places: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rewards of shape (rows,) and those of objectives, (rows, objectives).

        Args:
            ids: (rows, longest), right-padded.
            mask: likewise, 1 at a row's own tokens.
            last: (rows,), each row's last token.
            places: (rows,), where the gating network reads.
        """
        hidden = self.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        rows = torch.arange(len(ids), device=hidden.device)
        rewards = self.regression_layer(hidden[rows, last].float())
        weights = self.gating(hidden[rows, places].float())
        return (weights * (rewards @ self.reward_transform_matrix)).sum(-1), rewards


def _load(model: ResolvedModel) -> Any:
    name = model.identity.name
    if not is_armorm(config_json(model.location, model.revision)):
        message = (
            f"the reward model {name} is none that {ARMORM} of ArmoRM scores: expected that architecture, and no "
            "num_quantiles in config.json (QRM has them, and its rewards are quantiles)"
        )
        raise ModelError(message)
    defaults = {
        "num_objectives": len(ARMORM_OBJECTIVES),
        "gating_temperature": 10,
        "gating_hidden_dim": 1024,
        "gating_n_hidden": 3,
    }
    return load_own_class(model, _GatedLlama, expected=ARMORM, what="the reward model", defaults=defaults)
