"""The crew that a recipe asks for, of each role; none where one engine in this process answers."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.recipe.cluster import ClusterConfig
from flows.recipe.models import PolicyConfig, RewardConfig
from flows.replicas.crew import ReplicaCrew
from flows.replicas.engine import ReplicaSpec, Role, policy_spec, reference_spec, reward_spec
from flows.replicas.processes import ThisMachine
from flows.replicas.replica import Place
from transforms.asking.requests import LogProbRequest
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import CompletionRequest, Sampling, ScoreRequest

if TYPE_CHECKING:  # with it comes torch, and a run that is finished needs none
    from flows.models.log_probs import Causal


def policy_crew(
    model: ResolvedModel,
    config: PolicyConfig,
    sampling: Sampling,
    longest: Callable[[], int | None],
    cluster: ClusterConfig | None,
) -> ReplicaCrew[CompletionRequest] | None:
    """Of a policy that samples.

    Args:
        model: as found.
        config: how it is loaded.
        sampling: the distribution of all its completions.
        longest: prompt and new tokens together at most, asked for when the first replica is started.
        cluster: of the recipe.
    """
    return _crew("policy", lambda: policy_spec(model, config, sampling, longest()), config.data_parallel, cluster)


def reward_crew(
    model: ResolvedModel, config: RewardConfig, cluster: ClusterConfig | None
) -> ReplicaCrew[ScoreRequest] | None:
    """Of a reward model that scores; see `policy_crew`."""
    return _crew("reward", lambda: reward_spec(model, config), config.data_parallel, cluster)


def reference_crew(
    causal: "Causal", batch_tokens: int, cluster: ClusterConfig | None
) -> ReplicaCrew[LogProbRequest] | None:
    """Of a frozen policy that reads log-probs.

    Args:
        causal: as found.
        batch_tokens: of a forward pass, padding included.
        cluster: of the recipe.
    """
    spec = partial(
        reference_spec,
        causal.model,
        cast_to=causal.cast_to,
        trust_remote_code=causal.trust_remote_code,
        batch_tokens=batch_tokens,
    )
    return _crew("reference", spec, 1, cluster)


class Shares(NamedTuple):
    """Replicas of each role that a cluster holds at once."""

    policy: int
    reward: int


def shared_out(cluster: ClusterConfig, gpus: int) -> Shares | None:
    """A cluster shared between policy and reward model; None where it cannot hold the least of both at once.

    Args:
        cluster: of the recipe; it is connected to.
        gpus: of one replica, where there are any.
    """
    from flows.replicas.ray_cluster import room

    return shares_of(cluster, room(cluster, gpus))


def shares_of(cluster: ClusterConfig, room: int) -> Shares | None:
    """Replicas of policy and reward model among so many: the policy, which is slower, takes what the other can spare.

    Args:
        cluster: of the recipe.
        room: replicas that there may be at once.
    """
    policy, reward = cluster.replicas.of("policy"), cluster.replicas.of("reward")
    if policy.least + reward.least > room:
        return None
    sampling = min(policy.most, room - reward.least)
    return Shares(sampling, min(reward.most, room - sampling))


def _crew(
    role: Role, spec: Callable[[], ReplicaSpec], count: int, cluster: ClusterConfig | None
) -> ReplicaCrew[Any] | None:
    if cluster is not None:
        return ReplicaCrew(
            role,
            partial(_on_ray, spec, cluster),
            cluster.replicas.most(role),
            silent_seconds=60 * cluster.silent_minutes,
            alone_seconds=60 * cluster.alone_minutes,
        )
    return ReplicaCrew(role, lambda: ThisMachine(spec(), count), count) if count > 1 else None


def _on_ray(spec: Callable[[], ReplicaSpec], cluster: ClusterConfig) -> Place:
    from flows.replicas.ray_cluster import RayCluster

    return RayCluster(spec(), cluster)
