"""What a run says of every step: figures under TRL's names, counts, speed, and a line of metrics.jsonl each."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from trainers.steps.tally import Tally
from trainers.steps.task import Read

_MOST_NATS: Final = 700.0  # a token; e to more of them is no float
_COUNTS: Final = ("examples", "kept_tokens", "read_tokens")
Total = Callable[[torch.Tensor], torch.Tensor]  # of one process to that of all


class StepLog:
    """Collects what micro-batches give and closes a step with it.

    Args:
        path: metrics.jsonl; begun anew by the first line, with those of a checkpoint that the run goes on from.
        tell: called with every line.
    """

    def __init__(self, path: Path | None = None, tell: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        self._path, self._tell = path, tell
        self._tally = Tally()
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._since = time.monotonic()
        self._written = 0

    def start(self) -> None:
        """The next step begins now."""
        self._since = time.monotonic()

    def add(self, read: Read, *, counts: bool, examples: int) -> None:
        """One micro-batch; with `counts` False only its names matter."""
        self._tally.add({"loss": read.losses, **read.figures}, counts=counts)
        self._tally.add(read.totals, counts=counts, summed=True)
        if counts:
            for name, value in zip(_COUNTS, (examples, read.kept_tokens, read.read_tokens), strict=True):
                self._counts[name] += value

    def means(self, total: Total) -> dict[str, float]:
        """Mean loss and figures of what was added."""
        return self._tally.means(total)

    def step(self, total: Total, history: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Figures of the step, counts since the run began and speed since the last step.

        Args:
            total: adds up a tensor over processes.
            history: the lines so far.
        """
        seconds = max(time.monotonic() - self._since, 1e-9)
        found = self.means(total)
        del found["loss"]  # the Trainer's own
        new = dict(zip(_COUNTS, total(torch.tensor([self._counts[name] for name in _COUNTS])).tolist(), strict=True))
        self._counts = dict.fromkeys(_COUNTS, 0)
        before = next((line for line in reversed(history) if _COUNTS[0] in line), {})
        found |= {name: before.get(name, 0) + new[name] for name in _COUNTS}
        found |= {"pairs_per_second": new["examples"] / seconds, "tokens_per_second": new["read_tokens"] / seconds}
        self.start()
        return found

    def write(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Append the lines that are new, of steps and measurements."""
        new = [line for line in history[self._written :] if "loss" in line or "eval_loss" in line]
        if self._path is not None and new:
            with self._path.open("a" if self._written else "w", encoding="utf-8") as sink:
                sink.writelines(json.dumps(line) + "\n" for line in new)
        if self._tell is not None and new:
            self._tell(new[-1])
        self._written = len(history)


def displacement(logs: Mapping[str, float], history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """How far ℓ̄ of the chosen responses is from where the run began, for objectives without a reference.

    Of test examples that is exact; of a step's it also has the difference between its examples and the first
    step's in it.
    """
    found = {}
    for prefix in ("", "eval_"):
        key = f"{prefix}mean_logps/chosen"
        if key in logs and f"{prefix}displacement" not in logs:
            first = next((line[key] for line in history if key in line), logs[key])
            found[f"{prefix}displacement"] = logs[key] - first
    return found


def perplexity(logs: Mapping[str, float]) -> dict[str, float]:
    """e to the mean of −log π a token, where that mean is among the figures (`log_prob`)."""
    return {
        f"{prefix}perplexity": math.exp(min(-logs[f"{prefix}log_prob"], _MOST_NATS))
        for prefix in ("", "eval_")
        if f"{prefix}log_prob" in logs
    }
