"""Training on a curated run by the flow's stages: what is written, what a rerun does, what is refused."""

import json

import pyarrow as pa
import pytest
from curated_support import curated_run, training_recipe
from flows_support import call_plainly

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.train.pairs import find_run, read_splits
from flows.train.plan import plan_training
from trainers.steps.trainer import StepTrainer
from transforms import precision
from transforms.errors import ConfigError, ModelError, OutputError, SchemaError, SourceError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def without_prefect(monkeypatch):
    call_plainly(monkeypatch, curate_module, train_module)
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture
def run(tmp_path):
    return curated_run(tmp_path)


def train(recipe):
    return train_module.run_training(plan_training(recipe))


def shard_tokens(run, split="train"):
    table = pa.concat_tables([read_splits(find_run(training_recipe(run[0], *run).dataset))[split]])
    return sum(table["chosen_keep"].to_pylist()) + sum(table["rejected_keep"].to_pylist())


def step_lines(folder):
    """metrics.jsonl without speeds, which differ from run to run."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith("_per_second")} for line in lines]


def test_dpo_lowers_its_loss_and_counts_the_tokens_of_the_shards(tmp_path, run):
    record = train(training_recipe(tmp_path, *run))
    assert record.trained.kept_tokens == 2 * shard_tokens(run) == 2 * record.data.kept_tokens
    assert record.trained.examples == 2 * record.data.examples
    assert record.before["eval_loss"] == pytest.approx(0.6931, abs=1e-4)
    assert record.before["eval_displacement"] == pytest.approx(0, abs=1e-5)
    assert record.before["step"] == 0
    assert record.after["step"] == record.trained.steps
    folder = tmp_path / "trained"
    assert sorted(path.name for path in folder.iterdir()) == [
        "metrics.jsonl",
        "model",
        "training.html",
        "training.json",
    ]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    page = (folder / "training.html").read_text()
    assert f"{100 * record.after['eval_rewards/accuracies']:.1f}\u00a0% of {record.data.test_examples} test" in page
    assert "Log-probs and margins along the training" in page
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, record.trained.steps + 1))
    assert steps[-1]["loss"] < steps[0]["loss"]


def test_the_model_loads_in_transformers_with_its_tokenizer_and_template_and_starts_another_run(tmp_path, run):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    train(training_recipe(tmp_path, *run))
    folder = tmp_path / "trained" / "model"
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.config.use_cache
    assert AutoTokenizer.from_pretrained(folder).chat_template == AutoTokenizer.from_pretrained(run[1]).chat_template
    # Its tokenizer is that of the run, so it can be trained on from there.
    again = training_recipe(tmp_path, run[0], folder, output={"dir": str(tmp_path / "again")})
    assert plan_training(again).finished is None


def test_a_rerun_with_nothing_changed_finds_its_result_and_other_settings_do_not_replace_it(tmp_path, run):
    recipe = training_recipe(tmp_path, *run)
    record = train(recipe)
    assert plan_training(recipe).finished == record
    other = training_recipe(tmp_path, *run, objective={"name": "simpo"})
    assert plan_training(other).finished is None
    with pytest.raises(OutputError, match=r"already holds another training \(unit, of .*--output\.overwrite true"):
        train(other)


def test_reference_log_probs_are_paid_once_for_every_truncation(tmp_path, run):
    first = train(training_recipe(tmp_path, *run))
    assert first.reference.generated == first.reference.requests > 0
    full = training_recipe(
        tmp_path, *run, dataset={"path": str(run[0]), "kept": "full"}, output={"dir": str(tmp_path / "full")}
    )
    second = train(full)
    assert second.reference.generated == 0
    assert second.data.kept_tokens > first.data.kept_tokens


def test_only_what_a_part_of_a_pass_sees_is_read_by_the_reference(tmp_path, run):
    part = {"learning_rate": 0.01, "pairs_per_step": 2, "steps": 2, "warmup": 0}
    short = train(training_recipe(tmp_path, *run, optimisation=part))
    assert short.trained.examples == 4 < short.data.examples
    assert short.reference.requests == 2 * (4 + short.data.test_examples)
    whole = train(training_recipe(tmp_path, *run, output={"dir": str(tmp_path / "whole")}))
    assert whole.reference.requests == 2 * (whole.data.examples + whole.data.test_examples)
    assert whole.reference.reused >= short.reference.generated


def test_a_run_that_died_goes_on_from_its_checkpoint_to_the_same_model(tmp_path, run, monkeypatch):
    from safetensors.torch import load_file

    straight = training_recipe(tmp_path, *run, save_steps=2)
    train(straight)
    died = training_recipe(tmp_path, *run, save_steps=2, output={"dir": str(tmp_path / "died")})

    step = StepTrainer.training_step

    def killed(self, model, inputs, *rest):
        if inputs["step"].number == 3:
            raise KeyboardInterrupt
        return step(self, model, inputs, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StepTrainer, "training_step", killed)
        train(died)
    folder = tmp_path / "died"
    [newest] = (folder / "checkpoints").iterdir()
    assert not (folder / "training.json").exists()
    changed = training_recipe(tmp_path, *run, objective={"name": "ipo"}, output={"dir": str(folder)})
    with pytest.raises(ConfigError, match=rf"{newest.name} is a checkpoint of other settings: objective\.name was dpo"):
        train(changed)
    taken = []

    def noted(self, model, inputs, *rest):
        taken.append(inputs["step"].number)
        return step(self, model, inputs, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(StepTrainer, "training_step", noted)
        record = train(died)
    assert taken == list(range(2, record.trained.steps))  # checkpoint-2 holds steps 0 and 1
    one, other = (step_lines(tmp_path / name) for name in ("trained", "died"))
    assert one == other
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("trained", "died"))
    assert all((one[name] == other[name]).all() for name in one)
    assert record.trained.kept_tokens == 2 * record.data.kept_tokens
    assert not (folder / "checkpoints").exists()


def test_a_disk_that_fills_up_with_the_model_leaves_nothing_that_looks_finished(tmp_path, run, monkeypatch):
    recipe = training_recipe(tmp_path, *run, save_steps=2)
    with monkeypatch.context() as patch:
        patch.setattr("flows.train.policy.save_policy", _full_disk)
        with pytest.raises(OutputError, match=r"cannot save the model to .*No space left on device.*MiB free"):
            train(recipe)
    assert sorted(path.name for path in (tmp_path / "trained").iterdir()) == [".lock", ".work", "checkpoints"]
    train(recipe)
    assert plan_training(recipe).finished is not None


def _full_disk(*_arguments, **_options):
    raise OSError(28, "No space left on device")


def test_a_training_in_bfloat16_on_a_machine_without_it_is_said(tmp_path, run, monkeypatch, caplog):
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda: False)
    precision._say_slow.cache_clear()
    recipe = training_recipe(tmp_path, *run, memory={"dtype": "bfloat16", "batch_tokens": 200})
    train(recipe)
    said = [message for message in caplog.messages if "this machine has no bfloat16 arithmetic" in message]
    assert [message.split(",")[0] for message in said] == ["unit computes in bfloat16"]


def test_lora_is_merged_or_kept_apart(tmp_path, run):
    adapted = {"lora": {"rank": 2, "alpha": 4}, "optimisation": {"learning_rate": 0.05, "pairs_per_step": 8}}
    train(training_recipe(tmp_path, *run, **adapted))
    assert (tmp_path / "trained" / "model" / "model.safetensors").is_file()
    apart = adapted | {"lora": {"rank": 2, "alpha": 4, "merge": False}, "output": {"dir": str(tmp_path / "apart")}}
    train(training_recipe(tmp_path, *run, **apart))
    names = {path.name for path in (tmp_path / "apart" / "model").iterdir()}
    assert "adapter_model.safetensors" in names
    assert "model.safetensors" not in names


def test_a_model_with_another_tokenizer_is_refused(tmp_path, run):
    from tests_support import TEMPLATE, tiny_tokenizer

    tiny_tokenizer(TEMPLATE + " ").save_pretrained(run[1])
    with pytest.raises(ModelError, match=r"policy has another tokenizer or chat template .*which made the ids of"):
        plan_training(training_recipe(tmp_path, *run))


def test_a_model_with_a_smaller_vocabulary_is_refused(tmp_path, run, monkeypatch):
    monkeypatch.setattr("flows.train.plan.vocabulary_size", lambda *_: 3)
    with pytest.raises(SchemaError, match=r"train: token ids outside 0…2: tokenise with the tokenizer of that model"):
        train(training_recipe(tmp_path, *run, objective={"name": "simpo"}))


@pytest.mark.parametrize("change", ["flip", "remove"])
def test_shards_that_are_not_the_manifests_are_refused(tmp_path, run, change):
    [shard] = (run[0] / "dataset" / "train").glob("*.arrow")
    if change == "remove":
        shard.unlink()
        message = r"data-00000-of-00001\.arrow is missing: this is not what the run wrote"
    else:
        content = bytearray(shard.read_bytes())
        content[-100] ^= 1
        shard.write_bytes(content)
        message = r"data-00000-of-00001\.arrow has sha256 .*the manifest says"
    with pytest.raises(SourceError, match=message):
        train(training_recipe(tmp_path, *run))


def test_a_folder_without_a_finished_run_is_refused(tmp_path, run):
    (run[0] / "manifest.json").unlink()
    with pytest.raises(SourceError, match=r"holds no finished run of flows\.curate"):
        plan_training(training_recipe(tmp_path, *run))


def test_rewards_that_the_run_does_not_have_are_asked_for(tmp_path, run):
    with pytest.raises(SchemaError, match=r"reward_chosen or reward_rejected is null or not finite"):
        train(training_recipe(tmp_path, *run, objective={"name": "rao"}))


def test_an_objective_that_does_not_exist_is_refused(tmp_path, run):
    with pytest.raises(ConfigError, match=r"objective 'dpoo' is unknown"):
        plan_training(training_recipe(tmp_path, *run, objective={"name": "dpoo"}))
