"""The policies that answer prompts, found and identified; each is opened only when a batch needs it."""

from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

from flows.models.interpolated_policy import interpolated_policy
from flows.models.recipe_models import chat_of_policy, open_sampler, resolve_policy
from flows.models.sampling import SamplingCalls, sampling_calls
from flows.recipe.cluster import ClusterConfig
from flows.recipe.generation import AnsweringPolicy
from flows.replicas.crews import policy_crew
from transforms.asking.answers import Voice
from transforms.chat.probes import check
from transforms.chat.tokens import ChatTokens
from transforms.engines.models import ResolvedModel, is_folder
from transforms.engines.protocol import CompletionEngine, Sampling
from transforms.engines.reward_inputs import template_file
from transforms.engines.select import completion_engine
from transforms.engines.tokenizer import context_length
from transforms.engines.tokenizer_files import tokenizer_files
from transforms.records.manifest import SpendRecord


@dataclass
class FoundPolicy:
    """A policy of the recipe.

    Attributes:
        label: what the recipe calls it.
        config: its section, with the folder of an interpolated one in `model`.
        model: as it will answer.
        today: the day that its chat template is told.
    """

    label: str
    config: AnsweringPolicy
    model: ResolvedModel
    today: date
    made_of: dict[str, Any] | None = field(default=None)
    spend: SpendRecord = field(default_factory=SpendRecord.nothing)
    _calls: SamplingCalls | None = field(default=None)
    _longest_prompt: int = 0

    @cached_property
    def chat(self) -> ChatTokens:
        """Tokenizer and chat template, which have passed the probes.

        Raises:
            ModelError: there is no fast tokenizer or no usable chat template.
        """
        chat = chat_of_policy(self.config, self.config.tokenizer, self.today, self.model.revision)
        check(chat)
        return chat

    @cached_property
    def voice(self) -> Voice:
        """How it answers."""
        config = self.config
        return Voice(
            self.label,
            self.chat,
            self.model.identity,
            Sampling(config.temperature, config.top_p, self.chat.stop_ids, config.top_k, config.min_p),
            config.n,
            config.max_new_tokens,
            self._context(),
            config.system_prompt,
            config.thinking,
        )

    @property
    def tokens_key(self) -> list[str | None]:
        """What decides its tokens, by hashes, without reading the tokenizer."""
        name, revision = self._tokenizer()
        files = None if self.config.trust_remote_code else tokenizer_files(name, revision)
        return [files.sha256 if files else self.chat.sha256, template_file(self.config.chat_template)]

    def calls(self, ledger_root: str, longest_prompt: int, cluster: ClusterConfig | None = None) -> SamplingCalls:
        """Its ledger, on its account; the same for all waves of prompts, so that each answer is counted once.

        Args:
            ledger_root: folder or fsspec URL.
            longest_prompt: tokens.
            cluster: where its replicas are.
        """
        self._longest_prompt = max(self._longest_prompt, longest_prompt)
        if self._calls is None:
            self._calls = sampling_calls(
                self.model.identity,
                self.voice.sampling,
                ledger_root=ledger_root,
                spend=self.spend,
                open_engine=self.open,
                crew=policy_crew(self.model, self.config, self.voice.sampling, self._longest, cluster),
            )
        return self._calls

    def open(self) -> CompletionEngine:
        """Load it, with room for its longest prompt and answer."""
        return open_sampler(self.model, self.config, self._longest())

    def _longest(self) -> int:
        longest = self._longest_prompt + self.config.max_new_tokens
        context = self.voice.context
        return longest if context is None else min(context, longest)

    def _tokenizer(self) -> tuple[str, str | None]:
        if self.config.tokenizer:
            return self.config.tokenizer, None
        return self.config.model, self.model.revision or self.config.revision

    def _context(self) -> int | None:
        """Positions of the policy; of a server's, which may be called anything, its tokenizer's folder tells them."""
        name, revision = self._tokenizer()
        trust = self.config.trust_remote_code
        if self.config.engine != "server":
            return context_length(self.config.model, self.model.revision, trust_remote_code=trust)
        if is_folder(name) or self.config.tokenizer is None:
            return context_length(name, revision, trust_remote_code=trust)
        return None


def find_policy(label: str, config: AnsweringPolicy, today: date) -> FoundPolicy:
    """Find and identify a policy; nothing of its weights is loaded.

    Raises:
        ModelError: it is missing, or this machine cannot load it as asked.
    """
    interpolate = config.interpolate
    if interpolate is None:
        return FoundPolicy(label, config, resolve_policy(config), today)
    made = interpolated_policy(
        interpolate,
        engine=completion_engine(config.engine),
        dtype=config.dtype,
        trust_remote_code=config.trust_remote_code,
    )
    config = config.model_copy(update={"model": made.location})
    model = resolve_policy(config)
    model = model._replace(identity=replace(model.identity, name=made.identity.name))
    return FoundPolicy(label, config, model, today, made_of=interpolate.model_dump())
