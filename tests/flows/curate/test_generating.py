"""One recipe from prompts to curated pairs: one command, one version, nothing paid twice."""

import json

import pyarrow as pa
import pytest
from flows_support import call_plainly, model_folders
from generation_support import SAYS, World, generation, shards
from generation_support import run as generate
from tests_support import tiny_tokenizer
from tokenizers import Tokenizer

import flows.curate.flow as curate_module
from flows.curate.plan import plan_run
from flows.curate.run import Run
from flows.explain.facts import explain
from flows.models import recipe_models
from flows.publish.export import export_run
from flows.recipe.curation import Recipe
from flows.recipe.generation import GenerateConfig
from flows.versions.output_folder import read_generation
from transforms.errors import ConfigError, SourceError

PROMPTS = [f"question {number}" for number in range(4)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"))


@pytest.fixture
def world(monkeypatch):
    call_plainly(monkeypatch, curate_module)
    found = World(monkeypatch)
    monkeypatch.setattr(recipe_models, "open_sampler", found._policy)
    return found


def recipe(tmp_path, models, **changes):
    """The generation of `generation_support` inside a curation with the same policy and reward model."""
    inner = generation(tmp_path, models, PROMPTS).model_dump(mode="json")
    section = {name: inner[name] for name in GenerateConfig.model_fields if name != "annotators"}
    content = {
        "name": "unit",
        "generate": section,
        "truncate": {"method": "poet"},
        "policy": {"model": str(models[0]), "engine": "transformers", "dtype": "float32"},
        "sampling": {"n": 1, "max_new_tokens": 8},
        "reward": {"model": str(models[1]), "engine": "transformers", "dtype": "float32"},
        "output": {"dir": str(tmp_path / "curated"), "test_size": 0},
        "ledger": str(tmp_path / "ledger"),
    }
    return Recipe.model_validate(content | changes)


def curate(config):
    return curate_module.run_stages(plan_run(config))


def test_pairs_are_generated_truncated_judged_and_written_as_one_version(tmp_path, models, world):
    manifest = curate(recipe(tmp_path, models))
    assert manifest.generated.pairs == manifest.counts.pairs == 4
    assert manifest.generated.responses == 20
    rows = shards(tmp_path / "curated/dataset/train").to_pylist()
    assert len(rows) == manifest.counts.kept
    assert {row["source"] for row in rows} == {"generated"}
    responses = shards(tmp_path / "curated/responses").to_pylist()
    assert len(responses) == 20
    assert {row["model"] for row in responses} == {"policy"}
    assert (tmp_path / "curated/generated/manifest.json").is_file()
    named = {file.path for file in manifest.files}
    assert {"generated/manifest.json", "generated/report.html"} <= named


def test_rewards_of_responses_are_those_that_the_consistency_stage_reads(tmp_path, models, world):
    manifest = curate(recipe(tmp_path, models))
    assert manifest.generated.scores.generated == 20
    # Both full responses of each pair were scored when they were generated; what is left are completions.
    assert manifest.scores.reused >= 8
    assert manifest.scores.generated == manifest.completions.requests


@pytest.mark.parametrize("token_ids", ["use", "ignore"])
def test_the_sampled_tokens_are_the_pairs_tokens_unless_they_are_to_be_ignored(tmp_path, models, world, token_ids):
    world.spells = True
    world.says = lambda _prompt, sample: ("cat", "the cat sat on")[sample % 2]
    generate(generation(tmp_path, models, PROMPTS))
    sources = [{"kind": "generated", "path": str(tmp_path / "out"), "token_ids": token_ids}]
    untouched = {"truncate": {"method": "none"}, "policy": {"model": str(models[0]), "engine": "none"}, "reward": None}
    curate(recipe(tmp_path, models, generate=None, sources=sources, **untouched))
    generated = {row["pair_id"]: row for row in shards(tmp_path / "out/dataset/train").to_pylist()}
    rows = shards(tmp_path / "curated/dataset/train").to_pylist()
    assert len(rows) == 4
    for row in rows:
        sampled, text = generated[row["pair_id"]], row["chosen"]
        encoded = [*world.policies[0]._chat.encode([text]).row(0).tolist(), world.policies[0]._chat.eot_id]
        assert sampled["chosen_ids"] != encoded
        assert row["chosen_ids"] == (sampled["chosen_ids"] if token_ids == "use" else encoded)
        assert row["chosen_score"] == sampled["chosen_score"]


def test_responses_of_a_policy_with_other_tokens_are_encoded_anew(tmp_path, models, world):
    (tmp_path / "other").mkdir()
    other = model_folders(tmp_path / "other", other_words())[0]
    inner = generation(tmp_path, models, PROMPTS).model_dump(mode="json")
    first = inner["policies"][0] | {"n": 1}
    config = recipe(tmp_path, models)
    content = config.model_dump(mode="json")
    content["generate"]["policies"] = [first, first | {"model": str(other), "label": "other", "n": 2}]
    manifest = curate(Recipe.model_validate(content))
    assert manifest.counts.pairs == 4
    assert manifest.counts.quarantined == 0
    chat = manifest.tokenizer
    for row in shards(tmp_path / "curated/dataset/train").to_pylist():
        assert row["rejected_ids"] == [*world.policies[0]._chat.encode([row["rejected"]]).row(0), chat.eot_id]


def other_words():
    """The tiny tokenizer, with two of its ids swapped."""
    tokenizer = tiny_tokenizer()
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    first, second = tokenizer.tokenize(SAYS[1])[:2]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(content))
    return tokenizer


def test_two_commands_give_the_pairs_of_one(tmp_path, models, world):
    together = curate(recipe(tmp_path, models))
    asked = world.answered
    generate(generation(tmp_path, models, PROMPTS))
    sources = [{"kind": "generated", "path": str(tmp_path / "out"), "label": "generated"}]
    apart = recipe(
        tmp_path, models, generate=None, sources=sources, output={"dir": str(tmp_path / "b"), "test_size": 0}
    )
    assert curate(apart).version == together.version
    assert world.answered == asked


def test_a_second_run_is_there_already_and_another_threshold_generates_nothing_anew(tmp_path, models, world):
    config = recipe(tmp_path, models)
    first = curate(config)
    assert plan_run(config).finished == first
    asked = world.answered, world.scored
    other = recipe(
        tmp_path, models, consistency={"threshold": 0.6}, output={"dir": str(tmp_path / "b"), "test_size": 0}
    )
    second = curate(other)
    assert (world.answered, world.scored) == asked
    assert second.generated.version == first.generated.version


def test_policy_and_reward_model_of_the_curation_are_taken_where_the_section_names_none(tmp_path, models, world):
    config = recipe(tmp_path, models)
    section = config.generate.model_copy(update={"policies": []})
    found = config.model_copy(update={"generate": section}).generation()
    assert [one.model for one in found.policies] == [str(models[0])]
    assert [one.model for one in found.annotators] == [str(models[1])]
    assert found.output.dir == f"{tmp_path}/curated/generated"


def test_nobody_to_score_is_said_by_the_recipe(tmp_path, models, world):
    with pytest.raises(ValueError, match="annotators: none"):
        recipe(tmp_path, models, reward=None, policy={"model": str(models[0]), "engine": "none"})


def test_neither_sources_nor_generation_is_said_by_the_recipe(tmp_path, models, world):
    with pytest.raises(ValueError, match="nothing to generate"):
        recipe(tmp_path, models, generate=None)


def test_an_audit_reads_pairs_that_are_there_and_says_so(tmp_path, models, world):
    plan = plan_run(recipe(tmp_path, models))
    (tmp_path / "work").mkdir()
    with pytest.raises(ConfigError, match=r"flows\.generate first"):
        Run(plan, tmp_path / "work").read_sources()


def test_explain_finds_the_raw_row_of_a_generated_pair(tmp_path, models, world):
    curate(recipe(tmp_path, models))
    row = shards(tmp_path / "curated/dataset/train").to_pylist()[0]
    found = explain(tmp_path / "curated", row["pair_id"])
    assert found.raw["chosen_policy"] == "policy"


def test_responses_that_the_generation_did_not_write_are_refused(tmp_path, models, world):
    generate(generation(tmp_path, models, PROMPTS))
    content = recipe(tmp_path, models).model_dump(mode="json") | {
        "generate": None,
        "sources": [{"kind": "generated", "path": str(tmp_path / "out")}],
    }
    (shard,) = (tmp_path / "out/responses").glob("*.arrow")
    with pa.ipc.new_stream(shard, pa.schema([("policy", pa.string())])) as writer:
        writer.write_table(pa.table({"policy": ["x"]}))
    with pytest.raises(SourceError, match=r"responses/data-00000-of-00001.arrow has sha256 .* not what the run wrote"):
        curate(Recipe.model_validate(content))


@pytest.mark.parametrize(("accept", "kept", "ended"), [(2, 2, "accepted"), (4, 3, "all_prompts")])
def test_accept_counts_the_pairs_that_are_kept_in_the_end(tmp_path, models, world, accept, kept, ended):
    # The first prompt's pair has a margin that the filter drops: more prompts are drawn in its place.
    first = run_prompts(tmp_path, models)[0]
    world.reward = lambda text: float(len(text)) if first in text else 10.0 * len(text)
    inner = recipe(tmp_path, models).generate.model_dump(mode="json")
    annotators = generation(tmp_path, models, PROMPTS).model_dump(mode="json")["annotators"]
    config = recipe(
        tmp_path,
        models,
        generate=inner | {"accept": accept, "annotators": annotators},
        policy={"model": str(models[0]), "engine": "none"},
        reward=None,
        filters={"min_score_margin": 50.0},
    )
    manifest = curate(config)
    assert manifest.counts.kept == kept
    assert manifest.generated.ended == ended
    assert manifest.counts.pairs == kept + sum(manifest.counts.dropped.values())
    assert manifest.counts.dropped["min_score_margin"] == 1
    # What a round before paid is paid, and not reused: the four prompts' twenty answers, each once.
    drawn = manifest.generated.prompts
    for spend in (manifest.generated.completions, manifest.generated.scores):
        assert (spend.requests, spend.generated, spend.reused) == (5 * drawn, 5 * drawn, 0)
    generated = read_generation(tmp_path / "curated/generated")
    assert generated.counts.raw_rows == generated.counts.found == generated.sources[0].pairs == len(PROMPTS)


def run_prompts(tmp_path, models):
    """The prompts in the order in which they are drawn."""
    elsewhere = {"output": {"dir": str(tmp_path / "order")}, "ledger": str(tmp_path / "other")}
    generate(generation(tmp_path, models, PROMPTS, **elsewhere))
    rows = shards(tmp_path / "order/responses").to_pylist()
    return list(dict.fromkeys(row["prompt"][0]["content"] for row in rows))


def test_a_published_version_has_no_path_of_this_machine_and_leaves_the_generation_here(tmp_path, models, world):
    curate(recipe(tmp_path, models))
    (tmp_path / "published").mkdir()
    export = export_run(tmp_path / "curated", tmp_path / "published", "org/name")
    assert not [file.path for file in export.files if file.path.startswith("generated/")]
    assert str(tmp_path) not in (tmp_path / "published/manifest.json").read_text()
