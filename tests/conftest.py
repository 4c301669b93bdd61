"""What all tests share: a small real tokenizer made on the spot, and no network but the loopback."""

import gc
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

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from marked_files import MarkedFile, rank
from pytest_socket import socket_allow_hosts

# A busy machine is no failing test.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files unread that have no test of `-m slow` or of `-m "not slow"`."""
    named = {Path(one.partition("::")[0]).resolve() for one in config.args}
    if not collection_path.match("test_*.py") or collection_path.resolve() in named:
        return None
    return MarkedFile.of(collection_path).is_of_no_use(config.option.markexpr) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hold the text of a file against the marks of its tests, so that none is left out by mistake; longest first."""
    for item in items:
        if complaint := MarkedFile.of(item.path).complaint({mark.name for mark in item.iter_markers()}):
            message = f"{item.nodeid} {complaint}"
            raise pytest.UsageError(message)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: rank(item.path))


def pytest_sessionstart() -> None:
    """No search for garbage among what is imported, which stays, neither now nor during the tests."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # nanobind complains of modules that are not freed at the end


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file is one worker's, and all files with vLLM are one worker's: beside another it is ten times slower."""
    from xdist.scheduler import LoadFileScheduling

    class OneWithVllm(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "vllm" if "vllm" in MarkedFile.of(config.rootpath / file).on_any else file

    return OneWithVllm(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _loopback_only():
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def tokenizer():
    """A byte-level BPE chat tokenizer with SmolLM2's template shape: EOT `<|im_end|>`, then a newline."""
    from tests_support import tiny_tokenizer  # transformers, which many files do without

    return tiny_tokenizer()
