"""Where replicas of policy, reward model and reference run: the recipe's section `cluster`, of a Ray cluster."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from flows.recipe.models import PolicyConfig, Positive, RewardConfig, Section

Role = Literal["policy", "reward", "reference"]


class Range(NamedTuple):
    """Replicas of a role."""

    least: int
    most: int


def _range(text: str) -> str:
    found = re.fullmatch(r"\s*(\d+)\s*(?::\s*(\d+)\s*)?", text)
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= least <= most:
        message = f'{text!r} is no number of replicas; expected e.g. "4", or "1:8" for at least 1 and at most 8'
        raise ValueError(message)
    return f"{least}:{most}"


Replicas = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_range)]


class ReplicasConfig(Section):
    """Engines of each role, `4` or `1:8`: so many at least are waited for, and others join as the cluster has room."""

    policy: Replicas = Field("1:1", description="That sample.")
    reward: Replicas = Field("1:1", description="That score.")
    reference: Replicas = Field("1:1", description="That read log-probs before a training.")

    def of(self, role: Role) -> Range:
        """Least and most of a role."""
        least, _, most = str(getattr(self, role)).partition(":")
        return Range(int(least), int(most))

    def most(self, role: Role) -> int:
        """At most so many of a role."""
        return self.of(role).most


class ClusterConfig(Section):
    """Replicas on Ray. Which rows come out, and under which version, does not depend on it."""

    address: str = Field(
        "auto",
        description="`auto` joins the cluster that this machine belongs to (`ray start`), `local` starts one here for "
        "this run, `ray://host:10001` is a cluster elsewhere.",
    )
    replicas: ReplicasConfig = ReplicasConfig()
    gpus_per_replica: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="By default `tensor_parallel` of the role, or 0 where no machine of the cluster has a GPU; "
        "shares such as 0.5 put two on one, with gpu_memory_utilization to match.",
    )
    cpus_per_replica: Positive = Field(
        1, description="Cores that Ray keeps for each; without GPUs it computes on them."
    )
    silent_minutes: Annotated[float, Field(gt=0)] = Field(
        15.0, description="A replica that finishes no request for so long is taken to hang, and is ended."
    )
    alone_minutes: Annotated[float, Field(gt=0)] = Field(
        30.0, description="The run ends when there was no replica of a role for so long."
    )

    @model_validator(mode="after")
    def _address_is_one(self) -> Self:
        if self.address not in ("auto", "local") and not re.fullmatch(r"ray://[^/\s:]+:\d+", self.address):
            message = f"cluster.address {self.address!r}: expected auto, local or ray://host:port"
            raise ValueError(message)
        return self


def check_cluster(
    cluster: ClusterConfig | None, models: Sequence[tuple[str, PolicyConfig | RewardConfig | None]]
) -> None:
    """Refuse replicas in two places, as a validator has to.

    Args:
        cluster: of the recipe.
        models: by what the recipe calls them.

    Raises:
        ValueError: which ones, and what to do.
    """
    if cluster is None:
        return
    for name, model in models:
        if model is not None and model.data_parallel > 1:
            message = (
                f"{name}.data_parallel is of this machine alone; with cluster set cluster.replicas.{name} in its place"
            )
            raise ValueError(message)
