"""`flows.evaluate` with tiny real models: what it counts, writes, prints, reuses and refuses."""

import json
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from evaluation_support import ROWS, config, make_models, row, run
from flows_support import call_at_once
from rich.console import Console
from tests_support import tiny_tokenizer

import flows.evaluate.flow as flow_module
import flows.evaluate.reward as reward_module
import flows.models.log_probs as log_probs_module
from flows.evaluate.artifacts import show_evaluation
from flows.evaluate.plan import plan_evaluation
from flows.evaluate.reward import reward_margins
from flows.evaluate.summary import print_evaluation
from flows.models import recipe_models as flow_models
from flows.models.scoring import Scorer
from flows.runtime.progress import Progress
from transforms.audit.curves import ratio_cuts, token_cuts
from transforms.engines.protocol import ScoreRequest
from transforms.errors import ModelError, OutputError, SourceError
from transforms.preparation.prepare import prepare
from transforms.preparation.truncation import Truncation
from transforms.records.evaluation import Evaluation
from transforms.records.manifest import SpendRecord
from transforms.sources.load import load_batches

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def found(tmp_path_factory, models):
    folder = tmp_path_factory.mktemp("evaluation")
    wanted = config(folder, models)
    return run(wanted), wanted, folder / "out"


def test_every_row_is_judged_left_out_or_quarantined_with_its_reason(found):
    result, _, folder = found
    assert (result.counts.raw_rows, result.counts.read, result.counts.loaded, result.counts.quarantined) == (9, 9, 8, 1)
    for judged in (result.reward.counts, result.policy.counts):
        assert (judged.loaded, judged.judged, judged.quarantined) == (8, 7, 1)
    rows = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    assert [(r["stage"], r["source_id"]) for r in rows] == [("load", "7"), ("tokenise", "8"), ("tokenise", "8")]
    assert "chosen is empty" in rows[0]["error"]
    assert "<|im_end|>" in rows[1]["error"]


def test_accuracies_are_by_subset_and_prompts_are_counted_whichever_form_they_have(found):
    result, _, _ = found
    for accuracy in (result.reward.accuracy, result.policy.accuracy):
        assert [(r.source, r.subset, r.pairs, r.prompts) for r in accuracy] == [
            ("all", None, 7, 4),
            ("bench", "hep-go", 6, 3),
            ("bench", "my <b>own</b>", 1, 1),
        ]
    assert [s.section for s in result.reward.sections] == ["Reasoning"]


def test_curves_end_at_the_whole_response_and_leave_out_what_cuts_nothing(found):
    result, _, _ = found
    assert [p.at for p in result.reward.kept.by_ratio] == [0.5, 1.0]
    assert [p.at for p in result.reward.kept.by_tokens] == [4.0]
    assert [p.at for p in result.policy.kept.by_ratio] == [0.3, 0.6, 1.0]
    assert [p.at for p in result.policy.kept.by_tokens] == [2.0, 4.0]
    for judged in (result.reward, result.policy):
        assert judged.kept.by_ratio[-1].mean == judged.accuracy[0].value


def test_the_policy_is_read_against_its_reference(found):
    policy = found[0].policy
    assert (policy.measure, policy.distance.pairs) == ("log_ratio", 5)
    assert policy.distance.kl.value > 0
    assert {(c.measure, c.model, c.side) for c in policy.distance.curves} >= {("kl", "both", "chosen")}
    changes = {one.side: one.change.value for one in policy.displacement}
    assert changes["margin"] == pytest.approx(changes["chosen"] - changes["rejected"])
    assert changes["chosen"] != 0


def test_a_policy_beside_itself_orders_nothing(tmp_path, models):
    trained, policy, _ = models
    wanted = config(tmp_path, (policy, policy, trained), reward=None)
    result = run(wanted).policy
    assert result.accuracy[0].ties == result.accuracy[0].pairs == 7
    assert result.accuracy[0].value == 0.5
    assert result.distance.kl.value == 0


def test_without_a_reference_log_probs_a_token_are_the_reward(tmp_path, models):
    result = run(config(tmp_path, models, reward=None, policy={"model": str(models[0]), "dtype": "float32"})).policy
    assert (result.measure, result.reference, result.distance) == ("mean_log_prob", None, None)
    assert [one.change for one in result.displacement] == [None] * 3
    assert result.accuracy[0].margin == pytest.approx(result.displacement[2].after.value)


def test_numbers_and_page_lie_in_the_folder(found):
    result, _, folder = found
    assert Evaluation.model_validate_json((folder / "evaluation.json").read_text()) == result
    page = (folder / "evaluation.html").read_text()
    assert "my &lt;b&gt;own&lt;/b&gt;" in page
    assert "<b>own" not in page


def test_a_rerun_with_nothing_changed_reads_no_pair(found, monkeypatch):
    result, wanted, folder = found
    monkeypatch.setattr(flow_module, "load_pairs", lambda *_: pytest.fail("pairs were read"))
    assert run(wanted) == result
    out = StringIO()
    print_evaluation(Console(file=out, width=160), result, folder, seconds=0.1, unchanged=True)
    assert out.getvalue().startswith("Nothing changed since")


def test_another_policy_pays_for_no_reward_again(tmp_path, models, monkeypatch):
    first = run(config(tmp_path, models))
    assert first.reward.spend.generated > 0
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: pytest.fail("a model was opened"))
    again = run(config(tmp_path, models, policy=None, output={"dir": str(tmp_path / "other")}))
    assert (again.reward.spend.generated, again.reward.spend.reused) == (0, first.reward.spend.requests)
    assert again.reward.accuracy == first.reward.accuracy


def test_another_evaluation_reads_no_response_again_and_loads_a_model_once_at_most(tmp_path, models, monkeypatch):
    opened = []
    load = log_probs_module.load_causal
    monkeypatch.setattr(
        log_probs_module,
        "load_causal",
        lambda model, **options: opened.append(model.location) or load(model, **options),
    )
    first = run(config(tmp_path, models, reward=None)).policy
    assert len(opened) == len(set(opened)) == 2
    assert (first.spend.generated, first.spend.reused) == (22, 0)
    opened.clear()
    wanted = config(tmp_path, models, reward=None, output={"dir": str(tmp_path / "other")})
    by_ratio = wanted.model_copy(update={"policy": wanted.policy.model_copy(update={"position_pairs": 0})})
    again = run(by_ratio).policy
    assert (again.spend.generated, again.spend.reused, opened) == (0, 22, [])
    assert again.accuracy == first.accuracy


def test_another_evaluation_is_not_overwritten_unless_asked(found, models):
    _, wanted, folder = found
    other = wanted.model_copy(update={"seed": 1})
    with pytest.raises(OutputError, match="already holds another evaluation"):
        plan_evaluation(other)
    replaced = other.model_copy(update={"output": other.output.model_copy(update={"overwrite": True})})
    assert plan_evaluation(replaced).finished is None
    assert (folder / "evaluation.json").is_file()


def test_a_folder_of_something_else_is_left_alone(tmp_path, models):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match=r"is not empty and holds no evaluation \(found thesis.tex\)"):
        plan_evaluation(config(tmp_path, models))


def test_a_reference_with_other_tokens_is_refused(tmp_path, models):
    trained, policy, reward = models
    other = tmp_path / "other"
    shutil.copytree(policy, other)
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["brand-new"])
    tokenizer.save_pretrained(other)
    with pytest.raises(ModelError, match=r"tokenizers of the policy .* and its reference .* differ"):
        plan_evaluation(config(tmp_path, (trained, other, reward)))


def test_a_pair_beyond_the_context_is_quarantined_and_not_cut(tmp_path, models):
    long = row(9, "the cat sat " * 60, "dog")
    result = run(config(tmp_path, models, [*ROWS[:4], long]))
    assert result.policy.counts.quarantined == result.reward.counts.quarantined == 1
    errors = {json.loads(line)["error"] for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()}
    assert any("the model reads 128" in error for error in errors)
    assert any("the reward model reads 128" in error for error in errors)


def test_nothing_to_evaluate_is_one_message(tmp_path, models):
    with pytest.raises(SourceError, match="no pair to evaluate among 1 read: chosen is empty"):
        run(config(tmp_path, models, [row(7, "", "x")]))


def test_a_model_that_can_judge_nothing_is_one_message(tmp_path, models):
    for part in ({"policy": None}, {"reward": None}):
        rows = [row(9, "the cat sat " * 60, "dog")]
        with pytest.raises(
            SourceError, match=r"the (policy|reward model) can (read|judge) none of the 1 pairs, for one"
        ):
            run(config(tmp_path, models, rows, **part))


def test_a_cut_response_is_scored_without_an_end_of_turn(tmp_path, models, monkeypatch):
    plan = plan_evaluation(config(tmp_path, models))
    reward = plan.reward
    [batch] = load_batches(plan.config.sources[0])
    pairs = prepare(batch.pairs, reward.chat, Truncation(method="none"), max_length=None).pairs
    asked: list[ScoreRequest] = []

    class Spy(Scorer):
        def batches(self, requests):
            asked.extend(requests)
            return super().batches(requests)

    scorer = Spy(reward.model, reward.config, ledger_root=str(tmp_path / "ledger"), spend=SpendRecord.nothing())
    cuts = [*ratio_cuts(pairs, [1.0]), *token_cuts(pairs, [3])]
    found = reward_margins(scorer, pairs, cuts, reward.chat, pay=call_at_once, progress=Progress())
    scorer.calls.close()
    assert found.margins.shape == (2, len(pairs))
    assert not found.problems
    assert np.isfinite(found.margins).all()
    eot = reward.chat.eot_id
    whole, cut = asked[: 2 * len(pairs)], asked[2 * len(pairs) :]
    assert all(eot in request.token_ids[-2:] for request in whole)
    for number, request in enumerate(cut):
        at, side = number // 2, ("chosen", "rejected")[number % 2]
        prompt, ids = pairs["prompt_ids"][at].as_py(), pairs[f"{side}_ids"][at].as_py()
        assert len(ids) <= 3 or request.token_ids == prompt + ids[:3]


def test_a_reward_that_is_no_number_quarantines_its_pair(tmp_path, models, monkeypatch):
    honest = reward_module.Scorer.rewards

    def one_bad(self, requests):
        return [float("nan"), *honest(self, requests)[1:]]

    monkeypatch.setattr(reward_module.Scorer, "rewards", one_bad)
    result = run(config(tmp_path, models, policy=None))
    assert (result.reward.counts.judged, result.reward.counts.quarantined) == (6, 2)
    lines = (tmp_path / "out" / "quarantine.jsonl").read_text()
    assert "the full response of the chosen side: the reward model returned nan" in lines


def test_the_terminal_shows_both_models_and_hides_control_characters(found):
    result, _, folder = found
    renamed = result.reward.accuracy[1].model_copy(update={"subset": "\x1b[31mred [bold]x[/]"})
    shown = result.model_copy(update={"reward": result.reward.model_copy(update={"accuracy": [renamed]})})
    out = StringIO()
    print_evaluation(Console(file=out, width=160), shown, folder, seconds=1.0, unchanged=False)
    text = out.getvalue()
    for part in (
        "reward model reward",
        "policy trained",
        "[U+001B][31mred [bold]x[/]",
        "KL",
        "log-prob chosen",
        "judged 7",
    ):
        assert part in text
    assert "\x1b" not in text


def test_the_artifact_is_silent_outside_a_flow(found):
    show_evaluation(found[0], found[2])


def test_the_command_runs_its_flow_and_says_when_nothing_changed(tmp_path, models, shared_server):
    path = tmp_path / "evaluation.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path, models).model_dump(mode="json")))
    for line in ("policy trained", "Nothing changed since"):
        done = subprocess.run(
            [sys.executable, "-m", "flows.evaluate", str(path)],
            cwd=ROOT,
            env=shared_server.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert line in done.stdout
