"""Whether a model reads packed batches as it reads responses one by one."""

from typing import Any, Final

import numpy as np
import torch

from trainers.batches import packed, padded
from trainers.examples import Example
from trainers.logprobs import causal_parts, log_probs
from transforms.errors import ModelError

# Nats a token. Far above the rounding of two layouts, far below what a response that sees another one changes.
TOLERANCE: Final = {torch.float64: 1e-6, torch.float32: 5e-3, torch.bfloat16: 0.5, torch.float16: 0.1}
_PROBE = 24  # tokens of the probe's prompt and of each response


def check_packing(model: Any, *, longest: int) -> None:
    """Raise ModelError unless `model` may be given packed batches; costs two passes over about 70 tokens.

    A model with a window of attention is refused where a sequence is longer than that, since a packed batch's mask
    replaces the window. What else can go wrong (attention that ignores masks, states that run through a row,
    positions that are not those given) shows in a probe: log-probs of both layouts must agree.

    Args:
        model: on its device; not changed.
        longest: tokens of the longest packed row that it will read.
    """
    parts = causal_parts(model)
    config = parts.model.config.get_text_config()
    for name in ("sliding_window", "attention_chunk_size"):
        window = getattr(config, name, None)
        if window is not None and getattr(config, "use_sliding_window", True) and window < longest:
            message = (
                f"{name} of this model is {window} tokens, and a packed row has up to {longest}: its mask would undo "
                "the window. Use the padded layout"
            )
            raise ModelError(message)
    difference, allowed = _difference(model, int(config.vocab_size)), TOLERANCE[parts.model.dtype]
    if not difference <= allowed:
        message = (
            f"{type(parts.model).__name__} reads packed responses differently from single ones: log-probs differ by "
            f"up to {difference:.3g}, expected at most {allowed:g}. Use the padded layout"
        )
        raise ModelError(message)


def _difference(model: Any, vocabulary: int) -> float:
    """The largest difference of a token's log-prob between the layouts, on random tokens."""
    tokens = np.random.default_rng(0).integers(vocabulary, size=(3, _PROBE), dtype=np.int32)
    example = Example("probe", tokens[0], (tokens[1], tokens[2]))
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            one, other = (log_probs(model, layout([example]).to(model.device)).tokens for layout in (packed, padded))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        message = f"{type(model).__name__} cannot read packed responses: {type(error).__name__}: {error}"
        raise ModelError(message) from error
    finally:
        model.train(training)
    return float((one - other).abs().max())
