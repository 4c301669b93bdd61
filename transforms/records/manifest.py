"""manifest.json: what a finished run says about itself. Written last; its presence means the run is complete."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """A part of a record: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class LeakExample(Record):
    """A pair whose text holds a mark, and the text around it."""

    pair_id: str
    text: str


class LeakRecord(Record):
    """Marks of one family's chat templates in the texts of a source's pairs, whatever became of them."""

    family: str
    side: Literal["prompt", "chosen", "rejected"]
    pairs: int
    marks: dict[str, int] = Field(description="Mark → pairs that have it there.")
    examples: list[LeakExample]


class SourceRecord(Record):
    """One source of the recipe as it was read."""

    label: str
    kind: str
    path: str
    revision: str | None
    fingerprint: str
    raw_rows: int
    pairs: int
    license: str | None = Field(None, description="As the recipe states it, or else the source's own card.")
    license_from: Literal["recipe", "card"] = Field("recipe", description="Who states `license`.")
    columns_read: list[str] = Field(
        default_factory=list,
        description="Columns, and fields inside them (`chosen[].tool_calls`), that pairs are of.",
    )
    columns_unread: dict[str, int] = Field(
        default_factory=dict,
        description="Those that no pair is of → their values that are not null. A column that some rows are read by "
        "and others not is in both.",
    )
    notes: dict[str, int] = Field(
        default_factory=dict, description="What had to be decided about values of this source → how often."
    )
    leaks: list[LeakRecord] = Field(default_factory=list, description="Marks of chat templates in its texts.")


class ModelRecord(Record):
    """A policy or reward model as it answered."""

    name: str
    revision: str
    fingerprint: str
    dtype: str
    engine: str
    quantization: str | None = Field(None, description="What the engine made of the weights; null: as they are.")
    adapter: str | None = Field(None, description="sha256 over a LoRA adapter's files, or its commit; null: none.")


class TokenizerRecord(Record):
    """The tokenizer that made the ids."""

    name: str
    sha256: str
    eot: str
    eot_id: int


class ProbeRecord(Record):
    """A conversation that was tried on the model before the run."""

    name: str
    exact: bool = Field(description="Its tokens are the family's own; otherwise rows like it go to quarantine.")
    why: str | None = Field(None, description="The reason that such rows get.")


class TemplateRecord(Record):
    """What the chat template was called with, and what it does to responses."""

    text: str | None = Field(
        None, description="The template, where the recipe names a file in place of the model's own."
    )
    kwargs: dict[str, Any] = Field(default_factory=dict, description="What every conversation was called with.")
    reasoning: Literal["template", "inline"] = Field("template", description="Where reasoning goes, as in the recipe.")
    date: str | None = Field(None, description="The day that it was told; null where it does not ask.")
    stops: list[int] = Field(description="Tokens that can end a response, the end-of-turn first.")
    before_text: list[int] = Field(
        description="Tokens that it writes between the prompt and the text of a response. They belong to the response "
        "and no truncation counts them: minimum, ratio and number are of the tokens behind them, on both sides alike."
    )
    before_reasoning: list[int] = Field(description="Likewise, before the reasoning of a response that has some.")
    after_text: list[int] = Field(description="Tokens after the text, the end-of-turn last.")
    changed: int = Field(description="Responses whose white space it changed: it trims them, and the tokens follow it.")
    probes: list[ProbeRecord] = Field(description="What was tried before the run.")


class StageRecord(Record):
    """rows_in = rows_out + dropped + quarantined, for every stage."""

    stage: str
    rows_in: int
    rows_out: int
    dropped: dict[str, int] = Field(default_factory=dict)
    quarantined: int = 0


class Counts(Record):
    """pairs = kept + sum(dropped) + quarantined; kept = sum(splits). Raw rows that no pair could be made
    of count as one quarantined pair each."""

    raw_rows: int
    pairs: int
    kept: int
    dropped: dict[str, int]
    quarantined: int
    splits: dict[str, int]
    stages: list[StageRecord]
    contradictions: int = Field(
        0, description="Twos of responses to one prompt that some rows order one way and others the other."
    )
    contradicting: int = Field(0, description="Rows of them, duplicates included.")
    unmeasured: dict[str, int] = Field(
        default_factory=dict, description="Filter → pairs that it let pass because they have nothing to measure."
    )


class TokenCounts(Record):
    """Response tokens of the kept pairs, before and after truncation."""

    prompt: int
    chosen_before: int
    chosen_after: int
    rejected_before: int
    rejected_after: int


class ShareRecord(Record):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int = Field(description="What it is a share of.")


class RateRecord(Record):
    """Mean pair consistency (methods §3) with its 95 % interval, unbiased although sampling was adaptive."""

    source: str = Field(description='"all" is first.')
    reference: Literal["label", "reward"]
    pairs: int = Field(description="Pairs that the rate speaks of.")
    sampled: int = Field(description="Of which had a cut side and were sampled.")
    rate: float
    low: float
    high: float
    # Share of pairs whose full responses the reward model orders as the label does, before any cut.
    reward_agrees: float


class GroupRecord(Record):
    """Mean consistency with the label of the cut pairs whose measure lies in [start, end)."""

    by: Literal["share_cut", "margin"] = Field(
        description="Response tokens cut over all; r(chosen) − r(rejected), full responses."
    )
    start: float
    end: float
    pairs: int
    sampled: int
    rate: float
    low: float
    high: float


DecidedBy = Literal["uncut", "proxy", "sampling", "n_max", "stopped", "undecided"]


class DecisionRecord(Record):
    """Pairs by what decided them.

    uncut: nothing was cut, consistent by definition. proxy: what margin and values foretell was sure enough.
    sampling: the posterior passed 1 − δ. n_max: it did not, and its mean decided. stopped: a completion more was
    expected to prevent too few wrong verdicts, so the likelier one stands. undecided: the budget ended.
    """

    by: DecidedBy
    keep: int
    drop: int
    completions: int = Field(description="That these pairs needed.")


class CalibrationPoint(Record):
    """Audit pairs of like prediction: what the proxy foretold, held out of its fit, and what sampling found."""

    predicted: float = Field(description="Mean P(consistent).")
    observed: ShareRecord
    margin: float = Field(description="Mean reward margin towards the reference.")


class ProxyRecord(Record):
    """How far the reward margin of the full responses stood in for sampling (POET, appendix A)."""

    informative: bool
    why: str = Field(description="In words: what it knows, or why it decides nothing.")
    cut_pairs: int
    audit_pairs: int
    skipped: int
    accepted_error: float
    error: ShareRecord | None = Field(description="Of skipped decisions, on audit pairs held out of the fit.")
    gain: float = Field(description="Held-out log-likelihood a pair over the constant rate, in nats.")
    calibration: list[CalibrationPoint]
    values_asked: int = Field(0, description="Kept prefixes that the reward model was to read as they are.")
    values_read: int = Field(
        0, description="Those that it could read; a pair that lacks one is foretold as a mean one."
    )


class EstimatorRecord(Record):
    """What completions were asked: who won, or by how much (consistency.estimator)."""

    used: Literal["counts", "rewards"]
    why: str = Field(description="In words; where the recipe asks for rewards and wins were counted, the reason.")
    gain: float = Field(description="Held-out log-likelihood of wins by gaps over counts, in nats a comparison.")


class RoundRecord(Record):
    """One round of sampling: what was asked and what it decided."""

    stage: Literal["audit", "rest"]
    number: int
    pairs: int
    completions: int
    tokens: int
    keep: int
    drop: int
    open: int


class ReplicaRecord(Record):
    """What one of several engines of a model did."""

    name: str = Field(description="Role and number; the number of one that was lost goes to the one in its place.")
    node: str = Field(description="Machine and process, and GPUs where there are any.")
    batches: int = 0
    requests: int = 0
    tokens: int = Field(0, description="As tokens_generated of the account.")
    seconds: float = Field(0.0, description="In which it answered.")
    loading_seconds: float = 0.0
    lost: bool = Field(False, description="It died, or said nothing for too long.")


class SpendRecord(Record):
    """What one kind of model call cost. requests = generated + reused + unanswered."""

    requests: int
    generated: int
    reused: int
    unanswered: int = Field(0, description="Of batches that were given up after three replicas were lost with them.")
    tokens_generated: int
    tokens_reused: int
    cached_prompt_tokens: int = 0
    prompt_tokens: int = Field(0, description="That an LLM judge read, those of answers that were no use included.")
    price: float | None = Field(
        None, description="Of prompt_tokens and tokens_generated, in the recipe's currency; null: it states no prices."
    )
    batches: int = 0
    batches_paid_again: int = Field(
        0, description="Batches that an earlier, killed run had started but never finished."
    )
    batches_failed: int = Field(0, description="Calls that the engine failed; each was asked again, or ended the run.")
    seconds: float = Field(0.0, description="Of engines that answered; of several at once, the sum.")
    replicas: tuple[ReplicaRecord, ...] = Field((), description="Each of several engines; empty where one answered.")

    def plus(self, other: "SpendRecord") -> "SpendRecord":
        """Both accounts in one; `price` is of those that state one."""
        prices = [price for price in (self.price, other.price) if price is not None]
        theirs = other.model_dump(exclude={"price"})
        added = {name: value + theirs[name] for name, value in self.model_dump(exclude={"price"}).items()}
        return SpendRecord(**added, price=sum(prices) if prices else None)

    @classmethod
    def nothing(cls) -> "SpendRecord":
        """An account before the first call."""
        return cls(requests=0, generated=0, reused=0, tokens_generated=0, tokens_reused=0)


class FileRecord(Record):
    """One file of the output, path relative to the output folder."""

    path: str
    rows: int
    sha256: str


class GeneratedRecord(Record):
    """What the section `generate` of a recipe made; all of it is in the manifest of generated/."""

    version: str
    prompts: int = Field(description="That were answered.")
    responses: int
    pairs: int
    ended: str = Field(description="Why no more prompts were drawn.")
    policies: list[ModelRecord]
    annotators: list[ModelRecord]
    completions: SpendRecord
    scores: SpendRecord = Field(description="Of all annotators together.")


class Manifest(Record):
    """Everything there is to know about a run. Only content enters `version`: equal data, equal version."""

    name: str
    version: str = Field(description="Hash of the content of all tables.")
    config: dict[str, Any] = Field(description="The recipe, defaults included.")
    fingerprint: str = Field(description="Of recipe, sources, models and code: equal means nothing changed.")
    sources: list[SourceRecord]
    tokenizer: TokenizerRecord
    template: TemplateRecord | None = Field(None, description="Null in runs of earlier versions.")
    policy: ModelRecord | None
    reward: ModelRecord | None
    generated: GeneratedRecord | None = Field(None, description="Null where the recipe generates nothing.")
    packages: dict[str, str]
    git_commit: str | None
    counts: Counts
    tokens: TokenCounts
    consistency: list[RateRecord]
    groups: list[GroupRecord] = Field(default_factory=list)
    decisions: list[DecisionRecord] = Field(default_factory=list)
    proxy: ProxyRecord | None = None
    estimator: EstimatorRecord | None = Field(None, description="None where the recipe counts.")
    rounds: list[RoundRecord] = Field(default_factory=list)
    completions: SpendRecord | None = Field(description="None where nothing was sampled.")
    scores: SpendRecord | None = Field(description="Likewise, of rewards.")
    files: list[FileRecord]
    seconds: dict[str, float] = Field(description="By stage.")
    finished_at: str = Field(description="UTC.")
