"""How a model is trained, whatever it is trained for. Without torch: recipes are read before anything heavy is."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Dtype = Literal["bfloat16", "float32"]
Positive = Annotated[int, Field(ge=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Optimisation(_Settings):
    """AdamW and its schedule. The defaults are those of SimPO, AlphaPO and POET, but for the learning rate."""

    learning_rate: Annotated[float, Field(gt=0)] = Field(description="At its peak; 3e-7 … 1e-6 for all weights.")
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="Share of the steps.")
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    pairs_per_step: Positive = Field(128, description="Or prompts, for objectives of prompts; over all processes.")
    epochs: Annotated[float, Field(gt=0)] | None = Field(None, description="Passes over the data; one by default.")
    steps: Positive | None = Field(None, description="Optimizer steps, instead of epochs.")
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            message = f"epochs: {self.epochs} and steps: {self.steps} say two things; leave one of them out"
            raise ValueError(message)
        return self


class Memory(_Settings):
    """What a step's examples are cut into. Changes time and memory, and a result by rounding only."""

    batch_tokens: Positive = Field(8192, description="Tokens of a forward pass, padding included.")
    dtype: Dtype = "bfloat16"
    gradient_checkpointing: bool = False


class Adapter(_Settings):
    """LoRA in all linear layers instead of training all weights."""

    rank: Positive = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    merge: bool = Field(True, description="Save the model with the adapter in its weights, not the adapter alone.")
