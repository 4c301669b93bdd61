"""Do chosen responses lose likelihood, and by which objective?

    python benchmarks/displacement.py --run runs/starter --out runs/displacement

Trains the same policy on the same pairs in the same steps by DPO with a weak β, DPO, RAO, SimPO and AlphaPO, through
`python -m flows.train`, and measures on pairs that no step sees how the log-probs of chosen and rejected responses
moved since the start: likelihood displacement is the chosen ones' falling while the margin grows (AlphaPO figure 2, RAO
figure 2). Prints the table, draws both against the steps. RAO needs a run with rewards.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "DPO, β 0.01": {"name": "dpo", "settings": {"beta": 0.01}},
    "DPO, β 0.1": {"name": "dpo", "settings": {"beta": 0.1}},
    "RAO, log Z₀ 50": {"name": "rao", "settings": {"beta": 0.1, "log_z0": 50.0}},
    "RAO, Z₀ 50": {"name": "rao", "settings": {"beta": 0.1, "log_z0": 3.912}},  # log 50, as algorithm 1 has it
    "RAO, log Z₀ 0": {"name": "rao", "settings": {"beta": 0.1, "log_z0": 0.0}},
    "AlphaPO, α −0.5": {"name": "alphapo", "settings": {"alpha": -0.5, "beta": 2.5, "gamma_beta_ratio": 0.5}},
    "SimPO (α 0)": {"name": "simpo", "settings": {"beta": 2.5, "gamma_beta_ratio": 0.5}},
    "AlphaPO, α 0.25": {"name": "alphapo", "settings": {"alpha": 0.25, "beta": 2.5, "gamma_beta_ratio": 0.5}},
    "AlphaPO, α 1": {"name": "alphapo", "settings": {"alpha": 1.0, "beta": 2.5, "gamma_beta_ratio": 0.5}},
}
CHOSEN, REJECTED = "eval_mean_logps/chosen", "eval_mean_logps/rejected"
COLOURS: Final = ("#c0392b", "#e08e79", "#2e7d5b", "#56a882", "#9fd4b8", "#1a365d", "#2b6cb0", "#63a4dd", "#a9c9e8")


def train(name: str, objective: Mapping[str, Any], arguments: argparse.Namespace, number: int) -> list[dict[str, Any]]:
    """One training; its measurements on the held-out pairs, the first before any step."""
    folder = arguments.out / f"{number}-{objective['name']}"
    optimisation = {
        "learning_rate": arguments.learning_rate,
        "schedule": "constant",
        "warmup": 0.0,
        "epochs": None,
        "steps": arguments.steps,
        "pairs_per_step": arguments.pairs_per_step,
    }
    dataset = {"path": str(arguments.run), "kept": "full", "test_size": arguments.test_size}
    if arguments.max_length:
        dataset["max_length"] = arguments.max_length
    parts = {"dataset": dataset, "objective": objective, "optimisation": optimisation}
    flags = [word for key, part in parts.items() for word in (f"--{key}", json.dumps(part))]
    flags += ["--name", f"displacement-{number}", "--eval_steps", str(arguments.eval_steps)]
    flags += ["--output.dir", str(folder), "--output.overwrite", "true"]
    print(f"{name} …", flush=True)
    subprocess.run([sys.executable, "-m", "flows.train", *flags], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if CHOSEN in line]


def moved(measured: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """How far mean log-probs a token are from where they began; nats."""
    chosen, rejected = ([line[key] - measured[0][key] for line in measured] for key in (CHOSEN, REJECTED))
    margin = [one - other for one, other in zip(chosen, rejected, strict=True)]
    return {"step": [line["step"] for line in measured], "chosen": chosen, "rejected": rejected, "margin": margin}


def table(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """After the last step."""
    lines = [
        f"{'nats a token, after the last step':<36}{'chosen':>9}{'rejected':>10}{'margin':>9}{'lowest chosen':>15}"
    ]
    for name, one in found.items():
        last = "".join(
            f"{one[key][-1]:>+{width}.3f}" for key, width in (("chosen", 9), ("rejected", 10), ("margin", 9))
        )
        lines.append(f"{name:<36}{last}{min(one['chosen']):>+15.3f}")
    return "\n".join(lines)


def draw(found: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Chosen log-probs and margins against steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    titles = (("chosen", "chosen responses"), ("margin", "margin, chosen − rejected"))
    for side, (key, title) in zip(axes, titles, strict=True):
        for (name, one), colour in zip(found.items(), COLOURS, strict=False):
            side.plot(one["step"], one[key], marker="o", markersize=3, color=colour, label=name)
        side.axhline(0, color="#7a8599", linewidth=0.8, linestyle=":")
        side.set_title(title, loc="left", fontsize=10)
        side.set_xlabel("steps")
        side.set_ylabel("log-prob against the start, nats a token")
        for edge in ("top", "right"):
            side.spines[edge].set_visible(False)
    axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a finished curated run, with rewards for RAO")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--pairs-per-step", type=int, default=8)
    parser.add_argument("--eval-steps", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="of the starter recipe's LoRA")
    parser.add_argument("--test-size", type=float, default=0.2, help="of the prompts")
    parser.add_argument("--max-length", type=int, help="of prompt and response; longer responses are cut")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    arguments = parser.parse_args()
    arguments.run, arguments.out = arguments.run.resolve(), arguments.out.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {}
    for number, name in enumerate(arguments.variants):
        found[name] = moved(train(name, VARIANTS[name], arguments, number))
        (arguments.out / "displacement.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    draw(found, arguments.out / "displacement.png")
    print(table(found))


if __name__ == "__main__":
    main()
