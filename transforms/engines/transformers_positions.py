"""Log-probability and entropy at every response token, exact over the vocabulary (methods §6; POET fig. 2)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch

from transforms.engines.batches import longest_first, right_padded
from transforms.engines.causal_model import load_causal
from transforms.engines.checks import check_positions
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import ModelIdentity, PositionRequest, Positions, Progress, no_progress
from transforms.errors import EngineError, ModelError

# Numbers of logits at once. In fp32, twice (logits and log-softmax, then probabilities and their entropy), that
# is 268 MB beside weights and hidden states: 682 positions of SmolLM2's 49,152 tokens, 131 of Gemma's 256,000.
LOGITS_PER_CHUNK: Final = 1 << 25


class TransformersPositions:
    """Reads in batches of like length, right-padded; logits of response positions only, a chunk at a time."""

    def __init__(
        self,
        model: ResolvedModel,
        *,
        trust_remote_code: bool = False,
        max_tokens_per_batch: int = 8192,
        logits_per_chunk: int = LOGITS_PER_CHUNK,
    ) -> None:
        """Load the model, on a GPU if there is one.

        Args:
            model: what `resolve_model` found.
            trust_remote_code: run Python code that comes with the model.
            max_tokens_per_batch: padded tokens in one forward pass; a longer pair of prompt and response goes
                alone.
            logits_per_chunk: positions × vocabulary that are held at once, at least one position's.

        Raises:
            ModelError: transformers cannot load the model, would fill in random weights, or names no base
                model below its head.
        """
        self.identity: ModelIdentity = model.identity
        self._model: Any = load_causal(model, trust_remote_code=trust_remote_code)
        self._backbone: Any = self._model.base_model
        if self._backbone is self._model:
            message = f"{type(self._model).__name__} of {model.identity.name} names no base model below its head"
            raise ModelError(message)
        text = self._model.config.get_text_config()
        self._vocab: int = text.vocab_size
        self._context: int | None = getattr(text, "max_position_embeddings", None)
        self._budget = max_tokens_per_batch
        self._chunk = max(1, logits_per_chunk // self._vocab)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model.to(self._device).eval()

    def positions(self, requests: Sequence[PositionRequest], progress: Progress = no_progress) -> list[Positions]:
        """Log-probabilities and entropies in the order of `requests`; see PositionEngine.

        The logits are the model's own, in the dtype of its weights; softmax and sums are in fp32.

        Raises:
            ModelError: the model's head does not read the base model's last hidden states.
        """
        if self._model is None:
            message = "this position engine is closed: open another one"
            raise EngineError(message)
        check_positions(requests, vocab=self._vocab, context=self._context)
        found: dict[int, Positions] = {}
        lengths = [len(request.prompt_ids) + len(request.response_ids) for request in requests]
        for rows in longest_first(lengths, self._budget):
            batch = [requests[row] for row in rows]
            try:
                with torch.inference_mode():
                    log_prob, entropy = self._read(batch)
            except (RuntimeError, ValueError, IndexError, TypeError, AttributeError) as error:
                message = f"{self.identity.name} failed: {type(error).__name__}: {error}"
                raise EngineError(message) from error
            found.update(zip(rows, self._split(batch, log_prob, entropy), strict=True))
            progress(len(rows), sum(lengths[row] for row in rows))
        return [found[row] for row in range(len(requests))]

    def close(self) -> None:
        """Free the model."""
        self._model = self._backbone = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _read(self, batch: list[PositionRequest]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies of all response tokens of the batch in a row, fp32 on the CPU."""
        # The last token is read by nobody: what would come after it is not asked.
        ids, mask = right_padded([[*request.prompt_ids, *request.response_ids][:-1] for request in batch], 0)
        hidden = self._backbone(
            input_ids=ids.to(self._device), attention_mask=mask.to(self._device), use_cache=False
        ).last_hidden_state
        # The state of token i decides token i + 1.
        states = torch.cat([hidden[row, len(r.prompt_ids) - 1 :][: len(r.response_ids)] for row, r in enumerate(batch)])
        targets = torch.tensor([token for request in batch for token in request.response_ids], device=self._device)
        chunks = [
            self._measure(states[start : start + self._chunk], targets[start : start + self._chunk])
            for start in range(0, len(targets), self._chunk)
        ]
        log_prob, entropy = zip(*chunks, strict=True)
        return torch.cat(log_prob), torch.cat(entropy)

    def _measure(self, states: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both numbers, (positions,), from hidden states (positions, hidden) and the tokens that followed."""
        log_p = self._logits(states).float().log_softmax(-1)
        log_prob = log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        # entr is 0 where a probability is 0; p · log p would not be a number there.
        entropy = torch.special.entr(log_p.exp_()).sum(-1)
        return log_prob.cpu(), entropy.cpu()

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        """The model's own way from hidden states to logits, (positions, vocabulary).

        Its forward pass runs over one token, whose state is replaced by `states` on the way to the head:
        the output matrix alone would leave out what some models do after it (Gemma 2 caps its logits).
        """

        def replace(_module: Any, _inputs: Any, output: Any) -> Any:
            output.last_hidden_state = states.unsqueeze(0)
            return output

        hook = self._backbone.register_forward_hook(replace)
        try:
            one = torch.zeros((1, 1), dtype=torch.long, device=self._device)
            logits: torch.Tensor = self._model(input_ids=one, use_cache=False).logits
        finally:
            hook.remove()
        if logits.shape[:2] != (1, len(states)):
            message = (
                f"{self.identity.name} gave logits of shape {tuple(logits.shape)} for {len(states)} positions: its"
                " head does not read the base model's last hidden states"
            )
            raise ModelError(message)
        return logits[0]

    def _split(
        self, batch: list[PositionRequest], log_prob: torch.Tensor, entropy: torch.Tensor
    ) -> Iterator[Positions]:
        """Each request's own numbers.

        Raises:
            EngineError: some are not finite.
        """
        lengths = [len(request.response_ids) for request in batch]
        for request, *found in zip(batch, log_prob.split(lengths), entropy.split(lengths), strict=True):
            one = Positions(request.request_id, found[0].numpy(), found[1].numpy())
            bad = np.flatnonzero(~(np.isfinite(one.log_prob) & np.isfinite(one.entropy)))
            if len(bad):
                at = int(bad[0])
                message = (
                    f"{self.identity.name} gave request {request.request_id} the log-probability"
                    f" {one.log_prob[at]} and the entropy {one.entropy[at]} at response token {at + 1},"
                    " expected finite numbers: try dtype float32"
                )
                raise EngineError(message)
            yield one
