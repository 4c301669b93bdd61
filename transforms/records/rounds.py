"""rounds.json: what `python -m flows.rounds` did and what became of it, written after each round."""

from typing import Any, Literal

from pydantic import Field

from transforms.records.manifest import ModelRecord, Record, ShareRecord, SourceRecord

Ended = Literal["all_rounds", "stopped"]


class PromptsRecord(Record):
    """Training and held-out prompts: none is both."""

    training: list[SourceRecord] = Field(description="Where training prompts come from.")
    held_out: list[SourceRecord]
    found: int = Field(description="Distinct prompts of the training sources.")
    overlap: int = Field(description="Of which are held out, and so left out of training.")
    parts: list[int] = Field(description="Training prompts in each part.")
    held: int = Field(description="Held-out prompts.")
    unusable: int = Field(description="Rows of either that hold no prompt that can be read.")


class MeanScore(Record):
    """What a reward model says of a policy's held-out answers."""

    mean: float
    sd: float = Field(description="Of the answers, population.")
    scored: int


class AnswersRecord(Record):
    """A policy's answers to the held-out prompts."""

    responses: int
    finished: int = Field(description="Of which ended by themselves.")
    tokens: float = Field(description="Mean length.")
    judge: MeanScore | None = Field(description="Null where the judge scored none.")
    annotators: dict[str, MeanScore] = Field(description="The same answers by the training annotators, by name.")


class WinRecord(Record):
    """How often one policy's answers beat another's by the judge, with 95 % intervals over prompts."""

    rate: ShareRecord = Field(description="Ties are ½.")
    ties: float = Field(description="Share of comparisons.")
    left_out: int = Field(description="Prompts without a score of one of the two.")
    at_equal_length: ShareRecord | None = Field(description="Length-controlled; null where it cannot be fitted.")
    not_fitted: str | None = Field(None, description="Why it cannot.")


class DataRecord(Record):
    """What a round was trained on."""

    version: str
    prompts: int = Field(description="That were answered.")
    responses: int
    pairs: int = Field(description="That generation made.")
    kept: int = Field(description="Of which curation kept.")
    train: int = Field(description="Of which were trained on.")


class RoundRecord(Record):
    """One round."""

    number: int
    part: int = Field(description="Of the training prompts, from 1.")
    data: DataRecord
    steps: int
    folder: str = Field(description="Of the trained policy.")
    model: ModelRecord
    answers: AnswersRecord
    over_start: WinRecord
    over_previous: WinRecord
    over_best: WinRecord = Field(description="Over the best policy before it.")
    best_before: int = Field(description="Which that was; 0 is the start.")
    better: bool = Field(description="Than that, by the rule.")
    seconds: float


class Rounds(Record):
    """Everything that a sequence of rounds says, as JSON."""

    name: str
    fingerprint: str = Field(description="Of recipe, sources, models and code: equal means that nothing changed.")
    config: dict[str, Any]
    start: ModelRecord
    judge: ModelRecord
    annotators: dict[str, ModelRecord]
    prompts: PromptsRecord | None = None
    start_answers: AnswersRecord | None = None
    rounds: list[RoundRecord] = Field(default_factory=list)
    ended: Ended | None = Field(None, description="Null while rounds are left to do.")
    packages: dict[str, str]
    git_commit: str | None
    finished_at: str
