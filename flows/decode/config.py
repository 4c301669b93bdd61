"""What `python -m flows.decode` compares: the flow's parameters, and the form that Prefect shows."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.recipe.models import Positive
from transforms.precision import Dtype

NotNegative = Annotated[float, Field(ge=0)]


class DecodeConfig(BaseModel):
    """A policy and its reference, the prompts that they answer together, and the rules by which they do."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    run: Path = Field(description="Folder of a curated run; the prompts are those of its test split.")
    policy: str = Field(description="The trained policy: a folder, or a hub id.")
    policy_revision: str | None = Field(None, description="Branch, tag or commit of a hub id.")
    reference: str | None = Field(None, description="What it was trained from; the run's own policy by default.")
    reference_revision: str | None = Field(None, description="Branch, tag or commit of a hub id.")
    reward: str | None = Field(None, description="Scores the responses; the run's own reward model by default.")
    out: Path = Field(description="Folder for decode.json, decode.parquet and decode.html.")
    dtype: Dtype = Field("bfloat16", description="Of both models' weights.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with a model.")
    mix: tuple[NotNegative, ...] = Field((0.0, 0.25, 0.5, 0.75, 1.0, 1.5), description="a of π_DPO^a π_ref^(1−a).")
    length: tuple[Annotated[int, Field(ge=0)], ...] = Field((4, 16, 64), description="t: first tokens by π_DPO.")
    kl: tuple[NotNegative, ...] = Field((0.05, 0.2, 1.0), description="b: π_DPO where its KL is above b nats.")
    prompts: Annotated[int, Field(ge=2)] = Field(64, description="Distinct ones, at random but always the same.")
    samples: Positive = Field(1, description="Responses a prompt and rule.")
    max_tokens: Positive = Field(256, description="Of a response.")
    temperature: Annotated[float, Field(gt=0, le=5)] = Field(1.0, description="Of both models.")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Below 1, every rule is at some distance from the reference."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="The rules share their luck.")
    batch: Positive = Field(32, description="Sequences decoded together.")

    @model_validator(mode="after")
    def _some_rule(self) -> Self:
        if not (self.mix or self.length or self.kl):
            message = "no rule to compare: give at least one value of mix, length or kl"
            raise ValueError(message)
        return self
