"""What evaluation.json says of tasks of lm-evaluation-harness."""

from pydantic import BaseModel, ConfigDict

from transforms.records.manifest import ModelRecord


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TaskScore(_Part):
    """One metric of one task, or of a group of them, as lm_eval reports it."""

    task: str
    group: bool  # put together of several tasks
    version: str | None  # of the task
    metric: str  # acc, exact_match …
    filter: str  # what was made of an answer before it was judged; `none` for nothing
    value: float | None  # None where lm_eval gave no finite number
    stderr: float | None  # None where it gave none
    n: int | None  # documents
    num_fewshot: int | None
    higher_is_better: bool | None


class TasksEvaluation(_Part):
    """A policy on tasks, in an environment of its own."""

    model: ModelRecord
    lm_eval: str  # version
    packages: dict[str, str]  # of that environment
    chat_template: bool  # whether prompts were conversations
    limit: float | None  # documents a task, or a share of them; then the numbers are those of a trial
    seed: int | None
    scores: list[TaskScore]
    results: str  # name of the file beside evaluation.json that has all that lm_eval wrote
    seconds: float
