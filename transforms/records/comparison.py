"""comparison.json: what `python -m flows.compare` found out about curated data against the data it was made of."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from transforms.records.answers import AnswersRecord
from transforms.records.manifest import ModelRecord
from transforms.statistics.intervals import MeanRecord

Budget = Literal["steps", "tokens"]
Judge = Literal["policy", "reward"]
# Whether an accuracy is above or below the first variant's, by the 95 % interval of the difference.
Verdict = Literal["higher", "lower", "unclear"]
ComparedMeasure = Literal["log_ratio", "mean_log_ratio"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class VariantRecord(_Part):
    """One way to use the run's pairs."""

    name: str  # raw, poet, ratio 0.5 or curated
    pairs: Literal["kept", "all"]
    kept: str | float
    examples: int | None  # pairs (or prompts) of one pass; None where they could not be read
    tokens: int | None  # of one pass: each prompt once, and the kept tokens of its responses
    error: str | None = None


class HeldOutRecord(_Part):
    """The held-out pairs, the same for all: whole responses to prompts that no variant was trained on."""

    pairs: int
    prompts: int
    dropped: int  # of these pairs, those that the run had dropped for what the cut did to them
    left_out: int  # pairs whose prompt, in other messages, has the tokens of one in training
    cut_by_context: int  # responses of which the model's context shows the beginning only
    unread: int  # pairs left out because some model could not read them
    tokens: int  # prompts once, and responses


class TrainingResult(_Part):
    """One training, and what it became on the held-out pairs."""

    variant: str
    seed: int
    steps: int
    budgets: list[Budget]  # that it stands for: at as many steps and tokens it is the same training
    examples: int  # that its steps saw, repeats counted
    tokens: int  # of those, as VariantRecord counts them
    folder: str
    seconds: float | None  # training and judging
    accuracy: float | None
    margin: float | None
    chosen: float | None  # change of the log-prob of chosen responses, nats a token; None for reward models
    rejected: float | None
    error: str | None = None
    answers_error: str | None = None  # why its model was judged by pairs alone


class Difference(_Part):
    """A variant minus the first one, paired by pair and seed."""

    trainings: int  # seeds that both have
    accuracy: MeanRecord
    margin: MeanRecord
    chosen: MeanRecord | None
    verdict: Verdict


class Standing(_Part):
    """A variant at one budget: means over its trainings and the held-out pairs, with 95 % intervals over both."""

    budget: Budget
    variant: str
    trainings: int
    steps: float  # mean over trainings
    tokens: float
    passes: float  # over the variant's pairs
    accuracy: MeanRecord
    margin: MeanRecord
    chosen: MeanRecord | None
    rejected: MeanRecord | None
    difference: Difference | None  # None for the first variant, and where it has no training to pair with


class AnswersDifference(_Part):
    """A variant's win rate minus the first one's, paired by prompt and seed."""

    trainings: int
    rate: MeanRecord
    at_equal_length: MeanRecord | None
    verdict: Verdict  # by the rate


class AnswersStanding(_Part):
    """Win rates of a variant over the model it was trained from, with 95 % intervals over trainings and prompts."""

    budget: Budget
    variant: str
    trainings: int
    rate: MeanRecord
    at_equal_length: MeanRecord | None
    not_fitted: str | None  # why there is none
    characters: float  # mean over trainings
    ended: float  # share of answers that ended by themselves
    difference: AnswersDifference | None  # None for the first variant, and where it has no training to pair with


class AnswersCompared(_Part):
    """Trained policies by their answers. asked = compared + trained_on + sum(left_out)."""

    judge: ModelRecord
    judge_kind: str
    compares: bool
    samples: int  # answers of a model to a prompt
    asked: int  # prompts
    compared: int  # that every model's answers could be compared to
    trained_on: int  # left out
    unasked: int  # prompts beside these that could not be asked: see answers/*/quarantine.jsonl
    left_out: dict[str, int]  # why some model's answer could not be compared → prompts
    baseline: AnswersRecord
    standings: list[AnswersStanding]
    completions: int  # sampled, whichever run paid
    judgements: int

    def standing(self, budget: Budget, variant: str) -> AnswersStanding | None:
        """One cell of the table."""
        return next((one for one in self.standings if (one.budget, one.variant) == (budget, variant)), None)


class Comparison(_Part):
    """Everything a comparison says, as JSON."""

    name: str
    fingerprint: str  # of configuration, data, model and code: equal means nothing changed
    config: dict[str, Any]
    training: dict[str, Any]  # the recipe that all variants share
    judge: Judge | None  # what trained models are; None where no training came to an end
    run: str  # folder of the curated run
    run_name: str
    version: str
    cut: str  # in words: what the run's own truncation does
    model: ModelRecord
    test: HeldOutRecord
    variants: list[VariantRecord]
    trainings: list[TrainingResult]
    standings: list[Standing]
    answers: AnswersCompared | None = None
    packages: dict[str, str]
    git_commit: str | None
    device: str
    seconds: float
    finished_at: str

    @property
    def first(self) -> str:
        """The variant that the others are held against."""
        return self.variants[0].name

    @property
    def budgets(self) -> list[Budget]:
        """In the order in which they were asked for."""
        asked: list[Budget] = self.config["budgets"]
        return asked

    @property
    def comparisons(self) -> int:
        """How many differences there are, each with a chance of its own to mislead."""
        return sum(standing.difference is not None for standing in self.standings)

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(what failed, its error): variants whose data could not be read, then trainings, then answers."""
        failed = [(variant.name, variant.error) for variant in self.variants if variant.error]
        failed += [(f"{one.variant}, seed {one.seed}", one.error) for one in self.trainings if one.error]
        asked = [(one, one.answers_error) for one in self.trainings]
        return failed + [(f"answers of {one.variant}, seed {one.seed}", error) for one, error in asked if error]

    def standing(self, budget: Budget, variant: str) -> Standing | None:
        """One cell of the table; None where no training of it came to an end."""
        return next((one for one in self.standings if (one.budget, one.variant) == (budget, variant)), None)
