"""What Prefect's UI shows of RewardBench 2 and of tasks, and evaluations of a time before both."""

from flows.evaluate.benchmark_tables import markdown_lines
from transforms.records.evaluation import Counts, Evaluation
from transforms.records.manifest import ModelRecord, SpendRecord
from transforms.records.rewardbench2 import BestOfCounts, RewardBench2Evaluation, SubsetRecord
from transforms.records.tasks import TaskScore, TasksEvaluation

MODEL = ModelRecord(name="m", revision="local", fingerprint="f", dtype="float32", engine="transformers")
SUBSET = SubsetRecord(subset="Math|x", rows=4, responses=16, level=0, value=0.5, low=0.25, high=0.75)


def evaluation(**changes):
    nothing = Counts(raw_rows=0, read=0, loaded=0, left_out={}, quarantined=0)
    fields = {"name": "one", "fingerprint": "f", "sources": [], "counts": nothing, "reward": None, "policy": None}
    more = {"packages": {}, "git_commit": None, "seconds": 1.0, "finished_at": "2026-11-30T20:00:00+00:00"}
    return Evaluation(**(fields | more | changes))


def test_a_table_each_with_names_of_strangers_as_code():
    benchmark = RewardBench2Evaluation(
        source="bench2",
        model=MODEL,
        counts=BestOfCounts(raw_rows=4, judged=4, quarantined=0),
        subsets=[SUBSET],
        ties=None,
        total=0.625,
        low=0.5,
        high=0.75,
        missing=[],
        spend=SpendRecord.nothing(),
    )
    score = TaskScore(
        task="capitals",
        group=False,
        version=None,
        metric="acc",
        filter="strict",
        value=0.123456,
        stderr=None,
        n=None,
        num_fewshot=None,
        higher_is_better=None,
    )
    tasks = TasksEvaluation(
        model=MODEL,
        lm_eval="0.4.13",
        packages={},
        chat_template=True,
        limit=None,
        seed=None,
        scores=[score],
        results="lm_eval.json",
        seconds=1.0,
    )
    lines = list(markdown_lines(evaluation(rewardbench2=[benchmark], tasks=tasks)))
    assert lines[3].endswith("| 4 | 50.0% | 25.0% – 75.0% |")
    assert "`bench2 Math" in lines[3]
    assert lines[3].count(" | ") == 3  # a bar in a name ends no cell
    assert lines[4] == "| **mean of six** | | 62.5% | 50.0% – 75.0% |"
    assert lines[-1] == "| `capitals` | `acc strict` | 0.1235 | – | – |"


def test_an_evaluation_written_before_both_is_read_as_one_without_them():
    older = evaluation().model_dump()
    del older["rewardbench2"], older["tasks"]
    found = Evaluation.model_validate(older)
    assert (found.rewardbench2, found.tasks) == ([], None)
    assert list(markdown_lines(found)) == []
