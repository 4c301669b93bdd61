"""Rounds with real tiny models: what they leave, what a killed one pays again, and the command through Prefect."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from flows_support import call_plainly
from rounds_support import rounds_config

import flows.curate.flow as curate_module
import flows.generate.flow as generate_module
import flows.rounds.flow as flow_module
import flows.train.flow as train_module
from flows.rounds.plan import plan_rounds
from flows.rounds.recipes import JUDGE
from flows.train.stages import Training
from flows.versions.output_folder import read_generation, read_manifest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


@pytest.fixture
def plainly(monkeypatch):
    call_plainly(monkeypatch, curate_module, generate_module, train_module, flow_module)
    monkeypatch.setattr("flows.curate.finish.draw_pictures", lambda *_: {})
    monkeypatch.setenv("TQDM_DISABLE", "1")


def run(config):
    plan = plan_rounds(config)
    return plan.finished or flow_module.run_rounds(plan)


def test_two_rounds_leave_pairs_policies_answers_and_a_page(tmp_path, plainly):
    config = rounds_config(tmp_path)
    found = run(config)
    folder = tmp_path / "rounds"
    assert [one.data.prompts for one in found.rounds] == [10, 10]  # of 12, two are held out
    held = [json.loads(line)["prompt"] for line in (folder / "prompts" / "held-out-1.jsonl").read_text().splitlines()]
    assert len(held) == found.prompts.held == 6
    first, second = (read_manifest(folder / f"round-{number}" / "data") for number in (1, 2))
    assert first.version != second.version
    assert first.generated.policies[0].fingerprint == found.start.fingerprint
    assert second.generated.policies[0].fingerprint == found.rounds[0].model.fingerprint
    assert found.rounds[0].model.fingerprint != found.rounds[1].model.fingerprint != found.start.fingerprint
    answers = [read_generation(folder / "held-out" / name) for name in ("start", "round-1", "round-2")]
    assert [one.counts.responses for one in answers] == [24, 24, 24]
    assert [one.annotators[0].label for one in answers] == [JUDGE] * 3
    assert found.rounds[1].over_start.rate.count == 6
    assert found.start_answers.judge.scored == answers[0].annotators[0].scored
    assert found.start_answers.judge.mean == pytest.approx(answers[0].annotators[0].mean)
    page = (folder / "report.html").read_text()
    assert "Is it the goal, or the annotator?" in page
    assert "## Round 2" in (folder / "round-2" / "data" / "README.md").read_text()


def test_a_killed_round_pays_for_nothing_twice_and_ends_with_the_same_policy(tmp_path, plainly, monkeypatch):
    straight = run(rounds_config(tmp_path))
    other = rounds_config(
        tmp_path, output={"dir": str(tmp_path / "killed")}, ledger=str(tmp_path / "ledger-2"), train={"save_steps": 1}
    )
    paid, real = [], generate_module.answer
    train = Training.train

    def counted(*arguments):
        real(*arguments)
        paid.append(arguments[0].spend.generated)

    def killed(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(generate_module, "answer", counted)
    for _ in range(2):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Training, "train", killed)
            run(other)
    assert paid == [24, 60]  # held-out answers of the start, responses of the first round: the second try paid nothing
    assert Training.train is train
    found = run(other)
    assert sum(paid) == 24 * 3 + 60 * 2
    assert [one.model.fingerprint for one in found.rounds] == [one.model.fingerprint for one in straight.rounds]
    assert [one.over_start for one in found.rounds] == [one.over_start for one in straight.rounds]


def test_with_the_start_as_reference_the_second_round_reads_it(tmp_path, plainly):
    objective = {"objective": {"name": "dpo", "settings": {"beta": 0.5}}}
    both = {
        reference: run(
            rounds_config(
                tmp_path, train=objective, reference=reference, output={"dir": str(tmp_path / f"to-{reference}")}
            )
        )
        for reference in ("previous", "start")
    }
    records = {
        (name, number): json.loads((tmp_path / f"to-{name}/round-{number}/training/training.json").read_text())
        for name in both
        for number in (1, 2)
    }
    # Where the reference is what training starts from, both rewards are 0 before the first step.
    assert records["previous", 2]["before"]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert records["start", 1]["before"]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert abs(records["start", 2]["before"]["loss"] - 0.6931) > 0.005
    first = {name: found.rounds[0].model.fingerprint for name, found in both.items()}
    assert first["previous"] == first["start"]
    assert both["previous"].rounds[1].model.fingerprint != both["start"].rounds[1].model.fingerprint


def test_a_round_may_measure_whether_cut_pairs_keep_their_order(tmp_path, plainly):
    plain = {"engine": "transformers", "dtype": "float32"}
    curate = {
        "generate": {"policies": [{**plain, "n": 6, "max_new_tokens": 12}]},
        "truncate": {"method": "ratio", "ratio": 0.5},
        "policy": plain,
        "sampling": {"n": 2, "max_new_tokens": 6, "batch": 8},
        "reward": {**plain, "model": str(tmp_path / "reward")},
        "output": {"test_size": 0},
    }
    found = run(rounds_config(tmp_path, curate=curate))
    second = read_manifest(tmp_path / "rounds" / "round-2" / "data")
    assert second.policy.fingerprint == found.rounds[0].model.fingerprint  # completes its own cut responses
    assert second.completions.requests > 0
    assert second.consistency
    assert found.rounds[1].data.kept <= found.rounds[1].data.pairs


def test_the_command_runs_through_prefect_and_a_rerun_needs_none(tmp_path, shared_server):
    recipe = tmp_path / "rounds.yaml"
    recipe.write_text(yaml.safe_dump(rounds_config(tmp_path).model_dump(mode="json")))

    def command(*flags, **environment):
        return subprocess.run(
            [sys.executable, "-m", "flows.rounds", str(recipe), *flags],
            cwd=ROOT,
            env={**shared_server.environment, **environment},
            capture_output=True,
            text=True,
            timeout=280,
        )

    first = command()
    assert first.returncode == 0, first.stderr[-3000:]
    for words in (
        "over the start",
        "at equal",
        "held-out answers: held-out judge",
        "12 to train on, 2 of them",
        "report.html",
    ):
        assert words in first.stdout
    for words in ("before round 1: the start answers", "round 2 of 2: train", "round 2: wins"):
        assert words in first.stderr
    again = command(PYTHONPROFILEIMPORTTIME="1")
    assert again.returncode == 0
    assert "Nothing changed" in again.stdout
    modules = {line.rsplit("|", 1)[-1].strip() for line in again.stderr.splitlines() if line.startswith("import time:")}
    assert not modules & {"prefect", "torch"}
    refused = command("--held_out.judge.model", str(tmp_path / "reward"))
    assert refused.returncode == 2
    assert "held_out.judge is reward, which training data are by" in refused.stderr
