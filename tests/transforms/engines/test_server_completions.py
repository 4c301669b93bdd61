import pytest
from policy_server import running_policy_server

from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import CompletionRequest, ModelIdentity, Sampling
from transforms.engines.server_completions import ServerCompletions, request_body, server_identity
from transforms.errors import ConfigError, EngineError, ModelError

SAMPLING = Sampling(0.7, 0.9, (2,))
IDENTITY = ModelIdentity("org/policy", "unknown", "f", "bfloat16", "server")
POLICY = ResolvedModel(IDENTITY, "org/policy", None)


@pytest.fixture
def server():
    with running_policy_server() as running:
        yield running


def requests(count=3):
    return [CompletionRequest(f"r{i}", [10, 11, 12 + i], 100 + i, 0, 8) for i in range(count)]


def test_token_ids_go_in_and_come_out_in_the_order_asked(server):
    seen = []
    engine = ServerCompletions(POLICY, url=server.url)
    found = engine.complete(requests(), SAMPLING, lambda n, tokens: seen.append((n, tokens)))
    assert [(c.request_id, c.token_ids, c.finish_reason, c.cached_tokens) for c in found] == [
        ("r0", [100, 2], "stop", 1),
        ("r1", [101, 2], "stop", 1),
        ("r2", [102, 2], "stop", 1),
    ]
    assert seen == [(1, 2)] * 3


def test_a_request_names_every_parameter_that_matters(server):
    ServerCompletions(POLICY, url=server.url).complete(requests(1), SAMPLING)
    assert server.bodies == [
        {"model": "org/policy", "prompt": [10, 11, 12], "max_tokens": 8, "temperature": 0.7, "top_p": 0.9,
         "n": 1, "seed": 100, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "stop_token_ids": [2],
         "ignore_eos": True, "skip_special_tokens": False, "return_token_ids": True}
    ]  # fmt: skip


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, status):
    server.fail_first, server.status = 3, status
    found = ServerCompletions(POLICY, url=server.url).complete(requests(2), SAMPLING)
    assert [c.token_ids for c in found] == [[100, 2], [101, 2]]
    assert len(server.bodies) == 5


def test_a_server_that_stays_down_fails_the_batch(server):
    server.fail_first = 100
    with pytest.raises(EngineError, match=r"answered 503: .*overloaded"):
        ServerCompletions(POLICY, url=server.url).complete(requests(1), SAMPLING)
    assert len(server.bodies) == 7


def test_a_refused_request_is_not_repeated(server):
    server.fail_first, server.status = 1, 400
    with pytest.raises(EngineError, match="answered 400"):
        ServerCompletions(POLICY, url=server.url).complete(requests(1), SAMPLING)
    assert len(server.bodies) == 1


def test_no_more_requests_are_in_flight_than_allowed(server):
    server.delay = 0.02
    ServerCompletions(POLICY, url=server.url, max_concurrency=3).complete(requests(12), SAMPLING)
    assert server.most == 3


def test_a_server_that_gives_text_only_is_refused_with_advice(server):
    server.patch = lambda choice: choice.pop("token_ids")
    with pytest.raises(EngineError, match=r"no token ids for request r0.*0\.10\.2 or later"):
        ServerCompletions(POLICY, url=server.url).complete(requests(1), SAMPLING)


def test_a_server_that_completes_another_prompt_is_refused(server):
    server.patch = lambda choice: choice["prompt_token_ids"].insert(0, 1)
    with pytest.raises(EngineError, match="completed 4 other prompt tokens than the 3 of request r0"):
        ServerCompletions(POLICY, url=server.url).complete(requests(1), SAMPLING)


def test_a_stop_that_was_not_asked_for_is_refused(server):
    server.patch = lambda choice: choice.update(token_ids=[5, 0])
    with pytest.raises(EngineError, match=r"with 'stop' after the token 0, expected stop after one of \[2\]"):
        ServerCompletions(POLICY, url=server.url).complete(requests(1), SAMPLING)


def test_a_request_beyond_the_servers_context_is_never_sent(server):
    long = CompletionRequest("long", [1] * 60, 0, 0, 8)
    with pytest.raises(EngineError, match="long has 60 tokens and asks for 8 more, but the model's context is 64"):
        ServerCompletions(POLICY, url=server.url).complete([long], SAMPLING)
    assert server.bodies == []


def test_the_key_comes_from_the_environment_and_shows_in_no_message(server, monkeypatch):
    monkeypatch.setenv("POLICY_KEY", "very-secret")
    server.fail_first, server.status = 1, 401
    engine = ServerCompletions(POLICY, url=server.url, api_key_env="POLICY_KEY")
    with pytest.raises(EngineError) as failure:
        engine.complete(requests(1), SAMPLING)
    assert server.headers[0]["authorization"] == "Bearer very-secret"
    assert "very-secret" not in str(failure.value)
    assert "very-secret" not in repr(vars(engine))


def test_a_missing_key_is_named(server, monkeypatch):
    monkeypatch.delenv("POLICY_KEY", raising=False)
    with pytest.raises(ConfigError, match="variable POLICY_KEY"):
        ServerCompletions(POLICY, url=server.url, api_key_env="POLICY_KEY")


def test_a_model_that_the_server_does_not_serve_is_named_with_those_that_it_does(server):
    with pytest.raises(ModelError, match="serves org/policy, expected org/other"):
        server_identity(server.url, "org/other")


def test_the_identity_is_fixed_by_model_and_revision(server):
    one = server_identity(server.url, "org/policy", revision="v1")
    two = server_identity(server.url, "org/policy", revision="v2")
    assert (one.name, one.revision, one.engine) == ("org/policy", "v1", "server")
    assert one.fingerprint == server_identity(server.url, "org/policy", revision="v1").fingerprint
    assert one.fingerprint != two.fingerprint


def test_a_server_that_is_not_there_is_an_engine_error(server, monkeypatch):
    from transforms.engines import openai_client

    monkeypatch.setattr(openai_client, "RETRIES", 0)
    with pytest.raises(EngineError, match="does not answer"):
        server_identity("http://127.0.0.1:9/v1", "org/policy")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of vLLM's imports
def test_vllms_own_server_understands_every_parameter():
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest as ServerRequest

    body = request_body("m", requests(1)[0], SAMPLING)
    parsed = ServerRequest.model_validate(body | body.pop("extra_body"))
    assert not parsed.model_extra
    params = parsed.to_sampling_params(8, {})
    assert (params.seed, params.stop_token_ids, params.ignore_eos, params.max_tokens) == (100, [2], True, 8)
    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0.7, 0.9, 0, 0.0)
