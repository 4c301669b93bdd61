"""What evaluation.json says of a reward model on RewardBench 2."""

from pydantic import BaseModel, ConfigDict

from transforms.records.manifest import ModelRecord, SpendRecord


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SubsetRecord(_Part):
    """A subset's score with its 95 % interval over prompts.

    Outside Ties the share of rows whose right response scores highest, where k responses that share the highest score
    are right by 1/k. That of Ties is put together of `TiesRecord`'s parts.
    """

    subset: str
    rows: int
    responses: int
    level: int  # rows whose right response shares the highest score with a wrong one; of Ties, 0
    value: float
    low: float
    high: float


class TiesRecord(_Part):
    """What the score of Ties is made of: 0.3 (tied + ref) + 0.2 (preferred + preferred_hard) + 0.01 margin."""

    questions: int  # those with both rows, of which the last three are means
    alone: int  # rows without their other
    tied: float  # share of `tied` rows whose right responses all score above every wrong one
    ref: float  # likewise of `ref` rows, with one right response
    preferred: float  # the lowest right response is further above the wrong ones than below the highest right one
    preferred_hard: float  # the same, with the smaller of the distances of `tied` and `ref`
    margin: float  # mean of tanh(smaller distance / spread of the right ones − 1), in [−1, 1]


class BestOfCounts(_Part):
    """What became of the rows: raw_rows = judged + quarantined."""

    raw_rows: int
    judged: int
    quarantined: int


class RewardBench2Evaluation(_Part):
    """A reward model on RewardBench 2 (arXiv 2506.01937)."""

    source: str
    model: ModelRecord
    counts: BestOfCounts
    subsets: list[SubsetRecord]  # the six in the benchmark's order, then others by name
    ties: TiesRecord | None  # None without a question that has both rows
    total: float | None  # mean of the six; None where one is missing
    low: float | None
    high: float | None
    missing: list[str]  # of the six, without a score
    spend: SpendRecord
