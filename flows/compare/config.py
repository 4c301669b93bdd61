"""What `python -m flows.compare` reads: the one source of its flags, its YAML files and the Prefect form."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.recipe.generation import AnnotatorConfig, AnsweringPolicy, compares
from flows.recipe.models import MODEL_INDIFFERENT, Positive
from transforms.records.comparison import Budget, ComparedMeasure
from transforms.sources.kinds import PromptSource

Ratio = Annotated[float, Field(gt=0, lt=1)]
Named = Literal["raw", "poet", "curated"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComparedAnswers(_Section):
    """Trained policies by what they write, each held against the model that training started from."""

    prompts: list[PromptSource] = Field(
        [],
        description="As `prompts` of flows.generate; those of the held-out pairs by default. One that was trained on "
        "is left out.",
    )
    max_prompts: Positive | None = Field(None, description="Take so many at most, chosen by content.")
    policy: dict[str, Any] = Field(
        {}, description="How all answer: keys of `policies` of flows.generate, such as `max_new_tokens`; n is 1."
    )
    judge: AnnotatorConfig = Field(
        description="Who judges: any annotator of flows.generate that neither the pairs nor the trainings are by."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of all answers.")
    batch: Positive = Field(2048, description="Answers an engine call, and the most that a crash can lose.")

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        for key in ("model", "revision", "label", "interpolate", "lora", "url"):
            if key in self.policy:
                message = f"answers.policy.{key}: the models are those that were trained here; leave it out"
                raise ValueError(message)
        self.answering("model")
        return self

    def answering(self, model: str, revision: str | None = None, **others: Any) -> AnsweringPolicy:
        """How a model answers, with further keys where the section has none.

        Raises:
            ValueError: a key that does not fit.
        """
        found = AnsweringPolicy.model_validate({"n": 1, **others, **self.policy, "model": model, "revision": revision})
        if found.n > 1 and compares(self.judge):
            message = f"answers.policy.n is {found.n}, and a judge that compares takes one answer a prompt: use n: 1"
            raise ValueError(message)
        if found.engine == "server":
            message = "answers.policy.engine: a server has a model of its own; use vllm or transformers"
            raise ValueError(message)
        return found


class ComparisonOutput(_Section):
    """Where comparison.json, comparison.html and a folder for each training go."""

    dir: str = Field(description="Made if it is not there. Holds one comparison.")
    overwrite: bool = Field(False, description="Replace another comparison that lies in `dir`, its trainings too.")
    models: bool = Field(True, description="Keep the trained weights; else they go when their model has been judged.")


class ComparisonConfig(_Section):
    """One training recipe on several uses of one curated run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=48)] = Field(
        description="Title of the comparison; letters, digits, dots, dashes."
    )
    training: str = Field(description="A YAML file as for flows.train; it names run, model and objective.")
    changes: dict[str, Any] = Field({}, description="Keys of the training that are others here, nested as there.")
    variants: Annotated[list[Named | Ratio], Field(min_length=2)] = Field(
        ["raw", "poet", 0.5, 0.4, 0.33, 0.25, "curated"],
        description="raw: all pairs, whole; poet or a ratio: all pairs, cut; curated: kept pairs, cut as the run did. "
        "The first is what the others are held against.",
    )
    seeds: Annotated[int, Field(ge=2)] = Field(3, description="Trainings of each; order and adapters differ.")
    budgets: Annotated[list[Budget], Field(min_length=1)] = Field(
        ["steps", "tokens"], description="steps: as many pairs; tokens: as many tokens as the first variant sees."
    )
    test_size: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Share of prompts held out; those of the run's `test` by default."
    )
    measure: ComparedMeasure = Field(
        "log_ratio", description="Implicit reward of policies; mean_log_ratio for objectives of means (simpo, orpo, …)."
    )
    answers: ComparedAnswers | None = Field(
        None, description="Judge trained policies by what they write too: win rates over the model they started from."
    )
    output: ComparisonOutput

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        for key in ("variants", "budgets"):
            values = getattr(self, key)
            if twice := sorted({str(value) for value in values if values.count(value) > 1}):
                message = f"{key}: {', '.join(twice)} stands there twice"
                raise ValueError(message)
        return self

    def settings(self) -> dict[str, Any]:
        """The keys that can change a number; what becomes of the training recipe is hashed apart."""
        # A comparison without the section is what it was before there was one.
        answers = {"policy": MODEL_INDIFFERENT, "judge": MODEL_INDIFFERENT} if self.answers else True
        outside = {"output": True, "training": True, "changes": True, "answers": answers}
        return self.model_dump(mode="json", exclude=outside)
