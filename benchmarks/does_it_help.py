"""Does curation help? Pairs that a policy wrote itself and a reward model ordered; judged by what trained models write.

    python benchmarks/does_it_help.py --responses alpacaeval_responses.parquet --out runs/does-it-help

48 minutes on two quiet cores. `--responses` is no part of this repository: a Parquet file with a row a response,
`instruction`, `response` and `win_prob`, a probability that it is good (AlpacaEval: 585 instructions, 43 models).
The instructions are split by a hash of their text into four: those that the policy answers and is trained on; those
that are held out; and those that annotator and judge have learned from, a part each. So the order of a pair is a reward
model's on answers of one policy at one temperature (POET's Instruct setting), which is hard to tell, and nothing that
made or trained a pair has seen what the judge has learned from.

One generation, curated with POET; then `flows.compare` per objective: raw, POET, ratio 0.5 and curated at equal steps,
several seeds. Every trained model answers the held-out instructions, and the judge compares with the start's answers.
Every step is a command, so a killed benchmark goes on where it was. Prints the tables; the win rate among answers that
ended as the start's did (a judge may dislike an end, or the lack of one, more than anything else); and from the spread
between seeds and between prompts the smallest difference that sizes like these could show.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.how_answers_end import alike_table, ended_alike, worth_of_an_end, written
from benchmarks.rounds import by_instruction, command, pairs, reward_model, write
from transforms.report.pictures import bare, new_figure, palette, to_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Instructions that the policy answers, that are held out, and that the annotator learns from; the judge has the others.
PARTS: Final = (144, 72, 185)
OBJECTIVES: Final = {
    "simpo": {"name": "simpo", "settings": {"beta": 2.0, "gamma_beta_ratio": 0.5}},
    "dpo": {"name": "dpo", "settings": {"beta": 0.1}},
}
MEASURES: Final = {"simpo": "mean_log_ratio", "dpo": "log_ratio"}
_POWER: Final = 0.8
_ESTIMATES: Final = 200  # of each variance, at equal chances


def pairs_recipe(arguments: argparse.Namespace, annotator: Path, prompts: Path, run: Path) -> dict[str, Any]:
    """On-policy pairs, by default the best answer that ended against the worst of all, curated with POET."""
    sampled = {"model": arguments.model, "dtype": "auto", "max_concurrency": 96}
    return {
        "name": "does-it-help",
        "generate": {
            "prompts": [{"kind": "prompts", "path": str(prompts)}],
            "policies": [{**sampled, "n": arguments.n, "temperature": 0.8, "max_new_tokens": arguments.max_new_tokens}],
            "annotators": [{"kind": "reward", "model": str(annotator), "dtype": "auto"}],
            "pairing": {"strategy": "best_worst", "unfinished": arguments.unfinished},
            "repeats": 0,
        },
        "truncate": {"method": "poet"},
        "policy": sampled,
        "sampling": {"n": 6, "first": 2, "step": 2, "max_new_tokens": arguments.max_new_tokens, "seed": 0},
        "reward": {"model": str(annotator), "dtype": "auto"},
        "consistency": {"threshold": arguments.threshold, "delta": 0.1},
        "output": {"dir": str(run), "test_size": arguments.test_size, "overwrite": True},
    }


def comparison_recipe(
    arguments: argparse.Namespace, objective: str, training: Path, judge: Path, held_out: Path
) -> dict[str, Any]:
    """All variants and seeds of an objective."""
    return {
        "name": f"does-it-help-{objective}",
        "training": str(training),
        "variants": ["raw", "poet", 0.5, "curated"],
        "seeds": arguments.seeds,
        "budgets": ["steps"],
        "measure": MEASURES[objective],
        "answers": {
            "prompts": [{"kind": "prompts", "path": str(held_out)}],
            "policy": {
                "engine": arguments.engine,
                "n": arguments.answers,
                "temperature": 0.7,
                "max_new_tokens": arguments.max_new_tokens,
                "dtype": "auto",
                "max_concurrency": 96,
            },
            "judge": {"kind": "reward", "model": str(judge), "dtype": "auto"},
        },
        "output": {"dir": str(arguments.out / f"compare-{objective}"), "overwrite": True},
    }


def training_recipe(arguments: argparse.Namespace, objective: str, run: Path) -> dict[str, Any]:
    """A few steps of LoRA, at a rate at which so few show."""
    return {
        "name": f"does-it-help-{objective}",
        "dataset": {"path": str(run)},
        "model": {"model": arguments.model},
        "objective": OBJECTIVES[objective],
        "optimisation": {
            "learning_rate": arguments.learning_rate,
            "schedule": "cosine",
            "warmup": 0.1,
            "steps": arguments.steps,
            "pairs_per_step": arguments.pairs_per_step,
            "seed": 0,
        },
        "memory": {"batch_tokens": 4096, "dtype": "auto"},
        "lora": {"rank": 16, "alpha": 32},
        "output": {"dir": str(arguments.out / f"{objective}-training"), "overwrite": True},
    }


def interval(mean: Mapping[str, float | None] | None, *, signed: bool = False) -> str:
    """A rate or a difference of rates in percent, with its interval."""
    if mean is None:
        return "–"
    number = "{:+.1f}" if signed else "{:.1f}"
    found = [mean[key] for key in ("value", "low", "high")]
    value, low, high = ("–" if one is None else number.format(100 * one) for one in found)
    return f"{value} [{low}, {high}]"


def table(objective: str, found: dict[str, Any]) -> str:
    """What a comparison found, as Markdown: by answers and by held-out pairs, and what failed."""
    heads = ("", "trainings", "win rate over the start", "minus raw", "at equal length", "minus raw", "characters")
    lines = ["| " + " | ".join([*heads, "ended", "pairs ordered", "minus raw"]) + " |", "| --- |" + " ---: |" * 9]
    answers = {one["variant"]: one for one in (found["answers"] or {"standings": []})["standings"]}
    for paired in found["standings"]:
        one = answers.get(paired["variant"])
        cells = [f"{objective}, {paired['variant']}", str(paired["trainings"])]
        if one is None:
            cells += ["–"] * 6
        else:
            difference = one["difference"] or {}
            cells += [
                interval(one["rate"]),
                interval(difference.get("rate"), signed=True),
                interval(one["at_equal_length"]),
                interval(difference.get("at_equal_length"), signed=True),
                f"{one['characters']:.0f}",
                f"{one['ended']:.0%}",
            ]
        cells += [interval(paired["accuracy"]), interval((paired["difference"] or {}).get("accuracy"), signed=True)]
        lines.append("| " + " | ".join(cells) + " |")
    failed = [(one, one["error"] or one["answers_error"]) for one in found["trainings"]]
    lines += [f"\n{one['variant']}, seed {one['seed']}: {error}" for one, error in failed if error]
    return "\n".join(lines)


def picture(found: Mapping[str, dict[str, Any]]) -> "Figure":
    """Win rates over the start, and their differences from raw, with 95 % intervals; a row a variant and objective.

    Args:
        found: objective → comparison.json.
    """
    standings: list[tuple[str, dict[str, Any]]] = [
        (f"{objective}, {one['variant']}", one)
        for objective, comparison in found.items()
        for one in (comparison["answers"] or {"standings": []})["standings"]
    ]
    rates: list[Mapping[str, float | None] | None] = [one["rate"] for _, one in standings]
    differences: list[Mapping[str, float | None] | None] = [
        (one["difference"] or {}).get("rate") for _, one in standings
    ]
    figure = new_figure(1 + 0.34 * len(standings))
    left, right = figure.subplots(1, 2, sharey=True)
    panels = (
        (left, rates, 50.0, "win rate over the start, %"),
        (right, differences, 0.0, "difference from raw, points"),
    )
    for axes, means, nothing, name in panels:
        axes.axvline(nothing, color=palette()["soft"], linewidth=0.8)
        for place, mean in enumerate(means):
            if mean is None:
                continue
            ends = [100 * end for key in ("low", "high") if (end := mean[key]) is not None]
            if len(ends) > 1:
                axes.plot(ends, [place, place], color=palette()["chosen"], linewidth=1.4)
            if (value := mean["value"]) is not None:
                axes.plot([100 * value], [place], "o", color=palette()["chosen"], markersize=5)
        axes.set_xlabel(name)
        bare(axes)
        axes.tick_params(length=0)
        axes.spines["bottom"].set_visible(True)
    left.set_yticks(range(len(standings)), [name for name, _ in standings])
    left.set_ylim(len(standings) - 0.5, -0.5)
    return figure


def outcomes(folder: Path) -> dict[str, dict[int, dict[str, float]]]:
    """Variant → seed → prompt → mean share of comparisons that the trained model won."""
    comparison = json.loads((folder / "comparison.json").read_text())
    found: dict[str, dict[int, dict[str, float]]] = {}
    for one in comparison["trainings"]:
        path = folder / "judged" / f"{Path(one['folder']).name}.answers.json"
        if not path.is_file():
            continue  # the table says what failed
        judged = json.loads(path.read_text())
        wins: dict[str, list[float]] = {}
        for prompt, won in zip(judged["prompts"], judged["wins"], strict=True):
            wins.setdefault(prompt, []).append(won)
        by_prompt = {prompt: sum(each) / len(each) for prompt, each in wins.items()}
        found.setdefault(one["variant"], {})[one["seed"]] = by_prompt
    return found


def spread(raw: dict[int, dict[str, float]], other: dict[int, dict[str, float]]) -> tuple[float, float, float] | None:
    """Variances of a difference of win rates: of a prompt's mean, of a seed's mean, and of what is left of a cell.

    None where fewer than two seeds have two prompts in common.

    A two-way layout without repetition: cell (prompt, seed) is the variant's minus raw's share of wins. Mean squares
    are taken apart into components (Searle, Casella and McCulloch, Variance Components, 1992, ch. 4), none below 0.
    """
    seeds = sorted(set(raw) & set(other))
    prompts = sorted(set.intersection(*(set(side[seed]) for side in (raw, other) for seed in seeds))) if seeds else []
    cells = [[other[seed][prompt] - raw[seed][prompt] for seed in seeds] for prompt in prompts]
    p, s = len(prompts), len(seeds)
    if min(p, s) < 2:
        return None
    mean = sum(map(sum, cells)) / (p * s)
    by_prompt = [sum(row) / s for row in cells]
    by_seed = [sum(row[at] for row in cells) / p for at in range(s)]
    left = [(cells[i][j] - by_prompt[i] - by_seed[j] + mean) ** 2 for i in range(p) for j in range(s)]
    residual = sum(left) / ((p - 1) * (s - 1))
    of_prompts = max(0.0, sum((one - mean) ** 2 for one in by_prompt) / (p - 1) - residual / s)
    of_seeds = max(0.0, sum((one - mean) ** 2 for one in by_seed) / (s - 1) - residual / p)
    return of_prompts, of_seeds, residual


def least_shown(variances: tuple[float, float, float], prompts: int, seeds: int) -> float:
    """The smallest true difference of win rates that flows.compare shows in four of five such experiments.

    Its interval is known (transforms/statistics/two_way.py: a Student's t for what seeds and one for what prompts add,
    and (G + 2)⁻² between prompts). What is not is how wide it comes out: with three seeds their variance is estimated
    from two degrees of freedom. So the chance is the mean over estimates, each variance times χ²(n − 1) / (n − 1).

    Args:
        variances: of prompts, seeds and the rest, as `spread` has them.
        prompts: that all models answer.
        seeds: trainings of each variant.
    """
    from scipy import optimize, stats

    of_prompts, of_seeds, residual = variances
    by_seed = of_seeds / seeds + residual / (prompts * seeds)
    by_prompt = of_prompts / prompts
    error = math.sqrt(by_seed + by_prompt)
    quantiles = (np.arange(_ESTIMATES) + 0.5) / _ESTIMATES
    estimates = [stats.chi2.ppf(quantiles, count - 1) / (count - 1) for count in (seeds, prompts)]
    t_s, t_g = (float(stats.t.ppf(0.975, count - 1)) for count in (seeds, prompts))
    half = np.sqrt(
        t_s**2 * by_seed * estimates[0][:, None] + t_g**2 * (by_prompt * estimates[1][None, :] + (prompts + 2) ** -2)
    )

    if error == 0:
        return float(half.max())  # every experiment finds the difference itself, and all have this width

    def missed(difference: float) -> float:
        return float(stats.norm.cdf((difference - half) / error).mean()) - _POWER

    return float(optimize.brentq(missed, 0.0, float(half.max()) + 10 * error, xtol=1e-6))


def power(folder: Path, sizes: Sequence[tuple[int, int]]) -> list[str]:
    """The smallest difference by prompts and seeds, the variances pooled over variants; Markdown."""
    found = outcomes(folder)
    raw = found.pop("raw", {})
    each = [one for other in found.values() if (one := spread(raw, other)) is not None]
    if not each:
        return ["no two seeds of raw and another variant answered two prompts: nothing is known of the spread"]
    of_prompts, of_seeds, residual = (sum(one[at] for one in each) / len(each) for at in range(3))
    pooled = (of_prompts, of_seeds, residual)
    said = ", ".join(f"{name} {value:.4f}" for name, value in zip(("prompts", "seeds", "rest"), pooled, strict=True))
    lines = [f"variances of a difference from raw: {said}", "", "| held-out prompts | seeds | shown from |"]
    lines.append("| ---: | ---: | ---: |")
    sizes = list(dict.fromkeys(sizes))
    lines += [f"| {p:,} | {s} | {100 * least_shown(pooled, p, s):.1f} points |" for p, s in sizes]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=Path, required=True, help="parquet: instruction, response, win_prob")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="smollm2", help="the start, and what the reward models' heads stand on")
    parser.add_argument("--prompts", type=int, default=PARTS[0], help=f"that the policy answers, {PARTS[0]} at most")
    parser.add_argument("--held-out", type=int, default=PARTS[1], help=f"prompts to judge by, {PARTS[1]} at most")
    parser.add_argument("--pairs", type=int, default=1, help="pairs an instruction that the reward models learn from")
    parser.add_argument("--n", type=int, default=4, help="responses a prompt")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--unfinished", default="rejected_only", help="as pairing.unfinished")
    parser.add_argument("--threshold", type=float, default=0.5, help="as consistency.threshold")
    parser.add_argument("--test-size", type=float, default=0.12)
    parser.add_argument("--engine", default="auto", help="that trained models answer with; vLLM starts anew for each")
    parser.add_argument("--answers", type=int, default=2, help="of each model to a held-out prompt")
    parser.add_argument("--objectives", nargs="+", choices=list(OBJECTIVES), default=list(OBJECTIVES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--pairs-per-step", type=int, default=12)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of LoRA")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error(f"--seeds {arguments.seeds}: an interval over trainings takes 2 or more")
    for name, most, least in (("prompts", PARTS[0], 1), ("held-out", PARTS[1], 2)):
        asked = getattr(arguments, name.replace("-", "_"))
        if not least <= asked <= most:
            parser.error(f"--{name} {asked}: {least} to {most}, so that the others have enough")
    arguments.out = arguments.out.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = by_instruction(arguments.responses)
    names = list(found)
    ends = [sum(PARTS[:at]) for at in range(len(PARTS) + 1)]
    if len(names) <= ends[-1]:
        parser.error(f"{len(names)} instructions, of which the judge would have none: {ends[-1]} are for others")
    parts = [names[start:end] for start, end in zip(ends, [*ends[1:], len(names)], strict=True)]
    prompts = write(arguments.out / "prompts.jsonl", [{"prompt": one} for one in parts[0][: arguments.prompts]])
    held_out = write(arguments.out / "held-out.jsonl", [{"prompt": one} for one in parts[1][: arguments.held_out]])
    models = {}
    for name, instructions in (("annotator", parts[2]), ("judge", parts[3])):
        mine = [pair for one in instructions for pair in pairs(one, found[one], arguments.pairs, longest=900)]
        data = write(arguments.out / f"{name}-pairs.jsonl", mine)
        models[name], seconds, accuracy = reward_model(name, data, arguments.out, arguments.model)
        right = "–" if accuracy is None else f"{accuracy:.1%}"
        print(f"{name}: {len(mine)} pairs, {right} of held-out pairs right, {seconds:.0f} s", flush=True)
    run = arguments.out / "run"
    seconds = command("flows.curate", pairs_recipe(arguments, models["annotator"], prompts, run), arguments.out)
    print(f"pairs: {seconds:.0f} s; {run / 'report.html'}", flush=True)
    comparisons: dict[str, dict[str, Any]] = {}
    for objective in arguments.objectives:
        training = arguments.out / f"{objective}-training.yaml"
        training.write_text(yaml.safe_dump(training_recipe(arguments, objective, run), sort_keys=False))
        compared = comparison_recipe(arguments, objective, training, models["judge"], held_out)
        seconds = command("flows.compare", compared, arguments.out, codes=(0, 1))  # 1: a training failed, see the table
        folder = arguments.out / f"compare-{objective}"
        print(f"{objective}: {seconds:.0f} s; {folder / 'comparison.html'}\n")
        comparisons[objective] = json.loads((folder / "comparison.json").read_text())
        print(table(objective, comparisons[objective]) + "\n")
        wrote = written(folder)
        print("\n".join([worth_of_an_end(wrote), "", *alike_table(ended_alike(wrote))]) + "\n")
        sizes = [(p, s) for p in (arguments.held_out, 300, 805, 3000) for s in (arguments.seeds, 10)]
        print("\n".join(power(folder, sizes)) + "\n", flush=True)
    path = arguments.out / "does-it-help.png"
    path.write_bytes(to_png(picture(comparisons)))
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
