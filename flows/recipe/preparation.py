"""Who tokenises and truncates: this process, several on this machine, or workers of a Ray cluster."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flows.recipe.models import Positive, Section

RayAddress = Annotated[str, Field(pattern=r"^(local|auto|[^/\s]+:\d+|ray://\S+)$")]


class PreparationConfig(Section):
    """Who tokenises and truncates. The data are the same, byte for byte, whoever does."""

    workers: Positive = Field(
        1, description="Parts of 4,096 pairs that are prepared at a time, each by a process of its own; 1: in this one."
    )
    on: Literal["processes", "ray"] = Field(
        "processes", description="`ray`: workers of a Ray cluster, for which the extra `ray` has to be installed."
    )
    ray_address: RayAddress = Field(
        "local",
        description="`local` starts a cluster on this machine and ends it with the run; `auto`, `host:port` or "
        "`ray://host:port` is one that runs. All its machines need this code and output.dir under the same paths.",
    )

    @model_validator(mode="after")
    def _an_address_is_used(self) -> Self:
        if self.on != "ray" and self.ray_address != "local":
            message = f"ray_address = {self.ray_address} has no effect with on: {self.on}; set on: ray or leave it out"
            raise ValueError(message)
        return self

    @property
    def in_this_process(self) -> bool:
        """Whether no other process prepares anything."""
        return self.on == "processes" and self.workers == 1
