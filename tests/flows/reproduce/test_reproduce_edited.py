"""Recipes changed by hand, held against their commands' own configurations before anything runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.reproduce.catalogue import read_catalogue
from flows.reproduce.edited import check_edited, command_of, configuration
from flows.reproduce.output import Places
from flows.reproduce.steps import resolve
from transforms.errors import ConfigError

STEPS = read_catalogue(steps=("small",)).steps["small"]
COMPARED = next(name for name, step in STEPS.items() if step.run == "flows.compare" and step.files)


def ready(name, out, processes=1):
    known = dict.fromkeys(STEPS, "0" * 64)
    return resolve(name, STEPS[name], Places(out), None, known, processes)


def change(name, out, path, text):
    ready(name, out).write()
    path.write_text(path.read_text() + text)
    return [ready(name, out)]


@pytest.mark.parametrize("name", ["dpo", "pairs", "audit", COMPARED])
def test_a_key_that_the_command_does_not_know_is_told_with_the_file_and_how_to_get_it_back(name, tmp_path):
    recipe = Places(tmp_path).recipe(name)
    steps = change(name, tmp_path, recipe, "sampeling: 1\n")
    with pytest.raises(ConfigError) as raised:
        check_edited(steps)
    first, *_, last = str(raised.value).splitlines()
    assert first == f"the recipe {recipe} does not fit:"
    assert "sampeling: no such key" in str(raised.value)
    assert last == f"{recipe} was changed by hand; delete it, and the original is written again"
    recipe.unlink()
    check_edited([ready(name, tmp_path)])


@pytest.mark.parametrize("name", ["dpo", "pairs", "audit", COMPARED])
def test_a_change_that_fits_is_taken(name, tmp_path):
    [step] = change(name, tmp_path, Places(tmp_path).recipe(name), "# a remark\n")
    assert step.edited
    check_edited([step])


def test_a_changed_training_that_a_comparison_reads_is_held_against_the_trainings_configuration(tmp_path):
    training = Places(tmp_path).files(COMPARED) / "training.yaml"
    with pytest.raises(ConfigError, match=r"training\.yaml does not fit:\n  learning: no such key"):
        check_edited(change(COMPARED, tmp_path, training, "learning: 1\n"))


def test_a_comparisons_training_that_is_not_written_yet_is_not_missed(tmp_path):
    recipe = Places(tmp_path).recipe(COMPARED)
    [step] = change(COMPARED, tmp_path, recipe, "# a remark\n")
    (Places(tmp_path).files(COMPARED) / "training.yaml").unlink()
    check_edited([ready(COMPARED, tmp_path)])
    command, argv = command_of(step)
    with pytest.raises(ConfigError, match=r"there is no recipe .*training\.yaml"):
        configuration(command, argv)


def test_what_was_not_changed_is_not_read(tmp_path):
    assert ready("dpo", tmp_path).edited == {}
    check_edited([ready("dpo", tmp_path)])  # its recipe is not there
    assert not tmp_path.joinpath("recipes").exists()


def test_a_command_behind_torchrun_is_the_same_command(tmp_path):
    step = STEPS["dpo"].model_copy(update={"recipe": (STEPS["dpo"].recipe or {}) | {"memory": {"shard": "full"}}})
    known = dict.fromkeys(STEPS, "0" * 64)
    alone, wide = (resolve("dpo", step, Places(tmp_path), None, known, number) for number in (1, 8))
    assert wide.words[1] == "torch.distributed.run"
    assert command_of(wide) == command_of(alone) == ("flows.train", [str(Places(tmp_path).recipe("dpo"))])


def test_the_commands_configurations_are_imported_only_for_a_changed_recipe():
    code = (
        "import sys, flows.reproduce.edited as one; one.check_edited([])\n"
        "print(sorted({'flows.train.config', 'flows.decode.config', 'flows.recipe.curation'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
