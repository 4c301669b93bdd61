"""training.json: what a finished training says about itself. Written last; its presence means it is complete."""

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from flows.train.config import Kept
from transforms.records.manifest import ModelRecord, SpendRecord


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DataRecord(_Part):
    """What was trained on."""

    path: str
    revision: str | None
    version: str  # of the curated run; of rows a hash of their files
    kept: Kept
    examples: int  # pairs, or prompts for objectives of those
    responses: int
    kept_tokens: int  # response tokens of one pass
    cut_by_context: int  # responses that only the context limit cut
    test_examples: int
    sha256: str  # of the training examples' tokens and rewards
    # Of single completions: rows = examples + test_examples + all of left_out + quarantined.
    rows: int | None = None  # pairs of the run, or rows, that were read
    left_out: dict[str, int] = {}
    quarantined: int = 0  # lines of quarantine.jsonl


class RewardsRecord(_Part):
    """Where the rewards of all responses of a run are from."""

    model: ModelRecord
    spend: SpendRecord
    left_out: dict[str, int]  # responses that could not be used, by reason


class KeptRecord(_Part):
    """The measurement on test examples whose model was saved, where the recipe asks for the best of them."""

    step: int
    figure: str  # as in metrics.jsonl
    value: float
    measurements: int  # that it is the best of; that before the first step is none of them


class StepsRecord(_Part):
    """What training did; counted while it ran."""

    steps: int  # 0 for a reward model's head alone, which is fitted without
    examples: int
    kept_tokens: int  # response tokens that losses read
    read_tokens: int  # tokens that the model read, padding left out
    layout: str


class Outcome(NamedTuple):
    """What became of the training itself."""

    trained: StepsRecord
    before: dict[str, float]
    after: dict[str, float]
    device: str
    kept: KeptRecord | None = None


class TrainingRecord(_Part):
    """Everything there is to know about a training run."""

    name: str
    fingerprint: str  # of recipe, data, models and code: equal means nothing changed
    config: dict[str, Any]
    objective: dict[str, Any]  # name and all settings
    data: DataRecord
    model: ModelRecord
    trained: StepsRecord
    before: dict[str, float]  # on the test pairs, before the first step; without test pairs the first step's
    after: dict[str, float]  # of the model that was saved; of a head alone also on training pairs, each held out once
    kept: KeptRecord | None = None  # None where the model is that of the last step
    rewards: RewardsRecord | None  # None where the run's own were read, or none
    reference: SpendRecord | None  # what the reference's log-probs cost
    packages: dict[str, str]
    git_commit: str | None
    device: str
    seconds: dict[str, float]
    finished_at: str
