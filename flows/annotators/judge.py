"""LLM judges: pairwise in both orders, or by a rubric, each question paid for once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import pyarrow as pa

from flows.annotators.comparisons import ordered_pairs, scores_of_comparisons
from flows.annotators.protocol import Comparison, Group, Marks
from flows.models.crew import Paid
from flows.models.engine_calls import Calls, Pay, pay_for, rebatched
from flows.recipe.judge import JudgeConfig
from flows.runtime.progress import Advance
from transforms.asking.ledger import Ledger
from transforms.engines.judge_server import ChatAnswer, ChatQuestion, JudgeServer, judge_identity
from transforms.engines.openai_client import Server
from transforms.engines.protocol import ModelIdentity, Progress
from transforms.judging.price import Price
from transforms.judging.prompts import pair_prompt, prompts_version, rubric_prompt
from transforms.judging.questions import Asking, JudgeQuestion, question
from transforms.judging.shown import text
from transforms.judging.verdicts import judgement
from transforms.records.manifest import SpendRecord
from transforms.tables.schema import JUDGEMENTS

Rows = Mapping[str, Mapping[str, Any]]  # of the ledger, by id
_UNASKED: Final = "it was not asked: the run ended before"


class _Asked(NamedTuple):
    """What was asked of a group: of a response alone (twice its place), or of two in this order."""

    first: int
    second: int
    request_id: str


class _Placed(NamedTuple):
    """The same, with the question."""

    first: int
    second: int
    question: JudgeQuestion

    def without_prompt(self) -> _Asked:
        return _Asked(self.first, self.second, self.question.request_id)


class JudgeAnnotator:
    """An LLM behind an OpenAI-compatible server that judges the responses of a prompt.

    An answer that cannot be read, also when asked again, is kept in the ledger with the reason: a resumed run does not
    pay for it once more, and `seed` asks anew. Answers that came before a batch failed are kept too.

    Raises:
        ModelError: the server does not serve the model.
        EngineError: the server does not answer.
        ConfigError: the key's variable is not set.
        OutputError: the ledger cannot be used.
    """

    inputs_key: tuple[str | None, ...] = ()

    def __init__(self, config: JudgeConfig, *, label: str, ledger_root: str) -> None:
        self._config = config
        self.label = label
        self._server = Server(config.url, config.api_key_env, config.timeout, section=label)
        self.identity: ModelIdentity = judge_identity(
            self._server, config.model, revision=config.revision, prompts=prompts_version()
        )
        prices = config.price_per_million
        self._price = Price(prices.input, prices.output) if prices else None
        self._spend = SpendRecord.nothing()
        self._calls: Calls[JudgeQuestion, JudgeServer] = Calls(
            Ledger(ledger_root, "judgements", self.identity), self._spend, open_engine=self._open, ask=self._ask
        )
        self._done: dict[str, dict[str, Any]] = {}  # rows of the batch that is being asked, also after it failed
        self._tokens: dict[str, tuple[int, int]] = {}  # of all tries

    @property
    def objectives(self) -> tuple[str, ...]:
        """A rubric's aspects."""
        return tuple(self._config.form.aspects)

    @property
    def spend(self) -> SpendRecord:
        """Its account; `price` is null where the recipe states none."""
        if self._price is not None:
            self._spend.price = self._price.of(self._spend.prompt_tokens, self._spend.tokens_generated)
        return self._spend

    def questions(self, groups: Sequence[Group]) -> int:
        """How many `pay` will pass through."""
        return len({key for group in groups for _, _, (key, _) in self._placed(group, repeat=0)})

    def pay(self, groups: Sequence[Group], name: str, *, pay: Pay, advance: Advance, repeat: int = 0) -> None:
        """Ask what the ledger lacks; see Annotator.

        Raises:
            EngineError: the server failed, whatever was tried.
            ModelError: the server refuses whatever it is asked.
        """
        wanted = (placed.question for group in groups for placed in self._placed(group, repeat))
        batches = rebatched(wanted, self._config.batch, self._calls.ledger)
        pay_for(pay, name, self._calls, batches, advance)

    def marks(self, groups: Sequence[Group], *, repeat: int = 0) -> list[Marks]:
        """Scores with each comparison or aspect behind them, from the ledger."""
        asked = [[one.without_prompt() for one in self._placed(group, repeat)] for group in groups]
        ids = [one.request_id for group in asked for one in group]
        rows = {row["request_id"]: row for row in self._calls.ledger.fetch(ids).iter_rows(named=True)}
        self._calls.count_reused({key: row["completion_tokens"] for key, row in rows.items()})
        if self._config.mode == "rubric":
            return [_rated(of_group, rows) for of_group in asked]
        return [_compared(len(group.answers), of_group, rows) for group, of_group in zip(groups, asked, strict=True)]

    def close(self) -> None:
        """Nothing stays open."""
        self._calls.close()

    def _open(self) -> JudgeServer:
        config = self._config
        return JudgeServer(self._server, config.model, config.body(), max_concurrency=config.max_concurrency)

    def _placed(self, group: Group, repeat: int) -> Iterator[_Placed]:
        """The questions of a group, in the order in which they are asked."""
        config = self._config
        form, more, thought = config.form, config.instructions, config.shows_reasoning
        asking = Asking(self.identity, config.body(), config.seed, repeat)
        texts = [text(answer, thought) for answer in group.answers]
        if config.mode == "rubric":
            for place, said in enumerate(texts):
                yield _Placed(place, place, question(rubric_prompt(group.asked, said, form, more, thought), asking))
            return
        for i, j in ordered_pairs(texts):
            prompt = pair_prompt(group.asked, texts[i], texts[j], form, more, thought)
            yield _Placed(i, j, question(prompt, asking))

    def _ask(self, server: JudgeServer, questions: Sequence[JudgeQuestion], progress: Progress) -> Paid:
        """All of a batch: what cannot be read once more, with another seed, as often as the recipe says."""
        for row in self._done.values():
            progress(1, row["completion_tokens"])
        try:
            for attempt in range(self._config.attempts):
                asked = [
                    ChatQuestion(one.request_id, one.prompt, one.seed(attempt))
                    for one in questions
                    if one.request_id not in self._done
                ]
                if asked:
                    last = attempt + 1 == self._config.attempts
                    server.ask(asked, partial(self._hear, progress, last))
        except BaseException:  # Ctrl-C too
            if self._done:
                self._calls.ledger.append(list(self._done), _rows(self._done.values()))
            raise
        rows = [self._done[one.request_id] for one in questions]
        self._done, self._tokens = {}, {}
        return Paid(
            _rows(rows),
            sum(row["completion_tokens"] for row in rows),
            prompt_tokens=sum(row["prompt_tokens"] for row in rows),
        )

    def _hear(self, progress: Progress, last: bool, answer: ChatAnswer) -> None:
        key = answer.request_id
        before = self._tokens.get(key, (0, 0))
        tokens = before[0] + answer.prompt_tokens, before[1] + answer.completion_tokens
        self._tokens[key] = tokens
        if answer.refused is not None:
            found: Any = answer.refused
        else:
            found = judgement(answer.text, answer.finish_reason, answer.refusal, self._config.form)
        unread = isinstance(found, str)
        if unread and not last and answer.refused is None:
            return
        self._done[key] = {
            "request_id": key,
            "value": None if unread else found.value,
            "values": None if unread else found.values,
            "answer": answer.text,
            "error": found if unread else None,
            "prompt_tokens": tokens[0],
            "completion_tokens": tokens[1],
        }
        progress(1, tokens[1])


def _rated(asked: Sequence[_Asked], rows: Rows) -> Marks:
    values = [rows[one.request_id]["values"] if one.request_id in rows else None for one in asked]
    return Marks([_value(rows, one) for one in asked], values)


def _compared(responses: int, asked: Sequence[_Asked], rows: Rows) -> Marks:
    comparisons = [Comparison(one.first, one.second, _value(rows, one)) for one in asked]
    return Marks(scores_of_comparisons(comparisons, responses), None, comparisons)


def _value(rows: Rows, asked: _Asked) -> float | str:
    """The margin or score; a string says why there is none."""
    row = rows.get(asked.request_id)
    if row is None:
        return _UNASKED
    found: float | str = row["error"] if row["value"] is None else row["value"]
    return found


def _rows(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=JUDGEMENTS)
