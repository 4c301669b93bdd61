"""The page about a run: counts equal the manifest, hostile text stays text, nothing is fetched."""

import re
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest

from transforms.errors import SchemaError
from transforms.manifest import (
    Counts,
    FileRecord,
    Manifest,
    ModelRecord,
    RateRecord,
    SourceRecord,
    SpendRecord,
    StageRecord,
    TokenCounts,
    TokenizerRecord,
)
from transforms.report import Example, render_report

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe\u2066\x00```\n``` {{ 7*7 }} \ud800"
)


def rows(kept: int = 60, dropped: int = 20, *, sampled: bool = True) -> pl.DataFrame:
    """Pairs with responses of 10 and 20 tokens, cut to 10; every fourth kept pair has two equal sides."""
    total = kept + dropped
    whole = [i % 4 == 0 for i in range(total)]
    value = [1.0 if i < kept else 0.0 for i in range(total)] if sampled else [None] * total
    frame = {
        "pair_id": [f"{i:032x}" for i in range(total)],
        "source": "starter",
        "split": ["train"] * (kept - 10) + ["test"] * 10 + ["dropped"] * dropped,
        "reason": [None] * kept + ["inconsistent"] * dropped,
        "prompt_tokens": 5,
        "chosen_tokens": [10 if flat else 20 for flat in whole],
        "rejected_tokens": 10,
        "chosen_keep": 10,
        "rejected_keep": 10,
        "chosen_cut": [not flat for flat in whole],
        "rejected_cut": False,
        "reward_chosen": [i / 10 if sampled else None for i in range(total)],
        "reward_rejected": [1.0 if sampled else None] * total,
        "consistency": value,
        "consistency_low": value,
        "consistency_high": value,
        "consistency_by_reward": value,
        "n": [3 if sampled else None] * total,
        "verdict": ["keep"] * kept + ["drop"] * dropped,
    }
    kinds = {"reason": pl.String, "n": pl.Int32} | {
        name: pl.Float64 for name in frame if name.startswith(("reward", "consistency"))
    }
    return pl.DataFrame(frame, schema_overrides=kinds)


def manifest(*, rate: float = 0.95, sampled: bool = True, **changes: Any) -> Manifest:
    """Of a run over `rows()`: 85 rows read, 5 quarantined, 20 dropped, 60 kept."""
    model = ModelRecord(name="tiny", revision="local", fingerprint="f", dtype="float32", engine="vllm")
    spend = SpendRecord(requests=180, generated=150, reused=30, tokens_generated=4321, tokens_reused=99, seconds=8)
    rates = [
        RateRecord(
            source=source,
            reference=by,
            pairs=80,
            sampled=60,
            rate=rate,
            low=rate - 0.06,
            high=rate + 0.03,
            reward_agrees=0.83,
        )
        for source in ("all", "starter", "other")
        for by in ("label", "reward")
    ]
    fields: dict[str, Any] = {
        "name": "test-run",
        "version": "0123456789abcdef",
        "config": {"truncate": {"method": "poet"}, "consistency": {"reference": "label"}},
        "fingerprint": "f1",
        "sources": [
            SourceRecord(
                label="starter",
                kind="starter",
                path="./pairs.parquet",
                revision=None,
                fingerprint="f2",
                raw_rows=85,
                pairs=80,
            )
        ],
        "tokenizer": TokenizerRecord(name="tiny", sha256="aa", eot="<|im_end|>", eot_id=2),
        "policy": model if sampled else None,
        "reward": model if sampled else None,
        "packages": {"polars": "2.1.0"},
        "git_commit": None,
        "counts": Counts(
            raw_rows=85,
            pairs=85,
            kept=60,
            dropped={"inconsistent": 20},
            quarantined=5,
            splits={"train": 50, "test": 10},
            stages=[
                StageRecord(stage="load", rows_in=85, rows_out=80, quarantined=5),
                StageRecord(stage="judge", rows_in=80, rows_out=60, dropped={"inconsistent": 20}),
            ],
        ),
        "tokens": TokenCounts(
            prompt=300, chosen_before=1050, chosen_after=600, rejected_before=600, rejected_after=600
        ),
        "consistency": rates if sampled else [],
        "completions": spend if sampled else None,
        "scores": spend if sampled else None,
        "files": [FileRecord(path="dataset/train/data.arrow", rows=50, sha256="bb")],
        "seconds": {"load": 0.5, "completions": 8.0},
        "finished_at": "2026-11-21T12:00:00Z",
    }
    return Manifest(**{**fields, **changes})


def example(**changes: Any) -> Example:
    """A kept pair whose chosen side was cut to ten tokens of twenty."""
    fields: dict[str, Any] = {
        "pair_id": "00",
        "source": "starter",
        "verdict": "keep",
        "reason": None,
        "prompt": [{"role": "user", "content": "Why?"}],
        "chosen_full": "Because it rains. And snows.",
        "chosen": "Because it rains.",
        "rejected_full": "No idea.",
        "rejected": "No idea.",
        "chosen_cut": True,
        "rejected_cut": False,
        "chosen_tokens": 20,
        "rejected_tokens": 10,
        "chosen_keep": 10,
        "rejected_keep": 10,
    }
    return Example(**{**fields, **changes})


class Tags(HTMLParser):
    """Names of all elements, attributes of all, and whether every element is closed."""

    VOID = ("meta", "br", "link", "img", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def words(page: str) -> str:
    """The page's text without markup, on one line."""
    return " ".join(re.sub("<[^>]+>", " ", page.split("</style>")[1]).replace("&nbsp;", " ").split())


def test_hostile_text_never_becomes_markup() -> None:
    fields = dict.fromkeys(("source", "reason", "chosen_full", "chosen", "rejected_full", "rejected"), HOSTILE)
    hostile = example(**fields, prompt=[{"role": HOSTILE, "content": HOSTILE}] * 2)
    page = render_report(manifest(name=HOSTILE), rows(), [hostile])
    tags = Tags(page)
    assert not {"script", "img", "iframe", "object", "form", "link"} & set(tags.names)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert not re.search("[\x00\u202e\u2066\ud800]", page)
    assert page.count("U+202E") >= 8
    assert "{{ 7*7 }}" in page
    page.encode("utf-8")


def test_the_page_fetches_nothing_and_says_so_to_the_browser() -> None:
    page = render_report(manifest(), rows(), [example()])
    fetching = [(name, value) for name, value in Tags(page).attributes if name in ("src", "srcset", "data", "action")]
    assert fetching == []
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page


def test_every_element_is_closed() -> None:
    for page in (
        render_report(manifest(), rows(), [example(), example(verdict="drop", reason="tie")]),
        render_report(manifest(sampled=False), rows(sampled=False), []),
    ):
        assert Tags(page).open == []


def test_counts_on_the_page_are_those_of_the_manifest() -> None:
    text = words(render_report(manifest(), rows(), []))
    assert "60 of 85 pairs kept" in text
    assert "50 train 10 test" in text
    assert "pairs read 85 100.0 %" in text
    assert "quarantined: unusable rows −5 5.9 %" in text
    assert "order not kept by the cut −20 23.5 %" in text
    assert "95.0 % [89.0, 98.0]" in text
    assert "both 1,650 1,200 27.3 %" in text
    assert "Completions 180 150 30 4,321 99" in text
    assert "add up to the pairs read" in text


def test_rows_that_disagree_with_the_manifest_are_an_error() -> None:
    with pytest.raises(SchemaError, match="hold 59 kept and 20 dropped pairs, the manifest counts 60 and 20"):
        render_report(manifest(), rows().slice(1), [])


def test_rows_without_a_column_are_an_error_that_names_it() -> None:
    with pytest.raises(SchemaError, match="missing columns: chosen_keep, n"):
        render_report(manifest(), rows().drop("n", "chosen_keep"), [])


def test_equal_runs_make_equal_pages_whatever_the_order_of_rows() -> None:
    shuffled = rows().sample(fraction=1.0, shuffle=True, seed=3)
    assert render_report(manifest(), rows(), [example()]) == render_report(manifest(), shuffled, [example()])


def test_a_rate_at_94_percent_warns_and_one_above_does_not() -> None:
    low = words(render_report(manifest(rate=0.94), rows(), []))
    high = words(render_report(manifest(rate=0.96), rows(), []))
    assert "Warning: 94.0 % is a rate at which cutting has hurt training" in low
    assert "by −2.8 points where the rate was 93.8 %, by +2.0 points where the rate was 98.5 %, and by +2.9" in low
    assert "below the rate itself" in low  # the reward model agrees with 83 % of labels before any cut
    assert "Warning:" not in high
    assert "The interval reaches 90.0 %" in high


def test_the_published_rates_stand_beside_the_measured_ones() -> None:
    text = words(render_report(manifest(), rows(), []))
    for published in (
        "Zephyr + UltraFeedback 91.4 %",
        "AlpacaEval 2 −2.8 93.8 %",
        "AlpacaEval 2 +2.9 98.9 %",
    ):
        assert published in text


def test_a_run_that_only_truncated_says_so_instead_of_empty_plots() -> None:
    page = render_report(manifest(sampled=False), rows(sampled=False), [example()])
    text = words(page)
    assert "Nothing was sampled in this run" in text
    assert "Not measured. This run only truncated" in text
    assert "Not measured: this run had no reward model" in text
    assert "no model was called" in text
    assert "nan" not in text.lower().split()
    assert page.count('class="plot"') == 3  # lengths of both sides and the share kept


def test_a_run_that_kept_nothing_still_has_a_page() -> None:
    counts = Counts(raw_rows=0, pairs=0, kept=0, dropped={}, quarantined=0, splits={}, stages=[])
    zero = TokenCounts(prompt=0, chosen_before=0, chosen_after=0, rejected_before=0, rejected_after=0)
    page = render_report(manifest(sampled=False, counts=counts, tokens=zero), rows(0 + 10, 0).clear(), [])
    assert "0 of 0 pairs kept" in page


def test_the_cut_is_marked_where_it_fell() -> None:
    text = words(render_report(manifest(), rows(), [example()]))
    assert "Because it rains. ✂ 10 tokens kept of 20, no end-of-turn And snows." in text
    assert "No idea. whole: 10 tokens, end-of-turn kept" in text


def test_counts_that_do_not_add_up_are_not_hidden() -> None:
    odd = manifest().counts.model_copy(update={"quarantined": 4})
    assert "do not add up" in words(render_report(manifest(counts=odd), rows(), []))


def test_a_large_run_draws_a_few_hundred_marks() -> None:
    counts = manifest().counts.model_copy(update={"kept": 30_000, "dropped": {"inconsistent": 20_000}})
    page = render_report(manifest(counts=counts), rows(30_000, 20_000), [])
    assert len(page) < 150_000
    assert "300 of 50,000 pairs drawn" in page
