"""What all tests share: a small real tokenizer made on the spot, and no network but the loopback."""

import os

# Before anything imports them: no telemetry, no hub, a cache of the session's own.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
# Spinning OpenMP threads make a busy machine six times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from pytest_socket import socket_allow_hosts
from tests_support import tiny_tokenizer

# A busy machine is no failing test.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(autouse=True)
def _loopback_only():
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def tokenizer():
    """A byte-level BPE chat tokenizer with SmolLM2's template shape: EOT `<|im_end|>`, then a newline."""
    return tiny_tokenizer()
