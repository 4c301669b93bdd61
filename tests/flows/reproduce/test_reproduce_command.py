"""The command: what runs and what does not, what is written, and its exit codes. Stand-ins take the commands' place."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from reproduce_support import ENTRIES, PAPER, SMALL, STEPS, Terminal

from flows.reproduce.output import Places
from transforms.errors import ConfigError, OutputError
from transforms.records.reproduction import Reproduction

ROOT = Path(__file__).parents[3]


@pytest.fixture
def terminal(tmp_path, monkeypatch, capsys):
    return Terminal(tmp_path, monkeypatch, capsys)


def read(terminal, entry):
    return Reproduction.model_validate_json((terminal.out / "poet" / f"{entry}.json").read_bytes())


def test_steps_run_in_order_and_the_entry_is_written_with_their_seconds(terminal):
    code, printed = terminal.type("poet", "table-1")
    assert code == 0
    assert terminal.calls() == ["pairs", "dpo", "judged"]
    found = read(terminal, "table-1")
    assert found.rests_on == ["dpo", "judged", "pairs"]
    assert set(found.steps) == {"pairs", "dpo", "judged"}
    assert all(0 < seconds < 60 for seconds in found.steps.values())
    assert terminal.pages == [(["table-1"], {})]
    assert "step 2 of 3  dpo  python -m flows.train" in printed
    [line] = [line for line in printed.splitlines() if line.startswith("poet/table-1")]
    assert line.split()[1:4] == ["2", "0", "1"]
    assert line.rstrip().endswith(str(terminal.out / "poet" / "table-1.json"))
    assert (terminal.out / "logs" / "dpo.log").read_text().splitlines()[1:] == ["a line of dpo"]


def test_all_is_every_entry_that_is_done_at_the_size_and_a_paper_is_its_own(terminal):
    assert terminal.type("--all")[0] == 0
    assert terminal.calls() == ["pairs", "dpo", "judged", "other"]
    assert terminal.pages == [(["table-1", "figure-2"], {})]
    assert terminal.type("poet")[0] == 0
    assert terminal.calls() == []


def test_a_finished_step_is_not_run_again_and_a_new_entry_adds_its_own_alone(terminal):
    terminal.type("poet", "table-1")
    terminal.calls()
    code, printed = terminal.type("poet", "table-1", "figure-2")
    assert code == 0
    assert terminal.calls() == ["other"]
    assert re.search(r"^step 1 of 4  pairs  finished before, in \d+ s$", printed, re.MULTILINE)


def test_another_input_of_a_step_runs_it_and_those_that_build_on_it(terminal):
    terminal.type("--all")
    terminal.calls()
    before = read(terminal, "table-1").fingerprint, read(terminal, "figure-2").fingerprint
    dpo = STEPS["dpo"] | {"files": {"more.yaml": {"run": "{pairs}", "seed": 1}}}
    terminal.change(**{"small/dpo": dpo})
    terminal.type("--all")
    assert terminal.calls() == ["dpo", "judged"]
    after = read(terminal, "table-1").fingerprint, read(terminal, "figure-2").fingerprint
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_a_step_whose_folder_is_gone_runs_again_with_those_that_read_it(terminal):
    terminal.type("--all")
    terminal.calls()
    folder = terminal.out / "steps" / "dpo"
    (folder / "told.yaml").unlink()
    folder.rmdir()
    terminal.type("--all")
    assert terminal.calls() == ["dpo", "judged"]


def test_a_failed_step_stops_those_that_build_on_it_and_no_others(terminal):
    broken = terminal.mark("fail-dpo")
    code, printed = terminal.type("--all")
    assert code == 1
    assert terminal.calls() == ["pairs", "dpo", "other"]
    assert f"step dpo failed: exit code 3; its log is {terminal.out / 'logs' / 'dpo.log'}" in printed
    assert "it broke [U+001B][31m here" in printed
    assert "step 3 of 4  judged  not run: it reads dpo, which failed" in printed
    [(shown, failed)] = terminal.pages
    assert shown == ["figure-2"]
    assert list(failed) == ["poet/table-1"]
    assert failed["poet/table-1"].startswith("step dpo: exit code 3")
    assert "poet/table-1 cannot be shown: step dpo: exit code 3" in printed
    assert not (terminal.out / "poet" / "table-1.json").exists()
    broken.unlink()
    assert terminal.type("--all")[0] == 0
    assert terminal.calls() == ["dpo", "judged"]
    assert read(terminal, "table-1").entry == "table-1"


def test_numbers_of_other_inputs_go_when_their_entry_cannot_be_shown_any_more(terminal):
    terminal.type("poet", "table-1")
    assert (terminal.out / "poet" / "table-1.json").exists()
    terminal.change(**{"small/dpo": STEPS["dpo"] | {"arguments": ["--seed", "1"]}})
    terminal.mark("fail-dpo")
    assert terminal.type("poet", "table-1")[0] == 1
    assert not (terminal.out / "poet" / "table-1.json").exists()


def test_a_command_that_leaves_no_folder_has_failed(terminal):
    terminal.mark("nothing-other")
    code, printed = terminal.type("poet", "figure-2")
    assert code == 1
    assert "step other failed: it ended without an error and left no folder" in printed


def test_the_time_of_a_failed_try_with_the_same_inputs_counts(terminal):
    broken = terminal.mark("fail-other")
    terminal.type("poet", "figure-2")
    places = Places(terminal.out)
    done = places.done("other")
    assert not done.finished
    places.note("other", done.model_copy(update={"seconds": 1000.0}))
    broken.unlink()
    terminal.type("poet", "figure-2")
    assert 1000 < read(terminal, "figure-2").steps["other"] < 1060
    places.note("other", done.model_copy(update={"seconds": 1000.0}))
    terminal.change(**{"small/other": STEPS["other"] | {"arguments": ["--pairs", "9"]}})
    terminal.type("poet", "figure-2")
    assert read(terminal, "figure-2").steps["other"] < 60


def test_an_entry_that_cannot_be_read_is_named_and_the_others_are_shown(terminal):
    terminal.unreadable.add("table-1")
    code, printed = terminal.type("--all")
    assert code == 1
    assert terminal.pages == [(["figure-2"], {"poet/table-1": "no such number"})]
    assert "poet/table-1 cannot be shown: no such number" in printed


def test_the_page_has_what_earlier_commands_left_as_long_as_it_is_of_these_inputs(terminal):
    terminal.type("poet", "figure-2")
    terminal.type("poet", "table-1")
    assert terminal.pages[-1] == (["table-1", "figure-2"], {})
    line = SMALL["poet/figure-2"] | {"caveat": "read otherwise"}
    terminal.change(small={"entries": SMALL | {"poet/figure-2": line}})
    terminal.type("poet", "table-1")
    assert terminal.pages[-1] == (["table-1"], {})


def test_a_recipe_changed_by_hand_is_used_and_said(terminal):
    terminal.type("poet", "table-1")
    terminal.calls()
    path = terminal.out / "recipes" / "dpo.yaml"
    path.write_text(path.read_text() + "by_hand: 1\n")
    _, printed = terminal.type("poet", "table-1")
    assert terminal.calls() == ["dpo", "judged"]
    assert f"{path} was changed by hand, and is used as it is" in printed
    assert "by_hand: 1" in (terminal.out / "steps" / "dpo" / "told.yaml").read_text()
    assert read(terminal, "table-1").rests_on[-1] == "changed by hand: dpo.yaml (by_hand)"


def test_a_dry_run_prints_the_commands_in_order_and_writes_nothing_at_the_small_size(terminal):
    code, printed = terminal.type("poet", "--dry-run")
    assert code == 0
    assert not terminal.out.exists()
    commands = [line for line in printed.splitlines() if line.startswith("python -m ")]
    assert [line.split()[2] for line in commands] == ["flows.curate", "flows.train", "flows.decode", "flows.audit"]
    assert "0 of them finished. To come: at most about 30 min, and 1 without an estimate." in printed
    terminal.type("poet", "figure-2")
    _, printed = terminal.type("poet", "--dry-run")
    assert re.search(r"^4\. other  finished, \d+ s$", printed, re.MULTILINE)
    assert "1 of them finished. To come: at most about 30 min." in printed


def test_a_dry_run_at_the_papers_size_writes_the_recipes_and_runs_nothing(terminal):
    code, printed = terminal.type("poet", "--size", "paper", "--dry-run")
    assert code == 0
    assert terminal.calls() == []
    assert sorted(path.name for path in (terminal.out / "recipes").iterdir()) == ["dpo.yaml", "pairs.yaml"]
    assert (terminal.out / "files" / "dpo" / "more.yaml").is_file()
    assert f"The recipes are in {terminal.out / 'recipes'}" in printed
    assert "at most about 42 h" in printed


def test_a_step_that_reads_data_is_refused_before_anything_is_made_and_shown_in_a_dry_run(terminal):
    other = STEPS["other"] | {"recipe": {"path": "{data}/rows"}}
    terminal.change(**{"small/other": other})
    with pytest.raises(ConfigError, match=r"^poet figure-2 needs --data DIR with rows, .*; --list poet figure-2 says"):
        terminal.type("--all")
    assert not terminal.out.exists()
    _, printed = terminal.type("--all", "--dry-run")
    assert "{data} stands for the folder that --data names." in printed
    data = terminal.home / "rows"
    data.mkdir()
    for flags in ((), ("--dry-run",)):
        with pytest.raises(ConfigError, match=r"poet figure-2 reads .*/rows/rows, and there is no such path"):
            terminal.type("--all", "--data", str(data), *flags)
    assert not terminal.out.exists()
    (data / "rows").mkdir()
    assert terminal.type("--all", "--data", str(data))[0] == 0
    assert f"path: {data}/rows" in (terminal.out / "steps" / "other" / "told.yaml").read_text()


def test_two_at_once_in_one_folder_are_refused(terminal):
    terminal.out.mkdir()
    with (terminal.out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match=r"another reproduction is at work in .*out; .* with --out"):
            terminal.type("poet", "figure-2")
    assert terminal.calls() == []
    assert terminal.type("poet", "figure-2")[0] == 0


def test_a_folder_of_the_other_size_is_refused(terminal):
    terminal.type("poet", "figure-2")
    with pytest.raises(OutputError, match="holds the small size, and --size is paper; choose another folder"):
        terminal.type("poet", "--size", "paper")
    with pytest.raises(OutputError, match="holds the small size"):
        terminal.type("poet", "--size", "paper", "--dry-run")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a paper, with its figures or without, or say --all"),
        (("poet", "--all"), "--all or a paper, not both"),
        (("poet", "--json"), "--json is of --list"),
        (("poe",), "no paper is called 'poe'; did you mean poet?"),
        (("poet", "figure-22"), "poet has no 'figure-22'; did you mean figure-2?"),
        (("poet", "figure-1"), "poet figure-1: nothing to redo: A drawing"),
        (("poet", "figure-3"), "not done at the small size: Needs a GPU; it is done with --size paper"),
        (("poet", "--size", "paper", "figure-2"), "Nobody has the data; it is done with --size small"),
    ],
)
def test_a_wrong_argument_says_what_there_is(words, said, terminal):
    with pytest.raises(ConfigError) as raised:
        terminal.type(*words)
    assert said in str(raised.value)
    assert not terminal.out.exists()


def test_a_paper_of_which_nothing_is_done_at_a_size_says_so(terminal):
    nothing = {name: {"cannot": "Needs a GPU.", "needs": "a GPU"} for name in SMALL}
    terminal.change(small={"entries": nothing}, paper={"entries": PAPER | {"poet/figure-3": nothing["poet/figure-3"]}})
    with pytest.raises(ConfigError, match="nothing of poet is done at the small size; --list --size small says why"):
        terminal.type("poet")
    with pytest.raises(ConfigError, match="nor is it done with --size paper"):
        terminal.type("poet", "figure-3")


def test_the_list_has_a_line_for_every_entry_and_why_some_are_not_done(terminal):
    code, printed = terminal.type("--list", "--json")
    assert code == 0
    found = {one["entry"]: one for one in json.loads(printed)}
    assert list(found) == [one["id"] for one in ENTRIES]
    assert found["figure-1"]["why_not"] == "nothing to redo: A drawing"
    assert found["figure-3"]["why_not"] == "not done at the small size: Needs a GPU"
    assert found["table-1"] == {
        "paper": "poet", "title": "POET", "source": "arXiv", "known": "all", "entry": "table-1",
        "shows": "Judged policies.", "size": "small", "why_not": None, "needs": "what ships", "notes": {}, "hours": 0.5,
        "printed_numbers": 1, "printed_in": "", "steps": ["judged"], "claims": [],
    }  # fmt: skip


def test_a_folder_that_is_a_file_or_below_one_is_one_error_at_both_sizes(terminal):
    terminal.out.write_text("mine")
    for size in ("small", "paper"):
        for flags in ((), ("--dry-run",)):
            with pytest.raises(OutputError, match=r"out is a file; name a folder with --out"):
                terminal.type("poet", "--size", size, *flags)
    terminal.out = terminal.out / "below"
    with pytest.raises(OutputError, match=r"/out is a file, and .*/out/below lies below it; name a folder"):
        terminal.type("poet", "--size", "paper", "--dry-run")
    assert terminal.out.parent.read_text() == "mine"


def test_a_dry_run_says_of_each_size_where_recipes_are_and_at_the_papers_size_what_is_needed(terminal):
    notes = {"big": "It is big.", "key": "A key."}
    line = PAPER["poet/table-1"] | {"notes": ["big"]}
    other = PAPER["poet/figure-3"] | {"notes": ["big", "key"]}
    lines = PAPER | {"poet/table-1": line, "poet/figure-3": other}
    terminal.change(paper={"notes": notes, "entries": lines})
    _, printed = terminal.type("poet", "figure-2", "--dry-run")
    assert "Dry run: 1 table or figure, 1 step, 0 of them finished." in printed
    assert f"{terminal.out / 'recipes'} is written when it runs." in printed
    _, printed = terminal.type("poet", "--size", "paper", "--dry-run")
    said = ["poet table-1, poet figure-3: an H100", "big: It is big.", "key: A key."]
    assert [line for line in printed.splitlines() if line in said] == said
    assert "at most about 42 h of one H100 (GPU-hours)." in printed
    _, printed = terminal.type("poet", "table-1", "--size", "paper")
    assert printed.startswith("3 steps to run. To come: at most about 40 h of one H100 (GPU-hours).\n")
    assert printed.splitlines()[1:3] == ["poet table-1: an H100", "Needed as well, and told by --dry-run: big."]
    assert "key" not in printed


def test_a_run_of_many_entries_at_the_papers_size_starts_without_a_list_of_what_each_needs(terminal):
    lines = {f"poet/{name}": {"steps": ["judged"], "needs": f"what {name} needs"} for name in "abcd"}
    names = {one: f"table-{number}" for number, one in enumerate(lines, 11)}
    entries = [{"id": one, "shows": "x"} for one in names.values()]
    sizes = {f"poet/{names[one]}": line for one, line in lines.items()}
    poet = {"paper": "poet", "title": "POET", "source": "arXiv", "known": "all", "entries": entries}
    terminal.change(poet=poet, paper={"entries": sizes}, small={"entries": sizes})
    _, printed = terminal.type("poet", "--size", "paper")
    assert "4 tables and figures; --dry-run says what each needs." in printed
    assert "what a needs" not in printed
    _, printed = terminal.type("poet", "table-11", "table-12", "table-13", "--size", "paper")
    assert "poet table-12: what b needs" in printed


def test_flags_that_would_help_are_named_and_those_that_are_of_no_use(terminal):
    for flags in (("--dry-run",), ()):
        _, printed = terminal.type("poet", *flags, "--processes", "8", "--data", str(terminal.home))
        assert "--processes 8 is of no use here: no step is a sharded training." in printed
        assert f"--data {terminal.home} is of no use here: no step reads it." in printed
    dpo = STEPS["dpo"] | {"recipe": {"name": "dpo", "dataset": {"path": "{pairs}"}, "memory": {"shard": "full"}}}
    terminal.change(**{"small/dpo": dpo})
    _, printed = terminal.type("poet", "--dry-run")
    assert "1 training wants several GPUs: --processes 8." in printed
    assert "of no use" not in printed
    _, printed = terminal.type("poet", "--dry-run", "--processes", "8")
    assert "several GPUs" not in printed
    assert "of no use" not in printed


def test_a_changed_recipe_is_checked_in_a_dry_run_and_before_a_step_runs(terminal, monkeypatch):
    checked = []
    monkeypatch.setattr("flows.reproduce.__main__.check_edited", lambda steps: checked.append([s.name for s in steps]))
    terminal.type("poet", "table-1", "--dry-run")
    assert checked == [["pairs", "dpo", "judged"]]

    def refuse(steps):
        message = "does not fit"
        raise ConfigError(message)

    monkeypatch.setattr("flows.reproduce.__main__.check_edited", refuse)
    with pytest.raises(ConfigError, match="does not fit"):
        terminal.type("poet", "table-1")
    assert terminal.calls() == []
    assert not terminal.out.exists()


@pytest.mark.slow
def test_the_list_imports_nothing_heavy():
    words = [sys.executable, "-X", "importtime", "-m", "flows.reproduce", "--list"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "import time:" in line}
    heavy = {"prefect", "torch", "transformers", "datasets", "vllm", "matplotlib", "scipy", "polars", "pandas.core.api"}
    assert not heavy & imported
    assert "flows.reproduce.plan" in imported


def waiting_step(tmp_path):
    """A run, as a process of its own, whose step has started and waits until it is told to end."""
    waits = tmp_path / "waits"
    waits.write_text(
        f"#!{sys.executable} -SE\n"
        "import pathlib, signal, sys, time\n"
        f"home = pathlib.Path({str(tmp_path)!r})\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
        "folder.mkdir(parents=True, exist_ok=True)\n"
        "if not (home / 'ended').exists():\n"
        "    def end(*_):\n"
        "        (home / 'ended').touch()\n"
        "        sys.exit(5)\n"
        "    signal.signal(signal.SIGTERM, end)\n"
        "    (home / 'started').touch()\n"
        "    time.sleep(120)\n"
    )
    waits.chmod(0o755)
    script = tmp_path / "reproduce.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        "from pathlib import Path\n"
        "from types import SimpleNamespace\n"
        "import flows.reproduce.__main__ as command\n"
        "import flows.reproduce.steps as steps\n"
        "from flows.runtime.cli import run_command\n"
        "from reproduce_support import catalogue\n"
        f"found = catalogue(Path({str(tmp_path / 'catalogue')!r}))\n"
        "command.read_catalogue = lambda **_: found\n"
        f"steps.sys = SimpleNamespace(executable={str(waits)!r})\n"
        f"sys.argv = ['x', 'poet', 'figure-2', '--out', {str(tmp_path / 'out')!r}]\n"
        "run_command(command.main)\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_ends_its_command_and_goes_on_where_it_was(name, code, tmp_path):
    """A process of its own, whose step waits until it is told to end."""
    process = waiting_step(tmp_path)
    os.kill(process.pid, name)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "run the same command again to go on" in said
    assert (tmp_path / "ended").exists()
    places = Places(tmp_path / "out")
    assert places.done("other").finished is False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells a process that its parent is gone")
def test_a_run_that_is_killed_takes_its_command_with_it(tmp_path):
    process = waiting_step(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    until = time.monotonic() + 60
    while not (tmp_path / "ended").exists():
        assert time.monotonic() < until, "the command goes on without the run that started it"
        time.sleep(0.05)
    assert Places(tmp_path / "out").done("other").finished is False
