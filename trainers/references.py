"""Log-probs by the frozen reference policy: of whole responses, so that every truncation of them is a sum.

What is kept of a response is its beginning, and a causal model reads a token without the later ones. So per-token
log-probs of the whole response answer for any keep. log π_ref(x∖t0|t0), which RAO needs of a prompt x that begins
with token t0, is that of the "response" x∖t0 to the "prompt" t0.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from trainers.batches import PACKED, PADDED, Layout
from trainers.examples import Example, read_examples
from trainers.logprobs import log_probs
from trainers.order import batches_by_length
from trainers.packing import check_packing
from trainers.pair_tokens import Ids
from transforms.errors import EngineError, ModelError

# Packing pays where it saves this share of the tokens at least; with less, its mask costs more (DECISIONS.md).
_PACKING_SAVES: Final = 0.25

Floats = npt.NDArray[np.float32]


class References(NamedTuple):
    """What the reference says of examples, in their order; nats."""

    responses: list[tuple[float, ...]]  # ℓ_ref of the kept tokens, one a response
    prompts: list[float] | None  # log π_ref(x∖t0|t0), one an example; None where not asked for


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
    whole = {f"{side}_keep": pc.list_value_length(table[f"{side}_ids"]) for side in ("chosen", "rejected")}
    for name, lengths in whole.items():
        table = table.set_column(table.column_names.index(name), name, lengths)
    return read_examples(table, where=where)


class ReferenceModel:
    """A frozen policy in memory."""

    def __init__(self, model: Any, *, batch_tokens: int = 8192) -> None:
        """Take over a transformers causal language model.

        Args:
            model: with its weights loaded; moved to a GPU if there is one.
            batch_tokens: tokens of one forward pass, padding included; a longer example goes alone.
        """
        self._model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self._batch_tokens = batch_tokens

    def token_log_probs(self, examples: Sequence[Example], progress: Callable[[int, int], None]) -> list[list[Floats]]:
        """log π_ref of each token of each response, example by example, nats.

        Softmax in fp32 over the model's own logits. Which examples are read together changes a number by rounding
        only: up to 1e-5 with fp32 weights.

        Args:
            examples: with whole responses; within the model's context and vocabulary.
            progress: told (responses, tokens read) after each forward pass.

        Raises:
            EngineError: the model failed, or gave a log-prob that is not finite; names the example.
        """
        layout = self._layout(examples)
        found: dict[int, list[Floats]] = {}
        for indices in batches_by_length(examples, layout, self._batch_tokens):
            some = [examples[index] for index in indices]
            batch = layout.batch(some)
            try:
                with torch.no_grad():
                    tokens = log_probs(self._model, batch.to(self._model.device)).tokens.float().cpu()
            except (RuntimeError, ValueError, IndexError) as error:
                message = f"the reference {type(self._model).__name__} failed: {type(error).__name__}: {error}"
                raise EngineError(message) from error
            responses = iter(tokens.split(list(batch.lengths)))
            for index, example in zip(indices, some, strict=True):
                found[index] = [next(responses).numpy() for _ in example.responses]
                _check_finite(example, found[index])
            progress(len(batch.lengths), batch.read_tokens)
        return [found[index] for index in range(len(examples))]

    def close(self) -> None:
        """Free the model."""
        self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _layout(self, examples: Sequence[Example]) -> Layout:
        """Packed where the model allows it and prompts are long enough for it to pay."""
        shared = sum(len(example.prompt) * (len(example.responses) - 1) for example in examples)
        apart = sum(len(example.prompt) * len(example.responses) + example.kept_tokens for example in examples)
        if shared < _PACKING_SAVES * apart:
            return PADDED
        try:
            check_packing(self._model, longest=max(map(PACKED.width, examples)))
        except ModelError:
            return PADDED
        return PACKED


def _check_finite(example: Example, found: Sequence[Floats]) -> None:
    for response, tokens in enumerate(found):
        bad = np.flatnonzero(~np.isfinite(tokens))
        if len(bad):
            message = (
                f"the reference gave {tokens[bad[0]]} as log-prob of token {bad[0] + 1} of response {response + 1} of"
                f" {example.name}, expected a finite number: try dtype float32"
            )
            raise EngineError(message)
