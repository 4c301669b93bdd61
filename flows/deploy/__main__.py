"""`python -m flows.deploy`: a dataset that refreshes itself, on this machine or on a work pool."""

import argparse
import os
import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from rich.console import Console

from flows.publish.config import PublishConfig
from flows.recipe.command_line import load_recipe
from flows.recipe.curation import Recipe
from flows.refresh.config import Attempts, publish_target
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import CONFIGS
from transforms.errors import ConfigError

if TYPE_CHECKING:
    from flows.deploy.deployments import Deployment

PROGRAM: Final = "python -m flows.deploy"
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def main() -> int:
    """Parse, check everything, register; then serve, unless a work pool does."""
    parser = _parser()
    argv = sys.argv[1:]
    # Not argparse's: it would take the value of an unknown flag for the recipe.
    file = [argv.pop(0)] if argv and not argv[0].startswith("-") else []
    arguments, rest = parser.parse_known_args(argv)
    recipe = load_recipe([*file, *rest], default=CONFIGS / "starter.yaml", program=PROGRAM)
    target, attempts = _target(arguments, recipe), _attempts(arguments)
    every = _duration("--every", arguments.every)
    _require_server()
    from flows.deploy.deployments import Deployment, deployed, served

    deployment = Deployment(
        name=arguments.name or recipe.name,
        recipe=recipe,
        target=target,
        attempts=attempts,
        cron=arguments.cron,
        every=every,
        timezone=arguments.timezone,
        notify=arguments.notify,
    )
    if arguments.pool:
        _say(deployment, f"registered on the work pool {arguments.pool}", deployed(deployment, arguments.pool))
    else:
        served(deployment, started=lambda url: _say(deployment, "served here, until Ctrl-C", url))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [RECIPE] [--repo ORG/NAME] [--cron CRON | --every 6h] [--pool POOL] [--any.key VALUE …]",
        description=__doc__,
        epilog="RECIPE is a YAML file as for flows.curate, the starter by default. Every key of it is a flag too. "
        "One refresh of a deployment runs at a time; one that is due meanwhile is cancelled.",
    )
    parser.add_argument("--repo", metavar="ORG/NAME", help="Hub repository; without it only output.dir is refreshed")
    parser.add_argument("--public", action="store_true", help="make a new repository public")
    parser.add_argument("--token-env", metavar="NAME", help="variable of the refresh that holds the Hub's token")
    parser.add_argument("--token-block", metavar="NAME", help="Prefect Secret block that holds it, instead")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--cron", help='when, as "0 3 * * *"; without a schedule it runs when somebody asks')
    when.add_argument("--every", metavar="TIME", help="or how often: 90m, 6h, 1d")
    parser.add_argument("--timezone", metavar="ZONE", help="of --cron, as Europe/Berlin (default UTC)")
    parser.add_argument("--pool", help="work pool whose workers run it; by default this process does")
    parser.add_argument("--name", help="of the deployment; the recipe's by default")
    parser.add_argument("--timeout", metavar="TIME", help="longest that an attempt may take: 30m, 12h")
    parser.add_argument("--retries", type=int, help="further attempts when something outside was down (default 3)")
    parser.add_argument(
        "--notify",
        metavar="TYPE/NAME",
        help="notification block that is told of failed refreshes, as slack-webhook/NAME or custom-webhook/NAME",
    )
    return parser


def _target(arguments: argparse.Namespace, recipe: Recipe) -> PublishConfig | None:
    if arguments.repo is None:
        return None
    return publish_target(recipe, arguments.repo, arguments.public, arguments.token_env, arguments.token_block)


def _attempts(arguments: argparse.Namespace) -> Attempts:
    given = {"retries": arguments.retries, "timeout_seconds": None}
    if timeout := _duration("--timeout", arguments.timeout):
        given["timeout_seconds"] = timeout.total_seconds()
    if arguments.retries is not None and not 0 <= arguments.retries <= 50:
        message = f"--retries {arguments.retries}: expected 0 to 50"
        raise ConfigError(message)
    return Attempts.model_validate({name: value for name, value in given.items() if value is not None})


def _duration(flag: str, text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None or int(match[1]) == 0:
        message = f"{flag} {text}: expected a number and s, m, h or d, as 90m, 6h or 1d"
        raise ConfigError(message)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _require_server() -> None:
    # A profile of Prefect's may name one too; reading it costs Prefect's import, which comes next anyway.
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        message = (
            "a schedule needs a Prefect server that stays: start one (prefect server start) and name it, e.g. "
            "export PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
        raise ConfigError(message)


def _say(deployment: "Deployment", done: str, url: str | None) -> None:
    console = Console(soft_wrap=True)
    console.print(f"deployment   refresh/{deployment.name}, {done}", highlight=False)
    console.print(f"runs         {deployment.when}", highlight=False)
    if deployment.notify:
        console.print(f"failures     go to {deployment.notify}", highlight=False)
    if url:
        console.print(f"shown at     {url}", highlight=False)


if __name__ == "__main__":
    # What the refreshes say belongs in this terminal, where nobody else shows it.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO")
    prepare_process()
    run_command(main)
