"""A pair ranker as an annotator: every two responses of a prompt in both orders, each comparison paid for once."""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from flows.annotators.comparisons import ordered_pairs, scores_of_comparisons
from flows.annotators.protocol import Comparison, Group, Marks
from flows.models.crew import Paid
from flows.models.engine_calls import Calls, Pay, pay_for, rebatched
from flows.recipe.pair_ranker import PairRankerConfig
from flows.runtime.progress import Advance
from transforms.asking.ledger import Ledger
from transforms.asking.requests import repeated_id, score_id
from transforms.engines.models import resolve_model
from transforms.engines.pair_inputs import PairTokenizer
from transforms.engines.protocol import ModelIdentity, PairEngine, PairRequest, Progress
from transforms.engines.select import open_pair_ranker
from transforms.judging.shown import text
from transforms.records.manifest import SpendRecord
from transforms.tables.schema import JUDGEMENTS

# The published code's words for a conversation (`tokenize_conv_pair` of the model card of llm-blender/PairRM-hf).
_CONVERSATION: Final = (
    "Finish the following coversation in each i-th turn by filling in <Response i> with your response."
)


class _Asked(NamedTuple):
    """Two places in this order, with the request; a string says why there is none."""

    first: int
    second: int
    request: PairRequest | str


class PairRankerAnnotator:
    """Compares responses with PairRM. See Annotator.

    A response's score is the mean over opponents of (m_ij - m_ji) / 2, half of what the published code ranks by, so
    that it is the mean margin. Long texts lose their ends, as the published code cuts them; how many comparisons that
    concerns is in `cut`.

    Args:
        config: names the model.
        label: what the recipe calls it.
        ledger_root: folder or fsspec URL.

    Raises:
        ModelError: it is missing, or its tokenizer has not PairRM's marks.
        OutputError: the ledger cannot be used.
    """

    objectives: tuple[str, ...] = ()
    inputs_key: tuple[str | None, ...] = ()

    def __init__(self, config: PairRankerConfig, *, label: str, ledger_root: str) -> None:
        self.label = label
        self.spend = SpendRecord.nothing()
        self.cut = 0  # comparisons of which an end was left out
        self._config = config
        self._model = resolve_model(config.model, config.revision, dtype=config.dtype, engine="transformers")
        self.identity: ModelIdentity = self._model.identity
        self._tokenizer: PairTokenizer | None = None
        self._last: tuple[Sequence[Group], int, list[list[_Asked]]] | None = None  # what was tokenised for whom
        self._calls: Calls[PairRequest, PairEngine] = Calls(
            Ledger(ledger_root, "judgements", self.identity),
            self.spend,
            open_engine=lambda: open_pair_ranker(self._model, max_tokens_per_batch=config.max_tokens_per_batch),
            ask=_ask,
        )

    def questions(self, groups: Sequence[Group]) -> int:
        """Two for each two responses that differ."""
        return sum(1 for group in groups for _ in ordered_pairs([text(turn, False) for turn in group.answers]))

    def pay(self, groups: Sequence[Group], name: str, *, pay: Pay, advance: Advance, repeat: int = 0) -> None:
        """Compare what the ledger lacks, in batches of like length."""
        asked = [one.request for group in self._asked(groups, repeat) for one in group]
        readable = {request.request_id: request for request in asked if not isinstance(request, str)}
        ordered = sorted(readable.values(), key=lambda request: (len(request.token_ids), request.request_id))
        pay_for(pay, name, self._calls, rebatched(ordered, self._config.batch, self._calls.ledger), advance)
        advance(len(asked) - len(readable), reused=True)  # equal ones, and those that cannot be read

    def marks(self, groups: Sequence[Group], *, repeat: int = 0) -> list[Marks]:
        """Scores and the comparisons behind them, from the ledger."""
        asked = self._asked(groups, repeat)
        lengths = {
            one.request.request_id: len(one.request.token_ids)
            for group in asked
            for one in group
            if not isinstance(one.request, str)
        }
        rows = self._calls.ledger.fetch(list(lengths))
        known: dict[str, float] = dict(zip(rows["request_id"], rows["value"], strict=True))
        self._calls.count_reused({key: lengths[key] for key in known})
        found = []
        for group, mine in zip(groups, asked, strict=True):
            comparisons = [Comparison(one.first, one.second, _margin(one.request, known)) for one in mine]
            found.append(Marks(scores_of_comparisons(comparisons, len(group.answers)), None, comparisons))
        return found

    def close(self) -> None:
        """Unload the model."""
        self._calls.close()

    def _asked(self, groups: Sequence[Group], repeat: int) -> list[list[_Asked]]:
        if self._last is not None and self._last[0] is groups and self._last[1] == repeat:
            return self._last[2]
        self._last = groups, repeat, [list(self._of_group(group, repeat)) for group in groups]
        return self._last[2]

    def _of_group(self, group: Group, repeat: int) -> Iterator[_Asked]:
        self._tokenizer = self._tokenizer or PairTokenizer(self._model)
        texts = [text(turn, False) for turn in group.answers]
        source, before, last = _source(group)
        for i, j in ordered_pairs(texts):
            laid = self._tokenizer.pair_tokens(source, before + last + texts[i], before + last + texts[j])
            if isinstance(laid, str):
                yield _Asked(i, j, laid)
                continue
            self.cut += any(laid.cut)
            key = score_id(self.identity, np.asarray(laid.token_ids, np.int32))
            yield _Asked(i, j, PairRequest(repeated_id(key, repeat), laid.token_ids))


def _source(group: Group) -> tuple[str, str, str]:
    """The text of the source, the responses of earlier turns, and what stands before the last one."""
    turns = list(group.asked.turns)
    system = f"{turns.pop(0)['content']}\n" if turns[0]["role"] == "system" else ""
    if len(turns) == 1:
        return f"{system}{turns[0]['content'] or ''}", "", ""
    lines, said, number = [f"{system}{_CONVERSATION}"], [], 0
    for turn in turns:
        if turn["role"] == "assistant":
            said.append(f"<Response {number}>: {turn['content'] or ''}\n")
        else:
            number += 1
            lines += [f"USER: {turn['content'] or ''}", f"Assistant: <Response {number}>"]
    return "\n".join(lines), "".join(said), f"<Response {number}>: "


def _margin(request: PairRequest | str, known: dict[str, float]) -> float | str:
    if isinstance(request, str):
        return request
    return known.get(request.request_id, "the pair ranker returned no number")


def _ask(engine: PairEngine, requests: Sequence[PairRequest], progress: Progress) -> Paid:
    margins = engine.compare(requests, progress)
    tokens = sum(len(request.token_ids) for request in requests)
    rows = [
        dict.fromkeys(JUDGEMENTS.names)
        | {
            "request_id": request.request_id,
            "value": margin,
            "prompt_tokens": len(request.token_ids),
            "completion_tokens": 0,
        }
        for request, margin in zip(requests, margins, strict=True)
        if math.isfinite(margin)  # what is no number may be a hiccup, and is asked again next time
    ]
    return Paid(pa.Table.from_pylist(rows, schema=JUDGEMENTS), tokens)
