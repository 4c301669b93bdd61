"""The page about a run: counts equal the manifest, hostile text stays text, nothing is fetched."""

import base64
import hashlib
import re

import pytest
from report_support import HOSTILE, Tags, example, judged, manifest, rows, script_of, words

from transforms.errors import SchemaError
from transforms.records.manifest import Counts, TokenCounts
from transforms.report import render_report


def test_hostile_text_never_becomes_markup() -> None:
    fields = dict.fromkeys(("source", "reason", "chosen_full", "chosen", "rejected_full", "rejected"), HOSTILE)
    hostile = example(**fields, prompt=[{"role": HOSTILE, "content": HOSTILE}] * 2)
    page = render_report(manifest(name=HOSTILE), rows(), [hostile])
    tags = Tags(page)
    assert not {"img", "iframe", "object", "form", "link"} & set(tags.names)
    assert tags.names.count("script") == 2  # the table's data and its script
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
    digest = base64.b64encode(hashlib.sha256(script_of(page).encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:;"
    assert policy in page


def test_the_only_addresses_are_those_of_the_papers() -> None:
    page = render_report(manifest(**judged()), rows(), [example()])
    assert set(re.findall(r"https?://[^\"'<\s]+", page)) == {
        "https://arxiv.org/abs/2506.09457",
        "https://github.com/THUQiXuan/Shallow-preference-signal",
    }


def test_a_page_without_pairs_has_no_script_and_forbids_any() -> None:
    counts = Counts(raw_rows=0, pairs=0, kept=0, dropped={}, quarantined=0, splits={}, stages=[])
    page = render_report(manifest(sampled=False, counts=counts), rows().clear(), [])
    assert "<script" not in page
    assert "default-src 'none'; style-src" in page
    assert "loads nothing and runs no script" in words(page)


def test_the_script_holds_nothing_that_could_end_it_and_writes_no_markup() -> None:
    script = script_of(render_report(manifest(), rows(), []))
    assert "pairs-data" in script
    assert not re.search("</script|<!--|innerHTML|outerHTML|insertAdjacentHTML|document.write|eval|fetch", script)


def test_every_element_is_closed() -> None:
    for page in (
        render_report(manifest(), rows(), [example(), example(verdict="drop", reason="tie")]),
        render_report(manifest(sampled=False), rows(sampled=False), []),
        render_report(manifest(**judged()), rows(), []),
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


def test_rows_that_are_not_in_memory_give_the_same_page() -> None:
    for how in (manifest(), manifest(**judged())):
        assert render_report(how, rows().lazy(), [example()]) == render_report(how, rows(), [example()])


def test_a_rate_between_published_ones_foretells_nothing_and_says_what_is_known() -> None:
    text = words(render_report(manifest(rate=0.94), rows(), []))
    assert "A rate of 94.0 % [88.0, 97.0] does not foretell what training does" in text
    assert "SimPO −2.8 at 93.8%; SimPO +2.0 at 98.5%; SimPO +2.9 at 98.9%." in text
    assert "DPO +15.6, SimPO +3.3 at 91.4%" in text
    assert "below the rate itself" in text  # the reward model agrees with 83 % of labels before any cut
    assert "Sources below" not in text


def test_a_rate_below_all_published_ones_says_that_and_names_the_sources() -> None:
    text = words(render_report(manifest(rate=0.8), rows(), []))
    assert "80.0 % is lower than any rate that a training is published for" in text
    assert "That is the ceiling the cut started from" in text  # 83 % before any cut
    assert "Sources below 91.4 %, the lowest rate that a training is published for starter: 80.0 % [74.0, 83.0]" in text


def test_a_rate_as_high_as_those_that_gained_needs_no_word_and_none_is_called_harmful() -> None:
    pages = {rate: words(render_report(manifest(rate=rate, spread=(0.03, 0.01)), rows(), [])) for rate in (0.98, 0.92)}
    assert "does not foretell" not in pages[0.98]
    for text in pages.values():
        assert not [word for word in ("hurt", "harmful", "Warning") if word in text]


def test_the_published_rates_stand_beside_the_measured_ones() -> None:
    text = words(render_report(manifest(), rows(), []))
    for published in (
        "Zephyr + UltraFeedback DPO +15.6, SimPO +3.3 91.4 %",
        "SimPO −2.8 93.8 %",
        "SimPO +2.9 98.9 %",
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
    assert len(page) < 600_000  # four fifths of it the table's 2,000 rows
    assert "300 of 50,000 pairs drawn" in page


def test_the_page_names_no_folder_of_the_machine() -> None:
    config = {"sources": [{"path": "/home/alice/x.jsonl"}], "output": {"dir": "/home/alice/run"}}
    page = render_report(manifest(config=config), rows(), [example()])
    assert "alice" not in page
    assert "path: x.jsonl" in words(page)
    assert "python -m flows.explain RUN " in page
