"""A reference that is another model than the one that training starts from."""

import pytest
from curated_support import curated_run, reward_recipe, training_recipe
from flows_support import call_plainly, model_folders
from pydantic import ValidationError

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.train.plan import plan_training
from transforms.errors import ConfigError, ModelError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def without_prefect(monkeypatch):
    call_plainly(monkeypatch, curate_module, train_module)
    monkeypatch.setenv("TQDM_DISABLE", "1")


def test_its_log_probs_are_the_other_model_s_and_the_result_is_another(tmp_path):
    run = curated_run(tmp_path)
    other, _ = model_folders(tmp_path / "other", width=24)
    alone = training_recipe(tmp_path, *run)
    held = training_recipe(tmp_path, *run, reference={"model": str(other)}, output={"dir": str(tmp_path / "held")})
    assert plan_training(alone).fingerprint != plan_training(held).fingerprint
    assert plan_training(held).reference.identity.fingerprint != plan_training(alone).reference.identity.fingerprint
    record = train_module.run_training(plan_training(held))
    assert record.before["eval_loss"] != pytest.approx(0.6931, abs=1e-2)  # DPO's ln 2 is of a policy at its reference
    assert plan_training(held).finished == record
    same = training_recipe(tmp_path, *run, reference={"model": str(run[1])}, output={"dir": str(tmp_path / "same")})
    assert train_module.run_training(plan_training(same)).before["eval_loss"] == pytest.approx(0.6931, abs=1e-4)


def test_an_objective_without_a_reference_and_a_reward_model_refuse_one(tmp_path):
    run = curated_run(tmp_path)
    reference = {"model": str(run[1])}
    with pytest.raises(ConfigError, match="simpo reads no reference: leave reference out"):
        plan_training(training_recipe(tmp_path, *run, objective={"name": "simpo"}, reference=reference))
    with pytest.raises(ValidationError, match="kind: reward has no use for reference"):
        reward_recipe(tmp_path, *run, reference=reference)


def test_a_reference_with_another_tokenizer_is_refused(tmp_path):
    from tests_support import tiny_tokenizer

    run = curated_run(tmp_path)
    tokenizer = tiny_tokenizer("{% for m in messages %}{{ m['content'] + '<|im_end|>' }}{% endfor %}")
    other, _ = model_folders(tmp_path / "other", tokenizer)
    with pytest.raises(ModelError, match="the reference policy has another tokenizer or chat template"):
        plan_training(training_recipe(tmp_path, *run, reference={"model": str(other)}))
