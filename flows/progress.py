"""Progress of long work: a bar in a terminal, a line now and then in a log, an artifact in Prefect's UI."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

LOG_SECONDS: Final = 10.0
UI_SECONDS: Final = 5.0  # a progress artifact costs 7 ms an update

Advance = Callable[..., None]
logger = logging.getLogger(__name__)


class Progress:
    """Shows what a run is doing. `ui` is set by the flow when Prefect can be told."""

    def __init__(self) -> None:
        self.ui: Callable[[UUID | None, str, float], UUID] | None = None
        self._console = Console(stderr=True)

    @contextmanager
    def bar(self, label: str, *, unit: str, total: int | None = None) -> Iterator[Advance]:
        """A stage in progress.

        Yields:
            advance(count, tokens=0): so many units and tokens more are done.
        """
        state = _State(label, unit, total)
        ui_id: UUID | None = None
        with _rich_bar(self._console, label, unit, total) as redraw:

            def advance(count: int, tokens: int = 0) -> None:
                nonlocal ui_id
                state.add(count, tokens)
                redraw(state)
                if self.ui and total and state.due("ui", UI_SECONDS):
                    ui_id = self.ui(ui_id, state.line(), 100 * min(1.0, state.count / total))
                if not self._console.is_terminal and state.due("log", LOG_SECONDS):
                    logger.info(state.line())

            yield advance
        if self.ui and ui_id and total:
            self.ui(ui_id, state.line(), 100.0)
        logger.info(state.line())


class _State:
    """Counts of one stage and when they were last shown."""

    def __init__(self, label: str, unit: str, total: int | None) -> None:
        self.label, self.unit, self.total = label, unit, total
        self.count = self.tokens = 0
        self._start = time.monotonic()
        self._shown = {"ui": self._start, "log": self._start}

    def add(self, count: int, tokens: int) -> None:
        self.count += count
        self.tokens += tokens

    def due(self, where: str, seconds: float) -> bool:
        now = time.monotonic()
        if now - self._shown[where] < seconds:
            return False
        self._shown[where] = now
        return True

    def speed(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-3)
        if self.tokens:
            return f"{self.tokens / seconds:,.0f} tokens/s"
        return f"{self.count / seconds:,.0f} {self.unit}/s"

    def line(self) -> str:
        seconds = time.monotonic() - self._start
        of = f" of {self.total:,}" if self.total is not None else ""
        text = f"{self.label}: {self.count:,}{of} {self.unit}, {self.speed()}, {seconds:.0f} s"
        if self.total and 0 < self.count < self.total:
            text += f", {seconds * (self.total - self.count) / self.count:.0f} s to go"
        return text


@contextmanager
def _rich_bar(console: Console, label: str, unit: str, total: int | None) -> Iterator[Callable[[_State], None]]:
    if not console.is_terminal:
        yield lambda state: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(label, total=total, speed=unit)
        yield lambda state: bars.update(task, completed=state.count, speed=state.speed())
