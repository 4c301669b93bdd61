"""Makers for tests of generations: a recipe, a policy that says what it is told to, a reward that prefers length."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from flows_support import call_at_once, call_plainly, write_rows
from tests_support import chat

import flows.generate.flow as generate_module
from flows.generate import voices
from flows.generate.plan import plan_generation
from flows.models import recipe_models
from flows.recipe.generation import Generation
from transforms.engines.protocol import Completion, CompletionRequest, ModelIdentity, Sampling, ScoreRequest
from transforms.records.generation import GenerationManifest

# Responses to every prompt, in the order of samples; None runs out of room.
SAYS = ("the cat", "the cat sat on the mat", "a dog", "the dog ran", "seven")


class Scripted:
    """A completion engine that answers by a function of prompt text and sample index.

    Attributes:
        answered: request ids, in order.
    """

    def __init__(
        self, identity: ModelIdentity, says: Callable[[str, int], str], *, die_after: int | None, spells: bool
    ) -> None:
        self.identity, self._says, self._die_after, self._spells = identity, says, die_after, spells
        self.answered: list[str] = []
        self._chat = chat()

    def complete(
        self, requests: Sequence[CompletionRequest], sampling: Sampling, progress: Any = None
    ) -> list[Completion]:
        if self._die_after is not None and len(self.answered) >= self._die_after:
            raise KeyboardInterrupt
        found = []
        for request in requests:
            prompt = self._chat.written(pa.array(request.token_ids, pa.int32()).to_numpy())
            text = self._says(prompt, request.sample_index)
            parts = list(text) if self._spells else [text]
            ids = self._chat.encode(parts).values.tolist()[: request.max_tokens]
            if text.endswith("…") or len(ids) == request.max_tokens:
                found.append(Completion(request.request_id, ids, "length", None))
            else:
                found.append(Completion(request.request_id, [*ids, self._chat.eot_id], "stop", None))
        self.answered += [request.request_id for request in requests]
        return found

    def close(self) -> None:
        pass


class Measuring:
    """A reward engine: tokens of the conversation, or what `reward` says of its text."""

    def __init__(self, identity: ModelIdentity, reward: Callable[[str], float] | None) -> None:
        self.identity, self._reward = identity, reward
        self.scored: list[str] = []
        self._chat = chat()

    def score(self, requests: Sequence[ScoreRequest], progress: Any = None) -> list[float]:
        self.scored += [request.request_id for request in requests]
        if self._reward is None:
            return [float(len(request.token_ids)) for request in requests]
        texts = [self._chat.written(pa.array(request.token_ids, pa.int32()).to_numpy()) for request in requests]
        return [self._reward(text) for text in texts]

    def close(self) -> None:
        pass


class World:
    """The engines that stand in for models, and what they were asked."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.says: Callable[[str, int], str] = lambda _prompt, sample: SAYS[sample % len(SAYS)]
        self.reward: Callable[[str], float] | None = None
        self.die_after: int | None = None
        self.spells = False  # a token a letter, which no tokenizer makes of the text
        self.policies: list[Scripted] = []
        self.rewards: list[Measuring] = []
        patch.setattr(voices, "open_sampler", self._policy)
        patch.setattr(recipe_models, "open_reward", self._reward_engine)
        call_plainly(patch, generate_module)

    @property
    def answered(self) -> int:
        """Responses that were sampled, in all."""
        return sum(len(one.answered) for one in self.policies)

    @property
    def scored(self) -> int:
        """Conversations that were scored, in all."""
        return sum(len(one.scored) for one in self.rewards)

    def _policy(self, model: Any, *_: Any) -> Scripted:
        self.policies.append(Scripted(model.identity, self.says, die_after=self.die_after, spells=self.spells))
        return self.policies[-1]

    def _reward_engine(self, model: Any, *_: Any) -> Measuring:
        self.rewards.append(Measuring(model.identity, self.reward))
        return self.rewards[-1]


def generation(tmp_path: Path, models: tuple[Path, Path], prompts: Sequence[Any], **changes: Any) -> Generation:
    """A recipe that has `prompts` (texts, or whole rows) answered five times and scored by one reward model."""
    rows = [{"prompt": one} if isinstance(one, str) else one for one in prompts]
    path = write_rows(tmp_path / "prompts.jsonl", rows)
    policy = {"model": str(models[0]), "engine": "transformers", "dtype": "float32", "max_new_tokens": 24}
    content: dict[str, Any] = {
        "name": "unit",
        "prompts": [{"kind": "prompts", "path": str(path)}],
        "policies": [policy | changes.pop("policy", {})],
        "annotators": [{"kind": "reward", "model": str(models[1]), "engine": "transformers", "dtype": "float32"}],
        "repeats": 0,
        "batch": 4,
        "output": {"dir": str(tmp_path / "out")},
        "ledger": str(tmp_path / "ledger"),
    }
    return Generation.model_validate(content | changes)


def run(config: Generation) -> GenerationManifest:
    """Make it, without Prefect."""
    plan = plan_generation(config)
    return generate_module.make(plan, plan.folder, call_at_once)


def shards(folder: Path) -> pa.Table:
    """All rows of a folder of shards."""
    tables = []
    for path in sorted(folder.glob("data-*.arrow")):
        with pa.ipc.open_stream(path) as reader:
            tables.append(reader.read_all())
    return pa.concat_tables(tables)


def quarantine(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's quarantine."""
    return [orjson.loads(line) for line in (folder / "quarantine.jsonl").read_bytes().splitlines()]
