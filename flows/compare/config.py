"""What `python -m flows.compare` reads: the one source of its flags, its YAML files and the Prefect form."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from transforms.records.comparison import Budget, ComparedMeasure

Ratio = Annotated[float, Field(gt=0, lt=1)]
Named = Literal["raw", "poet", "curated"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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
        return self.model_dump(mode="json", exclude={"output": True, "training": True, "changes": True})
