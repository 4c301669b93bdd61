"""Comparisons that are killed, fail in part, run again or are run by the command."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from comparison_support import comparison, count_trainings, run, without_prefect

import flows.compare.flow as compare_module
import flows.train.flow as train_module
from flows.compare.__main__ import main
from flows.compare.estimate import known_speed
from flows.compare.plan import plan_comparison
from flows.compare.schedule import schedule
from flows.compare.scores import Judging
from transforms.errors import ConfigError, ModelError, SourceError

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True, scope="module")
def plainly():
    with without_prefect():
        yield


@pytest.fixture
def counted(monkeypatch):
    return count_trainings(monkeypatch)


def test_a_killed_comparison_goes_on_where_it_was(tmp_path, counted, monkeypatch):
    config = comparison(tmp_path, budgets=["steps"], variants=["raw", "curated"])
    judge = Judging.judge
    calls = []

    def killed(self, path, training, model):
        calls.append(path.stem)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return judge(self, path, training, model)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Judging, "judge", killed)
        run(config)
    assert len(counted) == 3
    assert plan_comparison(config).finished is None
    speed = known_speed(plan_comparison(config), schedule(plan_comparison(config)).trainings)
    assert speed.source == "as 2 finished ones took"
    found = run(config)
    assert len(counted) == 4  # the third was trained and not judged: it is judged only
    assert len(set(counted)) == 4
    assert [one.error for one in found.trainings] == [None] * 4
    assert run(config) == found
    assert len(counted) == 4


def test_a_variant_that_fails_is_named_and_stops_no_other_one(tmp_path, counted, monkeypatch, capsys):
    config = comparison(tmp_path, budgets=["steps"], variants=["raw", 0.5, "curated"])
    train = train_module.Training.train

    def failing(self):
        if self.recipe.dataset.kept == 0.5 and self.recipe.optimisation.seed == 1:
            message = "the loss is nan at step 2"
            raise ModelError(message)
        return train(self)

    with monkeypatch.context() as patch:
        patch.setattr(train_module.Training, "train", failing)
        found = run(config)
    assert found.failures == [("ratio 0.5, seed 1", "the loss is nan at step 2")]
    assert len(found.trainings) == 6
    half = found.standing("steps", "ratio 0.5")
    assert half.trainings == 1
    assert half.difference.accuracy.low is None
    assert found.standing("steps", "curated").difference.trainings == 2
    page = (tmp_path / "compared" / "comparison.html").read_text()
    assert "the loss is nan at step 2" in page
    path = tmp_path / "compare.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    with monkeypatch.context() as patch:
        patch.setattr("sys.argv", ["compare", str(path)])
        patch.setattr(compare_module, "compare", lambda _: found)
        assert main() == 1
    assert "failed       ratio 0.5, seed 1: the loss is nan at step 2" in capsys.readouterr().out
    # The same command tries it once more, and nothing else.
    counted.clear()
    assert run(config).failures == []
    assert counted == ["ratio-0.5-3-steps-seed-1"]


def test_a_variant_whose_pairs_cannot_be_read_is_named_before_anything_is_trained(tmp_path, monkeypatch):
    config = comparison(tmp_path, budgets=["tokens"], variants=["raw", "curated"])
    import flows.train.examples as examples

    read = examples.read_splits

    def broken(found):
        if found.dataset.pairs == "kept":
            message = "a shard is missing"
            raise SourceError(message)
        return read(found)

    monkeypatch.setattr(examples, "read_splits", broken)
    found = run(config)
    assert found.failures == [("curated", "a shard is missing")]
    assert [one.variant for one in found.standings] == ["raw"]
    turned = config.model_copy(update={"variants": ["curated", "raw"], "output": config.output})
    with pytest.raises(SourceError, match="a shard is missing"):
        run(turned)


def test_weights_go_when_they_were_judged_and_come_back_when_they_are_wanted(tmp_path, counted):
    config = comparison(tmp_path, budgets=["steps"], variants=["raw", "curated"])
    config = config.model_copy(update={"output": config.output.model_copy(update={"models": False})})
    found = run(config)
    assert not list((tmp_path / "compared").rglob("*.safetensors"))
    assert run(config) == found
    assert len(counted) == 4
    other = run(config.model_copy(update={"measure": "mean_log_ratio"}))
    assert len(counted) == 8
    assert [one.accuracy for one in other.trainings] != []


def test_reward_models_are_compared_by_their_rewards(tmp_path):
    reward = {"kind": "reward", "objective": None}
    found = run(comparison(tmp_path, training=reward, variants=["raw", "curated"], budgets=["steps"]))
    assert found.failures == []
    assert found.judge == "reward"
    assert all(one.accuracy is not None and one.chosen is None for one in found.trainings)
    page = (tmp_path / "compared" / "comparison.html").read_text()
    assert "was trained as a reward model on" in page
    assert "gets the higher reward" in page
    assert "displacement" not in page


def test_a_head_alone_takes_no_steps_that_could_be_equal(tmp_path):
    head = {"kind": "reward", "objective": None, "optimisation": None, "head": {"folds": 2}}
    with pytest.raises(ConfigError, match=r"fits a head alone, which takes no steps: there is no budget to hold equal"):
        plan_comparison(comparison(tmp_path, training=head))


def test_all_responses_of_a_prompt_are_no_pairs_to_cut(tmp_path):
    every = {"dataset": {"responses": "all", "kept": "full"}}
    with pytest.raises(ConfigError, match=r"trains on all responses of a prompt, .* use dataset\.responses: pairs"):
        plan_comparison(comparison(tmp_path, changes=every))


def command(server, *flags, **environment):
    return subprocess.run(
        [sys.executable, "-m", "flows.compare", *flags],
        cwd=ROOT,
        env={**server.environment, **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_the_command_prints_the_table_and_a_rerun_needs_no_prefect(tmp_path, shared_server):
    config = comparison(tmp_path, variants=["raw", "curated"], budgets=["steps"])
    recipe = tmp_path / "compare.yaml"
    recipe.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    first = command(shared_server, str(recipe))
    assert first.returncode == 0, first.stderr[-3000:]
    for words in ("at equal steps", "minus raw", "curated", "comparison.html"):
        assert words in first.stdout
    assert "4 trainings, 0 of them finished" in first.stderr
    assert "training 4 of 4" in first.stderr
    again = command(shared_server, str(recipe), PYTHONPROFILEIMPORTTIME="1")
    assert again.returncode == 0
    assert "Nothing changed" in again.stdout
    modules = {line.rsplit("|", 1)[-1].strip() for line in again.stderr.splitlines() if line.startswith("import time:")}
    assert "prefect" not in modules
