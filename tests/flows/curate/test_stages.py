"""Sampling and scoring through the ledger, with tiny real models; engines that fail are fakes."""

import datasets
import pytest
from flows_support import call_plainly, model_folders, pair, sampling_recipe

import flows.curate.flow as curate_module
from flows.curate.plan import plan_run
from flows.models import recipe_models as flow_models
from transforms.engines.fakes import FakeCompletions, FakeRewards
from transforms.engines.transformers_completions import TransformersCompletions
from transforms.errors import EngineError

ROWS = [pair(i, chosen=f"the cat sat on the mat {i}") for i in range(6)] + [pair(9, chosen="dog", rejected="cat")]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"))


pytestmark = pytest.mark.usefixtures("curates_here")


def run(recipe):
    return curate_module.run_stages(plan_run(recipe))


def no_model(*_args, **_options):
    pytest.fail("a model was opened")


@pytest.mark.slow
def test_cut_pairs_are_sampled_and_scored_and_equal_ones_are_not_sampled(tmp_path, models):
    manifest = run(sampling_recipe(tmp_path, models, ROWS))
    assert manifest.completions.requests == manifest.completions.generated == 6 * 2
    assert manifest.scores.requests <= 7 * 2 + 6 * 2
    by_label = manifest.consistency[0]
    assert (by_label.pairs, by_label.sampled) == (7, 6)
    assert manifest.counts.kept + sum(manifest.counts.dropped.values()) == 7


@pytest.mark.slow
def test_the_estimate_in_the_shards_is_the_share_of_completions_that_beat_the_other_side(tmp_path, models):
    run(sampling_recipe(tmp_path, models, ROWS))
    rows = [
        row
        for name in ("dataset/train", "dropped")
        for row in datasets.load_from_disk(str(tmp_path / "out" / name)).to_list()
    ]
    assert len(rows) == 7
    for row in rows:
        assert row["consistency"] in ((1.0,) if row["n"] == 0 else (0.0, 0.5, 1.0))
        assert (row["verdict"] == "drop") == (row["reason"] == "inconsistent")


@pytest.mark.slow
def test_another_threshold_reuses_everything_and_opens_no_model(tmp_path, models, monkeypatch):
    first = run(sampling_recipe(tmp_path, models, ROWS))
    monkeypatch.setattr(flow_models, "open_policy", no_model)
    monkeypatch.setattr(flow_models, "open_reward", no_model)
    changes = {"consistency": {"threshold": 0.9}, "output": {"dir": str(tmp_path / "second"), "test_size": 0}}
    again = run(sampling_recipe(tmp_path, models, ROWS, **changes))
    assert again.completions.generated == again.scores.generated == 0
    assert again.completions.tokens_reused == first.completions.tokens_generated
    assert again.scores.tokens_reused == first.scores.tokens_generated
    assert again.consistency == first.consistency


def test_new_rows_only_are_paid_for(tmp_path, models):
    run(sampling_recipe(tmp_path, models, ROWS))
    more = [*ROWS, pair(100, chosen="one two three four")]
    again = run(sampling_recipe(tmp_path, models, more, output={"dir": str(tmp_path / "second"), "test_size": 0}))
    assert again.completions.generated == 2
    assert again.completions.reused == 12


def test_a_finished_run_is_found_and_nothing_is_done(tmp_path, models):
    recipe = sampling_recipe(tmp_path, models, ROWS)
    manifest = run(recipe)
    assert plan_run(recipe).finished == manifest
    assert plan_run(sampling_recipe(tmp_path, models, ROWS, sampling={"n": 3})).finished is None


@pytest.mark.slow
def test_a_run_whose_shard_was_changed_is_made_again_from_the_ledger(tmp_path, models, monkeypatch, caplog):
    recipe = sampling_recipe(tmp_path, models, ROWS)
    before = run(recipe)
    shard = tmp_path / "out" / "dataset" / "train" / "data-00000-of-00001.arrow"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"x")
    monkeypatch.setattr(flow_models, "open_policy", no_model)
    monkeypatch.setattr(flow_models, "open_reward", no_model)
    assert plan_run(recipe).finished is None
    assert f"{tmp_path / 'out'}: dataset/train/{shard.name} was changed after the run" in caplog.text
    assert run(recipe).version == before.version
    assert shard.read_bytes() == content
    assert plan_run(recipe).finished is not None


@pytest.mark.slow
def test_a_resumed_run_ends_in_the_same_bytes_and_pays_for_no_finished_batch_again(tmp_path, models, monkeypatch):
    straight = run(sampling_recipe(tmp_path, models, ROWS, ledger=str(tmp_path / "other")))

    class Dies(TransformersCompletions):
        calls = 0

        def complete(self, requests, sampling, progress):
            Dies.calls += 1
            if Dies.calls == 2:
                raise KeyboardInterrupt
            return super().complete(requests, sampling, progress)

    monkeypatch.setattr(flow_models, "open_policy", lambda model, recipe, context: Dies(model))
    again = {"output": {"dir": str(tmp_path / "second"), "test_size": 0}}
    with pytest.raises(KeyboardInterrupt):
        run(sampling_recipe(tmp_path, models, ROWS, **again))
    assert not (tmp_path / "second" / "manifest.json").exists()
    monkeypatch.undo()
    call_plainly(monkeypatch, curate_module)
    resumed = run(sampling_recipe(tmp_path, models, ROWS, **again))
    assert resumed.version == straight.version
    assert {f.path: f.sha256 for f in resumed.files if "arrow" in f.path} == {
        f.path: f.sha256 for f in straight.files if "arrow" in f.path
    }
    assert (resumed.completions.reused, resumed.completions.generated) == (4, 8)
    assert resumed.completions.batches_paid_again == 1


def test_an_engine_that_fails_leaves_no_manifest_and_keeps_the_finished_batches(tmp_path, models, monkeypatch):
    monkeypatch.setattr(flow_models, "open_policy", lambda *a: FakeCompletions(vocab=250, fail_at=[2]))
    with pytest.raises(EngineError, match="call 2"):
        run(sampling_recipe(tmp_path, models, ROWS))
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert len(list((tmp_path / "ledger" / "completions").rglob("part-*.parquet"))) == 1


def test_a_reward_model_that_returns_nan_quarantines_the_pair_and_is_asked_again_next_time(
    tmp_path, models, monkeypatch
):
    class OneNan(FakeRewards):
        def score(self, requests, progress):
            rewards = super().score(requests, progress)
            return [
                float("nan") if len(r.token_ids) == max(len(q.token_ids) for q in requests) else x
                for r, x in zip(requests, rewards, strict=True)
            ]

    monkeypatch.setattr(flow_models, "open_reward", lambda *a: OneNan())
    manifest = run(sampling_recipe(tmp_path, models, ROWS))
    assert manifest.counts.quarantined >= 1
    assert "returned nan" in (tmp_path / "out" / "quarantine.jsonl").read_text()
    monkeypatch.setattr(flow_models, "open_reward", lambda *a: FakeRewards())
    again = run(sampling_recipe(tmp_path, models, ROWS, output={"dir": str(tmp_path / "second"), "test_size": 0}))
    assert again.counts.quarantined == 0
    assert again.scores.reused > 0


def test_shuffled_rows_give_the_same_version_after_sampling_too(tmp_path, models):
    first = run(sampling_recipe(tmp_path, models, ROWS))
    again = run(sampling_recipe(tmp_path, models, ROWS[::-1], output={"dir": str(tmp_path / "b"), "test_size": 0}))
    assert again.version == first.version
    assert again.completions.generated == 0


def test_ratio_truncation_samples_both_sides(tmp_path, models):
    manifest = run(sampling_recipe(tmp_path, models, ROWS[:2], truncate={"method": "ratio", "ratio": 0.5}))
    assert manifest.completions.requests == 2 * 2 * 2


def test_a_conversation_too_long_for_the_reward_model_quarantines_its_pair(tmp_path, models):
    rows = [*ROWS, pair(50, chosen="the cat sat on the mat " * 40)]
    manifest = run(sampling_recipe(tmp_path, models, rows))
    assert manifest.counts.quarantined == 1
    assert "the reward model reads 128" in (tmp_path / "out" / "quarantine.jsonl").read_text()
