"""What a training of this project leaves is what the readers look for: file, figures, quantiles."""

import pytest
from curated_support import curated_run, training_recipe
from flows_support import call_plainly
from reading_support import series

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.reproduce.config import Reading
from flows.reproduce.rests_on import rests_on
from flows.train.plan import plan_training

pytestmark = pytest.mark.slow

SIDES = ("chosen", "rejected", "margins")
SPREAD = [f"{what}/{side}" for what in ("mean_logps", "rewards") for side in SIDES]
MEANS = ["loss", "logps/chosen", "rewards/accuracies", "beta_log_ratio/chosen", "displacement", "kl"]


def test_every_figure_of_dpo_is_found_on_test_pairs_and_in_the_steps(tmp_path, monkeypatch):
    call_plainly(monkeypatch, curate_module, train_module)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    record = train_module.run_training(plan_training(training_recipe(tmp_path, *curated_run(tmp_path))))
    folder, steps = tmp_path / "trained", record.trained.steps
    for measure in [*SPREAD, *MEANS]:
        test = series(folder, "training", measure=measure)
        assert [point.x for point in test.points] == [0.0, steps], measure
        assert len(series(folder, "training", measure=measure, on="train").points) == steps, measure
    for measure in SPREAD:
        spread = [series(folder, "training", measure=measure, quantile=q).points[-1].y for q in ("p05", "p50", "p95")]
        assert spread == sorted(spread), measure
    last = series(folder, "training", measure="mean_logps/chosen", last=True)
    assert [(point.x, point.y) for point in last.points] == [(steps, record.after["eval_mean_logps/chosen"])]
    reading = Reading(label="ours", step="s", reads="training", options={"measure": "kl"})
    examples, test_examples = record.data.examples, record.data.test_examples
    assert (
        rests_on(reading, folder)[0] == f"{examples} examples, {steps} steps, measured on {test_examples} test examples"
    )
