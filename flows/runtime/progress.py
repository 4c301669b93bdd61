"""Progress of long work: a bar in a terminal, a line now and then in a log, an artifact in Prefect's UI."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

LOG_SECONDS: Final = 10.0
UI_SECONDS: Final = 5.0  # a progress artifact costs 7 ms an update
# An estimate waits for this share of the units after the first one, over at least so many seconds. Before the first
# unit models are loaded and requests admitted: with it the starter's 180 completions began with "11420 s to go" for 57.
# Simulated bunches (vLLM in batches of 192 that stop together at their cap, 64 at once on a CPU, transformers' batches)
# were wrong by a factor of up to 845 from the start of a bar, 58 at the starter's size; from the first unit on, with
# these two, by 1.4 at the starter's and 3.3 at the most, and 1.0 to 1.3 in the median. A real trace, vLLM on a CPU that
# others used too: 14,416 s promised at the first completion of 180 for 1,242; with the two, 822 s for 1,198. A last
# bunch is not foreseen: there the last 49 came at once, 468 s early.
ESTIMATE_SHARE: Final = 0.05
ESTIMATE_SECONDS: Final = 10.0

Advance = Callable[..., None]
logger = logging.getLogger(__name__)


class Progress:
    """Shows what a run is doing. `ui` is set by the flow when Prefect can be told.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.ui: Callable[[UUID | None, str, float], UUID] | None = None
        self._console = Console(stderr=True)

    @contextmanager
    def bar(self, label: str, *, unit: str, total: int | None = None) -> Iterator[Advance]:
        """A stage in progress.

        Yields:
            advance(count, tokens=0, reused=False): so many units and tokens more are done. Units that an earlier run
                left are `reused`: they say nothing of the speed.
        """
        state = _State(label, unit, total, self._clock)
        ui_id: UUID | None = None
        with _rich_bar(self._console, state) as redraw:
            lock = threading.RLock()

            def advance(count: int, tokens: int = 0, *, reused: bool = False) -> None:
                nonlocal ui_id
                with lock:  # replicas are waited for in threads
                    state.add(count, tokens, reused=reused)
                    redraw()
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

    def __init__(self, label: str, unit: str, total: int | None, clock: Callable[[], float]) -> None:
        self.label, self.unit, self.total = label, unit, total
        self.count = self.tokens = 0
        self._clock = clock
        self._start = clock()
        self._shown = {"ui": self._start, "log": self._start}
        self._first: tuple[float, int] | None = None  # when the first work was done, and the count with it

    def add(self, count: int, tokens: int, *, reused: bool = False) -> None:
        self.count += count
        self.tokens += tokens
        if self._first and self.count < self._first[1]:
            self._first = None  # a batch failed and was taken back; its engine is loaded anew
        if self._first is None and count > 0 and not reused:
            self._first = self._clock(), self.count

    def due(self, where: str, seconds: float) -> bool:
        now = self._clock()
        if now - self._shown[where] < seconds:
            return False
        self._shown[where] = now
        return True

    def speed(self) -> str:
        seconds = max(self._clock() - self._start, 1e-3)
        if self.tokens:
            return f"{self.tokens / seconds:,.0f} tokens/s"
        return f"{self.count / seconds:,.0f} {self.unit}/s"

    def remaining(self) -> float | None:
        """Seconds to go at the mean speed since the first unit, it and what lay before it left out; None if unknown."""
        if self.total is None:
            return None
        if self.count >= self.total:
            return 0.0
        if self._first is None:
            return None
        began, before = self._first
        seconds, done = self._clock() - began, self.count - before
        if seconds < ESTIMATE_SECONDS or done < max(1, ESTIMATE_SHARE * (self.total - before)):
            return None
        return seconds * (self.total - self.count) / done

    def line(self) -> str:
        seconds = self._clock() - self._start
        of = f" of {self.total:,}" if self.total is not None else ""
        text = f"{self.label}: {self.count:,}{of} {self.unit}, {self.speed()}, {seconds:.0f} s"
        remaining = self.remaining()
        return f"{text}, {remaining:.0f} s to go" if remaining else text


class _TimeRemaining(ProgressColumn):
    """What `_State.remaining` says: rich's own goes by the last 30 seconds, which a bunch fills or leaves empty."""

    max_refresh = 0.5

    def __init__(self, state: _State) -> None:
        super().__init__()
        self._state = state

    def render(self, task: Task) -> Text:
        seconds = self._state.remaining()
        if seconds is None:
            return Text("" if task.total is None else "-:--:--", style="progress.remaining")
        minutes, seconds = divmod(int(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{hours}:{minutes:02}:{seconds:02}", style="progress.remaining")


@contextmanager
def _rich_bar(console: Console, state: _State) -> Iterator[Callable[[], None]]:
    if not console.is_terminal:
        yield lambda: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        _TimeRemaining(state),
    )
    with RichProgress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(state.label, total=state.total, speed=state.unit)
        yield lambda: bars.update(task, completed=state.count, speed=state.speed())
