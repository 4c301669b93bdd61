"""The section `answers`: which models answer which prompts, and who judges."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from flows.recipe.generation import AnnotatorConfig, AnsweringPolicy, compares
from flows.recipe.models import MODEL_INDIFFERENT, Keys, Label, Positive, Section
from transforms.sources.kinds import PromptSource


class AnsweringModel(AnsweringPolicy):
    """A model under test, and how it answers."""

    label: Label = Field(description="What it is called in the tables: lower-case letters, digits, underscores.")
    n: Positive = Field(1, description="Answers a prompt, the same for all models; 1 for a judge that compares.")


class Completer(AnsweringPolicy):
    """Who completes the beginnings of the models' answers, and how."""

    n: Positive = Field(3, description="Completions of each beginning; POET's figure 4 has 3.")

    @model_validator(mode="after")
    def _goes_on_from_the_prompt_as_it_is(self) -> Self:
        if self.system_prompt is not None or self.thinking != "keep":
            message = "completer: it goes on from prompt and answer as they are; leave system_prompt and thinking out"
            raise ValueError(message)
        return self


class PrefixQualityConfig(Section):
    """What the beginnings of answers are worth: the judge's score of completions by one and the same policy."""

    completer: Completer = Field(description="A policy; POET's is the model that training started from.")
    tokens: Annotated[list[Positive], Field(min_length=1)] = Field(
        [8, 16, 32, 64, 128, 256], description="Kept tokens, the completer's own."
    )
    max_prompts: Positive | None = Field(None, description="Of so many prompts, chosen by content; of all by default.")


# Of the section: how fast it goes, and no row.
ANSWERS_INDIFFERENT: Final[Keys] = {
    "models": {"__all__": MODEL_INDIFFERENT},
    "judge": MODEL_INDIFFERENT,
    "prefixes": {"completer": MODEL_INDIFFERENT},
}


class AlpacaEvalFiles(Section):
    """What AlpacaEval's own length-controlled rate rests on: the dataset tatsu-lab/alpaca_eval has both files."""

    instructions: str = Field(
        description="alpaca_eval.json, or the baseline's outputs: the benchmark's instructions in their order. Path or "
        "URL, such as hf://datasets/tatsu-lab/alpaca_eval/alpaca_eval.json."
    )
    gamed: str = Field(
        description="df_gamed.csv: each instruction's difficulty, and judgements of the baseline made longer and "
        "shorter. Path or URL."
    )


class AnswersConfig(Section):
    """Models by what they write: win rates over one of them."""

    prompts: Annotated[list[PromptSource], Field(min_length=1)] = Field(
        description="Held out of training, or a benchmark's: as `prompts` of flows.generate."
    )
    max_prompts: Positive | None = Field(None, description="Take so many at most, chosen by content.")
    models: Annotated[list[AnsweringModel], Field(min_length=2)] = Field(
        description="Who answers, each as in `policies` of flows.generate, with a label."
    )
    baseline: Label | None = Field(
        None, description="Label of the model that the others are held against; the first by default."
    )
    judge: AnnotatorConfig = Field(
        description="Who judges: any annotator of flows.generate. One that nothing was trained on: a judge that pairs "
        "are by, or that a policy was trained with, likes what it taught."
    )
    alpaca_eval: AlpacaEvalFiles | None = Field(
        None, description="For the benchmark's own rate, where the prompts are AlpacaEval's."
    )
    prefixes: PrefixQualityConfig | None = Field(
        None, description="What the beginnings of the answers are worth (POET, figure 4)."
    )
    entropy_of: Annotated[int, Field(ge=0)] = Field(
        0, description="Answers of each model whose next-token entropy is read by position (POET, figure 2a). 0: none."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of all answers.")
    batch: Positive = Field(2048, description="Answers an engine call, and the most that a crash can lose.")

    @model_validator(mode="after")
    def _can_be_compared(self) -> Self:
        names = [one.label for one in self.models]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"two models are called {twice[0]!r}; give each a label of its own"
            raise ValueError(message)
        if self.baseline is not None and self.baseline not in names:
            message = f"baseline is {self.baseline!r}, expected the label of a model: {', '.join(names)}"
            raise ValueError(message)
        numbers = sorted({one.n for one in self.models})
        if len(numbers) > 1:
            message = f"models give {', '.join(map(str, numbers))} answers a prompt; n is to be the same for all"
            raise ValueError(message)
        if numbers[0] > 1 and compares(self.judge):
            message = (
                f"n is {numbers[0]}, and a judge that compares would be asked about every two answers of a prompt, a "
                "model's own among each other: use n: 1, or a judge that scores one answer"
            )
            raise ValueError(message)
        if self.prefixes is not None and compares(self.judge):
            message = "prefixes: completions are scored one by one, and this judge compares; use one that scores"
            raise ValueError(message)
        hidden = [one.label for one in self.models if one.engine == "server" or one.quantization]
        if self.entropy_of and hidden:
            message = (
                f"entropy_of: {hidden[0]} is on a server, or quantized by vLLM: neither shows whole distributions; "
                "leave it out"
            )
            raise ValueError(message)
        return self

    @property
    def first(self) -> str:
        """Label of the baseline."""
        return self.baseline or self.models[0].label

    def model(self, label: str) -> AnsweringModel:
        """The model of that name."""
        return next(one for one in self.models if one.label == label)

    @property
    def others(self) -> list[str]:
        """Labels of all but the baseline."""
        return [one.label for one in self.models if one.label != self.first]
