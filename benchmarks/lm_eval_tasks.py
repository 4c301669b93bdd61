"""Does a section `tasks` report what lm-evaluation-harness measures, and does that agree with our own reading?

    python3 -m venv lm-eval && lm-eval/bin/pip install "lm_eval[hf]"
    python benchmarks/lm_eval_tasks.py --python lm-eval/bin/python --out runs/lm-eval-tasks

Writes the two tasks of docs/how-to/evaluate-on-tasks.md with a dozen documents each, runs `python -m flows.evaluate` on
SmolLM2-135M-Instruct without a network, twice (the second must find nothing changed), and once with another chat
template. Then the log-prob of every choice is read once more by this project's own reader, from the chat template and
the tokenizer on: each must be lm_eval's but for rounding, and `acc` and `acc_norm` of them the numbers in
evaluation.json. Exit code 1 where something differs. Two minutes on two quiet cores.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from flows.evaluate.tasks import RESULTS, SAMPLES  # noqa: E402
from flows.models.log_probs import find_causal, open_frozen  # noqa: E402
from trainers.reading.examples import Example  # noqa: E402
from transforms.chat.template import ChatTemplate  # noqa: E402
from transforms.engines.models import STARTER  # noqa: E402
from transforms.engines.stored_tokenizer import chat_tokenizer  # noqa: E402

ROUNDING: Final = 2e-3  # nats of a whole choice, float32, in batches of different shapes and two releases of torch
CHOICES: Final = (
    ("What is the capital of France?", ["Paris", "Lyon", "Berlin", "Madrid"], 0),
    ("Which animal barks?", ["a cat", "a dog", "a fish", "a bird"], 1),
    ("How many legs has a spider?", ["four", "six", "eight", "ten"], 2),
    ("What colour is the sky on a clear day?", ["green", "red", "black", "blue"], 3),
    ("Which planet do people live on?", ["Earth", "Mars", "Venus", "Saturn"], 0),
    ("What do bees make?", ["milk", "honey", "bread", "wine"], 1),
    ("What falls from clouds?", ["sand", "stone", "rain", "milk"], 2),
    ("What do you write with?", ["a spoon", "a shoe", "a hat", "a pen"], 3),
    ("Which season is the coldest?", ["winter", "summer", "spring", "autumn"], 0),
    ("How many days has a week?", ["five", "seven", "nine", "twelve"], 1),
    ("What is frozen water called?", ["steam", "mud", "ice", "dust"], 2),
    ("Which of these can fly?", ["a horse", "a whale", "a snake", "an eagle"], 3),
)
TASKS: Final[dict[str, dict[str, Any]]] = {
    "capitals": {
        "output_type": "multiple_choice",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    "sums": {
        "output_type": "generate_until",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 16, "do_sample": False},
        "filter_list": [
            {
                "name": "last-number",
                "filter": [
                    {"function": "regex", "regex_pattern": r"(\d+)", "group_select": -1},
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    },
}
OWN_TEMPLATE: Final = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def write_tasks(folder: Path) -> None:
    """YAML and documents."""
    folder.mkdir(parents=True, exist_ok=True)
    documents: dict[str, list[dict[str, Any]]] = {
        "capitals": [{"question": q, "choices": choices, "answer": right} for q, choices, right in CHOICES],
        "sums": [
            {"question": f"What is {a} + {b}? Answer with the number alone.", "answer": str(a + b)}
            for a, b in zip(range(1, 13), range(12, 0, -1), strict=True)
        ],
    }
    for name, task in TASKS.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(one) + "\n" for one in documents[name]), encoding="utf-8")
        whole = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data.absolute())}},
            "test_split": "test",
            "doc_to_text": "{{question}}",
            "metadata": {"version": 1.0},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(whole | task), encoding="utf-8")


def evaluate(python: str, out: Path, name: str, **policy: str) -> tuple[dict[str, Any], str, float]:
    """evaluation.json of a run of the command, what it printed and how long it took."""
    config = {
        "name": name,
        "policy": {"model": STARTER, "dtype": "float32", **policy},
        "tasks": {
            "names": list(TASKS),
            "include_path": str(out / "tasks"),
            "python": python,
            "batch_size": 4,
            "log_samples": True,
        },
        "output": {"dir": str(out / name)},
    }
    path = out / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "flows.evaluate", str(path)],
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"flows.evaluate failed with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads((out / name / "evaluation.json").read_text(encoding="utf-8"))
    return found, done.stdout, time.monotonic() - start


def lm_evals_log_probs(folder: Path) -> list[list[float]]:
    """Of each document's choices, as lm_eval wrote them down."""
    [path] = (folder / SAMPLES).glob("samples_capitals_*.jsonl")
    rows = sorted(map(json.loads, path.read_text(encoding="utf-8").splitlines()), key=lambda row: row["doc_id"])
    return [[float(log_prob) for log_prob, _greedy in row["filtered_resps"]] for row in rows]


def our_log_probs(template: str | None) -> list[list[float]]:
    """The same by this project's reader: Σ log π(token | prompt and the choice so far), nats."""
    causal = find_causal(STARTER, dtype="float32")
    tokenizer = chat_tokenizer(causal.model.location, None, trust_remote_code=False, template=template)
    chat = ChatTemplate(tokenizer, text=template)
    examples = []
    for question, choices, _right in CHOICES:
        prompt = chat.one([{"role": "user", "content": question}], generation=True)
        # A prompt that ends in a space gives it to the choice: tokens begin with their space.
        start = tokenizer(prompt.rstrip(" "), add_special_tokens=False)["input_ids"]
        whole = [tokenizer(prompt + choice, add_special_tokens=False)["input_ids"] for choice in choices]
        responses = tuple(np.asarray(ids[len(start) :], np.int32) for ids in whole)
        examples.append(Example(question, np.asarray(start, np.int32), responses))
    model = open_frozen(causal, 2048)
    found = model.token_log_probs(examples, lambda _tokens: None)
    return [[float(tokens.sum(dtype=np.float64)) for tokens in one] for one in found]


def compare(name: str, evaluation: dict[str, Any], folder: Path, template: str | None) -> bool:
    """Print both, and whether they agree."""
    theirs, ours = np.array(lm_evals_log_probs(folder)), np.array(our_log_probs(template))
    lengths = np.array([[len(choice) for choice in choices] for _, choices, _ in CHOICES])
    right = np.array([answer for _, _, answer in CHOICES])
    mine = {
        "acc": float((ours.argmax(axis=1) == right).mean()),
        "acc_norm": float(((ours / lengths).argmax(axis=1) == right).mean()),
    }
    scores = {(one["task"], one["metric"]): one for one in evaluation["tasks"]["scores"]}
    worst = float(np.abs(theirs - ours).max())
    print(f"{name}: log-probs of {ours.size} choices differ by {worst:.1e} nats at most")
    good = worst <= ROUNDING
    for metric, value in mine.items():
        said = scores["capitals", metric]["value"]
        print(f"{name}: {metric:<12} evaluation.json {said:.4f}, our own reading {value:.4f}")
        good &= said == value
    sums = scores["sums", "exact_match"]
    print(f"{name}: exact_match  evaluation.json {sums['value']:.4f} of {sums['n']} sums, filter {sums['filter']}")
    raw = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    return good and sums["value"] == raw["results"]["sums"]["exact_match,last-number"]


def main() -> int:
    """Write, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="of an environment with lm_eval")
    parser.add_argument("--out", type=Path, default=Path("runs/lm-eval-tasks"), help="made anew")
    arguments = parser.parse_args()
    if arguments.python is None:
        print(__doc__)
        return 2
    out = arguments.out.absolute()
    shutil.rmtree(out, ignore_errors=True)
    write_tasks(out / "tasks")
    first, _, seconds = evaluate(arguments.python, out, "own-template")
    tasks = first["tasks"]
    print(f"lm_eval {tasks['lm_eval']}, {seconds:.0f} s in all, {tasks['seconds']:.0f} s of them in lm_eval")
    again, printed, seconds = evaluate(arguments.python, out, "own-template")
    unchanged = again == first and printed.startswith("Nothing changed")
    print(f"again: {'nothing changed' if unchanged else 'IT WAS RUN AGAIN'}, {seconds:.0f} s")
    good = compare("own template", first, out / "own-template", None) and unchanged
    (out / "plain.jinja").write_text(OWN_TEMPLATE, encoding="utf-8")
    other, _, _ = evaluate(arguments.python, out, "other-template", chat_template=str(out / "plain.jinja"))
    good &= compare("another template", other, out / "other-template", OWN_TEMPLATE)
    print("equal" if good else "DIFFERENT")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
