"""lm-evaluation-harness as a child process: its command line, its bars, its files, and every way in which it fails."""

import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError
from stand_in_lm_eval import VERSIONS, calls, write_stand_in

from flows.evaluate import harness
from flows.evaluate.config import PolicyUnderTest
from flows.evaluate.harness import environment, find_python, installed, run_harness
from flows.evaluate.tasks import TasksPlan, command, keep_files, plan_tasks, run_tasks
from flows.evaluate.tasks_config import TasksConfig
from flows.runtime.progress import Progress
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import ModelIdentity
from transforms.engines.templated_tokenizer import write_templated_tokenizer
from transforms.errors import ConfigError, EngineError, ModelError

TOKEN = "hf_averysecrettoken"
COMMIT = "a" * 40


class Shown(Progress):
    """Writes down which bars there were and how far they came."""

    def __init__(self):
        super().__init__()
        self.bars = []

    @contextmanager
    def bar(self, label, *, unit, total=None):
        self.bars.append([label, unit, total, 0])

        def advance(count, tokens=0, *, reused=False):
            self.bars[-1][3] += count

        yield advance


@pytest.fixture
def policy(tmp_path):
    """A folder that is found and hashed; nothing here loads it."""
    folder = tmp_path / "policy, of=mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "own", "eos_token": "é"}))
    return folder


@pytest.fixture
def python(tmp_path):
    return write_stand_in(tmp_path / "environment")


@pytest.fixture
def plan(policy, python):
    def make(*names, model=None, **changes):
        keys = {"names": list(names or ["capitals"]), "python": str(python)}
        section = TasksConfig.model_validate(keys | changes)
        return plan_tasks(section, PolicyUnderTest(model=str(policy), **(model or {})))

    return make


def flags(found):
    """What stands behind each flag."""
    at = [place for place, word in enumerate(found) if word.startswith("--")]
    return {found[a]: found[a + 1 : b] for a, b in zip(at, [*at[1:], len(found)], strict=True)}


def test_the_command_is_a_list_of_arguments_that_no_shell_reads(plan, policy, python, tmp_path):
    found = command(plan("capitals", "sums"), tmp_path / "work")
    assert found[:3] == [str(python), "-m", "lm_eval"]
    said = flags(found[3:])
    assert json.loads(*said.pop("--model_args")) == {"pretrained": str(policy), "dtype": "bfloat16"}
    assert said == {
        "--model": ["hf"],
        "--tasks": ["capitals,sums"],
        "--output_path": [str(tmp_path / "work" / "output")],
        "--batch_size": ["1"],
        "--apply_chat_template": [],
    }


def test_every_key_is_a_flag(plan, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "capitals.yaml").write_text("task: capitals")
    monkeypatch.chdir(tmp_path)
    keys = {
        "include_path": "mine", "num_fewshot": 5, "limit": 0.25, "batch_size": "auto:4", "device": "cuda:1", "seed": 7,
        "fewshot_as_multiturn": False, "log_samples": True, "confirm_run_unsafe_code": True,
        "model_args": {"parallelize": True},
    }  # fmt: skip
    model = {"dtype": "float32", "trust_remote_code": True, "chat_template_kwargs": {"enable_thinking": False}}
    said = flags(command(plan("capitals", model=model, **keys), tmp_path / "work")[3:])
    assert json.loads(*said.pop("--model_args")) == {
        "parallelize": True,
        "pretrained": str(tmp_path / "policy, of=mine"),
        "dtype": "float32",
        "trust_remote_code": True,
        "chat_template_args": {"enable_thinking": False},
    }
    expected = {
        "--include_path": [str(tmp_path / "mine")], "--num_fewshot": ["5"], "--limit": ["0.25"],
        "--batch_size": ["auto:4"], "--device": ["cuda:1"], "--seed": ["7"], "--fewshot_as_multiturn": ["false"],
        "--log_samples": [], "--confirm_run_unsafe_code": [], "--apply_chat_template": [],
    }  # fmt: skip
    assert {name: said[name] for name in expected} == expected


def test_a_base_model_is_asked_without_a_template(plan, tmp_path):
    made = plan("capitals", apply_chat_template=False, model={"chat_template_kwargs": {"a": 1}})
    said = flags(command(made, tmp_path)[3:])
    assert "--apply_chat_template" not in said
    assert "chat_template_args" not in json.loads(*said["--model_args"])
    assert flags(command(plan("capitals", fewshot_as_multiturn=True), tmp_path)[3:])["--fewshot_as_multiturn"] == []


def hub_plan(python, *names):
    identity = ModelIdentity(name="org/policy", revision=COMMIT, fingerprint=COMMIT, dtype="float16", engine="x")
    section = TasksConfig(names=list(names), python=str(python))
    policy = PolicyUnderTest(model="org/policy", revision="main")
    return TasksPlan(section, policy, ResolvedModel(identity, "org/policy", COMMIT), None, str(python), VERSIONS, None)


def test_a_hub_model_is_loaded_at_the_commit_that_was_found(python, tmp_path):
    said = flags(command(hub_plan(python, "capitals"), tmp_path)[3:])
    assert json.loads(*said["--model_args"]) == {"pretrained": "org/policy", "dtype": "float16", "revision": COMMIT}


def test_another_commit_than_the_one_that_was_meant_is_an_error(python, tmp_path):
    with pytest.raises(EngineError, match=f"lm_eval loaded org/policy at {'b' * 40}, this evaluation is of {COMMIT}"):
        run_tasks(hub_plan(python, "othercommit"), tmp_path / "out", "f", Shown())


def test_another_chat_template_is_a_copy_of_the_tokenizer_with_it(plan, policy, tmp_path):
    (tmp_path / "mine.jinja").write_text("{{ mine }}")
    made = plan("capitals", model={"chat_template": str(tmp_path / "mine.jinja")})
    said = flags(command(made, tmp_path / "work")[3:])
    assert json.loads(*said["--model_args"])["tokenizer"] == str(tmp_path / "work" / "tokenizer")
    write_templated_tokenizer(str(policy), None, made.template, tmp_path / "copy")
    names = {path.name for path in (tmp_path / "copy").iterdir()}
    assert names == {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert (tmp_path / "copy/chat_template.jinja").read_text() == "{{ mine }}"
    assert json.loads((tmp_path / "copy/tokenizer_config.json").read_text()) == {"eos_token": "é"}
    assert made.identity["template"] != plan("capitals").identity["template"]
    with pytest.raises(ModelError, match=r"none\.jinja cannot be read"):
        plan("capitals", model={"chat_template": str(tmp_path / "none.jinja")})


def test_files_of_a_hub_tokenizer_are_those_of_its_commit(policy, tmp_path, monkeypatch):
    asked = {}

    def snapshot(name, **options):
        asked.update(options, name=name)
        return str(policy)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    write_templated_tokenizer("org/policy", COMMIT, "{{ mine }}", tmp_path / "copy")
    assert (asked["name"], asked["revision"], "*.safetensors" in asked["ignore_patterns"]) == (
        "org/policy",
        COMMIT,
        True,
    )
    assert not (tmp_path / "copy/model.safetensors").exists()

    def gone(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", gone)
    with pytest.raises(
        ModelError, match=f"the tokenizer of org/policy at {COMMIT} cannot be fetched: OSError: no route"
    ):
        write_templated_tokenizer("org/policy", COMMIT, "{{ mine }}", tmp_path / "copy")


def test_a_run_leaves_results_log_and_samples_beside_the_numbers(plan, tmp_path):
    folder, shown = tmp_path / "out", Shown()
    found = run_tasks(plan("capitals", "sums", log_samples=True, limit=6), folder, "f", shown)
    assert [(one.task, one.value, one.stderr, one.n) for one in found.scores] == [
        ("capitals", 0.5, 0.25, 6),
        ("sums", 0.5, 0.25, 6),
    ]
    assert (found.lm_eval, found.packages, found.limit, found.results) == ("0.4.13", VERSIONS, 6.0, "lm_eval.json")
    assert [path.name for path in folder.iterdir()] == [".lm_eval"]
    keep_files(folder, found)
    assert sorted(path.name for path in folder.iterdir()) == ["lm_eval.json", "lm_eval.log", "lm_eval_samples"]
    assert json.loads((folder / "lm_eval.json").read_text())["lm_eval_version"] == "0.4.13"
    assert len(list((folder / "lm_eval_samples").iterdir())) == 2
    keep_files(folder, None)
    assert list(folder.iterdir()) == []


def test_bars_are_shown_and_lines_are_kept(plan, tmp_path):
    shown = Shown()
    run_tasks(plan("capitals"), tmp_path / "out", "f", shown)
    assert shown.bars == [["lm_eval: Running loglikelihood requests", "requests", 24, 24]]
    lines = (tmp_path / "out/.lm_eval/lm_eval.log").read_text().splitlines()
    assert lines == [
        "2026-11-30:20:21:45 INFO     [_cli.run:392] Selected Tasks: ['capitals']",
        "|capitals|      1|none  |     0|acc        |↑  |0.5000|±  |0.2500|",
    ]


def test_results_of_an_evaluation_that_died_later_are_taken_and_others_are_not(plan, python, tmp_path):
    for fingerprint, runs in (("f", 1), ("f", 1), ("g", 2)):
        run_tasks(plan("capitals"), tmp_path / "out", fingerprint, Shown())
        assert len(calls(python)) == runs


def test_a_token_is_in_no_file_and_no_message(plan, python, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    found = run_tasks(plan("says_token"), tmp_path / "out", "f", Shown())
    keep_files(tmp_path / "out", found)
    assert json.loads((python.parent / "environment.json").read_text())["HF_TOKEN"] == TOKEN  # it has it
    assert "***" in (tmp_path / "out/lm_eval.json").read_text()
    for path in (tmp_path / "out").iterdir():
        assert TOKEN not in path.read_text()
    with pytest.raises(EngineError) as error:
        run_tasks(plan("crashes"), tmp_path / "crash", "f", Shown())
    assert "out of luck, token ***" in str(error.value)
    assert TOKEN not in str(error.value)


def test_a_failure_is_its_exit_code_and_its_last_lines(plan, tmp_path):
    with pytest.raises(EngineError) as found:
        run_tasks(plan("crashes"), tmp_path / "out", "f", Shown())
    said = str(found.value).splitlines()
    assert said[0] == f"lm_eval failed (exit code 3). Its last lines, of {tmp_path / 'out/.lm_eval/lm_eval.log'}:"
    assert said[1:-1] == [f"  line {number}" for number in range(19, 30)]
    assert said[-1].startswith("  RuntimeError: [U+001B][31mout of luck")
    assert "line 3\n" in (tmp_path / "out/.lm_eval/lm_eval.log").read_text()


def test_a_signal_is_named(plan, tmp_path):
    with pytest.raises(EngineError, match=r"lm_eval failed \(SIGKILL: out of memory\?\)"):
        run_tasks(plan("killed"), tmp_path / "out", "f", Shown())


def test_an_unknown_task_is_said_with_where_to_look(plan, python, tmp_path):
    with pytest.raises(ConfigError) as found:
        run_tasks(plan("unknown"), tmp_path / "out", "f", Shown())
    assert str(found.value) == (
        f"tasks.names: lm_eval knows no task unknown; `{python} -m lm_eval ls tasks` lists those that it has, and "
        "tasks.include_path names a folder with your own"
    )


@pytest.mark.parametrize(("task", "files"), [("silent", 0), ("twice", 2)])
def test_without_one_results_file_there_is_no_result(plan, tmp_path, task, files):
    with pytest.raises(EngineError, match=f"without an error and left {files} files results_"):
        run_tasks(plan(task), tmp_path / "out", "f", Shown())
    assert not (tmp_path / "out/.lm_eval/done").exists()


def test_whoever_stops_this_process_stops_lm_eval_and_what_it_started(plan, python, tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "_END_SECONDS", 2.0)

    class Stopped(Shown):
        @contextmanager
        def bar(self, label, *, unit, total=None):
            def advance(count, tokens=0, *, reused=False):
                while not (python.parent / "grandchild").is_file():
                    time.sleep(0.02)
                raise KeyboardInterrupt

            yield advance

    with pytest.raises(KeyboardInterrupt):
        run_tasks(plan("sleeps"), tmp_path / "out", "f", Stopped())
    for name in ("pid", "grandchild"):
        assert_gone(int((python.parent / name).read_text()))


def assert_gone(pid):
    """It ended, or is a zombie that nobody of ours has to wait for."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} is still there")


def test_the_child_is_led_into_no_other_environment(plan, python, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    plan("capitals")
    seen = json.loads((python.parent / "environment.json").read_text())
    assert seen == {"PYTHONPATH": None, "TQDM_DISABLE": None, "HF_TOKEN": os.environ.get("HF_TOKEN")} | {
        "PYTHONSAFEPATH": "1"
    }
    assert "PYTHONPATH" not in environment()


def test_python_may_be_a_name_a_link_or_a_path_from_here(tmp_path, python, monkeypatch):
    (tmp_path / "link").symlink_to(python)
    monkeypatch.chdir(tmp_path)
    assert find_python("./link") == str(tmp_path / "link")  # the link decides the environment
    monkeypatch.setenv("PATH", str(python.parent))
    assert find_python("python") == str(python)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("./none/python", "tasks.python: ./none/python is not there; expected the python of an environment"),
        ("./", "tasks.python: ./ is a folder"),
        ("./plain", "tasks.python: ./plain is no program"),
        ("no-such-python", "tasks.python: no program no-such-python in PATH"),
    ],
)
def test_a_python_that_is_not_there_is_one_message(tmp_path, monkeypatch, named, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").touch()
    with pytest.raises(ConfigError) as found:
        find_python(named)
    assert message in str(found.value)
    assert 'pip install "lm_eval[hf]"' in str(found.value)


def test_this_environment_has_no_lm_eval_and_that_is_said():
    with pytest.raises(ConfigError) as found:
        installed(sys.executable)
    assert str(found.value) == (
        f"tasks.python: there is no lm_eval in the environment of {sys.executable}; install it: "
        f'{sys.executable} -m pip install "lm_eval[hf]"'
    )


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ("sys.exit('ImportError: libfoo.so is missing')", "cannot import lm_eval (exit code 1): ImportError: libfoo"),
        ("print('hello')", "does not answer as a Python does: it printed 'hello'"),
        ("print('[1]')", "does not answer as a Python does"),
        ("pass", "does not answer as a Python does: it printed ''"),
        ("print(json.dumps({'lm_eval': '0.4.13'}))", "lacks torch, transformers, accelerate; install them"),
        ("time.sleep(60)", "did not say in 0.5 s which lm_eval it has"),
    ],
)
def test_an_environment_that_cannot_do_it_is_one_message(tmp_path, monkeypatch, probe, message):
    if "sleep" in probe:
        monkeypatch.setattr(harness, "_PROBE_SECONDS", 0.5)
    python = write_stand_in(tmp_path / "broken", probe=probe)
    with pytest.raises(ConfigError) as found:
        installed(str(python))
    assert message in str(found.value)


def test_a_line_without_an_end_is_no_memory_without_an_end(tmp_path):
    script = "import sys; [sys.stdout.write('x' * 65536) for _ in range(200)]"
    shown, log = Shown(), tmp_path / "log"
    run_harness([sys.executable, "-c", script], log, shown)
    assert log.stat().st_size < 3_000
    assert shown.bars == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": []}, "at least 1 item"),
        ({"names": ["a,b"]}, "'a,b' is no name of a task"),
        ({"names": ["--predict_only"]}, "is no name of a task"),
        ({"names": ["tasks/a.yaml"]}, "is a file: name its folder in tasks.include_path"),
        ({"batch_size": "all"}, "batch_size"),
        ({"limit": 0}, "greater than 0"),
        ({"apply_chat_template": False, "fewshot_as_multiturn": True}, "set apply_chat_template true"),
        ({"model_args": {"pretrained": "x"}}, "pretrained is set by this evaluation"),
        ({"model_args": {"token": "x"}}, "token looks like a secret"),
        ({"model_args": {"peft": "hf_abcdefgh1234"}}, "peft looks like a secret"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ValidationError) as found:
        TasksConfig.model_validate({"names": ["a"], "python": "python"} | changes)
    assert message in str(found.value)
