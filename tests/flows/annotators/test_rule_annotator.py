"""A rule through the ledger: numbers are kept, what went wrong is tried again."""

import pytest
from scripted_judge import Counter, group, pay_at_once

from flows.annotators.protocol import Annotator, Marks
from flows.annotators.rule import RuleAnnotator
from flows.recipe.rule import RuleConfig
from transforms.errors import ConfigError

SOURCE = """
import pathlib
calls = pathlib.Path(__file__).with_name("calls")
def score(prompt, response):
    with calls.open("a") as file:
        file.write(response + "\\n")
    if response == "bad" and not calls.with_name("mended").exists():
        raise ValueError("broken")
    return len(response)
"""
GROUPS = [group("a", "bad", "a", "four"), group("a", prompt="Why?", prompt_id="1" * 16)]


@pytest.fixture
def made(tmp_path):
    (tmp_path / "rules.py").write_text(SOURCE)

    def make(**keys):
        config = RuleConfig(function=f"{tmp_path}/rules.py:score", **keys)
        return RuleAnnotator(config, label="length", ledger_root=str(tmp_path / "ledger"))

    return make


def calls(tmp_path):
    return sorted((tmp_path / "calls").read_text().split())


def judged(annotator, repeat=0):
    shown = Counter()
    annotator.pay(GROUPS, "length", pay=pay_at_once, advance=shown, repeat=repeat)
    annotator.close()
    return annotator.marks(GROUPS, repeat=repeat), shown.requests


def test_scores_come_back_group_by_group_and_equal_responses_are_called_once(made, tmp_path):
    annotator: Annotator = made()
    found, shown = judged(annotator)
    assert found == [Marks([1.0, "it raised ValueError: broken", 1.0, 4.0]), Marks([1.0])]
    assert annotator.questions(GROUPS) == shown == 4
    assert calls(tmp_path) == ["a", "a", "bad", "four"]
    assert (annotator.objectives, annotator.spend.requests, annotator.spend.generated) == ((), 4, 4)


def test_a_second_run_calls_only_what_went_wrong(made, tmp_path):
    first, _ = judged(made())
    annotator = made(batch=2)
    assert judged(annotator)[0] == first
    assert calls(tmp_path) == ["a", "a", "bad", "bad", "four"]
    assert (annotator.spend.reused, annotator.spend.generated) == (3, 1)
    (tmp_path / "mended").touch()
    assert judged(made())[0][0].scores == [1.0, 3.0, 1.0, 4.0]


def test_another_time_limit_asks_nothing_again_and_another_file_everything(made, tmp_path):
    judged(made())
    assert made(timeout_s=9.0).identity == made(memory_mib=None).identity
    annotator = made()
    (tmp_path / "rules.py").write_text("def score(prompt, response): return 0")
    other = made()
    assert judged(other)[0][0].scores == [0.0] * 4
    assert other.spend.reused == 0
    assert annotator.marks(GROUPS)[0].scores[0] == 1.0


def test_a_repeat_is_called_again(made, tmp_path):
    annotator = made()
    judged(annotator)
    judged(annotator, repeat=1)
    assert calls(tmp_path) == sorted(["a", "a", "bad", "four"] * 2)


def test_what_was_not_called_has_a_reason(made):
    assert made().marks(GROUPS)[1].scores == ["it was not asked: the run ended before"]


def test_a_rule_that_cannot_be_used_is_refused_when_it_is_made(made, tmp_path):
    (tmp_path / "rules.py").write_text("def score(response): return 0")
    with pytest.raises(ConfigError, match=r"rules\.py:score cannot be used: it cannot be called as"):
        made()
