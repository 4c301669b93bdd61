"""Comparisons by PairRM: one number for two responses to a prompt. No code of the checkpoint's.

What the published code computes (`llm_blender/pair_ranker/pairrm.py` of LLM-Blender, commit 5d38ca9, which
llm-blender/PairRM-hf is loaded with; Jiang et al. 2023, arXiv 2306.02561, §3). With h the last hidden states of a
DeBERTa-v3 over
`[CLS] <|source|> … [SEP] [CLS] <|candidate1|> … [SEP] [CLS] <|candidate2|> … [SEP]`, read at the three marks:

    head(c) = W_2 tanh(W_1 [h_source; h_c] + b_1) + b_2        W_1: hidden x 2 hidden, W_2: tasks x hidden
    margin  = mean over tasks of head(candidate1) - head(candidate2)

above 0 where the first candidate is better. The margin depends on the order. What LLM-Blender calls the average of both
orders (`Blender.compare`, commit 5dad62b) and what RewardBench takes is compare(a, b) - compare(b, a); half of it is
the mean margin of a over b. N candidates it ranks by all N(N - 1) ordered comparisons: candidate i has the score mean
over j of compare(i, j) - compare(j, i), with 0 on the diagonal (`get_scores_from_cmps`, policy max_logits); or it finds
the best by one run of bubble sort over a random order, both orders at each step (`get_best_of_n`).

The head is computed in float32 whatever the dtype of the rest. LLM-Blender runs all of it in float16 on a GPU.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import DebertaV2Model, DebertaV2PreTrainedModel

from transforms.engines.batches import longest_first, right_padded
from transforms.engines.checks import check_pairs
from transforms.engines.models import ResolvedModel
from transforms.engines.objectives import architecture, config_json
from transforms.engines.pair_inputs import MARK_IDS, MARKS, PAIRRM, TOTAL
from transforms.engines.protocol import ModelIdentity, PairRequest, Progress, no_progress
from transforms.engines.reward_checks import load_own_class
from transforms.engines.tokenizer import load_tokenizer
from transforms.errors import EngineError, ModelError


class PairRm:
    """Compares in batches of like length, right-padded.

    Attributes:
        identity: what fixes its numbers.
    """

    def __init__(self, model: ResolvedModel, *, max_tokens_per_batch: int = 8192) -> None:
        """Load the model, on a GPU if there is one.

        Args:
            model: what `resolve_model` found, in the layout of llm-blender/PairRM-hf.
            max_tokens_per_batch: padded tokens in one forward pass; a longer comparison goes alone.

        Raises:
            ModelError: it is another kind of model, its tensors are not all there in their shapes, or its config names
                other ids for the marks than its tokenizer has.
        """
        self.identity: ModelIdentity = model.identity
        self._model: Any = _load(model)
        config = self._model.config
        self._marks: list[int] = [getattr(config, name) for name in MARK_IDS]
        self._vocab: int = config.vocab_size
        self._pad: int = config.pad_token_id or 0
        self._budget = max_tokens_per_batch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model.to(self._device).eval()

    def compare(self, requests: Sequence[PairRequest], progress: Progress = no_progress) -> list[float]:
        """The margin of the first candidate over the second, in the order of `requests`; not averaged over orders.

        Raises:
            EngineError: the batch failed as a whole, or a request has not each mark once, in their order.
        """
        if self._model is None:
            message = "this pairwise engine is closed: open another one"
            raise EngineError(message)
        check_pairs(requests, vocab=self._vocab, context=TOTAL, marks=self._marks)
        margins = [float("nan")] * len(requests)
        for rows in longest_first([len(request.token_ids) for request in requests], self._budget):
            found = self._forward([requests[row].token_ids for row in rows])
            for row, margin in zip(rows, found, strict=True):
                margins[row] = margin
            progress(len(rows), sum(len(requests[row].token_ids) for row in rows))
        return margins

    def close(self) -> None:
        """Free the model."""
        self._model = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _forward(self, rows: list[Sequence[int]]) -> list[float]:
        ids, mask = right_padded(rows, self._pad)
        places = torch.tensor([[list(row).index(mark) for mark in self._marks] for row in rows])
        try:
            with torch.inference_mode():
                margins = self._model(*(each.to(self._device) for each in (ids, mask, places)))
        except (RuntimeError, ValueError, IndexError) as error:
            message = f"the pairwise model {self.identity.name} failed: {type(error).__name__}: {error}"
            raise EngineError(message) from error
        values: list[float] = margins.double().tolist()
        return values


class _PairDeberta(DebertaV2PreTrainedModel):  # type: ignore[misc]
    """The tensors of a checkpoint, under its names."""

    _keep_in_fp32_modules_strict = frozenset({"head_layer"})

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        hidden = config.hidden_size
        self.pretrained_model = DebertaV2Model(config)
        # The published ones with a number are 1 and 4: between them lie dropouts.
        self.head_layer = nn.Sequential(
            nn.Identity(), nn.Linear(2 * hidden, hidden), nn.Tanh(), nn.Identity(), nn.Linear(hidden, config.n_tasks)
        )
        self.post_init()

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Margins of shape (rows,).

        Args:
            ids: (rows, longest), right-padded.
            mask: likewise, 1 at a row's own tokens.
            places: (rows, 3), where the marks of source, first and second candidate are.
        """
        hidden = self.pretrained_model(input_ids=ids, attention_mask=mask).last_hidden_state
        source, first, second = hidden[torch.arange(len(ids), device=ids.device)[:, None], places].float().unbind(1)
        scores = [self.head_layer(torch.cat([source, candidate], dim=-1)) for candidate in (first, second)]
        return (scores[0] - scores[1]).mean(-1)


def _load(model: ResolvedModel) -> Any:
    name = model.identity.name
    found = config_json(model.location, model.revision)
    lacking = [key for key in ("n_tasks", *MARK_IDS) if not isinstance(found.get(key), int)]
    if architecture(found) != PAIRRM or lacking:
        without = f" and lacks {', '.join(lacking)} in config.json" if lacking else ""
        message = (
            f"the pairwise model {name} has the architecture {architecture(found)}"
            f"{without}, expected {PAIRRM} as llm-blender/PairRM-hf has it "
            "(llm-blender/PairRM keeps the same weights under a config of its own)"
        )
        raise ModelError(message)
    tokenizer = load_tokenizer(model.location, model.revision, needs_template=False)
    ids = [tokenizer.convert_tokens_to_ids(mark) for mark in MARKS]
    named = [found[key] for key in MARK_IDS]
    if ids != named:
        message = (
            f"the config of the pairwise model {name} has the ids {named} for {', '.join(MARKS)}, but its tokenizer "
            f"{ids}: it would read at other tokens. Use config.json and tokenizer of one revision"
        )
        raise ModelError(message)
    return load_own_class(model, _PairDeberta, expected=PAIRRM, what="the pairwise model")
