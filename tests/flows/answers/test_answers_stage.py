"""Answers of tiny models, sampled and judged for real: paid for once, and the same whatever a model is called."""

import json
from collections import Counter

import alpaca_eval_world as world
import numpy as np
import pytest
from flows_support import call_at_once, call_plainly, model_folders, write_rows
from scripted_judge import Reply, prompt_of, running_judge, verdict

import flows.generate.flow as generate_module
from flows.answers.config import AnswersConfig
from flows.answers.prefixes import NO_ROOM
from flows.answers.reading import UNJUDGED, UNUSABLE, asked_answers
from flows.answers.stage import drop_other_answers, evaluate_answers, plan_answers
from flows.generate.voices import find_policy
from flows.runtime.progress import Progress
from transforms.asking.requests import completion_id, request_seed
from transforms.chat.template import DEFAULT_DATE
from transforms.errors import ConfigError, SourceError

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


def planned(config, tmp_path, out):
    return plan_answers(
        config,
        name="unit",
        folder=tmp_path / out,
        ledger=str(tmp_path / "ledger"),
        chat_template_date=DEFAULT_DATE,
    )


def evaluated(config, tmp_path, out="out"):
    return evaluate_answers(planned(config, tmp_path, out), call_at_once, Progress())


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


def test_all_models_are_judged_on_the_prompts_that_all_can_read(folder, tmp_path):
    model_folders(tmp_path / "short", context=64)
    long = {"prompt": "question " + " ".join(["cat"] * 60)}
    rows = [{"prompt": f"question {n}"} for n in range(4)] + [long]
    prompts = [{"kind": "prompts", "path": str(write_rows(tmp_path / "prompts.jsonl", rows))}]
    config = section(folder, ("base", "mine", "brief"), prompts=prompts)
    brief = config.models[2].model_copy(update={"model": str(tmp_path / "short" / "policy"), "max_new_tokens": 2})
    found = evaluated(config.model_copy(update={"models": [*config.models[:2], brief]}), tmp_path)
    assert (found.prompts, found.not_of_all) == (4, 1)
    assert [one.responses for one in found.models] == [4, 4, 4]
    assert [one.prompts for one in found.wins] == [4, 4]


def test_answers_of_an_earlier_evaluation_go_from_the_folder(folder, tmp_path):
    evaluated(section(folder, ("base", "mine")), tmp_path)
    plan = planned(section(folder, ("base", "other")), tmp_path, "out")
    drop_other_answers(tmp_path / "out", plan)
    assert not (tmp_path / "out" / "answers" / "mine").exists()
    drop_other_answers(tmp_path / "nowhere", plan)


def test_beginnings_that_leave_the_completer_no_room_are_left_out(folder, tmp_path):
    model_folders(tmp_path / "short", context=12)
    completer = prefixes(folder)["completer"] | {"model": str(tmp_path / "short" / "policy")}
    found = evaluated(section(folder, prefixes=prefixes(folder, completer=completer, tokens=[1, 5])), tmp_path).prefixes
    assert found.left_out[NO_ROOM] > 0
    assert found.answers == found.read + sum(found.left_out.values())


def test_options_that_no_generation_takes_are_one_message(folder, tmp_path):
    source = {"kind": "prompts", "path": str(folder / "prompts.jsonl")}
    with pytest.raises(ConfigError, match="max_pairs_per_prompt means nothing of prompts"):
        evaluated(section(folder, prompts=[source | {"max_pairs_per_prompt": 2}]), tmp_path)


def test_another_baseline_among_the_same_models_samples_nothing_again(folder, tmp_path):
    first = evaluated(section(folder), tmp_path)
    again = evaluated(section(folder, baseline="mine"), tmp_path, "again")
    assert again.completions.generated == 0
    [one], [other] = first.wins, again.wins
    assert (one.label, other.label) == ("mine", "base")
    assert one.rate.value == pytest.approx(1 - other.rate.value)
    assert one.rate.count == other.rate.count


def test_a_model_against_itself_is_sampled_twice(folder, tmp_path):
    config = section(folder)
    twin = config.models[0].model_copy(update={"label": "twin"})
    found = evaluated(config.model_copy(update={"models": [config.models[0], twin]}), tmp_path)
    assert found.completions.generated == 2 * PROMPTS


def test_several_answers_a_prompt_are_all_compared(folder, tmp_path):
    config = section(folder)
    found = evaluated(
        config.model_copy(update={"models": [one.model_copy(update={"n": 3}) for one in config.models]}), tmp_path
    )
    assert found.samples == 3
    assert found.models[0].responses == 3 * PROMPTS
    assert found.wins[0].rate.count + sum(found.wins[0].left_out.values()) == PROMPTS


def prefixes(folder, **changes):
    completer = {**PLAIN, "model": str(folder / "policy"), "n": 2, "max_new_tokens": 3, "temperature": 1.0}
    return {"completer": completer, "tokens": [1, 2, 40]} | changes


def test_beginnings_are_completed_by_one_policy_and_paid_once(folder, tmp_path):
    config = section(folder, prefixes=prefixes(folder), entropy_of=5)
    found = evaluated(config, tmp_path)
    quality = found.prefixes
    assert quality.answers == quality.read + sum(quality.left_out.values())
    assert [one.label for one in quality.curves] == ["base", "mine"]
    assert quality.curves[0].over_baseline == []
    assert [point.at for point in quality.curves[1].points] == [1.0, 2.0, 40.0]
    # No answer has 40 tokens, so there every answer counts with its own score.
    whole = {one.label: one.points[-1] for one in quality.curves}
    assert sum(point.pairs for point in whole.values()) == quality.read
    assert quality.curves[1].over_baseline[-1].pairs <= min(point.pairs for point in whole.values())
    assert [one.label for one in found.entropy] == ["base", "mine"]
    assert [one.responses for one in found.entropy] == [5, 5]
    again = evaluated(config, tmp_path, "again")
    assert (again.prefixes.completions.generated, again.prefixes.judgements.generated) == (0, 0)
    assert again.prefixes.curves == quality.curves


def test_a_beginning_is_worth_the_mean_of_its_completions(folder, tmp_path):
    """By a rule that counts characters: every number by hand from what was completed."""
    (tmp_path / "rules.py").write_text("def count(prompt, response):\n    return len(response)\n")
    rule = {"kind": "rule", "function": f"{tmp_path / 'rules.py'}:count"}
    config = section(folder, judge=rule, prefixes=prefixes(folder, tokens=[2]))
    found = evaluated(config, tmp_path)
    plan = planned(config, tmp_path, "out")
    manifest = plan.generations["mine"].finished
    answers = asked_answers(plan.generations["mine"].folder, manifest)
    completer = find_policy("completer", config.prefixes.completer, DEFAULT_DATE)
    chat, voice = completer.chat, completer.voice
    ledger = completer.calls(str(tmp_path / "ledger"), 0).ledger
    by_prompt = {}
    for label, mine in (("base", answers.baseline), ("mine", answers.model)):
        worth = {}
        for one in mine:
            prompt = chat.encode(chat.template.prompts([one.asked])).row(0)
            response = chat.encode([chat.template.prompts([one.asked])[0] + one.turn["content"]]).row(0)[len(prompt) :]
            if len(response) <= 2:
                worth[one.prompt_id] = len(one.turn["content"])
                continue
            ids = np.concatenate([prompt, response[:2]])
            lengths = []
            for sample in range(2):
                seed = request_seed(0, one.prompt_id, "prefix", 2, sample)
                facts = {"seed": seed, "sample_index": sample, "max_tokens": 3}
                name = completion_id(voice.identity, voice.sampling, ids, facts)
                [said] = ledger.fetch([name])["completion_ids"].to_list()
                lengths.append(len(chat.said(np.concatenate([response[:2], said])).text))
            worth[one.prompt_id] = sum(lengths) / 2
        by_prompt[label] = worth
    [base], [mine] = (one.points for one in found.prefixes.curves)
    for point, worth in ((base, by_prompt["base"]), (mine, by_prompt["mine"])):
        assert point.pairs == len(worth)
        assert point.mean == pytest.approx(sum(worth.values()) / len(worth))
    shared = by_prompt["base"].keys() & by_prompt["mine"].keys()
    above = [by_prompt["mine"][key] - by_prompt["base"][key] for key in shared]
    assert found.prefixes.curves[1].over_baseline[0].mean == pytest.approx(sum(above) / len(above))


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
    world.write_gamed(tmp_path / "df_gamed.csv")
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
