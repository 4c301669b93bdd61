"""What a policy and its reference say at every response token: log-probs, entropies and KL, exact over the vocabulary.

Nothing here is differentiable. Logits of a batch never exist together, as in trainers.batches.logprobs.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from trainers.batches.layouts import choose_layout
from trainers.batches.logprobs import CausalParts, States, causal_parts, head_logits, log_probs, read_states
from trainers.batches.tensors import PADDED, Batch, Layout
from trainers.reading.examples import Example
from trainers.steps.order import batches_by_length
from transforms.errors import EngineError, ModelError

# Positions × vocabulary at once, of each of the two models; in fp32 three or four of them live at a time.
LOGITS_PER_CHUNK: Final = 1 << 24

Tokens = npt.NDArray[np.float32]
Advance = Callable[[int, int], None]  # finished examples, finished response tokens
Read = TypeVar("Read")


class TokenComparison(NamedTuple):
    """A policy π beside its reference on one response, (tokens,) each, nats."""

    log_prob: Tokens  # log π(y_t | x, y_<t)
    entropy: Tokens  # of π(· | x, y_<t)
    reference_log_prob: Tokens
    reference_entropy: Tokens
    kl: Tokens  # KL(π ‖ π_ref) = Σ_v π(v) (log π(v) − log π_ref(v)), at least 0 but for rounding


class TokenReader(Protocol):
    """A frozen model, in this process or spread over several."""

    def token_log_probs(self, examples: Sequence[Example], progress: Callable[[int], None], /) -> list[list[Tokens]]:
        """Log-prob of each token of each response, example by example, nats."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class FrozenModel:
    """A policy or a reference in memory, which is read and not trained."""

    def __init__(self, model: Any, *, batch_tokens: int = 8192, cast_to: torch.dtype | None = None) -> None:
        """Take over a transformers causal language model.

        Args:
            model: with its weights loaded, or a peft model of one; moved to a GPU if there is one.
            batch_tokens: tokens of one forward pass, padding included; a longer example goes alone.
            cast_to: what layers compute in by automatic casting, None for the dtype of the weights.
        """
        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self._batch_tokens = batch_tokens
        self._cast_to = cast_to

    def token_log_probs(self, examples: Sequence[Example], progress: Callable[[int], None]) -> list[list[Tokens]]:
        """Log-prob of each token of each response, example by example, nats.

        Softmax in fp32 over the model's own logits. Which examples are read together, and in which layout, changes a
        number by rounding only: up to 1e-5 with fp32 weights.

        Args:
            examples: with whole responses; within the model's context and vocabulary.
            progress: told the response tokens of each forward pass.

        Raises:
            EngineError: the model failed.
        """

        def read(batch: Batch) -> list[Tokens]:
            with torch.autocast(self.model.device.type, self._cast_to, enabled=self._cast_to is not None):
                return _split(log_probs(self.model, batch).tokens, batch)

        try:
            layout = choose_layout(self.model, examples).layout
            return _by_example(
                examples,
                self.model.device,
                read,
                layout,
                self._batch_tokens,
                lambda _examples, tokens: progress(tokens),
            )
        except (RuntimeError, ValueError, IndexError) as error:
            message = f"{type(self.model).__name__} failed: {type(error).__name__}: {error}"
            raise EngineError(message) from error

    def close(self) -> None:
        """Free the model."""
        self.model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def compare_tokens(
    policy: Any, reference: Any, examples: Sequence[Example], *, batch_tokens: int, advance: Advance
) -> list[list[TokenComparison]]:
    """Both models' distributions at every response token, example by example.

    Args:
        policy: a transformers causal language model in eval mode, or a peft model of one.
        reference: likewise, on the same device, with the same vocabulary.
        examples: prompts with whole responses.
        batch_tokens: padded tokens of a forward pass of either; a longer example goes alone.
        advance: told of each finished batch.

    Raises:
        ModelError: the vocabularies differ in size.
    """
    models = causal_parts(policy), causal_parts(reference)
    sizes = [parts.vocabulary for parts in models]
    if sizes[0] != sizes[1]:
        message = f"the policy has a vocabulary of {sizes[0]:,} and its reference one of {sizes[1]:,}: no KL is defined"
        raise ModelError(message)

    def read(batch: Batch) -> list[TokenComparison]:
        states = [read_states(parts, batch) for parts in models]
        chunk = max(1, LOGITS_PER_CHUNK // sizes[0])
        parts = [
            _compare(models, states, places, targets)
            for places, targets in zip(batch.places.split(chunk), batch.targets.split(chunk), strict=True)
        ]
        measures = [_split(torch.cat(measure), batch) for measure in zip(*parts, strict=True)]
        return [TokenComparison(*response) for response in zip(*measures, strict=True)]

    return _by_example(examples, policy.device, read, PADDED, batch_tokens, advance)


def _compare(
    models: tuple[CausalParts, CausalParts], states: Sequence[States], places: torch.Tensor, targets: torch.Tensor
) -> list[torch.Tensor]:
    """The measures of TokenComparison in their order, (positions,) each."""
    policy, reference = (
        _log_softmax(head_logits(parts, found.output, found.states[places]))
        for parts, found in zip(models, states, strict=True)
    )
    measures = []
    for log_p in (policy, reference):
        # entr is 0 where a probability is 0; p · log p would be no number there.
        entropy = torch.special.entr(log_p.exp()).sum(-1)
        measures += [log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1), entropy]
    # A logit of −∞ in both models is a token that neither has: it adds nothing.
    gap = torch.where(policy.isneginf(), 0.0, policy - reference)
    return [*measures, (policy.exp() * gap).sum(-1)]


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


def _by_example(
    examples: Sequence[Example],
    device: torch.device,
    read: Callable[[Batch], list[Read]],
    layout: Layout,
    batch_tokens: int,
    advance: Advance,
) -> list[list[Read]]:
    """What `read` makes of each response, in batches of like length, in the order of `examples`."""
    found: dict[int, list[Read]] = {}
    for rows in batches_by_length(examples, layout, batch_tokens):
        batch = layout.batch([examples[row] for row in rows])
        with torch.no_grad():
            responses = iter(read(batch.to(device)))
        for row in rows:
            found[row] = list(islice(responses, len(examples[row].responses)))
        advance(len(rows), batch.kept_tokens)
    return [found[row] for row in range(len(examples))]


def _split(values: torch.Tensor, batch: Batch) -> list[Tokens]:
    """Of each response, fp32 on the CPU."""
    return [part.float().cpu().numpy() for part in values.split(list(batch.lengths))]
