"""What a generation would do: prompts, policies and annotators found, and whether the result lies there already."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flows.annotators.protocol import Annotator
from flows.generate.judges import find_annotator
from flows.generate.voices import FoundPolicy, find_policy
from flows.recipe.generation import GENERATION_INDIFFERENT, Generation
from flows.runtime.trackers import check_trackers
from flows.versions.copies import check_copy
from flows.versions.fingerprint import code_hash, fingerprint_of, source_records
from flows.versions.output_folder import intact, read_generation
from transforms.errors import ConfigError
from transforms.paths import ledger_root
from transforms.records.generation import GenerationManifest
from transforms.records.manifest import SourceRecord


@dataclass(frozen=True)
class GenerationPlan:
    """A recipe with everything that it names found and identified."""

    config: Generation
    sources: list[SourceRecord]
    policies: list[FoundPolicy]
    annotators: list[Annotator]
    fingerprint: str  # of recipe, prompts, models and code

    @property
    def folder(self) -> Path:
        """Where the run goes."""
        return Path(self.config.output.dir)

    @cached_property
    def finished(self) -> GenerationManifest | None:
        """What lies in the output folder, if it is exactly this run with all that it wrote."""
        found = read_generation(self.folder)
        if found is None or found.fingerprint != self.fingerprint:
            return None
        return found if intact(self.folder, found.files) else None


def plan_generation(config: Generation) -> GenerationPlan:
    """Find prompts and models; nothing heavy is loaded, except that the starter's models are made once.

    Raises:
        ConfigError: a tracker that is not installed, or annotators with equal columns.
        SourceError: a source that cannot be reached.
        ModelError: a model that is missing or cannot be used.
        OutputError: output.copy_to cannot be reached, or holds something else.
    """
    check_trackers(config.report_to)
    today, root = config.chat_template_date, ledger_root(config.ledger)
    sources = source_records(config.prompts)
    policies = [
        find_policy(label, policy, today) for label, policy in zip(config.policy_labels(), config.policies, strict=True)
    ]
    annotators = [
        find_annotator(label, annotator, ledger_root=root, today=today, cluster=config.cluster)
        for label, annotator in zip(config.annotator_labels(), config.annotators, strict=True)
    ]
    _refuse_equal_columns(annotators)
    content = {
        "recipe": config.model_dump(mode="json", exclude=GENERATION_INDIFFERENT),
        "sources": [[s.label, s.revision, s.fingerprint] for s in sources],
        "policies": [[str(one.model.identity), *one.tokens_key] for one in policies],
        "annotators": [[str(one.identity), *one.inputs_key] for one in annotators],
        "code": code_hash("flows", "transforms"),
    }
    fingerprint = fingerprint_of(content)
    check_copy(config.output.copy_to, Path(config.output.dir), fingerprint, overwrite=config.output.overwrite)
    return GenerationPlan(config, sources, policies, annotators, fingerprint)


def score_columns(annotator: Annotator) -> list[str]:
    """Names of the columns of an annotator's scores, its own first and then its objectives'."""
    names = [annotator.label, *(f"{annotator.label}_{objective}" for objective in annotator.objectives)]
    return [f"score_{name}" for name in names]


def _refuse_equal_columns(annotators: Sequence[Annotator]) -> None:
    columns = [name for annotator in annotators for name in score_columns(annotator)]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        message = f"two annotators have a column {twice[0]}, one of them of an objective; give one of them another name"
        raise ConfigError(message)
