"""Which layout a dataset is trained in: the one that should take less time."""

import logging
from collections.abc import Sequence
from typing import Any, Final

from trainers.batches import PACKED, PADDED, Layout
from trainers.examples import Example
from trainers.packing import LOG_PROBS, Probe, check_packing
from transforms.errors import ModelError

log = logging.getLogger(__name__)

# What a token under a mask takes of the time of one under plain causal attention: 1.16 to 1.35 (DECISIONS.md).
MASK_COST: Final = 1.25


def choose_layout(model: Any, examples: Sequence[Example], *, probe: Probe = LOG_PROBS) -> Layout:
    """Packed where that saves more tokens than its mask costs and `model` can read it, else padded.

    Args:
        model: on its device; not changed.
        examples: what it will be trained on.
        probe: what is read of it.
    """
    packed, padded = (sum(layout.rows(one) * layout.width(one) for one in examples) for layout in (PACKED, PADDED))
    if packed * MASK_COST > padded:
        log.info(
            "padded: packing would read %s tokens instead of %s, its mask costs more", f"{packed:,}", f"{padded:,}"
        )
        return PADDED
    try:
        check_packing(model, longest=max(map(PACKED.width, examples)), probe=probe)
    except ModelError as error:
        log.warning("padded: %s", error)
        return PADDED
    log.info("packed: %d tokens instead of %d", packed, padded)
    return PACKED
