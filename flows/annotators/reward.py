"""A scalar reward model as an annotator; one with several objectives gives those beside its score."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from flows.annotators.protocol import Group, Marks
from flows.models.engine_calls import Pay, pay_for
from flows.models.recipe_models import resolve_reward
from flows.models.scoring import Scorer
from flows.recipe.cluster import ClusterConfig
from flows.recipe.models import RewardConfig
from flows.replicas.crews import reward_crew
from flows.runtime.progress import Advance
from transforms.asking.requests import repeated_id
from transforms.chat.template import DEFAULT_DATE
from transforms.engines.models import ResolvedModel
from transforms.engines.objectives import config_json, is_armorm, objective_names
from transforms.engines.protocol import ModelIdentity, ScoreRequest
from transforms.engines.reward_checks import refuse_architecture
from transforms.engines.reward_inputs import template_file
from transforms.engines.tokenizer_files import tokenizer_files
from transforms.records.manifest import SpendRecord

Asked = ScoreRequest | str


class RewardModelAnnotator:
    """Scores each response by itself, in the reward model's own tokens. See Annotator.

    Args:
        config: names the reward model.
        label: what the recipe calls it.
        ledger_root: folder or fsspec URL.
        today: the day that its chat template is told.
        model: as found, where it has been looked for already.
        cluster: where its replicas are.

    Raises:
        ModelError: it is missing, has no usable tokenizer, or is of a class without a reward, which is told before the
            policies answer.
    """

    def __init__(
        self,
        config: RewardConfig,
        *,
        label: str,
        ledger_root: str,
        today: date = DEFAULT_DATE,
        model: ResolvedModel | None = None,
        cluster: ClusterConfig | None = None,
    ) -> None:
        self.label = label
        self.spend = SpendRecord.nothing()
        self._config, self._ledger_root, self._today, self._cluster = config, ledger_root, today, cluster
        self._model = model or resolve_reward(config)
        self._names = objective_names(self._model)
        content = config_json(self._model.location, self._model.revision)
        if not (is_armorm(content) and self._model.identity.engine == "transformers"):  # which has an engine of its own
            refuse_architecture(self._model, content, trust_remote_code=config.trust_remote_code)
        self._scorer: Scorer | None = None
        self._last: tuple[Sequence[Group], int, list[Asked]] | None = None  # what was tokenised for whom

    @property
    def identity(self) -> ModelIdentity:
        """What fixes its rewards."""
        return self._model.identity

    @property
    def inputs_key(self) -> tuple[str | None, ...]:
        """Of its tokenizer, whose files may have other names than the identity has, and of a template from a file."""
        files = tokenizer_files(self._model.location, self._model.revision)
        return (files.sha256 if files else None, template_file(self._config.chat_template))

    @property
    def objectives(self) -> tuple[str, ...]:
        """Of a reward model with several; none where it gives one number."""
        return tuple(name.replace("-", "_") for name in self._names)

    @property
    def scorer(self) -> Scorer:
        """The reward model with its ledger; its tokenizer is read here, and its weights at the first batch."""
        if self._scorer is None:
            self._scorer = Scorer(
                self._model,
                self._config,
                ledger_root=self._ledger_root,
                spend=self.spend,
                today=self._today,
                crew=reward_crew(self._model, self._config, self._cluster),
            )
        return self._scorer

    def questions(self, groups: Sequence[Group]) -> int:
        """One a response."""
        return sum(len(group.answers) for group in groups)

    def pay(self, groups: Sequence[Group], name: str, *, pay: Pay, advance: Advance, repeat: int = 0) -> None:
        """Score what the ledger lacks, in batches of like beginning and length."""
        requests = self._requests(groups, repeat)
        pay_for(pay, name, self.scorer.calls, self.scorer.batches(requests), advance)
        read = {request.request_id for request in requests if isinstance(request, ScoreRequest)}
        advance(len(requests) - len(read), reused=True)  # equal ones, and those that cannot be read

    def marks(self, groups: Sequence[Group], *, repeat: int = 0) -> list[Marks]:
        """The rewards, group by group."""
        requests = self._requests(groups, repeat)
        rewards = [_finite(reward) for reward in self.scorer.rewards(requests)]
        objectives = self.scorer.objectives(requests) if self._names else None
        found, at = [], 0
        for group in groups:
            mine = slice(at, at + len(group.answers))
            found.append(Marks(rewards[mine], objectives and objectives[mine]))
            at = mine.stop
        return found

    def close(self) -> None:
        """Unload the model."""
        if self._scorer is not None:
            self._scorer.calls.close()

    def _requests(self, groups: Sequence[Group], repeat: int) -> list[Asked]:
        if self._last is not None and self._last[0] is groups and self._last[1] == repeat:
            return self._last[2]
        asked = [group.asked for group in groups for _ in group.answers]
        found = self.scorer.of_answers(asked, [turn for group in groups for turn in group.answers])
        found = [_again(one, repeat) for one in found]
        self._last = groups, repeat, found
        return found


def _again(request: Asked, repeat: int) -> Asked:
    if isinstance(request, str):
        return request
    return replace(request, request_id=repeated_id(request.request_id, repeat))


def _finite(reward: float | str) -> float | str:
    if isinstance(reward, str) or reward == reward:
        return reward
    return "the reward model returned nan"
