"""What driver and workers say to each other arrives as it was."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.models.crew import Paid
from flows.replicas.engine import REQUESTS, ReplicaSpec
from flows.replicas.messages import (
    answer_from_bytes,
    answer_to_bytes,
    error_from_json,
    error_to_json,
    requests_from_bytes,
    requests_to_bytes,
)
from transforms.asking.requests import LogProbRequest
from transforms.engines.protocol import CompletionRequest, ModelIdentity, ScoreRequest
from transforms.errors import EngineError, ModelError
from transforms.tables.schema import SCORES

IDS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5)


@given(st.lists(st.tuples(IDS, st.integers(0, 2**31 - 1), st.integers(0, 9), st.integers(1, 4096)), min_size=1))
def test_completion_requests_arrive_as_they_were(rows):
    sent = [CompletionRequest(f"r{at}", *row) for at, row in enumerate(rows)]
    assert requests_from_bytes(requests_to_bytes(sent), REQUESTS["policy"]) == sent


@given(st.lists(IDS, min_size=1))
def test_score_requests_arrive_as_they_were(rows):
    sent = [ScoreRequest(f"r{at}", ids) for at, ids in enumerate(rows)]
    assert requests_from_bytes(requests_to_bytes(sent), REQUESTS["reward"]) == sent


@given(st.lists(st.tuples(IDS, IDS), min_size=1))
def test_log_prob_requests_arrive_with_arrays_as_their_reader_takes_them(rows):
    sent = [LogProbRequest(f"r{at}", np.array(p, np.int32), np.array(r, np.int32)) for at, (p, r) in enumerate(rows)]
    for one, found in zip(sent, requests_from_bytes(requests_to_bytes(sent), REQUESTS["reference"]), strict=True):
        assert found.request_id == one.request_id
        assert found.prompt.dtype == found.response.dtype == np.int32
        assert (found.prompt.tolist(), found.response.tolist()) == (one.prompt.tolist(), one.response.tolist())


def test_an_answer_arrives_with_its_rows_and_its_account():
    rows = [{"request_id": "a", "reward": 0.1, "tokens": 3, "objectives": None}]
    sent = Paid(pa.Table.from_pylist(rows, schema=SCORES), 3, 1, 2, 0.5)
    found = answer_from_bytes(answer_to_bytes(sent))
    assert found.rows.equals(sent.rows, check_metadata=True)
    assert found[1:] == sent[1:]


def test_an_error_of_ours_keeps_its_class_and_any_other_is_a_failure_of_the_engine():
    found = error_from_json(error_to_json(ModelError("no such folder")), where="policy-1")
    assert (type(found), str(found)) == (ModelError, "policy-1: no such folder")
    found = error_from_json(error_to_json(MemoryError("no room\nat all")), where="policy-1")
    assert (type(found), str(found)) == (EngineError, "policy-1: MemoryError: no room")


@pytest.mark.parametrize("quantization", [None, "fp8"])
def test_what_a_replica_loads_arrives_as_it_was(quantization):
    identity = ModelIdentity("org/model", "abc", "f" * 64, "bfloat16", "vllm", quantization)
    spec = ReplicaSpec("reward", identity, {"config": {"model": "org/model"}}, gpus=2)
    assert ReplicaSpec.from_json(spec.to_json()) == spec
    json.loads(spec.to_json())
