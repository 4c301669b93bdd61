"""What the text of a test file says: its marks, so that one of no use is not imported, and how long it takes."""

import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

MARKS: Final = frozenset({"slow", "vllm"})
# Longest first: a worker that is left with one of these at the end works alone. Seconds of a core are in brackets.
LONG: Final = (
    "test_documented_commands",  # 158
    "test_scheduled_refresh",  # 110
    "test_against_truth",  # 100
    "test_training_processes",  # 75
    "test_known_truth",  # 60
    "test_family_tokens",  # 60
    "test_hub_faults",  # 40
    "test_publish_prefect",
    "test_deploy",
    "test_prefect_server",
    "test_evaluate",
    "test_compare",
)
_PYTESTMARK: Final = re.compile(r"^pytestmark = (\[.*?\]|[^\[\n]*)", re.MULTILINE | re.DOTALL)
_MARK: Final = re.compile(r"\bmark\.(\w+)")


class MarkedFile(NamedTuple):
    """Those of MARKS that all its tests have, and those that any has."""

    on_all: frozenset[str]
    on_any: frozenset[str]

    @classmethod
    def of(cls, path: Path) -> "MarkedFile":
        return _read(path)

    def complaint(self, marks: set[str]) -> str | None:
        """What is wrong with this text if a test of the file has these marks."""
        if unseen := marks & MARKS - self.on_any:
            return f"has the mark {min(unseen)}, but its file does not write pytest.mark.{min(unseen)}"
        if missing := self.on_all - marks:
            return f"has no mark {min(missing)}, but its file's pytestmark does"
        return None

    def is_of_no_use(self, expression: str) -> bool:
        """Whether `-m expression` takes no test of it; False for any but `slow` and `not slow`."""
        return {"not slow": "slow" in self.on_all, "slow": "slow" not in self.on_any}.get(expression, False)


def rank(path: Path) -> int:
    """Place of a file in the order in which workers take them: vLLM first, trifles last."""
    marks = MarkedFile.of(path).on_any
    if "vllm" in marks:
        return -1
    if path.stem in LONG:
        return LONG.index(path.stem)
    return len(LONG) + ("slow" not in marks)


@cache
def _read(path: Path) -> MarkedFile:
    text = path.read_text(encoding="utf-8")
    whole = frozenset(name for marks in _PYTESTMARK.findall(text) for name in _MARK.findall(marks))
    return MarkedFile(whole & MARKS, frozenset(_MARK.findall(text)) & MARKS)
