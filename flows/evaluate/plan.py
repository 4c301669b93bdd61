"""What an evaluation would do: data and models found, and whether the result is there already."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from flows.answers.stage import FOLDER as ANSWERS
from flows.answers.stage import AnswersPlan, plan_answers
from flows.evaluate.annotations import fingerprints
from flows.evaluate.config import EvaluationConfig, PolicyUnderTest, RewardUnderTest
from flows.evaluate.policy import PolicyModels
from flows.evaluate.tasks import FILES, TasksPlan, plan_tasks
from flows.models.log_probs import Causal, find_causal
from flows.models.recipe_models import chat_of, resolve_reward
from flows.versions.fingerprint import evaluation_fingerprint, source_records
from transforms.chat.tokens import ChatTokens
from transforms.engines.models import ResolvedModel
from transforms.engines.tokenizer import check_same_vocabulary
from transforms.errors import OutputError
from transforms.records.evaluation import Evaluation
from transforms.records.manifest import SourceRecord

NUMBERS: Final = "evaluation.json"
PAGE: Final = "evaluation.html"
QUARANTINE: Final = "quarantine.jsonl"


@dataclass(frozen=True)
class RewardModel:
    """The reward model under test."""

    model: ResolvedModel
    config: RewardUnderTest
    chat: ChatTokens  # of its own tokenizer


@dataclass(frozen=True)
class EvaluationPlan:
    """A configuration with everything that it names found and identified."""

    config: EvaluationConfig
    sources: list[SourceRecord]
    reward: RewardModel | None
    policy: PolicyModels | None  # None where it has no labelled pairs to order
    answers: AnswersPlan | None
    tasks: TasksPlan | None
    fingerprint: str  # of configuration, data, models and code
    finished: Evaluation | None  # what lies in the output folder, if it is exactly this one

    @property
    def folder(self) -> Path:
        """Where the result goes."""
        return Path(self.config.output.dir)


def plan_evaluation(config: EvaluationConfig) -> EvaluationPlan:
    """Find data and models; nothing heavy is loaded, except that the starter reward model is trained once.

    Raises:
        SourceError: a source that cannot be reached.
        ModelError: a model or tokenizer that is missing or cannot be used.
        ConfigError: tasks whose environment or files are not there.
        OutputError: the folder holds another evaluation, or other files.
    """
    sources = source_records(config.sources)
    today = config.chat_template_date
    reward = _find_reward(config.reward, today) if config.reward else None
    policy = _find_policy(config.policy, today) if config.policy and config.pairs else None
    tasks = plan_tasks(config.tasks, config.policy) if config.tasks and config.policy else None
    found = [reward.model] if reward else []
    found += [causal.model for causal in (policy.policy, policy.reference) if causal] if policy else []
    found += [tasks.model] if tasks else []
    # What the tokens are, chat template and all, is in no identity of a model.
    tokens = [one.chat.sha256 for one in (reward, policy) if one]
    answers = _plan_answers(config)
    parts: dict[str, Any] = {"tokens": tokens}
    parts |= {"answered": answers.fingerprint} if answers else {}
    parts |= {"of_tasks": tasks.identity} if tasks else {}
    parts |= {"annotated": fingerprints(config.annotations)} if config.annotations else {}
    fingerprint = evaluation_fingerprint(config.settings() | parts, sources, [model.identity for model in found])
    finished = _finished(Path(config.output.dir), fingerprint, overwrite=config.output.overwrite)
    return EvaluationPlan(config, sources, reward, policy, answers, tasks, fingerprint, finished)


def _plan_answers(config: EvaluationConfig) -> AnswersPlan | None:
    if config.answers is None:
        return None
    return plan_answers(
        config.answers,
        name=config.name,
        folder=Path(config.output.dir),
        ledger=config.ledger,
        chat_template_date=config.chat_template_date,
    )


def _find_reward(config: RewardUnderTest, today: date) -> RewardModel:
    model = resolve_reward(config)
    return RewardModel(model, config, chat_of(model, config, today))


def _find_policy(config: PolicyUnderTest, today: date) -> PolicyModels:
    trust = config.trust_remote_code

    def find(name: str, revision: str | None) -> Causal:
        return find_causal(name, revision, dtype=config.dtype, trust_remote_code=trust)

    policy = find(config.model, config.revision)
    where = policy.model.location, policy.model.revision
    reference = find(config.reference.model, config.reference.revision) if config.reference else None
    if reference:
        check_same_vocabulary(where, (reference.model.location, reference.model.revision), trust_remote_code=trust)
    return PolicyModels(policy, reference, chat_of(policy.model, config, today))


def _finished(folder: Path, fingerprint: str, *, overwrite: bool) -> Evaluation | None:
    path = folder / NUMBERS
    if not path.is_file():
        _refuse_foreign(folder)
        return None
    try:
        found = Evaluation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        if overwrite:
            return None
        message = f"{path} is not an evaluation of this version ({error.error_count()} problems); choose another "
        raise OutputError(message + "--output.dir, or replace it with --output.overwrite true") from error
    if found.fingerprint == fingerprint:
        return found if (folder / PAGE).is_file() else None
    if not overwrite:
        message = (
            f"{folder} already holds another evaluation ({found.name}, of {found.finished_at}); choose another "
            "--output.dir, or replace it with --output.overwrite true"
        )
        raise OutputError(message)
    return None


def _refuse_foreign(folder: Path) -> None:
    # Of an evaluation that died before its numbers; what it was writing begins with a dot.
    mine = (PAGE, QUARANTINE, ANSWERS, *FILES)
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    found = sorted(name for name in names if name not in mine and not name.startswith("."))
    if found:
        message = f"{folder} is not empty and holds no evaluation (found {', '.join(found[:5])}); choose another "
        raise OutputError(message + "--output.dir")
