"""Families through a whole run: what is sampled, what is scored, what is refused, and on which day."""

import json
from datetime import datetime

import datasets
import pytest
from families import family, trl_template
from flows_support import model_folders, pair, sampling_recipe, truncate_recipe
from pydantic import ValidationError
from tests_support import need_vllm
from transformers.utils import chat_template_utils

import flows.curate.flow as curate_module
from flows.curate import estimating
from flows.curate.plan import load_ahead, plan_run
from flows.explain import facts as explaining
from transforms.asking.readings import completion_readings
from transforms.engines.tokenizer import load_tokenizer
from transforms.errors import ModelError

RIVERS = [
    {"prompt": "Name three rivers.", "chosen": "The Rhine, the Rhone and the Po.", "rejected": "Rhine."},
    {"prompt": "What is two plus three?", "chosen": "Five.", "rejected": "I think it may be six, or seven."},
]


pytestmark = pytest.mark.usefixtures("curates_here")


def run(recipe):
    return curate_module.run_stages(plan_run(recipe))


def saved(name, folder):
    family(name).tokenizer().save_pretrained(folder)
    return str(folder)


def policy(tmp_path, name, **more):
    return {"policy": {"model": saved(name, tmp_path / "family"), "engine": "none", **more}}


SENTENCEPIECE = ["zephyr", "llama2, Metaspace", "mistral v3, [INST] as a token"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "engine"),
    [*((name, "transformers") for name in SENTENCEPIECE), pytest.param("zephyr", "vllm", marks=pytest.mark.vllm)],
)
def test_completions_of_a_sentencepiece_family_go_on_without_a_stray_space(tmp_path, monkeypatch, name, engine):
    if engine == "vllm":
        need_vllm()
    models = model_folders(tmp_path, family(name).tokenizer(), context=256, width=64)  # vLLM has no narrower heads
    read = []

    def spy(pairs, samples, completions, chat):
        readings = completion_readings(pairs, samples, completions, chat)
        read.extend(zip(samples, [completions[one.request.request_id] for one in samples], readings, strict=True))
        return readings

    monkeypatch.setattr(estimating, "completion_readings", spy)
    settings = {"model": str(models[0]), "engine": engine, "dtype": "float32"}
    manifest = run(sampling_recipe(tmp_path, models, RIVERS, policy=settings))
    assert manifest.completions.generated == len(read) == 2 * 2
    tokenizer = load_tokenizer(models[0])
    table = {row["pair_id"][:16]: row for row in rows_of(tmp_path)}
    assert len(table) == 2
    for sample, completion, reading in read:
        [row] = [row for row in table.values() if row["prompt"] == reading.asked.turns]
        asked = [*reading.asked.turns, {"role": "assistant", "content": row[f"{sample.side}_full"]}]
        whole = tokenizer.apply_chat_template(asked, return_dict=False)
        prefix = list(sample.request.token_ids)
        assert prefix == whole[: len(prefix)]  # what is sampled from is what the family makes of the conversation
        said = reading.answer["content"]
        kept = row[sample.side]
        assert said.startswith(kept)
        # All tokens decoded together say where a space belongs.
        everything = tokenizer.decode([*prefix, *completion], skip_special_tokens=True)
        assert everything.rstrip().endswith(said.rstrip())
        assert (
            everything[len(tokenizer.decode(prefix, skip_special_tokens=True)) :].strip() == said[len(kept) :].strip()
        )


def rows_of(tmp_path):
    parts = ("dataset/train", "dropped")
    return [row for part in parts for row in datasets.load_from_disk(str(tmp_path / "out" / part)).to_list()]


@pytest.mark.parametrize("name", SENTENCEPIECE)
def test_the_reward_model_reads_the_joined_text_as_its_own_template_gives_it(tmp_path, name):
    from transforms.chat.conversation import Asked, answer
    from transforms.engines.reward_inputs import RewardInputs

    folder = model_folders(tmp_path, family(name).with_few_tokens().tokenizer(), context=256)[1]
    asked = Asked([{"role": "user", "content": "Name three rivers."}])
    turns = [answer("The Rhine, the Rh"), answer("Five.")]
    tokenizer = load_tokenizer(folder)
    own = [tokenizer.apply_chat_template([*asked.turns, turn], return_dict=False) for turn in turns]
    assert RewardInputs(folder).token_ids([asked, asked], turns) == own


def test_a_family_whose_plain_responses_cannot_be_had_ends_the_run_with_both_token_lists(tmp_path):
    recipe = truncate_recipe(tmp_path, [pair(1)], **policy(tmp_path, "nemotron_3_nano"))
    with pytest.raises(ModelError) as error:
        load_ahead(plan_run(recipe))
    said = str(error.value)
    lists = [line for line in said.splitlines() if line.startswith("  ")]
    assert [line.split(":")[0].strip() for line in lists] == ["prompt", "whole"]
    assert lists[0].endswith("<think> Ċ")
    assert "<think> </think>" in lists[1]
    assert "policy.chat_template_kwargs, such as {enable_thinking: false}" in said


def test_thinking_can_be_turned_off_for_a_whole_run(tmp_path):
    off = {"chat_template_kwargs": {"enable_thinking": False}}
    manifest = run(truncate_recipe(tmp_path, [pair(1)], **policy(tmp_path, "nemotron_3_nano", **off)))
    assert manifest.counts.kept == 1
    assert manifest.template.kwargs == {"enable_thinking": False}
    assert {probe.name: probe.exact for probe in manifest.template.probes}["plain"]


def test_an_argument_that_the_template_does_not_know_is_an_error(tmp_path):
    more = {"chat_template_kwargs": {"enable_thinkin": False}}
    with pytest.raises(ModelError, match="knows no enable_thinkin"):
        load_ahead(plan_run(truncate_recipe(tmp_path, [pair(1)], **policy(tmp_path, "nemotron_3_nano", **more))))


def test_what_a_template_is_called_with_by_this_project_cannot_be_set(tmp_path):
    with pytest.raises(ValidationError, match="tools cannot be set here"):
        truncate_recipe(tmp_path, [], **policy(tmp_path, "zephyr", chat_template_kwargs={"tools": []}))


def test_a_template_of_ones_own_makes_a_distilled_thinker_usable_where_responses_have_reasoning(tmp_path):
    own = tmp_path / "own.jinja"
    own.write_text(trl_template("deepseek_r1_distill_training"), encoding="utf-8")
    rows = [
        {"prompt": "one", "chosen": "<think>\ntwo\n</think>\n\nthree", "rejected": "<think>\nsix\n</think>\n\nseven"},
        {"prompt": "two", "chosen": "the cat", "rejected": "dog"},
    ]
    more = {"chat_template": str(own), "without_reasoning": "quarantine"}
    manifest = run(truncate_recipe(tmp_path, rows, **policy(tmp_path, "deepseek_r1_distill", **more)))
    assert (manifest.counts.kept, manifest.counts.quarantined) == (1, 1)
    assert manifest.template.text == own.read_text(encoding="utf-8")
    [bad] = (json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines())
    assert "ends the prompt with" in bad["error"]
    [row] = datasets.load_from_disk(str(tmp_path / "out" / "dataset" / "train")).to_list()
    assert row["chosen"] == "two\n</think>\n\nthree"[: len(row["chosen"])]
    own.unlink()  # the manifest has it
    found = explaining.explain(tmp_path / "out", row["pair_id"])
    assert found.texts["chosen"][0] == row["chosen"]


def test_responses_that_the_template_trims_are_counted_in_the_manifest(tmp_path):
    rows = [pair(1, chosen=" the cat sat"), pair(2)]
    assert run(truncate_recipe(tmp_path, rows, **policy(tmp_path, "gemma"))).template.changed == 1


class Clock:
    """The clock of transformers, on another day."""

    @staticmethod
    def now():
        return datetime(2031, 5, 6)


@pytest.mark.slow
def test_the_same_recipe_on_two_days_is_one_version_and_nothing_is_paid_twice(tmp_path, monkeypatch):
    models = model_folders(tmp_path, family("chatml with a date").tokenizer(), context=512)
    recipe = sampling_recipe(tmp_path, models, RIVERS)
    today = run(recipe)
    assert today.completions.generated == 2 * 2
    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    assert "06 May 2031" in load_tokenizer(models[0]).apply_chat_template(
        [{"role": "user", "content": "q"}], tokenize=False
    )
    elsewhere = recipe.model_copy(update={"output": recipe.output.model_copy(update={"dir": str(tmp_path / "again")})})
    tomorrow = run(elsewhere)
    assert tomorrow.version == today.version
    assert (tomorrow.completions.generated, tomorrow.scores.generated) == (0, 0)
    assert tomorrow.template.date == today.template.date == "2024-07-26"


@pytest.mark.slow
def test_another_day_of_the_recipe_is_another_tokenizer_to_a_comparison(tmp_path):
    from flows.diff.difference import summarize_difference
    from flows.versions.version import open_version

    tokenizer = saved("chatml with a date", tmp_path / "family")
    runs = []
    for day in ("2024-07-26", "2026-01-02"):
        recipe = truncate_recipe(
            tmp_path, RIVERS, policy={"model": tokenizer, "engine": "none"}, chat_template_date=day
        )
        out = recipe.output.model_copy(update={"dir": str(tmp_path / day)})
        runs.append(run(recipe.model_copy(update={"output": out})))
    assert runs[0].version != runs[1].version
    found = summarize_difference(*(open_version(str(tmp_path / day)) for day in ("2024-07-26", "2026-01-02")))
    assert not found.same_tokenizer
