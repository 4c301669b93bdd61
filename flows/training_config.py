"""What `python -m flows.train` reads: the one source of its flags, its YAML files and the Prefect form."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.config import Positive
from trainers.settings import Adapter, Memory, Optimisation

Kept = Literal["truncated", "full", "poet"] | Annotated[float, Field(gt=0, le=1)]
Pairs = Literal["kept", "all"]
Split = Literal["train", "test"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetConfig(_Section):
    """A run of `flows.curate`: its splits `train` and, where there is one, `test`."""

    path: str = Field(description="Folder of a finished run (`./runs/NAME`), or the Hub id it was published as.")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub id.")
    kept: Kept = Field(
        "truncated", description="Response tokens to train on: those the run kept, all, POET's, or a share of each."
    )
    max_length: Positive | None = Field(
        None, description="Prompt and response together; what the model can read by default."
    )
    pairs: Pairs = Field("kept", description="`all`: also those that the run dropped for what the cut did to them.")
    test_size: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="Share of prompts in `test`; the run's own by default."
    )
    splits: Annotated[tuple[Split, ...], Field(min_length=1)] = Field(
        ("train", "test"), description="Which are read; without `test` nothing is measured there."
    )


class StartConfig(_Section):
    """The model that training starts from, and the reference of objectives that have one."""

    model: str = Field(description="Hub id, local folder, or `smollm2` (SmolLM2-135M-Instruct from PyPI).")
    revision: str | None = None


class ObjectiveConfig(_Section):
    """What is minimised; trainers/objectives has one function each."""

    name: str
    settings: dict[str, float | None] = Field({}, description="β and the like; published values by default.")


class TrainingOutput(_Section):
    """Where the trained model goes."""

    dir: str
    overwrite: bool = Field(False, description="Replace another training that lies in `dir`.")
    resume: bool = Field(True, description="Go on from the newest checkpoint in `dir`; else start anew.")


class TrainingRecipe(_Section):
    """One training run of a policy."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)]
    dataset: DatasetConfig
    model: StartConfig
    objective: ObjectiveConfig
    optimisation: Optimisation
    memory: Memory = Memory()
    lora: Adapter | None = None
    save_steps: Positive | None = Field(None, description="Steps between checkpoints; none by default.")
    eval_steps: Positive | None = Field(
        None, description="Steps between measurements on `test`, beside first and last."
    )
    report_to: list[str] = Field([], description="Loggers of transformers: wandb, tensorboard, mlflow, …")
    output: TrainingOutput
    ledger: str | None = Field(None, description="Folder or fsspec URL; the user's cache by default.")

    def settings(self) -> dict[str, Any]:
        """The keys that can change a number."""
        outside = {"output": True, "ledger": True, "save_steps": True, "report_to": True}
        return self.model_dump(mode="json", exclude=outside)

    def identity(self) -> dict[str, Any]:
        """The keys that decide the trained weights, beside data, objective and order; rounding is left out."""
        optimisation = self.optimisation.model_dump(exclude={"epochs", "steps", "pairs_per_step", "seed"})
        lora = None if self.lora is None else self.lora.model_dump(exclude={"merge"})
        return {"optimisation": optimisation, "lora": lora, "memory": {"dtype": self.memory.dtype}}
