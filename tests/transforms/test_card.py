"""The dataset card: front matter the Hub accepts, and data that cannot become markup."""

from typing import Any

import pytest
import yaml

from transforms.card import cell, code, fenced, front_matter, markdown, public_path, render_card
from transforms.manifest import (
    Counts,
    Manifest,
    ModelRecord,
    RateRecord,
    SourceRecord,
    SpendRecord,
    TokenCounts,
    TokenizerRecord,
)
from transforms.report import Example


def source(kind: str = "ultrafeedback", **changes: Any) -> SourceRecord:
    fields = {
        "label": kind,
        "kind": kind,
        "path": "openbmb/UltraFeedback",
        "revision": "abc",
        "fingerprint": "f",
        "raw_rows": 1300,
        "pairs": 1250,
    }
    return SourceRecord(**{**fields, **changes})


def manifest(*, rate: float = 0.962, **changes: Any) -> Manifest:
    """1,250 pairs, 40 quarantined, 10 ties, 1,200 kept."""
    model = ModelRecord(name="org/model", revision="local", fingerprint="f", dtype="float32", engine="vllm")
    fields: dict[str, Any] = {
        "name": "uf-poet",
        "version": "v1",
        "config": {"truncate": {"method": "poet"}},
        "fingerprint": "f",
        "sources": [source()],
        "tokenizer": TokenizerRecord(name="org/model", sha256="a" * 64, eot="<|im_end|>", eot_id=2),
        "policy": model,
        "reward": model,
        "packages": {},
        "git_commit": None,
        "counts": Counts(
            raw_rows=1300,
            pairs=1250,
            kept=1200,
            dropped={"tie": 10},
            quarantined=40,
            splits={"train": 1100, "test": 100},
            stages=[],
        ),
        "tokens": TokenCounts(
            prompt=9, chosen_before=4000, chosen_after=3000, rejected_before=3000, rejected_after=3000
        ),
        "consistency": [
            RateRecord(
                source="all",
                reference="label",
                pairs=1240,
                sampled=900,
                rate=rate,
                low=0.95,
                high=0.972,
                reward_agrees=0.8,
            )
        ],
        "completions": SpendRecord(requests=2700, generated=2600, reused=100, tokens_generated=123456, tokens_reused=7),
        "scores": None,
        "files": [],
        "seconds": {},
        "finished_at": "now",
    }
    return Manifest(**{**fields, **changes})


def example(text: str) -> Example:
    return Example(
        pair_id="0",
        source="s",
        verdict="keep",
        reason=None,
        prompt=[{"role": "user", "content": text}],
        chosen_full=text,
        rejected_full=text,
        chosen=text,
        rejected=text,
        chosen_cut=True,
        rejected_cut=False,
        chosen_tokens=9,
        rejected_tokens=4,
        chosen_keep=4,
        rejected_keep=4,
    )


def parts(card: str) -> tuple[dict[str, Any], str]:
    _, head, body = card.split("---\n", 2)
    return yaml.safe_load(head), body


def test_front_matter_is_what_the_hub_reads() -> None:
    head, body = parts(render_card(manifest(), language=["en"]))
    assert head == {
        "pretty_name": "uf-poet",
        "license": "mit",
        "language": ["en"],
        "task_categories": ["text-generation"],
        "size_categories": ["1K<n<10K"],
        "tags": ["preference", "dpo", "rlhf", "reward-model", "truncation-poet"],
    }
    assert body.startswith("\n# uf-poet\n")


@pytest.mark.parametrize("kinds", [["shp"], ["ultrafeedback", "starter"], ["made-up"]])
def test_sources_without_one_common_licence_are_other(kinds: list[str]) -> None:
    head = front_matter(manifest(sources=[source(kind) for kind in kinds]))
    assert head["license"] == "other"


def test_a_hostile_name_stays_a_value_of_the_front_matter() -> None:
    head, _ = parts(render_card(manifest(name='x\n---\n# y: [1, "2')))
    assert head["pretty_name"] == 'x --- # y: [1, "2'
    assert head["license"] == "mit"


def test_funnel_and_rates_are_those_of_the_manifest() -> None:
    card = render_card(manifest())
    assert "| read, from 1,300 rows | 1,250 |\n| quarantined: unusable rows | −40 |" in card
    assert "| tie: no side is preferred | −10 |\n| **kept** | **1,200** |" in card
    assert r"| all sources | 1,240 | 900 | 96.2 % \[95.0, 97.2\] | – | 80.0 % |" in card
    assert "train: 1,100, test: 100 rows" in card
    assert "that saves 14.3 % of the response tokens" in card


def test_the_card_warns_of_the_end_of_turn_and_of_a_low_rate() -> None:
    assert "would then end with `<|im_end|>` in the middle" in render_card(manifest())
    assert "**Warning.**" in render_card(manifest(rate=0.93))
    assert "**Warning.**" not in render_card(manifest())


def test_a_run_that_only_truncated_claims_no_rate() -> None:
    card = render_card(manifest(policy=None, reward=None, consistency=[], completions=None))
    assert "Not measured: this run only truncated." in card
    assert "No model was called." in card


def test_hostile_text_stays_inside_its_fence() -> None:
    card = render_card(manifest(), [example("a\n````\n# heading\n<img src=x>\u202e\x00")])
    assert card.count("`````text\na\n````\n# heading\n<img src=x>[U+202E][U+0000]\n`````\n") == 3


def test_names_cannot_become_markup() -> None:
    evil = "a|b <script> [x](javascript:1) *b* `c` @all https://evil.example\n# h"
    shown = markdown(evil)
    assert "\n" not in shown
    assert shown.startswith(r"a\|b &lt;script&gt; \[x\](javascript:1) \*b\* \`c\` \@all https:")
    assert "://" not in shown
    card = render_card(manifest(sources=[source(label=evil, path=evil)]))
    assert "<script> [x](" in card  # inside the code span of the path
    assert card.count("<script>") == 1


@pytest.mark.parametrize(
    ("value", "shown"), [("a", "`a`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("<|eot|>", "`<|eot|>`")]
)
def test_code_spans_outgrow_their_content(value: str, shown: str) -> None:
    assert code(value) == shown


def test_a_bar_cannot_end_a_table_cell() -> None:
    assert cell("a|b") == "`a¦b`"


def test_a_fence_is_longer_than_any_inside() -> None:
    assert fenced("x```y``") == "````text\nx```y``\n````"


def test_paths_of_a_machine_are_not_published() -> None:
    assert public_path("/home/someone/data.jsonl") == "data.jsonl"
    assert public_path("s3://key:secret@bucket/x.parquet") == "s3://bucket/x.parquet"
    assert public_path("openbmb/UltraFeedback") == "openbmb/UltraFeedback"


def test_equal_manifests_give_equal_cards() -> None:
    assert render_card(manifest(), [example("a")]) == render_card(manifest(), [example("a")])
