"""`python -m flows.refresh`: a dataset brought up to date, as its schedule does it."""

import logging
from functools import partial
from pathlib import Path
from typing import Final

from prefect import State, flow
from prefect.states import Completed

from flows.curate.flow import run_stages
from flows.recipe.curation import Recipe
from flows.refresh.artifacts import show_refresh
from flows.refresh.attempts import attempted
from flows.refresh.config import Attempts, publish_target
from flows.refresh.publisher import HubPublisher
from flows.refresh.stages import refresh_once
from flows.runtime.temporary_server import end_server_with_us

ATTEMPTS: Final = Attempts()


@flow(name="refresh", flow_run_name="refresh {recipe.name}", persist_result=False)
def refresh(
    recipe: Recipe,
    repo: str | None = None,
    public: bool = False,
    token_env: str | None = None,
    token_block: str | None = None,
    attempts: Attempts = ATTEMPTS,
) -> "State[str]":
    """Bring a curated dataset up to date, and publish it as its next version.

    Looks up what the sources hold now. **Nothing new**: ends there, with the message *no change*; no model is loaded.
    Else it curates beside the last run, where only new rows are paid for (the ledger has the rest), publishes the
    result, and then lets it take the last run's place. A refresh that fails or is killed leaves the last run and the
    last published version as they were; the next one goes on from what was paid.

    Args:
        recipe: The dataset: sources, truncation, policy, reward model, output folder.
        repo: Dataset repository on the Hub, org/name. Without one only the output folder is kept up to date.
        public: Make a new repository public; one that is there stays what it is.
        token_env: NAME of the environment variable that holds the Hub's token, HF_TOKEN by default.
        token_block: NAME of the Prefect Secret block that holds it, instead.
        attempts: How often and how long a refresh is tried.
    """
    end_server_with_us()
    _show_own_lines()
    publisher = None
    if repo is not None:
        publisher = HubPublisher(publish_target(recipe, repo, public, token_env, token_block))
    done = attempted(partial(refresh_once, recipe, publisher, run_stages), attempts)
    show_refresh(done, Path(recipe.output.dir))
    return Completed(message=done.message, data=done.manifest.version)


def _show_own_lines() -> None:
    """Send this project's log lines where Prefect sends its own, also in a worker's process.

    Commands do that by PREFECT_LOGGING_EXTRA_LOGGERS (flows.runtime.cli).
    """
    to_the_ui = logging.getLogger("prefect.extra").handlers
    for name in ("flows", "transforms", "trainers"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        for handler in to_the_ui:
            logger.addHandler(handler)  # once, however often it is added
