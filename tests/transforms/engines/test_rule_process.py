"""A user's function in processes of its own: whatever it does costs its own answer and nothing else."""

import json
import os
import textwrap
import time
from pathlib import Path

import pytest

from transforms.engines import rule_process
from transforms.engines.rule_process import RuleProcesses, RuleQuestion, check_rule, find_rule
from transforms.errors import ConfigError

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]


@pytest.fixture
def rule(tmp_path):
    """A rule of a source text."""

    def make(source, name="score", timeout_s=10.0, memory_mib=4096):
        path = tmp_path / "rules.py"
        path.write_text(textwrap.dedent(source))
        return find_rule(f"{path}:{name}", timeout_s=timeout_s, memory_mib=memory_mib)

    return make


def scores(rule, *responses, turns=TURNS):
    processes = RuleProcesses(rule)
    try:
        return processes.score([RuleQuestion(str(n), turns, r) for n, r in enumerate(responses)])
    finally:
        processes.close()


def test_a_function_scores_responses_in_their_order(rule):
    found = rule("def score(prompt, response): return len(prompt) + len(response)")
    assert scores(found, *("x" * n for n in range(20))) == [4.0 + n for n in range(20)]


def test_it_gets_the_last_user_turn_or_the_whole_conversation_by_its_first_parameters_name(rule):
    assert scores(rule("def score(prompt, response): return float(prompt == 'Why?')"), "a") == [1.0]
    whole = rule(f"def score(messages, response): return float(messages == {TURNS!r})")
    assert scores(whole, "a") == [1.0]
    tool = [*TURNS, {"role": "tool", "content": "42"}]
    assert scores(rule("def score(question, response): return float(question == 'Why?')"), "a", turns=tool) == [1.0]
    assert scores(rule("def score(prompt, response): return float(prompt == '')"), "a", turns=TURNS[:1]) == [1.0]


BAD = {
    "return None": "it returned None (NoneType), expected a finite number",
    "return 'good'": "it returned 'good' (str), expected a finite number",
    "return True": "it returned True (bool), expected a finite number",
    "return float('nan')": "it returned nan, expected a finite number",
    "return float('-inf')": "it returned -inf, expected a finite number",
    "return -1e200": "it returned -1e+200, expected a number of at most 1e+100 in size",
    "return 10 ** 400": "it raised OverflowError: int too large to convert to float",
    "raise ValueError('no\\nmore')": "it raised ValueError: no",
    "raise KeyboardInterrupt": "it raised KeyboardInterrupt: no reason given",
    "import sys; sys.exit(3)": "it ended the process: SystemExit(3)",
    "import os; os._exit(3)": "its process ended: exit code 3",
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": "its process ended: SIGSEGV",
    "return [].append": "it returned <built-in method append",
    "return (lambda f: f(f))(lambda f: f(f))": "it raised RecursionError: ",
    "raise ValueError('\\x1b[31m' + 'x' * 999)": "it raised ValueError: [U+001B][31mxxx",
}


@pytest.mark.parametrize("line", BAD)
def test_a_call_that_goes_wrong_is_a_reason_and_the_others_go_on(rule, line):
    found = rule(f"def score(prompt, response):\n    if response == 'bad':\n        {line}\n    return len(response)")
    first, bad, last = scores(found, "a", "bad", "four")
    assert (first, last) == (1.0, 4.0)
    assert bad.startswith(BAD[line])
    assert len(bad) < 310


def test_a_call_that_hangs_is_ended_with_all_that_it_started(rule, tmp_path):
    found = rule(
        f"""
        import subprocess, time
        def score(prompt, response):
            if response == "bad":
                child = subprocess.Popen(["sleep", "60"])
                open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
                time.sleep(60)
            return 1
        """,
        timeout_s=0.5,
    )
    assert scores(found, "a", "bad", "b", "c") == [1.0, "it took longer than timeout_s: 0.5", 1.0, 1.0]
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_loop_that_never_lets_go_is_ended_too(rule):
    found = rule("def score(prompt, response):\n    while response == 'bad': pass\n    return 1", timeout_s=0.5)
    assert scores(found, "bad", "a") == ["it took longer than timeout_s: 0.5", 1.0]


def test_a_call_that_eats_memory_meets_the_limit(rule):
    found = rule(
        "def score(prompt, response): return len(bytearray(1 << 32 if response == 'bad' else 1))", memory_mib=512
    )
    assert scores(found, "bad", "a") == ["it raised MemoryError: no reason given", 1.0]


def test_what_it_prints_is_no_answer(rule):
    found = rule(
        """
        import os, subprocess, sys
        print("importing")
        def score(prompt, response):
            print('{"id": 1, "value": 99}')
            os.write(1, b'{"id": 1, "value": 99}\\n')
            print("loud", file=sys.stderr)
            subprocess.run(["echo", '{"id": 1, "value": 99}'])
            assert sys.stdin.read() == ""
            return 2
        """
    )
    assert scores(found, "a", "b") == [2.0, 2.0]


def test_a_response_may_hold_anything_that_text_can(rule):
    texts = ["", "\n", '"}\n{"id": 2}', "\u2028 né \U0001f600 \x00", "x" * 300_000]
    found = rule("def score(prompt, response): return len(response)")
    assert scores(found, *texts) == [float(len(text)) for text in texts]


def test_variables_that_look_like_secrets_are_not_there(rule, monkeypatch):
    secrets = {
        "HF_TOKEN": "a", "OPENAI_API_KEY": "b", "AWS_SECRET_ACCESS_KEY": "c", "DB_PASSWORD": "d",
        "HTTPS_PROXY": "http://user:pass@proxy:1",
    }  # fmt: skip
    for name, value in (secrets | {"HARMLESS": "http://proxy:1", "PYTHONPATH": "/elsewhere"}).items():
        monkeypatch.setenv(name, value)
    found = rule(
        f"""
        import os, sys
        def score(prompt, response):
            assert "/elsewhere" not in sys.path
            return sum(name in os.environ for name in {[*secrets]!r}) + 10 * ("HARMLESS" in os.environ)
        """
    )
    assert scores(found, "a") == [10.0]


def test_there_are_no_more_processes_than_cores_and_none_stays(rule, monkeypatch):
    monkeypatch.setattr(rule_process, "_cores", lambda: 2)
    found = rule("import os, time\ndef score(prompt, response): time.sleep(0.02); return os.getpid()")
    processes = RuleProcesses(found)
    pids = {int(pid) for pid in processes.score([RuleQuestion(str(n), TURNS, "a") for n in range(12)])}
    assert len(pids) == 2
    assert {int(pid) for pid in processes.score([RuleQuestion("x", TURNS, "a")])} <= pids
    processes.close()
    assert all(gone(pid) for pid in pids)


def test_files_beside_it_may_be_imported(rule, tmp_path):
    (tmp_path / "beside.py").write_text("BONUS = 3")
    assert scores(rule("from beside import BONUS\ndef score(prompt, response): return BONUS"), "a") == [3.0]


WRONG = {
    "def other(prompt, response): return 1": "it has no such function: score",
    "score = 3": "it has a int, which is no function: score",
    "def score(response): return 1": "it cannot be called as score(prompt, response): too many positional arguments",
    "def score(prompt, response, more): return 1": "it cannot be called as score(prompt, response): missing a required",
    "async def score(prompt, response): return 1": "score is async; expected a plain function",
    "import not_there": "importing it ends in ModuleNotFoundError: No module named 'not_there'",
    "def score(prompt, response) return 1": "importing it ends in SyntaxError: ",
    "raise SystemExit": "importing it ends in SystemExit: no reason given",
    "import os; os._exit(1)": "importing it ends the process with exit code 1",
}


@pytest.mark.parametrize("source", WRONG)
def test_a_rule_that_cannot_be_used_is_one_error_before_anything_is_done(rule, source):
    with pytest.raises(ConfigError) as failure:
        check_rule(rule(source))
    assert str(failure.value).startswith(f"the rule rules.py:score cannot be used: {WRONG[source]}")


def test_an_import_that_never_ends_is_one_error(rule, monkeypatch):
    monkeypatch.setattr(rule_process, "_START_SECONDS", 0.5)
    with pytest.raises(ConfigError, match=r"importing it takes longer than 0\.5 s"):
        check_rule(rule("while True: pass"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.py:score cannot be read: No such file or directory"):
        find_rule(f"{tmp_path}/none.py:score", timeout_s=1, memory_mib=None)


def test_the_code_that_runs_is_the_code_that_was_hashed(rule):
    found = rule("def score(prompt, response): return 1")
    Path(found.path).write_text("def score(prompt, response): return 2")
    with pytest.raises(ConfigError, match="the file changed since the run began"):
        scores(found, "a")


def test_the_identity_is_of_the_files_bytes_and_the_functions_name_and_not_of_the_path(rule, tmp_path):
    source = "def score(prompt, response): return 1\nother = score"
    one = rule(source).identity
    (tmp_path / "moved.py").write_text(source)
    assert find_rule(f"{tmp_path}/moved.py:score", timeout_s=1, memory_mib=None).identity == one
    assert rule(source, name="other").identity.fingerprint != one.fingerprint
    assert rule(source + " ").identity.fingerprint != one.fingerprint
    assert str(tmp_path) not in json.dumps(one.facts())


def test_user_code_never_runs_in_this_process(rule):
    check_rule(rule("import os; os.environ['RULE_WAS_HERE'] = '1'\ndef score(prompt, response): return 1"))
    assert "RULE_WAS_HERE" not in os.environ


def gone(pid, seconds=10.0):
    """Whether a process ends; one that only waits for its parent counts."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False
