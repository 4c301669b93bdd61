"""What tests of several flows share."""

import pytest


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A loopback hub that this process publishes to."""
    from published_support import hub_for_this_process  # the Hub's client, which most tests do without

    with hub_for_this_process(monkeypatch, tmp_path) as hub:
        yield hub


@pytest.fixture
def curates_here(monkeypatch):
    """Recipes run in this process without Prefect, and no pictures are drawn for their cards."""
    from flows_support import call_plainly  # both of them heavy, and of no use to most tests

    import flows.curate.flow

    call_plainly(monkeypatch, flows.curate.flow)
    monkeypatch.setattr("flows.curate.finish.draw_pictures", lambda *_: {})  # 0.3 s a run; test_card_code.py has them
