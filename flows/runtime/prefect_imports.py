"""Prefect without what its import takes along and no run here needs."""

import importlib

from transforms.tables.pandas_later import without_pandas


def import_prefect() -> None:
    """Import Prefect's flows and tasks; to be called before a module that declares some.

    prefect.cache_policies imports pandas where it is installed, to tell data frames in cache keys apart. No task here
    has a cache key.
    """
    with without_pandas():
        importlib.import_module("prefect.cache_policies")
