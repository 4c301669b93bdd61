"""What local tasks are made of: a change in any file that could change a number changes the hash."""

import pytest

from transforms.errors import ConfigError
from transforms.evaluation.task_files import local_tasks_sha256

YAML = """task: capitals
dataset_path: json
dataset_kwargs: {data_files: {test: [data/a.jsonl, "data/more_*.jsonl"]}}
process_docs: !function utils.process_docs
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "tasks/capitals.yaml": YAML,
        "tasks/utils.py": "def process_docs(docs): return docs",
        "data/a.jsonl": "{}",
        "data/more_1.jsonl": "{}",
        "data/other.jsonl": "{}",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["tasks/capitals.yaml", "tasks/utils.py", "data/a.jsonl", "data/more_1.jsonl"])
def test_every_file_of_a_task_is_in_the_hash(tasks, name):
    before = local_tasks_sha256("tasks")
    assert local_tasks_sha256("./tasks") == local_tasks_sha256(str(tasks / "tasks")) == before
    with (tasks / name).open("a") as file:
        file.write(" ")
    assert local_tasks_sha256("tasks") != before


def test_files_that_a_task_takes_in_from_elsewhere_are_in_the_hash_with_their_data(tasks):
    (tasks / "tasks/sums.yaml").write_text("task: sums\ninclude: ../shared/base.yaml\n")
    (tasks / "shared").mkdir()
    (tasks / "shared/base.yaml").write_text("include: [more.yaml]\n")
    (tasks / "shared/more.yaml").write_text("dataset_kwargs: {data_files: data/other.jsonl}\ninclude: base.yaml\n")
    found = [local_tasks_sha256("tasks")]
    for name in ("shared/base.yaml", "shared/more.yaml", "data/other.jsonl"):
        with (tasks / name).open("a") as file:
            file.write(" ")
        found.append(local_tasks_sha256("tasks"))
    assert len(set(found)) == 4


def test_a_new_file_that_a_pattern_finds_changes_the_hash_and_others_do_not(tasks):
    before = local_tasks_sha256("tasks")
    for name in ("data/other.jsonl", "tasks/__pycache__", "tasks/.hidden"):
        path = tasks / name
        (path.mkdir if name.endswith("__") else path.touch)()
    (tasks / "tasks/__pycache__/utils.pyc").write_bytes(b"x")
    (tasks / "data/other.jsonl").write_text("changed")
    assert local_tasks_sha256("tasks") == before
    (tasks / "data/more_2.jsonl").touch()
    assert local_tasks_sha256("tasks") != before


def test_a_folder_of_data_is_read_whole(tasks):
    (tasks / "tasks/capitals.yaml").write_text("task: x\ndataset_path: ./data\n")
    before = local_tasks_sha256("tasks")
    (tasks / "data/other.jsonl").write_text("changed")
    assert local_tasks_sha256("tasks") != before


def test_a_data_file_that_is_not_there_yet_is_part_of_it_when_it_comes(tasks):
    (tasks / "data/a.jsonl").unlink()
    before = local_tasks_sha256("tasks")
    (tasks / "data/a.jsonl").touch()
    assert local_tasks_sha256("tasks") != before


def test_a_tag_runs_no_code(tasks):
    (tasks / "tasks/capitals.yaml").write_text("task: !!python/object/apply:os.mkdir [owned]\n")
    local_tasks_sha256("tasks")
    assert not (tasks / "owned").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "none is no folder; expected one with the YAML files of your tasks"),
        (lambda folder: (folder / "none").mkdir(), "none has no YAML file"),
        (
            lambda folder: ((folder / "none").mkdir(), (folder / "none/x.yaml").write_text("a: [")),
            "none/x.yaml is no YAML that can be read",
        ),
    ],
)
def test_what_cannot_be_read_is_one_message(tmp_path, monkeypatch, make, message):
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    with pytest.raises(ConfigError) as found:
        local_tasks_sha256("none")
    assert message in str(found.value)
