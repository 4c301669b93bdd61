"""A table or figure of a paper beside what the same commands gave here, and what may be said of the two."""

from typing import Literal

from pydantic import Field

from transforms.records.manifest import Record

Size = Literal["small", "paper"]
# Of a claim, by 95 % intervals: they bear it out, they speak against it, or they cannot tell.
Outcome = Literal["holds", "does not hold", "not told"]


class SeriesPoint(Record):
    """A value and its 95 % interval, in the unit of its axis."""

    x: float | str = Field(description="A number on an axis, or the name of a row or bar.")
    y: float = Field(description="The value.")
    low: float | None = Field(None, description="Where its 95 % interval begins, if it has one.")
    high: float | None = Field(None, description="Where it ends.")


class Series(Record):
    """A line, a row of bars or a column of a table."""

    label: str = Field(description="What it is called in the picture and the table.")
    points: list[SeriesPoint] = Field(description="In the order in which they are drawn.")
    missing: list[str] = Field([], description="What has no point, and why.")
    unit: str | None = Field(None, description="By default that of the axis.")


class ClaimFound(Record):
    """What a paper says, and whether the numbers here say it too."""

    says: str
    outcome: Outcome
    found: str = Field(description="The numbers that it rests on, in words.")
    one_training: bool = Field(False, description="A side is one training: another seed is in no interval.")


class Reproduction(Record):
    """A table or figure as it came out here."""

    paper: str
    entry: str
    size: Size
    title: str
    x: str
    y: str
    y_here: str = Field("", description="What y is in this run, where that is another quantity than in the paper.")
    printed: list[Series] = Field(description="Of the paper; empty where it prints a curve without numbers.")
    series: list[Series] = Field(description="Of this run.")
    also: list[Series] = Field([], description="Of this run, and not drawn: claims rest on them.")
    claims: list[ClaimFound]
    caveat: str = Field(description="Why it may come out otherwise than in the paper.")
    rests_on: list[str] = Field(description="What the numbers rest on: models, pairs, prompts, seeds.")
    steps: dict[str, float] = Field(description="Step → seconds when it ran.")
    fingerprint: str = Field(description="Of the steps' inputs and of how they are read.")
