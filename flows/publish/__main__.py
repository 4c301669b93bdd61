"""`python -m flows.publish RUN --repo org/name`: a finished run becomes a version on the Hub, or nothing does."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from flows.publish.config import PublishConfig
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import problems_in_words
from transforms.errors import ConfigError, CurationError
from transforms.versions.semver import BUMPS

if TYPE_CHECKING:  # the imports behind it take seconds, and --help needs none of them
    from flows.publish.export import Export
    from flows.publish.release import Decision, Publication


def main() -> int:
    """Parse, publish, print."""
    config, dry = parse(sys.argv[1:])
    console = Console(soft_wrap=True)
    if dry:
        dry_run(console, config)
        return 0
    if config.token_block is None:  # said before Prefect starts
        from flows.hub.token import required_token

        required_token(env=config.token_env)
    from flows.runtime.temporary_server import while_server_starts

    with while_server_starts():
        from flows.publish.flow import publish
    print_publication(console, publish(config))
    return 0


def parse(argv: list[str]) -> tuple[PublishConfig, bool]:
    """The configuration of a command line, and whether it is a dry run.

    Raises:
        ConfigError: a value that does not fit, by the name of its flag.
    """
    parser = argparse.ArgumentParser(prog="python -m flows.publish", description=__doc__)
    parser.add_argument("run", help=PublishConfig.model_fields["run"].description)
    for name, field in PublishConfig.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        options: dict[str, Any] = {"help": field.description, "default": argparse.SUPPRESS}
        if name == "public":
            parser.add_argument(flag, action="store_true", **options)
        elif name != "run":
            choices: Any = ("auto", *BUMPS) if name == "bump" else None
            metavar = None if choices else name.rsplit("_", 1)[-1].upper()
            parser.add_argument(flag, required=name == "repo", choices=choices, metavar=metavar, **options)
    parser.add_argument("--dry-run", action="store_true", help="list files, sizes and the version; change nothing")
    given = vars(parser.parse_args(argv))
    dry = given.pop("dry_run")
    try:
        return PublishConfig(**given), dry
    except ValidationError as error:
        said = problems_in_words(error, lambda at: ".".join(f"--{part}".replace("_", "-") for part in at), found=False)
        raise ConfigError(said) from error


def dry_run(console: Console, config: PublishConfig) -> None:
    """Print what would be uploaded, and as which version; without the Hub, what this machine knows of it."""
    from flows.hub.patience import Patience
    from flows.hub.repository import Hub
    from flows.hub.token import hub_token
    from flows.publish.export import export_run, staging
    from flows.publish.release import decide

    with staging(config.run) as folder:
        export = export_run(config.run, folder, config.repo)
        _print_files(console, export)
        token = hub_token(env=config.token_env, block=config.token_block)
        hub = Hub(config.repo, token=token, patience=Patience(attempts=1, timeout=20))
        try:
            state = hub.state()
        except CurationError as error:
            console.print(f"tag          not known: {error}", markup=False, highlight=False)
        else:
            there = "is there" if state else f"would be made, {'public' if config.public else 'private'}"
            console.print(f"repository   {config.repo} {there}", highlight=False)
            _print_decision(console, decide(config, export, state, hub, token))
    console.print("Dry run: nothing was sent.", style="bold")


def print_publication(console: Console, made: "Publication") -> None:
    """What is on the Hub now, and how to load it."""
    if made.unchanged:
        newest = "" if made.newest == made.tag else f" (the newest version is {made.newest})"
        console.print(f"Nothing to publish: this is {made.tag} of {made.repo} already{newest}.", style="bold green")
    else:
        console.print(f"{made.repo} {made.tag}: {made.files} files, {_size(made.bytes)}, read back and compared")
        for reason in made.why:
            console.print(f"changed      {reason}", highlight=False)
    console.print(f"commit       {made.commit}   version {made.version}", highlight=False)
    console.print(f"page         {made.url}", highlight=False)
    load = f'datasets.load_dataset("{made.repo}", revision="{made.tag}")'
    console.print(f"load         {load}", highlight=False, markup=False)


def _print_files(console: Console, export: "Export") -> None:
    table = Table(title=f"{export.contents.manifest.name}, version {export.contents.manifest.version}")
    table.add_column("file")
    for name in ("rows", "size"):
        table.add_column(name, justify="right")
    for file in export.files:
        rows = f"{file.rows:,}" if file.path.endswith((".parquet", ".jsonl")) else ""
        table.add_row(file.path, rows, _size((export.folder / file.path).stat().st_size))
    console.print(table)
    console.print(f"in all       {len(export.files)} files, {_size(export.bytes)}", highlight=False)


def _print_decision(console: Console, decision: "Decision") -> None:
    from flows.publish.release import too_small

    if decision.tagged:
        console.print(f"tag          none: this is {', '.join(decision.tagged)} already", highlight=False)
        return
    console.print(f"tag          {decision.tag}" + (" (its commit is there)" if decision.commit else ""))
    if decision.change:
        console.print(f"changed      since {decision.last}: {'; '.join(decision.change.why)}", highlight=False)
    if bump := too_small(decision):
        console.print(f"warning      this is a {bump} change, and {decision.tag} does not say so", style="yellow")


def _size(count: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"


if __name__ == "__main__":
    prepare_process()
    run_command(main)
