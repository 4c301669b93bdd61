"""Differences between real runs of tiny models, where it is known what was changed."""

import polars as pl
import pytest
from flows_support import call_plainly, model_folders, pair, sampling_recipe, truncate_recipe

import flows.curate.flow as curate_module
from flows.curate.plan import plan_run
from flows.diff.difference import difference
from flows.versions.version import open_version

pytestmark = pytest.mark.slow
ROWS = [
    *(
        pair(number, f"the cat sat on the mat {number} and then on the dog", f"dog {number} cat")
        for number in range(12)
    ),
    pair(20, "dog", "cat"),
    pair(21, "the cat sat on the mat", "the cat sat on the mat <|im_end|>"),
    {"prompt": "bad", "chosen": "", "rejected": "x"},
]
SAMPLING = {"n": 2, "max_new_tokens": 6, "batch": 4}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Runs of the same data, models and ledger, a recipe's keys changed; each made once."""
    home = tmp_path_factory.mktemp("diff")
    models = model_folders(home / "models")
    patch = pytest.MonkeyPatch()
    call_plainly(patch, curate_module)
    made = {}

    def run(name, rows=ROWS, **changes):
        if name not in made:
            out = {"dir": str(home / name), "test_size": 0.2}
            (home / f"rows-{name}").mkdir()
            recipe = sampling_recipe(
                home / f"rows-{name}", models, rows, output=out, ledger=str(home / "ledger"), **changes
            )
            curate_module.run_stages(plan_run(recipe))
            made[name] = open_version(str(home / name))
        return made[name]

    yield run
    patch.undo()


def firsts(found):
    return {one.reason: one.first for one in found.record.reasons}


def test_the_same_recipe_again_is_equal(make):
    assert difference(make("plain"), make("again")).record.equal


def test_a_threshold_alone_is_the_proven_reason_of_every_changed_verdict(make):
    found = difference(make("plain"), make("strict", consistency={"threshold": 0.8}))
    assert found.record.changed > 0
    assert firsts(found) == {"recipe": found.record.changed}
    assert found.record.reasons[0].proven == found.record.changed
    assert [one.key for one in found.record.settings if one.kind != "data"] == ["consistency.threshold"]


def test_both_runs_verdicts_come_out_by_their_own_and_by_each_others_rules(make):
    found = difference(make("plain"), make("strict", consistency={"threshold": 0.8})).pairs
    judged = found.filter((pl.col("outcome_old") != "quarantine") & pl.col("pair_id_old").is_not_null())
    assert judged.height >= 13
    # The evidence is the same, so each recipe's rules give its verdict on the other's evidence.
    assert judged["old_by_new_rules"].to_list() == judged["outcome_new"].to_list()
    assert judged["new_by_old_rules"].to_list() == judged["outcome_old"].to_list()


def test_more_completions_alone_are_the_reason(make):
    found = difference(make("plain"), make("more", sampling=SAMPLING | {"n": 5}))
    assert found.record.changed > 0
    assert firsts(found) == {"completions": found.record.changed}


def test_another_cut_alone_is_the_reason(make):
    found = difference(make("plain"), make("half", truncate={"method": "ratio", "ratio": 0.5}))
    assert found.record.changed > 0
    assert firsts(found) == {"truncation": found.record.changed}
    assert found.record.unchanged.kept_other_tokens > 0


def test_another_seed_is_completions_sampled_otherwise(make):
    found = difference(make("plain"), make("seed", sampling=SAMPLING | {"seed": 7}))
    assert found.record.changed > 0
    assert firsts(found) == {"recipe": found.record.changed}


def test_new_gone_and_rewritten_rows_are_data(make):
    rows = [*ROWS[2:], pair(30, "one two three four", "dog"), pair(31, "five six", "cat cat cat")]
    rows[0] = rows[0] | {"chosen": "one two three four five"}
    found = difference(make("plain"), make("other", rows=rows)).record
    assert [found.pairs_of(change) for change in ("added", "removed", "rewritten")] == [2, 2, 1]
    assert found.pairs_of("verdict") == 0
    assert {one.reason: one.first for one in found.reasons} == {"data": 5}
    assert (found.unchanged.quarantined, found.old.quarantined) == (2, 2)


def test_judging_for_the_first_time_is_the_recipes_doing(make, tmp_path):
    sampled = make("strict", consistency={"threshold": 0.8})
    silent = truncate_recipe(tmp_path, ROWS, policy=sampled.manifest.config["policy"] | {"engine": "none"})
    curate_module.run_stages(plan_run(silent))
    found = difference(open_version(silent.output.dir), sampled)
    assert found.record.changed > 0
    assert firsts(found) == {"recipe": found.record.changed}
    assert found.record.reasons[0].proven == found.record.changed
