"""Numbers of lm_eval's results file: a real one of 0.4.13, and what may be missing in it."""

import json
from pathlib import Path

import pytest

from transforms.errors import EngineError
from transforms.evaluation.task_results import model_commit, task_scores
from transforms.records.tasks import TaskScore

# Two tasks and their group by SmolLM2-135M-Instruct, one example a prompt; without what says nothing of numbers.
REAL = json.loads((Path(__file__).parent / "data" / "lm_eval_0.4.13.json").read_text(encoding="utf-8"))


def test_a_real_file_gives_a_record_a_metric():
    found = task_scores(REAL)
    assert [(one.task, one.metric, one.filter, one.n) for one in found] == [
        ("capitals", "acc", "none", 6),
        ("capitals", "acc_norm", "none", 6),
        ("sums", "exact_match", "last-number", 3),
        ("both", "acc", "none", 6),  # of nine documents in the group, those that have the metric
        ("both", "exact_match", "last-number", 3),
    ]
    assert found[0] == TaskScore(
        task="capitals",
        group=False,
        version="1.0",
        metric="acc",
        filter="none",
        value=0.5,
        stderr=0.22360679774997896,
        n=6,
        num_fewshot=1,
        higher_is_better=True,
    )
    assert [(one.group, one.version) for one in found[3:]] == [(True, "2.0"), (True, "2.0")]


def test_the_documents_of_a_group_of_groups_are_counted_once_a_task():
    results = {
        "results": {"all": {"acc,none": 0.5}},
        "group_subtasks": {"all": ["one", "two"], "one": ["a", "b"], "two": ["b", "two"]},
        "n-samples": {"a": {"effective": 5}, "b": {"effective": 7}},
    }
    [found] = task_scores(results)
    assert (found.group, found.n) == (True, 12)


@pytest.mark.parametrize(
    ("numbers", "value", "stderr"),
    [
        ({"perplexity,none": 12.5, "perplexity_stderr,none": "N/A"}, 12.5, None),
        ({"acc,none": float("nan"), "acc_stderr,none": float("inf")}, None, None),
        ({"bypass,none": None}, None, None),
        ({"acc,none": True}, None, None),
        ({"acc,none": 1, "acc_stderr,strict": 0.5}, 1.0, None),
    ],
)
def test_what_is_no_finite_number_is_none(numbers, value, stderr):
    [found] = task_scores({"results": {"t": {"alias": "t", "sample_len": 3, **numbers}}})
    assert (found.value, found.stderr) == (value, stderr)
    assert (found.n, found.num_fewshot, found.version, found.higher_is_better) == (None, None, None, None)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({}, "have the keys none and no `results` by task"),
        ({"acc": 1, "results": [1]}, "have the keys acc, results and no `results`"),
        ({"results": {"t": 0.5}}, "no `results` by task"),
        ({"results": {"t": {"alias": "t"}}}, "hold no number of t"),
    ],
)
def test_another_layout_is_one_message(results, message):
    with pytest.raises(EngineError) as found:
        task_scores(results)
    assert message in str(found.value)


def test_the_commit_of_a_hub_model_is_the_one_that_it_names():
    assert model_commit(REAL) is None  # a folder
    assert model_commit({"config": {"model_sha": "a" * 40}}) == "a" * 40
    assert model_commit({}) is None
