"""Prefect asks an engine that failed again, and only that."""

import pytest
from flows_support import model_folders, pair, sampling_recipe

from flows.models import recipe_models as flow_models
from transforms.engines.fakes import FakeCompletions, FakeRewards
from transforms.errors import EngineError

pytestmark = pytest.mark.slow
ROWS = [pair(i, chosen=f"the cat sat on the mat {i}") for i in range(6)]


@pytest.fixture(scope="module", autouse=True)
def prefect():
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    import flows.curate.flow as module

    monkeypatch.setattr(module, "engine_call", module.engine_call.with_options(retry_delay_seconds=0))
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: FakeRewards())


def run(tmp_path, monkeypatch, *engines, rows=ROWS):
    from flows.curate.flow import curate
    from flows.versions.output_folder import read_manifest

    waiting = iter(engines)
    monkeypatch.setattr(flow_models, "open_policy", lambda *_: next(waiting))
    recipe = sampling_recipe(tmp_path, model_folders(tmp_path / "models"), rows)
    curate(recipe)
    return read_manifest(tmp_path / "out")


def test_a_batch_that_failed_once_is_asked_again_and_counted_once(tmp_path, monkeypatch):
    broken, sound = FakeCompletions(vocab=250, fail_at=[2]), FakeCompletions(vocab=250)
    manifest = run(tmp_path, monkeypatch, broken, sound)
    spend = manifest.completions
    assert (spend.requests, spend.generated, spend.reused) == (12, 12, 0)
    assert (spend.batches, spend.batches_failed, spend.batches_paid_again) == (3, 1, 0)
    assert (len(broken.seen), len(sound.seen), broken.closed) == (4, 8, True)


def test_an_engine_that_keeps_failing_ends_the_run_after_four_tries(tmp_path, monkeypatch):
    engines = [FakeCompletions(fail_at=[1]) for _ in range(5)]
    with pytest.raises(EngineError, match="told to fail"):
        run(tmp_path, monkeypatch, *engines)
    assert [engine.calls for engine in engines] == [1, 1, 1, 1, 0]
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_any_other_error_is_not_asked_again(tmp_path, monkeypatch):
    class Wrong(FakeCompletions):
        def complete(self, requests, sampling, progress):
            self.calls += 1
            raise ValueError("a bug")

    engine = Wrong()
    with pytest.raises(ValueError, match="a bug"):
        run(tmp_path, monkeypatch, engine)
    assert engine.calls == 1
