"""Answers of LLM judges over HTTP: what is one question's own fault, what the server's, and what the recipe's."""

import logging
import threading
import time

import pytest
from scripted_judge import Reply, prompt_of, running_judge, verdict

from transforms.engines import openai_client
from transforms.engines.judge_server import ChatAnswer, ChatQuestion, JudgeServer, judge_identity
from transforms.engines.openai_client import Server
from transforms.errors import ConfigError, EngineError, ModelError

BODY = {"max_tokens": 9, "temperature": 0.0, "response_format": {"type": "json_schema", "json_schema": {"name": "j"}}}


@pytest.fixture
def server():
    with running_judge() as running:
        yield running


def ask(server, *prompts, api_key_env=None, timeout=5.0, max_concurrency=4, body=BODY):
    """Answers as they were heard, and the error that the batch ended in."""
    heard, failure = {}, None
    client = JudgeServer(
        Server(server.url, api_key_env, timeout, "judge"), "org/judge", body, max_concurrency=max_concurrency
    )
    try:
        client.ask([ChatQuestion(p, p, n) for n, p in enumerate(prompts)], lambda a: heard.update({a.request_id: a}))
    except (EngineError, ModelError, ConfigError) as error:
        failure = error
    return heard, failure


def refuses(prompts, status=400, message="too long"):
    def reply(body):
        refused = prompt_of(body) in prompts
        return Reply({"error": {"message": message}}, status) if refused else Reply("fine")

    return reply


def test_a_question_is_one_turn_with_its_own_seed_and_the_answer_has_its_tokens(server):
    heard, failure = ask(server, "a", "b")
    assert failure is None
    assert heard == {name: ChatAnswer(name, verdict("first"), "stop", None, 30, 7) for name in "ab"}
    bodies = sorted(server.bodies, key=lambda body: body["seed"])
    assert bodies[1] == {"model": "org/judge", "messages": [{"role": "user", "content": "b"}], "seed": 1, **BODY}


def test_what_a_server_knows_beyond_openai_stands_beside_the_rest(server):
    ask(server, "a", body={"max_tokens": 9, "extra_body": {"chat_template_kwargs": {"enable_thinking": False}}})
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_busy_server_is_asked_again(server, status):
    replies = iter([Reply({"error": "busy"}, status), Reply({"error": "busy"}, status)])
    server.reply = lambda body: next(replies, Reply("fine"))
    heard, failure = ask(server, "a")
    assert (heard["a"].text, failure, len(server.bodies)) == ("fine", None, 3)


def test_a_server_that_asks_for_a_pause_gets_it(server, monkeypatch):
    import asyncio

    slept, real = [], asyncio.sleep

    async def sleep(seconds, *more):
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr("anyio.sleep", sleep)
    replies = iter([Reply({"error": "slow down"}, 429, headers=(("retry-after", "17"),))])
    server.reply = lambda body: next(replies, Reply("fine"))
    assert ask(server, "a")[0]["a"].text == "fine"
    assert 17 in slept


@pytest.mark.parametrize("status", [429, 500])
def test_a_server_that_stays_busy_fails_the_batch(server, status):
    server.reply = lambda body: Reply({"error": {"message": "overloaded"}}, status)
    heard, failure = ask(server, "a")
    assert (heard, type(failure), len(server.bodies)) == ({}, EngineError, 7)
    assert f"answered {status}: " in str(failure)


def test_a_server_that_never_answers_fails_the_batch(server, monkeypatch):
    monkeypatch.setattr(openai_client, "RETRIES", 1)
    server.hold_after = 0
    heard, failure = ask(server, "a", timeout=0.2)
    assert (heard, type(failure), len(server.bodies)) == ({}, EngineError, 2)
    assert "does not answer (APITimeoutError), also after 1 retries" in str(failure)


def test_a_server_that_is_gone_fails_the_batch(monkeypatch):
    monkeypatch.setattr(openai_client, "RETRIES", 0)
    client = JudgeServer(Server("http://127.0.0.1:9/v1"), "org/judge", BODY, max_concurrency=1)
    with pytest.raises(EngineError, match="does not answer"):
        client.ask([ChatQuestion("a", "a", 0)], lambda answer: None)


def test_answers_before_a_failure_are_heard_and_no_more_questions_are_sent(server, monkeypatch):
    monkeypatch.setattr(openai_client, "RETRIES", 0)
    replies = iter([Reply("fine"), Reply("fine"), Reply({"error": "down"}, 500)])
    server.reply = lambda body: next(replies)
    heard, failure = ask(server, *"abcdef", max_concurrency=1)
    assert (sorted(heard), type(failure), len(server.bodies)) == (["a", "b"], EngineError, 3)


def test_what_is_in_flight_when_another_fails_is_waited_for(server, monkeypatch):
    monkeypatch.setattr(openai_client, "RETRIES", 0)
    failed = threading.Event()

    def content(body):
        if prompt_of(body) == "b":
            failed.set()
            return Reply({"error": "down"}, 500)
        return Reply("fine")

    server.reply = content
    server.before = lambda body: prompt_of(body) == "b" or (failed.wait(), time.sleep(0.1))
    heard, failure = ask(server, "a", "b", max_concurrency=2)
    assert (sorted(heard), type(failure)) == (["a"], EngineError)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_one_question_that_is_refused_is_that_questions_own_answer(server, status):
    server.reply = refuses({"long"}, status)
    heard, failure = ask(server, "a", "long", "b")
    assert failure is None
    assert [heard[name].text for name in ("a", "long", "b")] == ["fine", None, "fine"]
    assert heard["long"].refused.startswith(f"the server at {server.url} answered {status}: ")
    assert "too long" in heard["long"].refused
    assert len(server.bodies) == 4  # and the shortest question there is


def test_a_batch_of_nothing_but_refused_questions_is_no_broken_server(server):
    server.reply = refuses({"long", "longer"})
    heard, failure = ask(server, "long", "longer")
    assert failure is None
    assert [heard[name].refused is not None for name in ("long", "longer")] == [True, True]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_server_that_refuses_everything_is_one_error_and_no_answers(server, status):
    server.reply = lambda body: Reply({"error": {"message": "not for you"}}, status)
    heard, failure = ask(server, "a", "b")
    assert (heard, type(failure)) == ({}, ModelError)
    assert f"answered {status}: " in str(failure)
    assert "not for you" in str(failure)
    assert "structured" not in str(failure)


def test_a_key_that_is_revoked_halfway_makes_no_answers(server):
    replies = iter([Reply("fine"), Reply("fine")])
    server.reply = lambda body: next(replies, Reply({"error": {"message": "revoked"}}, 401))
    heard, failure = ask(server, *"abcd", max_concurrency=1)
    assert (sorted(heard), type(failure)) == (["a", "b"], ModelError)


def test_a_server_that_knows_no_schemas_is_told_apart_with_what_to_do(server):
    def reply(body):
        if "response_format" in body:
            return Reply({"error": {"message": "unknown field"}}, 400)
        return Reply("fine")

    server.reply = reply
    heard, failure = ask(server, "a", "b")
    assert (heard, type(failure)) == ({}, ModelError)
    assert str(failure).endswith("Without response_format it answers: set judge.structured: none")


@pytest.mark.parametrize(
    "content",
    [b"<html>hello</html>", b'{"choices": [', b"[]", b'{"choices": []}', b'{"choices": [{"message": {"content": 3}}]}'],
)
def test_what_is_no_chat_completion_fails_the_batch_with_advice(server, content):
    server.reply = lambda body: Reply(content)
    heard, failure = ask(server, "a")
    assert (heard, type(failure)) == ({}, EngineError)
    assert f"answered 200: {content[:80]!r}, which is no chat completion" in str(failure)
    assert "judge.url" in str(failure)


def test_half_a_character_in_an_answer_becomes_one_that_a_table_can_hold(server):
    server.reply = lambda body: Reply(b'{"choices": [{"message": {"content": "a\\ud800b"}, "finish_reason": "stop"}]}')
    heard, _ = ask(server, "a")
    assert heard["a"].text == "a\ufffdb"


def test_what_a_server_says_of_a_refusal_is_harmless_and_fits_into_a_table(server):
    server.reply = refuses({"long"}, message="\ud800 \x1b[31m")
    heard, failure = ask(server, "long")
    assert failure is None
    assert "\x1b" not in heard["long"].refused
    heard["long"].refused.encode()


def test_no_more_questions_are_in_flight_than_allowed(server):
    server.delay = 0.02
    ask(server, *map(str, range(12)), max_concurrency=3)
    assert server.most == 3


def test_the_key_is_sent_and_shows_in_no_error_and_no_log_even_if_the_server_repeats_it(server, monkeypatch, caplog):
    monkeypatch.setenv("JUDGE_KEY", "sk-very-secret\n")
    server.reply = lambda body: Reply({"error": {"message": "wrong key: sk-very-secret"}}, 401)
    with caplog.at_level(logging.DEBUG):
        heard, failure = ask(server, "a", api_key_env="JUDGE_KEY")
        logging.getLogger("test").error("it failed", exc_info=failure)
    assert server.headers[0]["authorization"] == "Bearer sk-very-secret"
    assert "wrong key: [key]" in str(failure)
    assert heard == {}
    assert "it failed" in caplog.text
    assert "very-secret" not in caplog.text


def test_a_key_in_place_of_its_variables_name_is_not_shown(server, monkeypatch):
    monkeypatch.delenv("sk-pasted", raising=False)
    _, failure = ask(server, "a", api_key_env="sk-pasted")
    assert type(failure) is ConfigError
    assert str(failure).startswith("the variable that the recipe names (judge.api_key_env) is not set")


def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(server, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-very\nsecret")
    _, failure = ask(server, "a", api_key_env="JUDGE_KEY")
    assert type(failure) is ConfigError
    assert "JUDGE_KEY" in str(failure)
    assert "secret" not in str(failure)


def test_the_identity_is_of_model_weights_and_wording_and_not_of_the_place(server):
    def identity(model="org/judge", revision=None, prompts="p1"):
        return judge_identity(Server(server.url), model, revision=revision, prompts=prompts)

    one = identity()
    assert (one.name, one.revision, one.engine) == ("org/judge", "unknown", "judge")
    with running_judge() as elsewhere:
        assert judge_identity(Server(elsewhere.url), "org/judge", revision=None, prompts="p1") == one
    assert len({one.fingerprint, identity(revision="v2").fingerprint, identity(prompts="p2").fingerprint}) == 3
    assert server.listed == 3
    with pytest.raises(ModelError, match=r"serves org/judge, expected org/other: set judge\.model"):
        judge_identity(Server(server.url, section="judge"), "org/other", revision=None, prompts="p1")
