"""`python -m flows.audit`: what does truncating this data keep of its order, what does it save, how sure is that?"""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from flows.recipe.command_line import load_recipe
from flows.recipe.curation import Recipe
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import CONFIGS
from transforms.audit.advice import values_in_words
from transforms.errors import ConfigError
from transforms.records.audit import Audit, AuditSettings


def main() -> int:
    """Parse, audit, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.audit",
        usage="python -m flows.audit [RECIPE] [--pairs N] [--n N] [--curve-pairs N] [--curve-tokens K] "
        "[--value-pairs N] [--position-pairs N] [--out DIR] [--any.key VALUE …]",
        description=__doc__,
        epilog="RECIPE is a YAML file as for flows.curate, the starter by default. Every key of it is a flag too, e.g. "
        "--sources, --reward.model, --budget.tokens.",
    )
    for name, field in AuditSettings.model_fields.items():
        default = "" if field.default is None else f" Default: {field.default}."
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"{field.description}{default}")
    parser.add_argument("--out", type=Path, help="Folder for audit.json and audit.html; runs/NAME-audit by default.")
    argv = sys.argv[1:]
    # Not argparse's: it would take the value of an unknown flag for the recipe.
    file = [argv.pop(0)] if argv and not argv[0].startswith("-") else []
    arguments, rest = parser.parse_known_args(argv)
    recipe = load_recipe([*file, *rest], default=CONFIGS / "starter.yaml", program="python -m flows.audit")
    if recipe.policy.engine == "none" or recipe.reward is None:
        message = "an audit samples and scores: the recipe needs policy.engine other than none, and reward.model"
        raise ConfigError(message)
    settings = _settings({name: getattr(arguments, name) for name in AuditSettings.model_fields})
    folder = arguments.out or Path("runs") / f"{recipe.name}-audit"
    start = time.monotonic()
    audit = _run(recipe, folder, settings)
    print_audit(Console(soft_wrap=True), audit, folder, seconds=time.monotonic() - start)
    return 0


def _settings(given: Mapping[str, int | None]) -> AuditSettings:
    """What the flags say; those left out have their defaults.

    Raises:
        ConfigError: a number that is too small; all of them are named.
    """
    try:
        return AuditSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = [
            f"--{str(problem['loc'][0]).replace('_', '-')} {problem['input']}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise ConfigError("; ".join(problems)) from error


def _run(recipe: Recipe, folder: Path, settings: AuditSettings) -> Audit:
    from flows.runtime.temporary_server import while_server_starts

    with while_server_starts():
        from flows.audit.flow import audit
    return audit(recipe, folder, settings)


def print_audit(console: Console, audit: Audit, folder: Path, *, seconds: float) -> None:
    """Advice first, then the numbers it rests on."""
    for number, sentence in enumerate(audit.advice):
        console.print(sentence, style="bold" if number == 0 else None, highlight=False, markup=False)
    table = Table(title=f"{audit.name}: {audit.audited:,} of {audit.pairs:,} pairs audited", title_justify="left")
    table.add_column("cut")
    for name in ("consistency with the label", "with the reward model", "tokens saved"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    # Not red: no verdict says that a cut hurts.
    colours = {"supported": "green", "undecided": "yellow", "unsupported": "magenta"}
    for method in audit.methods:
        rates = [f"{r.value:.1%} [{r.low:.1%}, {r.high:.1%}]" for r in (method.consistency, method.by_reward)]
        colour = colours[method.verdict]
        table.add_row(method.name, *rates, f"{method.tokens_saved:.1%}", f"[{colour}]{method.verdict}[/]")
    console.print(table)
    agrees = audit.reward_agrees
    looked = [f"ΔQ(k) on {audit.curve_pairs:,} pairs, k up to {audit.settings.curve_tokens:,}"]
    looked += [f"values of {audit.value_pairs:,} pairs"] if audit.value_pairs else []
    looked += [f"positions of {audit.position_pairs:,} pairs"] if audit.position_pairs else []
    console.print(
        f"rests on     {audit.audited:,} pairs of {audit.prompts:,} prompts, {audit.settings.n} completions a prefix; "
        + ", ".join(looked),
        highlight=False,
    )
    console.print(
        f"before any cut the reward model orders {agrees.value:.1%} [{agrees.low:.1%}, {agrees.high:.1%}] of the pairs "
        "as the label does",
        highlight=False,
    )
    if audit.values_agree:
        console.print(f"values       {values_in_words(audit.values_agree)}", highlight=False)
    console.print(
        f"spent        {audit.completions:,} completions, {audit.tokens_generated:,} tokens, {seconds:.0f} s",
        highlight=False,
    )
    console.print(f"report       {folder / 'audit.html'}   numbers {folder / 'audit.json'}", highlight=False)


if __name__ == "__main__":
    prepare_process()
    sys.argv[0] = "python -m flows.audit"
    run_command(main)
