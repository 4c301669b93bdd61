"""Rules: a function of the user's that scores each response."""

import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final

import pyarrow as pa

from flows.annotators.protocol import Group, Marks
from flows.models.crew import Paid
from flows.models.engine_calls import Calls, Pay, pay_for, rebatched
from flows.recipe.rule import RuleConfig
from flows.runtime.progress import Advance
from transforms.asking.ledger import Ledger
from transforms.chat.conversation import Turn
from transforms.engines.protocol import ModelIdentity, Progress
from transforms.engines.rule_process import RuleProcesses, RuleQuestion, check_rule, find_rule
from transforms.records.manifest import SpendRecord
from transforms.tables.schema import JUDGEMENTS

_UNASKED: Final = "it was not asked: the run ended before"


class RuleAnnotator:
    """A Python function that scores responses, called in processes of its own.

    Numbers are kept in the ledger; what went wrong is not, and is tried again in the next run.

    Raises:
        ConfigError: there is no such file or function, importing it fails, or it takes other parameters.
        OutputError: the ledger cannot be used.
    """

    objectives: tuple[str, ...] = ()
    inputs_key: tuple[str | None, ...] = ()

    def __init__(self, config: RuleConfig, *, label: str, ledger_root: str) -> None:
        self._config = config
        self.label = label
        rule = find_rule(config.function, timeout_s=config.timeout_s, memory_mib=config.memory_mib)
        check_rule(rule)
        self.identity: ModelIdentity = rule.identity
        self.spend = SpendRecord.nothing()
        self._calls: Calls[RuleQuestion, RuleProcesses] = Calls(
            Ledger(ledger_root, "judgements", self.identity),
            self.spend,
            open_engine=lambda: RuleProcesses(rule),
            ask=self._ask,
        )
        self._errors: dict[str, str] = {}

    def questions(self, groups: Sequence[Group]) -> int:
        """How many `pay` will pass through."""
        return len({question.request_id for question in self._questions(groups, 0)})

    def pay(self, groups: Sequence[Group], name: str, *, pay: Pay, advance: Advance, repeat: int = 0) -> None:
        """Call the function for what the ledger lacks; see Annotator.

        Raises:
            EngineError: no process can be started.
            ConfigError: the file changed since the run began.
        """
        batches = rebatched(self._questions(groups, repeat), self._config.batch, self._calls.ledger)
        pay_for(pay, name, self._calls, batches, advance)

    def marks(self, groups: Sequence[Group], *, repeat: int = 0) -> list[Marks]:
        """The scores, from the ledger; a string says how a call failed."""
        ids = [[question.request_id for question in self._questions([group], repeat)] for group in groups]
        rows = self._calls.ledger.fetch([key for group in ids for key in group])
        known: dict[str, float] = dict(zip(rows["request_id"], rows["value"], strict=True))
        return [Marks([known.get(key, self._errors.get(key, _UNASKED)) for key in group]) for group in ids]

    def close(self) -> None:
        """End the processes."""
        self._calls.close()

    def _questions(self, groups: Sequence[Group], repeat: int) -> Iterator[RuleQuestion]:
        facts = self.identity.facts()
        for group in groups:
            messages = [{"role": turn["role"], "content": _content(turn)} for turn in group.asked.turns]
            start = blake2b(json.dumps(["rule", facts, repeat, messages], sort_keys=True).encode(), digest_size=16)
            for answer in group.answers:
                digest = start.copy()
                digest.update(b"\0" + _content(answer).encode())
                yield RuleQuestion(digest.hexdigest(), messages, _content(answer))

    def _ask(self, processes: RuleProcesses, questions: Sequence[RuleQuestion], progress: Progress) -> Paid:
        scores = processes.score(questions, progress)
        answered = [(q.request_id, score) for q, score in zip(questions, scores, strict=True)]
        self._errors.update((key, score) for key, score in answered if isinstance(score, str))
        rows = [_row(key, score) for key, score in answered if not isinstance(score, str)]
        return Paid(pa.Table.from_pylist(rows, schema=JUDGEMENTS), 0)


def _content(turn: Turn) -> str:
    """A turn's text; turns that only call a function have none."""
    content = turn.get("content")
    return content if isinstance(content, str) else "" if content is None else json.dumps(content)


def _row(key: str, score: float) -> dict[str, object]:
    return dict.fromkeys(JUDGEMENTS.names) | {
        "request_id": key,
        "value": score,
        "prompt_tokens": 0,
        "completion_tokens": 0,
    }
