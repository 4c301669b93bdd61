"""A made benchmark in AlpacaEval's layouts: instructions, gamed baselines and annotations of three models."""

import random
from pathlib import Path
from typing import Any, Final

INSTRUCTIONS: Final = 80
MODELS: Final = ("longer", "shorter", "weak")


def instructions() -> list[dict[str, Any]]:
    """As alpaca_eval.json has them, with the baseline's outputs."""
    dice = random.Random(1)
    return [
        {
            "instruction": f"question {n}",
            "output": "b" * dice.randint(50, 400),
            "generator": "baseline",
            "dataset": "made",
        }
        for n in range(INSTRUCTIONS)
    ]


def difficulty(n: int) -> float:
    return random.Random(1000 + n).gauss(0, 1)


def gamed() -> list[dict[str, Any]]:
    """As df_gamed.csv has them: the baseline made longer, then shorter."""
    rows = []
    for model, shift, seed in (("verbose", -1.0, 2), ("concise", 1.0, 3)):
        dice = random.Random(seed)
        rows += [
            {
                "index": n,
                "preference": min(max(0.5 - 0.2 * shift + dice.gauss(0, 0.25), 0.0), 1.0),
                "std_delta_len": shift + dice.gauss(0, 0.3),
                "instruction_difficulty": difficulty(n),
                "not_gamed_baseline": False,
                "model": model,
            }
            for n in range(INSTRUCTIONS)
        ]
    return rows


def write_gamed(path: Path) -> Path:
    """The gamed baselines as the CSV file that they are."""
    names = list(gamed()[0])
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in gamed())]
    path.write_text("\n".join(lines) + "\n")
    return path


def annotations(model: str) -> list[dict[str, Any]]:
    """As annotations.json has them, in the benchmark's order; one of each model is a failure of the judge."""
    place = MODELS.index(model)
    dice, (factor, skill) = random.Random(10 + place), ((1.6, 0.3), (0.6, -0.1), (1.0, -2.0))[place]
    rows = []
    for n, row in enumerate(instructions()):
        output = "m" * max(1, int(len(row["output"]) * factor * dice.uniform(0.7, 1.3)))
        odds = skill - 0.6 * difficulty(n) + 0.004 * (len(output) - len(row["output"])) + dice.gauss(0, 1)
        rows.append(
            {
                "instruction": row["instruction"],
                "output_1": row["output"],
                "generator_1": "baseline",
                "output_2": output,
                "generator_2": model,
                "annotator": "made",
                "preference": None if n == 7 + place else 1 + 1 / (1 + 2.718281828459045**-odds),
            }
        )
    return rows
