"""Does a policy get better by rounds on its own answers, and does a judge say so that the training data are not by?

    python benchmarks/rounds.py --responses /work/shared/data/alpacaeval_responses.parquet --out runs/rounds-benchmark

`--responses` has a row a response: `instruction`, `response` and `win_prob`, a probability that it is good (those are
AlpacaEval's annotations: 585 instructions × 43 models). The instructions are split by content into three: those that
the policy answers and is trained on; those that are held out; and the rest. The annotator is a reward model that has
learned from responses to the first, the judge one that has learned from responses to the rest: heads on SmolLM2, by
pairs of responses of like length, so that length tells neither of them much. Nothing has learned from held-out ones.

Every step is a command (flows.curate, flows.train, flows.rounds), so a killed benchmark goes on where it was. Defaults
are sized for 40 minutes on two quiet cores: two rounds of SimPO on 256 prompts of four responses. Prints the table.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

LEAST_MARGIN: Final = 0.1  # of win_prob, between the two of a pair that a reward model learns from
LIKE: Final = 0.7  # shorter over longer response of a pair, in characters, at least
LONGEST: Final = 1500  # characters of a response that a reward model learns from


def by_instruction(path: Path) -> dict[str, list[tuple[str, float]]]:
    """Instruction → (response, how good), in the order of hashes of the instructions."""
    import pyarrow.parquet as pq

    from transforms.sources.canonical import content_hash

    rows = pq.read_table(path, columns=["instruction", "response", "win_prob"]).to_pylist()
    found: dict[str, list[tuple[str, float]]] = {}
    for row in rows:
        if row["response"] and row["win_prob"] is not None and row["instruction"].strip():
            found.setdefault(row["instruction"], []).append((row["response"], row["win_prob"]))
    return {key: found[key] for key in sorted(found, key=lambda key: content_hash("rounds benchmark", key))}


def pairs(
    instruction: str, responses: Sequence[tuple[str, float]], most: int, longest: int = LONGEST
) -> list[dict[str, str]]:
    """Pairs of like length whose first is clearly better, each response in one; those of the largest margin first."""
    short = sorted((one for one in responses if len(one[0]) <= longest), key=lambda one: (-one[1], one[0]))
    candidates = sorted(
        (
            (good[1] - bad[1], good[0], bad[0])
            for at, good in enumerate(short)
            for bad in short[at + 1 :]
            if good[1] - bad[1] >= LEAST_MARGIN
            and min(len(good[0]), len(bad[0])) >= LIKE * max(len(good[0]), len(bad[0]))
        ),
        reverse=True,
    )
    used: set[str] = set()
    found: list[dict[str, str]] = []
    for _, chosen, rejected in candidates:
        if len(found) < most and not used & {chosen, rejected}:
            used |= {chosen, rejected}
            found.append({"prompt": instruction, "chosen": chosen, "rejected": rejected})
    return found


def write(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def command(module: str, recipe: dict[str, Any], out: Path, *, codes: Collection[int] = (0,)) -> float:
    """Run a command on a recipe; the seconds that it took. Another exit code than `codes` is an error."""
    path = out / f"{recipe['name']}.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    start = time.monotonic()
    print(f"{module} {recipe['name']} …", flush=True)
    ran = subprocess.run([sys.executable, "-m", module, "--config", str(path)], cwd=ROOT, check=False)
    if ran.returncode not in codes:
        ran.check_returncode()
    return time.monotonic() - start


def reward_model(name: str, data: Path, out: Path, model: str) -> tuple[Path, float, float | None]:
    """A head on the policy that has learned from some pairs: its folder, seconds, accuracy on held-out prompts."""
    run = out / f"{name}-pairs"
    seconds = command(
        "flows.curate",
        {
            "name": f"{name}-pairs",
            "sources": [{"kind": "preference", "path": str(data)}],
            "truncate": {"method": "none", "max_length": 640},
            "policy": {"model": model, "engine": "none"},
            "output": {"dir": str(run), "test_size": 0.15, "overwrite": True},
        },
        out,
    )
    folder = out / name
    seconds += command(
        "flows.train",
        {
            "name": name,
            "kind": "reward",
            "dataset": {"path": str(run)},
            "model": {"model": model},
            "head": {"folds": 5},
            "memory": {"batch_tokens": 4096, "dtype": "auto"},
            "output": {"dir": str(folder), "overwrite": True},
        },
        out,
    )
    after = json.loads((folder / "training.json").read_text())["after"]
    return folder / "model", seconds, after.get("eval_accuracy")


def recipe(
    arguments: argparse.Namespace, annotator: Path, judge: Path, prompts: Path, held_out: Path
) -> dict[str, Any]:
    """The rounds."""
    training: dict[str, Any] = {
        "objective": {"name": "simpo", "settings": {"beta": 2.0, "gamma_beta_ratio": 0.5}},
        "optimisation": {
            "learning_rate": arguments.learning_rate,
            "schedule": "cosine",
            "warmup": 0.1,
            "epochs": arguments.epochs,
            "pairs_per_step": 16,
            "seed": 0,
        },
        "memory": {"batch_tokens": 4096, "dtype": "auto"},
        "lora": {"rank": 16, "alpha": 32},
    }
    return {
        "name": "rounds-benchmark",
        "start": {"model": arguments.model},
        "rounds": arguments.rounds,
        "curate": {
            "generate": {
                "prompts": [{"kind": "prompts", "path": str(prompts)}],
                "policies": [
                    {
                        "n": arguments.n,
                        "temperature": 0.8,
                        "max_new_tokens": arguments.max_new_tokens,
                        "max_concurrency": 128,
                    }
                ],
                "annotators": [{"kind": "reward", "model": str(annotator)}],
                "pairing": {"strategy": "best_worst", "unfinished": arguments.unfinished},
                "repeats": 0,
            },
            "truncate": {"method": "none"},
            "output": {"test_size": 0},
        },
        "train": training,
        "held_out": {
            "prompts": [{"kind": "prompts", "path": str(held_out)}],
            "policy": {"n": arguments.held_out_n},
            "judge": {"model": str(judge)},
        },
        "stop": {"patience": None},
        "output": {"dir": str(arguments.out / "rounds"), "overwrite": True},
    }


def table(found: dict[str, Any]) -> str:
    """rounds.json as Markdown."""

    def share(rate: dict[str, float] | None) -> str:
        return "–" if rate is None else f"{rate['value']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}]"

    def mean(score: dict[str, float] | None) -> str:
        return "–" if score is None else f"{score['mean']:+.3f}"

    heads = ("policy", "pairs", "over the start", "at equal length", "over the one before", "judge", "annotator")
    lines = ["| " + " | ".join([*heads, "finished", "tokens", "s"]) + " |", "| --- |" + " ---: |" * 9]
    rows = [("start", None, found["start_answers"])]
    rows += [(f"round {one['number']}", one, one["answers"]) for one in found["rounds"]]
    for name, one, answers in rows:
        wins = ["", "", "", ""]
        if one is not None:
            over = one["over_start"]
            wins = [f"{one['data']['train']}", share(over["rate"]), share(over["at_equal_length"])]
            wins.append(share(one["over_previous"]["rate"]))
        training = mean(next(iter(answers["annotators"].values()), None))
        last = [f"{answers['finished'] / answers['responses']:.0%}", f"{answers['tokens']:.0f}"]
        last.append("" if one is None else f"{one['seconds']:.0f}")
        lines.append("| " + " | ".join([name, *wins, mean(answers["judge"]), training, *last]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=Path, required=True, help="parquet: instruction, response, win_prob")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="smollm2", help="the start, and what the reward models' heads stand on")
    parser.add_argument("--prompts", type=int, default=256, help="that the policy is trained on")
    parser.add_argument("--held-out", type=int, default=128, help="prompts that the policies are compared on")
    parser.add_argument("--held-out-n", type=int, default=2, help="answers to each of them")
    parser.add_argument("--pairs", type=int, default=6, help="pairs an instruction that the reward models learn from")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--n", type=int, default=4, help="responses a prompt")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--unfinished", default="allow", help="as pairing.unfinished: 128 tokens end few answers")
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="of LoRA")
    parser.add_argument("--epochs", type=float, default=1.0, help="a round")
    arguments = parser.parse_args()
    arguments.out = arguments.out.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = by_instruction(arguments.responses)
    names = list(found)
    last = arguments.prompts + arguments.held_out
    if len(names) <= last:
        parser.error(f"{len(names)} instructions, of which the judge would have none: lower --prompts or --held-out")
    training, held, rest = names[: arguments.prompts], names[arguments.prompts : last], names[last:]
    prompts = write(arguments.out / "prompts.jsonl", [{"prompt": one} for one in training])
    held_out = write(arguments.out / "held-out.jsonl", [{"prompt": one} for one in held])
    models, lines = {}, []
    for name, instructions in (("annotator", training), ("judge", rest)):
        mine = [pair for one in instructions for pair in pairs(one, found[one], arguments.pairs)]
        data = write(arguments.out / f"{name}-pairs.jsonl", mine)
        models[name], seconds, accuracy = reward_model(name, data, arguments.out, arguments.model)
        right = "–" if accuracy is None else f"{accuracy:.1%}"
        lines.append(
            f"{name}: {len(mine)} pairs of {len(instructions)} instructions, {right} of held-out pairs right, "
            f"{seconds:.0f} s"
        )
    seconds = command(
        "flows.rounds", recipe(arguments, models["annotator"], models["judge"], prompts, held_out), arguments.out
    )
    print("\n".join(lines))
    print(f"rounds: {seconds:.0f} s; {arguments.out / 'rounds' / 'report.html'}\n")
    print(table(json.loads((arguments.out / "rounds" / "rounds.json").read_text())))


if __name__ == "__main__":
    main()
