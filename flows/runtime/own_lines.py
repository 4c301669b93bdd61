"""This project's log lines in Prefect's UI, also in a process that no command of this project started."""

import logging
from typing import Final

OWN: Final = ("flows", "transforms", "trainers")


def show_own_lines() -> None:
    """Send them where Prefect sends its own; commands do that by PREFECT_LOGGING_EXTRA_LOGGERS (flows.runtime.cli)."""
    to_the_ui = logging.getLogger("prefect.extra").handlers
    for name in OWN:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        for handler in to_the_ui:
            logger.addHandler(handler)  # once, however often it is added
