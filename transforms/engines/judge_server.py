"""Chat completions by any OpenAI-compatible server, for LLM judges: text in, text and what it cost out."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from transforms.engines.openai_client import LOGGERS, Server, model_card, open_client, server_errors, status_message
from transforms.engines.protocol import ModelIdentity
from transforms.errors import EngineError, ModelError
from transforms.text import visible_plain

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# What every server that works can answer: whether it is the question that is refused, or all of them.
_TRIAL: Final = "Answer with a JSON object and nothing else."
# Of these the client has tried again already, or the server is at fault: the batch fails, and may be asked again.
_WORTH_A_RETRY: Final = frozenset({408, 409, 429})
_CLIENT_ERRORS: Final = range(400, 500)


def judge_identity(server: Server, model: str, *, revision: str | None, prompts: str) -> ModelIdentity:
    """The judge that a server says it serves, asked with these prompts. Where the server is, is no part of it.

    Args:
        server: where it is.
        model: as it is served.
        revision: the user's word for what the server does not tell: which weights.
        prompts: version of the questions' wording.

    Raises:
        ModelError: the server does not serve `model`.
        EngineError: the server does not answer.
    """
    card = asyncio.run(model_card(server, model))
    # `root` is what the server loaded; `model` may be an alias that it was told to answer to.
    facts = json.dumps([model, card.get("root"), revision, prompts])
    return ModelIdentity(
        name=model.rstrip("/").rsplit("/", 1)[-1] if model.startswith("/") else model,
        revision=revision or "unknown",
        fingerprint=hashlib.sha256(facts.encode()).hexdigest(),
        dtype="unknown",
        engine="judge",
    )


class ChatQuestion(NamedTuple):
    """One user's turn."""

    request_id: str
    prompt: str
    seed: int


class ChatAnswer(NamedTuple):
    """What came back. `refused` is the server's reason for not answering this question, with no text and no tokens."""

    request_id: str
    text: str | None
    finish_reason: str | None = None
    refusal: str | None = None  # the model's, beside or in place of a text
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refused: str | None = None


class JudgeServer:
    """Asks so many questions at a time; each is retried on its own.

    A question that the server refuses (any 4xx that no retry mends, such as 400 because it is longer than the context)
    is that question's own answer, if the server still answers the shortest question that there is, asked in the same
    way right after the batch. If it refuses that too (401, 404, a setting that it does not know), it is the recipe that
    is wrong, and the run ends. So one long prompt ends no run, and a resumed run of nothing but long prompts does
    neither, while a revoked key makes no answers. It costs a dozen tokens in a batch that had a refusal; they are not
    in the account.
    """

    def __init__(self, server: Server, model: str, body: dict[str, Any], *, max_concurrency: int) -> None:
        """Open no connection yet.

        Args:
            server: where it is.
            model: as it is served.
            body: arguments of a chat completion beside model, messages and seed.
            max_concurrency: requests in flight.
        """
        self._server = server
        self._model = model
        self._body = body
        self._concurrency = max_concurrency
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)

    def ask(self, questions: Sequence[ChatQuestion], heard: Callable[[ChatAnswer], None]) -> None:
        """Tell `heard` each answer as it comes, refusals after all others.

        After a failure no further question is sent, and those in flight are waited for: they are paid.

        Raises:
            EngineError: the server failed or never answered, also after retries. What came before was heard.
            ModelError: the server refuses whatever it is asked.
            ConfigError: the key's variable is not set.
        """
        asyncio.run(self._ask(questions, heard))

    def close(self) -> None:
        """Nothing to free: each batch opens and closes its own connections."""

    async def _ask(self, questions: Sequence[ChatQuestion], heard: Callable[[ChatAnswer], None]) -> None:
        slots = asyncio.Semaphore(self._concurrency)
        refused: list[ChatAnswer] = []
        failures: list[EngineError] = []
        async with open_client(self._server) as client:

            async def one(question: ChatQuestion) -> None:
                async with slots:
                    if failures:
                        return
                    try:
                        answer = await self._answer(client, question, self._body)
                    except EngineError as failure:
                        failures.append(failure)
                        return
                if answer.refused is None:
                    heard(answer)
                else:
                    refused.append(answer)

            async with asyncio.TaskGroup() as group:
                for question in questions:
                    group.create_task(one(question))
            if refused:
                await self._try(client)
        for answer in refused:
            heard(answer)
        if failures:
            raise failures[0]

    async def _try(self, client: "AsyncOpenAI") -> None:
        """Whether the server answers anything at all."""
        trial = ChatQuestion("trial", _TRIAL, 0)
        answer = await self._answer(client, trial, self._body)
        if answer.refused is None:
            return
        without = {key: value for key, value in self._body.items() if key != "response_format"}
        advice = ""
        if without != self._body and (await self._answer(client, trial, without)).refused is None:
            advice = f". Without response_format it answers: set {self._server.section}.structured: none"
        raise ModelError(answer.refused + advice)

    async def _answer(self, client: "AsyncOpenAI", question: ChatQuestion, body: dict[str, Any]) -> ChatAnswer:
        from openai import APIStatusError

        messages: Any = [{"role": "user", "content": question.prompt}]
        with server_errors(self._server):
            try:
                # Raw: the client's own models take what they are given for what they expect.
                answer = await client.chat.completions.with_raw_response.create(
                    model=self._model, messages=messages, seed=question.seed, **body
                )
            except APIStatusError as error:
                if error.status_code in _WORTH_A_RETRY or error.status_code not in _CLIENT_ERRORS:
                    raise
                refused = visible_plain(status_message(self._server, error.status_code, error.body))
                return ChatAnswer(question.request_id, None, refused=refused)
        return self._read(question, answer.http_response.content)

    def _read(self, question: ChatQuestion, content: bytes) -> ChatAnswer:
        try:
            found = json.loads(content)
            [choice, *_] = found["choices"]
            message, usage = choice["message"], found.get("usage") or {}
            refusal = message.get("refusal")
            return ChatAnswer(
                question.request_id,
                _text(message.get("content")),
                choice.get("finish_reason"),
                _text(refusal) or None,
                int(usage.get("prompt_tokens") or 0),
                int(usage.get("completion_tokens") or 0),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            message = (
                f"{status_message(self._server, 200, content[:80])}, which is no chat completion. Is"
                f" {self._server.section}.url the base URL of an OpenAI-compatible server, ending in /v1 for most?"
            )
            raise EngineError(message) from error


def _text(content: Any) -> str | None:
    """A text that a table can hold: JSON may escape half a character."""
    if content is None:
        return None
    if not isinstance(content, str):
        raise TypeError
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
