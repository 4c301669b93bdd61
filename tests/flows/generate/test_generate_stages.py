"""Prompts to pairs through every stage, with engines that say what they are told to."""

import json
import math
import shutil

import pytest
from docs_support import Page
from flows_support import model_folders
from generation_support import SAYS, World, generation, quarantine, run, shards

from flows.generate.dry_run import dry_run
from flows.generate.plan import plan_generation
from flows.versions.output_folder import read_manifest
from transforms.errors import ConfigError, EngineError, ModelError, OutputError

PROMPTS = [f"question {number}" for number in range(6)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"))


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_each_prompt_gives_its_best_against_its_worst_response(tmp_path, models, world):
    manifest = run(generation(tmp_path, models, PROMPTS))
    pairs = shards(tmp_path / "out/dataset/train").to_pylist()
    assert len(pairs) == manifest.counts.pairs == 6
    lengths = {text: len(world.policies[0]._chat.encode([text]).row(0)) for text in SAYS}
    best, worst = max(lengths, key=lengths.get), min(lengths, key=lengths.get)
    assert {(pair["chosen"], pair["rejected"]) for pair in pairs} == {(best, worst)}
    assert {pair["margin"] for pair in pairs} == {lengths[best] - lengths[worst]}
    assert pairs == sorted(pairs, key=lambda pair: pair["pair_id"])
    assert all(pair["pair_id"].startswith(pair["prompt_id"]) for pair in pairs)


def test_every_response_is_kept_with_its_tokens_score_and_place_in_pairs(tmp_path, models, world):
    manifest = run(generation(tmp_path, models, PROMPTS))
    rows = shards(tmp_path / "out/responses").to_pylist()
    assert len(rows) == manifest.counts.responses == 30
    assert [row["response"] for row in rows[:5]] == list(SAYS)
    assert [row["response_index"] for row in rows[:5]] == [0, 1, 2, 3, 4]
    chat = world.policies[0]._chat
    for row in rows:
        assert row["response_ids"] == [*chat.encode([row["response"]]).row(0).tolist(), chat.eot_id]
        assert row["score"] == row["score_reward"]
    assert sum(row["chosen_in"] for row in rows) == sum(row["rejected_in"] for row in rows) == 6
    assert len({row["seed"] for row in rows}) == 30


def test_a_second_run_is_there_already_and_another_margin_asks_no_model(tmp_path, models, world):
    config = generation(tmp_path, models, PROMPTS)
    first = run(config)
    assert (world.answered, world.scored) == (30, 30)
    assert plan_generation(config).finished == first
    other = generation(tmp_path, models, PROMPTS, pairing={"min_margin": 1000})
    assert plan_generation(other).finished is None
    with pytest.raises(OutputError, match="already holds another run"):
        run(other)
    shutil.rmtree(tmp_path / "out")
    second = run(other)
    assert (world.answered, world.scored) == (30, 30)
    assert second.counts.without_pair == {"margin": 6}
    assert second.counts.pairs == 0


def test_a_run_that_was_stopped_goes_on_without_paying_twice_and_ends_the_same(tmp_path, models, world):
    straight = run(
        generation(tmp_path, models, PROMPTS, ledger=str(tmp_path / "other"), output={"dir": str(tmp_path / "a")})
    )
    before = world.answered
    world.die_after = 8
    with pytest.raises(KeyboardInterrupt):
        run(generation(tmp_path, models, PROMPTS))
    assert world.answered - before == 8
    assert read_manifest(tmp_path / "out") is None
    world.die_after = None
    resumed = run(generation(tmp_path, models, PROMPTS))
    assert world.answered - before == 30
    assert resumed.version == straight.version
    assert resumed.completions.reused == 8


@pytest.mark.parametrize(
    ("accept", "pairs", "drawn", "ended"), [(2, 2, 3, "accepted"), (6, 6, 6, "accepted"), (7, 6, 6, "all_prompts")]
)
def test_accept_draws_prompts_until_exactly_so_many_pairs_are_there(
    tmp_path, models, world, accept, pairs, drawn, ended
):
    manifest = run(generation(tmp_path, models, PROMPTS, accept=accept))
    assert (manifest.counts.pairs, manifest.counts.drawn, manifest.counts.ended) == (pairs, drawn, ended)
    assert len(shards(tmp_path / "out/dataset/train")) == pairs


def test_accept_draws_more_waves_where_prompts_give_no_pair(tmp_path, models, world):
    # Prompts whose question ends in an even number are answered by one text: they have no pair.
    world.says = lambda prompt, sample: "the cat" if any(f"{n}<" in prompt for n in (0, 2, 4)) else SAYS[sample]
    manifest = run(generation(tmp_path, models, PROMPTS, accept=3))
    assert manifest.counts.pairs == 3
    assert manifest.counts.without_pair.get("same_text", 0) + manifest.counts.with_pair == manifest.counts.drawn
    pairs = shards(tmp_path / "out/dataset/train").to_pylist()
    assert {pair["prompt"][0]["content"] for pair in pairs} == {"question 1", "question 3", "question 5"}


@pytest.mark.parametrize(
    ("budget", "drawn"), [({"completions": 14}, 2), ({"tokens": 3 * 5 * 24}, 3), ({"completions": 4}, 0)]
)
def test_a_budget_ends_the_drawing_before_it_is_overrun(tmp_path, models, world, budget, drawn):
    manifest = run(generation(tmp_path, models, PROMPTS, budget=budget))
    assert (manifest.counts.drawn, manifest.counts.ended) == (drawn, "budget")
    assert world.answered == 5 * drawn


def test_max_prompts_takes_those_of_the_smallest_ids_whatever_the_order_of_rows(tmp_path, models, world):
    first = run(generation(tmp_path, models, PROMPTS, max_prompts=2))
    shutil.rmtree(tmp_path / "out")
    second = run(generation(tmp_path, models, PROMPTS[::-1], max_prompts=2))
    assert first.counts.ended == "max_prompts"
    assert shards(tmp_path / "out/dataset/train")["prompt_id"].to_pylist() == sorted(
        shards(tmp_path / "out/dataset/train")["prompt_id"].to_pylist()
    )
    assert second.completions.generated == 0


def test_repeated_empty_and_overlong_prompts_are_counted_and_stop_nothing(tmp_path, models, world):
    rows = ["question 1", "question 1", "", "the cat " * 60, {"messages": []}, b"{broken", "question 2"]
    manifest = run(generation(tmp_path, models, rows))
    counts = manifest.counts
    assert (counts.found, counts.repeated, counts.quarantined, counts.prompts) == (7, 1, 4, 2)
    errors = " ".join(line["error"] for line in quarantine(tmp_path / "out"))
    assert "and the policy reads 128: no room" in errors
    assert "expected a prompt" in errors
    assert manifest.counts.pairs == 2


def test_a_reward_that_is_no_number_leaves_the_response_unscored_and_in_quarantine(tmp_path, models, world):
    world.reward = lambda text: math.nan if "a dog" in text else float(len(text))
    manifest = run(generation(tmp_path, models, PROMPTS[:2]))
    assert manifest.counts.status == {"usable": 8, "unscored": 2}
    assert manifest.annotators[0].unscored == {"the reward model returned nan": 2}
    assert [line["error"] for line in quarantine(tmp_path / "out")] == ["reward: the reward model returned nan"] * 2
    rows = shards(tmp_path / "out/responses").to_pylist()
    assert [row["score"] for row in rows if row["response"] == "a dog"] == [None, None]


def test_responses_that_run_out_of_room_have_no_end_of_turn_and_make_no_pair_unless_allowed(tmp_path, models, world):
    world.says = lambda _prompt, sample: ("the cat", "the cat sat on the mat …")[sample % 2]
    policy = {"n": 2}
    manifest = run(generation(tmp_path, models, PROMPTS[:2], policy=policy))
    assert manifest.voices[0].finished == 2
    assert manifest.counts.without_pair == {"unfinished": 2}
    shutil.rmtree(tmp_path / "out")
    run(generation(tmp_path, models, PROMPTS[:2], policy=policy, pairing={"unfinished": "allow"}))
    (pair, _) = shards(tmp_path / "out/dataset/train").to_pylist()
    assert (pair["chosen_finished"], pair["rejected_finished"]) == (False, True)
    assert pair["chosen_ids"][-1] != pair["rejected_ids"][-1]


def test_two_policies_answer_under_their_own_names_seeds_and_system_prompts(tmp_path, models, world):
    world.says = lambda prompt, sample: ("the dog ran" if "be brief" in prompt else "the cat sat") + " one" * sample
    shared = {"model": str(models[0]), "engine": "transformers", "dtype": "float32", "n": 2, "max_new_tokens": 24}
    policies = [shared | {"label": "plain"}, shared | {"label": "brief", "system_prompt": "be brief"}]
    manifest = run(generation(tmp_path, models, PROMPTS[:2], policies=policies))
    rows = shards(tmp_path / "out/responses").to_pylist()
    assert [(row["policy"], row["sample_index"], row["response"]) for row in rows[:4]] == [
        ("plain", 0, "the cat sat"),
        ("plain", 1, "the cat sat one"),
        ("brief", 0, "the dog ran"),
        ("brief", 1, "the dog ran one"),
    ]
    assert len(rows[2]["prompt_ids"]) > len(rows[0]["prompt_ids"])
    assert all([turn["role"] for turn in row["prompt"]] == ["user"] for row in rows)
    assert [voice.responses for voice in manifest.voices] == [4, 4]
    assert sum(voice.chosen for voice in manifest.voices) == manifest.counts.pairs == 2


def test_a_response_that_spells_a_special_token_or_says_nothing_is_no_response(tmp_path, models, world):
    says = ("the cat", "", "  ", "<|im_start|>dog", "the cat sat on the mat")
    world.says = lambda _prompt, sample: says[sample]
    manifest = run(generation(tmp_path, models, PROMPTS[:1]))
    assert manifest.counts.status == {"usable": 2, "empty": 2, "unusable": 1}
    assert manifest.counts.quarantined_responses == 1
    (line,) = quarantine(tmp_path / "out")
    assert "special token" in line["error"]


def test_a_response_that_no_curation_would_take_is_in_no_pair(tmp_path, models, world):
    world.says = lambda _prompt, sample: ("the cat\0sat on the mat", "a dog", "the dog ran")[sample % 3]
    manifest = run(generation(tmp_path, models, PROMPTS[:1], policy={"n": 3}))
    (pair,) = shards(tmp_path / "out/dataset/train").to_pylist()
    assert {pair["chosen"], pair["rejected"]} == {"a dog", "the dog ran"}
    assert manifest.counts.status == {"usable": 2, "unusable": 1}
    assert "NUL" in quarantine(tmp_path / "out")[0]["error"]


def test_asked_again_the_annotator_is_paid_once_more_and_the_table_says_what_differs(tmp_path, models, world):
    calls = []
    world.reward = lambda text: calls.append(text) or float(len(calls))  # never the same twice
    manifest = run(generation(tmp_path, models, PROMPTS[:3], repeats=2))
    (found,) = manifest.reliability
    assert (found.repeated, found.repeat_equal.value) == (10, 0.0)
    assert world.scored == 15 + 10
    assert found.ties.value == 0.0
    assert found.order_same is None


def test_a_failing_engine_ends_the_run_with_its_message_and_nothing_looks_complete(tmp_path, models, world):
    def fails(_prompt, _sample):
        message = "out of memory"
        raise EngineError(message)

    world.says = fails
    with pytest.raises(EngineError, match="out of memory"):
        run(generation(tmp_path, models, PROMPTS))
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_policy_without_a_chat_template_is_one_clear_error(tmp_path, models, world):
    import json

    folder = shutil.copytree(models[0], tmp_path / "base")
    for file in folder.glob("chat_template*"):
        file.unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="chat template"):
        run(generation(tmp_path, models, PROMPTS, policy={"model": str(folder)}))
    assert world.answered == 0


def test_a_generation_is_refused_where_a_curated_run_is_expected_and_says_how_to_curate_it(tmp_path, models, world):
    run(generation(tmp_path, models, PROMPTS[:1]))
    with pytest.raises(OutputError, match="kind: generated"):
        read_manifest(tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"annotators": []}, "annotators: none"),
        ({"policies": []}, "policies: none"),
        ({"aggregate": "median"}, "aggregate is 'median'"),
        ({"policy": {"engine": "none"}}, "samples nothing"),
        ({"policy": {"temperature": 0}}, "temperature 0 gives 5 equal completions"),
        ({"pairing": {"max_per_prompt": 3}}, "max_per_prompt is of strategy: all"),
        ({"pairing": {"min_margin": math.inf}}, "min_margin"),
        (
            {"annotators": [{"kind": "rule", "function": "a.py:f", "name": "minimum"}]},
            "called minimum, as an aggregate",
        ),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(tmp_path, models, changes, said):
    with pytest.raises((ValueError, ConfigError), match=said):
        generation(tmp_path, models, PROMPTS, **changes)


def test_an_interpolated_policy_answers_as_a_model_of_its_own(tmp_path, models, world, monkeypatch):
    monkeypatch.setenv("PREFERENCE_CURATION_CACHE", str(tmp_path / "cache"))
    other = model_folders(tmp_path / "others")[0]
    # Another training of the same model: equal tensors but for their values.
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "model.safetensors")
    save_file(
        {name: tensor + torch.ones_like(tensor) for name, tensor in weights.items()},
        other / "model.safetensors",
        metadata={"format": "pt"},
    )
    interpolate = {"a": str(models[0]), "b": str(other), "weight": 1.1}
    policy = {"engine": "transformers", "dtype": "float32", "max_new_tokens": 24}
    both = [policy | {"label": "beyond", "interpolate": interpolate}, policy | {"label": "a", "model": str(models[0])}]
    manifest = run(generation(tmp_path, models, PROMPTS[:1], policies=both))
    beyond, plain = manifest.voices
    assert beyond.interpolation["weight"] == 1.1
    assert "at 1.1" in beyond.model.name
    assert beyond.model.fingerprint != plain.model.fingerprint
    assert manifest.counts.responses == 10


@pytest.mark.parametrize("policy", [{}, {"model": "smollm2", "interpolate": {"a": "x/a", "b": "x/b", "weight": 1}}])
def test_a_policy_is_a_model_or_an_interpolation(tmp_path, models, policy):
    with pytest.raises(ValueError, match="of model and interpolate"):
        generation(tmp_path, models, PROMPTS, policies=[policy])


def test_a_dry_run_counts_what_is_missing_and_keeps_nothing(tmp_path, models, world):
    run(generation(tmp_path, models, PROMPTS, max_prompts=2, output={"dir": str(tmp_path / "a")}))
    config = generation(tmp_path, models, [*PROMPTS, "question 1", ""])
    found = dry_run(plan_generation(config))
    (policy,) = found.policies
    assert (found.prompts, found.drawn, found.quarantined) == (6, 6, 1)
    assert (policy.responses, policy.held, policy.tokens_most) == (30, 10, 20 * 24)
    assert found.annotators == [("reward", 30, 30)]  # its recipe repeats none
    assert policy.mean_tokens > 0
    assert dry_run(plan_generation(config), measure=False).policies[0].held == 10
    assert not (tmp_path / "out").exists()


def test_a_dry_run_of_prompts_that_none_can_read_costs_nothing(tmp_path, models, world):
    found = dry_run(plan_generation(generation(tmp_path, models, ["", ""])))
    assert (found.prompts, found.drawn, found.quarantined) == (0, 0, 2)
    assert found.policies[0].responses == 0


def test_every_prompt_that_the_how_to_shows_is_one_that_is_answered(tmp_path, models):
    [shown] = Page("docs/how-to/generate-pairs.md").blocks("json")
    rows = [json.loads(line) for line in shown.text.splitlines()]
    found = dry_run(plan_generation(generation(tmp_path, models, rows)), measure=False)
    assert (found.prompts, found.quarantined) == (len(rows), 0) == (3, 0)
