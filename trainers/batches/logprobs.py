"""Log-probabilities of the kept response tokens, without the logits of a whole batch at once.

The base model runs once. Then the model's own head reads the states of the response tokens, some at a time. The first
parts' logits are kept for the way back, which is a product of matrices less; those of the others are forgotten and
computed again, so what is held does not grow with the batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from trainers.batches.shared_prompts import Untraced, take_spans
from trainers.batches.target_log_probs import LogNorm, log_norm, target_log_probs
from trainers.batches.tensors import Batch
from transforms.errors import ModelError

# Logits at once: 134 MB in fp32, and as much for their gradient. With fewer, each chunk's part of the output matrix's
# gradient (as large as the matrix) and, under autocast, a cast of it weigh in: four times fewer took as long on a CPU.
LOGITS_PER_CHUNK: Final = 1 << 25
# Logits that are kept for the way back, 268 MB in fp32, twice that of a model that caps them; none where activations
# are computed again to save memory.
LOGITS_KEPT: Final = 1 << 26


class LogProbs(NamedTuple):
    """What a policy says of a batch; fp32, or wider where the model is."""

    tokens: torch.Tensor  # (kept tokens,), log π of each response token, response by response
    responses: torch.Tensor  # (responses,), their sums: ℓ
    prompts: torch.Tensor | None  # (examples,), log π(x∖t0|t0), detached; None where not asked for
    prompt_states: torch.Tensor  # (examples, hidden), after the whole prompt, in the model's dtype; a value reads it


class CausalParts(NamedTuple):
    """A causal language model as transformers builds it."""

    model: Any  # with its head
    backbone: Any  # without

    @property
    def vocabulary(self) -> int:
        """Entries of a row of logits."""
        return int(self.model.config.get_text_config().vocab_size)


def causal_parts(model: Any) -> CausalParts:
    """The parts of a transformers model, or of one inside a peft model.

    Raises:
        ModelError: no base model below the head, or an adapter that is not in the layers.
    """
    if hasattr(model, "get_base_model"):
        if any(config.is_prompt_learning for config in model.peft_config.values()):
            message = "adapters that prepend virtual tokens are not supported: use LoRA"
            raise ModelError(message)
        model = model.get_base_model()
    backbone = model.base_model
    if backbone is model:
        message = f"{type(model).__name__} names no base model below its head"
        raise ModelError(message)
    return CausalParts(model, backbone)


def log_probs(
    model: Any,
    batch: Batch,
    *,
    prompts: bool = False,
    logits_per_chunk: int = LOGITS_PER_CHUNK,
    logits_kept: int = LOGITS_KEPT,
) -> LogProbs:
    """Log-probs of the responses of `batch`; differentiable unless gradients are off.

    Logits are the model's own, in the dtype of its weights (so a model that caps its logits does); softmax and
    sums are in fp32.

    Args:
        model: a transformers causal language model, or a peft model of one.
        batch: on the model's device.
        prompts: whether to read the prompts too.
        logits_per_chunk: positions × vocabulary that are read at once, at least one position's.
        logits_kept: positions × vocabulary that are kept for the way back; none by a model that computes its
            activations again.

    Raises:
        ModelError: `batch` is packed and the model's attention is not sdpa; or its head does not read the base
            model's last hidden states.
    """
    parts = causal_parts(model)
    states, output = read_states(parts, batch)
    chunk = max(1, logits_per_chunk // parts.vocabulary)
    again = getattr(parts.model, "is_gradient_checkpointing", False)
    kept = 0 if again else logits_kept // parts.vocabulary
    tokens = _read(parts, output, states[batch.places], batch.targets, chunk=chunk, kept=kept)
    of_prompts = None
    if prompts:
        with torch.no_grad():
            read = _read(parts, output, states[batch.prompt_places], batch.prompt_targets, chunk=chunk, kept=0)
            of_prompts = _sums(read, batch.prompt_lengths)
    return LogProbs(tokens, _sums(tokens, batch.lengths), of_prompts, states[batch.prompt_ends])


class States(NamedTuple):
    """What the base model made of a batch."""

    states: torch.Tensor  # (rows · width, hidden), in the model's dtype; a batch's places count in it
    output: Any  # class of the base model's output, which its head takes them in


def read_states(parts: CausalParts, batch: Batch) -> States:
    """Run the base model over `batch`, which is on its device.

    Raises:
        ModelError: `batch` is packed and the model's attention is not sdpa.
    """
    output = parts.backbone(**_inputs(parts, batch), use_cache=False)
    return States(output.last_hidden_state.flatten(0, 1), type(output))


def _inputs(parts: CausalParts, batch: Batch) -> dict[str, Any]:
    # Padding lies behind the last real token, where a causal model cannot see it: the padded layout needs no mask.
    if batch.spans is None:
        return {"input_ids": batch.input_ids}
    take_spans(parts.model)
    return {
        "input_ids": batch.input_ids,
        "position_ids": batch.position_ids,
        "spans": Untraced(batch.spans),
        # Of four dimensions, so that transformers makes none: it would be as wide and as high as the row.
        "attention_mask": torch.ones((1, 1, 1, 1), dtype=torch.bool, device=batch.input_ids.device),
    }


def _read(
    parts: CausalParts, output: Any, states: torch.Tensor, targets: torch.Tensor, *, chunk: int, kept: int
) -> torch.Tensor:
    """Log-probs of `targets`, (tokens,), from the states that decide them, (tokens, hidden).

    Args:
        parts: of the model.
        output: class of the base model's output.
        states: of the tokens before the targets.
        targets: (tokens,).
        chunk: positions that are read at once.
        kept: positions whose logits may be kept for the way back; chunks are kept whole.
    """
    read = []
    for some, some_targets in zip(states.split(chunk), targets.split(chunk), strict=True):
        measure = _Measure(parts, output)
        kept -= len(some)
        if kept >= 0:
            read.append(measure(some, some_targets))
        else:
            # No dropout in a head, so there is no random state to keep.
            again = checkpoint(measure, some, some_targets, use_reentrant=False, preserve_rng_state=False)
            read.append(again)
    return torch.cat(read)


class _Measure:
    """Log-probs of a chunk; where the logits are computed again on the way back, what normalises them is known."""

    def __init__(self, parts: CausalParts, output: Any) -> None:
        self._parts, self._output = parts, output
        self._norm: LogNorm | None = None

    def __call__(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = head_logits(self._parts, self._output, states)
        self._norm = self._norm or log_norm(logits)
        return target_log_probs(logits, targets, self._norm)


def head_logits(parts: CausalParts, output: Any, states: torch.Tensor) -> torch.Tensor:
    """The model's own way from states (positions, hidden) to logits (positions, vocabulary), in its dtype.

    Its forward pass runs over a base model that returns `states`: the output matrix alone would leave out what
    some models do after it (Gemma 2 caps its logits).

    Raises:
        ModelError: the head does not read the base model's last hidden states.
    """
    with _returns(parts.backbone, output(last_hidden_state=states.unsqueeze(0))):
        one = torch.zeros((1, 1), dtype=torch.long, device=states.device)
        logits: torch.Tensor = parts.model(input_ids=one, use_cache=False).logits
    if logits.shape[:2] != (1, len(states)):
        message = (
            f"{type(parts.model).__name__} gave logits of shape {tuple(logits.shape)} for {len(states)} positions: its"
            " head does not read the base model's last hidden states"
        )
        raise ModelError(message)
    return logits.squeeze(0)  # not logits[0], whose gradient would be a copy into zeros


@contextmanager
def _returns(module: Any, output: Any) -> Iterator[None]:
    """Inside, calling `module` computes nothing and gives `output`."""
    # accelerate wraps modules by setting the same attribute; what was there comes back.
    before = module.__dict__.get("forward")
    module.forward = lambda *_arguments, **_keywords: output
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


def _sums(tokens: torch.Tensor, lengths: tuple[int, ...]) -> torch.Tensor:
    # Not index_add: on a GPU its order, and with it the last bit, changes from run to run.
    return torch.stack([part.sum() for part in tokens.split(list(lengths))])
