"""The command line of `python -m flows.refresh`: for a cron of one's own, or to see what a schedule would do."""

import argparse
import sys

from rich.console import Console

from flows.recipe.command_line import load_recipe
from flows.refresh.config import publish_target
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import CONFIGS

PROGRAM = "python -m flows.refresh"


def main() -> int:
    """Parse, refresh, print."""
    argv = sys.argv[1:]
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [RECIPE] [--repo ORG/NAME] [--any.key VALUE …]",
        description="Curate a dataset anew if its sources, models or recipe changed, and publish it.",
        epilog="RECIPE is a YAML file as for flows.curate, the starter by default. Every key of it is a flag too.",
    )
    parser.add_argument("--repo", metavar="ORG/NAME", help="Hub repository; without it only output.dir is refreshed")
    parser.add_argument("--public", action="store_true", help="make a new repository public")
    parser.add_argument("--token-env", metavar="NAME", help="variable that holds the Hub's token (default HF_TOKEN)")
    parser.add_argument("--token-block", metavar="NAME", help="Prefect Secret block that holds it, instead")
    # Not argparse's: it would take the value of an unknown flag for the recipe.
    file = [argv.pop(0)] if argv and not argv[0].startswith("-") else []
    arguments, rest = parser.parse_known_args(argv)
    recipe = load_recipe([*file, *rest], default=CONFIGS / "starter.yaml", program=PROGRAM)
    if arguments.repo is not None:  # before Prefect is started to run something that cannot work
        publish_target(recipe, arguments.repo, arguments.public, arguments.token_env, arguments.token_block)
    from flows.runtime.temporary_server import while_server_starts

    with while_server_starts():
        from flows.refresh.flow import refresh
    state = refresh(
        recipe,
        repo=arguments.repo,
        public=arguments.public,
        token_env=arguments.token_env,
        token_block=arguments.token_block,
        return_state=True,
    )
    state.result()  # raises what it failed of
    Console(soft_wrap=True).print(state.message, highlight=False)
    return 0


if __name__ == "__main__":
    prepare_process()
    run_command(main)
