"""What the `python -m flows.…` commands share: environment, logging, one clear message or an exit code out."""

import logging
import signal
import sys
from collections.abc import Callable
from typing import Final

from rich.console import Console

from flows.runtime.environment import set_environment
from transforms.errors import CurationError, without_secrets
from transforms.tables.pandas_later import leave_pandas_out

INTERRUPTED: Final = "stopped. Finished batches are in the ledger: run the same command again to go on"

# Its queues log by the names of their classes: a server that ended first is a long traceback of theirs.
_PREFECTS: Final = ("prefect", "EventsWorker", "APILogWorker")


class Terminated(BaseException):
    """SIGTERM, raised in the main thread so that every `finally` runs."""


class _ForTheTerminal(logging.Filter):
    """Masks secrets, and leaves Prefect's own lines to its UI: a failed run is one message here."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(_PREFECTS) and record.levelno < logging.CRITICAL:
            return False
        message = record.getMessage()
        masked = without_secrets(message)
        if masked != message:
            record.msg, record.args = masked, ()
        return True


def prepare_process() -> None:
    """Environment and logging of a command; called once, before anything heavy is imported."""
    set_environment()
    leave_pandas_out()
    handler = logging.StreamHandler()
    handler.addFilter(_ForTheTerminal())
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    for name in ("httpx", "httpx2", "httpcore", "openai", "huggingface_hub", "datasets", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)


def run_command(main: Callable[[], int]) -> None:
    """Run a command to its exit code: 0, 2 for a message to the user, 130 and 143 for Ctrl-C and SIGTERM."""
    console = Console(stderr=True, soft_wrap=True)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = main()
    except CurationError as error:
        console.print(f"[bold red]error:[/] {_escape(without_secrets(str(error)))}", highlight=False)
        code = 2
    except KeyboardInterrupt:
        console.print(f"\n[bold yellow]{INTERRUPTED}[/]")
        code = 130
    except Terminated:
        console.print(f"\n[bold yellow]terminated: {INTERRUPTED}[/]")
        code = 143
    sys.exit(code)


def _terminate(_signal: int, _frame: object) -> None:
    raise Terminated


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
