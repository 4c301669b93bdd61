"""export.json: the files that an export wrote, counted so that it adds up, with how labels or answers were found."""

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ExportedFile(_Part):
    """One layout of one split. rows_in = rows + sum(left_out)."""

    layout: str
    split: str
    path: str | None = Field(description="Below the folder; None where no row was left to write.")
    rows_in: int = Field(description="Pairs; of kto responses, two a pair, or all of a generation.")
    rows: int
    left_out: dict[str, int] = Field(description="By reason; each is a line of left-out.jsonl.")
    responses: int = Field(description="In the rows: two each, of kto one.")
    without_end: int = Field(description="Of them, those whose tokens have no end-of-turn: cut or unfinished.")
    unfinished: int = Field(description="Of them, those that did not end by themselves at their source.")


class ThresholdRecord(_Part):
    """From which score on a response is desirable (kto)."""

    score: str = Field(
        description="reward: the run's reward model's. source: the dataset's own. aggregate: a generation's."
    )
    method: str = Field(description="otsu, median or given.")
    value: float
    margin: float = Field(description="Responses less than this away from the threshold are left out.")
    split: str = Field(description="The split whose responses decided it; it holds for all of them.")
    responses: int = Field(description="Different ones there that have a score.")
    several_scores: int = Field(description="Of them, those with other scores in other pairs; their mean counts.")
    separation: float = Field(description="Between-class variance as a share of all variance, 0 to 1.")
    chosen: int = Field(description="Chosen responses of pairs with a score there.")
    chosen_below: int = Field(description="Of them, those below the threshold.")
    rejected: int
    rejected_above: int = Field(description="Rejected ones at or above it.")
    unpaired: int | None = Field(None, description="Responses with a score that are in no pair; of a generation.")
    unpaired_above: int | None = Field(None, description="Of them, those at or above it.")
    desirable: int = Field(description="Rows of that split with label true.")
    undesirable: int
    desirable_weight: float = Field(description="λ_D, to set with undesirable_weight.")
    undesirable_weight: float
    desirable_range: tuple[float, float] = Field(description="What λ_D may be while λ_U is 1.")
    undesirable_range: tuple[float, float] = Field(description="What λ_U may be while λ_D is 1.")


class GenerationPart(_Part):
    """What the generation holds that was exported."""

    prompts: int = Field(description="That were answered.")
    responses: int = Field(description="All of them: those of no use and without a score too.")
    in_pairs: int = Field(description="Responses that are in a pair.")
    pairs: int
    annotators: list[str]
    aggregate: str = Field(description="How several annotators' scores became one.")


class ExportRecord(_Part):
    """What was exported, of which version."""

    where: str
    commit: str | None  # of the Hub
    name: str
    version: str
    files: list[ExportedFile]
    threshold: ThresholdRecord | None
    generation: GenerationPart | None = Field(None, description="Where it is no curated run.")
    appended: bool = Field(
        False, description="The run's own trainings read an end-of-turn behind every response (truncate.eot: always)."
    )


class JoinCounts(_Part):
    """A benchmark's questions and a policy's answers: questions = answered + missing; a doubled one is in either.

    prompts = those that answer a question + foreign, in the first run and in the second.
    """

    questions: int = Field(description="Rows of the benchmark's file; without one, prompts of the run.")
    doubled: int = Field(description="Rows that ask what a row above them asks; each has the same answer.")
    answered: int = Field(description="Rows that are written.")
    missing: int = Field(description="Rows without an answer, in no file.")
    prompts: int = Field(description="That the policy answered.")
    foreign: int = Field(description="Of them, those that are no question of the benchmark; in no file.")
    second_prompts: int | None = Field(None, description="Of MT-Bench: prompts of the run of second turns.")
    second_foreign: int | None = Field(None, description="Of them, those that are no second turn behind these answers.")


class AnswersRecord(_Part):
    """A policy's answers in the layout of a chat benchmark's own tool."""

    layout: str
    where: str
    name: str = Field(description="Of the generation.")
    version: str
    policy: str = Field(description="Its label in the generation.")
    model: str = Field(description="What the benchmark's files call it.")
    second: str | None = Field(None, description="Of MT-Bench: the generation of second turns, and its version.")
    path: str = Field(description="Of the file, below the folder.")
    benchmark: str | None = Field(description="The file of questions.")
    benchmark_sha256: str | None = None
    counts: JoinCounts
    further: int = Field(description="Responses that are not the first to their prompt; in no file.")
    status: dict[str, int] = Field(description="Status → answers that are written, which all of them are.")
    unfinished: int = Field(description="Of the answers that are written, those that ran out of room.")
    tstamp: float | None = Field(description="Seconds since 1970 in each row: when the generation had ended.")
    metadata: bool | None = Field(None, description="Of Arena-Hard: whether rows have what style control reads.")
