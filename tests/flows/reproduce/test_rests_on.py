"""What numbers rest on, in sentences with the record's counts and models."""

import pytest
from decode_support import decodings
from reading_support import (
    MODEL,
    answers,
    comparison,
    evaluation,
    policy,
    reward,
    rewardbench2,
    standing,
    tasks,
    write,
    write_lines,
)
from report_support import audit, manifest

from flows.reproduce.config import Reading
from flows.reproduce.rests_on import model_name, rests_on
from flows.train.record import DataRecord, StepsRecord, TrainingRecord


def told(folder, reader, **options):
    return rests_on(Reading(label="ours", step="s", reads=reader, options=options), folder)


@pytest.fixture
def evaluated(tmp_path):
    found = evaluation(
        policy=policy(), reward=reward(), answers=answers(), tasks=tasks(), rewardbench2=[rewardbench2()]
    )
    return write(tmp_path, "evaluation.json", found)


def test_an_audit_says_its_pairs_prompts_and_models(tmp_path):
    folder = write(tmp_path, "audit.json", audit())
    over = "40 pairs of 25 prompts audited"
    assert told(folder, "consistency") == [f"{over}, 2 completions a prefix", "policy tiny, reward model tiny"]
    assert told(folder, "quality")[0] == f"31 of the {over}, 2 completions a prefix"
    assert told(folder, "quality", by="ratio")[0] == f"{over}, 2 completions a prefix"
    assert told(folder, "quality", by="values") == [f"0 of the {over}", "reward model tiny"]
    assert told(folder, "position", measure="entropy", side="chosen") == [f"39 of the {over}", "policy tiny"]


def test_a_run_says_its_pairs_and_models_where_it_asked_some(tmp_path):
    assert told(write(tmp_path, "manifest.json", manifest()), "rate") == [
        "80 pairs, 60 of them sampled",
        "policy tiny, reward model tiny",
    ]
    assert told(write(tmp_path / "cut", "manifest.json", manifest(sampled=False)), "rate") == []


def test_an_evaluation_says_what_the_part_that_is_read_rests_on(evaluated):
    both = "policy annotator/model, reference annotator/model"
    assert told(evaluated, "accuracy", of="policy") == ["40 pairs of 20 prompts", both]
    assert told(evaluated, "kept", of="reward") == ["40 pairs of 20 prompts", "reward model annotator/model"]
    assert told(evaluated, "distance") == ["32 pairs", both]
    assert told(evaluated, "displacement") == ["40 pairs of 20 prompts", both]
    models = "models base (annotator/model), mine (annotator/model), other (annotator/model)"
    asked = ["40 prompts, 2 answers of a model to each", models]
    assert told(evaluated, "lengths") == asked
    assert told(evaluated, "answer_entropy", model="mine") == asked
    assert told(evaluated, "answers") == [*asked, "judge annotator/model, baseline base"]
    assert told(evaluated, "prefix_quality", model="mine")[3] == "3 completions of a beginning, by annotator/model"
    assert told(evaluated, "tasks", metric="acc") == [
        "policy annotator/model, lm_eval 0.4.9",
        "a trial: 10 documents a task, or that share of them",
    ]
    assert told(evaluated, "rewardbench2") == ["40 rows, reward model annotator/model"]


def test_a_part_that_is_not_there_rests_on_nothing(tmp_path):
    folder = write(tmp_path, "evaluation.json", evaluation())
    for reader, options in (
        ("answers", {}),
        ("tasks", {"metric": "acc"}),
        ("distance", {}),
        ("kept", {"of": "policy"}),
    ):
        assert told(folder, reader, **options) == []


def test_a_comparison_says_its_trainings_pairs_and_prompts(tmp_path):
    folder = write(tmp_path, "comparison.json", comparison())
    assert told(folder, "pairs_ordered") == [
        "2 trainings each, 96 held-out pairs of 90 prompts",
        "trained from annotator/model",
    ]
    assert told(folder, "win_rates") == [
        "2 trainings each, 32 prompts, 1 answer of a model to each",
        "trained from annotator/model, judge annotator/model",
    ]


@pytest.mark.parametrize(("trainings", "said"), [((1, 1), "1 training each"), ((1, 3), "1 to 3 trainings each")])
def test_numbers_of_trainings_that_differ_are_a_range(tmp_path, trainings, said):
    rows = [standing(name, 0.5, None) for name in ("raw", "poet")]
    rows = [row.model_copy(update={"trainings": n}) for row, n in zip(rows, trainings, strict=True)]
    folder = write(tmp_path, "comparison.json", comparison(standings=rows))
    assert told(folder, "pairs_ordered")[0] == f"{said}, 96 held-out pairs of 90 prompts"


def test_decoding_rules_say_their_prompts_and_models(tmp_path):
    folder = write(tmp_path, "decode.json", decodings())
    assert told(folder, "decodings", kind="mix") == ["64 prompts", "policy tiny, reference tiny, reward model tiny"]


def test_a_log_says_what_its_training_learned_from_and_was_measured_on(tmp_path):
    record = TrainingRecord(
        name="unit", fingerprint="f", config={}, objective={}, model=MODEL, before={}, after={}, rewards=None,
        data=DataRecord(
            path="run", revision=None, version="0", kept="truncated", examples=800, responses=1600, kept_tokens=1,
            cut_by_context=0, test_examples=1, sha256="0",
        ),
        trained=StepsRecord(steps=100, examples=800, kept_tokens=1, read_tokens=1, layout="padded"),
        reference=None, packages={}, git_commit=None, device="cpu", seconds={}, finished_at="2026-11-21",
    )  # fmt: skip
    folder = write(write_lines(tmp_path / "trainings" / "raw"), "training.json", record)
    seen = "800 examples, 100 steps"
    assert told(folder, "training", measure="kl", on="train") == [seen, "trained from annotator/model"]
    assert told(tmp_path, "training", measure="kl", training="raw")[0] == f"{seen}, measured on 1 test example"


def test_a_log_without_a_record_beside_it_rests_on_nothing_that_is_known(tmp_path):
    assert told(write_lines(tmp_path), "training", measure="kl") == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"), ("/a/b/annotator/model", "annotator/model"),
        ("./runs/x/model", "x/model"), ("/model", "model"), ("gpt2", "gpt2"),
    ],
)  # fmt: skip
def test_a_model_is_called_by_what_is_the_same_on_another_machine(name, shown):
    assert model_name(MODEL.model_copy(update={"name": name})) == shown
