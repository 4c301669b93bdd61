"""What a run's manifest says of its chat template reaches the cut of a training."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from difference_support import row
from flows_support import call_at_once, manifest

from flows.runtime.progress import Progress
from flows.train import examples as training_examples
from flows.train.config import DatasetConfig
from flows.train.examples import TrainingExamples
from flows.train.pairs import turn_tokens_of
from flows.train.policy import PolicyLearner
from flows.train.responses import Rewarded
from trainers.objectives import objective
from trainers.reading.examples import Example
from transforms.chat.tokens import TurnTokens
from transforms.records.manifest import TemplateRecord
from transforms.tables.schema import CURATED

BARE: dict[str, Any] = {
    "stops": [2], "before_text": [], "before_reasoning": [], "after_text": [2], "changed": 0, "probes": []
}  # fmt: skip


def run_of(**tokens: list[int]) -> Any:
    """A run whose template writes these tokens around a text."""
    template = TemplateRecord.model_validate(BARE | tokens)
    return SimpleNamespace(manifest=manifest().model_copy(update={"template": template}))


def half(monkeypatch: pytest.MonkeyPatch, run: Any, *, reward: Any = None) -> TrainingExamples:
    """Examples of one pair, 6 and 4 tokens, that are to be trained on by half."""
    monkeypatch.setattr(
        training_examples, "read_splits", lambda _: {"train": pa.Table.from_pylist([row(1)], schema=CURATED)}
    )
    recipe = SimpleNamespace(dataset=DatasetConfig(path="./run", kept=0.5))
    known = {"recipe": recipe, "data": run, "run": run, "reward": reward}
    plan: Any = SimpleNamespace(**known, context=100, reference=None, ledger="x")
    return TrainingExamples(plan, PolicyLearner(plan, objective("simpo")))


def kept(data: TrainingExamples) -> list[list[list[int]]]:
    return [[response.tolist() for response in one.responses] for one in data.by_split["train"]]


@pytest.mark.parametrize(
    ("before", "expected"),
    [([], [[5, 6, 7], [5, 6]]), ([5, 6], [[5, 6, 7, 8], [5, 6, 7]])],  # 2 + half of 4 and of 2
)
def test_half_of_a_pair_is_of_what_stands_behind_the_tokens_of_the_runs_template(
    monkeypatch: pytest.MonkeyPatch, before: list[int], expected: list[list[int]]
) -> None:
    data = half(monkeypatch, run_of(before_text=before))
    data.read()
    assert kept(data) == [expected]


def test_half_of_all_responses_is_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.array([5, 6, 7, 8, 9, 2], np.int32)
    whole = Example("pair", np.array([1], np.int32), (ids, ids[:3]), (2.0, 1.0))
    monkeypatch.setattr(training_examples, "reward_all", lambda *_, **__: {"train": Rewarded([whole], Counter())})
    monkeypatch.setattr(training_examples, "model_record", lambda _: None)
    monkeypatch.setattr(training_examples, "RewardsRecord", lambda **_: None)
    data = half(monkeypatch, run_of(before_text=[5, 6]), reward=SimpleNamespace(model=SimpleNamespace(identity=None)))
    data.reward(call_at_once, Progress())
    assert kept(data) == [[[5, 6, 7, 8], [5, 6, 7]]]


def test_both_beginnings_of_a_template_are_known_to_a_training_and_what_ends_a_text() -> None:
    found = turn_tokens_of(run_of(before_text=[5, 6], before_reasoning=[7], after_text=[8, 2]).manifest)
    assert found == TurnTokens(leads=((5, 6), (7,)), tail=(8, 2))
    assert turn_tokens_of(run_of().manifest) == TurnTokens(leads=(), tail=(2,))
    assert turn_tokens_of(manifest()) == TurnTokens()  # of a version before templates were asked
