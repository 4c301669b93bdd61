"""What models wrote to held-out prompts, and whose answers a judge liked better: part of evaluation.json."""

from typing import Literal

from pydantic import Field

from transforms.records.audit import CurvePoint
from transforms.records.manifest import ModelRecord, Record, ShareRecord, SourceRecord, SpendRecord

# How a response ended: by itself, for want of room, at once, within its reasoning, or in a text that no dataset takes.
End = Literal["ended", "out_of_room", "empty", "no_answer", "unusable"]
QUANTILES = (5, 25, 50, 75, 95)


class LengthsRecord(Record):
    """Lengths of a model's responses."""

    mean: float
    quantiles: list[float] = Field(description="5, 25, 50, 75 and 95 %.")


class AnswersRecord(Record):
    """What a model wrote."""

    label: str
    model: ModelRecord
    responses: int = Field(description="sum(ends).")
    ends: dict[End, int] = Field(description="How they ended → responses.")
    tokens: LengthsRecord = Field(description="In the model's own tokens, an end-of-turn included.")
    characters: LengthsRecord = Field(description="Of the text.")
    score: float | None = Field(description="Mean of the judge's; null of a judge that compares.")

    @property
    def ended(self) -> float:
        """Share of the responses that ended by themselves; 0 without any."""
        return self.ends.get("ended", 0) / max(self.responses, 1)


class HistogramRecord(Record):
    """How often values fall between edges, by model; the outermost bins hold what lies beyond them."""

    edges: list[float]
    counts: dict[str, list[int]] = Field(description="Label → responses in each bin.")


class AlpacaEvalRecord(Record):
    """AlpacaEval 2's length-controlled win rate, by this judge or by the benchmark's own."""

    rate: float
    standard_error: float = Field(description="As the benchmark gives it: of the predictions, not of the fit.")
    low: float | None = Field(description="95 %, over instructions, the fit included.")
    high: float | None
    instructions: int = Field(description="That the rate rests on.")
    fitted: int = Field(description="Of which have a preference.")
    foreign: int = Field(description="Judgements of instructions that the benchmark does not have.")
    doubled: int = Field(description="Judgements of an instruction that was judged before.")
    missing: int = Field(description="Instructions of the benchmark without a judgement.")


class WinsRecord(Record):
    """How often a model's answers beat the baseline's. prompts = rate.count + sum(left_out)."""

    label: str
    prompts: int
    left_out: dict[str, int] = Field(description="Why a prompt could not be compared → prompts.")
    rate: ShareRecord = Field(description="Mean over prompts; a tie is ½, and an empty answer loses to any other.")
    ties: float = Field(description="Share of comparisons.")
    at_equal_length: ShareRecord | None = Field(
        description="If both had written as many characters (arXiv 2404.04475, without instructions' difficulty); null "
        "where it cannot be fitted."
    )
    not_fitted: str | None = Field(None, description="Why it cannot.")
    extrapolated: bool = Field(False, description="One model's answers are the longer ones in all comparisons.")
    alpaca_eval: AlpacaEvalRecord | None = Field(None, description="With instructions' difficulty.")
    alpaca_eval_why: str | None = Field(None, description="Why there is none where it was asked for.")


class QualityCurve(Record):
    """Q(k) of a model's answers: the mean score of completions of their first k tokens (POET, figure 4)."""

    label: str
    points: list[CurvePoint] = Field(description="`pairs` of a point are answers.")
    over_baseline: list[CurvePoint] = Field(
        description="Minus the baseline's to the same prompts; `pairs` are prompts."
    )


class PrefixQuality(Record):
    """What the beginnings of answers are worth. answers = read + sum(left_out), of all models."""

    completer: ModelRecord
    completions_each: int
    prompts: int
    answers: int
    read: int
    left_out: dict[str, int] = Field(description="Why an answer is in no point → answers.")
    curves: list[QualityCurve] = Field(description="The baseline is first.")
    completions: SpendRecord
    judgements: SpendRecord


class EntropyCurve(Record):
    """A model on its own answers: the next token's entropy by position, nats (POET, figure 2a)."""

    label: str
    responses: int
    points: list[CurvePoint]


class AnswersEvaluation(Record):
    """Models by their answers to the same prompts."""

    judge: ModelRecord
    judge_kind: str
    compares: bool = Field(description="Whether the judge reads two answers at once, in both orders.")
    sources: list[SourceRecord]
    prompts: int = Field(description="That all were asked; everything here is of these.")
    not_of_all: int = Field(0, description="Prompts that only some models could read; left out.")
    baseline: str
    samples: int = Field(description="Answers of a model to a prompt.")
    models: list[AnswersRecord] = Field(description="The baseline is first.")
    wins: list[WinsRecord] = Field(description="Of each other one over the baseline.")
    unscored: dict[str, int] = Field(
        description="Why the judge has no score for an answer → answers; the baseline's once for each model."
    )
    lengths: HistogramRecord = Field(description="Of characters.")
    scores: HistogramRecord | None = Field(description="Of the judge's; null of a judge that compares.")
    prefixes: PrefixQuality | None = None
    entropy: list[EntropyCurve] = Field(default_factory=list)
    quarantined: int = Field(description="Lines of answers/*/quarantine.jsonl.")
    completions: SpendRecord
    judgements: SpendRecord
    price: float | None = Field(description="Of judgements made in this run; null where none is stated.")
