"""The section `answers`: what it refuses before anything is loaded."""

import re

import pytest
from pydantic import ValidationError

from flows.answers.config import AnswersConfig
from flows.evaluate.config import EvaluationConfig

MODELS = [{"model": "a/b", "label": "one"}, {"model": "a/c", "label": "two"}]
REWARD = {"kind": "reward", "model": "org/reward"}
JUDGE = {"kind": "judge", "model": "m", "url": "http://127.0.0.1:1/v1"}


def answers(**changes):
    content = {"prompts": [{"kind": "prompts", "path": "x.jsonl"}], "models": MODELS, "judge": REWARD}
    return AnswersConfig.model_validate(content | changes)


def test_the_first_model_is_the_baseline_unless_another_is_named():
    assert (answers().first, answers().others) == ("one", ["two"])
    assert (answers(baseline="two").first, answers(baseline="two").others) == ("two", ["one"])
    assert [one.n for one in answers().models] == [1, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": MODELS[:1]}, "at least 2 items"),
        ({"models": [MODELS[0], {"model": "a/c"}]}, "label"),
        ({"models": [MODELS[0], MODELS[0]]}, "two models are called 'one'; give each a label of its own"),
        ({"baseline": "three"}, "baseline is 'three', expected the label of a model: one, two"),
        (
            {"models": [MODELS[0] | {"n": 2}, MODELS[1]]},
            "models give 1, 2 answers a prompt; n is to be the same for all",
        ),
        ({"models": [one | {"n": 3} for one in MODELS], "judge": JUDGE}, "n is 3, and a judge that compares"),
        (
            {"judge": JUDGE, "prefixes": {"completer": {"model": "a/b"}}},
            "prefixes: completions are scored one by one, and this judge compares; use one that scores",
        ),
        (
            {"models": [MODELS[0], MODELS[1] | {"engine": "server", "url": "http://127.0.0.1:1/v1"}], "entropy_of": 4},
            "entropy_of: two is on a server, or quantized by vLLM: neither shows whole distributions; leave it out",
        ),
        (
            {"models": [MODELS[0], MODELS[1] | {"quantization": "fp8"}], "entropy_of": 4},
            "entropy_of: two is on a server",
        ),
        (
            {"prefixes": {"completer": {"model": "a/b", "system_prompt": "Be brief."}}},
            "completer: it goes on from prompt and answer as they are; leave system_prompt and thinking out",
        ),
        ({"models": [one | {"n": 3} for one in MODELS], "judge": {"kind": "pairrm", "model": "m"}}, "n is 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        answers(**changes)


def test_a_judge_that_scores_one_answer_takes_several_a_prompt():
    models = [one | {"n": 3} for one in MODELS]
    assert answers(models=models).models[0].n == 3
    assert answers(models=models, judge=JUDGE | {"mode": "rubric"}).models[0].n == 3


def evaluation(**content):
    return EvaluationConfig.model_validate({"name": "unit", "output": {"dir": "out"}, **content})


def test_answers_alone_are_an_evaluation_and_need_no_labelled_pairs():
    found = evaluation(answers=answers().model_dump())
    assert found.sources == []
    assert "answers" in found.settings()


SOURCES = [{"kind": "preference", "path": "x.jsonl"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "nothing to evaluate: name reward.model, policy.model, answers.models, or annotations"),
        ({"reward": {"model": "a/b"}}, "sources: reward.model has nothing to judge"),
        (
            {"answers": answers().model_dump(), "sources": SOURCES},
            "sources are for reward or policy, and neither is named: leave sources out",
        ),
    ],
)
def test_pairs_go_with_models_that_are_held_against_them(content, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        evaluation(**content)


def test_how_fast_models_answer_is_no_setting_of_an_evaluation():
    slow, fast = (
        evaluation(answers=answers(models=[MODELS[0] | {"data_parallel": n}, MODELS[1]]).model_dump()) for n in (1, 2)
    )
    assert slow.settings() == fast.settings()
    assert evaluation(answers=answers(seed=1).model_dump()).settings() != slow.settings()


def test_an_evaluation_without_answers_has_the_settings_that_it_had_before():
    assert "answers" not in evaluation(reward={"model": "a/b"}, sources=SOURCES).settings()
