from pathlib import Path

import platformdirs

from transforms.paths import cache_dir


def test_the_cache_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("PREFERENCE_CURATION_CACHE", "~/elsewhere")
    assert cache_dir() == Path.home() / "elsewhere"


def test_the_cache_is_the_users_by_default(monkeypatch):
    monkeypatch.delenv("PREFERENCE_CURATION_CACHE", raising=False)
    assert cache_dir() == Path(platformdirs.user_cache_dir("preference-curation"))
