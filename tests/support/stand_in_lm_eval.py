"""A program that answers as the Python of an environment with lm_eval does, for tests; what it does is in its tasks.

`write_stand_in` writes it as an executable. Run as `PROGRAM -m lm_eval …` it prints bars and lines as lm_eval 0.4.13
does, and writes `OUTPUT/MODEL/results_TIME.json` (and samples) where that does. Tasks with a meaning: `unknown`,
`crashes`, `killed`, `silent` (no results file), `twice`, `sleeps`, `says_token`, `othercommit`.
"""

import json
import sys
from pathlib import Path
from typing import Final

VERSIONS: Final = {
    "python": "3.12.1", "lm_eval": "0.4.13", "accelerate": "1.15.0", "datasets": "5.2.0", "evaluate": "0.4.6",
    "tokenizers": "0.23.3", "torch": "2.13.0", "transformers": "5.24.0",
}  # fmt: skip

_PROGRAM: Final = """#!{python} -I
import argparse, json, os, signal, sys, time
from pathlib import Path

VERSIONS = {versions!r}
HERE = Path(__file__).parent
seen = {{name: os.environ.get(name) for name in ("PYTHONPATH", "TQDM_DISABLE", "HF_TOKEN", "PYTHONSAFEPATH")}}
(HERE / "environment.json").write_text(json.dumps(seen))
if sys.argv[1] == "-c":
    {probe}
    sys.exit()
assert sys.argv[1:3] == ["-m", "lm_eval"], sys.argv
with (HERE / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
parser = argparse.ArgumentParser(prog="lm-eval run")
for flag in ("model", "model_args", "tasks", "output_path", "batch_size", "include_path", "num_fewshot", "limit",
             "device", "seed"):
    parser.add_argument("--" + flag)
parser.add_argument("--fewshot_as_multiturn", nargs="?", const="true")
for flag in ("apply_chat_template", "log_samples", "confirm_run_unsafe_code"):
    parser.add_argument("--" + flag, action="store_true")
args = parser.parse_args(sys.argv[3:])
names, model = args.tasks.split(","), json.loads(args.model_args)
err = sys.stderr
print("2026-11-30:20:21:45 INFO     [_cli.run:392] Selected Tasks: " + repr(names), file=err)
if "unknown" in names:
    print("Traceback (most recent call last):", file=err)
    print('    raise ValueError(f"Tasks not found: {{missing}}")', file=err)
    print("ValueError: Tasks not found: unknown", file=err)
    sys.exit(1)
if "sleeps" in names:
    (HERE / "pid").write_text(str(os.getpid()))
    if os.fork() == 0:  # as a data loader that cannot be asked to end
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (HERE / "grandchild").write_text(str(os.getpid()))
    print("\\rRunning loglikelihood requests:   4%|▍         | 1/24 [00:00<00:08,  2.66it/s]", end="", file=err)
    err.flush()
    time.sleep(60)
for done in (0, 1, 24):
    text = f"\\rRunning loglikelihood requests: {{100 * done // 24:3d}}%|███   | {{done}}/24 [00:00<00:08,  2.66it/s]"
    print(text, end="", file=err)
    err.flush()
print(file=err)
print("\\r  0%|          | 0/6 [00:00<?, ?it/s]\\r100%|██████████| 6/6 [00:00<00:00, 1095.93it/s]", file=err)
if "says_token" in names:
    print("Authorization: Bearer " + str(os.environ.get("HF_TOKEN")), file=err)
if "crashes" in names:
    for number in range(30):
        print("line " + str(number), file=err)
    print("           ^^^^^^^~~", file=err)
    print("RuntimeError: \\x1b[31mout of luck, token " + str(os.environ.get("HF_TOKEN")), file=err)
    sys.exit(3)
if "killed" in names:
    os.kill(os.getpid(), signal.SIGKILL)
folder = Path(args.output_path) / model["pretrained"].replace("/", "__")
results = {{
    "results": {{name: {{"name": name, "alias": name, "sample_len": 6, "acc,none": 0.5, "acc_stderr,none": 0.25}}
                for name in names}},
    "group_subtasks": {{}}, "versions": {{name: 1.0 for name in names}},
    "n-shot": {{name: int(args.num_fewshot or 0) for name in names}},
    "higher_is_better": {{name: {{"acc": True}} for name in names}},
    "n-samples": {{name: {{"original": 6, "effective": 6}} for name in names}},
    "config": {{"model": "hf", "model_args": model, "model_sha": "b" * 40 if "othercommit" in names else ""}},
    "lm_eval_version": "0.4.13",
}}
if "says_token" in names:
    results["config"]["oops"] = os.environ.get("HF_TOKEN")
times = ["2026-11-30T20-22-04.838240", "2026-11-30T20-22-05.1"]
for time_ in times[: 0 if "silent" in names else 2 if "twice" in names else 1]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"results_{{time_}}.json").write_text(json.dumps(results, indent=2))
    if args.log_samples:
        for name in names:
            (folder / f"samples_{{name}}_{{time_}}.jsonl").write_text("{{}}\\n")
print("|capitals|      1|none  |     0|acc        |↑  |0.5000|±  |0.2500|")
"""


def write_stand_in(
    folder: Path, *, probe: str = "print(json.dumps(VERSIONS))", versions: dict[str, str] = VERSIONS
) -> Path:
    """The program in a folder of its own, where it also writes down how it was called.

    Args:
        folder: made if it is not there.
        probe: what it does when it is asked for versions.
        versions: what it says then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python"
    path.write_text(_PROGRAM.format(python=sys.executable, versions=versions, probe=probe), encoding="utf-8")
    path.chmod(0o755)
    return path


def calls(python: Path) -> list[list[str]]:
    """The arguments of each run so far."""
    path = python.parent / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
