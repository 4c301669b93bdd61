"""Which layout a dataset is read in: the one that should take less time."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from trainers.batches import PACKED, PADDED, Layout
from trainers.examples import Example
from trainers.packing import LOG_PROBS, Probe, check_packing
from transforms.errors import ModelError

# What a token under a mask takes of the time of one under plain causal attention: 1.16 to 1.35 (DECISIONS.md).
MASK_COST: Final = 1.25


class Choice(NamedTuple):
    """A layout, and in words why it."""

    layout: Layout
    reason: str


def choose_layout(model: Any, examples: Sequence[Example], *, probe: Probe = LOG_PROBS) -> Choice:
    """Packed where that saves more tokens than its mask costs and `model` can read it, else padded.

    Args:
        model: on its device; not changed.
        examples: what it will read.
        probe: what is read of it.
    """
    packed, padded = (sum(layout.rows(one) * layout.width(one) for one in examples) for layout in (PACKED, PADDED))
    if packed * MASK_COST > padded:
        return Choice(PADDED, f"padded: packed rows would have {packed:,} tokens for {padded:,}, and a mask costs more")
    try:
        check_packing(model, longest=max(map(PACKED.width, examples)), probe=probe)
    except ModelError as error:
        return Choice(PADDED, f"padded: {error}")
    return Choice(PACKED, f"packed: {packed:,} tokens in rows that share a prompt for {padded:,} in single ones")
