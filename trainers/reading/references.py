"""Log-probs by the frozen reference policy: of whole responses, so that every truncation of them is a sum.

What is kept of a response is its beginning, and a causal model reads a token without the later ones. So per-token
log-probs of the whole response answer for any keep. log π_ref(x∖t0|t0), which RAO needs of a prompt x that begins
with token t0, is that of the "response" x∖t0 to the "prompt" t0.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainers.reading.examples import Example, read_examples
from trainers.reading.pair_tokens import Ids, check_columns
from transforms.tables.schema import without_appended


class References(NamedTuple):
    """What the reference says of examples, in their order; nats."""

    responses: list[tuple[float, ...]]  # ℓ_ref of the kept tokens, one a response
    prompts: list[float] | None  # log π_ref(x∖t0|t0), one an example; None where not asked for

    def part(self, start: int, end: int) -> "References":
        """Those of the examples `start` … `end` − 1."""
        return References(self.responses[start:end], None if self.prompts is None else self.prompts[start:end])

    def as_rows(self, rows: Sequence[int], of: Sequence[Example]) -> "References":
        """These as the `rows` of more examples; the others' are NaN, which no loss lets pass."""
        responses: list[tuple[float, ...]] = [(math.nan,) * len(example.responses) for example in of]
        prompts = None if self.prompts is None else [math.nan] * len(of)
        for at, row in enumerate(rows):
            responses[row] = self.responses[at]
            if prompts is not None and self.prompts is not None:
                prompts[row] = self.prompts[at]
        return References(responses, prompts)


class WholeResponses:
    """The whole responses behind kept ones."""

    def __init__(self, examples: Sequence[Example]) -> None:
        """`examples` hold responses whole, as `read_whole` reads them."""
        self._by_prompt: dict[bytes, dict[bytes, Ids]] = {}
        for example in examples:
            known = self._by_prompt.setdefault(example.prompt.tobytes(), {})
            known.update((response.tobytes(), response) for response in example.responses)

    def behind(self, prompt: Ids, kept: Ids) -> list[Ids]:
        """All whole responses to `prompt` that begin with `kept`; `kept` itself where none is known."""
        known = self._by_prompt.get(prompt.tobytes(), {}).values()
        return [whole for whole in known if np.array_equal(whole[: len(kept)], kept)] or [kept]


def read_whole(table: pa.Table, *, where: str) -> list[Example]:
    """The pairs of `table` in its order, responses whole whatever is kept of them.

    Args:
        table: as for `read_examples`.
        where: which table this is, for messages.

    Raises:
        SchemaError: as `read_examples`; a response has no token.
    """
    check_columns(table, where)
    table = without_appended(table)
    whole = {f"{side}_keep": pc.list_value_length(table[f"{side}_ids"]) for side in ("chosen", "rejected")}
    for name, lengths in whole.items():
        table = table.set_column(table.column_names.index(name), name, lengths)
    return read_examples(table, where=where)
