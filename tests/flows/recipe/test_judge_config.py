"""Sections of judges and rules: a typo, a password or a setting that cannot be is said before anybody is asked."""

from datetime import date

import pytest
from pydantic import ValidationError

from flows.recipe.judge import JudgeConfig
from flows.recipe.rule import RuleConfig
from transforms.judging.prompts import ASPECTS

JUDGE = {"model": "org/judge", "url": "http://127.0.0.1:8000/v1"}


def test_a_judge_asks_for_ultrafeedbacks_aspects_on_its_scale_unless_told_otherwise():
    form = JudgeConfig(**JUDGE, mode="rubric").form
    assert (form.aspects, form.scale, form.structured) == (dict(ASPECTS), (1, 5), "json_schema")
    assert list(ASPECTS) == ["instruction_following", "honesty", "truthfulness", "helpfulness"]
    assert JudgeConfig(**JUDGE).form.aspects == {}


def test_what_costs_and_where_it_runs_is_not_sent():
    keys = {"max_concurrency": 3, "batch": 2, "timeout": 9, "price_per_million": {"input": 1, "output": 2}}
    assert JudgeConfig(**JUDGE, **keys, attempts=5).body() == JudgeConfig(**JUDGE).body()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"url": "127.0.0.1:8000"}, "url is no http:// or https:// address"),
        ({"url": "http://user:pass@host/v1"}, "url holds a user or password"),
        ({"scale": (5, 1)}, "scale: 5 to 1"),
        ({"scale": (0, 101)}, "scale: 0 to 101"),
        ({"aspects": {}}, "aspects: expected one or more"),
        ({"aspects": {"reason": "x"}}, "none that is called reason"),
        ({"aspects": {"Is Honest": "x"}}, "should match pattern"),
        ({"extra_body": {"seed": 1, "stream": True}}, "extra_body has seed, stream"),
        ({"extra_body": {"since": date(2024, 1, 1)}}, "extra_body cannot be sent as JSON"),
        ({"temprature": 0}, "Extra inputs are not permitted"),
        ({"attempts": 0}, "greater than or equal to 1"),
        ({"price_per_million": {"input": -1, "output": 0}}, "greater than or equal to 0"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_refused(keys, said):
    with pytest.raises(ValidationError, match=said):
        JudgeConfig(**JUDGE | keys)


@pytest.mark.parametrize("function", ["rule.py", "rule.txt:score", "rule.py:", "rule.py:a.b", ":score"])
def test_a_rule_is_a_file_and_a_name(function):
    with pytest.raises(ValidationError, match="should match pattern"):
        RuleConfig(function=function)


def test_a_rules_file_may_be_anywhere():
    assert RuleConfig(function="/a b/c:d/rules.py:score").timeout_s == 5.0
