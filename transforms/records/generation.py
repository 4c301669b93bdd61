"""What a finished generation says about itself: its manifest.json, written last."""

from typing import Any, Literal

from pydantic import Field

from transforms.records.manifest import (
    FileRecord,
    ModelRecord,
    Record,
    ShareRecord,
    SourceRecord,
    SpendRecord,
    TokenizerRecord,
)


class VoiceRecord(Record):
    """A policy as it answered."""

    label: str
    model: ModelRecord
    interpolation: dict[str, Any] | None = Field(None, description="What an interpolated policy is made of.")
    tokenizer: TokenizerRecord
    responses: int
    finished: int = Field(description="Of which ended by themselves; the others ran out of room.")
    status: dict[str, int] = Field(description="Status → responses.")
    tokens: int = Field(description="Of all its responses.")
    distinct: float = Field(description="Distinct texts over responses, prompts in the mean.")
    chosen: int = Field(0, description="Pairs whose chosen side is its.")
    rejected: int = 0
    mean_score: float | None = Field(None, description="Mean aggregate of its responses.")


class AnnotatorRecord(Record):
    """An annotator as it judged."""

    label: str
    kind: str
    model: ModelRecord
    objectives: list[str] = Field(default_factory=list, description="What has a column beside the score.")
    pairwise: bool
    scored: int = Field(description="Responses with a score.")
    unscored: dict[str, int] = Field(description="Why the others have none → responses.")
    mean: float | None = Field(description="Of its scores.")
    sd: float | None = Field(description="Of its scores, population.")
    spend: SpendRecord
    price: float | None = Field(None, description="Of what was asked in this run; null where none is stated.")


class TauRecord(Record):
    """A mean of Kendall's τ-b over prompts with its 95 % interval; none of one prompt."""

    value: float
    low: float | None
    high: float | None
    prompts: int


class AgreementRecord(Record):
    """Kendall's τ-b of two annotators within a prompt, in the mean over prompts."""

    first: str
    second: str
    tau: TauRecord | None = Field(description="Null where no prompt could be compared.")
    same_best: ShareRecord | None = Field(description="Prompts whose best response is the same.")
    left_out: dict[str, int] = Field(description="Why a prompt could not be compared → prompts.")


class ReliabilityRecord(Record):
    """What an annotator does when it is asked again, or the other way round."""

    label: str
    ties: ShareRecord | None = Field(description="Twos of responses of a prompt with equal scores.")
    repeated: int = Field(0, description="Responses that were asked about twice.")
    repeat_equal: ShareRecord | None = Field(None, description="With exactly the same score.")
    repeat_turned: ShareRecord | None = Field(None, description="Twos of them whose order turned.")
    repeat_largest: float | None = Field(None, description="Largest difference of two scores of one response.")
    comparisons: int = Field(0, description="Twos of responses that were compared in both orders, readably.")
    order_same: ShareRecord | None = Field(None, description="With the same verdict in both orders.")
    first_wins: ShareRecord | None = Field(
        None, description="Verdicts for the response that was shown first; a tie is ½."
    )
    unreadable: int = Field(0, description="Questions without an answer that can be read.")


class LengthRecord(Record):
    """What length explains of the aggregate, within prompts of this run."""

    slope: float = Field(description="Points of score for ln(1 + tokens) one higher.")
    low: float | None = Field(description="95 %, over prompts; null where fewer than two say anything of it.")
    high: float | None
    explained: float = Field(description="Share of the variance within prompts.")
    applied: bool = Field(description="Whether margins are taken after it.")


Ended = Literal["all_prompts", "accepted", "budget", "max_prompts"]


class GenerationCounts(Record):
    """prompts = drawn + not_drawn; found = prompts + repeated + weighed_out + quarantined prompts;
    drawn = with pairs + sum(without_pair); responses = sum(status)."""

    raw_rows: int
    found: int = Field(description="Prompts in the sources, rows that could not be read among them.")
    repeated: int = Field(description="The same prompt again.")
    weighed_out: int = Field(description="Left out by a source's `weight`.")
    quarantined: int = Field(description="Rows and prompts that cannot be used.")
    prompts: int = Field(description="Distinct ones that every policy can read.")
    drawn: int = Field(description="Of them were answered.")
    ended: Ended = Field(description="Why no more were drawn.")
    responses: int
    status: dict[str, int] = Field(description="Status → responses.")
    with_pair: int = Field(description="Drawn prompts with at least one pair.")
    without_pair: dict[str, int] = Field(description="Why a drawn prompt has none → prompts.")
    pairs: int
    beyond: int = Field(0, description="Pairs left out: over max_per_prompt, or over accept.")
    quarantined_responses: int = Field(description="Lines of quarantine.jsonl that are of responses and judgements.")


class GenerationManifest(Record):
    """Everything there is to know about a generation. Only content enters `version`."""

    made_by: Literal["generate"] = "generate"
    name: str
    version: str = Field(description="Hash of the content of pairs and responses.")
    config: dict[str, Any] = Field(description="The recipe, defaults included.")
    fingerprint: str = Field(description="Of recipe, prompts, models and code: equal means nothing changed.")
    sources: list[SourceRecord]
    voices: list[VoiceRecord]
    annotators: list[AnnotatorRecord]
    agreement: list[AgreementRecord]
    reliability: list[ReliabilityRecord]
    length: LengthRecord | None
    counts: GenerationCounts
    completions: SpendRecord
    files: list[FileRecord]
    packages: dict[str, str]
    git_commit: str | None
    seconds: dict[str, float]
    finished_at: str
