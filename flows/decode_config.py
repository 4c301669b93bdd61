"""What `python -m flows.decode` compares: the flow's parameters, and the form that Prefect shows."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.config import Dtype, Positive

NotNegative = Annotated[float, Field(ge=0)]


class DecodeConfig(BaseModel):
    """A policy and its reference, the prompts that they answer together, and the rules by which they do."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    run: Path = Field(description="Folder of a curated run; the prompts are those of its test split.")
    policy: str = Field(description="The trained policy: a folder, or a hub id.")
    policy_revision: str | None = None
    reference: str | None = Field(None, description="What it was trained from; the run's own policy by default.")
    reference_revision: str | None = None
    reward: str | None = Field(None, description="Scores the responses; the run's own reward model by default.")
    out: Path
    dtype: Dtype = "bfloat16"
    trust_remote_code: bool = False
    mix: tuple[NotNegative, ...] = Field((0.0, 0.25, 0.5, 0.75, 1.0, 1.5), description="a of π_DPO^a π_ref^(1−a).")
    length: tuple[Annotated[int, Field(ge=0)], ...] = Field((4, 16, 64), description="t: first tokens by π_DPO.")
    kl: tuple[NotNegative, ...] = Field((0.05, 0.2, 1.0), description="b: π_DPO where its KL is above b nats.")
    prompts: Annotated[int, Field(ge=2)] = 64
    samples: Positive = Field(1, description="Responses a prompt and rule.")
    max_tokens: Positive = 256
    temperature: Annotated[float, Field(gt=0, le=5)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0)] = 0
    batch: Positive = Field(32, description="Sequences decoded together.")

    @model_validator(mode="after")
    def _some_rule(self) -> Self:
        if not (self.mix or self.length or self.kl):
            message = "no rule to compare: give at least one value of mix, length or kl"
            raise ValueError(message)
        return self
