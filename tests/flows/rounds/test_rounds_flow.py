"""The order of rounds, what a killed one does again, when rounds stop: with steps that only say that they were done."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from flows_support import call_plainly
from rounds_support import rounds_config

import flows.rounds.flow as flow_module
from flows.rounds.held_out import Answers
from flows.rounds.output import read_rounds
from flows.rounds.plan import plan_rounds
from flows.train.output import MODEL, RECORD
from flows.versions.output_folder import MANIFEST
from transforms.engines.protocol import ModelIdentity
from transforms.errors import ConfigError, OutputError, SourceError
from transforms.pairing.win_rate import Samples
from transforms.records.rounds import AnswersRecord, MeanScore

PROMPTS = 8
TWO_ROUNDS = [
    "held-out/start",
    *("round-1/data", "round-1/training", "held-out/round-1"),
    *("round-2/data", "round-2/training", "held-out/round-2"),
]


class Steps:
    """Steps in place of the real ones: done once, found done from then on.

    Args:
        wins: of PROMPTS, at how many each round's policy scores higher than the start.
    """

    def __init__(self, wins=(5, 6, 7, 8)):
        self.wins = dict(enumerate(wins, 1))
        self.done: list[str] = []
        self.recipes = {}
        self.left = None  # steps until it is killed

    def plan(self, recipe):
        folder = Path(recipe.output.dir)
        key = f"{folder.parent.name}/{folder.name}"
        self.recipes[key] = recipe
        identity = ModelIdentity("m", "local", "f", "float32", "transformers")
        policies = [SimpleNamespace(model=SimpleNamespace(identity=identity))]
        finished = self.result() if key in self.done else None
        return SimpleNamespace(key=key, finished=finished, folder=folder, policies=policies)

    def work(self, plan, *_):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        self.done.append(plan.key)
        plan.folder.mkdir(parents=True, exist_ok=True)
        (plan.folder / MANIFEST).touch()
        return self.result()

    def result(self):
        counts = SimpleNamespace(pairs=9, kept=8, splits={"train": 7})
        generated = SimpleNamespace(prompts=10, responses=60)
        return SimpleNamespace(
            version="v", counts=counts, generated=generated, trained=SimpleNamespace(steps=2), files=[]
        )

    def answers(self, folder, _manifest):
        number = 0 if folder.name == "start" else int(folder.name.removeprefix("round-"))
        won = self.wins.get(number, 0)
        scores = np.where(np.arange(PROMPTS) < won, float(number), -1.0) if number else np.zeros(PROMPTS)
        samples = Samples(np.arange(PROMPTS), scores, np.full(PROMPTS, 3))
        mean = MeanScore(mean=float(scores.mean()), sd=1.0, scored=PROMPTS)
        return Answers(
            samples, AnswersRecord(responses=8, finished=4, tokens=3.0, judge=mean, annotators={"reward": mean})
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Models and prompts that no test changes."""
    folder = tmp_path_factory.mktemp("rounds")
    rounds_config(folder)
    return folder


@pytest.fixture
def steps(monkeypatch):
    found = Steps()
    call_plainly(monkeypatch, flow_module)
    for name in ("plan_generation", "plan_run", "plan_training"):
        monkeypatch.setattr(flow_module, name, found.plan)
    for name in ("make", "curate_stages", "run_training"):
        monkeypatch.setattr(flow_module, name, found.work)
    monkeypatch.setattr(flow_module, "read_answers", found.answers)
    monkeypatch.setattr("flows.rounds.plan._there", lambda _config, number: f"round-{number}/training" in found.done)
    return found


@pytest.fixture
def recipe(world, tmp_path):
    def made(**changes):
        return rounds_config(world, **{"output": {"dir": str(tmp_path / "out")}, **changes})

    return made


def run(config):
    plan = plan_rounds(config)
    return plan.finished or flow_module.run_rounds(plan)


def same(found):
    """Without what differs from one run to the next."""
    return found.model_copy(
        update={
            "finished_at": "",
            "rounds": [one.model_copy(update={"seconds": 0.0}) for one in found.rounds],
        }
    )


def test_a_round_is_data_training_and_held_out_answers_each_with_the_newest_policy(steps, recipe, tmp_path):
    found = run(recipe())
    assert steps.done == TWO_ROUNDS
    first, second = (str(tmp_path / "out" / f"round-{number}" / "training" / MODEL) for number in (1, 2))
    data, training = steps.recipes["round-2/data"], steps.recipes["round-2/training"]
    assert data.generate.policies[0].model == data.policy.model == training.model.model == first
    assert training.dataset.path == str(tmp_path / "out" / "round-2" / "data")
    assert steps.recipes["held-out/round-2"].policies[0].model == second
    assert [one.over_start.rate.value for one in found.rounds] == [5 / 8, 6 / 8]
    assert (found.ended, found.rounds[1].best_before) == ("all_rounds", 1)
    best = json.loads((tmp_path / "out" / "best.json").read_text())
    assert best == {"round": 2, "model": second}
    assert (found.prompts.found, found.prompts.overlap, found.prompts.parts, found.prompts.held) == (12, 2, [10], 6)


@pytest.mark.parametrize("after", range(len(TWO_ROUNDS)))
def test_rounds_that_are_killed_do_no_step_twice_and_end_as_if_they_had_not_been(steps, recipe, after):
    config = recipe()
    steps.left = after
    with pytest.raises(KeyboardInterrupt):
        run(config)
    assert plan_rounds(config).finished is None
    steps.left = None
    found = run(config)
    assert steps.done == TWO_ROUNDS
    straight = recipe(output={"dir": config.output.dir, "overwrite": True})
    shutil.rmtree(config.output.dir)
    steps.done = []
    assert same(run(straight)).rounds == same(found).rounds


def test_a_second_call_does_nothing_and_more_rounds_go_on_after_the_last(steps, recipe):
    found = run(recipe())
    assert run(recipe()) == found
    assert run(recipe(name="other")) == found  # a name changes no round
    assert steps.done == TWO_ROUNDS
    more = run(recipe(rounds=3))
    assert steps.done == [*TWO_ROUNDS, "round-3/data", "round-3/training", "held-out/round-3"]
    assert same(more).rounds[:2] == same(found).rounds
    assert run(recipe(rounds=2)) == more  # what was done stays


def test_rounds_stop_where_a_policy_does_not_beat_the_best_before_it(steps, recipe, tmp_path):
    steps.wins = {1: 6, 2: 3, 3: 8}
    found = run(recipe(rounds=3, stop={"patience": 1}))
    assert [one.better for one in found.rounds] == [True, False]
    assert found.ended == "stopped"
    assert json.loads((tmp_path / "out" / "best.json").read_text())["round"] == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "stopped since no more came of it" in page
    assert "round 1 is the best" in page.lower()
    assert run(recipe(rounds=5, stop={"patience": 1})) == found
    # Another rule changes no round that was done: it goes on from there.
    patient = run(recipe(rounds=3, stop={"patience": 2}))
    assert [one.better for one in patient.rounds] == [True, False, True]
    assert steps.done[7:] == ["round-3/data", "round-3/training", "held-out/round-3"]
    assert patient.rounds[2].best_before == 1


def test_a_round_is_held_against_the_best_before_it_and_not_only_the_last(steps, recipe):
    steps.wins = {1: 6, 2: 3, 3: 5}
    third = run(recipe(rounds=3)).rounds[2]
    assert third.best_before == 1
    assert third.over_best.rate.value == 6 / 8  # five won, one lost, two that both lost to the start
    assert third.over_previous.rate.value == 6.5 / 8


def test_by_the_lower_end_of_the_interval_eight_prompts_prove_little(steps, recipe, tmp_path):
    found = run(recipe(stop={"patience": 1, "by": "low"}))
    assert found.rounds[0].over_start.rate.low < 0.5 < found.rounds[0].over_start.rate.value
    assert (len(found.rounds), found.ended) == (1, "stopped")
    assert json.loads((tmp_path / "out" / "best.json").read_text()) == {"round": 0, "model": recipe().start.model}


def test_each_round_takes_the_next_part_of_the_prompts_and_then_the_first_again(steps, recipe):
    found = run(recipe(rounds=3, prompt_parts=2))
    assert [one.part for one in found.rounds] == [1, 2, 1]
    paths = [steps.recipes[f"round-{number}/data"].generate.prompts[0].path for number in (1, 2, 3)]
    assert paths[0] == paths[2] != paths[1]


def test_the_card_says_once_which_round_it_is_of(steps, recipe, tmp_path, monkeypatch):
    card = tmp_path / "out" / "round-1" / "data" / "README.md"
    work = steps.work

    def with_a_card(plan, *rest):
        done = work(plan, *rest)
        (plan.folder / "README.md").write_text("# a card\n\nsomebody's words\n")
        return done

    monkeypatch.setattr(flow_module, "curate_stages", with_a_card)
    run(recipe(rounds=1))
    run(recipe(rounds=2))  # walks through the first round again
    text = card.read_text()
    assert text.startswith("# a card\n\nsomebody's words\n\n<!-- rounds -->\n## Round 1\n")
    assert text.count("## Round") == 1
    assert "over the start 62.5%" in text
    assert "over the policy of round 1" in (tmp_path / "out" / "round-2" / "data" / "README.md").read_text()


def test_a_round_without_a_pair_says_so(steps, recipe, monkeypatch):
    monkeypatch.setattr(steps, "result", lambda: SimpleNamespace(
        version="v", counts=SimpleNamespace(pairs=3, kept=0, splits={"train": 0}), generated=None
    ))  # fmt: skip
    with pytest.raises(SourceError, match=r"round 1: no pair is left to train on \(of 3 pairs 0 were kept\)"):
        run(recipe())


def test_rounds_of_another_recipe_and_files_of_others_are_not_replaced(steps, recipe, tmp_path):
    run(recipe())
    other = {"train": {"optimisation": {"learning_rate": 0.02}}}
    with pytest.raises(OutputError, match=r"holds rounds of another recipe.*\(unit, 2 rounds\).*overwrite true"):
        run(recipe(**other))
    assert len(read_rounds(tmp_path / "out").rounds) == 2
    found = run(recipe(**other, output={"dir": str(tmp_path / "out"), "overwrite": True}))
    assert len(found.rounds) == 2
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"is not empty and holds no rounds \(found thesis\.tex\)"):
        run(recipe(output={"dir": str(foreign)}))
    (tmp_path / "out" / "rounds.json").write_text("{}")
    with pytest.raises(OutputError, match=r"is not of this version .*choose another --output\.dir"):
        run(recipe())


def test_a_judge_that_training_data_are_by_is_refused_wherever_it_lies(world, recipe, tmp_path):
    shutil.copytree(world / "reward", tmp_path / "a-copy")
    for same_one in (world / "reward", tmp_path / "a-copy"):
        judge = {"judge": {"model": str(same_one), "engine": "transformers", "dtype": "bfloat16"}}
        with pytest.raises(ConfigError, match=r"held_out\.judge is .*, which training data are by.*same_judge: true"):
            plan_rounds(recipe(held_out=judge))
        assert plan_rounds(recipe(held_out={**judge, "same_judge": True})).judge.name == same_one.name


def test_another_text_of_a_template_makes_other_rounds(world, recipe, tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text((world / "reward" / "chat_template.jinja").read_text())
    judge = {"model": str(world / "other" / "reward"), "engine": "transformers", "chat_template": str(file)}
    before = plan_rounds(recipe(held_out={"judge": judge})).fingerprint
    assert plan_rounds(recipe(held_out={"judge": judge})).fingerprint == before
    file.write_text(file.read_text().replace("{{", "{{ ' ' + ", 1))
    assert plan_rounds(recipe(held_out={"judge": judge})).fingerprint != before


def test_a_judge_that_filters_by_consistency_is_refused_too(world, recipe):
    curate = {
        "reward": {"model": str(world / "other" / "reward"), "dtype": "float32"},
        "policy": {"engine": "transformers", "dtype": "float32"},
        "truncate": {"method": "poet"},
    }
    with pytest.raises(ConfigError, match="which training data are by"):
        plan_rounds(recipe(curate=curate))


def test_an_annotator_cannot_have_the_held_out_judge_s_name_and_an_objective_is_checked_before_anything_is_sampled(
    world, recipe
):
    named = [{"kind": "reward", "name": "held_out_judge", "model": str(world / "reward")}]
    with pytest.raises(ConfigError, match=r"curate\.generate\.annotators: one is called 'held_out_judge'"):
        plan_rounds(recipe(curate={"generate": {"annotators": named}}, held_out={"annotate": False}))
    with pytest.raises(ConfigError, match="simpoo"):
        plan_rounds(recipe(train={"objective": {"name": "simpoo"}}))


def test_a_policy_that_is_gone_is_made_again(steps, recipe):
    run(recipe())
    steps.done.remove("round-2/training")
    assert plan_rounds(recipe()).finished is None
    assert RECORD == "training.json"


def test_names_of_models_are_text_on_the_page(steps, recipe, tmp_path, world):
    evil = tmp_path / "<script>alert(1)<"
    shutil.copytree(world / "other" / "reward", evil)
    run(recipe(held_out={"judge": {"model": str(evil), "engine": "transformers", "dtype": "float32"}}))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;" in page
