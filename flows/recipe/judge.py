"""The section of an LLM judge: which server, what it is asked, and how."""

import json
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from flows.recipe.models import Label, Positive, Section
from transforms.judging.prompts import ASPECTS, REASON, Form, Structured

_OURS: Final = frozenset(
    {
        "model", "messages", "seed", "n", "stream", "temperature", "max_tokens", "max_completion_tokens",
        "response_format",
    }
)  # fmt: skip
_MOST_RATINGS: Final = 101
Aspect = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]


class PriceConfig(Section):
    """Of a million tokens, in any one currency."""

    input: Annotated[float, Field(ge=0)] = Field(description="Of the prompts.")
    output: Annotated[float, Field(ge=0)] = Field(description="Of the answers, reasoning included.")


class JudgeConfig(Section):
    """An LLM that says which of two responses is better, or how good one is, over an OpenAI-compatible server."""

    kind: Literal["judge"] = "judge"
    name: Label | None = Field(None, description="What it is called in the tables; by default its kind.")
    model: str = Field(description="As the server calls it.")
    revision: str | None = Field(
        None, description="Your word for which weights are served: no server tells. Another one asks everything anew."
    )
    url: str = Field(description="Base URL, e.g. http://127.0.0.1:8000/v1. No part of what an answer is known by.")
    api_key_env: str | None = Field(None, description="NAME of the variable that holds the server's key.")
    mode: Literal["pairwise", "rubric"] = Field(
        "pairwise",
        description="`pairwise`: each two responses of a prompt in both orders, so that a preference for a place "
        "cancels out; `rubric`: each response alone, rated by aspects.",
    )
    instructions: str | None = Field(
        None,
        description="What to judge by, as text for the prompt: pairwise, in place of our own two sentences; rubric, "
        "beside the aspects.",
    )
    aspects: dict[Aspect, str] = Field(
        dict(ASPECTS),
        description="Rubric: name and meaning of what is rated; the score is their mean. UltraFeedback's by default.",
    )
    scale: tuple[int, int] = Field((1, 5), description="Rubric: the least and the greatest rating.")
    shows_reasoning: bool = Field(
        False, description="Show the judge what responses thought (reasoning_content, or <think> … </think> in front)."
    )
    structured: Structured = Field(
        "json_schema",
        description="`json_schema`: the server holds answers to a schema (`response_format`; vLLM and OpenAI can). "
        "`none`: for one that cannot; the last JSON object of the answer is read.",
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        0.0, description="Null: not sent, for models that take none."
    )
    max_tokens: Positive = Field(1024, description="Of an answer, reasoning included.")
    token_limit: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the server calls it; OpenAI's reasoning models know the second alone."
    )
    extra_body: dict[str, Any] = Field(
        {},
        description="Sent with every request, such as `{chat_template_kwargs: {enable_thinking: false}}`. Part of the "
        "recipe, and so of what is published: no place for keys.",
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Another one asks everything anew.")
    attempts: Positive = Field(
        2, description="An answer that cannot be read is asked for so often in all, each time with another seed."
    )
    max_concurrency: Positive = Field(16, description="Requests in flight.")
    batch: Positive = Field(64, description="Questions a ledger part, and the most that a crash can lose.")
    timeout: Annotated[float, Field(gt=0)] = Field(120.0, description="Seconds for one request.")
    price_per_million: PriceConfig | None = Field(
        None, description="What tokens cost; without it no price is stated. No part of what an answer is known by."
    )

    @property
    def form(self) -> Form:
        """What an answer must be."""
        return Form(self.aspects if self.mode == "rubric" else {}, self.scale, self.structured)

    def body(self) -> dict[str, Any]:
        """Arguments of a chat completion that are the same for every question."""
        body: dict[str, Any] = {self.token_limit: self.max_tokens}
        if self.temperature is not None:
            body["temperature"] = self.temperature
        if (response_format := self.form.response_format()) is not None:
            body["response_format"] = response_format
        if self.extra_body:
            body["extra_body"] = self.extra_body
        return body

    @model_validator(mode="after")
    def _is_an_address_without_a_password(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            message = (
                "url is no http:// or https:// address: write the server's base URL, e.g. http://127.0.0.1:8000/v1"
            )
            raise ValueError(message)
        if parts.username or parts.password:
            message = "url holds a user or password: put the key into a variable and its name into api_key_env"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        low, high = self.scale
        if not low < high < low + _MOST_RATINGS:
            message = f"scale: {low} to {high}, expected a lesser and a greater number, at most {_MOST_RATINGS} in all"
            raise ValueError(message)
        if not self.aspects or REASON in self.aspects:
            message = f"aspects: expected one or more, and none that is called {REASON}, as the judge's reason is"
            raise ValueError(message)
        if taken := sorted(_OURS & self.extra_body.keys()):
            message = (
                f"extra_body has {', '.join(taken)}, which keys of their own set or this project needs: leave it out"
            )
            raise ValueError(message)
        try:
            json.dumps(self.extra_body, allow_nan=False)
        except (TypeError, ValueError) as error:
            message = f"extra_body cannot be sent as JSON ({error}); in YAML, a date is text only between quotes"
            raise ValueError(message) from error
        return self
