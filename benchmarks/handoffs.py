"""Do the chat benchmarks' own tools take what is handed to them, and say the same of their verdicts as is said here?

    python benchmarks/handoffs.py --out OUT --alpaca-eval ENV/bin/python --fastchat ENV/bin/python --arena-hard CHECKOUT

Generates answers to a handful of questions with hostile texts by the shipped SmolLM2 (three minutes on two cores),
exports them in every layout, and runs each tool's own loading and checking on the files, in the Python that has it:
alpaca_eval 0.6.6, fschat 0.2.36 (with `anthropic<0.30` and `openai`), and a checkout of lmarena/arena-hard-auto, which
is on no index. No judge is asked: verdicts are made up in the tools' own layout, by the export's answers, and what the
tools' code makes of them is held against `flows.evaluate`. A tool that is not named is left out, and said so.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
HOSTILE: Final = 'Name\na\r\nriver\u2028and\u2029a\x85hill "q" \\ </script> 👩🏽‍🚀 \u202e {x}'
ALPACA: Final = [
    {"dataset": "koala", "instruction": "Name a river.", "output": "The Rhine.", "generator": "ref"},
    {"dataset": "koala", "instruction": HOSTILE, "output": "The Po.", "generator": "ref"},
    {"dataset": "vicuna", "instruction": "What is 12 times 12?", "output": "144", "generator": "ref"},
]
ARENA: Final = [
    {"uid": "a1", "category": "hard_prompt", "subcategory": "coding", "prompt": "Write a list in Markdown, in bold."},
    {"uid": "a2", "category": "hard_prompt", "subcategory": "coding", "prompt": HOSTILE},
    {"uid": "a3", "category": "creative_writing", "subcategory": "creative_writing", "prompt": "Write a haiku."},
]
MT_BENCH: Final = [
    {"question_id": 81, "category": "writing", "turns": ["Name a river.", "Which sea does it reach?"]},
    {"question_id": 82, "category": "humanities", "turns": [HOSTILE, "Why?"]},
]
MODEL: Final = "smollm2-here"
JUDGE: Final = "gpt-4.1"

# Each prints JSON; what it calls is the tool's own.
IN_ALPACA_EVAL: Final = """
import json, logging, sys
from alpaca_eval import annotators, main
heard = []
handler = logging.Handler()
handler.emit = lambda record: heard.append(record.getMessage())
logging.getLogger().addHandler(handler)
class MadeUp(annotators.PairwiseAnnotator):
    def __init__(self, *_, **__): self.seen = []
    input_keys = ["instruction"]
    def __call__(self, to_annotate, **_):
        rows = to_annotate.to_dict("records")
        return [row | {"preference": 2.0 if "144" in row["output_1"] else 1.0} for row in rows]
table, rows = main.evaluate(model_outputs=sys.argv[1], reference_outputs=sys.argv[2], Annotator=MadeUp,
    precomputed_leaderboard=None, output_path=None, is_return_instead_of_print=True, fn_metric="get_winrate",
    sort_by="win_rate", is_cache_leaderboard=False)
print(json.dumps({"name": list(table.index), "rows": rows, "rate": float(table["win_rate"].iloc[0]),
    "warnings": [one for one in heard if "merge" in one or "duplicates" in one]}))
"""
IN_FASTCHAT: Final = """
import json, sys
from types import SimpleNamespace
from fastchat.llm_judge import common, show_result
questions = common.load_questions(sys.argv[1], None, None)
answers = common.load_model_answers(sys.argv[2])
common.check_data(questions, answers, {}, list(answers), {})
assert common.get_model_list(sys.argv[2]) == list(answers)
import pandas as pd
means = {}
pd.DataFrame.sort_values = lambda self, *_, **__: means.setdefault(len(means), self["score"].tolist()) and self
show_result.display_result_single(SimpleNamespace(input_file=sys.argv[3], bench_name="mt_bench", model_list=None))
print(json.dumps({"answers": answers, "means": means}))
"""
IN_ARENA_HARD: Final = """
import json, re, sys
sys.path.insert(0, sys.argv[1])
from show_result import load_judgments
from utils.add_markdown_info import count_markdown_elements, remove_pattern
from utils.completion import load_model_answers, load_questions
answers = load_model_answers("data/arena-hard-v2.0/model_answer")
battles = load_judgments(sys.argv[2:], "arena-hard-v2.0")
texts = [row["messages"][-1]["content"]["answer"] for row in next(iter(answers.values())).values()]
fenced = re.compile("```([^`]*)```")
print(json.dumps({"answers": answers, "rates": battles.groupby("category").scores.mean().to_dict(),
    "counts": [count_markdown_elements(remove_pattern(text, fenced), suffix="") for text in texts]}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for runs, exports and verdicts")
    parser.add_argument("--alpaca-eval", type=Path, metavar="PYTHON", help="that has alpaca_eval")
    parser.add_argument("--fastchat", type=Path, metavar="PYTHON", help="that has fschat")
    parser.add_argument("--arena-hard", type=Path, metavar="CHECKOUT", help="of lmarena/arena-hard-auto")
    parser.add_argument("--arena-python", type=Path, default=Path(sys.executable), help="that has pandas and torch")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    (out / "rule.py").write_text("def score(prompt, response):\n    return float(len(response))\n")
    if arguments.alpaca_eval:
        say("AlpacaEval", alpaca_eval(out, arguments.alpaca_eval))
    if arguments.fastchat:
        say("MT-Bench", mt_bench(out, arguments.fastchat))
    if arguments.arena_hard:
        say("Arena-Hard", arena_hard(out, arguments.arena_hard.resolve(), arguments.arena_python))
    left = [name for name in ("alpaca_eval", "fastchat", "arena_hard") if getattr(arguments, name) is None]
    if left:
        say("left out", ", ".join(left))


def alpaca_eval(out: Path, python: Path) -> str:
    """Its `evaluate` reads, joins and counts every row, without a warning."""
    benchmark = out / "alpaca_eval.json"
    benchmark.write_text(json.dumps(ALPACA[::-1]))
    run = answered(out, "alpaca", benchmark)
    export(run, "alpaca_eval", benchmark)
    path = run / "exports/alpaca_eval/model_outputs.json"
    found = asked(python, IN_ALPACA_EVAL, path, benchmark)
    written = {row["instruction"]: row["output"] for row in json.loads(path.read_text())}
    check("a name", found["name"], [MODEL])
    check("no warning", found["warnings"], [])
    check("outputs", {row["instruction"]: row["output_2"] for row in found["rows"]}, written)
    check("instructions", sorted(written), sorted(row["instruction"] for row in ALPACA))
    check("win rate", round(found["rate"], 6), round(100 / 3, 6))
    return f"{len(found['rows'])} rows read, joined and counted by alpaca_eval"


def mt_bench(out: Path, python: Path) -> str:
    """Its `check_data` passes, and `show_result` has the means that an evaluation has."""
    question = lines(out / "mt_question.jsonl", MT_BENCH)
    first = answered(out, "mt-first", question)
    export(first, "mt_bench_second_turns", question, "--out", out / "second-turns")
    second = answered(out, "mt-second", out / "second-turns/mt_bench_second_turns/prompts.jsonl")
    export(first, "mt_bench", question, "--second", second)
    folder = first / "exports/mt_bench/data/mt_bench/model_answer"
    rows = [
        {"question_id": number, "model": MODEL, "judge": ["gpt-4", "single-v1"], "user_prompt": HOSTILE,
         "judgment": HOSTILE, "score": score, "turn": turn, "tstamp": 1.0}
        for number, turn, score in ((81, 1, 9), (82, 1, 4.5), (81, 2, -1), (82, 2, 3), (82, 2, 5))
    ]  # fmt: skip
    ratings = lines(out / "gpt-4_single.jsonl", rows)
    found = asked(python, IN_FASTCHAT, question, folder, ratings)
    [row] = [found["answers"][MODEL][str(MT_BENCH[0]["question_id"])]]
    check("turns", [len(row["choices"][0]["turns"]), row["model_id"]], [2, MODEL])
    mine = evaluated(out, "mt", {"kind": "mt_bench", "path": str(ratings), "questions": str(question)})
    check("means", [score["value"] for score in mine["scores"]], [means[0] for means in found["means"].values()])
    return (
        f"{len(found['answers'][MODEL])} answers pass check_data; means {[score['value'] for score in mine['scores']]}"
    )


def arena_hard(out: Path, checkout: Path, python: Path) -> str:
    """Its loaders read the answers, its battles have the rates that an evaluation has, its counts are the export's."""
    from transforms.exports.arena_hard import markdown_counts

    question = lines(out / "arena_question.jsonl", ARENA)
    run = answered(out, "arena", question)
    export(run, "arena_hard", question)
    data = run / "exports/arena_hard/data/arena-hard-v2.0"
    scores = {"a1": ("A>>B", "A>B"), "a2": ("B>A", None), "a3": ("A=B", "A>>B")}
    rows = [
        {"uid": one["uid"], "category": one["category"], "judge": JUDGE, "model": MODEL, "baseline": "ref",
         "games": [{"score": score, "judgment": {"answer": HOSTILE}, "prompt": []} for score in scores[one["uid"]]]}
        for one in ARENA
    ]  # fmt: skip
    (data / "model_judgment" / JUDGE).mkdir(parents=True)
    verdicts = lines(data / "model_judgment" / JUDGE / f"{MODEL}.jsonl", rows)
    found = asked(python, IN_ARENA_HARD, checkout, JUDGE, cwd=data.parent.parent)
    answers = found["answers"][MODEL]
    check("uids", sorted(answers), ["a1", "a2", "a3"])
    texts = [row["messages"][-1]["content"]["answer"] for row in answers.values()]
    check(
        "prompts", sorted(row["messages"][0]["content"] for row in answers.values()), sorted(q["prompt"] for q in ARENA)
    )
    check("markdown counts", [markdown_counts(text) for text in texts], found["counts"])
    mine = evaluated(out, "arena", {"kind": "arena_hard", "path": str(verdicts), "questions": str(question)})
    check("rates", {score["of"]: score["value"] for score in mine["scores"]}, found["rates"])
    return f"{len(answers)} answers read; rates {found['rates']}"


def answered(out: Path, name: str, prompts: Path) -> Path:
    """A finished generation of SmolLM2, a response a prompt."""
    recipe = {
        "name": name,
        "prompts": [{"kind": "prompts", "path": str(prompts)}],
        "policies": [{"model": "smollm2", "engine": "transformers", "dtype": "float32", "n": 1, "max_new_tokens": 64}],
        "annotators": [{"kind": "rule", "function": f"{out}/rule.py:score"}],
        "repeats": 0,
        "output": {"dir": str(out / name), "overwrite": True},
        "ledger": str(out / "ledger"),
    }
    path = out / f"{name}.yaml"
    path.write_text(json.dumps(recipe))
    command("flows.generate", path)
    return out / name


def export(run: Path, layout: str, benchmark: Path, *more: object) -> None:
    """Write its answers."""
    named = () if layout == "mt_bench_second_turns" else ("--model", MODEL)
    command("flows.export", run, "--to", layout, "--benchmark", benchmark, *named, *more)


def evaluated(out: Path, name: str, annotations: dict[str, Any]) -> dict[str, Any]:
    """What `flows.evaluate` says of a file of verdicts."""
    folder = out / f"{name}-evaluation"
    content = {"name": name, "annotations": [annotations], "output": {"dir": str(folder), "overwrite": True}}
    path = out / f"{name}-evaluation.yaml"
    path.write_text(json.dumps(content))
    command("flows.evaluate", path)
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())["annotations"][0]
    return found


def command(module: str, *words: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])


def asked(python: Path, code: str, *words: object, cwd: Path | None = None) -> dict[str, Any]:
    """What a tool's own code says: the last line that it prints."""
    run = [str(python.absolute()), "-c", code, *map(str, words)]
    done = subprocess.run(run, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-4000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def check(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise SystemExit(f"{what}: found {found!r}, expected {expected!r}")


def say(what: str, text: str) -> None:
    sys.stdout.write(f"{what:<12} {text}\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
