"""`python -m flows.decode RUN --policy MODEL`: what decoding by shallow signals gains, at which distance from the
reference (mixing, length control, KL threshold)."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from flows.decode.config import DecodeConfig
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import problems_in_words
from transforms.errors import ConfigError

if TYPE_CHECKING:  # the imports behind it take seconds, and --help needs none of them
    from transforms.records.decoding import Decodings


def main() -> int:
    """Parse, decode, print."""
    config = parse(sys.argv[1:])
    from flows.decode.plan import plan_decoding  # without Prefect and without a model

    found = plan_decoding(config).finished
    unchanged = found is not None
    if found is None:
        from flows.runtime.temporary_server import while_server_starts

        with while_server_starts():
            from flows.decode.flow import decode
        found = decode(config)
    print_decodings(Console(soft_wrap=True), found, config.out, unchanged=unchanged)
    return 0


def parse(argv: list[str]) -> DecodeConfig:
    """The configuration of a command line.

    Raises:
        ConfigError: a value that does not fit, by the name of its flag.
    """
    parser = argparse.ArgumentParser(prog="python -m flows.decode", description=__doc__)
    parser.add_argument("run", help="folder of a curated run; its test prompts are answered")
    for name, field in DecodeConfig.model_fields.items():
        if name in ("run", "trust_remote_code"):
            continue
        many = name in ("mix", "length", "kl")
        default = "" if field.default is None or field.is_required() else f" (default {_words(field.default)})"
        if name == "out":
            default = " (default RUN-decode)"
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            nargs="*" if many else None,
            metavar="VALUE" if many else name.rsplit("_", 1)[-1].upper(),
            required=name == "policy",
            default=argparse.SUPPRESS,
            help=f"{(field.description or name.replace('_', ' ')).rstrip('.')}{default}".replace("%", "%%"),
        )
    parser.add_argument("--trust-remote-code", action="store_true", help="run Python code that comes with a model")
    given = vars(parser.parse_args(argv))
    run = Path(given["run"])
    try:
        return DecodeConfig(**{"out": run.with_name(f"{run.name}-decode")} | given)
    except ValidationError as error:
        said = problems_in_words(error, lambda at: f"--{str(at[0]).replace('_', '-') if at else 'mix, --length, --kl'}")
        raise ConfigError(said) from error


def print_decodings(console: Console, found: "Decodings", folder: Path, *, unchanged: bool) -> None:
    """A line a rule, the best one marked; distances in nats a response."""
    from transforms.evaluation.decodings import best

    if unchanged:
        console.print(f"Nothing changed since {found.finished_at}: no model was loaded.", style="bold green")
    table = Table(title=f"{found.name}: {found.prompts:,} prompts by {found.policy.name}", title_justify="left")
    table.add_column("rule", no_wrap=True)
    for name in ("reward [95 % interval]", "log(π/π_ref)", "tokens", "finished"):
        table.add_column(name, justify="right", no_wrap=True)
    top = best(found.rules)
    for rule in found.rules:
        reward = f"{rule.reward.value:+.2f} \\[{rule.reward.low:+.2f}, {rule.reward.high:+.2f}]"
        numbers = f"{rule.log_ratio.value:.2f}", f"{rule.tokens:.0f}", f"{rule.finished:.0%}"
        table.add_row(f"{rule.kind} {rule.name}", reward, *numbers, style="bold" if rule is top else None)
    console.print(table)
    if found.prompts_too_long:
        console.print(f"left out     {found.prompts_too_long:,} prompts without room for a response")
    if found.unscored:
        console.print(f"unscored     {found.unscored:,} responses that the reward model could not read")
    console.print(f"report       {folder / 'decode.html'}   responses {folder / 'decode.parquet'}", highlight=False)


def _words(default: Any) -> str:
    return " ".join(f"{value:g}" for value in default) if isinstance(default, tuple) else str(default)


if __name__ == "__main__":
    prepare_process()
    run_command(main)
