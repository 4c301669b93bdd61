"""`flows.decode` with tiny real models: a curated run in, a table and a page out."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from decoding_runs import config, curated, decode
from transformers import AutoTokenizer, LlamaForCausalLM

import flows.decode.flow as flow_module
from flows.decode import flow as decoding
from flows.decode import plan as plan_module
from flows.decode import prompts as decode_prompts
from flows.decode.plan import plan_decoding
from flows.models import recipe_models as flow_models
from trainers.policies.decoding import Decoder
from transforms.errors import ConfigError, EngineError, ModelError, OutputError, SourceError
from transforms.tables.schema import DECODED, check

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory, run, trained):
    out = tmp_path_factory.mktemp("out") / "decode"
    return decode(run, trained, out), out


def test_every_rule_answers_every_prompt_as_often_as_asked(found):
    result, out = found
    assert [(r.kind, r.value, r.responses) for r in result.rules] == [
        ("mix", 0.0, 10),
        ("mix", 0.5, 10),
        ("mix", 1.0, 10),
        ("length", 2.0, 10),
        ("kl", 0.5, 10),
    ]
    table = pq.read_table(out / "decode.parquet", schema=DECODED)
    check(table, DECODED, where="test")
    assert len({(r["rule"], r["value"], r["pair_id"], r["sample"]) for r in table.to_pylist()}) == 50
    for row in table.to_pylist():
        assert 1 <= len(row["token_ids"]) == len(row["kl"]) == len(row["policy_kl"]) <= 8


def test_the_reference_is_at_no_distance_and_the_policy_at_the_largest(found):
    result, _ = found
    reference, half, policy, *_ = result.rules
    assert (reference.log_ratio.value, reference.kl.value) == (0.0, 0.0)
    assert 0 < half.kl.value < policy.kl.value
    assert result.policy_kl[0].mean > 0


def test_rules_share_their_luck_and_prompts_do_not(found):
    rows = pq.read_table(found[1] / "decode.parquet").to_pylist()
    seeds = {}
    for row in rows:
        seeds.setdefault((row["pair_id"], row["sample"]), set()).add(row["seed"])
    assert all(len(of_one) == 1 for of_one in seeds.values())
    assert len({next(iter(of_one)) for of_one in seeds.values()}) == 10


def test_rewards_are_those_of_the_run_s_own_reward_model(found, run, models):
    from transforms.chat.conversation import answer
    from transforms.engines.models import resolve_model
    from transforms.engines.protocol import ScoreRequest
    from transforms.engines.reward_inputs import RewardInputs
    from transforms.engines.select import open_rewards

    row = pq.read_table(found[1] / "decode.parquet").to_pylist()[7]
    prompts = decode_prompts.read_prompts(run, 5, room=100)
    prompt = prompts.asked[prompts.pair_ids.index(row["pair_id"])]
    engine = open_rewards(resolve_model(models[1], dtype="float32", engine="transformers"))
    [ids] = RewardInputs(models[1]).token_ids([prompt], [answer(row["text"])])
    assert engine.score([ScoreRequest("r", ids)]) == [pytest.approx(row["reward"], abs=1e-4)]


def test_a_rerun_with_nothing_changed_is_found_and_another_setting_is_not(found, run, trained):
    result, out = found
    assert plan_decoding(config(run, trained, out)).finished == result
    assert plan_decoding(config(run, trained, out, seed=1)).finished is None
    assert Path(out / "decode.html").read_text().startswith("<!doctype html>")


def test_what_is_hashed_of_a_comparison_on_a_test_split_is_what_it_was_before_prompts_had_sources(
    found, run, trained, models, monkeypatch
):
    """Word for word what the release before hashed and wrote: a folder that it finished is known again."""
    result, out = found
    before = {
        "policy": str(trained),
        "policy_revision": None,
        "reference": None,
        "reference_revision": None,
        "reward": None,
        "dtype": "float32",
        "trust_remote_code": False,
        "mix": [0.0, 0.5, 1.0],
        "length": [2],
        "kl": [0.5],
        "prompts": 5,
        "samples": 2,
        "max_tokens": 8,
        "temperature": 1.0,
        "top_p": 1.0,
        "seed": 0,
        "batch": 3,
    }
    assert result.settings == {"run": str(run), **before}
    hashed = []
    monkeypatch.setattr(plan_module, "evaluation_fingerprint", lambda *of: hashed.append(of) or result.fingerprint)
    content = json.loads((out / "decode.json").read_text())
    assert content.pop("read") is None
    copy = shutil.copytree(out, out.with_name("before"))
    (copy / "decode.json").write_text(json.dumps(content))
    assert plan_decoding(config(run, trained, copy)).finished == result
    [(settings, sources, identities)] = hashed
    manifest = json.loads((run / "manifest.json").read_text())
    assert settings == {"decode": before, "version": result.version, "reward": manifest["config"]["reward"]}
    assert sources == []
    assert [one.name for one in identities] == ["trained", "policy", "reward"]


def test_a_second_comparison_samples_the_same_and_pays_for_no_reward(found, run, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: pytest.fail("the reward model was opened"))
    again = decode(run, trained, tmp_path / "again", mix=(1, 0), length=(), kl=())
    assert again.rules == [found[0].rules[2], found[0].rules[0]]


def test_a_folder_that_lost_a_file_is_made_again(run, trained, tmp_path):
    out = tmp_path / "out"
    decode(run, trained, out, mix=(0,), length=(), kl=())
    small = config(run, trained, out, mix=(0,), length=(), kl=())
    assert plan_decoding(small).finished is not None
    (out / "decode.parquet").unlink()
    assert plan_decoding(small).finished is None


def test_the_flow_answers_with_what_is_there_already(found, run, trained, monkeypatch):
    monkeypatch.setattr(flow_module, "decode_run", lambda *_: pytest.fail("it was decoded again"))
    assert flow_module.decode.fn(config(run, trained, found[1])) == found[0]


def test_a_batch_that_fails_is_asked_again(found, run, trained, tmp_path, monkeypatch):
    read, failures = Decoder.decode, [EngineError("hiccup")]

    def once(*arguments):
        if failures:
            raise failures.pop()
        return read(*arguments)

    def retried(name, work):
        try:
            work()
        except EngineError:
            work()

    monkeypatch.setattr(Decoder, "decode", once)
    monkeypatch.setattr(flow_module, "engine_call", retried)
    again = flow_module.decode.fn(config(run, trained, tmp_path / "out", mix=(1,), length=(), kl=()))
    assert again.rules == [found[0].rules[2]]


def test_prompts_are_distinct_and_those_without_room_are_left_out(run):
    whole = decode_prompts.read_prompts(run, 100, room=100)
    assert len(whole.ids) == len({ids.tobytes() for ids in whole.ids})
    lengths = sorted(len(ids) for ids in whole.ids)
    if lengths[0] < lengths[-1]:
        fewer = decode_prompts.read_prompts(run, 100, room=lengths[-1] - 1)
        assert len(fewer.ids) + fewer.too_long == len(whole.ids)
    with pytest.raises(ConfigError, match=r"has 0 prompts of at most 1 tokens, and \d+ longer ones"):
        decode_prompts.read_prompts(run, 100, room=1)


def test_what_map_left_in_the_test_split_is_no_prompt(run, tmp_path):
    import datasets

    whole = decode_prompts.read_prompts(run, 100, room=100)
    copy = shutil.copytree(run, tmp_path / "run")
    test = datasets.load_from_disk(str(copy / "dataset"))["test"]
    test.map(lambda row: {"prompt_ids": row["prompt_ids"][1:]})
    test.filter(lambda row: row["chosen_cut"])
    found = decode_prompts.read_prompts(copy, 100, room=100)
    assert found.pair_ids == whole.pair_ids
    assert [ids.tolist() for ids in found.ids] == [ids.tolist() for ids in whole.ids]
    next((copy / "dataset" / "test").glob("data-*.arrow")).write_bytes(b"")
    with pytest.raises(SourceError, match=r"dataset/test/data-00000-of-00001\.arrow has sha256 e3b0c44298fc…"):
        decode_prompts.read_prompts(copy, 100, room=100)


def test_more_tokens_than_the_models_read_are_refused_before_anything_is_loaded(run, trained, tmp_path):
    with pytest.raises(ConfigError, match=r"--max-tokens 128 leaves no room for a prompt: the models read 128 tokens"):
        plan_decoding(config(run, trained, tmp_path / "out", max_tokens=128))


def test_a_ledger_that_cannot_be_written_ends_it_before_anything_is_decoded(run, trained, tmp_path, monkeypatch):
    copy = shutil.copytree(run, tmp_path / "run")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["config"]["ledger"] = str(copy / "report.html" / "ledger")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(decoding, "load_causal", lambda *_, **__: pytest.fail("a model was loaded"))
    with pytest.raises(OutputError, match=r"cannot make the ledger's folder .*Set `ledger:`"):
        decode(copy, trained, tmp_path / "out")


def test_a_folder_without_a_run_is_one_message(tmp_path, trained):
    with pytest.raises(SourceError, match="holds no finished run"):
        plan_decoding(config(tmp_path, trained, tmp_path / "out"))


def test_a_policy_with_another_chat_template_is_refused(run, trained, tmp_path):
    other = tmp_path / "other"
    LlamaForCausalLM.from_pretrained(trained).save_pretrained(other)
    tokenizer = AutoTokenizer.from_pretrained(trained)
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_start|>", "<|endoftext|>")
    tokenizer.save_pretrained(other)
    with pytest.raises(ModelError, match="the policy other has another tokenizer or chat template"):
        plan_decoding(config(run, other, tmp_path / "out"))
    with pytest.raises(ModelError, match="the reference other has another tokenizer"):
        plan_decoding(config(run, trained, tmp_path / "out", reference=str(other)))


def test_a_run_without_a_reward_model_asks_for_one(tmp_path, models, trained):
    home = tmp_path / "plain"
    home.mkdir()
    run = curated(home, models, policy={"model": str(models[0]), "engine": "none"}, reward=None)
    with pytest.raises(ConfigError, match="has no reward model to score responses with: name --reward"):
        plan_decoding(config(run, trained, tmp_path / "out"))
    assert plan_decoding(config(run, trained, tmp_path / "out", reward=str(models[1]))).finished is None
