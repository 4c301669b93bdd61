"""A generation, exported: its pairs, and as kto every response with a score, in a pair or not."""

import json
import math
import shutil
import sys

import datasets
import pytest
from export_support import TOOLS, kept, lines, run_of
from flows_support import model_folders
from generation_support import SAYS, World, generation, run, shards
from tests_support import TEMPLATE, tiny_tokenizer

from flows.export.__main__ import main
from transforms.errors import ConfigError, OutputError, SourceError

ALL = ("trl", "kto", "nemo_rl", "openrlhf")
SCORES = {"the cat": 1.0, "the cat sat on the mat": 9.0, "a dog": 2.0, "the dog ran": 8.0, "seven": 3.0}
HOSTILE = 'one\ntwo\r\nthree\u2028four\u2029five\x85six "q" \\ </script> 👩🏽‍🚀 \u202e {"role": "x"}'
# Writes reasoning in a block of its own, as Qwen3's does.
THINKING = TEMPLATE.replace(
    "+ m['content'] +",
    "+ ('<think>\n' + m['reasoning_content'] + '\n</think>\n\n' if m['reasoning_content'] is defined else '')"
    " + m['content'] +",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"), context=512)


@pytest.fixture
def world(monkeypatch):
    found = World(monkeypatch)
    found.reward = by_response(SCORES)
    return found


def by_response(scores):
    """A reward that knows each response by its text."""

    def reward(text):
        return scores[text.rsplit("<|im_start|>assistant\n", 1)[1].split("<|im_end|>")[0]]

    return reward


def export(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["export", *map(str, words)])
    assert main() == 0


def loaded(path, tmp_path):
    return list(datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")))


def exported(out, layout):
    return lines(out / "exports" / layout / "train.jsonl")


def test_pairs_are_those_of_the_generation_whole_and_with_their_ends(tmp_path, models, world, monkeypatch):
    world.says = lambda _prompt, sample: "the cat sat on the …" if sample == 1 else SAYS[sample]
    world.reward = by_response(SCORES | {"the cat sat on the …": 9.0})
    run(generation(tmp_path, models, ["question"], pairing={"unfinished": "allow"}))
    (pair,) = shards(tmp_path / "out/dataset/train").to_pylist()
    export(monkeypatch, tmp_path / "out", "--to", *ALL)
    asked = [{"role": "user", "content": "question"}]
    good = {"role": "assistant", "content": "the cat sat on the …"}
    bad = {"role": "assistant", "content": "the cat"}
    beside = {
        "pair_id": pair["pair_id"],
        "source": "prompts",
        "chosen_cut": True,
        "rejected_cut": False,
        "chosen_finished": False,
        "rejected_finished": True,
    }
    assert exported(tmp_path / "out", "trl") == [{"prompt": asked, "chosen": [good], "rejected": [bad], **beside}]
    assert exported(tmp_path / "out", "openrlhf") == exported(tmp_path / "out", "trl")
    ranked = [{"rank": 0, "completion": [good]}, {"rank": 1, "completion": [bad]}]
    assert exported(tmp_path / "out", "nemo_rl") == [{"context": asked, "completions": ranked, **beside}]
    for layout in ALL:
        path = tmp_path / "out" / "exports" / layout / "train.jsonl"
        assert loaded(path, tmp_path) == lines(path)


def test_kto_takes_every_response_with_a_score_and_labels_it_by_that_score(
    tmp_path, models, world, monkeypatch, capsys
):
    run(generation(tmp_path, models, ["question"]))
    (prompt_id,) = {row["prompt_id"] for row in shards(tmp_path / "out/responses").to_pylist()}
    export(monkeypatch, tmp_path / "out", "--to", "kto", "--json")
    record = json.loads(capsys.readouterr().out)
    rows = exported(tmp_path / "out", "kto")
    # 1 2 3 | 8 9: the mean is 4.6 and the classes' are 2 and 8.5
    assert [(row["completion"][0]["content"], row["score"], row["label"], row["side"]) for row in rows] == [
        ("the cat", 1.0, False, "rejected"),
        ("the cat sat on the mat", 9.0, True, "chosen"),
        ("a dog", 2.0, False, None),
        ("the dog ran", 8.0, True, None),
        ("seven", 3.0, False, None),
    ]
    assert rows[3] == {
        "prompt": [{"role": "user", "content": "question"}],
        "completion": [{"role": "assistant", "content": "the dog ran"}],
        "label": True,
        "prompt_id": prompt_id,
        "response_index": 3,
        "policy": "policy",
        "side": None,
        "source": "prompts",
        "score": 8.0,
        "completion_cut": False,
        "completion_finished": True,
    }
    found = record["threshold"]
    assert (found["score"], found["value"], found["method"]) == ("aggregate", 5.5, "otsu")
    assert (found["responses"], found["desirable"], found["undesirable"]) == (5, 2, 3)
    assert (found["chosen"], found["chosen_below"], found["rejected"], found["rejected_above"]) == (1, 0, 1, 0)
    assert (found["unpaired"], found["unpaired_above"]) == (3, 1)
    # between: 0.4 · 0.6 · 6.5² = 10.14 of a variance of 159/5 - 4.6² = 10.64
    assert found["separation"] == pytest.approx(10.14 / 10.64)
    path = tmp_path / "out" / "exports" / "kto" / "train.jsonl"
    assert loaded(path, tmp_path) == rows


def test_rows_in_are_rows_written_and_rows_left_out_with_a_reason_each(tmp_path, models, world, monkeypatch, capsys):
    says = ("the cat", "", "  ", "<|im_start|>dog", "the cat", "seven", "a dog", "the cat sat on the mat")
    world.says = lambda _prompt, sample: says[sample]
    world.reward = by_response(SCORES | {"seven": math.nan})
    manifest = run(generation(tmp_path, models, ["question"], policy={"n": 8}))
    assert manifest.counts.status == {"usable": 4, "empty": 2, "unusable": 1, "unscored": 1}
    export(monkeypatch, tmp_path / "out", "--to", "trl", "kto", "--json", "--margin", "3.5", "--threshold", "5")
    record = json.loads(capsys.readouterr().out)
    pairs, kto = record["files"]
    assert (pairs["rows_in"], pairs["rows"], pairs["left_out"]) == (1, 1, {})
    assert kto["left_out"] == {"empty": 2, "near_threshold": 1, "no_score": 1, "repeated": 1, "unusable": 1}
    assert (kto["rows_in"], kto["rows"], kto["responses"]) == (8, 2, 2)
    left = lines(tmp_path / "out" / "exports" / "left-out.jsonl")
    assert [(one["response_index"], one["reason"], one["side"]) for one in left] == [
        (1, "empty", None),
        (2, "empty", None),
        (3, "unusable", None),
        (4, "repeated", None),
        (5, "no_score", None),
        (6, "near_threshold", None),
    ]
    assert {(one["layout"], one["split"], one["policy"]) for one in left} == {("kto", "train", "policy")}
    assert len({one["prompt_id"] for one in left}) == 1
    page = (tmp_path / "out" / "exports" / "README.md").read_text()
    assert "- empty: the policy ended at once, without a text\n" in page
    assert "- unusable: the text does not say the tokens that were sampled, or the other way round" in page


def test_a_response_that_is_chosen_in_one_pair_and_rejected_in_another_counts_on_both_sides(
    tmp_path, models, world, monkeypatch, capsys
):
    world.says = lambda _prompt, sample: ("the cat", "seven", "the cat sat on the mat")[sample]
    run(generation(tmp_path, models, ["question"], policy={"n": 3}, pairing={"strategy": "all"}))
    export(monkeypatch, tmp_path / "out", "--to", "kto", "--json")
    record = json.loads(capsys.readouterr().out)
    assert [row["side"] for row in exported(tmp_path / "out", "kto")] == ["rejected", "both", "chosen"]
    found = record["threshold"]
    # {1, 3 | 9}: seven is below, also as a chosen one
    assert (found["value"], found["chosen"], found["chosen_below"]) == (6.0, 2, 1)
    assert (found["rejected"], found["rejected_above"], found["unpaired"]) == (2, 0, 0)
    assert record["generation"] == {
        "prompts": 1,
        "responses": 3,
        "in_pairs": 3,
        "pairs": 3,
        "annotators": ["reward"],
        "aggregate": "mean_z",
    }


@pytest.mark.parametrize("thinking", ["keep", "hide", "cut"])
def test_reasoning_is_a_field_of_the_response_unless_the_recipe_cuts_it(tmp_path, world, monkeypatch, thinking):
    models = model_folders(tmp_path / "models", tiny_tokenizer(THINKING), context=512)
    says = ("<think>\nwell then\n</think>\n\nthe cat sat", "a dog", "<think>\none two")
    world.says = lambda _prompt, sample: says[sample]
    world.reward = lambda text: float("the cat sat" in text)
    run(generation(tmp_path, models, ["question"], policy={"n": 3, "thinking": thinking, "max_new_tokens": 99}))
    export(monkeypatch, tmp_path / "out", "--to", *ALL)
    more = {} if thinking == "cut" else {"reasoning_content": "well then"}
    turns = [{"role": "assistant", "content": "the cat sat", **more}, {"role": "assistant", "content": "a dog"}]
    (pair,) = exported(tmp_path / "out", "trl")
    assert [*pair["chosen"], *pair["rejected"]] == turns
    assert [row["completion"] for row in exported(tmp_path / "out", "kto")] == [[turn] for turn in turns]
    (left,) = lines(tmp_path / "out" / "exports" / "left-out.jsonl")
    assert (left["response_index"], left["reason"]) == (2, "no_answer")
    for layout in ALL:
        path = tmp_path / "out" / "exports" / layout / "train.jsonl"
        rows = loaded(path, tmp_path)
        assert [row.get("completion", row.get("chosen")) for row in rows] == [
            row.get("completion", row.get("chosen")) for row in lines(path)
        ]


def test_tools_of_a_prompt_go_where_a_layout_has_a_place_for_them(tmp_path, world, monkeypatch):
    template = "{% if tools %}{{ tools | tojson }}{% endif %}" + TEMPLATE
    models = model_folders(tmp_path / "models", tiny_tokenizer(template), context=512)
    run(generation(tmp_path, models, [{"prompt": "question", "tools": TOOLS}]))
    export(monkeypatch, tmp_path / "out", "--to", *ALL)
    (pair,) = exported(tmp_path / "out", "trl")
    assert json.loads(pair["tools"]) == TOOLS
    assert [json.loads(row["tools"]) for row in exported(tmp_path / "out", "kto")] == [TOOLS] * 5
    left = lines(tmp_path / "out" / "exports" / "left-out.jsonl")
    assert [(one["layout"], one["reason"]) for one in left] == [("nemo_rl", "tools"), ("openrlhf", "tools")]


def test_hostile_texts_are_read_as_they_were_sampled(tmp_path, models, world, monkeypatch):
    world.says = lambda _prompt, sample: (HOSTILE, "seven")[sample]
    world.reward = by_response({HOSTILE: 2.0, "seven": 1.0})
    run(generation(tmp_path, models, [HOSTILE + "?"], policy={"n": 2, "max_new_tokens": 256}))
    export(monkeypatch, tmp_path / "out", "--to", *ALL)
    for layout in ALL:
        path = tmp_path / "out" / "exports" / layout / "train.jsonl"
        assert loaded(path, tmp_path) == lines(path)
    (pair,) = exported(tmp_path / "out", "trl")
    assert pair["prompt"][0]["content"] == HOSTILE + "?"
    assert pair["chosen"][0]["content"] == HOSTILE
    assert exported(tmp_path / "out", "kto")[0]["completion"][0]["content"] == HOSTILE


def test_terminal_and_page_say_what_a_generation_is(tmp_path, models, world, monkeypatch, capsys):
    run(generation(tmp_path, models, ["question", "another"]))
    export(monkeypatch, tmp_path / "out", "--to", "trl", "kto")
    page, said = (tmp_path / "out" / "exports" / "README.md").read_text(), capsys.readouterr().out
    words = "A generation: 10 responses to 2 prompts, of which 4 are in 2 pairs. Scores are the annotator's ("
    assert f"{words}`reward`)." in page
    assert f"{words}reward)." in said
    for one in (page, said):
        assert "Of 6 responses in no pair 2 are desirable." in one
        assert "Scores are the generation's scores of 10 different responses of train." in one
    assert (tmp_path / "out" / "exports" / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_pair_kto_still_has_its_responses_and_pairs_are_an_error(tmp_path, models, world, monkeypatch):
    run(generation(tmp_path, models, ["question"], pairing={"min_margin": 100}))
    with pytest.raises(ConfigError, match=r"a generation without a pair, which trl cannot do without.*--to kto takes"):
        export(monkeypatch, tmp_path / "out", "--to", "trl", "kto")
    assert not (tmp_path / "out" / "exports").exists()
    export(monkeypatch, tmp_path / "out", "--to", "kto")
    assert [row["label"] for row in exported(tmp_path / "out", "kto")] == [False, True, False, True, False]


def test_a_generation_that_answered_nothing_is_an_error(tmp_path, models, world, monkeypatch):
    run(generation(tmp_path, models, ["question"], budget={"completions": 4}))
    with pytest.raises(ConfigError, match="has no usable response with a score"):
        export(monkeypatch, tmp_path / "out", "--to", "kto")


def test_without_a_score_kto_is_an_error(tmp_path, models, world, monkeypatch):
    world.reward = lambda _text: math.nan
    run(generation(tmp_path, models, ["question"]))
    with pytest.raises(ConfigError, match=r"has no usable response with a score.*quarantine\.jsonl says why"):
        export(monkeypatch, tmp_path / "out", "--to", "kto")
    assert not (tmp_path / "out" / "exports").exists()


@pytest.mark.parametrize("score", ["reward", "source"])
def test_a_generation_has_no_choice_of_scores(tmp_path, models, world, monkeypatch, score):
    run(generation(tmp_path, models, ["question"]))
    with pytest.raises(ConfigError, match=rf"have one score: the aggregate \(mean_z\).*Leave out --score {score}"):
        export(monkeypatch, tmp_path / "out", "--to", "kto", "--score", score)


@pytest.mark.parametrize(("table", "layout"), [("responses", "kto"), ("dataset/train", "trl")])
def test_a_shard_that_is_not_the_manifests_is_refused_and_the_last_export_stays(
    tmp_path, models, world, monkeypatch, table, layout
):
    run(generation(tmp_path, models, ["question"]))
    export(monkeypatch, tmp_path / "out", "--to", *ALL)
    (shard,) = (tmp_path / "out" / table).glob("*.arrow")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(SourceError, match="this is not what the run wrote"):
        export(monkeypatch, tmp_path / "out", "--to", layout)
    assert len(exported(tmp_path / "out", "trl")) == 1


def test_a_generation_inside_a_curated_run_is_a_folder_of_its_own(tmp_path, models, world, monkeypatch):
    run(generation(tmp_path, models, ["question"]))
    curated = run_of(tmp_path / "run", [kept(0)])
    shutil.copytree(tmp_path / "out", curated / "generated")
    before = sorted(path.name for path in curated.iterdir())
    for folder in (tmp_path / "out", curated / "generated"):
        export(monkeypatch, folder, "--to", *ALL)
    for layout in ALL:
        assert exported(curated / "generated", layout) == exported(tmp_path / "out", layout)
    assert sorted(path.name for path in curated.iterdir()) == before
    export(monkeypatch, curated, "--to", "trl")
    assert [row["pair_id"] for row in exported(curated, "trl")] == [kept(0)["pair_id"]]


def test_while_its_curated_run_is_being_made_a_generation_in_it_is_not_exported(tmp_path, models, world, monkeypatch):
    from flows.versions.output_folder import locked

    run(generation(tmp_path, models, ["question"]))
    curated = run_of(tmp_path / "run", [kept(0)])
    shutil.copytree(tmp_path / "out", curated / "generated")
    with locked(curated), pytest.raises(OutputError, match="another run is writing to"):
        export(monkeypatch, curated / "generated", "--to", "trl")


def test_where_neither_was_made_both_commands_are_named(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match=r"holds no finished run of flows\.curate or flows\.generate"):
        export(monkeypatch, tmp_path, "--to", "trl")
