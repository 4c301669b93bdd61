"""A reward model on rows of RewardBench 2: every row judged or quarantined, and scores of its own rewards."""

import json
from io import StringIO

import numpy as np
import pytest
from evaluation_support import config, make_models, run
from flows_support import write_rows
from rich.console import Console

import flows.evaluate.rewardbench2 as module
from flows.evaluate.summary import print_evaluation
from flows.models import recipe_models
from transforms.errors import SourceError
from transforms.evaluation.rewardbench2 import Rewarded, credit, subset_records, ties_record, ties_score
from transforms.records.evaluation import Evaluation

pytestmark = pytest.mark.slow


def best(number, right, *wrong, subset="Math"):
    """In the benchmark's layout."""
    lists = {"chosen": [right], "rejected": list(wrong)}
    counts = {"num_correct": 1, "num_incorrect": len(wrong), "total_completions": 1 + len(wrong)}
    return {"id": str(number), "prompt": f"question {number}", "subset": subset, **lists, **counts}


def tied(name, right, wrong):
    return {"id": name, "prompt": f"name {name}", "subset": "Ties", "chosen": right, "rejected": wrong}


WORDS = ("the cat sat", "dog and cat ran", "one two three", "a mat", "naïve café", "déjà vu")
ROWS = [best(at, *(WORDS[(at + step) % 6] for step in range(4))) for at in range(6)]
ROWS += [best(6, "one", "one", "two", "three", subset="my <b>own</b>")]
ROWS += [tied("tied:0", ["the cat", "a mat"], ["dog", "ran"]), tied("ref:0", ["the cat"], ["dog", "ran"])]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


def wanted(folder, models, rows=ROWS, **changes):
    source = {"kind": "rewardbench2", "path": str(write_rows(folder / "bench.jsonl", rows)), "label": "bench2"}
    return config(folder, models, **({"sources": [source], "policy": None} | changes))


@pytest.fixture(scope="module")
def found(tmp_path_factory, models):
    folder = tmp_path_factory.mktemp("benchmark")
    seen = []
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "subset_records", lambda rows: seen.extend(rows) or subset_records(rows))
    try:
        return run(wanted(folder, models)), seen, folder
    finally:
        patch.undo()


def test_scores_are_those_of_the_rewards_of_each_response(found):
    result, seen, _ = found
    [judged] = result.rewardbench2
    assert [(one.subset, one.rows, one.responses) for one in judged.subsets] == [
        ("Math", 6, 24),
        ("Ties", 2, 7),
        ("my <b>own</b>", 1, 4),
    ]
    assert len(seen) == 9
    by_subset = {one.subset: one for one in judged.subsets}
    math = [row for row in seen if row.subset == "Math"]
    assert by_subset["Math"].value == np.mean([credit(row) for row in math])
    assert len({float(row.chosen[0]) for row in math}) == 6  # no two alike: each response was scored
    # "one" is right and wrong at once: the same conversation, the same reward, half a point if it is the highest.
    [own] = [row for row in seen if row.subset == "my <b>own</b>"]
    assert own.chosen[0] == own.rejected[0]
    assert by_subset["my <b>own</b>"].value in (0.0, 0.5)
    ties = ties_record([row for row in seen if row.subset == "Ties"])
    assert judged.ties == ties
    assert by_subset["Ties"].value == ties_score(ties)
    assert (judged.total, judged.missing) == (None, ["Factuality", "Precise IF", "Safety", "Focus"])


def test_a_response_has_the_reward_that_it_has_as_a_pair(found, tmp_path, models):
    seen = {row.source_id: row for row in found[1]}
    pair = {"id": 0, "prompt": "question 0", "chosen": WORDS[0], "rejected": WORDS[1]}
    result = run(config(tmp_path, models, [pair], policy=None))
    first: Rewarded = seen["0"]
    assert result.reward.accuracy[0].margin == pytest.approx(float(first.chosen[0] - first.rejected[0]), abs=1e-6)


def test_rows_add_up_and_the_files_have_the_numbers(found):
    result, _, folder = found
    [judged] = result.rewardbench2
    assert (judged.counts.raw_rows, judged.counts.judged, judged.counts.quarantined) == (9, 9, 0)
    assert (result.reward, result.policy, result.counts.read) == (None, None, 0)
    assert [(one.label, one.kind, one.raw_rows) for one in result.sources] == [("bench2", "rewardbench2", 9)]
    assert judged.spend.generated == 34  # conversations, of which one is asked for twice
    assert Evaluation.model_validate_json((folder / "out" / "evaluation.json").read_text()) == result
    page = (folder / "out" / "evaluation.html").read_text()
    assert "my &lt;b&gt;own&lt;/b&gt;" in page
    assert "There is no total: no score of Factuality, Precise IF, Safety, Focus." in page


def test_the_terminal_shows_subsets_and_why_there_is_no_total(found):
    result, _, folder = found
    out = StringIO()
    print_evaluation(Console(file=out, width=160), result, folder / "out", seconds=1.0, unchanged=False)
    for part in (
        "reward model reward on bench2",
        "Math",
        "my <b>own</b>",
        "no total",
        "9 rows, judged 9, quarantined 0",
    ):
        assert part in out.getvalue()
    assert "pairs  " not in out.getvalue()


def test_pairs_and_the_benchmark_are_judged_side_by_side(tmp_path, models):
    base = config(tmp_path, models)
    both = base.model_dump(mode="json")["sources"] + wanted(tmp_path, models).model_dump(mode="json")["sources"]
    result = run(config(tmp_path, models, sources=both, policy=None))
    assert result.reward.counts.judged == 7
    assert result.rewardbench2[0].counts.judged == 9
    assert [one.pairs for one in result.sources] == [9, 9]


def test_a_row_that_does_not_fit_is_quarantined_whole(tmp_path, models):
    long = best(9, "the cat", "dog", "the cat sat " * 60, "a mat")
    bad = best(10, "the cat", "dog") | {"num_correct": 3}
    result = run(wanted(tmp_path, models, [*ROWS, long, bad]))
    counts = result.rewardbench2[0].counts
    assert (counts.raw_rows, counts.judged, counts.quarantined) == (11, 9, 2)
    lines = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["row"]["id"]) for line in lines] == [("load", "10"), ("score", "9")]
    assert lines[1]["error"].startswith("rejected[1]: ")
    assert "128" in lines[1]["error"]


def test_no_row_that_can_be_used_is_one_message(tmp_path, models):
    with pytest.raises(SourceError, match="bench2: none of 1 rows can be used: num_correct is 3"):
        run(wanted(tmp_path, models, [best(0, "a", "b") | {"num_correct": 3}]))


def test_a_rerun_pays_for_nothing(tmp_path, models, monkeypatch):
    first = run(wanted(tmp_path, models))
    monkeypatch.setattr(recipe_models, "open_reward", lambda *_: pytest.fail("a model was opened"))
    assert run(wanted(tmp_path, models)) == first
    again = run(wanted(tmp_path, models, output={"dir": str(tmp_path / "other")}))
    assert (again.rewardbench2[0].spend.generated, again.rewardbench2[0].subsets) == (0, first.rewardbench2[0].subsets)
