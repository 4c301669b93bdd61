"""Rewards by any sequence-classification model of transformers, and by a few beside it: the raw head, no sigmoid."""

from collections.abc import Sequence
from typing import Any

import torch

from transforms.engines.batches import longest_first, right_padded
from transforms.engines.checks import check_scores
from transforms.engines.decoder_heads import HEADS, headed_decoder
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import ModelIdentity, Progress, ScoreRequest, no_progress
from transforms.engines.reward_checks import refuse_incomplete, reward_config
from transforms.errors import EngineError, ModelError


class TransformersRewards:
    """Scores in batches of like length, right-padded, each row pooled at its own last token."""

    def __init__(
        self,
        model: ResolvedModel,
        *,
        trust_remote_code: bool = False,
        max_tokens_per_batch: int = 8192,
    ) -> None:
        """Load the model, on a GPU if there is one.

        Args:
            model: what `resolve_model` found.
            trust_remote_code: run Python code that comes with the model.
            max_tokens_per_batch: padded tokens in one forward pass; a longer conversation goes alone.

        Raises:
            ModelError: the checkpoint has no complete reward head, several outputs, or is of another class.
        """
        self.identity: ModelIdentity = model.identity
        config = reward_config(model, trust_remote_code=trust_remote_code)
        self._model = _load(model, config, trust_remote_code=trust_remote_code)
        self._budget = max_tokens_per_batch
        text = config.get_text_config()
        self._vocab: int = text.vocab_size
        self._context: int = getattr(text, "max_position_embeddings", None) or 1 << 30
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model.to(self._device).eval()

    def score(self, requests: Sequence[ScoreRequest], progress: Progress = no_progress) -> list[float]:
        """Rewards in the order of `requests`; see RewardEngine."""
        if self._model is None:
            message = "this reward engine is closed: open another one"
            raise EngineError(message)
        check_scores(requests, vocab=self._vocab, context=self._context)
        rewards = [float("nan")] * len(requests)
        for rows in longest_first([len(request.token_ids) for request in requests], self._budget):
            found = self._forward([requests[row].token_ids for row in rows])
            for row, reward in zip(rows, found, strict=True):
                rewards[row] = reward
            progress(len(rows), sum(len(requests[row].token_ids) for row in rows))
        return rewards

    def close(self) -> None:
        """Free the model."""
        self._model = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _forward(self, rows: list[Sequence[int]]) -> list[float]:
        """One number a row."""
        pad = _pad_id(rows)
        # transformers pools at the last token that is not config.pad_token_id. Where that is also the end of
        # turn (pad == eos), it pools one token too early: the same ids gave 34.02 there and 21.12 in vLLM.
        self._model.config.get_text_config().pad_token_id = self._model.config.pad_token_id = pad
        ids, mask = right_padded(rows, pad)
        try:
            with torch.inference_mode():
                output = self._model(input_ids=ids.to(self._device), attention_mask=mask.to(self._device))
        except (RuntimeError, ValueError, IndexError) as error:
            message = f"the reward model {self.identity.name} failed: {type(error).__name__}: {error}"
            raise EngineError(message) from error
        logits = output.logits
        if tuple(logits.shape) not in {(len(rows), 1), (len(rows),)}:
            message = (
                f"the reward model {self.identity.name} gave an output of shape {tuple(logits.shape)} for"
                f" {len(rows)} rows, expected one number a row"
            )
            raise EngineError(message)
        values: list[float] = logits.reshape(-1).double().tolist()
        return values


def _load(model: ResolvedModel, config: Any, *, trust_remote_code: bool) -> Any:
    from transformers import AutoModelForSequenceClassification

    name, expected = model.identity.name, config.architectures[0]
    known = HEADS.get(expected)
    try:
        loaded, info = (headed_decoder(known) if known else AutoModelForSequenceClassification).from_pretrained(
            model.location,
            **({"config": config} if known else {}),
            revision=model.revision,
            dtype=getattr(torch, model.identity.dtype),
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # safetensors' own error, of a file that is cut short, is none of Python's
        message = f"the reward model {name} cannot be loaded: {type(error).__name__}: {error}"
        raise ModelError(message) from error
    if not known and type(loaded).__name__ != expected:
        message = (
            f"the reward model {name} is a {expected}, but was loaded as {type(loaded).__name__}, which would"
            " score another way. If you trust the code that comes with it, set reward.trust_remote_code: true"
        )
        raise ModelError(message)
    refuse_incomplete(name, expected, info)
    return loaded


def _pad_id(rows: Sequence[Sequence[int]]) -> int:
    """The smallest id that no row ends in."""
    last = {int(row[-1]) for row in rows}
    return next(token for token in range(len(last) + 1) if token not in last)
