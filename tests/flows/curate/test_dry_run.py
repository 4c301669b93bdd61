"""The bill before the run: its requests are those that the run then makes."""

from io import StringIO

import pytest
from flows_support import call_plainly, model_folders, pair, sampling_recipe, truncate_recipe
from rich.console import Console

import flows.curate.flow as curate_module
from flows.curate.dry_run import dry_run, print_dry_run
from flows.curate.plan import plan_run
from flows.models import recipe_models as flow_models

pytestmark = pytest.mark.slow
ROWS = [pair(i, chosen=f"the cat sat on the mat {i}") for i in range(6)] + [pair(9, chosen="dog", rejected="cat")]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def without_prefect(monkeypatch):
    call_plainly(monkeypatch, curate_module)


def stages(found):
    return {stage.stage: stage for stage in found.stages}


def test_the_requests_are_those_of_the_run(tmp_path, models):
    recipe = sampling_recipe(tmp_path, models, ROWS)
    bill = dry_run(plan_run(recipe))
    manifest = curate_module.run_stages(plan_run(recipe))
    by = stages(bill)
    assert (bill.raw_rows, bill.pairs, bill.live, bill.cut_sides) == (7, 7, 7, 6)
    sampled = by["sample completions"]
    assert sampled.least == sampled.most == manifest.completions.requests == 12
    assert by["score full responses"].most + by["score completions"].most >= manifest.scores.requests
    assert sampled.tokens_per_second > 0


def test_after_the_run_everything_is_in_the_ledger_and_no_model_is_loaded(tmp_path, models, monkeypatch):
    curate_module.run_stages(plan_run(sampling_recipe(tmp_path, models, ROWS)))
    monkeypatch.setattr(flow_models, "open_policy", lambda *_: pytest.fail("a model was opened"))
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: pytest.fail("a model was opened"))
    changed = sampling_recipe(tmp_path, models, ROWS, consistency={"threshold": 0.8})
    by = stages(dry_run(plan_run(changed)))
    assert [(s.held, s.tokens_most) for s in by.values()] == [(14, 0.0), (12, 0.0), (12, 0.0)]


def test_a_dry_run_leaves_nothing_behind(tmp_path, models):
    dry_run(plan_run(sampling_recipe(tmp_path, models, ROWS)))
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "ledger").rglob("*.parquet"))


def test_sequential_sampling_costs_between_its_first_round_and_n(tmp_path, models):
    sampling = {"n": 8, "first": 2, "max_new_tokens": 6}
    by = stages(dry_run(plan_run(sampling_recipe(tmp_path, models, ROWS, sampling=sampling)), measure=False))
    assert (by["sample completions"].least, by["sample completions"].most) == (12, 48)


def test_values_at_the_cuts_are_on_the_bill(tmp_path, models):
    by = stages(dry_run(plan_run(sampling_recipe(tmp_path, models, ROWS, proxy={"values": True})), measure=False))
    assert (
        by["score full responses and kept prefixes"].most == 14 + 6
    )  # both sides of seven pairs, and six kept prefixes


def test_a_budget_bounds_the_most(tmp_path, models):
    recipe = sampling_recipe(
        tmp_path, models, ROWS, sampling={"n": 8, "first": 2, "max_new_tokens": 6}, budget={"completions": 20}
    )
    assert stages(dry_run(plan_run(recipe), measure=False))["sample completions"].most == 20


def test_a_budget_of_tokens_bounds_the_most_by_what_a_completion_has(tmp_path, models):
    sampling = {"n": 8, "first": 2, "max_new_tokens": 6}
    recipe = sampling_recipe(tmp_path, models, ROWS, sampling=sampling, budget={"tokens": 100})
    assert stages(dry_run(plan_run(recipe), measure=False))["sample completions"].most == 16  # of six tokens each


def test_a_recipe_that_only_truncates_costs_no_model_call(tmp_path):
    recipe = truncate_recipe(tmp_path, ROWS)
    out = StringIO()
    print_dry_run(Console(file=out, width=160), recipe, dry_run(plan_run(recipe)))
    assert "no model is called" in out.getvalue()


def test_what_would_not_go_on_is_said_with_its_errors(tmp_path):
    bad = [{"prompt": "q", "chosen": "", "rejected": f"cat {number}"} for number in range(2)]
    tied = {**pair(8), "chosen_score": 1, "rejected_score": 1}
    empty = {"prompt": "q", "chosen": "cat", "rejected": "cat"}
    recipe = truncate_recipe(tmp_path, [*ROWS, *bad, tied, empty])
    found = dry_run(plan_run(recipe))
    assert (found.pairs, found.live, found.dropped) == (11, 7, {"tie": 1})
    assert sum(found.quarantined.values()) == 3
    out = StringIO()
    print_dry_run(Console(file=out, width=160), recipe, found)
    said = out.getvalue().splitlines()
    assert said[1:3] == ["dropped      tie 1", "quarantined  2: chosen is empty"]
    assert said[3].startswith("quarantined  1: ")


def test_the_table_shows_requests_tokens_speed_and_time(tmp_path, models):
    recipe = sampling_recipe(tmp_path, models, ROWS)
    out = StringIO()
    print_dry_run(Console(file=out, width=200), recipe, dry_run(plan_run(recipe)))
    for word in ("score full responses", "sample completions", "in the ledger", "minutes on this machine"):
        assert word in out.getvalue()
