"""`kind: sft` by the flow's stages, from a curated run and from rows: what is written, resumed, refused, taken on."""

import json
import math
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import generation_support
import numpy as np
import pyarrow as pa
import pytest
from curated_support import curated_run, training_recipe
from flows_support import call_plainly, model_folders, pair, truncate_recipe, write_rows
from launch_support import elsewhere, launched
from rich.console import Console
from tests_support import TEMPLATE, chat, tiny_tokenizer

import flows.curate.flow as curate_module
import flows.generate.flow as generate_module
import flows.train.flow as train_module
from flows.curate.plan import plan_run
from flows.train.config import TrainingRecipe
from flows.train.examples import TrainingExamples
from flows.train.learner import find_learner
from flows.train.pairs import KeptTable, chosen_once, find_run, read_splits
from flows.train.plan import plan_training
from flows.train.record import TrainingRecord
from flows.train.summary import print_training
from trainers.steps.trainer import StepTrainer
from transforms.errors import ConfigError, ModelError, SourceError
from transforms.tables.schema import CURATED

EOT = chat().eot_id
ROOT = Path(__file__).parents[3]
POETS = ("the cat sat on the mat", "dog", "one two three four", "five six seven")


@pytest.fixture(autouse=True)
def _without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    call_plainly(monkeypatch, curate_module, train_module)
    monkeypatch.setenv("TQDM_DISABLE", "1")


def sft_recipe(tmp_path: Path, data: Path, policy: Path, **changes: Any) -> TrainingRecipe:
    mine = {"kind": "sft", "objective": None, "output": {"dir": str(tmp_path / "sft")}}
    return training_recipe(tmp_path, data, policy, **mine | changes)


def train(recipe: TrainingRecipe) -> TrainingRecord:
    return train_module.run_training(plan_training(recipe))


def examples_of(recipe: TrainingRecipe) -> TrainingExamples:
    plan = plan_training(recipe)
    data = TrainingExamples(plan, find_learner(plan))
    data.read()
    return data


def rows_file(tmp_path: Path, count: int = 24, **more: Any) -> Path:
    rows = [{"prompt": f"question {at}", "completion": POETS[at % 4]} | more for at in range(count)]
    return write_rows(tmp_path / "rows.jsonl", [*rows, {"prompt": "q", "completion": ""}])


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_speed(folder: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if "per_second" not in key} for line in logged(folder)]


def curated_row(number: int, chosen: list[int], keep: int, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {field.name: None for field in CURATED}
    for field in CURATED:
        if not field.nullable and pa.types.is_string(field.type):
            row[field.name] = field.name
        if not field.nullable and pa.types.is_boolean(field.type):
            row[field.name] = True
    row |= {"pair_id": f"pair-{number}", "prompt": [], "prompt_ids": [5, 6], "chosen_ids": chosen}
    return row | {"rejected_ids": [9, number], "chosen_keep": keep, "rejected_keep": 1} | changes


def test_a_chosen_response_of_several_pairs_is_one_and_the_most_of_it_stays() -> None:
    rows = [
        curated_row(0, [7, 8, 9, 2], 2),
        curated_row(1, [7, 8, 9, 2], 3),
        curated_row(2, [7, 8, 9, 2], 3),
        curated_row(3, [7, 2], 2),  # another response to the same prompt
        curated_row(4, [7, 8, 9, 2], 1, prompt_ids=[5]),  # the same response to another prompt
    ]
    table = pa.Table.from_pylist(rows, schema=CURATED)
    cut = np.array([[True, False, True, True, False], [True] * 5])
    found = chosen_once(KeptTable(table, 8, cut))
    assert found.table["pair_id"].to_pylist() == ["pair-1", "pair-3", "pair-4"]
    assert found.cut_by_context == 1  # of chosen responses, and of those that stay


def test_of_a_run_it_reads_the_chosen_side_as_kept_says_each_once(tmp_path: Path) -> None:
    # Two pairs a prompt that share the chosen response, which POET cuts to different lengths.
    rows = [pair(at // 2, POETS[0], POETS[1 + at % 2]) for at in range(12)]
    policy, _ = model_folders(tmp_path / "models")
    curated = truncate_recipe(tmp_path, rows, policy={"model": str(policy), "engine": "none"})
    curate_module.run_stages(plan_run(curated))
    folder = Path(curated.output.dir)
    [table] = read_splits(find_run(sft_recipe(tmp_path, folder, policy).dataset)).values()
    assert len(table) == 12
    [ids] = {tuple(ids) for ids in table["chosen_ids"].to_pylist()}
    data = examples_of(sft_recipe(tmp_path, folder, policy))
    kept = max(table["chosen_keep"].to_pylist())
    assert kept < len(ids)
    assert [one.responses[0].tolist() for one in data.every] == [list(ids[:kept])] * 6
    assert (data.rows, data.left_out) == (12, {"repeated": 6})
    for share, expected in (("full", list(ids)), (0.5, list(ids[: len(ids) // 2]))):
        again = examples_of(sft_recipe(tmp_path, folder, policy, dataset={"path": str(folder), "kept": share}))
        assert [one.responses[0].tolist() for one in again.every] == [expected] * 6
    assert [one.responses[0].tolist()[-1] == EOT for one in again.every] == [False] * 6


def test_of_a_run_that_ends_every_response_the_end_is_learned(tmp_path: Path) -> None:
    run, policy = curated_run(tmp_path, truncate={"method": "ratio", "ratio": 0.5, "eot": "always"})
    data = examples_of(sft_recipe(tmp_path, run, policy))
    assert data.every
    for one in data.every:
        assert one.responses[0].tolist().count(EOT) == 1
        assert one.responses[0][-1] == EOT


@pytest.mark.slow
def test_a_training_on_a_run_lowers_its_loss_and_its_model_is_taken_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run, policy = curated_run(tmp_path)
    recipe = sft_recipe(tmp_path, run, policy, eval_steps=1, keep_best="loss")
    record = train(recipe)
    data = record.data
    assert record.objective == {"name": "sft"}
    assert data.rows == data.examples + data.test_examples + sum(data.left_out.values())
    assert data.responses == data.examples
    assert record.trained.kept_tokens == 2 * data.kept_tokens
    assert record.after["eval_loss"] < record.before["eval_loss"]
    for at in (record.before, record.after):
        assert at["eval_log_prob"] == pytest.approx(-at["eval_loss"], rel=1e-5)
        assert at["eval_perplexity"] == pytest.approx(math.exp(at["eval_loss"]), rel=1e-5)
    assert record.kept is not None
    assert record.kept.figure == "eval_loss"
    steps = [line for line in logged(tmp_path / "sft") if "loss" in line]
    assert sum(line["tokens"] for line in steps) == record.trained.kept_tokens
    folder = tmp_path / "sft" / "model"
    _, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert AutoTokenizer.from_pretrained(folder).chat_template == TEMPLATE
    assert plan_training(recipe).finished == record
    # DPO of the same run goes on from it, and measures its own start at ln 2.
    preferred = training_recipe(tmp_path, run, folder, output={"dir": str(tmp_path / "dpo")})
    assert train(preferred).before["eval_loss"] == pytest.approx(math.log(2), abs=1e-4)
    # And it answers prompts.
    call_plainly(monkeypatch, generate_module)
    _, reward = model_folders(tmp_path / "models")
    answered = generation_support.run(
        generation_support.generation(tmp_path / "models", (folder, reward), [{"prompt": "one two"}])
    )
    assert answered.counts.responses > 0
    out = StringIO()
    print_training(Console(file=out, width=200), record, tmp_path / "sft", seconds=1, unchanged=False)
    assert "unit: sft, on" in out.getvalue()
    assert "perplexity of completions, a token" in out.getvalue()
    assert f"read         {data.rows} rows" in out.getvalue()


@pytest.mark.slow
def test_a_training_on_rows_counts_all_of_them_and_keeps_the_bad_ones_beside_the_model(tmp_path: Path) -> None:
    policy, _ = model_folders(tmp_path)
    data = {"path": str(rows_file(tmp_path)), "test_size": 0.3}
    recipe = sft_recipe(tmp_path, tmp_path, policy, dataset=data, memory={"dtype": "float32", "batch_tokens": 60})
    record = train(recipe)
    folder = tmp_path / "sft"
    found = record.data
    assert (found.rows, found.quarantined, found.left_out) == (25, 1, {})
    assert found.examples + found.test_examples == 24
    assert found.version == plan_training(recipe).data.content_version
    assert record.after["eval_loss"] < record.before["eval_loss"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "metrics.jsonl", "model", "quarantine.jsonl", "training.html", "training.json",
    ]  # fmt: skip
    [bad] = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    assert bad["error"] == "completion is empty"
    assert plan_training(recipe).finished == record
    rows_file(tmp_path, 26)
    assert plan_training(recipe).finished is None
    out = StringIO()
    print_training(Console(file=out, width=200), record, folder, seconds=1, unchanged=False)
    assert "read         25 rows; 1 quarantined (quarantine.jsonl says why)" in out.getvalue()


@pytest.mark.slow
def test_batches_layouts_and_adapters_give_the_same_training(tmp_path: Path) -> None:
    policy, _ = model_folders(tmp_path)
    data = {"path": str(rows_file(tmp_path)), "test_size": 0.3}
    losses = {}
    for tokens in (10, 1000):
        memory = {"dtype": "float32", "batch_tokens": tokens}
        output = {"dir": str(tmp_path / f"by-{tokens}")}
        record = train(sft_recipe(tmp_path, tmp_path, policy, dataset=data, memory=memory, output=output))
        assert record.trained.layout == "packed"
        losses[tokens] = [line["loss"] for line in logged(tmp_path / f"by-{tokens}") if "loss" in line]
    assert losses[10] == pytest.approx(losses[1000], rel=1e-4)
    adapted = {"lora": {"rank": 2, "alpha": 4, "merge": False}, "output": {"dir": str(tmp_path / "adapter")}}
    train(sft_recipe(tmp_path, tmp_path, policy, dataset=data, **adapted))
    assert (tmp_path / "adapter" / "model" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_a_training_that_died_goes_on_to_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file

    policy, _ = model_folders(tmp_path)
    data = {"path": str(rows_file(tmp_path)), "test_size": 0.3}
    train(sft_recipe(tmp_path, tmp_path, policy, dataset=data, save_steps=2))
    died = sft_recipe(tmp_path, tmp_path, policy, dataset=data, save_steps=2, output={"dir": str(tmp_path / "died")})
    step = StepTrainer.training_step

    def killed(self: Any, model: Any, inputs: Any, *rest: Any) -> Any:
        if inputs["step"].number == 3:
            raise KeyboardInterrupt
        return step(self, model, inputs, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StepTrainer, "training_step", killed)
        train(died)
    train(died)
    assert without_speed(tmp_path / "sft") == without_speed(tmp_path / "died")
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("sft", "died"))
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.slow
def test_a_base_model_is_given_a_template_and_saved_with_it(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    policy, _ = model_folders(tmp_path)
    tiny_tokenizer(None).save_pretrained(policy)
    (policy / "chat_template.jinja").unlink(missing_ok=True)
    rows = rows_file(tmp_path)
    with pytest.raises(ModelError, match=r"has no chat template\. .*dataset\.chat_template: FILE"):
        plan_training(sft_recipe(tmp_path, rows, policy))
    template = tmp_path / "template.jinja"
    template.write_text(TEMPLATE)
    recipe = sft_recipe(tmp_path, rows, policy, dataset={"path": str(rows), "chat_template": str(template)})
    train(recipe)
    assert AutoTokenizer.from_pretrained(tmp_path / "sft" / "model").chat_template == TEMPLATE


@pytest.mark.slow
def test_the_shipped_recipe_trains_on_a_file_of_rows_as_a_command_with_prefect(
    tmp_path: Path, shared_server: Any
) -> None:
    policy, _ = model_folders(tmp_path)
    flags = {
        "dataset.path": rows_file(tmp_path, 40),
        "dataset.test_size": 0.3,
        "model.model": policy,
        "memory.dtype": "float32",
        "output.dir": tmp_path / "sft",
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "flows.train", "flows/configs/train/sft.yaml", *words],
        cwd=ROOT,
        env=shared_server.environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for said in ("sft: sft, on", "perplexity of completions", "41 rows; 1 quarantined (quarantine.jsonl says why)"):
        assert said in done.stdout
    assert TrainingRecord.model_validate_json((tmp_path / "sft" / "training.json").read_bytes()).data.rows == 41


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shard", [None, "fsdp"])
def test_two_processes_weigh_tokens_as_one_does(tmp_path: Path, shard: str | None) -> None:
    policy, _ = model_folders(tmp_path)
    data = {"path": str(rows_file(tmp_path)), "test_size": 0.3}
    memory = {"dtype": "float32", "batch_tokens": 40} | ({"shard": shard} if shard else {})
    recipe = sft_recipe(tmp_path, tmp_path, policy, dataset=data, memory=memory)
    done = launched(tmp_path, recipe)
    assert done.returncode == 0, done.stderr[-6000:]
    train(elsewhere(recipe, tmp_path / "one"))
    one, two = (without_speed(tmp_path / name) for name in ("one", "sft"))
    for line, other in zip(one, two, strict=True):
        assert line == pytest.approx(other, rel=1e-3, abs=1e-5)
    assert (tmp_path / "sft" / "quarantine.jsonl").read_bytes() == (tmp_path / "one" / "quarantine.jsonl").read_bytes()


def test_rows_that_are_all_bad_end_with_the_first_reason(tmp_path: Path) -> None:
    policy, _ = model_folders(tmp_path)
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": "q", "completion": ""}] * 3)
    with pytest.raises(
        ConfigError, match=r"none of the 3 rows of .* can be trained on: the first .* completion is empty"
    ):
        train(sft_recipe(tmp_path, rows, policy))
    assert len((tmp_path / "sft" / ".work" / "quarantine.jsonl").read_text().splitlines()) == 3


def test_rows_are_no_data_of_preferences_and_a_run_takes_no_template(tmp_path: Path) -> None:
    run, policy = curated_run(tmp_path)
    rows = rows_file(tmp_path)
    with pytest.raises(SourceError, match=r"holds no finished run of flows\.curate"):
        plan_training(training_recipe(tmp_path, rows, policy))
    dataset = {"path": str(run), "chat_template": str(tmp_path / "x.jinja")}
    with pytest.raises(ConfigError, match=r"dataset\.chat_template is of rows, and .* is a run"):
        plan_training(sft_recipe(tmp_path, run, policy, dataset=dataset))
    with pytest.raises(ConfigError, match="holds rows of prompts and completions, and a curated run is needed here"):
        _ = plan_training(sft_recipe(tmp_path, rows, policy)).run
    with pytest.raises(SourceError, match=r"holds no finished run of flows\.curate"):
        plan_training(sft_recipe(tmp_path, tmp_path / "nowhere", policy))
