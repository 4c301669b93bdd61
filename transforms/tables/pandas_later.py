"""pyarrow and Prefect without pandas, for as long as nothing here has a data frame.

At its first conversion of a Python object pyarrow imports pandas, where it is installed, to see whether the object is
one of its: 0.7 s of a core in every command. This project converts lists; only `datasets` has data frames.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

import pyarrow as pa


class _NotNow(MetaPathFinder):
    def find_spec(self, fullname: str, _path: Any, _target: Any = None) -> None:
        if fullname == "pandas":
            message = "left out for now"
            raise ModuleNotFoundError(message, name=fullname)


@contextmanager
def without_pandas() -> Iterator[None]:
    """Whoever imports pandas in the block finds that it is not installed; afterwards it is as ever."""
    finder = _NotNow()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def leave_pandas_out() -> None:
    """Let pyarrow find no pandas at its first conversion."""
    with without_pandas():
        pa.array([0])


def take_pandas_back() -> None:
    """Let pyarrow tell pandas' objects from others again: to be called before a library hands it some."""
    pa.array([0]).to_pandas()
