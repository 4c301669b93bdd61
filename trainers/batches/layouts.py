"""Which layout a dataset is read in: packed where the model can read it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from trainers.batches.packing import LOG_PROBS, Probe, check_packing
from trainers.batches.tensors import PACKED, PADDED, Layout
from trainers.reading.examples import Example
from transforms.errors import ModelError


class Choice(NamedTuple):
    """A layout, and in words why it."""

    layout: Layout
    reason: str


def choose_layout(model: Any, examples: Sequence[Example], *, probe: Probe = LOG_PROBS) -> Choice:
    """Packed where `model` can read it, which is never more tokens, else padded.

    Args:
        model: on its device; its attention takes spans from now on, see `trainers.batches.shared_prompts`.
        examples: what it will read.
        probe: what is read of it.
    """
    try:
        check_packing(model, longest=max(map(PADDED.width, examples)), probe=probe)
    except ModelError as error:
        return Choice(PADDED, f"padded: {error}")
    packed, padded = (sum(map(layout.tokens, examples)) for layout in (PACKED, PADDED))
    return Choice(PACKED, f"packed: {packed:,} tokens in rows that share a prompt for {padded:,} in single ones")
