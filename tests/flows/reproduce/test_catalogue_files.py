"""The catalogue's own files: every step is a command that its command would take, and every entry says something."""

import contextlib
import math
import re
from typing import Any, Final

import pytest
import yaml

from flows.audit.__main__ import _settings
from flows.decode.config import DecodeConfig
from flows.reproduce.catalogue import SIZES, built_on, read_catalogue
from flows.reproduce.claims import check_units
from flows.reproduce.edited import configuration
from flows.reproduce.numbers import unit
from flows.reproduce.plan import choose, plan
from flows.reproduce.readings import options_of
from flows.reproduce.training_readers import DecodingsOptions
from flows.runtime.config_files import CONFIGS
from transforms.records.audit import AuditSettings

CATALOGUE: Final = read_catalogue()
STEPS: Final = [(size, name) for size in SIZES for name in CATALOGUE.steps[size]]
LINES: Final = [(size, key) for size in SIZES for key in CATALOGUE.sizes[size]]
PAPERS: Final = [(paper, one.id) for paper, found in CATALOGUE.papers.items() for one in found.entries]
AUDIT_FLAGS: Final = {f"--{name.replace('_', '-')}": name for name in AuditSettings.model_fields}


def taken(size: str, name: str, folder: Any) -> Any:
    """What the step's command makes of its recipe and arguments, each placeholder a folder."""
    step = CATALOGUE.steps[size][name]

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [filled(one) for one in value]
        if isinstance(value, str):
            return re.sub(r"\{([a-z0-9-]+)\}", lambda found: str(folder / found[1]), value)
        return value

    (folder / "here").mkdir()
    for file, content in step.files.items():
        (folder / "here" / file).write_text(yaml.safe_dump(filled(content)))
    arguments = filled(step.arguments)
    if step.run == "flows.audit":
        given = dict(zip(arguments[::2], arguments[1::2], strict=True))
        _settings({AUDIT_FLAGS[flag]: int(value) for flag, value in given.items() if flag in AUDIT_FLAGS})
    if step.recipe is not None:
        recipe = filled(step.recipe)
        recipe["output"] = {**recipe.get("output", {}), "dir": str(folder / "here")}
        arguments.insert(0, str(folder / "recipe.yaml"))
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with contextlib.chdir(CONFIGS.parents[1]):
        return configuration(step.run, arguments)


@pytest.mark.parametrize(("size", "name"), STEPS, ids=lambda one: str(one))
def test_every_step_is_what_its_command_takes(size, name, tmp_path):
    assert taken(size, name, tmp_path) is not None


def test_a_key_that_a_command_does_not_know_is_found_by_the_test_above(tmp_path, monkeypatch):
    step = CATALOGUE.steps["small"]["dpo"]
    wrong = step.model_copy(update={"recipe": {**(step.recipe or {}), "learning": 1}})
    monkeypatch.setitem(CATALOGUE.steps["small"], "dpo", wrong)
    with pytest.raises(Exception, match="learning"):
        taken("small", "dpo", tmp_path)


def test_the_decoding_of_the_small_size_follows_the_policy_that_is_trained_there(tmp_path):
    found = taken("small", "decode", tmp_path)
    assert isinstance(found, DecodeConfig)
    assert (found.run, found.policy) == (tmp_path / "pairs", str(tmp_path / "dpo/model"))
    assert (found.mix, found.length, found.kl) == ((0.0, 0.5, 1.0, 1.5), (4, 16), (0.01, 0.1))


@pytest.mark.parametrize(("paper", "entry"), PAPERS, ids=lambda one: str(one))
def test_every_entry_says_what_it_shows_and_what_its_axes_are(paper, entry):
    found = CATALOGUE.entry(paper, entry)
    assert found.shows
    assert found.nothing or (found.x and found.y)
    assert " or " not in unit(found.y), "a unit stands behind every number, so it is one"


@pytest.mark.parametrize(("paper", "entry"), PAPERS, ids=lambda one: str(one))
def test_printed_series_have_numbers_and_say_where_they_were_read(paper, entry):
    found = CATALOGUE.entry(paper, entry)
    assert bool(found.printed) == bool(found.printed_in)
    assert len({one.label for one in found.printed}) == len(found.printed)
    for one in found.printed:
        assert one.points, f"{one.label} has no numbers"
        assert all(math.isfinite(point.y) for point in one.points)
        assert len({point.x for point in one.points}) == len(one.points), f"{one.label} has an x twice"


@pytest.mark.parametrize(("size", "key"), LINES, ids=lambda one: str(one))
def test_what_is_redone_has_series_hours_and_a_caveat(size, key):
    line = CATALOGUE.sizes[size][key]
    assert line.needs
    if line.cannot is not None:
        assert line.cannot
        assert not line.series
        return
    assert line.series
    assert line.caveat
    assert size == "paper" or line.hours
    assert {step for one in line.series for step in one.named} <= set(line.steps), (
        "a series reads what is no step of it"
    )


@pytest.mark.parametrize(("size", "key"), LINES, ids=lambda one: str(one))
def test_places_of_claims_are_numbers_on_an_axis_and_names_under_bars(size, key):
    entry = CATALOGUE.entry(*key.split("/"))
    for claim in CATALOGUE.sizes[size][key].claims:
        for place in claim.places:
            if place.series in {one.label for one in CATALOGUE.sizes[size][key].series}:
                assert isinstance(place.x, float if entry.kind == "points" else str), claim.says


@pytest.mark.parametrize(("size", "key"), LINES, ids=lambda one: str(one))
def test_every_series_has_a_reader_that_takes_its_options(size, key):
    line = CATALOGUE.sizes[size][key]
    for one in (*line.series, *line.also):
        options_of(one)


@pytest.mark.parametrize(("size", "key"), LINES, ids=lambda one: str(one))
def test_what_is_drawn_is_in_the_unit_of_its_axis_and_both_points_of_a_claim_in_one(size, key):
    line = CATALOGUE.sizes[size][key]
    check_units(line, line.y_here or CATALOGUE.entry(*key.split("/")).y)


def test_numbers_of_another_quantity_than_the_papers_say_so():
    """AlpacaEval's rates are over GPT-4 Turbo's answers and by GPT-4 Turbo; here nothing is."""
    wins = ("win_rates", "answers")
    for size, key in LINES:
        line = CATALOGUE.sizes[size][key]
        if any(one.reads in wins for one in line.series):
            assert line.y_here.startswith("win rate "), (size, key)
            assert line.y_here.endswith(", %"), (size, key)
    held_out = [key for key, line in CATALOGUE.sizes["small"].items() if "held-out pairs" in line.y_here]
    assert held_out == ["shallow/table-1", "shallow/table-ultrafeedback-tasks"]


@pytest.mark.parametrize(("size", "key"), LINES, ids=lambda one: str(one))
def test_claims_that_rest_on_one_training_say_so(size, key):
    """A comparison trains several seeds; everything else that builds on a training builds on one."""
    line = CATALOGUE.sizes[size][key]
    labels = {place.series for claim in line.claims for place in claim.places}
    readings = [
        one for one in (*line.series, *line.also) if one.label in labels and one.options.get("model") != "start"
    ]
    read = {step for one in readings for step in one.named}
    commands = {step: CATALOGUE.steps[size][step].run for step in CATALOGUE.order(size, sorted(read))}
    if "flows.compare" in {commands[step] for step in read}:
        assert all((CATALOGUE.steps[size][step].recipe or {})["seeds"] > 1 for step in read)
        assert not line.one_training
    else:
        assert line.one_training == ("flows.train" in commands.values())


def test_rewards_of_decoding_rules_stand_over_the_log_ratio_of_the_response_as_the_papers_axis_says():
    for size in SIZES:
        for one in CATALOGUE.sizes[size]["shallow/figure-4"].series:
            options = options_of(one)
            assert isinstance(options, DecodingsOptions)
            assert options.x == "log_ratio"


@pytest.mark.parametrize("size", SIZES)
def test_no_step_is_there_for_nothing(size):
    wanted = [step for line in CATALOGUE.sizes[size].values() for step in line.reads]
    assert set(CATALOGUE.order(size, wanted)) == set(CATALOGUE.steps[size])


def test_the_small_size_needs_no_data_of_the_user_and_no_network():
    for name, step in CATALOGUE.steps["small"].items():
        text = yaml.safe_dump(step.model_dump())
        assert "{data}" not in text, name
        assert "hf://" not in text, name
        assert all(one in ("smollm2", "starter") or "{" in one for one in re.findall(r"\bmodel: ([^\s{]\S*)", text)), (
            name
        )


def test_steps_that_share_completions_sample_in_the_same_way():
    """Else the audit would pay for what the curation has in the ledger."""
    pairs, audit = (CATALOGUE.steps["small"][name].recipe or {} for name in ("pairs", "audit"))
    for key in ("sources", "truncate", "policy", "sampling", "reward"):
        assert pairs[key] == audit[key]


def test_only_alpha_differs_between_the_trainings_of_alphapos_figure_2():
    names = ("simpo", "alphapo", "alphapo-1")
    recipes = [CATALOGUE.steps["small"][name].recipe or {} for name in names]
    objectives = [recipe["objective"]["settings"] for recipe in recipes]
    assert [one.get("alpha", 0) for one in objectives] == [0, 0.25, 1]
    assert len({(one["beta"], one["gamma_beta_ratio"]) for one in objectives}) == 1
    others = [{k: v for k, v in one.items() if k not in ("name", "objective")} for one in recipes]
    assert others[0] == others[1] == others[2]


def test_what_a_policy_answers_was_held_out_of_every_training():
    """All trainings take the run's own split, so its test prompts are nobody's training prompts."""
    for name, step in CATALOGUE.steps["small"].items():
        assert "test_size" not in yaml.safe_dump(step.model_dump()) or name == "pairs"
        if step.run == "flows.evaluate" and "answers" in (step.recipe or {}):
            prompts = (step.recipe or {})["answers"]["prompts"]
            assert prompts == [{"kind": "curated", "path": "{pairs}", "split": "test"}]
            assert "pairs" in built_on(step)


@pytest.mark.parametrize("key", sorted(CATALOGUE.sizes["small"]))
def test_the_hours_of_a_small_entry_are_those_of_all_steps_that_it_rests_on(key):
    line = CATALOGUE.sizes["small"][key]
    steps = [CATALOGUE.steps["small"][name].hours for name in CATALOGUE.order("small", line.reads)]
    assert line.hours == (pytest.approx(sum(steps), abs=0.005) if line.cannot is None else None)


def test_what_is_left_of_the_small_size_counts_each_step_once(tmp_path):
    found = plan(CATALOGUE, "small", choose(CATALOGUE, "small"), tmp_path, None, dry=True)
    hours = sum(step.hours for step in CATALOGUE.steps["small"].values())
    assert found.hours({}) == (pytest.approx(hours), 0, True)
    assert found.hours(dict.fromkeys(found.steps)) == (0, 0, True)
