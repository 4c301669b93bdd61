"""Numbers of a results file of lm-evaluation-harness (0.4.x): `results_TIME.json`.

Its parts that are read::

    {"results": {"capitals": {"alias": "capitals", "sample_len": 6, "acc,none": 0.83, "acc_stderr,none": 0.17}},
     "group_subtasks": {"both": ["capitals", "sums"]}, "versions": {"capitals": 1.0}, "n-shot": {"capitals": 0},
     "higher_is_better": {"capitals": {"acc": true}}, "n-samples": {"capitals": {"original": 6, "effective": 6}},
     "config": {"model_sha": ""}, "lm_eval_version": "0.4.13"}

A key of a metric is `METRIC,FILTER`, that of its standard error `METRIC_stderr,FILTER`.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from transforms.errors import EngineError
from transforms.records.tasks import TaskScore

_STDERR: Final = "_stderr"


def task_scores(results: Mapping[str, Any]) -> list[TaskScore]:
    """A record a metric, task by task in the file's order; a group without numbers of its own has none.

    Raises:
        EngineError: the file has no results, or has them in another layout.
    """
    by_task = results.get("results")
    if not isinstance(by_task, Mapping) or not all(isinstance(one, Mapping) for one in by_task.values()):
        message = (
            f"lm_eval's results have the keys {', '.join(sorted(map(str, results))[:8]) or 'none'} and no `results` by "
            "task; expected the layout of lm_eval 0.4"
        )
        raise EngineError(message)
    found = [score for task, numbers in by_task.items() for score in _scores(str(task), numbers, results)]
    if not found:
        message = f"lm_eval's results hold no number of {', '.join(map(str, by_task)) or 'any task'}"
        raise EngineError(message)
    return found


def model_commit(results: Mapping[str, Any]) -> str | None:
    """The commit of a Hub model that lm_eval says to have loaded; None where it names none."""
    config = results.get("config")
    found = config.get("model_sha") if isinstance(config, Mapping) else None
    return found if isinstance(found, str) and found else None


def _scores(task: str, numbers: Mapping[str, Any], results: Mapping[str, Any]) -> list[TaskScore]:
    group = task in _part(results, "group_subtasks")
    better = _part(results, "higher_is_better").get(task)
    shots = _part(results, "n-shot").get(task)
    version = _part(results, "versions").get(task)
    found = []
    for key, value in numbers.items():
        metric, comma, applied = key.partition(",")
        if not comma or metric.endswith(_STDERR):
            continue
        higher = better.get(metric) if isinstance(better, Mapping) else None
        found.append(
            TaskScore(
                task=task,
                group=group,
                version=None if version is None else str(version),
                metric=metric,
                filter=applied,
                value=_number(value),
                stderr=_number(numbers.get(f"{metric}{_STDERR},{applied}")),
                n=_documents(task, key, results),
                num_fewshot=shots if isinstance(shots, int) and not isinstance(shots, bool) else None,
                higher_is_better=higher if isinstance(higher, bool) else None,
            )
        )
    return found


def _documents(task: str, key: str, results: Mapping[str, Any]) -> int | None:
    """Documents that were judged; of a group those that its metric was put together of, or else all in it."""
    own = _part(_part(results, "results").get(task) or {}, "sample_count").get(key)
    if isinstance(own, int):
        return own
    counts, groups = _part(results, "n-samples"), _part(results, "group_subtasks")
    open_, tasks = [task], set()
    while open_:  # groups of groups, each task once
        name = open_.pop()
        inside = groups.get(name)
        if isinstance(inside, list) and name not in tasks:
            open_ += [str(one) for one in inside if str(one) != name]
        tasks.add(name)
    effective = [counts[name].get("effective") for name in tasks if isinstance(counts.get(name), Mapping)]
    known = [count for count in effective if isinstance(count, int)]
    return sum(known) if known else None


def _part(results: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = results.get(name)
    return found if isinstance(found, Mapping) else {}


def _number(value: Any) -> float | None:
    """lm_eval writes N/A for a standard error that it cannot have, and NaN where there was nothing to count."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
