"""Replicas as processes: they answer as an engine here does, and what dies, hangs or is another model is told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from flows_support import model_folders

from flows.models.crew import ReplicaLostError
from flows.models.log_probs import ask_frozen, find_causal, open_frozen
from flows.models.recipe_models import open_reward, open_sampler, resolve_policy, resolve_reward
from flows.models.sampling import ask_policy
from flows.models.scoring import ask_reward
from flows.recipe.models import PolicyConfig, RewardConfig
from flows.replicas import processes
from flows.replicas.engine import policy_spec, reference_spec, reward_spec
from flows.replicas.messages import answer_from_bytes, requests_to_bytes
from flows.replicas.processes import ThisMachine
from transforms.asking.requests import log_prob_request
from transforms.engines.protocol import CompletionRequest, Sampling, ScoreRequest, no_progress
from transforms.errors import ConfigError, EngineError, ModelError

pytestmark = pytest.mark.slow

SAMPLING = Sampling(1.0, 1.0, (2,))
REQUESTS = [CompletionRequest(f"c{at}", [3, 4 + at, 5], 7 * at, 0, 6) for at in range(4)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"))


def policy(folders):
    config = PolicyConfig(model=str(folders[0]), engine="transformers", dtype="float32")
    return resolve_policy(config), config


def spec_of(folders):
    model, config = policy(folders)
    return policy_spec(model, config, SAMPLING, 64)


@pytest.fixture
def replica(folders):
    found = ThisMachine(spec_of(folders), 1).start(0)
    yield found
    found.end()


def ask(replica, requests=REQUESTS, progress=no_progress, silent_seconds=600.0):
    return answer_from_bytes(replica.ask(requests_to_bytes(requests), progress, silent_seconds))


def test_a_policy_in_a_process_answers_as_one_here(folders, replica):
    model, config = policy(folders)
    here = open_sampler(model, config, 64)
    shown = []
    found = ask(replica, progress=lambda requests, tokens: shown.append((requests, tokens)))
    expected = ask_policy(SAMPLING, here, REQUESTS, no_progress)
    assert found.rows.equals(expected.rows)
    assert found.tokens == expected.tokens == sum(tokens for _, tokens in shown)
    assert sum(requests for requests, _ in shown) == 4
    assert found.seconds > 0
    assert ask(replica).rows.equals(expected.rows)  # and a second batch


def test_a_reward_model_and_a_reference_in_processes_answer_as_here(folders):
    config = RewardConfig(model=str(folders[1]), engine="transformers", dtype="float32")
    model = resolve_reward(config)
    scored = [ScoreRequest(f"s{at}", [3, 4, 5 + at]) for at in range(3)]
    found = ThisMachine(reward_spec(model, config), 1).start(0)
    there = ask(found, scored).rows
    found.end()
    here = ask_reward(open_reward(model, config), scored, no_progress).rows
    # Sums of float32 depend on the number of threads: 1e-7 was seen.
    assert there["reward"].to_pylist() == pytest.approx(here["reward"].to_pylist(), abs=1e-5)
    assert there.drop_columns("reward").equals(here.drop_columns("reward"))

    causal = find_causal(folders[0], dtype="float32")
    prompt, response = np.array([3, 4], np.int32), np.array([5, 6, 7], np.int32)
    read = [log_prob_request(causal.identity, prompt, response[:keep]) for keep in (2, 3)]
    spec = reference_spec(causal.model, cast_to=None, trust_remote_code=False, batch_tokens=64)
    found = ThisMachine(spec, 1).start(0)
    there = ask(found, read).rows
    found.end()
    here = ask_frozen(open_frozen(causal, 64), read, no_progress).rows
    assert there["request_id"].equals(here["request_id"])
    for mine, theirs in zip(there["log_probs"].to_pylist(), here["log_probs"].to_pylist(), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


def test_a_batch_that_the_engine_refuses_is_its_error_and_the_process_lives(replica):
    with pytest.raises(EngineError, match=r"policy-0: request c9 .*7000000"):
        ask(replica, [CompletionRequest("c9", [7_000_000], 0, 0, 4)])
    assert len(ask(replica).rows) == 4


def test_a_process_that_is_killed_in_a_batch_is_lost_with_its_signal(replica):
    os.kill(replica.pid, signal.SIGSTOP)  # so that the batch is not over before the kill
    killer = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(2); os.kill({replica.pid}, 9)"])
    with pytest.raises(ReplicaLostError, match=rf"policy-0 died: signal 9 \(process {replica.pid}\)"):
        ask(replica)
    killer.wait()


def test_a_process_that_says_nothing_for_too_long_is_lost(replica):
    os.kill(replica.pid, signal.SIGSTOP)
    with pytest.raises(ReplicaLostError, match=r"policy-0 said nothing for 2 s and was ended \(.*process"):
        ask(replica, silent_seconds=2.0)


def test_an_ended_replica_leaves_no_process_and_can_be_ended_again(folders):
    found = ThisMachine(spec_of(folders), 1).start(0)
    found.end()
    assert not psutil.pid_exists(found.pid)
    found.end()


def test_a_model_that_is_another_one_there_is_refused_by_what_differs(folders, tmp_path):
    model, config = policy(folders)
    spec = policy_spec(model, config, SAMPLING, 64)
    (other, _) = model_folders(tmp_path / "other", width=32)
    spec.settings["config"]["model"] = str(other)
    with pytest.raises(
        ModelError, match=r"policy-0: .*other/policy is another model here .*: fingerprint [0-9a-f]+ in"
    ):
        ThisMachine(spec, 1).start(0)


def test_a_folder_that_is_not_there_is_the_error_of_a_model(folders):
    spec = spec_of(folders)
    spec.settings["config"]["model"] = "/nowhere/policy"
    with pytest.raises(ModelError, match="policy-0: model folder /nowhere/policy does not exist"):
        ThisMachine(spec, 1).start(0)


def test_what_a_process_said_last_is_in_the_message_of_its_death(folders, monkeypatch, tmp_path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'Killed by the cluster' >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setattr(processes.sys, "executable", str(fake))
    with pytest.raises(ReplicaLostError, match=r"exit code 3 \(process \d+\); it said last: Killed by the cluster"):
        ThisMachine(spec_of(folders), 1).start(0)


def test_a_driver_that_is_killed_leaves_no_replica(folders, tmp_path):
    code = f"""
import sys; sys.path[:0] = ["tests/support", "tests/flows/replicas"]
from pathlib import Path
from test_replica_processes import spec_of
from flows.replicas.processes import ThisMachine
one = ThisMachine(spec_of((Path({str(folders[0])!r}), None)), 1).start(0)
print(one.pid, flush=True)
input()
"""
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, text=True
    ) as driver:
        pid = int(driver.stdout.readline())
        assert psutil.pid_exists(pid)
        driver.kill()
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.1)  # the test's own time limit ends this


def test_cores_are_shared_out_and_gpus_too(folders, monkeypatch):
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3, 4})
    assert processes._cores(2) == [[0, 1], [2, 3]]
    assert processes._cores(8) == [[0], [1], [2], [3], [4], [0], [1], [2]]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 5,6,7")
    spec = spec_of(folders)
    assert processes._shares(spec, processes._visible_gpus(), 3) == ["4", "5", "6"]
    two = type(spec)(spec.role, spec.identity, spec.settings, gpus=2)
    assert processes._shares(two, processes._visible_gpus(), 2) == ["4,5", "6,7"]
    with pytest.raises(ConfigError, match="3 replicas of 2 GPUs each need 6, and this machine shows 4"):
        ThisMachine(two, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert processes._visible_gpus() == []
