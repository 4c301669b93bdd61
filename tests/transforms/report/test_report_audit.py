"""The page about an audit: advice first, numbers as in the audit, hostile names stay text."""

import re
from typing import Any

import pytest
from report_support import HOSTILE, Tags, audit, share, words

from transforms.records.audit import PositionCurves
from transforms.report import render_audit
from transforms.report.audit_page import audit_forest


def test_the_advice_stands_before_every_figure() -> None:
    text = words(render_audit(audit()))
    order = [
        "Recommended: poet",
        "Cut to the shorter response.",
        "A quarter of each response loses the order.",
        "poet supported ratio 0.5 undecided ratio 0.25 unsupported",
        "Which cut keeps the order?",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_numbers_on_the_page_are_those_of_the_audit() -> None:
    text = words(render_audit(audit()))
    assert "Audited 40 of 80 pairs, 50.0 %" in text
    assert "ratio 0.5 93.0 % [88.0, 98.0] 92.0 % [87.0, 97.0] 30.0 %" in text
    assert "ratio 0.25 unsupported because of ratio 0.25" in text
    assert "Before any cut the two agree on 85.0 % [80.0, 90.0] of 40 pairs" in text
    assert "Llama-3-8B-Instruct v0.1 on-policy 93.8 % – −2.8 table 4" in text
    assert "Zephyr + UltraFeedback off-policy 91.4 % +15.6 +3.3 table 2" in text
    assert "300 completions of 30,000 tokens together, 100 a completion, in 1 min 15 s: 7.5 completions" in text


def test_every_figure_says_how_many_pairs_it_rests_on() -> None:
    text = words(render_audit(audit()))
    assert "intervals are over the 25 prompts of the 40 pairs" in text
    assert "By kept tokens: 31 of the audited pairs ( --curve-pairs ), k up to 128 ( --curve-tokens )." in text
    assert "By kept ratio: all 40." in text
    assert "In nats, of 39 of the audited pairs ( --position-pairs )." in text
    assert "the policy completed the cut responses (2 a prefix)" in text


def test_methods_agreement_and_published_rates_share_one_axis() -> None:
    drawn = audit_forest(audit())
    assert [row.kind for row in drawn.rows] == ["label", "reward"] * 3 + ["agrees"] + ["published"] * 2
    assert [row.group for row in drawn.rows if row.first] == [
        "poet",
        "ratio 0.5",
        "ratio 0.25",
        "Before any cut",
        "Published",
    ]
    assert drawn.ticks[0].text == "70\u00a0%"
    agrees = drawn.rows[6]
    assert (agrees.low, agrees.at, agrees.high) == (33.33, 50.0, 66.67)
    assert [row.note for row in drawn.rows[7:]] == ["SimPO −2.8", "DPO +15.6, SimPO +3.3"]
    # Shaded is what lies below every published setting, and POET's own first setting does not.
    assert drawn.zone == pytest.approx(100 * (0.914 - 0.7) / 0.3, abs=0.01) == drawn.rows[8].at


def test_all_four_curves_are_drawn() -> None:
    assert render_audit(audit()).count('class="plot"') == 4


def test_an_audit_that_recommends_nothing_says_so() -> None:
    text = words(render_audit(audit(recommended=None)))
    assert "No truncation is recommended" in text
    assert "no method stands out" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": [], "recommended": None, "advice": [], "published": []},
        {"quality_by_tokens": [], "quality_by_ratio": [], "positions": []},
        {"positions": [PositionCurves(side="chosen", entropy=[], log_prob=[])]},
        {"pairs": 0, "audited": 0, "completions": 0, "tokens_generated": 0, "reward_agrees": share(0.0, 0)},
    ],
)
def test_an_audit_with_empty_parts_is_still_a_whole_page(changes: dict[str, Any]) -> None:
    page = render_audit(audit(**changes))
    assert Tags(page).open == []
    assert "nan" not in words(page).lower().split()


def test_hostile_names_and_advice_never_become_markup() -> None:
    methods = [method.model_copy(update={"name": HOSTILE, "why": HOSTILE}) for method in audit().methods]
    page = render_audit(audit(name=HOSTILE, methods=methods, advice=[HOSTILE] * 2, recommended=HOSTILE))
    tags = Tags(page)
    assert not {"script", "img", "iframe", "object", "form", "link"} & set(tags.names)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert not re.search("[\x00\u202e\u2066\ud800]", page)
    page.encode("utf-8")


def test_the_page_runs_no_script_and_loads_nothing() -> None:
    page = render_audit(audit())
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert not [value for name, value in Tags(page).attributes if name in ("src", "srcset", "data", "action")]
    assert set(re.findall(r"https?://[^\"'<\s]+", page)) == {
        "https://arxiv.org/abs/2506.09457",
        "https://github.com/THUQiXuan/Shallow-preference-signal",
    }


def test_equal_audits_make_equal_pages() -> None:
    assert render_audit(audit()) == render_audit(audit())
