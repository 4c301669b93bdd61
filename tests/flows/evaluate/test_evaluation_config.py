"""Configurations of evaluations: every shipped one loads, every mistake is one clear message."""

import pytest

from flows.evaluate.config import EvaluationConfig
from flows.runtime.config_files import CONFIGS, load_config
from transforms.errors import ConfigError

SHIPPED = sorted((CONFIGS / "evaluate").glob("*.yaml"))


def load(*argv, default=CONFIGS / "evaluate" / "starter.yaml"):
    return load_config(EvaluationConfig, list(argv), default=default, program="evaluate")


@pytest.mark.parametrize("path", SHIPPED, ids=[p.stem for p in SHIPPED])
def test_every_shipped_configuration_loads_and_is_named_like_its_file(path):
    assert load("--config", str(path)).name == path.stem


def test_any_key_is_a_flag():
    found = load("--reward.ratios", "[0.3]", "--policy.model", "./p", "--output.dir", "elsewhere")
    assert found.reward.ratios == [0.3]
    assert (found.policy.model, found.policy.implicit, found.output.dir) == ("./p", "mean_log_prob", "elsewhere")


def test_with_a_reference_the_reward_is_the_log_ratio():
    assert load("--policy.model", "./p", "--policy.reference.model", "./r").policy.implicit == "log_ratio"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--reward", '{"model": "m", "ratio": [0.3]}'], "reward.ratio: no such key; did you mean ratios?"),
        (["--reward.ratios", "[1.5]"], "reward.ratios.0: Input should be less than 1"),
        (
            ["--policy.model", "./p", "--policy.measure", "log_ratio"],
            "measure: log_ratio needs policy.reference.model",
        ),
        (
            ["--sources", '[{"kind": "shp", "path": "./a"}, {"kind": "skywork", "path": "./b", "label": "shp"}]'],
            "sources 1 and 2 are both called 'shp'; give each a label of its own",
        ),
    ],
)
def test_a_mistake_is_one_message(argv, message):
    with pytest.raises(ConfigError) as found:
        load(*argv)
    assert message in str(found.value)


def test_something_has_to_be_evaluated(tmp_path):
    path = tmp_path / "none.yaml"
    path.write_text("name: none\nsources: [{kind: shp, path: ./a.jsonl}]\noutput: {dir: out}\n")
    with pytest.raises(ConfigError, match=r"nothing to evaluate: name reward\.model, policy\.model, answers\.models"):
        load("--config", str(path))


def test_where_the_result_goes_changes_no_number():
    assert load("--output.dir", "a", "--ledger", "l").settings() == load("--output.dir", "b").settings()
    assert load("--seed", "1").settings() != load().settings()
