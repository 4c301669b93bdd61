"""Tasks in the flow: alone or beside pairs, numbers in every place, and run again only where something changed."""

import json
from io import StringIO

import pytest
from evaluation_support import config, make_models, run
from rich.console import Console
from stand_in_lm_eval import VERSIONS, calls, write_stand_in

from flows.evaluate.plan import plan_evaluation
from flows.evaluate.summary import print_evaluation
from transforms.errors import EngineError, SourceError
from transforms.records.evaluation import Evaluation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def wanted(tmp_path, models, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "capitals.yaml").write_text("task: capitals\ndataset_kwargs: {data_files: capitals.jsonl}\n")
    (tmp_path / "capitals.jsonl").write_text("{}")
    python = write_stand_in(tmp_path / "environment")

    def make(*names, **changes):
        tasks = {"names": list(names or ["capitals"]), "python": str(python), "include_path": "tasks"}
        alone = {"sources": [], "reward": None, "policy": {"model": str(models[0]), "dtype": "float32"}}
        return config(tmp_path, models, **(alone | {"tasks": tasks} | changes))

    make.python = python
    return make


def test_tasks_alone_are_an_evaluation(wanted, tmp_path):
    result = run(wanted())
    assert (result.reward, result.policy, result.sources, result.counts.read) == (None, None, [], 0)
    tasks = result.tasks
    assert (tasks.model.name, tasks.model.dtype, len(tasks.model.fingerprint)) == ("trained", "float32", 64)
    assert (tasks.lm_eval, tasks.packages) == ("0.4.13", VERSIONS)
    assert [(one.task, one.metric, one.value, one.n) for one in tasks.scores] == [("capitals", "acc", 0.5, 6)]
    out = tmp_path / "out"
    assert Evaluation.model_validate_json((out / "evaluation.json").read_text()) == result
    assert sorted(path.name for path in out.iterdir()) == [
        "evaluation.html", "evaluation.json", "lm_eval.json", "lm_eval.log", "quarantine.jsonl",
    ]  # fmt: skip
    page = (out / "evaluation.html").read_text()
    assert "<h1>1 task</h1>" in page
    assert "lm-evaluation-harness 0.4.13, as conversations in its chat template" in page
    text = StringIO()
    print_evaluation(Console(file=text, width=160), result, out, seconds=1.0, unchanged=False)
    for part in ("policy trained on tasks", "acc ↑", "0.25", "lm_eval 0.4.13", "lm_eval.json"):
        assert part in text.getvalue()
    assert "pairs" not in text.getvalue()


def test_nothing_changed_is_true_of_tasks(wanted, tmp_path):
    first = run(wanted())
    assert run(wanted()) == first
    assert len(calls(wanted.python)) == 1

    def changed():
        return plan_evaluation(wanted(output={"dir": str(tmp_path / "out"), "overwrite": True})).finished is None

    assert not changed()
    for name in ("capitals.jsonl", "tasks/capitals.yaml"):
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text(before + " ")
        assert changed()
        (tmp_path / name).write_text(before)
        assert not changed()
    write_stand_in(tmp_path / "environment", versions=VERSIONS | {"lm_eval": "0.4.14"})
    assert changed()
    write_stand_in(tmp_path / "environment")
    write_stand_in(tmp_path / "moved")  # another place of the same versions
    moved = wanted().tasks.model_copy(update={"python": str(tmp_path / "moved" / "python")})
    assert plan_evaluation(wanted(tasks=moved.model_dump())).finished == first


def test_pairs_and_tasks_are_of_one_policy(wanted, models, tmp_path):
    pairs = config(tmp_path, models).model_dump(mode="json")
    both = wanted(sources=pairs["sources"], policy=pairs["policy"], reward=pairs["reward"])
    result = run(both)
    assert result.policy.model == result.tasks.model
    assert (result.reward.counts.judged, result.policy.counts.judged) == (7, 7)


def test_what_fails_leaves_no_result_that_looks_complete(wanted, tmp_path):
    with pytest.raises(EngineError, match=r"lm_eval failed \(exit code 3\)"):
        run(wanted("crashes"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lm_eval"]
    assert run(wanted()).tasks.scores[0].task == "capitals"


def test_tasks_that_ran_are_not_run_again_after_pairs_failed(wanted, models, tmp_path):
    bad = {"kind": "preference", "path": str(tmp_path / "bad.jsonl")}
    (tmp_path / "bad.jsonl").write_text(json.dumps({"prompt": "q", "chosen": "", "rejected": "x"}))
    for _ in range(2):
        with pytest.raises(SourceError, match="no pair to evaluate"):
            run(wanted(sources=[bad]))
    assert len(calls(wanted.python)) == 1


def test_another_evaluation_in_the_folder_takes_the_old_files_away(wanted, models, tmp_path):
    run(wanted())
    other = config(tmp_path, models, reward=None, output={"dir": str(tmp_path / "out"), "overwrite": True})
    assert run(other).tasks is None
    assert not list((tmp_path / "out").glob("lm_eval*"))
