"""Completions on plain transformers, where vLLM cannot be installed. Slower, same meaning of a request."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from transforms.engines.causal_model import load_causal
from transforms.engines.checks import check_completions
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import (
    Completion,
    CompletionRequest,
    ModelIdentity,
    Progress,
    Sampling,
    no_progress,
)
from transforms.errors import EngineError


class TransformersCompletions:
    """Samples by hand over a key-value cache: a generator for each row, so that batches do not share luck."""

    def __init__(self, model: ResolvedModel, *, trust_remote_code: bool = False, max_num_seqs: int = 32) -> None:
        """Load the model, on a GPU if there is one.

        Args:
            model: what `resolve_model` found.
            trust_remote_code: run Python code that comes with the model.
            max_num_seqs: rows that are sampled together.

        Raises:
            ModelError: transformers cannot load the model, or would fill in random weights.
        """
        self.identity: ModelIdentity = model.identity
        self._model: Any = load_causal(model, trust_remote_code=trust_remote_code)
        text = self._model.config.get_text_config()
        self._vocab: int = text.vocab_size
        self._context: int | None = getattr(text, "max_position_embeddings", None)
        self._rows = max_num_seqs
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model.to(self._device).eval()

    def complete(
        self, requests: Sequence[CompletionRequest], sampling: Sampling, progress: Progress = no_progress
    ) -> list[Completion]:
        """Completions in the order of `requests`; see CompletionEngine."""
        if self._model is None:
            message = "this completion engine is closed: open another one"
            raise EngineError(message)
        check_completions(requests, sampling, vocab=self._vocab, context=self._context)
        completions: dict[int, Completion] = {}
        for rows in _batches(requests, self._rows):
            try:
                with torch.inference_mode():
                    answers = self._sample([requests[row] for row in rows], sampling)
            except (RuntimeError, ValueError, IndexError) as error:
                message = f"{self.identity.name} failed: {type(error).__name__}: {error}"
                raise EngineError(message) from error
            completions.update(zip(rows, answers, strict=True))
            progress(len(rows), sum(len(answer.token_ids) for answer in answers))
        return [completions[row] for row in range(len(requests))]

    def close(self) -> None:
        """Free the model."""
        self._model = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _sample(self, requests: list[CompletionRequest], sampling: Sampling) -> list[Completion]:
        ids, mask = _left_padded([request.token_ids for request in requests])
        generators = [torch.Generator().manual_seed(request.seed) for request in requests]
        answers: list[list[int]] = [[] for _ in requests]
        running = [True] * len(requests)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache: Any = None
        while any(running):
            output = self._model(
                input_ids=ids.to(self._device),
                attention_mask=mask.to(self._device),
                position_ids=positions.to(self._device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = output.past_key_values
            tokens = _next_tokens(output.logits[:, -1].float().cpu(), sampling, generators)
            for row, token in enumerate(tokens):
                if running[row]:
                    answers[row].append(token)
                    full = len(answers[row]) == requests[row].max_tokens
                    running[row] = token not in sampling.stop_token_ids and not full
            # Finished rows go on with whatever they drew until the batch is done; nobody reads it.
            ids = torch.tensor(tokens).unsqueeze(1)
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
            positions = positions[:, -1:] + 1
        return [
            Completion(
                request.request_id,
                answer,
                "stop" if answer[-1] in sampling.stop_token_ids else "length",
                None,
            )
            for request, answer in zip(requests, answers, strict=True)
        ]


def _batches(requests: Sequence[CompletionRequest], size: int) -> Iterator[list[int]]:
    """Row numbers, rows of like length together: less padding."""
    order = sorted(range(len(requests)), key=lambda row: (len(requests[row].token_ids), row))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _left_padded(rows: list[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both (rows, longest)."""
    longest = max(map(len, rows))
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, longest - len(row) :] = torch.tensor(row, dtype=torch.long)
        mask[index, longest - len(row) :] = 1
    return ids, mask


def _next_tokens(logits: torch.Tensor, sampling: Sampling, generators: list[torch.Generator]) -> list[int]:
    """One token a row from the logits, (rows, vocabulary)."""
    if sampling.temperature == 0:
        greedy: list[int] = logits.argmax(-1).tolist()
        return greedy
    probabilities = (logits / sampling.temperature).softmax(-1)
    # In vLLM's order: each rule sees what the one before it left.
    if sampling.min_p > 0:
        least = sampling.min_p * probabilities.amax(-1, keepdim=True)
        probabilities = probabilities.where(probabilities >= least, 0)
    if sampling.top_k or sampling.top_p < 1:
        values, order = probabilities.sort(dim=-1, descending=True)
        if sampling.top_k:
            values[:, sampling.top_k :] = 0
        values /= values.sum(-1, keepdim=True)
        # The smallest set that reaches top_p: a token stays if what lies before it does not.
        values[values.cumsum(-1) - values >= sampling.top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter_(-1, order, values)
    return [
        int(torch.multinomial(row, 1, generator=generator))
        for row, generator in zip(probabilities, generators, strict=True)
    ]
