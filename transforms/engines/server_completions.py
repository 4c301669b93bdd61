"""Completions by a vLLM server (`vllm serve`), which may run elsewhere and in an environment of its own.

Token ids go in and come out (`return_token_ids`, vLLM 0.10.2 and later): text between client and server would
be tokenised again, and not always to the same ids.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transforms.engines.checks import check_completions
from transforms.engines.models import Dtype, ResolvedModel
from transforms.engines.openai_client import LOGGERS, Server, model_card, open_client, server_errors
from transforms.engines.protocol import (
    Completion,
    CompletionRequest,
    ModelIdentity,
    Progress,
    Sampling,
    no_progress,
)
from transforms.errors import EngineError

if TYPE_CHECKING:
    from openai import AsyncOpenAI


def server_identity(
    url: str,
    model: str,
    *,
    revision: str | None = None,
    dtype: Dtype = "bfloat16",
    api_key_env: str | None = None,
) -> ModelIdentity:
    """What the server says that it serves, with what the recipe says about it.

    A server does not tell revision and precision of its weights: `revision` and `dtype` are the user's word.

    Raises:
        ModelError: the server does not serve `model`.
        EngineError: the server does not answer.
    """
    card = asyncio.run(model_card(Server(url, api_key_env, timeout=60.0), model))
    # `root` is what the server loaded; `model` may be an alias that it was told to answer to.
    facts = json.dumps([model, card.get("root"), revision])
    return ModelIdentity(
        name=model.rstrip("/").rsplit("/", 1)[-1] if model.startswith("/") else model,
        revision=revision or "unknown",
        fingerprint=hashlib.sha256(facts.encode()).hexdigest(),
        dtype=dtype,
        engine="server",
    )


class ServerCompletions:
    """Samples on a vLLM server, so many requests at a time; each is retried on its own."""

    def __init__(
        self,
        model: ResolvedModel,
        *,
        url: str,
        api_key_env: str | None = None,
        max_concurrency: int = 64,
        timeout: float = 600.0,
    ) -> None:
        """Ask the server for the model's context.

        Args:
            model: identity from `server_identity`; `location` is the model's name on the server.
            url: base URL, e.g. `http://127.0.0.1:8000/v1`.
            api_key_env: name of the variable that holds the key, None for a server without one.
            max_concurrency: requests in flight.
            timeout: seconds for one request.

        Raises:
            ModelError: the server does not serve the model.
            EngineError: the server does not answer.
        """
        self.identity: ModelIdentity = model.identity
        self._model = model.location
        self._server = Server(url, api_key_env, timeout)
        self._concurrency = max_concurrency
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        card = asyncio.run(model_card(self._server, self._model))
        self._context: int | None = card.get("max_model_len")

    def complete(
        self, requests: Sequence[CompletionRequest], sampling: Sampling, progress: Progress = no_progress
    ) -> list[Completion]:
        """Completions in the order of `requests`; see CompletionEngine."""
        check_completions(requests, sampling, vocab=None, context=self._context)
        return asyncio.run(self._complete_all(requests, sampling, progress))

    def close(self) -> None:
        """Nothing to free: each batch opens and closes its own connections."""

    async def _complete_all(
        self, requests: Sequence[CompletionRequest], sampling: Sampling, progress: Progress
    ) -> list[Completion]:
        slots = asyncio.Semaphore(self._concurrency)
        async with open_client(self._server) as client:

            async def one(request: CompletionRequest) -> Completion:
                async with slots:
                    completion = await self._complete_one(client, request, sampling)
                progress(1, len(completion.token_ids))
                return completion

            # The first failure cancels the others: nothing of the batch may be used.
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(request)) for request in requests]
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _complete_one(self, client: "AsyncOpenAI", request: CompletionRequest, sampling: Sampling) -> Completion:
        with server_errors(self._server):
            answer = await client.completions.create(**request_body(self._model, request, sampling))
        return read_answer(answer.model_dump(), request, sampling)


def request_body(model: str, request: CompletionRequest, sampling: Sampling) -> dict[str, Any]:
    """Arguments of `client.completions.create`; `extra_body` is what vLLM knows beyond OpenAI.

    Every parameter that matters is named: what is left out, the server takes from the model's own defaults.
    """
    return {
        "model": model,
        "prompt": [int(token) for token in request.token_ids],
        "max_tokens": request.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p if sampling.temperature > 0 else 1.0,
        "seed": request.seed,
        "n": 1,
        "extra_body": {
            "top_k": sampling.top_k if sampling.temperature > 0 else 0,
            "min_p": sampling.min_p if sampling.temperature > 0 else 0.0,
            "repetition_penalty": 1.0,
            "stop_token_ids": list(sampling.stop_token_ids),
            "ignore_eos": True,
            "skip_special_tokens": False,
            "return_token_ids": True,
        },
    }


def read_answer(answer: dict[str, Any], request: CompletionRequest, sampling: Sampling) -> Completion:
    """The completion in a server's answer.

    Raises:
        EngineError: no token ids, other prompt ids than were sent, or an end that was not asked for.
    """
    choice = (answer.get("choices") or [{}])[0]
    token_ids = choice.get("token_ids")
    if not token_ids:
        message = (
            f"the server gave no token ids for request {request.request_id}. Expected `token_ids` in its"
            " choices: use a vLLM server (0.10.2 or later), or set policy.engine to vllm or transformers"
        )
        raise EngineError(message)
    prompt_ids = choice.get("prompt_token_ids")
    if prompt_ids is not None and list(prompt_ids) != [int(token) for token in request.token_ids]:
        message = (
            f"the server completed {len(prompt_ids)} other prompt tokens than the {len(request.token_ids)} of"
            f" request {request.request_id}: does something between here and there rewrite prompts?"
        )
        raise EngineError(message)
    reason = choice.get("finish_reason")
    stopped = token_ids[-1] in sampling.stop_token_ids
    if reason not in ("stop", "length") or (reason == "stop") != stopped:
        message = (
            f"the server ended request {request.request_id} with {reason!r} after the token {token_ids[-1]},"
            f" expected stop after one of {list(sampling.stop_token_ids)}, or length: does the server add"
            " stop tokens of its own (--generation-config vllm turns that off)?"
        )
        raise EngineError(message)
    details = (answer.get("usage") or {}).get("prompt_tokens_details") or {}
    return Completion(request.request_id, list(token_ids), reason, details.get("cached_tokens"))
