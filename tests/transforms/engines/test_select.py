import pytest

from transforms.engines import select
from transforms.engines.models import resolve_model
from transforms.engines.transformers_completions import TransformersCompletions
from transforms.engines.transformers_positions import TransformersPositions
from transforms.engines.transformers_rewards import TransformersRewards
from transforms.errors import ConfigError


def test_auto_is_vllm_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(select, "vllm_installed", lambda: True)
    assert select.completion_engine("auto") == "vllm"


def test_auto_falls_back_to_transformers_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(select, "vllm_installed", lambda: False)
    assert select.completion_engine("auto") == "transformers"
    assert "vLLM is not installed" in caplog.text


def test_rewards_come_from_transformers_unless_vllm_is_asked_for():
    assert [select.reward_engine(name) for name in ("auto", "transformers", "vllm")] == [
        "transformers",
        "transformers",
        "vllm",
    ]


def test_an_unknown_engine_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match="unknown engine 'tgi', expected one of auto, vllm, server, transformers"):
        select.completion_engine("tgi")
    with pytest.raises(ConfigError, match="unknown engine 'server', expected one of auto, vllm, transformers"):
        select.reward_engine("server")


def test_the_engine_that_the_identity_names_is_opened(cache, tiny_policy, tiny_reward):
    policy = select.open_completions(resolve_model(tiny_policy, engine="transformers", dtype="float32"))
    reward = select.open_rewards(resolve_model(tiny_reward, engine="transformers", dtype="float32"))
    assert isinstance(policy, TransformersCompletions)
    assert isinstance(reward, TransformersRewards)


def test_a_server_needs_an_address(cache, tiny_policy):
    with pytest.raises(ConfigError, match="needs the server's URL"):
        select.open_completions(resolve_model(tiny_policy, engine="server"))


def test_positions_come_from_transformers_also_for_a_policy_that_samples_in_vllm(cache, tiny_policy):
    policy = resolve_model(tiny_policy, engine="vllm", dtype="float32")
    engine = select.open_positions(policy)
    assert isinstance(engine, TransformersPositions)
    assert engine.identity == resolve_model(tiny_policy, engine="transformers", dtype="float32").identity


def test_a_server_gives_no_weights_to_read_positions_from(cache, tiny_policy):
    with pytest.raises(ConfigError, match="tiny-policy is on a server, and position curves need its weights"):
        select.open_positions(resolve_model(tiny_policy, engine="server"))
