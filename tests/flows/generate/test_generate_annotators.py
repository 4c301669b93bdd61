"""Several annotators in one recipe: their columns, their agreement, what each is worth, and what it cannot say."""

import re
import shutil

import pytest
from flows_support import model_folders
from generation_support import SAYS, World, generation, quarantine, run, shards
from reward_models import save_armorm, save_pairrm
from scripted_judge import Reply, prefers, running_judge, verdict

from flows.generate.dry_run import dry_run
from flows.generate.plan import plan_generation
from flows.models import recipe_models
from transforms.engines.objectives import ARMORM_OBJECTIVES
from transforms.errors import ConfigError, ModelError

OPENS = recipe_models.open_reward
PROMPTS = [f"question {number}" for number in range(3)]
RULES = """
def brief(prompt, response):
    return -len(response)

def picky(prompt, response):
    if "dog" in response:
        raise ValueError("no dogs")
    return float("nan") if response == "seven" else len(response)

def odd(prompt, response):
    if int(prompt.split()[1]) % 2 == 0:
        raise ValueError(f"not {prompt}")
    return len(response)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"))


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "rules.py").write_text(RULES)
    return str(tmp_path / "rules.py")


def reward(models, **changes):
    return {"kind": "reward", "model": str(models[1]), "engine": "transformers", "dtype": "float32"} | changes


def test_two_annotators_of_opposite_taste_have_columns_of_their_own_and_disagree(tmp_path, models, world, rules):
    world.reward = len
    annotators = [reward(models), {"kind": "rule", "name": "brief", "function": f"{rules}:brief"}]
    manifest = run(generation(tmp_path, models, PROMPTS, annotators=annotators, aggregate="brief"))
    rows = shards(tmp_path / "out/responses").to_pylist()
    assert [row["score_brief"] for row in rows[:5]] == [-len(text) for text in SAYS]
    assert all(row["score"] == row["score_brief"] for row in rows)
    (found,) = manifest.agreement
    # Longer text, longer conversation: the orders are each other's reverse but for the two of equal length.
    assert (found.first, found.second, found.tau.value, found.tau.prompts) == ("reward", "brief", -1.0, 3)
    assert found.same_best.value == 0.0
    pairs = shards(tmp_path / "out/dataset/train").to_pylist()
    assert {(pair["chosen"], pair["rejected"]) for pair in pairs} == {("a dog", "the cat sat on the mat")}


def test_a_rule_that_raises_or_returns_nan_leaves_those_responses_without_a_score(tmp_path, models, world, rules):
    annotators = [{"kind": "rule", "function": f"{rules}:picky"}]
    manifest = run(generation(tmp_path, models, PROMPTS, annotators=annotators))
    assert manifest.counts.status == {"usable": 6, "unscored": 9}
    errors = [line["error"] for line in quarantine(tmp_path / "out")]
    assert len(errors) == manifest.counts.quarantined_responses == 9
    assert sum("no dogs" in error for error in errors) == 6
    assert sum("nan" in error for error in errors) == 3
    assert manifest.counts.pairs == 3
    rows = shards(tmp_path / "out/responses").to_pylist()
    assert all((row["why"] is None) == (row["status"] == "usable") for row in rows)
    assert sorted(row["why"] for row in rows if row["why"]) == sorted(errors)


def test_a_reason_is_of_its_own_response_in_every_wave_of_prompts(tmp_path, models, world, rules):
    prompts = [f"question {number}" for number in range(12)]
    annotators = [{"kind": "rule", "function": f"{rules}:odd"}]
    manifest = run(generation(tmp_path, models, prompts, annotators=annotators, accept=6))
    assert manifest.counts.drawn > 7  # of the first wave
    for row in shards(tmp_path / "out/responses").to_pylist():
        asked = row["prompt"][0]["content"]
        assert row["why"] == (None if row["score"] else f"rule: it raised ValueError: not {asked}")


def test_a_response_that_two_annotators_could_not_score_has_both_reasons(tmp_path, models, world, rules):
    annotators = [{"kind": "rule", "name": name, "function": f"{rules}:picky"} for name in ("one", "two")]
    run(generation(tmp_path, models, PROMPTS[:1], annotators=annotators, batch=1))
    whys = [row["why"] for row in shards(tmp_path / "out/responses").to_pylist() if row["why"]]
    assert len(whys) == 3
    assert all(re.fullmatch(r"one: (.+); two: \1", why) for why in whys)


def test_a_judges_preference_for_a_place_is_found_and_cancels_out(tmp_path, models, world):
    with running_judge() as judge:
        annotators = [{"kind": "judge", "model": "org/judge", "url": judge.url}]
        manifest = run(generation(tmp_path, models, PROMPTS, annotators=annotators))
    (found,) = manifest.reliability
    assert (found.comparisons, found.first_wins.value, found.order_same.value) == (30, 1.0, 0.0)
    assert manifest.counts.without_pair == {"tie": 3}
    assert manifest.annotators[0].pairwise
    assert manifest.annotators[0].spend.requests == 60


def test_a_judge_without_such_a_preference_puts_its_best_first(tmp_path, models, world):
    with running_judge() as judge:
        judge.reply = prefers("the dog ran")
        price = {"input": 1.0, "output": 10.0}
        annotators = [{"kind": "judge", "model": "org/judge", "url": judge.url, "price_per_million": price}]
        manifest = run(generation(tmp_path, models, PROMPTS, annotators=annotators))
    (found,) = manifest.reliability
    assert (found.first_wins.value, found.order_same.value) == (0.5, 1.0)
    assert {pair["chosen"] for pair in shards(tmp_path / "out/dataset/train").to_pylist()} == {"the dog ran"}
    # 60 questions of 30 tokens, answered in 7.
    assert manifest.annotators[0].price == pytest.approx(60 * (30 * 1.0 + 7 * 10.0) / 1e6)


def test_unreadable_judgements_are_counted_and_quarantined_and_never_a_tie(tmp_path, models, world):
    asked = []

    def every_third_is_garbage(body):
        asked.append(body)
        return Reply('{"verdict": "fir') if "the cat sat on the mat" in str(body["messages"]) else Reply(verdict("tie"))

    with running_judge() as judge:
        judge.reply = every_third_is_garbage
        annotators = [{"kind": "judge", "model": "org/judge", "url": judge.url, "attempts": 1}]
        manifest = run(generation(tmp_path, models, PROMPTS[:1], annotators=annotators))
    (found,) = manifest.reliability
    assert found.unreadable == 8  # four opponents, both orders
    assert found.comparisons == 6
    (row,) = [r for r in shards(tmp_path / "out/responses").to_pylist() if r["response"] == "the cat sat on the mat"]
    assert (row["score"], row["status"]) == (None, "unscored")
    lines = quarantine(tmp_path / "out")
    assert len(lines) == manifest.counts.quarantined_responses == 8 + 1
    assert all(line["error"].startswith("judge") for line in lines)


def test_armorm_gives_a_column_an_objective(tmp_path, models, world, monkeypatch):
    monkeypatch.setattr(recipe_models, "open_reward", OPENS)  # the real one
    folder = save_armorm(tmp_path / "armorm")
    annotators = [reward(models, name="armorm", model=str(folder))]
    manifest = run(generation(tmp_path, models, PROMPTS[:1], annotators=annotators, policy={"n": 2}))
    assert manifest.annotators[0].objectives == [name.replace("-", "_") for name in ARMORM_OBJECTIVES]
    (first, _) = shards(tmp_path / "out/responses").to_pylist()
    assert first["score_armorm"] is not None
    assert first["score_armorm_helpsteer_verbosity"] is not None
    assert sum(name.startswith("score_armorm_") for name in first) == 19


def test_a_name_that_makes_a_column_of_anothers_objective_is_refused(tmp_path, models, world):
    folder = save_armorm(tmp_path / "armorm")
    annotators = [reward(models, name="a", model=str(folder)), reward(models, name="a_code_style")]
    with pytest.raises(ConfigError, match="two annotators have a column score_a_code_style"):
        plan_generation(generation(tmp_path, models, PROMPTS[:1], annotators=annotators))


def test_pairrm_compares_both_orders_and_scores_are_their_mean_margins(tmp_path, models, world):
    folder = save_pairrm(tmp_path / "pairrm")
    annotators = [{"kind": "pairrm", "model": str(folder)}]
    manifest = run(generation(tmp_path, models, PROMPTS[:1], annotators=annotators, policy={"n": 3}, repeats=1))
    (found,) = manifest.reliability
    assert (found.comparisons, found.repeated) == (3, 3)
    assert found.repeat_largest == pytest.approx(0, abs=1e-5)
    rows = shards(tmp_path / "out/responses").to_pylist()
    # Each margin is given to one and taken from the other.
    assert sum(row["score_pairrm"] for row in rows) == pytest.approx(0, abs=1e-6)
    assert manifest.annotators[0].spend.requests == 12


def test_another_aggregate_asks_no_annotator_again(tmp_path, models, world, rules):
    annotators = [reward(models), {"kind": "rule", "function": f"{rules}:brief"}]
    for aggregate in ("mean_z", "mean_rank", "minimum", "rule"):
        config = generation(tmp_path, models, PROMPTS, annotators=annotators, aggregate=aggregate)
        assert plan_generation(config).finished is None
        manifest = run(config)
        assert manifest.counts.status == {"usable": 15}
        shutil.rmtree(tmp_path / "out")
    assert world.scored == 15


def test_another_text_of_a_reward_models_template_is_another_run(tmp_path, models, world):
    file = tmp_path / "template.jinja"
    file.write_text((models[1] / "chat_template.jinja").read_text())
    config = generation(tmp_path, models, PROMPTS, annotators=[reward(models, chat_template=str(file))])
    first = run(config)
    assert plan_generation(config).finished == first
    file.write_text(file.read_text().replace("{{", "{{ ' ' + ", 1))
    assert plan_generation(config).finished is None


def test_a_changed_rule_is_another_annotator(tmp_path, models, world, rules):
    config = generation(tmp_path, models, PROMPTS, annotators=[{"kind": "rule", "function": f"{rules}:brief"}])
    first = run(config)
    assert plan_generation(config).finished == first
    (tmp_path / "rules.py").write_text(RULES.replace("-len", "len"))
    assert plan_generation(config).finished is None


def test_a_dry_run_counts_both_orders_of_every_two_and_what_is_asked_again(tmp_path, models, rules):
    folder = save_pairrm(tmp_path / "pairrm")
    annotators = [{"kind": "pairrm", "model": str(folder)}, {"kind": "rule", "function": f"{rules}:brief"}]
    config = generation(tmp_path, models, PROMPTS, annotators=annotators, policy={"n": 3}, repeats=2)
    # 3 prompts and 2 of them again; 3 responses are 6 comparisons.
    assert dry_run(plan_generation(config), measure=False).annotators == [("pairrm", 9, 30), ("rule", 9, 15)]


def test_a_model_without_a_reward_is_refused_before_the_policies_answer(tmp_path, models):
    annotators = [{"kind": "reward", "model": str(models[0]), "engine": "transformers"}]
    with pytest.raises(ModelError, match=r"LlamaForCausalLM, expected one that .*: a causal model has no reward head"):
        plan_generation(generation(tmp_path, models, PROMPTS, annotators=annotators))
