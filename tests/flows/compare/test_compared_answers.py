"""Trained policies judged by what they write: one table of the same prompts, paid for once."""

import re
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from comparison_support import comparison, count_trainings, run, without_prefect
from flows_support import call_plainly, model_folders, write_rows
from pydantic import ValidationError
from transformers import AutoTokenizer

import flows.generate.flow as generate_module
from flows.answers.reading import tokens_key
from flows.compare import answers as answers_module
from flows.compare.answers import (
    AnsweredModel,
    AnsweredTraining,
    JudgedBy,
    Seen,
    answers_compared,
    ask,
    date_of,
    plan_judging,
    write_template,
)
from flows.compare.config import ComparedAnswers
from flows.compare.held_out import hold_out
from flows.compare.output import answers_path
from flows.compare.plan import plan_comparison
from transforms.chat.template import DEFAULT_DATE
from transforms.errors import ConfigError, EngineError
from transforms.records.manifest import TemplateRecord
from transforms.report.comparison_page import render_comparison

PLAIN = {"engine": "transformers", "dtype": "float32"}
REWARD = {"kind": "reward", "model": "org/reward"}


def judged(folder: Path, **changes):
    if not (folder / "judge").is_dir():
        model_folders(folder / "judge", width=24)
    section = {
        "policy": PLAIN | {"max_new_tokens": 5, "temperature": 1.0},
        "judge": PLAIN | {"kind": "reward", "model": str(folder / "judge" / "reward")},
    }
    return section | changes


@pytest.fixture(autouse=True, scope="module")
def plainly():
    with without_prefect(), pytest.MonkeyPatch.context() as patch:
        call_plainly(patch, generate_module)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    config = comparison(folder, answers=judged(folder), budgets=["steps"], variants=["raw", "curated"])
    return folder, config, run(config)


@pytest.mark.slow
def test_every_variants_answers_are_held_against_the_start_on_the_same_prompts(finished):
    _, config, found = finished
    answers = found.answers
    assert answers.asked == answers.compared + answers.trained_on + sum(answers.left_out.values())
    assert answers.asked == found.test.prompts
    assert [(one.variant, one.trainings) for one in answers.standings] == [("raw", 2), ("curated", 2)]
    assert answers.standings[0].difference is None
    difference = answers.standings[1].difference
    assert difference.trainings == 2
    rates = [one.rate.value for one in answers.standings]
    assert difference.rate.value == pytest.approx(rates[1] - rates[0])
    # Two variants, two seeds; the start's answers are the same each time.
    assert answers.completions == 5 * answers.asked
    assert config.answers.answering("m").n == 1


@pytest.mark.slow
def test_a_rate_is_the_mean_of_what_lies_beside_each_training(finished):
    _, config, found = finished
    folder = Path(config.output.dir) / "judged"
    each = {
        file.name: AnsweredModel.model_validate_json(file.read_bytes()).compared(frozenset())
        for file in folder.glob("*.answers.json")
    }
    assert len(each) == 4
    common = np.array(sorted(set.intersection(*(set(one.prompts.tolist()) for one in each.values()))))
    assert len(common) == found.answers.compared
    for standing in found.answers.standings:
        mine = [one.of(common).shares.mean() for name, one in each.items() if name.startswith(standing.variant)]
        assert standing.rate.value == pytest.approx(sum(mine) / 2)


@pytest.mark.slow
def test_a_prompt_that_the_model_reads_like_one_of_training_is_left_out_whatever_its_messages(finished):
    _, config, found = finished
    folder, held = Path(config.output.dir) / "judged", hold_out(plan_comparison(config))
    trainings = [
        AnsweredTraining(
            one.variant, one.seed, tuple(one.budgets), AnsweredModel.model_validate_json(path.read_bytes())
        )
        for one in found.trainings
        for path in [folder / f"{Path(one.folder).name}.answers.json"]
    ]
    read_as = trainings[0].answered.read_as
    # What is known of prompts that were asked is known in the same way of those that were trained on.
    assert set(read_as.values()) == {tokens_key(one.prompt) for one in held.examples}
    assert not set(read_as.values()) & held.trained.read_as
    seen = Seen(frozenset(), frozenset([read_as[found_in(trainings)]]))
    again = answers_compared(trainings, ["raw", "curated"], ["steps"], seen, config.answers)
    assert (again.asked, again.trained_on) == (found.answers.asked, 1)
    assert again.compared == found.answers.compared - 1


def found_in(trainings):
    """A prompt that every model's answers could be compared on."""
    return sorted(set.intersection(*(set(one.answered.prompts) for one in trainings)))[0]


@pytest.mark.slow
def test_a_rerun_asks_nobody_and_answers_can_be_asked_for_later(finished, monkeypatch, tmp_path):
    folder, config, found = finished
    begun = count_trainings(monkeypatch)
    assert run(config) == found
    # Another judge of the same trainings: their models answer from the ledger.
    model_folders(folder / "another", width=32)
    other = {**PLAIN, "kind": "reward", "model": str(folder / "another" / "reward")}
    again = run(config.model_copy(update={"answers": ComparedAnswers.model_validate(judged(folder, judge=other))}))
    assert begun == []
    assert again.answers.completions == 0
    assert again.answers.judgements > 0
    assert again.standings == found.standings


@pytest.mark.slow
def test_prompts_that_were_trained_on_are_left_out(finished):
    folder, config, found = finished
    rows = [{"prompt": f"question {number}"} for number in range(40)] + [{"prompt": "of none of them"}]
    path = write_rows(folder / "named.jsonl", rows)
    section = judged(folder, prompts=[{"kind": "prompts", "path": str(path)}])
    again = run(config.model_copy(update={"answers": ComparedAnswers.model_validate(section)})).answers
    assert again.asked == 41
    assert again.trained_on == 40 - found.test.prompts
    assert again.compared + sum(again.left_out.values()) == found.test.prompts + 1


@pytest.mark.slow
def test_the_page_has_a_table_of_answers(finished):
    _, _, found = finished
    page = render_comparison(found)
    assert "Whose answers win" in page
    assert page.count("worse than untrained") == 1
    assert "Whose answers win" not in render_comparison(found.model_copy(update={"answers": None}))


@pytest.mark.slow
def test_a_judge_that_fails_costs_no_accuracies_and_is_asked_again(tmp_path, monkeypatch):
    import flows.compare.flow as compare_module

    config = comparison(tmp_path, answers=judged(tmp_path), budgets=["steps"], variants=["raw", "curated"])
    config = config.model_copy(update={"output": config.output.model_copy(update={"models": False})})
    real = compare_module.ask

    def fails(*_arguments):
        raise EngineError("the judge does not answer")

    monkeypatch.setattr(compare_module, "ask", fails)
    found = run(config)
    assert found.answers is None
    assert all(one.accuracy.value > 0 for one in found.standings)
    assert [error for _, error in found.failures] == ["the judge does not answer"] * 4
    monkeypatch.setattr(compare_module, "ask", real)
    begun = count_trainings(monkeypatch)
    again = run(config)
    assert begun == []
    assert again.failures == []
    assert again.answers.compared > 0
    assert list(Path(config.output.dir).glob("trainings/*/model/*.safetensors")) == []


def test_all_answer_in_the_runs_own_chat_template(tmp_path):
    judged_by = JudgedBy(ComparedAnswers.model_validate(judged(tmp_path)), tmp_path / "answers", None, "f")
    empty = {"stops": [2], "before_text": [], "before_reasoning": [], "after_text": [], "changed": 0, "probes": []}
    template = TemplateRecord(text="{{ messages }}", kwargs={"enable_thinking": False}, **empty)
    keys = write_template(judged_by, template)
    assert Path(keys["chat_template"]).read_text() == "{{ messages }}"
    policy = judged_by.config.answering("m", **keys)
    assert (policy.chat_template, policy.chat_template_kwargs) == (keys["chat_template"], {"enable_thinking": False})
    own = judged_by.config.model_copy(update={"policy": {**judged_by.config.policy, "chat_template": "mine.jinja"}})
    assert own.answering("m", **keys).chat_template == "mine.jinja"
    assert write_template(judged_by, None) == {}


@pytest.mark.slow
def test_all_answer_on_the_day_that_the_run_told_its_template(tmp_path):
    policy, _ = model_folders(tmp_path)
    dated = tmp_path / "dated.jinja"
    dated.write_text(
        "{{ '<|im_start|>' + strftime_now('%d %Y') }}" + AutoTokenizer.from_pretrained(policy).chat_template
    )
    curation = {
        "policy": {"model": str(policy), "engine": "none", "chat_template": str(dated)},
        "chat_template_date": "2025-03-04",
    }
    config = comparison(
        tmp_path, curation=curation, answers=judged(tmp_path), budgets=["steps"], variants=["raw", "curated"]
    )
    assert plan_comparison(config).judged_by.today == date(2025, 3, 4)
    run(config)
    held = hold_out(plan_comparison(config))
    known = {tokens_key(one.prompt) for one in held.examples}
    files = list((Path(config.output.dir) / "judged").glob("*.answers.json"))
    assert len(files) == 4
    for file in files:
        assert set(AnsweredModel.model_validate_json(file.read_bytes()).read_as.values()) == known


@pytest.mark.parametrize("training", ["raw-8-steps-seed-0", "ratio-0.5-8-steps-seed-0", "ratio-0.5-8-steps-seed-1"])
def test_every_training_has_a_folder_of_answers_of_its_own_also_with_a_dot_in_its_name(training, tmp_path, monkeypatch):
    class Asked(Exception):
        pass

    def stop(*models, name, folder, **others):
        raise Asked(name, folder)

    monkeypatch.setattr(answers_module, "generation_of", stop)
    judged_by = JudgedBy(ComparedAnswers.model_validate(judged(tmp_path)), tmp_path / "answers", None, "f")
    path = answers_path(tmp_path, training)
    assert path == tmp_path / "judged" / f"{training}.answers.json"
    with pytest.raises(Asked) as found:
        ask(path, "f", tmp_path, ("start", None), judged_by, None, None)
    assert found.value.args == (training, tmp_path / "answers" / training)


def test_a_template_that_asks_for_no_day_is_told_the_default_one():
    empty = {"stops": [2], "before_text": [], "before_reasoning": [], "after_text": [], "changed": 0, "probes": []}
    assert date_of(None) == date_of(TemplateRecord(**empty)) == DEFAULT_DATE
    assert date_of(TemplateRecord(date="2031-05-06", **empty)) == date(2031, 5, 6)


def test_another_day_makes_another_comparison_and_the_default_one_the_one_that_it_made_before(tmp_path, monkeypatch):
    plan, hashed = plan_comparison(comparison(tmp_path)), []
    monkeypatch.setattr(answers_module, "fingerprint_of", lambda content: hashed.append(content) or str(len(hashed)))
    section = ComparedAnswers.model_validate(judged(tmp_path))
    for day in (DEFAULT_DATE, date(2025, 3, 4)):
        plan_judging(section, tmp_path / "compared", plan.base, day)
    assert set(hashed[0]) == {"config", "sources", "judge"}
    assert {key: value for key, value in hashed[1].items() if hashed[0].get(key) != value} == {
        "chat_template_date": "2025-03-04"
    }


def test_a_comparison_without_answers_has_the_settings_that_it_had_before(tmp_path):
    plain = comparison(tmp_path)
    assert "answers" not in plain.settings()
    assert "answers" in comparison(tmp_path, answers=judged(tmp_path)).settings()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            {"policy": {"model": "a/b"}, "judge": REWARD},
            "answers.policy.model: the models are those that were trained here",
        ),
        ({"policy": {"max_tokens": 3}, "judge": REWARD}, "max_tokens"),
        ({"policy": {"n": 2}, "judge": {"kind": "pairrm"}}, "answers.policy.n is 2, and a judge that compares"),
        ({"policy": {"engine": "server"}, "judge": REWARD}, "engine: server needs url"),
    ],
)
def test_what_cannot_answer_is_refused(section, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        ComparedAnswers.model_validate(section)


def test_reward_models_write_nothing(tmp_path):
    training = {"kind": "reward", "objective": None, "reference": None}
    config = comparison(tmp_path, training=training, answers=judged(tmp_path))
    with pytest.raises(ConfigError, match="trains reward models \\(kind: reward\\), which write nothing"):
        plan_comparison(config)
