"""Answers of tiny models, sampled and judged for real: paid for once, and the same whatever a model is called."""

import json
from collections import Counter

import alpaca_eval_world as world
import pytest
from flows_support import call_at_once, call_plainly, model_folders, write_rows
from scripted_judge import Reply, prompt_of, running_judge, verdict

import flows.generate.flow as generate_module
from flows.answers.config import AnswersConfig
from flows.answers.reading import UNJUDGED, UNUSABLE
from flows.answers.stage import evaluate_answers, plan_answers
from transforms.chat.template import DEFAULT_DATE
from transforms.errors import SourceError

PROMPTS = 12
PLAIN = {"engine": "transformers", "dtype": "float32"}


@pytest.fixture(autouse=True)
def plainly(monkeypatch, cache):
    call_plainly(monkeypatch, generate_module)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    model_folders(made)
    model_folders(made / "other", width=24)
    write_rows(made / "prompts.jsonl", [{"prompt": f"question {n}"} for n in range(PROMPTS)])
    return made


def section(folder, labels=("base", "mine"), **changes):
    places = [folder / "policy", folder / "other" / "policy", folder / "policy"]
    models = [
        {**PLAIN, "model": str(place), "label": label, "max_new_tokens": 6, "temperature": 1.0}
        for place, label in zip(places, labels, strict=False)
    ]
    content = {
        "prompts": [{"kind": "prompts", "path": str(folder / "prompts.jsonl")}],
        "models": models,
        "judge": {**PLAIN, "kind": "reward", "model": str(folder / "other" / "reward")},
    }
    return AnswersConfig.model_validate(content | changes)


def evaluated(config, tmp_path, out="out"):
    plan = plan_answers(
        config,
        name="unit",
        folder=tmp_path / out,
        ledger=str(tmp_path / "ledger"),
        chat_template_date=DEFAULT_DATE,
    )
    return evaluate_answers(plan, call_at_once)


def test_every_model_answers_every_prompt_and_counts_add_up(folder, tmp_path):
    found = evaluated(section(folder, ("base", "mine", "twin")), tmp_path)
    assert (found.prompts, found.samples, found.baseline) == (PROMPTS, 1, "base")
    assert [one.label for one in found.models] == ["base", "mine", "twin"]
    assert [one.label for one in found.wins] == ["mine", "twin"]
    for one in found.models:
        assert one.responses == PROMPTS == sum(one.ends.values())
    for one in found.wins:
        assert one.prompts == PROMPTS == one.rate.count + sum(one.left_out.values())
    assert sum(found.lengths.counts["base"]) == PROMPTS
    # The baseline's answers to the second model are those to the first.
    assert (found.completions.generated, found.completions.reused) == (3 * PROMPTS, PROMPTS)
    assert found.judgements.generated + found.judgements.reused == found.judgements.requests


def test_a_second_evaluation_pays_for_nothing_whatever_models_are_called(folder, tmp_path):
    first = evaluated(section(folder), tmp_path)
    again = evaluated(section(folder, ("old", "new")), tmp_path, "again")
    assert (again.completions.generated, again.judgements.generated) == (0, 0)
    assert [one.rate for one in again.wins] == [one.rate for one in first.wins]
    assert again.models[0].ends == first.models[0].ends


def test_several_answers_a_prompt_are_all_compared(folder, tmp_path):
    config = section(folder)
    found = evaluated(
        config.model_copy(update={"models": [one.model_copy(update={"n": 3}) for one in config.models]}), tmp_path
    )
    assert found.samples == 3
    assert found.models[0].responses == 3 * PROMPTS
    assert found.wins[0].rate.count + sum(found.wins[0].left_out.values()) == PROMPTS


def test_a_judge_that_compares_sees_each_model_beside_the_baseline_alone_and_in_both_orders(folder, tmp_path):
    with running_judge() as judge:
        judge.reply = lambda body: Reply(verdict("first"))  # whatever stands first: a tie over both orders
        config = section(
            folder, ("base", "mine", "twin"), judge={"kind": "judge", "model": "org/judge", "url": judge.url}
        )
        found = evaluated(config, tmp_path)
        asked = Counter(judge.prompts)
    assert found.compares
    assert found.scores is None
    assert found.models[1].score is None
    compared = [PROMPTS - one.left_out.get(UNUSABLE, 0) for one in found.wins]
    assert [one.rate.value for one in found.wins] == [0.5, 0.5]
    assert [one.ties for one in found.wins] == [1.0, 1.0]
    assert [one.rate.count for one in found.wins] == compared
    assert max(asked.values()) == 1
    assert len(asked) % 2 == 0
    assert len(asked) <= 2 * sum(compared)  # equal answers are not shown


def test_where_the_judge_fails_the_rate_says_on_how_many_it_rests(folder, tmp_path):
    with running_judge() as judge:
        judge.reply = lambda body: Reply("no verdict" if "question 3" in prompt_of(body) else verdict("second"))
        config = section(folder, judge={"kind": "judge", "model": "org/judge", "url": judge.url, "attempts": 1})
        found = evaluated(config, tmp_path)
    [one] = found.wins
    assert (one.prompts, one.left_out[UNJUDGED]) == (PROMPTS, 1)
    assert one.rate.count == PROMPTS - 1 - one.left_out.get(UNUSABLE, 0)
    assert list(found.unscored.values()) == [2]


def test_the_benchmarks_rate_goes_by_instruction_and_says_what_it_lacks(folder, tmp_path):
    (tmp_path / "eval.json").write_text(json.dumps(world.instructions()))
    names = list(world.gamed()[0])
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in world.gamed())]
    (tmp_path / "df_gamed.csv").write_text("\n".join(lines) + "\n")
    files = {"instructions": str(tmp_path / "eval.json"), "gamed": str(tmp_path / "df_gamed.csv")}
    [one] = evaluated(section(folder, alpaca_eval=files), tmp_path).wins
    rests_on = one.rate.count
    assert 10 <= rests_on == one.alpaca_eval.instructions == world.INSTRUCTIONS - one.alpaca_eval.missing
    assert (one.alpaca_eval.foreign, one.alpaca_eval.doubled) == (0, 0)
    with pytest.raises(SourceError, match=r"nowhere\.csv cannot be read"):
        evaluated(section(folder, alpaca_eval=files | {"gamed": str(tmp_path / "nowhere.csv")}), tmp_path)
    (tmp_path / "eval.json").write_text('[{"prompt": "x"}]')
    with pytest.raises(SourceError, match=r"eval\.json, .*row 0 of the benchmark's instructions"):
        evaluated(section(folder, alpaca_eval=files), tmp_path)
