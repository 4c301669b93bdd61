"""What tests of several flows share."""

import pytest


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    """A Prefect server for commands that only need one: a temporary one each is 10 s of a core.

    What they look up in it must be theirs alone by its name.
    """
    from prefect_server import running_prefect_server

    with running_prefect_server(tmp_path_factory.mktemp("shared-prefect")) as running:
        yield running


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
