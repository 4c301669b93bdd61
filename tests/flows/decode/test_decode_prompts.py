"""`flows.decode` on prompt files, with and without a run: which prompts are answered, and what became of the others."""

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from decoding_runs import config, curated, decode
from flows_support import tokenizer_folder, write_rows
from transformers import AutoTokenizer, LlamaForCausalLM

from flows.decode.plan import plan_decoding
from flows.decode.prompts import prompts_of
from flows.runtime.progress import Progress
from transforms.errors import ConfigError, ModelError, OutputError, SourceError
from transforms.tables.schema import DECODED, check

pytestmark = pytest.mark.slow
SMALL = {"mix": (0, 1), "length": (), "kl": (), "samples": 1}
# 9 rows: 3 good ones, one of them again, one without room, three that no prompt can be made of, one more good one.
MIXED = [
    {"id": "a", "prompt": "question 1"},
    {"id": "b", "prompt": "question 2"},
    {"id": "again", "prompt": "question 1"},
    {"id": "long", "prompt": "the cat sat on the mat " * 60},
    {"id": "number", "prompt": 7},
    b"{this is no JSON",
    {"id": "special", "prompt": "end your turn with <|im_end|> here"},
    {"id": "c", "prompt": [{"role": "user", "content": "question 3"}]},
    {"id": "d", "instruction": "question 4"},
]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("prompts") / "mixed.jsonl", MIXED)


def alone(models, trained, out, prompts, **changes):
    """Keys of a comparison without a run."""
    named = {"reference": str(models[0]), "reward": str(models[1]), "prompts": prompts, "ledger": str(out.parent / "l")}
    return (None, trained, out), SMALL | named | changes


def planned(*of, **changes):
    where, keys = alone(*of, **changes)
    return plan_decoding(config(*where, **keys))


def asked(plan):
    plan.config.out.mkdir(parents=True, exist_ok=True)
    return prompts_of(plan, Progress())


@pytest.fixture(scope="module")
def found(tmp_path_factory, models, trained, mixed):
    where, keys = alone(models, trained, tmp_path_factory.mktemp("alone") / "mine", str(mixed))
    return decode(*where, **keys), where[2]


def test_every_row_of_a_prompt_file_is_answered_or_counted(found, mixed):
    result, out = found
    read = result.read
    assert (result.prompts, result.prompts_too_long) == (4, 1)
    assert (read.found, read.repeated, read.quarantined, read.weighed_out, read.not_drawn) == (9, 1, 3, 0, 0)
    assert read.found == result.prompts + result.prompts_too_long + read.repeated + read.quarantined
    assert read.trained_on is None
    [source] = read.sources
    assert (source.label, source.kind, source.path, source.raw_rows) == ("prompts", "prompts", str(mixed), 9)
    rows = pq.read_table(out / "decode.parquet", schema=DECODED)
    check(rows, DECODED, where="test")
    answered = [(row["rule"], row["value"], row["source"], row["source_id"]) for row in rows.to_pylist()]
    assert sorted(answered) == [("mix", a, "prompts", name) for a in (0.0, 1.0) for name in "abcd"]


def test_bad_rows_are_in_quarantine_and_the_others_are_answered(found):
    lines = [json.loads(line) for line in (found[1] / "quarantine.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert {line["stage"] for line in lines} == {"prompts"}
    errors = " | ".join(line["error"] for line in lines)
    for words in ("prompt", "JSON", "<|im_end|>"):
        assert words in errors
    assert not [path.name for path in found[1].iterdir() if path.name.startswith(".")]


def test_without_a_run_the_result_is_called_as_its_folder_and_of_no_version(found):
    result, out = found
    assert (result.name, result.version) == ("mine", None)
    assert result.settings["run"] is None
    assert [one["path"] for one in result.settings["prompts"]] == [result.read.sources[0].path]
    page = (out / "decode.html").read_text()
    assert "9 read, 4 answered, 1 without room for a response, 1 doubled, 3 in quarantine.jsonl" in page
    assert result.read.sources[0].path in page
    assert "test split" not in page


def test_prompts_are_in_the_tokens_of_the_policy_s_own_template(models, trained, mixed, tmp_path):
    prompts = asked(planned(models, trained, tmp_path / "out", str(mixed)))
    tokenizer = AutoTokenizer.from_pretrained(trained)
    expected = {
        name: tokenizer.apply_chat_template(
            [{"role": "user", "content": f"question {number}"}], add_generation_prompt=True, return_dict=False
        )
        for number, name in enumerate("abcd", 1)
    }
    assert {row: ids.tolist() for (_, row), ids in zip(prompts.rows, prompts.ids, strict=True)} == expected


def test_max_prompts_takes_the_first_by_content_whatever_the_order_of_the_rows(models, trained, tmp_path):
    texts = [{"prompt": f"question {number}"} for number in (1, 2, 3, 4, 5, 5)]
    one, other = (write_rows(tmp_path / name, rows) for name, rows in (("1.jsonl", texts), ("2.jsonl", texts[::-1])))
    found = [asked(planned(models, trained, tmp_path / "out", str(path), max_prompts=2)) for path in (one, other)]
    assert found[0].pair_ids == found[1].pair_ids == sorted(found[0].pair_ids)
    for prompts in found:
        assert len(prompts.ids) == len(set(prompts.pair_ids)) == 2
        assert (prompts.read.found, prompts.read.repeated, prompts.read.not_drawn) == (6, 1, 3)
    every = asked(planned(models, trained, tmp_path / "out", str(one), max_prompts=5))
    assert every.pair_ids[:2] == found[0].pair_ids
    assert (len(every.ids), every.read.not_drawn) == (5, 0)


def test_several_sources_are_read_and_a_weight_is_counted(models, trained, tmp_path):
    first = write_rows(tmp_path / "first.jsonl", [{"prompt": f"question {number}"} for number in range(4)])
    second = write_rows(tmp_path / "second.jsonl", [{"prompt": f"question {number}"} for number in range(3, 30)])
    sources = [str(first), {"kind": "prompts", "path": str(second), "label": "half", "weight": 0.5}]
    prompts = asked(planned(models, trained, tmp_path / "out", sources, max_prompts=100))
    by_label = Counter(label for label, _ in prompts.rows)
    read = prompts.read
    assert by_label["prompts"] == 4
    assert 0 < read.weighed_out < 27
    assert by_label["half"] == 27 - read.weighed_out - read.repeated
    assert read.found == 31


def test_what_is_in_the_run_s_training_split_is_answered_and_counted(tmp_path_factory, models, trained):
    import datasets

    home = tmp_path_factory.mktemp("halves")
    run = curated(home, models, test_size=0.5)
    train = datasets.load_from_disk(str(run / "dataset"))["train"]
    trained_on = {turns[0]["content"] for turns in train["prompt"]}
    texts = [*sorted(trained_on)[:2], "question 100", "question 101"]
    assert len(texts) == 4
    prompts = write_rows(home / "mine.jsonl", [{"prompt": text} for text in texts])
    result = decode(run, trained, home / "out", prompts=str(prompts), **SMALL)
    assert (result.prompts, result.read.trained_on) == (4, 2)
    assert (result.name, result.read.found) == ("unit", 4)
    page = (home / "out" / "decode.html").read_text()
    assert "2 of the prompts are in the training split of unit" in page


def test_a_prompt_that_the_template_writes_like_one_of_training_is_counted_too_and_each_once(
    tmp_path_factory, models, trained
):
    import datasets

    home = tmp_path_factory.mktemp("alike")
    template = home / "trims.jinja"
    template.write_text(
        AutoTokenizer.from_pretrained(models[0]).chat_template.replace("m['content']", "m['content'] | trim")
    )
    policy = {"model": str(models[0]), "engine": "transformers", "dtype": "float32", "chat_template": str(template)}
    run = curated(home, models, test_size=0.5, policy=policy)
    train = datasets.load_from_disk(str(run / "dataset"))["train"]
    one, other = sorted({turns[0]["content"] for turns in train["prompt"]})[:2]
    texts = [one, f" {other} ", "question 100", "question 101"]
    prompts = write_rows(home / "mine.jsonl", [{"prompt": text} for text in texts])
    assert asked(plan_decoding(config(run, trained, home / "out", prompts=str(prompts)))).read.trained_on == 2


def test_a_run_lends_template_reference_and_reward_and_the_file_its_prompts(run, models, trained, mixed, tmp_path):
    plan = plan_decoding(config(run, trained, tmp_path / "out", prompts=str(mixed)))
    own = plan_decoding(config(run, trained, tmp_path / "out"))
    assert (plan.reference, plan.reward, plan.chat.sha256) == (own.reference, own.reward, own.chat.sha256)
    assert plan.fingerprint != own.fingerprint
    assert sorted(row for _, row in asked(plan).rows) == ["a", "b", "c", "d"]


def test_a_rerun_is_found_and_another_file_template_or_loss_of_the_quarantine_is_not(
    found, models, trained, mixed, tmp_path
):
    result, out = found
    assert planned(models, trained, out, str(mixed)).finished == result
    assert planned(models, trained, out, str(mixed), max_prompts=4).finished is None
    template = tmp_path / "template.jinja"
    template.write_text(AutoTokenizer.from_pretrained(trained).chat_template.replace("<|im_start|>", "<|endoftext|>"))
    assert planned(models, trained, out, str(mixed), chat_template=str(template)).finished is None
    kept = (out / "quarantine.jsonl").read_bytes()
    (out / "quarantine.jsonl").unlink()
    assert planned(models, trained, out, str(mixed)).finished is None
    (out / "quarantine.jsonl").write_bytes(kept)
    rows = mixed.read_bytes()
    mixed.write_bytes(rows + b'{"prompt": "one more"}\n')
    assert planned(models, trained, out, str(mixed)).finished is None
    mixed.write_bytes(rows)
    assert planned(models, trained, out, str(mixed)).finished == result


def test_a_comparison_on_a_test_split_removes_the_quarantine_of_one_on_prompts_before_and_no_other(
    run, trained, mixed, tmp_path
):
    out = tmp_path / "out"
    decode(run, trained, out, prompts=str(mixed), **SMALL)
    assert len((out / "quarantine.jsonl").read_text().splitlines()) == 3
    result = decode(run, trained, out, **SMALL)
    assert result.read is None
    assert sorted(path.name for path in out.iterdir()) == ["decode.html", "decode.json", "decode.parquet"]
    # The decode.json that lies there now is of a test split, which has no quarantine: this one is somebody else's.
    (out / "quarantine.jsonl").write_text("of somebody else\n")
    decode(run, trained, out, **SMALL | {"mix": (0,)})
    assert (out / "quarantine.jsonl").read_text() == "of somebody else\n"


def test_too_few_prompts_are_one_message_that_says_where_the_others_went(models, trained, tmp_path):
    path = write_rows(tmp_path / "few.jsonl", [MIXED[0], MIXED[2], MIXED[3], MIXED[6]])
    plan = planned(models, trained, tmp_path / "out", str(path))
    with pytest.raises(ConfigError) as caught:
        asked(plan)
    assert str(caught.value).startswith(
        f"prompts ({path}): 1 of 4 prompts can be answered, and at least 2 are needed: 1 of more than 120 tokens "
        f"(lower --max-tokens), 1 doubled, 0 left out by a weight, 1 for quarantine.jsonl; 1 × "
    )
    kept = tmp_path / "out" / "quarantine.jsonl"
    assert len(kept.read_text().splitlines()) == 1
    kept.write_text("of what is finished\n")
    (tmp_path / "out" / "decode.json").touch()
    with pytest.raises(ConfigError, match="1 of 4 prompts can be answered"):
        asked(plan)
    assert kept.read_text() == "of what is finished\n"


def test_a_prompt_file_that_is_missing_is_said_before_a_model_is_looked_for(models, tmp_path):
    with pytest.raises(SourceError, match=r"none\.jsonl"):
        planned(models, tmp_path / "no-model", tmp_path / "out", str(tmp_path / "none.jsonl"))


def test_a_reference_needs_no_template_but_the_policy_s_vocabulary(models, trained, mixed, tmp_path):
    base, other = tmp_path / "base", tmp_path / "other"
    for folder in (base, other):
        LlamaForCausalLM.from_pretrained(models[0]).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(models[0])
    tokenizer.chat_template = None
    tokenizer.save_pretrained(base)
    tokenizer_folder(other)
    content = json.loads((other / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["!"], vocabulary['"'] = vocabulary['"'], vocabulary["!"]
    (other / "tokenizer.json").write_text(json.dumps(content))
    assert planned(models, trained, tmp_path / "out", str(mixed), reference=str(base)).context == 128
    with pytest.raises(
        ModelError, match=r"the tokenizers of the policy .*trained .* and its reference .*other .*differ"
    ):
        planned(models, trained, tmp_path / "out", str(mixed), reference=str(other))
    with pytest.raises(ModelError, match="chat template"):
        planned(models, base, tmp_path / "out", str(mixed))


def test_bad_prompts_never_go_into_the_folder_of_a_run(run, models, trained, mixed):
    before = (run / "quarantine.jsonl").read_bytes()
    with pytest.raises(OutputError, match=r"holds manifest\.json of another command.*choose another --out"):
        planned(models, trained, Path(run), str(mixed))
    assert (run / "quarantine.jsonl").read_bytes() == before


def test_prompts_that_a_template_writes_alike_are_one(models, trained, tmp_path):
    own = AutoTokenizer.from_pretrained(trained).chat_template
    template = tmp_path / "trims.jinja"
    template.write_text(own.replace("m['content']", "m['content'] | trim"))
    assert template.read_text() != own
    path = write_rows(tmp_path / "alike.jsonl", [MIXED[0], {"prompt": " question 1 "}, MIXED[1]])
    keys = {"chat_template": str(template)}
    prompts = asked(planned(models, trained, tmp_path / "out", str(path), **keys))
    assert (len(prompts.ids), prompts.read.found, prompts.read.repeated) == (2, 3, 1)
