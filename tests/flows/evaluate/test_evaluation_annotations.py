"""An evaluation of annotations alone: no pairs, no model; what it writes, prints, notices and refuses."""

import json
from io import StringIO

import pytest
from evaluation_support import run
from flows_support import write_rows
from rich.console import Console

from flows.evaluate.config import EvaluationConfig
from flows.evaluate.plan import plan_evaluation
from flows.evaluate.summary import print_evaluation
from flows.runtime.config_files import CONFIGS, load_config
from transforms.errors import ConfigError, OutputError, SourceError
from transforms.records.evaluation import Evaluation

HOSTILE = "</script><b>mine\u202e[red]|"


def games(first, second):
    return [{"score": first}, {"score": second}]


def files(folder):
    arena = {"category": "hard_prompt", "judge": "gpt-4.1", "model": HOSTILE, "baseline": "o3-mini"}
    rows = [{"uid": uid, **arena, "games": games("B>A", "A>B" if uid == "a" else "B>A")} for uid in "ab"]
    rating = {"model": "mine", "judge": ["gpt-4", "single-v1"], "turn": 1}
    ratings = [{"question_id": 81, "score": 9, **rating}, {"question_id": 82, "score": -1, **rating}]
    questions = [{"question_id": number, "category": "math", "turns": ["one", "two"]} for number in (81, 82, 83)]
    return (
        write_rows(folder / "mine.jsonl", rows),
        write_rows(folder / "gpt-4_single.jsonl", ratings),
        write_rows(folder / "question.jsonl", questions),
    )


def config(folder, **changes):
    arena, ratings, questions = files(folder)
    content = {
        "name": "chat",
        "annotations": [
            {"kind": "arena_hard", "path": str(arena)},
            {"kind": "mt_bench", "path": str(ratings), "questions": str(questions)},
        ],
        "output": {"dir": str(folder / "out")},
    }
    return EvaluationConfig.model_validate(content | changes)


def test_annotations_alone_are_an_evaluation(tmp_path):
    found = run(config(tmp_path))
    assert (found.sources, found.reward, found.policy, found.counts.raw_rows) == ([], None, None, 0)
    arena, mt_bench = found.annotations
    assert [(one.of, one.value, one.counts.missing) for one in arena.scores] == [("hard_prompt", 0.75, None)]
    counts = [(one.counts.judged, one.counts.no_verdict, one.counts.missing) for one in mt_bench.scores]
    assert [(one.of, one.value) for one in mt_bench.scores] == [
        ("first turn", 9.0),
        ("second turn", None),
        ("both turns", 9.0),
    ]
    assert counts == [(1, 1, 1), (0, 0, 3), (1, 1, 4)]
    assert mt_bench.questions.endswith("question.jsonl")
    written = Evaluation.model_validate_json((tmp_path / "out/evaluation.json").read_bytes())
    assert written == found
    assert (tmp_path / "out/quarantine.jsonl").read_bytes() == b""


def test_the_terminal_has_a_table_a_benchmark_and_what_was_not_judged(tmp_path):
    found = run(config(tmp_path))
    console = Console(file=StringIO(), width=200)
    print_evaluation(console, found, tmp_path / "out", seconds=1, unchanged=False)
    shown = console.file.getvalue()
    assert "</script><b>mine[U+202E][red]|" in shown
    assert "75.0%" in shown
    assert "mine, first turn: 1 not judged, 1 without a verdict that can be read" in shown
    assert "mine, second turn: 3 not judged" in shown
    assert "\npairs " not in shown


def test_the_page_shows_numbers_and_no_markup_of_a_hostile_name(tmp_path):
    run(config(tmp_path))
    page = (tmp_path / "out/evaluation.html").read_text()
    assert "<h1>Answers on Arena-Hard v2, MT-Bench</h1>" in page
    assert "75.0" in page
    assert "</script><b>mine" not in page
    assert "&lt;/script&gt;&lt;b&gt;mine" in page
    assert 'id="counts"' not in page


def test_nothing_is_read_again_until_a_file_changes(tmp_path):
    wanted = config(tmp_path)
    first = run(wanted)
    assert plan_evaluation(wanted).finished == first
    write_rows(tmp_path / "question.jsonl", [{"question_id": 81, "category": "math", "turns": ["one", "two"]}])
    with pytest.raises(OutputError, match="already holds another evaluation"):
        plan_evaluation(wanted)


def test_the_section_changes_nothing_of_evaluations_without_it():
    starter = load_config(EvaluationConfig, [], default=CONFIGS / "evaluate" / "starter.yaml", program="evaluate")
    assert "annotations" not in starter.settings()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"annotations": []},
            "nothing to evaluate: name reward.model, policy.model, answers.models, or annotations",
        ),
        ({"sources": [{"kind": "shp", "path": "./a.jsonl"}]}, "sources are for reward or policy, and neither is named"),
        (
            {"reward": {"model": "m"}},
            "sources: reward.model has nothing to judge",
        ),
        ({"annotations": [{"kind": "arena", "path": "x.jsonl"}]}, "does not match any of the expected tags"),
        ({"annotations": [{"kind": "mt_bench", "path": "x.jsonl", "judge": "y"}]}, "Extra inputs are not permitted"),
    ],
)
def test_a_configuration_that_evaluates_nothing_is_one_message(tmp_path, changes, message):
    with pytest.raises(ValueError) as refused:
        config(tmp_path, **changes)
    assert message in str(refused.value)


def test_a_file_that_is_missing_or_of_another_model_is_told_before_anything_is_paid_for(tmp_path):
    with pytest.raises(SourceError, match=r"none\.jsonl: no such file"):
        plan_evaluation(config(tmp_path, annotations=[{"kind": "mt_bench", "path": str(tmp_path / "none.jsonl")}]))
    ratings = str(tmp_path / "gpt-4_single.jsonl")
    with pytest.raises(ConfigError, match="has no verdict on 'ours'; it has mine"):
        run(config(tmp_path, annotations=[{"kind": "mt_bench", "path": ratings, "model": "ours"}]))
    assert not (tmp_path / "out").exists()


def test_annotations_come_from_the_command_line_too(tmp_path):
    _, ratings, _ = files(tmp_path)
    path = tmp_path / "chat.yaml"
    path.write_text("name: chat\noutput: {dir: out}\n")
    section = json.dumps([{"kind": "mt_bench", "path": str(ratings)}])
    found = load_config(EvaluationConfig, [str(path), "--annotations", section], default=path, program="evaluate")
    assert [one.kind for one in found.annotations] == ["mt_bench"]
