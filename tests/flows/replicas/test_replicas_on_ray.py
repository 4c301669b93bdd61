"""Replicas as Ray actors on a cluster of this machine, and whole curations by replicas: the same version as without."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import ray
import torch
from flows_support import call_plainly, model_folders, pair, sampling_recipe

from flows.curate import flow
from flows.curate.flow import run_stages
from flows.curate.plan import plan_run
from flows.models.crew import ReplicaLostError
from flows.models.log_probs import find_causal
from flows.models.recipe_models import open_sampler, resolve_policy
from flows.models.sampling import ask_policy
from flows.recipe.cluster import ClusterConfig
from flows.recipe.models import PolicyConfig
from flows.replicas.engine import policy_spec
from flows.replicas.messages import answer_from_bytes, requests_to_bytes
from flows.replicas.ray_cluster import RayCluster, room
from flows.runtime.progress import Progress
from flows.runtime.ray_connection import connect
from flows.train.reference_log_probs import reference_log_probs
from trainers.reading.examples import Example
from transforms.engines.protocol import CompletionRequest, Sampling, no_progress
from transforms.errors import ConfigError, EngineError, ModelError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SAMPLING = Sampling(1.0, 1.0, (2,))
REQUESTS = [CompletionRequest(f"c{at}", [3, 4 + at, 5], 7 * at, 0, 6) for at in range(4)]
CLUSTER = ClusterConfig.model_validate({"address": "local", "replicas": {"policy": "1:2", "reward": 1}})
ROWS = [pair(number, "the cat sat on the mat the dog", "dog sat the cat") for number in range(12)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def cluster():
    """Two cores of a cluster that ends with the tests."""
    before = set(psutil.Process().children(recursive=True))
    ray = connect("local", key="cluster", otherwise="", local={"num_cpus": 2})
    yield ray
    ray.shutdown()
    gone, alive = psutil.wait_procs(set(psutil.Process().children(recursive=True)) - before, timeout=30)
    assert not alive, (gone, alive)


def spec_of(folders):
    config = PolicyConfig(model=str(folders[0]), engine="transformers", dtype="float32")
    return policy_spec(resolve_policy(config), config, SAMPLING, 64)


def ask(replica, requests=REQUESTS, silent_seconds=600.0):
    shown = []
    answer = replica.ask(requests_to_bytes(requests), lambda *done: shown.append(done), silent_seconds)
    return answer_from_bytes(answer), [sum(one) for one in zip(*shown, strict=True)]


def test_an_actor_answers_as_an_engine_here_and_is_lost_when_it_is_killed_or_hangs(folders, cluster):
    place = RayCluster(spec_of(folders), CLUSTER)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(place.start, range(2))
    config = PolicyConfig(model=str(folders[0]), engine="transformers", dtype="float32")
    here = open_sampler(resolve_policy(config), config, 64)
    expected = ask_policy(SAMPLING, here, REQUESTS, no_progress)
    for replica in (one, other):
        found, shown = ask(replica)
        assert found.rows.equals(expected.rows)
        assert shown == [4, expected.tokens]
    with pytest.raises(EngineError, match=r"policy-0: request c9 .*7000000"):
        ask(one, [CompletionRequest("c9", [7_000_000], 0, 0, 4)])
    os.kill(_pid(one), signal.SIGKILL)
    with pytest.raises(ReplicaLostError, match=r"policy-0 died: Actor\w+ \(.*process \d+\): "):
        ask(one)
    os.kill(_pid(other), signal.SIGSTOP)
    with pytest.raises(ReplicaLostError, match=r"policy-1 said nothing for 1 s and was ended"):
        ask(other, silent_seconds=1.0)
    pid = _pid(other)
    other.end()
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=60)
    assert not psutil.pid_exists(pid)


def _pid(replica):
    return int(replica.about.node.rsplit(" ", 1)[1])


def test_a_model_that_is_not_there_is_the_error_of_a_model(folders, cluster):
    spec = spec_of(folders)
    spec.settings["config"]["model"] = "/nowhere/policy"
    with pytest.raises(ModelError, match="policy-0: model folder /nowhere/policy does not exist"):
        RayCluster(spec, CLUSTER).start(0)


def test_the_room_of_a_cluster_is_counted_in_replicas(cluster):
    assert room(CLUSTER, gpus=1) == 2  # no GPU: cores
    assert room(CLUSTER.model_copy(update={"cpus_per_replica": 2}), gpus=1) == 1
    assert room(CLUSTER.model_copy(update={"gpus_per_replica": 1.0}), gpus=1) == 0


def test_an_address_without_a_cluster_says_what_to_do(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", _nobody)
    told = r"cluster.address: auto has no Ray cluster that this machine belongs to: ConnectionError: nobody there.*head"
    with pytest.raises(ConfigError, match=told):
        room(ClusterConfig(), gpus=1)


def _nobody(**_):
    message = "nobody there"
    raise ConnectionError(message)


def test_a_trainings_reference_is_read_by_replicas_as_here(folders, cluster, tmp_path):
    examples = [
        Example(str(at), np.array([3, 4 + at], np.int32), (np.array([5, 6 + at], np.int32), np.array([7], np.int32)))
        for at in range(3)
    ]

    def read(name, **where):
        found = reference_log_probs(
            examples,
            examples,
            find_causal(folders[0], dtype="float32"),
            ledger=str(tmp_path / name),
            pay=lambda _name, work: work(),
            progress=Progress(),
            **where,
        )
        return found.log_probs.responses, found.spend

    here, _ = read("here")
    there, spend = read("there", cluster=CLUSTER)
    assert there == here
    assert [(one.name, one.requests) for one in spend.replicas] == [("reference-0", 6)]


def curated(patch, tmp_path, folders, **changes):
    call_plainly(patch, flow)
    tmp_path.mkdir()
    recipe = sampling_recipe(tmp_path, folders, ROWS, **changes)
    return run_stages(plan_run(recipe))


@pytest.fixture(scope="module")
def alone(folders, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return curated(patch, tmp_path_factory.mktemp("runs") / "alone", folders)


def same(found, alone):
    assert found.version == alone.version
    assert found.counts == alone.counts
    for mine, theirs in ((found.completions, alone.completions), (found.scores, alone.scores)):
        assert mine.requests == theirs.requests == mine.generated
        assert mine.tokens_generated == theirs.tokens_generated
    replicas = found.completions.replicas
    assert sum(one.requests for one in replicas) == found.completions.generated
    assert sum(one.tokens for one in replicas) == found.completions.tokens_generated


def test_a_curation_by_two_processes_has_the_version_of_one_without(folders, alone, monkeypatch, tmp_path):
    policy = {"model": str(folders[0]), "engine": "transformers", "dtype": "float32", "data_parallel": 2}
    same(curated(monkeypatch, tmp_path / "run", folders, policy=policy), alone)


def test_a_curation_on_a_cluster_has_the_version_of_one_without(folders, alone, cluster, monkeypatch, tmp_path):
    found = curated(monkeypatch, tmp_path / "run", folders, cluster=CLUSTER.model_dump())
    same(found, alone)
    assert "sample and score" in found.seconds  # two cores: room for one of each at once
    assert {one.name for one in found.scores.replicas} == {"reward-0"}
    assert {one.name for one in found.completions.replicas} == {"policy-0"}


def test_a_cluster_with_room_for_one_lets_policy_and_reward_model_take_turns(folders, cluster, tmp_path):
    narrow = CLUSTER.model_dump() | {"cpus_per_replica": 2}
    with pytest.MonkeyPatch.context() as patch:
        found = curated(patch, tmp_path / "run", folders, cluster=narrow)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # as a replica of two cores has: two threads add up in another order than one
    try:
        with pytest.MonkeyPatch.context() as patch:
            same(found, curated(patch, tmp_path / "alone", folders))
    finally:
        torch.set_num_threads(threads)
    assert "sample and score" not in found.seconds
