"""How a refresh is run; a parameter of its deployment."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Attempts(BaseModel):
    """How often and how long a refresh is tried. Batches of model calls are tried four times each besides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_seconds: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Seconds that an attempt may take; one that took longer fails, and keeps what it paid for."
    )
    retries: Annotated[int, Field(ge=0, le=50)] = Field(
        3, description="Further attempts after a source, a model server or the Hub was down. A wrong recipe gets none."
    )
    delay_seconds: Annotated[float, Field(ge=0)] = Field(
        60, description="Seconds before the first further attempt; each later one waits twice as long."
    )
