"""What tests of publishing share."""

import pytest


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A loopback hub that this process publishes to."""
    from published_support import hub_for_this_process  # the Hub's client, which most tests do without

    with hub_for_this_process(monkeypatch, tmp_path) as hub:
        yield hub
