"""`python -m flows.audit`: is truncating this data safe, which way, what does it save, and how sure is that?"""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.cli import CONFIGS, load_recipe, prepare_process, run_command
from flows.config import Recipe
from transforms.audit import Audit
from transforms.errors import ConfigError


def main() -> int:
    """Parse, audit, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.audit",
        usage="python -m flows.audit [RECIPE] [--pairs N] [--n N] [--out DIR] [--any.key VALUE …]",
        description=__doc__,
        epilog="RECIPE is a YAML file as for flows.curate, the starter by default. Every key of it is a flag too, e.g. "
        "--sources, --reward.model, --budget.tokens.",
    )
    parser.add_argument("--pairs", type=int, help="pairs to audit; by default what the budget pays for, or 64")
    parser.add_argument("--n", type=int, default=2, help="completions a prefix (default 2)")
    parser.add_argument("--out", type=Path, help="folder for audit.json and audit.html; runs/NAME-audit by default")
    argv = sys.argv[1:]
    # Not argparse's: it would take the value of an unknown flag for the recipe.
    config = ["--config", argv.pop(0)] if argv and not argv[0].startswith("-") else []
    arguments, rest = parser.parse_known_args(argv)
    recipe = load_recipe([*config, *rest], default=CONFIGS / "starter.yaml", program="python -m flows.audit")
    if recipe.policy.engine == "none" or recipe.reward is None:
        message = "an audit samples and scores: the recipe needs policy.engine other than none, and reward.model"
        raise ConfigError(message)
    if arguments.n < 1 or (arguments.pairs is not None and arguments.pairs < 2):
        message = f"--n {arguments.n} and --pairs {arguments.pairs}: at least 1 completion and 2 pairs are needed"
        raise ConfigError(message)
    folder = arguments.out or Path("runs") / f"{recipe.name}-audit"
    start = time.monotonic()
    audit = _run(recipe, folder, arguments.pairs, arguments.n)
    print_audit(Console(soft_wrap=True), audit, folder, seconds=time.monotonic() - start)
    return 0


def _run(recipe: Recipe, folder: Path, pairs: int | None, n: int) -> Audit:
    from flows.audit_flow import audit
    from flows.temporary_server import keep_server_from_signals

    keep_server_from_signals()
    return audit(recipe, folder, pairs, n)


def print_audit(console: Console, audit: Audit, folder: Path, *, seconds: float) -> None:
    """Advice first, then the numbers it rests on."""
    for number, sentence in enumerate(audit.advice):
        console.print(sentence, style="bold" if number == 0 else None, highlight=False, markup=False)
    table = Table(title=f"{audit.name}: {audit.audited:,} of {audit.pairs:,} pairs audited", title_justify="left")
    table.add_column("cut")
    for name in ("consistency with the label", "with the reward model", "tokens saved"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    colours = {"safe": "green", "unclear": "yellow", "harmful": "red"}
    for method in audit.methods:
        rates = [f"{r.value:.1%} [{r.low:.1%}, {r.high:.1%}]" for r in (method.consistency, method.by_reward)]
        colour = colours[method.verdict]
        table.add_row(method.name, *rates, f"{method.tokens_saved:.1%}", f"[{colour}]{method.verdict}[/]")
    console.print(table)
    agrees = audit.reward_agrees
    console.print(
        f"before any cut the reward model orders {agrees.value:.1%} [{agrees.low:.1%}, {agrees.high:.1%}] of the pairs "
        "as the label does",
        highlight=False,
    )
    console.print(
        f"spent        {audit.completions:,} completions, {audit.tokens_generated:,} tokens, {seconds:.0f} s",
        highlight=False,
    )
    console.print(f"report       {folder / 'audit.html'}   numbers {folder / 'audit.json'}", highlight=False)


if __name__ == "__main__":
    prepare_process()
    sys.argv[0] = "python -m flows.audit"
    run_command(main)
