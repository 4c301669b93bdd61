"""A step as a command: names resolved, its folder named as the command takes it, files that people changed kept."""

from pathlib import Path

import pytest
import yaml

from flows.reproduce.config import Step
from flows.reproduce.output import Places, StepDone
from flows.reproduce.steps import changed_in_words, changed_keys, resolve


def ready(step, out=Path("out"), data=None, **on):
    return resolve("mine", Step.model_validate(step), Places(out), data, on)


def recipe(step, out=Path("out")):
    return yaml.safe_load(step.texts[Places(out).recipe("mine")])


TRAINING = {"run": "flows.train", "recipe": {"dataset": {"path": "{pairs}"}, "output": {"dir": "x", "resume": False}}}


def test_a_recipe_has_the_folders_of_the_steps_before_it_and_its_own_as_output():
    found = ready(TRAINING, pairs="1")
    assert recipe(found) == {
        "dataset": {"path": "./out/steps/pairs"},
        "output": {"dir": "./out/steps/mine", "resume": False, "overwrite": False},
    }
    assert found.words == ("-m", "flows.train", "out/recipes/mine.yaml")
    assert found.built_on == ("pairs",)


def test_a_sharded_training_is_started_on_several_gpus_by_torchrun_and_is_the_same_step():
    sharded = {"run": "flows.train", "recipe": {**TRAINING["recipe"], "memory": {"shard": "fsdp"}}}

    def on(step, processes):
        return resolve("mine", Step.model_validate(step), Places(Path("out")), None, {"pairs": "1"}, processes)

    assert on(sharded, 8).words == (
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "8"),
        *("-m", "flows.train", "out/recipes/mine.yaml"),
    )
    assert on(sharded, 1).words == on(TRAINING, 8).words == ("-m", "flows.train", "out/recipes/mine.yaml")
    assert on(sharded, 8).fingerprint == on(sharded, 1).fingerprint


def test_an_absolute_folder_stays_as_it_is():
    found = ready(TRAINING, Path("/out"), pairs="1")
    assert recipe(found, Path("/out"))["output"]["dir"] == "/out/steps/mine"


def test_files_lie_outside_the_steps_own_folder_and_here_is_where():
    step = {
        "run": "flows.compare",
        "recipe": {"training": "{here}/train.yaml"},
        "files": {"train.yaml": {"dataset": "{pairs}/dataset"}},
    }
    found = ready(step, pairs="1")
    assert recipe(found)["training"] == "./out/files/mine/train.yaml"
    assert yaml.safe_load(found.texts[Path("out/files/mine/train.yaml")]) == {"dataset": "./out/steps/pairs/dataset"}


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            {"run": "flows.decode", "arguments": ["{pairs}", "--policy", "{dpo}/model"]},
            "flows.decode ./out/steps/pairs --policy ./out/steps/dpo/model --out ./out/steps/mine",
        ),
        (
            {"run": "flows.audit", "recipe": {}, "arguments": ["--n", "3"]},
            "flows.audit out/recipes/mine.yaml --n 3 --out ./out/steps/mine",
        ),
        (
            {"run": "flows.curate", "arguments": ["flows/configs/starter.yaml"]},
            "flows.curate flows/configs/starter.yaml --output.dir ./out/steps/mine --output.overwrite false",
        ),
    ],
)
def test_each_command_is_told_its_folder_in_its_own_way(step, words):
    found = ready(step, pairs="1", dpo="2")
    assert found.shown == f"python -m {words}"


def test_only_what_a_step_of_ours_left_is_replaced(tmp_path):
    """What somebody ran by hand from the recipe, its command takes as finished or refuses."""
    assert recipe(ready(TRAINING, tmp_path, pairs="1"), tmp_path)["output"]["overwrite"] is False
    done = StepDone(fingerprint="f", finished=False, seconds=1, ended_at="now", built_on={})
    Places(tmp_path).note("mine", done)
    assert recipe(ready(TRAINING, tmp_path, pairs="1"), tmp_path)["output"]["overwrite"] is True
    typed = {"run": "flows.curate", "arguments": ["a.yaml"]}
    assert ready(typed, tmp_path).words[-2:] == ("--output.overwrite", "true")


def test_the_folder_of_a_recipe_of_flows_decode_is_a_flag_and_no_section():
    found = ready({"run": "flows.decode", "recipe": {"run": "{pairs}", "mix": [0]}}, pairs="1")
    assert found.shown == "python -m flows.decode out/recipes/mine.yaml --out ./out/steps/mine"
    assert recipe(found) == {"run": "./out/steps/pairs", "mix": [0]}


def test_data_is_the_folder_that_was_named_and_stays_a_name_without_one():
    step = {"run": "flows.decode", "arguments": ["{data}/rows.jsonl", "{unknown}"]}
    assert ready(step, data=Path("mine"), unknown="1").words[2:4] == ("./mine/rows.jsonl", "./out/steps/unknown")
    assert ready(step, unknown="1").words[2] == "{data}/rows.jsonl"


def test_the_fingerprint_is_of_what_goes_in_and_not_of_where_it_goes(tmp_path):
    before = ready(TRAINING, pairs="1").fingerprint
    assert ready(TRAINING, Path("/elsewhere"), pairs="1").fingerprint == before
    others = [
        ready(TRAINING, pairs="2"),
        ready(TRAINING | {"run": "flows.evaluate"}, pairs="1"),
        ready(TRAINING | {"arguments": ["--seed", "1"]}, pairs="1"),
        ready(TRAINING | {"files": {"a": {}}}, pairs="1"),
        ready(TRAINING | {"recipe": {"dataset": {"path": "{pairs}/"}}}, pairs="1"),
    ]
    assert len({before, *(one.fingerprint for one in others)}) == 6


def test_the_folder_of_data_is_of_the_fingerprint_where_it_is_read(tmp_path):
    reads = {"run": "flows.decode", "arguments": ["{data}"]}
    reads_none = {"run": "flows.decode", "arguments": ["x"]}
    assert ready(reads, data=tmp_path).fingerprint != ready(reads, data=tmp_path / "b").fingerprint
    assert ready(reads_none, data=tmp_path).fingerprint == ready(reads_none, data=tmp_path / "b").fingerprint


def test_a_file_that_somebody_changed_is_kept_and_used_and_is_of_the_fingerprint(tmp_path):
    first = ready(TRAINING, tmp_path, pairs="1")
    assert first.edited == {}
    first.write()
    path = Places(tmp_path).recipe("mine")
    again = ready(TRAINING, tmp_path, pairs="1")
    assert (again.edited, again.fingerprint) == ({}, first.fingerprint)
    path.write_text(path.read_text().replace("resume: false", "resume: true"))
    changed = ready(TRAINING, tmp_path, pairs="1")
    assert changed.edited == {path: ("output.resume",)}
    assert changed.fingerprint != first.fingerprint
    assert recipe(changed, tmp_path)["output"]["resume"] is True
    changed.write()
    assert yaml.safe_load(path.read_text())["output"]["resume"] is True


@pytest.mark.parametrize(
    ("theirs", "keys"),
    [
        ("a: {b: 1, c: [1, {d: 2}]}", ()),
        ("a: {b: 2, c: [1, {d: 3}]}", ("a.b", "a.c.1.d")),
        ("a: {b: 1, c: [1]}\nmine: 1", ("a.c.1", "mine")),
        ("a: 5", ("a",)),
        ("[1]", ("everything",)),
        ("a: {b: 1, c: [1, {d: 2}]}\noutput: {dir: x, overwrite: true}", ("output",)),
        ("a: [", ()),
        ("a: 2020-13-45", ()),
        ("a: {b: true, c: [1, {d: 2}]}\nmine: null", ("a.b", "mine")),
    ],
)
def test_a_changed_file_says_which_of_its_keys_differ(theirs, keys):
    assert changed_keys({"a": {"b": 1, "c": [1, {"d": 2}]}}, theirs) == keys


def test_what_follows_from_the_folder_is_no_change_of_somebodys(tmp_path):
    ready(TRAINING, tmp_path, pairs="1").write()
    path = Places(tmp_path).recipe("mine")
    path.write_text("dataset: {path: mine}\noutput: {dir: elsewhere, overwrite: true, resume: true}\n")
    assert ready(TRAINING, tmp_path, pairs="1").edited == {path: ("dataset.path", "output.resume")}


def test_changed_keys_are_named_up_to_eight():
    path = Path("recipes/pairs.yaml")
    assert changed_in_words(path, ()) == "pairs.yaml"
    assert changed_in_words(path, ("a.b", "c")) == "pairs.yaml (a.b, c)"
    assert changed_in_words(path, [str(n) for n in range(10)]) == "pairs.yaml (0, 1, 2, 3, 4, 5, 6, 7 and 2 more)"


def test_a_file_that_nobody_changed_follows_the_catalogue(tmp_path):
    ready(TRAINING, tmp_path, pairs="1").write()
    ready(TRAINING | {"recipe": {"seed": 7}}, tmp_path, pairs="1").write()
    assert yaml.safe_load(Places(tmp_path).recipe("mine").read_text())["seed"] == 7


def test_a_file_says_its_command_in_one_line_whatever_is_in_it(tmp_path):
    found = ready(TRAINING | {"arguments": ["a\nb: 1"]}, tmp_path, pairs="1")
    found.write()
    assert set(yaml.safe_load(Places(tmp_path).recipe("mine").read_text())) == {"dataset", "output"}
    assert ready(TRAINING | {"arguments": ["a\nb: 1"]}, tmp_path, pairs="1").edited == {}
