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


def layout_for(model: Any, longest: int, *, probe: Probe = LOG_PROBS) -> Choice:
    """Packed where `model` can read it, else padded.

    Args:
        model: on its device; its attention takes spans from now on, see `trainers.batches.shared_prompts`.
        longest: tokens of the longest prompt with a response that it will read.
        probe: what is read of it.
    """
    try:
        check_packing(model, longest=longest, probe=probe)
    except ModelError as error:
        return Choice(PADDED, f"padded: {error}")
    return Choice(PACKED, "packed")


def choose_layout(model: Any, examples: Sequence[Example], *, probe: Probe = LOG_PROBS) -> Choice:
    """As `layout_for`, and what packing saves; it is never more tokens.

    Args:
        model: as of `layout_for`.
        examples: what it will read.
        probe: what is read of it.
    """
    found = layout_for(model, max(map(PADDED.width, examples)), probe=probe)
    if found.layout is PADDED:
        return found
    packed, padded = (sum(map(layout.tokens, examples)) for layout in (PACKED, PADDED))
    return Choice(PACKED, f"packed: {packed:,} tokens in rows that share a prompt for {padded:,} in single ones")
