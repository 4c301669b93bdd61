"""Rounds, audit, proxy and budget in a run with a tiny real policy; rewards are fakes where a number must be known."""

import datasets
import numpy as np
import pytest
from flows_support import call_plainly, model_folders, pair, sampling_recipe

import flows.curate.flow as curate_module
from flows.curate.plan import plan_run
from flows.models import recipe_models as flow_models
from flows.models.scoring import Scorer
from transforms.engines.fakes import FakeCompletions, FakeRewards

pytestmark = pytest.mark.slow
ROWS = [pair(i, chosen=f"the cat sat on the mat {i}") for i in range(30)]
SEQUENTIAL = {"n": 8, "first": 1, "step": 1, "max_new_tokens": 6, "batch": 64}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    call_plainly(monkeypatch, curate_module)
    monkeypatch.setattr(flow_models, "open_policy", lambda *_: FakeCompletions(vocab=250))
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: FakeRewards())


def run(recipe):
    return curate_module.run_stages(plan_run(recipe))


def rows_of(folder):
    return [
        row
        for name in ("dataset/train", "dropped")
        if (folder / name).exists()
        for row in datasets.load_from_disk(str(folder / name)).to_list()
    ]


def test_rounds_go_on_for_open_pairs_only_and_their_counts_add_up(tmp_path, models):
    manifest = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL))
    first, second, *_ = manifest.rounds
    assert (first.stage, first.number, first.pairs, first.completions) == ("rest", 1, 30, 30)
    assert second.pairs == first.open == 30  # one completion never makes Jeffreys' posterior sure at δ = 0.05
    for before, after in zip(manifest.rounds, manifest.rounds[1:], strict=False):
        assert after.pairs == before.open
    assert sum(r.completions for r in manifest.rounds) == manifest.completions.requests
    assert sum(r.keep + r.drop for r in manifest.rounds) == 30
    assert sum(r.tokens for r in manifest.rounds) == manifest.completions.tokens_generated


def test_sequential_sampling_uses_the_very_completions_of_fixed_n(tmp_path, models):
    fixed = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL | {"first": None}))
    changes = {"sampling": SEQUENTIAL, "output": {"dir": str(tmp_path / "second"), "test_size": 0}}
    again = run(sampling_recipe(tmp_path, models, ROWS, **changes))
    assert fixed.completions.generated == 240
    assert again.completions.generated == again.scores.generated == 0
    assert 60 <= again.completions.requests < 240


def test_what_the_ledger_holds_does_not_change_a_verdict(tmp_path, models):
    straight = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, ledger=str(tmp_path / "empty")))
    second, third = ({"dir": str(tmp_path / name), "test_size": 0} for name in ("second", "third"))
    run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL | {"first": None}, output=second))
    again = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, output=third))
    assert again.version == straight.version
    assert again.rounds == straight.rounds


@pytest.mark.parametrize("change", [{"threshold": 0.6, "delta": 0.2}, {"delta": 0.2}])
def test_another_threshold_or_delta_that_is_covered_costs_nothing(tmp_path, models, monkeypatch, change):
    run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL | {"first": None}))
    for name in ("open_policy", "open_reward"):
        monkeypatch.setattr(flow_models, name, lambda *_: pytest.fail("a model was opened"))
    second = {"dir": str(tmp_path / "second"), "test_size": 0}
    run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, consistency=change, output=second))


def test_another_ratio_that_is_covered_costs_nothing(tmp_path, models, monkeypatch):
    for ratio, name in ((0.5, "a"), (0.25, "b")):
        out = {"dir": str(tmp_path / name), "test_size": 0}
        run(sampling_recipe(tmp_path, models, ROWS, truncate={"method": "ratio", "ratio": ratio}, output=out))
    for name in ("open_policy", "open_reward"):
        monkeypatch.setattr(flow_models, name, lambda *_: pytest.fail("a model was opened"))
    out = {"dir": str(tmp_path / "c"), "test_size": 0}
    again = run(
        sampling_recipe(tmp_path, models, ROWS, truncate={"method": "ratio", "ratio": 0.5}, output=out, name="other")
    )
    assert again.completions.generated == 0


def test_a_budget_stops_cleanly_and_marks_what_is_open(tmp_path, models):
    manifest = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, budget={"completions": 40}))
    assert manifest.completions.requests == 40
    undecided = next(d for d in manifest.decisions if d.by == "undecided")
    assert manifest.counts.dropped["undecided"] == undecided.drop > 0
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 30
    assert {row["reason"] for row in rows if row["decided_by"] == "undecided"} == {"undecided"}


def test_more_budget_goes_on_where_the_last_run_stopped(tmp_path, models):
    run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, budget={"completions": 40}))
    second = {"dir": str(tmp_path / "second"), "test_size": 0}
    more = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, budget={"completions": 50}, output=second))
    assert (more.completions.requests, more.completions.generated) == (50, 10)


def test_a_token_budget_is_never_passed(tmp_path, models):
    manifest = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, budget={"tokens": 100}))
    spent = manifest.completions.tokens_generated
    assert 100 - 6 < spent <= 100


def test_undecided_pairs_can_be_kept(tmp_path, models):
    budget = {"completions": 10, "undecided": "keep"}
    manifest = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, budget=budget))
    undecided = next(d for d in manifest.decisions if d.by == "undecided")
    assert undecided.keep == 30 - sum(d.keep + d.drop for d in manifest.decisions if d.by != "undecided")
    assert "undecided" not in manifest.counts.dropped


def test_the_audit_is_sampled_first(tmp_path, models):
    proxy = {"audit": 0.5, "audit_least": 5}
    manifest = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, proxy=proxy))
    assert {r.stage for r in manifest.rounds} == {"audit", "rest"}
    assert next(r for r in manifest.rounds if r.stage == "audit").pairs == 15
    assert manifest.proxy.audit_pairs == 15
    assert manifest.proxy.why.startswith("the reward margin foretells nothing")
    assert sum(row["audit"] for row in rows_of(tmp_path / "out")) == 15


def test_the_report_shows_how_pairs_were_decided(tmp_path, models):
    run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, proxy={}))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "decided" in page
    assert "python -m flows.explain" in page


@pytest.mark.parametrize(("keep", "opened"), [(True, 1), (False, 3)])
def test_models_stay_loaded_between_rounds_or_make_room_for_each_other(tmp_path, models, monkeypatch, keep, opened):
    engines = []

    def open_one(*_):
        engines.append(FakeCompletions(vocab=250))
        return engines[-1]

    monkeypatch.setattr(flow_models, "open_policy", open_one)
    sampling = {"n": 3, "first": 1, "step": 1, "max_new_tokens": 6, "batch": 64}
    run(sampling_recipe(tmp_path, models, ROWS, sampling=sampling, consistency={"keep_loaded": keep}))
    assert len(engines) == opened
    assert all(engine.closed for engine in engines)


def test_a_bad_reward_in_a_late_round_quarantines_the_pair_alone(tmp_path, models, monkeypatch):
    class LateNan(FakeRewards):
        def score(self, requests, progress):
            rewards = super().score(requests, progress)
            return [float("nan"), *rewards[1:]] if self.calls == 3 else rewards

    engine = LateNan()
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: engine)
    recipe = sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL)
    recipe = recipe.model_copy(update={"reward": recipe.reward.model_copy(update={"batch": 1000})})
    manifest = run(recipe)
    assert manifest.counts.quarantined == 1
    assert "returned nan" in (tmp_path / "out" / "quarantine.jsonl").read_text()
    assert manifest.counts.kept + sum(manifest.counts.dropped.values()) == 29


def test_a_run_killed_in_a_late_round_goes_on_there_and_ends_the_same(tmp_path, models, monkeypatch):
    class Dies(FakeCompletions):
        def complete(self, requests, sampling, progress):
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().complete(requests, sampling, progress)

    proxy = {"audit": 0.5, "audit_least": 5}
    straight = run(
        sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, proxy=proxy, ledger=str(tmp_path / "other"))
    )
    second = {"dir": str(tmp_path / "second"), "test_size": 0}
    recipe = sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL, proxy=proxy, output=second)
    monkeypatch.setattr(flow_models, "open_policy", lambda *_: Dies(vocab=250))
    with pytest.raises(KeyboardInterrupt):
        run(recipe)
    monkeypatch.setattr(flow_models, "open_policy", lambda *_: FakeCompletions(vocab=250))
    resumed = run(recipe)
    assert resumed.version == straight.version
    assert resumed.rounds == straight.rounds
    assert resumed.completions.reused == sum(r.completions for r in straight.rounds[:3])
    assert resumed.completions.batches_paid_again == 1


@pytest.mark.parametrize(("engine", "order"), [("vllm", "ABCDE"), ("transformers", "CABED")])
def test_conversations_that_begin_alike_come_together_and_for_a_padding_engine_those_of_like_length(
    tmp_path, models, engine, order
):
    from flows.curate.run import Run
    from transforms.asking.readings import Reading
    from transforms.chat.conversation import Asked, answer

    reward = {"model": str(models[1]), "engine": engine, "dtype": "float32", "batch": 100}
    scorer = Run(plan_run(sampling_recipe(tmp_path, models, ROWS, reward=reward)), tmp_path).scorer()
    texts = {
        "A": ("cat the cat sat on the mat and the dog ran", "dog"),
        "B": ("cat the cat sat on the mat and the dog ran", "dog and"),
        "C": ("dog", "ran"),
        "D": ("the", "the cat sat on the mat and the dog ran and sat and ran and sat and ran and sat and ran"),
        "E": ("the mat", "the cat sat on the mat and the dog ran and sat and ran and sat and ran and sat"),
    }
    read = [
        Reading(0, "chosen", None, None, Asked([{"role": "user", "content": asked}]), answer(text))
        for asked, text in texts.values()
    ]
    part = scorer.to_score(read)
    name_of = dict(zip([request.request_id for request in part.requests], texts, strict=True))
    [batch] = scorer.batches(part.requests)
    assert "".join(name_of[request.request_id] for request in batch.missing) == order


class UnevenCompletions(FakeCompletions):
    """The first completion of a prefix has one token, the others have six."""

    def complete(self, requests, sampling, progress):
        found = super().complete(requests, sampling, progress)
        return [
            one._replace(token_ids=(one.token_ids * 6)[: 1 if request.sample_index == 0 else 6], finish_reason="length")
            for request, one in zip(requests, found, strict=True)
        ]


def test_lengths_of_completions_are_known_by_pair_side_and_number(tmp_path, models, monkeypatch):
    from flows.curate import estimating

    seen = []
    real = estimating.Decider

    class Watching(real):
        def decide(self):
            records = super().decide()
            seen.append(self.evidence)
            return records

    monkeypatch.setattr(estimating, "Decider", Watching)
    monkeypatch.setattr(flow_models, "open_policy", lambda *_: UnevenCompletions(vocab=250))
    manifest = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL | {"n": 3}))
    (evidence,) = seen
    for side in ("chosen", "rejected"):
        cut = evidence.sampled[side]
        given = np.arange(3) < evidence.n[:, None]
        assert (evidence.tokens[side][~cut] == 0).all()
        expected = np.where(given, [1, 6, 6], 0)[cut]
        assert evidence.tokens[side][cut].tolist() == expected.tolist()
    assert sum(int(lengths.sum()) for lengths in evidence.tokens.values()) == manifest.completions.tokens_generated


def test_a_run_by_rewards_that_went_on_from_a_ledger_is_the_undisturbed_one(tmp_path, models):
    rules = {
        "consistency": {"estimator": "rewards", "stop_below": 0.02, "delta": 0.1},
        "budget": {"tokens": 700},
        "sampling": SEQUENTIAL,
    }
    straight = run(sampling_recipe(tmp_path, models, ROWS, ledger=str(tmp_path / "empty"), **rules))
    second, third = ({"dir": str(tmp_path / name), "test_size": 0} for name in ("second", "third"))
    run(sampling_recipe(tmp_path, models, ROWS, output=second, **(rules | {"budget": {"tokens": 300}})))
    again = run(sampling_recipe(tmp_path, models, ROWS, output=third, **rules))
    assert again.version == straight.version
    assert again.estimator == straight.estimator and again.rounds == straight.rounds
    assert {"sampling", "stopped", "undecided"} & {record.by for record in again.decisions}


def test_values_at_the_cuts_are_read_with_the_full_responses_and_speak_in_the_proxy(tmp_path, models, monkeypatch):
    seen = []
    judged = curate_module.judge_parts
    monkeypatch.setattr(
        curate_module, "judge_parts", lambda run, evidence: seen.append(evidence) or judged(run, evidence)
    )
    proxy = {"audit": 1.0, "audit_least": 30, "values": True}
    manifest = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL | {"first": None, "n": 2}, proxy=proxy))
    (evidence,) = seen
    for side in ("chosen", "rejected"):
        assert np.isfinite(evidence.values[side]).tolist() == evidence.sampled[side].tolist()
    for row in rows_of(tmp_path / "out"):
        for side in ("chosen", "rejected"):
            assert (row[f"value_{side}"] is not None) == (row[f"{side}_cut_by"] == "poet")
    # Both full responses, a prefix of every cut side, and two completions of it; some of these are equal texts.
    cut = int(evidence.sides_cut.sum())
    assert 60 + cut < manifest.scores.requests <= 60 + cut + 2 * cut
    assert manifest.proxy.why.startswith("the reward margin with the values at the cuts ")
    again = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL | {"first": None, "n": 2}, proxy=proxy,
                                output={"dir": str(tmp_path / "again"), "test_size": 0}))  # fmt: skip
    assert again.version == manifest.version and again.scores.generated == 0


def test_a_prefix_that_the_reward_model_cannot_read_costs_no_pair(tmp_path, models, monkeypatch):
    right = Scorer.to_score

    def refuse_the_first(scorer, read):
        found = right(scorer, read)
        at = next((at for at, one in enumerate(read) if one.goes_on), None)
        if at is not None:
            found.requests[at] = "too long to score"
        return found

    monkeypatch.setattr(Scorer, "to_score", refuse_the_first)
    proxy = {"audit": 1.0, "audit_least": 30, "values": True}
    manifest = run(sampling_recipe(tmp_path, models, ROWS, sampling=SEQUENTIAL | {"first": None, "n": 2}, proxy=proxy))
    assert manifest.counts.quarantined == 0
    assert manifest.counts.kept + sum(manifest.counts.dropped.values()) == 30
