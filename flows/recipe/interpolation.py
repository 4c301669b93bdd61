"""The recipe's section that names a policy between two models, or beyond one of them."""

import math
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class InterpolateConfig(BaseModel):
    """A policy with the parameters weight · a + (1 − weight) · b.

    POET's third setting samples from models between a base model and its instruct version, and beyond: 0.1 : 0.9 and
    -0.1 : 1.1, which are weights 0.9 and 1.1 of the instruct version as `a`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    a: str = Field(description="Hub id, local folder or `smollm2`; its tokenizer and chat template are the policy's.")
    b: str = Field(description="Another training of the same model; lends tokenizer and template where a has none.")
    weight: float = Field(description="Of a; b has 1 - weight. Below 0 and above 1 it extrapolates: 1.1 is 1.1 : -0.1.")
    a_revision: str | None = Field(None, description="Branch, tag or commit of a, if that is a Hub id.")
    b_revision: str | None = Field(None, description="Branch, tag or commit of b, if that is a Hub id.")

    @field_validator("weight")
    @classmethod
    def _weight_is_finite(cls, weight: float) -> float:
        if not math.isfinite(weight):
            message = f"weight is {weight}, expected a finite number such as 0.9 or 1.1"
            raise ValueError(message)
        return weight

    @model_validator(mode="after")
    def _two_models(self) -> Self:
        if (self.a, self.a_revision) == (self.b, self.b_revision):
            message = f"a and b are both {self.a}: nothing lies between them. Name two models, or two revisions of one"
            raise ValueError(message)
        return self
