"""What rounds would do: every recipe of theirs checked, models found, and whether the result lies there already."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from flows.generate.judges import find_annotator
from flows.models.recipe_models import model_record, resolve_policy, resolve_reward
from flows.rounds.config import RoundsConfig
from flows.rounds.output import read_rounds
from flows.rounds.recipes import (
    JUDGE,
    curation_of,
    evaluation_of,
    policy_after,
    prompt_sources,
    round_folder,
    training_of,
)
from flows.rounds.verdict import should_stop
from flows.runtime.config_files import problems_in_words
from flows.train.output import read_record
from flows.versions.fingerprint import evaluation_fingerprint, git_commit, package_versions, source_records
from flows.versions.output_folder import MANIFEST
from transforms.engines.protocol import ModelIdentity
from transforms.engines.reward_inputs import template_file
from transforms.errors import ConfigError
from transforms.paths import ledger_root
from transforms.records.manifest import SourceRecord
from transforms.records.rounds import Rounds
from transforms.sources.kinds import PromptSource


@dataclass(frozen=True)
class RoundsPlan:
    """A recipe with everything that it names found and identified."""

    config: RoundsConfig
    training: list[Any]  # sources of training prompts, as their kinds' options
    sources: tuple[list[SourceRecord], list[SourceRecord]]  # of training and of held-out prompts
    start: ModelIdentity
    judge: ModelIdentity
    annotators: dict[str, ModelIdentity]
    fingerprint: str  # of recipe, sources, models and code
    finished: Rounds | None  # what lies in the output folder, if it is exactly this and nothing is left to do

    @property
    def folder(self) -> Path:
        """Where the result goes."""
        return Path(self.config.output.dir)

    def nothing_yet(self) -> Rounds:
        """The record of rounds that have just begun."""
        return Rounds(
            name=self.config.name,
            fingerprint=self.fingerprint,
            config=self.config.model_dump(mode="json"),
            start=model_record(self.start),
            judge=model_record(self.judge),
            annotators={label: model_record(identity) for label, identity in self.annotators.items()},
            packages=package_versions(),
            git_commit=git_commit(),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def plan_rounds(config: RoundsConfig) -> RoundsPlan:
    """Check what every round would be told, and find sources and models; no weights are loaded, except that the
    starter's models are made once.

    Raises:
        ConfigError: a key that does not fit or that each round fills in, or a judge that training data are by.
        SourceError: a source that cannot be reached.
        ModelError: a model that is missing.
        OutputError: a rounds.json that this project did not write.
    """
    training = _sources(prompt_sources(config))
    nowhere = [{"kind": "prompts", "path": "./prompts.jsonl"}]  # written once all of this fits
    curation, recipe = curation_of(config, 1, nowhere), training_of(config, 1)
    evaluation = evaluation_of(config, 0, nowhere)
    generated = curation.generation()
    annotating = [] if generated is None else list(zip(generated.annotator_labels(), generated.annotators, strict=True))
    if JUDGE in dict(annotating):
        message = f"curate.generate.annotators: one is called {JUDGE!r}, as held_out.judge is; give it another name"
        raise ConfigError(message)
    sources = source_records(training), source_records(config.held_out.prompts)
    root, today = ledger_root(config.ledger), evaluation.chat_template_date
    start = resolve_policy(evaluation.policies[0]).identity
    judging = find_annotator(JUDGE, evaluation.annotators[0], ledger_root=root, today=today)
    found = [find_annotator(label, annotator, ledger_root=root, today=today) for label, annotator in annotating]
    judge = judging.identity
    annotators = {one.label: one.identity for one in found}
    by = list(annotators.values())
    if curation.policy.engine != "none" and curation.reward is not None:
        by.append(resolve_reward(curation.reward).identity)
    _refuse_same_judge(config, judge, by)
    answering = [curation.policy, *evaluation.policies, *(generated.policies if generated else [])]
    templates = [template_file(one.chat_template) for one in [*answering, curation.reward] if one is not None]
    settings = config.settings() | {"inputs": [templates, *(one.inputs_key for one in [judging, *found])]}
    fingerprint = evaluation_fingerprint(settings, [*sources[0], *sources[1]], [start, judge, *by])
    finished = _finished(config, fingerprint)
    if finished is None and recipe.objective is not None:
        from trainers.objectives import objective  # imports torch, for which a rerun does not wait

        objective(recipe.objective.name, **recipe.objective.settings)  # a typo is said before hours of sampling
    return RoundsPlan(config, training, sources, start, judge, annotators, fingerprint, finished)


def _sources(given: Any) -> list[Any]:
    try:
        found = TypeAdapter(list[PromptSource]).validate_python(given)
    except ValidationError as error:
        message = problems_in_words(error, lambda at: ".".join(["curate.generate.prompts", *map(str, at)]))
        raise ConfigError(message) from error
    return found


def _refuse_same_judge(config: RoundsConfig, judge: ModelIdentity, by: list[ModelIdentity]) -> None:
    if config.held_out.same_judge:
        return
    # By content: the same weights in another folder, dtype or engine are the same judge.
    if any(one.fingerprint == judge.fingerprint and one.adapter == judge.adapter for one in by):
        message = (
            f"held_out.judge is {judge.name}, which training data are by: its win rate would rise with everything that "
            "it gets wrong. Name another reward model, or say held_out.same_judge: true"
        )
        raise ConfigError(message)


def _finished(config: RoundsConfig, fingerprint: str) -> Rounds | None:
    """Rounds that are done: as many as asked for, or stopped by the same rule, with all that they made."""
    found = read_rounds(Path(config.output.dir))
    if found is None or found.fingerprint != fingerprint or found.ended is None:
        return None
    if found.config["stop"] != config.stop.model_dump(mode="json"):
        return None
    if len(found.rounds) < config.rounds and not should_stop(found.rounds, config.stop):
        return None
    return found if all(_there(config, one.number) for one in found.rounds) else None


def _there(config: RoundsConfig, number: int) -> bool:
    folder = round_folder(config, number)
    trained = read_record(folder / "training") is not None
    return trained and Path(policy_after(config, number).model).is_dir() and (folder / "data" / MANIFEST).is_file()
