"""Recipes of rounds: every shipped one fits with all that its rounds are told, and what does not fit is one message."""

import pytest
from rounds_support import rounds_config

from flows.rounds.config import RoundsConfig
from flows.rounds.recipes import JUDGE, curation_of, evaluation_of, policy_after, prompt_sources, training_of
from flows.runtime.config_files import CONFIGS, load_config
from transforms.errors import ConfigError

RECIPES = sorted((CONFIGS / "rounds").glob("*.yaml"))
PROMPTS = [{"kind": "prompts", "path": "./prompts.jsonl"}]


def load(*argv):
    return load_config(RoundsConfig, list(argv), default=CONFIGS / "rounds" / "starter.yaml", program="rounds")


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_shipped_recipe_fits_with_what_its_rounds_are_told(path):
    config = load("--config", str(path))
    assert config.name.startswith(path.stem)
    assert prompt_sources(config)
    curation, training = curation_of(config, 2, PROMPTS), training_of(config, 2)
    assert curation.generate.policies[0].model == curation.policy.model == training.model.model
    assert training.model.model == f"./{config.output.dir}/round-1/training/model"
    assert training.dataset.path == f"./{config.output.dir}/round-2/data" == curation.output.dir
    assert evaluation_of(config, 0, PROMPTS).policies[0].model == config.start.model


def test_any_key_is_a_flag():
    config = load("--rounds", "4", "--train", '{"optimisation": {"steps": 7}}', "--stop.patience", "3")
    assert (config.rounds, config.stop.patience) == (4, 3)
    assert training_of(config, 1).optimisation.steps == 7
    assert training_of(config, 1).objective.name == "simpo"  # the file's own keys stay


def test_a_round_starts_from_the_policy_of_the_one_before_which_is_the_reference_too(tmp_path):
    config = rounds_config(tmp_path)
    assert policy_after(config, 0) == config.start
    assert policy_after(config, 2).model == str(tmp_path / "rounds" / "round-2" / "training" / "model")
    assert training_of(config, 3).model == policy_after(config, 2)
    assert training_of(config, 3).reference is None
    fixed = rounds_config(tmp_path, reference="start")
    assert training_of(fixed, 1).reference is None  # it starts from there
    assert training_of(fixed, 2).reference == fixed.start


def test_all_policies_answer_held_out_prompts_with_the_same_seed_and_name_and_the_judge_decides(tmp_path):
    config = rounds_config(tmp_path)
    start, second = (evaluation_of(config, number, PROMPTS) for number in (0, 2))
    assert start.seed == second.seed
    assert start.policy_labels() == second.policy_labels() == ["policy"]
    assert (start.policies[0].n, start.policies[0].max_new_tokens) == (4, 3)  # its own n; the rest is training's
    assert start.annotator_labels() == [JUDGE, "reward"]
    assert start.aggregate == JUDGE
    assert rounds_alone(tmp_path).annotator_labels() == [JUDGE]


def rounds_alone(tmp_path):
    return evaluation_of(rounds_config(tmp_path, held_out={"annotate": False}), 0, PROMPTS)


def test_annotators_that_compare_answers_with_each_other_say_nothing_across_policies(tmp_path):
    server = {"kind": "judge", "model": "m", "url": "http://127.0.0.1:1/v1"}
    annotators = [
        {"kind": "pairrm"},
        server,
        {**server, "mode": "rubric"},
        {"kind": "reward", "model": "r"},
    ]
    config = rounds_config(tmp_path, curate={"generate": {"annotators": annotators}})
    assert curation_of(config, 1, PROMPTS).generate.annotator_labels() == ["pairrm", "judge", "judge_2", "reward"]
    assert evaluation_of(config, 0, PROMPTS).annotator_labels() == [JUDGE, "judge_2", "reward"]  # by the same names


def test_policies_that_name_a_model_answer_beside_the_round_s(tmp_path):
    policies = [{"model": "teacher", "n": 1}, {"n": 3}]
    found = curation_of(rounds_config(tmp_path, curate={"generate": {"policies": policies}}), 1, PROMPTS).generate
    assert [(one.model, one.n) for one in found.policies] == [("teacher", 1), (str(tmp_path / "policy"), 3)]


def test_without_annotators_the_curation_s_reward_model_scores(tmp_path):
    curate = {"generate": {"annotators": []}, "reward": {"model": "mine"}}
    assert curation_of(rounds_config(tmp_path, curate=curate), 1, PROMPTS).generate.annotators[0].model == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"model": {"model": "x"}}}, r"train\.model is filled in by each round .*leave it out"),
        ({"train": {"dataset": {"path": "./x"}}}, r"train\.dataset\.path is filled in by each round \(found './x'\)"),
        ({"curate": {"output": {"dir": "x"}}}, r"curate\.output\.dir is filled in"),
        ({"curate": {"policy": {"model": "x"}}}, r"curate\.policy\.model is filled in"),
        ({"held_out": {"policy": {"model": "x"}}}, r"held_out\.policy\.model is filled in"),
        ({"train": {"optimisaton": {}}}, r"train\.optimisaton: Extra inputs are not permitted"),
        ({"curate": {"generate": {"pairing": {"strategy": "x"}}}}, r"curate\.generate\.pairing\.strategy: "),
        ({"curate": {"generate": None}}, r"curate\.generate: missing"),
        ({"curate": {"generate": {"policies": [{"model": "x"}]}}}, "all name a model, so no round would answer"),
        ({"curate": {"generate": {"policies": [{"engine": "server"}]}}}, "each round has another: use vllm or"),
        ({"curate": {"policy": "smollm2"}}, r"curate\.policy: expected a mapping \(found 'smollm2'\)"),
        ({"train": {"lora": {"rank": 2, "merge": False}}}, "leaves an adapter, and the next round starts from a whole"),
    ],
)
def test_what_a_round_cannot_be_told_is_named(tmp_path, changes, message):
    config = rounds_config(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message):
        (curation_of(config, 1, PROMPTS), training_of(config, 1), evaluation_of(config, 0, PROMPTS))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rounds", "0"], "rounds: .*greater than or equal to 1"),
        (["--stop.min_gain", "0.5"], r"stop\.min_gain: .*less than 0\.5"),
        (["--reference", "best"], "reference: .*'previous' or 'start'"),
        (["--held_out.prompts", "[]"], "held_out.prompts: .*at least 1 item"),
    ],
)
def test_a_value_that_does_not_fit_is_named(flags, message):
    with pytest.raises(ConfigError, match=message):
        load(*flags)
