"""What a chat benchmark's own judge said of a model's answers, as an evaluation's `annotations` have it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Unit = Literal["win_rate", "score"]  # 0 to 1 over a baseline; points of the benchmark's own scale


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AnnotationCounts(_Part):
    """What is judged once is an instruction; of MT-Bench, a turn of one. lines = judged + no_verdict + doubled.

    Where the benchmark's questions are known, its instructions = judged + no_verdict + missing.
    """

    lines: int = Field(description="Of the file, of this model and part.")
    judged: int = Field(description="Instructions with a verdict.")
    no_verdict: int = Field(description="Instructions with lines, and in none of them a verdict that can be read.")
    doubled: int = Field(description="Further lines of an instruction. The benchmark's own tool counts them all.")
    missing: int | None = Field(description="Of the benchmark, without a line; null where its questions are not named.")


class AnnotationScore(_Part):
    """A rate or a mean of some instructions, with its 95 % interval over instructions."""

    of: str = Field(description="The part: a category of Arena-Hard, a turn of MT-Bench, or all.")
    baseline: str | None = Field(description="Whom the answers are compared with; null for points.")
    unit: Unit
    value: float | None = Field(description="As the benchmark's own tool has it; null where nothing is judged.")
    low: float | None
    high: float | None
    verdicts: int = Field(description="Numbers that it is the mean of: Arena-Hard's battles, MT-Bench's ratings.")
    counts: AnnotationCounts


class AnnotationRecord(_Part):
    """One file of verdicts, of one model."""

    kind: str
    benchmark: str
    model: str
    judge: str
    path: str
    sha256: str
    questions: str | None = Field(description="The benchmark's file that says what is missing.")
    others: int = Field(description="Lines of other models in the file.")
    scores: list[AnnotationScore]
