"""Which keys differ between two manifests, and what each can be the reason of."""

from difference_support import config, manifest, source

from transforms.records.manifest import ModelRecord, TokenizerRecord
from transforms.versions.settings_changes import changed_models, setting_changes


def found(old, new):
    return [(one.kind, one.key, one.old, one.new) for one in setting_changes(old, new)]


def model(**changes):
    fields = {"name": "tiny", "revision": "local", "fingerprint": "f", "dtype": "float32", "engine": "vllm"}
    return ModelRecord(**{**fields, **changes})


def test_equal_manifests_have_none():
    assert found(manifest(), manifest()) == []


def test_each_key_is_told_with_its_old_and_new_value():
    new = manifest(
        config=config(consistency={"threshold": 0.7}, truncate={"method": "ratio", "ratio": 0.5}),
        sources=[source(fingerprint="f2")],
        git_commit="abc",
    )
    assert found(manifest(), new) == [
        ("data", "sources.one.fingerprint", "f1", "f2"),
        ("truncation", "truncate.method", "poet", "ratio"),
        ("truncation", "truncate.ratio", None, 0.5),
        ("recipe", "consistency.threshold", 0.5, 0.7),
        ("code", "git_commit", None, "abc"),
    ]


def test_names_and_places_change_no_row_and_are_left_out():
    moved = config(output={"dir": "elsewhere", "test_size": 0.0}, name="other", ledger="./x")
    assert found(manifest(), manifest(config=moved)) == []
    split = config(output={"dir": "runs/x", "test_size": 0.1})
    assert found(manifest(), manifest(config=split)) == [("recipe", "output.test_size", 0.0, 0.1)]


def test_options_of_a_source_are_the_recipes_and_its_content_is_data():
    limited = config(sources=[{"kind": "preference", "path": "x", "limit": 9}])
    assert found(manifest(), manifest(config=limited)) == [("recipe", "sources.one.limit", None, 9)]


def test_a_model_changes_when_it_answers_otherwise_and_not_by_its_name():
    old, new = manifest(), manifest(policy=model(name="renamed"), reward=model(dtype="bfloat16"))
    assert changed_models(old, new) == ["reward"]
    assert [key for _, key, _, _ in found(old, new)] == ["policy.name", "reward.dtype"]
    tokenizer = TokenizerRecord(name="tiny", sha256="other", eot="<|im_end|>", eot_id=2)
    assert changed_models(old, manifest(tokenizer=tokenizer)) == ["tokenizer"]


def test_a_version_without_models_is_another_recipe_and_no_other_model():
    silent = manifest(policy=None, reward=None, config=config(policy={"engine": "none"}))
    assert changed_models(manifest(), silent) == []
    assert ("recipe", "policy.engine", "vllm", "none") in found(manifest(), silent)


def test_a_key_that_recipes_had_not_before_is_no_change_where_it_says_what_they_did():
    old, new = config(), config(consistency={"estimator": "counts", "stop_below": None}, budget={"purpose": "both"})
    for section, key in (("consistency", "estimator"), ("consistency", "stop_below"), ("budget", "purpose")):
        old[section].pop(key, None)
    assert found(manifest(config=old), manifest(config=new)) == []
    asked = config(consistency={"estimator": "rewards"})
    assert found(manifest(config=old), manifest(config=asked)) == [
        ("recipe", "consistency.estimator", "counts", "rewards")
    ]
