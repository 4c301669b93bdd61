"""`python -m flows.decode RUN --policy MODEL`, or `--prompts FILE` without a run: what decoding by shallow signals
gains, at which distance from the reference (mixing, length control, KL threshold)."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from flows.decode.config import FLAGS, DecodeConfig
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import CONFIGS, problems_in_words, read_config
from transforms.errors import ConfigError

if TYPE_CHECKING:  # the imports behind it take seconds, and --help needs none of them
    from transforms.records.decoding import Decodings


_RULES: Final = ("mix", "length", "kl")
_YAML: Final = (".yaml", ".yml")
_METAVARS: Final = {
    "run": "RUN",
    "policy": "MODEL",
    "reference": "MODEL",
    "reward": "MODEL",
    "out": "FOLDER",
    "ledger": "FOLDER",
    "dtype": "{auto,bfloat16,float32}",
    "chat_template": "FILE",
    "chat_template_kwargs": "JSON",
    "mix": "A",
    "length": "T",
    "kl": "B",
    "prompts": "FILE",
    "max_prompts": "N",
    "samples": "N",
    "max_tokens": "N",
    "seed": "N",
    "batch": "N",
}


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
    """The configuration of a command line: flags, with a run before them, or with a YAML file of the same keys.

    Raises:
        ConfigError: what is missing, or a value that does not fit, by the name of its flag or key.
    """
    given = vars(_parser().parse_args(argv))
    first = given.pop("first", None)
    for name in ("prompts", "chat_template_kwargs"):
        if name in given:
            given[name] = _from_json(name, given[name])
    if first is not None and Path(first).suffix in _YAML and not Path(first).is_dir():
        return read_config(DecodeConfig, Path(first), given, shipped_in=CONFIGS / "decode")
    if first is not None and "run" in given:
        message = f"two runs: {first} and that of --run, {given['run']}; name one of them"
        raise ConfigError(message)
    try:
        named = {} if first is None else {"run": Path(first)}
        return DecodeConfig.model_validate(named | given, context=FLAGS)
    except ValidationError as error:
        raise ConfigError(problems_in_words(error, _flag)) from error


def _parser() -> argparse.ArgumentParser:
    usage = "%(prog)s [RUN | FILE.yaml] --policy MODEL [--KEY VALUE …]"
    parser = argparse.ArgumentParser(prog="python -m flows.decode", usage=usage, description=__doc__)
    parser.add_argument(
        "first",
        nargs="?",
        metavar="RUN",
        default=argparse.SUPPRESS,
        help="folder of a curated run, whose test prompts are answered, and which lends chat template, reference and "
        "reward model; or a YAML file of the keys below. Without a run, prompts, reference, reward and out are to be "
        "named.",
    )
    for name, field in DecodeConfig.model_fields.items():
        if name == "trust_remote_code":
            continue
        many = name in _RULES
        default = (
            "" if field.default in (None, [], {}) or field.is_required() else f" (default {_words(field.default)})"
        )
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            nargs="*" if many else "+" if name == "prompts" else None,
            metavar=_METAVARS.get(name, name.rsplit("_", 1)[-1].upper()),
            default=argparse.SUPPRESS,
            # RUN is said once; on top of a file it has to be a flag.
            help=f"{(field.description or name.replace('_', ' ')).rstrip('.')}{default}".replace("%", "%%")
            if name != "run"
            else "That of a file, or another one in its place",
        )
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        default=argparse.SUPPRESS,
        help="run Python code that comes with a model",
    )
    return parser


def _from_json(name: str, typed: str | list[str]) -> Any:
    """JSON of a flag: sources among paths of prompts, or the arguments of a chat template."""
    if isinstance(typed, list):
        read = [_from_json(name, word) if word.lstrip().startswith(("{", "[")) else word for word in typed]
        return [one for entry in read for one in (entry if isinstance(entry, list) else [entry])]
    try:
        return json.loads(typed)
    except ValueError as error:
        message = f"--{name.replace('_', '-')} is no JSON: {error} (found {typed!r})"
        raise ConfigError(message) from error


def _flag(place: tuple[int | str, ...]) -> str:
    """`--mix`, or the key of a source: `--prompts.0.prompts.weight`."""
    named = place if place[:1] == ("prompts",) else place[:1]
    return f"--{'.'.join(map(str, named)).replace('_', '-')}" if named else ""


def print_decodings(console: Console, found: "Decodings", folder: Path, *, unchanged: bool) -> None:
    """A line a rule, the best one marked; distances in nats a response."""
    from transforms.evaluation.decodings import best
    from transforms.report.decode_page import prompts_in_words

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
    if found.read is None and found.prompts_too_long:
        console.print(f"left out     {found.prompts_too_long:,} prompts without room for a response")
    if found.read is not None:
        files = ", ".join(f"{source.label} ({source.path})" for source in found.read.sources)
        console.print(f"prompts      of {files}: {prompts_in_words(found)}", markup=False, highlight=False)
        if trained := found.read.trained_on:
            words = f"{trained:,} of the answered prompts are in the training split of {found.name}"
            console.print(f"warning      {words}", markup=False, highlight=False)
    if found.unscored:
        console.print(f"unscored     {found.unscored:,} responses that the reward model could not read")
    console.print(f"report       {folder / 'decode.html'}   responses {folder / 'decode.parquet'}", highlight=False)


def _words(default: Any) -> str:
    return " ".join(f"{value:g}" for value in default) if isinstance(default, tuple) else str(default)


if __name__ == "__main__":
    prepare_process()
    run_command(main)
