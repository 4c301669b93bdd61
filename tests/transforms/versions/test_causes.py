"""Why pairs changed: each reason, their precedence, and what is proven."""

import pytest
from difference_support import config, dropped, frame, manifest, row, source, unjudged
from test_matched_rows import lost

from transforms.records.manifest import ModelRecord, TokenizerRecord
from transforms.versions.causes import REASONS, with_causes
from transforms.versions.matched_rows import match_rows

OTHER_MODEL = ModelRecord(name="tiny", revision="local", fingerprint="other", dtype="float32", engine="vllm")
OTHER_TOKENIZER = TokenizerRecord(name="tiny", sha256="other", eot="<|im_end|>", eot_id=2)
STRICT = config(consistency={"threshold": 0.9})
# Beta(3.5, 1.5) after three of four: mean 0.7.
UNSURE = {"n": 4, "consistency": 0.75, "consistency_by_reward": 0.75, "decided_by": "n_max"}


def why(old, new, before=None, now=None):
    """(change, first, all, proven) of the one pair."""
    found = with_causes(match_rows(old, new), before or manifest(), now or manifest())
    assert found.height == 1
    return found.select("change", "first", "reasons", "proven").row(0)


def test_what_did_not_change_has_no_reason():
    assert why(frame(row(1)), frame(row(1)), now=manifest(config=STRICT)) == ("same", None, [], False)


def test_a_threshold_is_the_reason_where_the_old_evidence_shows_it():
    new = frame(dropped(1, **UNSURE))
    assert why(frame(row(1, **UNSURE)), new, now=manifest(config=STRICT)) == ("verdict", "recipe", ["recipe"], True)


def test_more_completions_are_the_reason_where_the_rules_are_the_same():
    now = manifest(config=config(sampling={"n": 8}))
    new = frame(dropped(1, n=8, consistency=0.25, consistency_by_reward=0.25))
    old = frame(row(1, **UNSURE))
    assert why(old, new, now=now) == ("verdict", "completions", ["completions"], True)


def test_a_threshold_is_not_blamed_for_what_completions_did_alone():
    now = manifest(config=config(sampling={"n": 8}, consistency={"threshold": 0.55}))
    new = frame(dropped(1, n=8, consistency=0.25, consistency_by_reward=0.25))
    assert why(frame(row(1, **UNSURE)), new, now=now) == ("verdict", "completions", ["completions"], True)


def test_where_it_took_both_both_are_named_the_earlier_first():
    # 0.7 against τ = 0.6 keeps; Beta(5.5, 3.5) has mean 0.61, which τ = 0.5 keeps and τ = 0.65 drops.
    before = manifest(config=config(consistency={"threshold": 0.5, "delta": 0.01}))
    now = manifest(policy=OTHER_MODEL, config=config(consistency={"threshold": 0.65, "delta": 0.01}))
    new = frame(dropped(1, n=4, consistency=0.625, consistency_by_reward=0.625, decided_by="n_max"))
    assert why(frame(row(1, **UNSURE)), new, before, now) == ("verdict", "model", ["model", "recipe"], True)


def test_where_each_would_have_done_it_alone_both_are_named():
    now = manifest(policy=OTHER_MODEL, config=STRICT)
    new = frame(dropped(1))
    assert why(frame(row(1, **UNSURE)), new, now=now) == ("verdict", "model", ["model", "recipe"], True)


@pytest.mark.parametrize(
    "changes", [{"policy": OTHER_MODEL}, {"reward": OTHER_MODEL}, {"tokenizer": OTHER_TOKENIZER, "policy": OTHER_MODEL}]
)
def test_another_model_is_the_reason_of_other_evidence(changes):
    assert why(frame(row(1)), frame(dropped(1, reward_chosen=0.1)), now=manifest(**changes))[1:] == (
        "model",
        ["model"],
        True,
    )


def test_other_keeps_by_the_same_tokenizer_are_truncation():
    new = frame(dropped(1, chosen_keep=2, rejected_keep=2))
    now = manifest(config=config(truncate={"method": "ratio", "ratio": 0.5}))
    assert why(frame(row(1)), new, now=now) == ("verdict", "truncation", ["truncation"], True)


def test_other_keeps_by_another_tokenizer_are_its_doing():
    new = frame(dropped(1, chosen_keep=2, rejected_keep=2))
    assert why(frame(row(1)), new, now=manifest(tokenizer=OTHER_TOKENIZER))[1:] == ("model", ["model"], True)


def test_other_scores_are_data():
    new = frame(unjudged(1, "tie", chosen_score=1.0))
    now = manifest(sources=[source(fingerprint="f2")])
    assert why(frame(row(1)), new, now=now) == ("verdict", "data", ["data"], True)


def test_a_reason_of_the_source_with_equal_content_is_its_options():
    now = manifest(config=config(sources=[{"kind": "preference", "path": "x", "weight": 0.5}]))
    assert why(frame(row(1)), frame(unjudged(1, "weight")), now=now) == ("verdict", "recipe", ["recipe"], True)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [("contradictions", "drop_both", "contradiction"), ("foreign_template", "drop", "foreign_template")],
)
def test_a_rule_over_rows_is_the_reason_of_what_it_dropped_and_of_nothing_else(key, value, reason):
    now = manifest(config=config(filters={key: value}))
    assert why(frame(row(1)), frame(unjudged(1, reason)), now=now) == ("verdict", "recipe", ["recipe"], True)
    assert why(frame(row(1)), frame(dropped(1)), now=now)[1] != "recipe"


def test_a_filter_is_the_reason_of_what_it_dropped_before_anything_was_measured():
    now = manifest(config=config(filters={"min_kept_tokens": 5}), policy=OTHER_MODEL)
    new = frame(unjudged(1, "min_kept_tokens"))
    assert why(frame(row(1)), new, now=now) == ("verdict", "recipe", ["recipe"], True)


def test_a_version_that_judges_for_the_first_time_is_another_recipe():
    before = manifest(policy=None, reward=None, config=config(policy={"engine": "none"}))
    nothing = dict.fromkeys(
        ("reward_chosen", "reward_rejected", "consistency", "consistency_by_reward", "n", "decided_by")
    )
    assert why(frame(row(1, **nothing)), frame(dropped(1)), before) == ("verdict", "recipe", ["recipe"], True)


def test_completions_sampled_otherwise_are_the_recipes_doing():
    now = manifest(config=config(sampling={"temperature": 0.5}))
    assert why(frame(row(1)), frame(dropped(1)), now=now) == ("verdict", "recipe", ["recipe"], True)


def test_what_cannot_be_computed_is_named_and_not_proven():
    proxy = {"proxy": {"audit": 0.1, "error": 0.05}}
    before = manifest(config=config(**proxy))
    now = manifest(config=config(**proxy, consistency={"threshold": 0.8}), policy=OTHER_MODEL)
    assert why(frame(row(1)), frame(dropped(1)), before, now) == ("verdict", "model", ["model", "recipe"], False)


def test_a_recipe_of_another_release_proves_nothing():
    now = manifest(config={"consistency": {"threshold": 0.9}})
    assert why(frame(row(1)), frame(dropped(1)), now=now)[1:] == ("recipe", ["recipe"], False)


def test_where_only_the_code_differs_it_is_the_code_and_where_nothing_does_it_is_not_known():
    old, new = frame(row(1)), frame(unjudged(1, "tie"))
    assert why(old, new, now=manifest(git_commit="abc")) == ("verdict", "code", ["code"], False)
    assert why(old, new) == ("verdict", "unknown", ["unknown"], False)


@pytest.mark.parametrize(("old", "new"), [((), (1,)), ((1,), ())])
def test_rows_come_and_go_with_the_data_or_the_recipe(old, new):
    rows = [frame(*(row(number) for number in numbers)) for numbers in (old, new)]
    other = manifest(sources=[source(fingerprint="f2")])
    limited = config(sources=[{"kind": "preference", "path": "x", "limit": 9}])
    assert why(*rows, now=other)[1:] == ("data", ["data"], False)
    assert why(*rows, now=manifest(config=limited))[1:] == ("recipe", ["recipe"], False)
    both = manifest(sources=[source(fingerprint="f2")], config=limited)
    assert why(*rows, now=both)[1:] == ("data", ["data", "recipe"], False)
    assert why(*rows)[1:] == ("unknown", ["unknown"], False)


def test_a_source_that_only_one_recipe_has_is_the_recipes():
    now = manifest(sources=[source(), source("two")], config=config(sources=[{"path": "x"}, {"path": "y"}]))
    before = manifest(config=config(sources=[{"path": "x"}]))
    assert why(frame(), frame(row(1, source="two")), before, now)[1:] == ("recipe", ["recipe"], False)


def test_a_rewritten_row_is_data():
    now = manifest(sources=[source(fingerprint="f2")])
    assert why(frame(row(1)), frame(row(1, chosen="better")), now=now) == ("rewritten", "data", ["data"], False)


def test_a_row_out_of_quarantine_is_not_blamed_on_rules():
    assert why(lost(1), frame(row(1)), now=manifest(config=STRICT)) == ("verdict", "unknown", ["unknown"], False)


@pytest.mark.parametrize(
    ("stage", "now", "reasons"),
    [
        ("load", manifest(tokenizer=OTHER_TOKENIZER), ["unknown"]),
        ("load", manifest(sources=[source(fingerprint="f2")]), ["data"]),
        ("tokenise", manifest(tokenizer=OTHER_TOKENIZER), ["model"]),
        ("tokenise", manifest(config=config(truncate={"max_length": 99})), ["truncation"]),
        ("score", manifest(reward=OTHER_MODEL), ["model"]),
    ],
)
def test_what_the_stage_of_a_quarantine_can_be_due_to(stage, now, reasons):
    assert why(lost(1, reason=stage), frame(row(1)), now=now) == ("verdict", reasons[0], reasons, False)


def test_first_is_the_first_of_all_by_precedence():
    assert list(REASONS) == ["data", "model", "truncation", "recipe", "completions", "code", "unknown"]
