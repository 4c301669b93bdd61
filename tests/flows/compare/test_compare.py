"""Comparisons with tiny real models: what is trained on what, judged by what, repeated when, named when it fails."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from comparison_support import comparison, count_trainings, run, without_prefect
from flows_support import call_at_once, model_folders
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.compare.__main__ import main
from flows.compare.estimate import estimate, in_words, tried_speed
from flows.compare.held_out import hold_out
from flows.compare.output import comparison_folder
from flows.compare.plan import plan_comparison, variant_of
from flows.compare.schedule import schedule
from flows.compare.scores import JudgedModel, Judging, judge_of
from flows.runtime.progress import Progress
from flows.train.pairs import find_run, read_splits
from transforms.errors import ConfigError, ModelError, OutputError
from transforms.records.manifest import Manifest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True, scope="module")
def plainly():
    with without_prefect():
        yield


@pytest.fixture
def counted(monkeypatch):
    return count_trainings(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    config = comparison(folder)
    return config, run(config)


def test_every_variant_sees_as_many_pairs_and_at_equal_tokens_as_many_tokens_within_half_a_step(finished):
    _, found = finished
    assert not found.failures
    by_key = {(one.variant, one.seed, budget): one for one in found.trainings for budget in one.budgets}
    assert len(by_key) == 3 * 2 * 2
    for variant in ("raw", "ratio 0.5", "curated"):
        for seed in (0, 1):
            assert by_key[variant, seed, "steps"].steps == 3
            assert by_key[variant, seed, "steps"].examples == 12
            one, raw = by_key[variant, seed, "tokens"], by_key["raw", seed, "tokens"]
            assert abs(one.tokens - raw.tokens) <= 0.5 * max(one.tokens / one.steps * 2, 1)
    assert by_key["raw", 0, "steps"] is by_key["raw", 0, "tokens"]  # the same training
    assert by_key["ratio 0.5", 0, "tokens"].steps > 3


def test_tokens_are_those_that_losses_read_and_the_prompts_before_them(finished):
    config, found = finished
    for one in found.trainings:
        record = json.loads((Path(config.output.dir) / one.folder / "training.json").read_text())
        assert record["trained"]["steps"] == one.steps
        assert record["trained"]["examples"] == one.examples
        # Packed rows hold each prompt once, and all response tokens but each response's last.
        if record["trained"]["layout"] == "packed":
            assert record["trained"]["read_tokens"] == one.tokens - 2 * one.examples
        assert record["trained"]["kept_tokens"] < one.tokens
        assert "test_examples" in record["data"]
        assert record["data"]["test_examples"] == 0


def test_all_models_are_judged_by_the_same_whole_pairs_kept_and_dropped(finished):
    config, found = finished
    folder = Path(config.output.dir) / "judged"
    judged = [JudgedModel.model_validate_json(path.read_bytes()) for path in sorted(folder.iterdir())]
    assert len(judged) == len(found.trainings)
    held = hold_out(plan_comparison(config))
    assert all(one.pairs == held.names for one in judged)
    assert found.test.pairs == len(held.names)
    assert found.test.dropped > 0
    for example, row in zip(held.examples, held.table.to_pylist(), strict=True):
        assert [len(ids) for ids in example.responses] == [len(row["chosen_ids"]), len(row["rejected_ids"])]


def test_numbers_of_trainings_are_those_of_their_pairs(finished):
    config, found = finished
    for one in found.trainings:
        path = Path(config.output.dir) / "judged" / f"{Path(one.folder).name}.json"
        margins = np.array(json.loads(path.read_text())["margins"])
        assert one.accuracy == pytest.approx(float((margins > 0).mean()))
        assert one.margin == pytest.approx(float(margins.mean()))
    for row in found.standings:
        mine = [one for one in found.trainings if one.variant == row.variant and row.budget in one.budgets]
        assert row.accuracy.value == pytest.approx(np.mean([one.accuracy for one in mine]))
        assert row.accuracy.low <= row.accuracy.value <= row.accuracy.high
        assert row.chosen.value == pytest.approx(np.mean([one.chosen for one in mine]))


def test_a_policy_that_was_not_trained_is_at_no_distance_and_half_right(finished, tmp_path):
    config, _ = finished
    plan = plan_comparison(config)
    judging = Judging(plan, hold_out(plan), call_at_once, Progress())
    found = judging.judge(tmp_path / "judged.json", "none", Path(plan.shared.model.location))
    assert found.judge == "policy"
    assert found.scores.margins == pytest.approx(0, abs=1e-4)
    assert found.scores.chosen == pytest.approx(0, abs=1e-5)
    assert judging.known(tmp_path / "judged.json", "none") == found
    assert judging.known(tmp_path / "judged.json", "another training") is None


def test_reference_log_probs_are_paid_once_for_all_variants(finished):
    config, found = finished
    folder = Path(config.output.dir)
    spends = [json.loads((folder / one.folder / "training.json").read_text())["reference"] for one in found.trainings]
    paid = [spend["generated"] for spend in spends]
    assert paid[0] > 0
    assert sum(paid[1:]) == 0


def test_a_rerun_does_nothing_and_more_seeds_pay_for_those_only(finished, counted):
    config, found = finished
    assert run(config) == found
    assert counted == []
    more = config.model_copy(update={"seeds": 3})
    again = run(more)
    assert {name.rsplit("-", 1)[-1] for name in counted} == {"2"}
    assert [one for one in again.trainings if one.seed < 2] == found.trainings


@given(st.floats(0.05, 0.8), st.sampled_from(["raw", "poet", 0.5, "curated"]))
@settings(max_examples=25)
def test_no_held_out_prompt_is_in_any_variants_training_data(finished, test_size, variant):
    config, _ = finished
    plan = plan_comparison(config.model_copy(update={"test_size": test_size}))
    recipe = plan.recipe(variant_of(variant), seed=0, steps=1, name="x")
    tables = read_splits(find_run(recipe.dataset))
    assert list(tables) == ["train"]
    trained = {json.dumps(prompt) for prompt in tables["train"]["prompt"].to_pylist()}
    trained_ids = {tuple(ids) for ids in tables["train"]["prompt_ids"].to_pylist()}
    try:
        held = hold_out(plan)
    except ConfigError:
        return  # too few prompts to hold out
    assert not trained & {json.dumps(prompt) for prompt in held.table["prompt"].to_pylist()}
    assert not trained_ids & {tuple(ids) for ids in held.table["prompt_ids"].to_pylist()}


def test_a_prompt_that_is_another_to_the_eye_and_the_same_to_the_model_is_left_out(finished, monkeypatch):
    config, _ = finished
    plan = plan_comparison(config)
    before = hold_out(plan)

    def leaking(found):
        tables = read_splits(found)
        first = tables["train"]["prompt_ids"][0].as_py()
        column = tables["test"]["prompt_ids"].to_pylist()
        kind = tables["test"].schema.field("prompt_ids").type
        place = tables["test"].column_names.index("prompt_ids")
        changed = tables["test"].set_column(place, "prompt_ids", pa.array([first, *column[1:]], kind))
        return tables | {"test": changed}

    monkeypatch.setattr("flows.compare.held_out.read_splits", leaking)
    after = hold_out(plan)
    assert after.left_out == 1
    assert after.names == before.names[1:]


def test_a_folder_of_other_trainings_is_refused_or_replaced(finished, tmp_path):
    config, _ = finished
    with pytest.raises(OutputError, match=r"holds a comparison of other trainings .*--output\.overwrite true"):
        run(config.model_copy(update={"changes": {"optimisation": {"learning_rate": 0.02}}}))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with (
        pytest.raises(OutputError, match=r"is not empty and holds no comparison \(found notes\.txt\)"),
        comparison_folder(tmp_path / "mine", shared="x", overwrite=True),
    ):
        pass
    for shared in ("one", "other"):
        with comparison_folder(tmp_path / "theirs", shared=shared, overwrite=True):
            trained = tmp_path / "theirs" / "trainings" / "raw"
            assert not trained.exists()
            trained.mkdir(parents=True)
    with comparison_folder(tmp_path / "theirs", shared="other", overwrite=False):
        assert trained.exists()


def test_a_reward_model_is_told_by_its_config_and_judged_by_its_rewards(finished, tmp_path):
    config, _ = finished
    _, reward = model_folders(tmp_path)
    plan = plan_comparison(config)
    held = hold_out(plan)
    assert judge_of(reward) == "reward"
    found = Judging(plan, held, call_at_once, Progress()).judge(tmp_path / "judged.json", "none", reward)
    assert (found.judge, found.chosen, len(found.margins)) == ("reward", None, len(held.names))
    assert np.isfinite(found.scores.margins).all()
    with pytest.raises(ModelError, match=r"has no config\.json that could be read"):
        judge_of(tmp_path)


def test_the_bill_counts_trainings_and_tokens_and_is_measured(finished):
    config, _ = finished
    plan = plan_comparison(config.model_copy(update={"output": config.output.model_copy(update={"dir": "/nowhere"})}))
    planned, held = schedule(plan), hold_out(plan)
    bill = estimate(plan, planned, held, tried_speed(plan, held))
    assert (bill.trainings, bill.finished) == (len(planned.trainings), 0)
    assert bill.tokens == sum(one.tokens for one in planned.trainings)
    assert bill.seconds > 0
    words = in_words(bill)
    assert words[0].startswith(f"{bill.trainings} trainings, 0 of them finished; {bill.tokens:,} tokens to train on")
    assert "measured on" in words[1]
    assert "GB of weights" in words[2]


def test_a_dry_run_prints_the_bill_and_writes_nothing(finished, tmp_path, monkeypatch, capsys):
    config, found = finished
    output = config.output.model_copy(update={"dir": str(tmp_path / "compared")})
    path = tmp_path / "compare.yaml"
    path.write_text(yaml.safe_dump(config.model_copy(update={"output": output}).model_dump(mode="json")))
    monkeypatch.setattr("sys.argv", ["compare", str(path), "--dry-run"])
    assert main() == 0
    printed = capsys.readouterr().out
    for words in (
        "what would be trained",
        "ratio 0.5",
        "at equal tokens",
        "3 steps",
        f"{len(found.trainings)} trainings, 0 of them",
    ):
        assert words in printed
    assert not (tmp_path / "compared").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"test_size": None}, ConfigError, r"held out no prompts \(output\.test_size: 0\).*--test_size 0\.2"),
        ({"test_size": 0.001}, ConfigError, r"held out: 0 prompts.*Hold out more"),
        ({"test_size": 0.9999}, ConfigError, r"has no pairs to train on for raw"),
        ({"training": "nowhere.yaml"}, ConfigError, r"there is no recipe nowhere\.yaml"),
    ],
)
def test_what_cannot_be_compared_is_one_message(finished, changes, error, message):
    config, _ = finished
    elsewhere = config.output.model_copy(update={"dir": f"{config.output.dir}-{len(message)}"})
    if changes.get("test_size", 0) is None:
        folder = Path(config.training).parent / "run"
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        manifest.config["output"]["test_size"] = 0
        changes["changes"] = {"dataset": {"path": str(_copied(folder, manifest))}}
    with pytest.raises(error, match=message):
        run(config.model_copy(update=changes | {"output": elsewhere}))


def _copied(folder, manifest):
    copy = folder.with_name("without-test")
    copy.mkdir(exist_ok=True)
    (copy / "manifest.json").write_text(manifest.model_dump_json())
    return copy
