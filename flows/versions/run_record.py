"""What every run keeps of itself while it works: its quarantine on disk, and the seconds of its stages."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from transforms.sources.load import Quarantined

QUARANTINE: Final = "quarantine.jsonl"


def quarantine_line(row: Quarantined) -> str:
    """A row as a line of quarantine.jsonl."""
    return json.dumps(row._asdict(), ensure_ascii=True, sort_keys=True) + "\n"


class RunRecord:
    """The part of a run's state that does not depend on what it makes.

    Args:
        work: an empty folder on the disk of the output folder.

    Attributes:
        seconds: by stage.
    """

    def __init__(self, work: Path) -> None:
        self.work = work
        self.seconds: dict[str, float] = {}
        self._path = work / QUARANTINE
        self._path.touch()

    def quarantine(self, rows: Iterable[Quarantined]) -> int:
        """Append bad rows to quarantine.jsonl; how many they were."""
        count = 0
        with self._path.open("a", encoding="utf-8") as sink:
            for row in rows:
                sink.write(quarantine_line(row))
                count += 1
        return count

    def take_quarantine(self, path: Path) -> int:
        """Append the lines of a file, which is removed, to quarantine.jsonl; how many they were."""
        count = 0
        with path.open("rb") as lines, self._path.open("ab") as sink:
            for line in lines:
                sink.write(line)
                count += 1
        path.unlink()
        return count

    def quarantine_errors(self) -> dict[str, int]:
        """Errors in quarantine.jsonl → rows, the most frequent first."""
        with self._path.open(encoding="utf-8") as rows:
            return dict(Counter(json.loads(row)["error"] for row in rows).most_common())

    def quarantined_on_disk(self) -> int:
        """Lines of quarantine.jsonl."""
        with self._path.open("rb") as lines:
            return sum(1 for _ in lines)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of the block to a stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - start
