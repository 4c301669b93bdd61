"""Rewards of full responses and completions: the missing ones of each fixed batch into the ledger."""

import math
from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

import pyarrow as pa

from flows.models import recipe_models as models
from flows.models.crew import Crew, Paid
from flows.models.engine_calls import Batch, Calls, Pay, pay_for, rebatched
from flows.recipe.models import RewardConfig
from flows.runtime.progress import Progress
from transforms.asking.ledger import Ledger
from transforms.asking.readings import Reading
from transforms.asking.requests import score_requests
from transforms.chat.conversation import Asked, Turn
from transforms.chat.template import DEFAULT_DATE
from transforms.engines.common_beginnings import alike_together
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import ObjectiveRewardEngine, Objectives, RewardEngine, ScoreRequest
from transforms.engines.protocol import Progress as RequestProgress
from transforms.records.manifest import SpendRecord
from transforms.tables.schema import SCORES


class ToScore(NamedTuple):
    """Conversations of one part with the requests behind them; a string says why there can be none."""

    read: list[Reading]
    requests: list[ScoreRequest | str]


class Scorer:
    """A reward model with its ledger. The model is loaded at the first batch that needs it."""

    def __init__(
        self,
        reward: ResolvedModel,
        config: RewardConfig,
        *,
        ledger_root: str,
        spend: SpendRecord,
        today: date = DEFAULT_DATE,
        crew: Crew[ScoreRequest] | None = None,
    ) -> None:
        self._reward, self._config = reward, config
        self._inputs = models.load_reward_inputs(self._reward, self._config, today)
        self.calls: Calls[ScoreRequest, RewardEngine] = Calls(
            Ledger(ledger_root, "scores", self._reward.identity),
            spend,
            open_engine=lambda: models.open_reward(self._reward, self._config),
            ask=ask_reward,
            crew=crew,
        )

    def to_score(self, read: list[Reading]) -> ToScore:
        """The requests behind conversations, in the reward model's own tokens; nothing ends an answer that goes on."""
        requests: list[ScoreRequest | str] = [""] * len(read)
        for goes_on, token_ids in ((False, self._inputs.token_ids), (True, self._inputs.open_token_ids)):
            rows = [row for row, one in enumerate(read) if one.goes_on == goes_on]
            found = self.requests(token_ids([read[row].asked for row in rows], [read[row].answer for row in rows]))
            for row, request in zip(rows, found, strict=True):
                requests[row] = request
        return ToScore(read, requests)

    def of_answers(self, asked: Sequence[Asked], answers: Sequence[Turn]) -> list[ScoreRequest | str]:
        """One request an answer, as the reward model's chat template ends it; a string says why there is none."""
        return self.requests(self._inputs.token_ids(asked, answers))

    def requests(self, conversations: Sequence[Sequence[int] | str]) -> list[ScoreRequest | str]:
        """One request a conversation in the reward model's own tokens; a string says why there can be none."""
        return score_requests(self._reward.identity, conversations, self._inputs.context)

    def pay(self, requests: Sequence[ScoreRequest | str], what: str, *, pay: Pay, progress: Progress) -> None:
        """Pay for what the ledger lacks.

        Args:
            requests: of any number of conversations.
            what: their name, for progress and messages.
            pay: calls a batch of expensive work by a name, and again if its engine fails.
            progress: shows how many are done.
        """
        total = len({request.request_id for request in requests if isinstance(request, ScoreRequest)})
        with progress.bar(what, unit="conversations", total=total) as advance:
            pay_for(pay, what, self.calls, self.batches(requests), advance)

    def batches(self, requests: Sequence[ScoreRequest | str]) -> Iterator[Batch[ScoreRequest]]:
        """Fixed batches: of like beginning, which engines read once; else of like length, so that little is padding.

        vLLM pads nothing, and keeps beginnings over batches.
        """
        readable = [request for request in requests if isinstance(request, ScoreRequest)]
        if self._reward.identity.engine == "vllm":
            readable.sort(key=lambda request: tuple(request.token_ids))
        else:
            # Whatever order the conversations came in: places break ties.
            readable.sort(key=lambda request: request.request_id)
            readable = [readable[row] for row in alike_together([request.token_ids for request in readable])]
        return rebatched(readable, self._config.batch, self.calls.ledger)

    def rewards(self, requests: Sequence[ScoreRequest | str]) -> list[float | str]:
        """The reward of each conversation, once all batches are through; NaN where the model gave no number.

        A string says why there is none: the conversation cannot be read, or its batch could not be answered.
        """
        lengths = {r.request_id: len(r.token_ids) for r in requests if isinstance(r, ScoreRequest)}
        rows = self.calls.ledger.fetch(list(lengths))
        known: dict[str, float] = dict(zip(rows["request_id"], rows["reward"], strict=True))
        self.calls.count_reused({key: lengths[key] for key in known})
        refused = self.calls.refused
        return [
            r if isinstance(r, str) else known.get(r.request_id, refused.get(r.request_id, math.nan)) for r in requests
        ]

    def objectives(self, requests: Sequence[ScoreRequest | str]) -> list[list[float] | None]:
        """Each conversation's rewards by objective, in the order of `objective_names`, once all batches are through.

        None where the reward model has no objectives, gave no number, or could not read the conversation.
        """
        rows = self.calls.ledger.fetch([r.request_id for r in requests if isinstance(r, ScoreRequest)])
        known: dict[str, list[float] | None] = dict(
            zip(rows["request_id"].to_list(), rows["objectives"].to_list(), strict=True)
        )
        return [None if isinstance(r, str) else known.get(r.request_id) for r in requests]


def ask_reward(engine: RewardEngine, requests: Sequence[ScoreRequest], progress: RequestProgress) -> Paid:
    """Rewards of a batch as rows of schema.SCORES, with objectives where the model has some."""
    tokens = sum(len(r.token_ids) for r in requests)
    if isinstance(engine, ObjectiveRewardEngine):
        found = engine.score_objectives(requests, progress)
        return Paid(_rows(requests, [one.reward for one in found], found), tokens)
    return Paid(_rows(requests, engine.score(requests, progress)), tokens)


def _rows(
    requests: Sequence[ScoreRequest], rewards: Sequence[float], objectives: Sequence[Objectives] | None = None
) -> pa.Table:
    """Rewards that are no number are not kept: they may be a hiccup, and are asked again next time."""
    finite = [row for row, reward in enumerate(rewards) if math.isfinite(reward)]
    kept = [requests[row] for row in finite]
    return pa.table(
        {
            "request_id": [r.request_id for r in kept],
            "reward": [rewards[row] for row in finite],
            "tokens": [len(r.token_ids) for r in kept],
            "objectives": [objectives[row].values if objectives else None for row in finite],
        },
        schema=SCORES,
    )
