"""Whether a model reads packed batches as it reads responses one by one."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from trainers.batches.logprobs import causal_parts, log_probs, read_states
from trainers.batches.tensors import Batch, packed, padded
from trainers.reading.examples import Example
from transforms.errors import ModelError


class Probe(NamedTuple):
    """What must come out the same in both layouts."""

    what: str
    read: Callable[[Any, Batch], torch.Tensor]  # of a model and a batch, (response tokens, …)
    difference: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # the largest of two readings
    # Far above the rounding of two layouts, far below what a response that sees another one changes.
    tolerance: Mapping[torch.dtype, float]


def _relative(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return ((one - other).float().norm(dim=-1) / other.float().norm(dim=-1)).max()


# Nats a token.
LOG_PROBS: Final = Probe(
    "log-probs",
    lambda model, batch: log_probs(model, batch).tokens,
    lambda one, other: (one - other).abs().max(),
    {torch.float64: 1e-6, torch.float32: 5e-3, torch.bfloat16: 0.5, torch.float16: 0.1},
)
# Of reward models, which have no log-probs; the length of a difference over the state's.
STATES: Final = Probe(
    "last hidden states",
    lambda model, batch: read_states(causal_parts(model), batch).states[batch.places],
    _relative,
    {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02},
)
_PROBE = 24  # tokens of the probe's prompt and of each response


def check_packing(model: Any, *, longest: int, probe: Probe = LOG_PROBS) -> None:
    """Raise ModelError unless `model` may be given packed batches; costs two passes over about 140 tokens.

    A model with a window of attention is refused where a prompt with a response is longer than that, since attention
    with spans knows no window. What else can go wrong (attention that ignores spans, states that run through a row,
    positions that are not those given) shows in a probe: both layouts must give the same.

    Args:
        model: on its device; its attention takes spans from now on.
        longest: tokens of the longest prompt with a response that it will read.
        probe: what is read of it.
    """
    parts = causal_parts(model)
    config = parts.model.config.get_text_config()
    for name in ("sliding_window", "attention_chunk_size"):
        window = getattr(config, name, None)
        if window is not None and getattr(config, "use_sliding_window", True) and window < longest:
            message = (
                f"{name} of this model is {window} tokens, and a prompt with a response has up to {longest}: a packed "
                "row would undo the window. Use the padded layout"
            )
            raise ModelError(message)
    difference, allowed = _difference(model, int(config.vocab_size), probe), probe.tolerance[parts.model.dtype]
    if not difference <= allowed:
        message = (
            f"{type(parts.model).__name__} reads packed responses differently from single ones: {probe.what} differ "
            f"by up to {difference:.3g}, expected at most {allowed:g}. Use the padded layout"
        )
        raise ModelError(message)


def _difference(model: Any, vocabulary: int, probe: Probe) -> float:
    """The largest difference between the layouts, on random tokens."""
    tokens = np.random.default_rng(0).integers(vocabulary, size=(6, _PROBE), dtype=np.int32)
    # Two, since neither may see the other.
    examples = [Example("probe", prompt, (one, other)) for prompt, one, other in (tokens[:3], tokens[3:])]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            one, other = (probe.read(model, layout(examples).to(model.device)) for layout in (packed, padded))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        message = f"{type(model).__name__} cannot read packed responses: {type(error).__name__}: {error}"
        raise ModelError(message) from error
    finally:
        model.train(training)
    return float(probe.difference(one, other))
