"""The folder of `--data`: named, there, and with what the steps read."""

import pytest

from flows.reproduce.config import Step
from flows.reproduce.data import check_data, paths_read
from transforms.errors import ConfigError

STEPS = {
    "tasks": Step(run="flows.evaluate", recipe={"tasks": {"python": "{data}/lm-eval/bin/python"}}),
    "again": Step(run="flows.decode", arguments=["{data}/lm-eval/bin/python", "{data}/a.jsonl,{data}/b.jsonl"]),
    "whole": Step(run="flows.decode", arguments=["{data}"]),
    "globbed": Step(run="flows.decode", arguments=["{data}/rows/*.jsonl"]),
    "other": Step(run="flows.decode", arguments=["x"]),
}


def test_paths_are_read_from_recipes_and_arguments_each_once():
    assert paths_read(STEPS.values()) == ["lm-eval/bin/python", "a.jsonl", "b.jsonl", "rows/*.jsonl"]


def test_without_a_folder_the_entry_is_named_with_what_it_reads_and_not_its_steps():
    entries = {("poet", "table-tasks"): ["tasks", "again", "other"], ("poet", "table-2"): ["other"]}
    with pytest.raises(ConfigError) as raised:
        check_data(entries, STEPS, None)
    assert str(raised.value) == (
        "poet table-tasks needs --data DIR with lm-eval/bin/python, a.jsonl, b.jsonl, which is not with this project; "
        "--list poet table-tasks says what it is"
    )
    with pytest.raises(ConfigError, match=r"poet table-1 needs --data DIR, which is not"):
        check_data({("poet", "table-1"): ["whole"]}, STEPS, None)
    check_data({("poet", "table-2"): ["other"]}, STEPS, None)


def test_a_folder_that_lacks_what_is_read_is_refused_with_the_missing_paths(tmp_path):
    entries = {("poet", "table-tasks"): ["tasks", "again"], ("poet", "figure-1"): ["globbed"]}
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "rows").mkdir()
    with pytest.raises(ConfigError) as raised:
        check_data(entries, STEPS, tmp_path)
    said = str(raised.value)
    assert f"poet table-tasks reads {tmp_path}/lm-eval/bin/python, {tmp_path}/b.jsonl, and there is no such" in said
    assert f"poet figure-1 reads {tmp_path}/rows/*.jsonl, and" in said
    assert "a.jsonl" not in said
    for path in ("b.jsonl", "lm-eval/bin/python", "rows/1.jsonl"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    check_data(entries, STEPS, tmp_path)


def test_a_folder_that_is_not_there_is_refused_also_where_nothing_reads_it(tmp_path):
    with pytest.raises(ConfigError, match=r"--data .*nowhere is no folder"):
        check_data({("poet", "table-2"): ["other"]}, STEPS, tmp_path / "nowhere")
