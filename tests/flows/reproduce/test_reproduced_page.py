"""papers.md: what came out beside the paper, what was not done and why, and nothing of a stranger's becomes markup."""

import re
from dataclasses import replace

import pytest
from reading_support import audit_step, reading
from report_support import HOSTILE

from flows.reproduce.catalogue import Catalogue
from flows.reproduce.config import Claim, Entry, Paper, Place, Sized
from flows.reproduce.pages import heading, render_page, write_pages
from flows.reproduce.results import reproduce_entry
from transforms.errors import ConfigError, OutputError
from transforms.records.reproduction import ClaimFound, Reproduction, Series, SeriesPoint

TABLE = Entry(
    id="table-1",
    shows="Consistency of two ways to cut.",
    x="method",
    y="consistency rate, %",
    printed=[Series(label="POET", points=[SeriesPoint(x="poet", y=93.8)])],
    printed_in="the authors' repository",
)


def sized(**changes):
    fields = {
        "steps": ["audit"],
        "needs": "SmolLM2-135M, no GPU",
        "hours": 0.5,
        "series": [reading("consistency", step="audit", label="POET", names={"poet": "poet", "ratio 0.25": "quarter"})],
        "claims": [
            Claim(says="POET keeps the order more often than a quarter.", higher=Place(series="POET", x="poet"),
                  than=Place(series="POET", x="quarter")),
            Claim(says="It keeps 99 %", higher=Place(series="POET", x="poet"), than=99),
        ],
        "caveat": "Other models.",
    }  # fmt: skip
    return Sized(**(fields | changes))


@pytest.fixture
def done(tmp_path):
    folders = {"audit": audit_step(tmp_path / "audit")}
    return reproduce_entry("poet", TABLE, sized(), "small", folders, {"audit": 75.0}, "f1")


def catalogue(*more, lines=None):
    paper = Paper(
        paper="poet", title="POET", source="arXiv 2506.09457", known="All of them are printed.", entries=[TABLE, *more]
    )
    return Catalogue({"poet": paper}, {"small": {"poet/table-1": sized()} | (lines or {}), "paper": {}}, {})


def section(page, title):
    return page.split(f"### {title}\n")[1].split("\n### ")[0]


def test_steps_that_entries_share_count_once_in_the_time_of_all(done):
    other = done.model_copy(update={"entry": "table-2", "steps": {"audit": 75.0, "pairs": 120.0}})
    page = render_page(catalogue(), "small", {"poet/table-1": done, "poet/table-2": other}, {})
    assert "Together they rest on 2 steps, which took 3\xa0min 15\xa0s." in page
    assert "Together" not in render_page(catalogue(), "small", {}, {})


def test_what_many_entries_need_stands_once_and_they_point_to_it():
    found = catalogue(lines={"poet/table-1": sized(notes=["judge"])})
    found = replace(found, notes={"small": {"judge": "A key."}})
    page = render_page(found, "small", {}, {})
    assert "Needs: SmolLM2-135M, no GPU. [Also needed](#what-many-need): judge. About 30 min" in page
    assert page.endswith("## What many need\n\n- **judge**: A key.\n")
    assert "What many need" not in render_page(catalogue(), "small", {}, {})


def test_a_claim_may_rest_on_a_number_that_is_not_drawn(tmp_path):
    other = audit_step(tmp_path / "other")
    hidden = reading("consistency", step="other", label="not drawn", names={"poet": "poet"})
    claim = Claim(says="It is above a tenth.", higher=Place(series="not drawn", x="poet"), than=10)
    line = sized(also=[hidden], claims=[claim])
    assert line.reads == ["audit", "other"]
    folders = {"audit": audit_step(tmp_path / "audit"), "other": other}
    found = reproduce_entry("poet", TABLE, line, "small", folders, {}, "f1")
    assert [one.label for one in found.series] == ["POET"]
    assert [one.label for one in found.also] == ["not drawn"]
    assert found.claims[0].outcome == "holds"


def test_what_is_not_drawn_stands_in_the_table_with_its_own_unit(done):
    more = [
        Series(
            label="change", unit="points", points=[SeriesPoint(x="poet", y=4.0, low=1.0, high=7.0)],
            missing=["quarter: no pair"],
        ),
        Series(label="same unit", points=[SeriesPoint(x="poet", y=4.0)]),
        Series(label="plain", unit="", points=[SeriesPoint(x="poet", y=4.0)]),
    ]  # fmt: skip
    page = render_page(catalogue(), "small", {"poet/table-1": done.model_copy(update={"also": more})}, {})
    part = section(page, "Table 1 of poet")
    assert "| change (not drawn) | poet |  | 4.0 [1.0, 7.0] points |" in part
    assert "| same unit (not drawn) | poet |  | 4.0 % |" in part
    assert "| plain (not drawn) | poet |  | 4.00 |" in part
    assert "- change: quarter: no pair" in part
    alone = done.model_copy(update={"also": more, "printed": []})
    assert "| change (not drawn) | poet | 4.0 [1.0, 7.0] points |" in render_page(
        catalogue(), "small", {"poet/table-1": alone}, {}
    )


def test_where_y_is_another_quantity_than_the_papers_both_are_named(tmp_path):
    folders = {"audit": audit_step(tmp_path / "audit")}
    other = sized(y_here="consistency in nats, nats")
    found = reproduce_entry("poet", TABLE, other, "small", folders, {}, "f1")
    assert (found.y, found.y_here) == (TABLE.y, "consistency in nats, nats")
    assert "nats: the interval" in found.claims[1].found
    part = section(render_page(catalogue(), "small", {"poet/table-1": found}, {}), "Table 1 of poet")
    assert "In the paper: consistency rate, %. Here: consistency in nats, nats." in part
    assert "In %." not in part
    alone = found.model_copy(update={"printed": []})
    part = section(render_page(catalogue(), "small", {"poet/table-1": alone}, {}), "Table 1 of poet")
    assert "In the paper:" not in part
    assert "Here: consistency in nats, nats." in part


def test_units_that_do_not_fit_are_an_error_before_anything_is_read():
    drawn = [reading("win_rates", step="audit", label="change", minus_first=True)]
    with pytest.raises(ConfigError, match="series 'change' is in points and the axis in %"):
        reproduce_entry("poet", TABLE, sized(series=drawn, claims=[]), "small", {}, {}, "f1")


def test_claims_of_one_training_a_side_say_so_and_the_page_says_what_their_intervals_lack(done, tmp_path):
    folders = {"audit": audit_step(tmp_path / "audit")}
    found = reproduce_entry("poet", TABLE, sized(one_training=True), "small", folders, {}, "f1")
    assert [one.one_training for one in found.claims] == [True, True]
    assert [one.one_training for one in done.claims] == [False, False]
    page = render_page(catalogue(), "small", {"poet/table-1": found}, {})
    behind = ". Of one training a side: this is said of these models, not of the methods."
    assert f"the intervals lie apart{behind}" in page
    lacks = "In 2 of them a side is one training: intervals are over prompts or pairs alone, another seed is in none"
    assert lacks in page
    plain = render_page(catalogue(), "small", {"poet/table-1": done}, {})
    assert "where an interval covers all that is random." in plain
    assert "one training" not in plain
    one = found.model_copy(update={"claims": found.claims[:1]})
    assert "In this one a side is one training" in render_page(catalogue(), "small", {"poet/table-1": one}, {})


def test_a_series_that_is_not_drawn_has_a_name_of_its_own():
    twice = reading("consistency", step="other", label="POET")
    with pytest.raises(ValueError, match="POET stands there twice"):
        sized(also=[twice])


def test_an_entry_is_made_of_its_readings_claims_and_records(done):
    assert (done.paper, done.entry, done.size, done.title) == ("poet", "table-1", "small", TABLE.shows)
    assert (done.x, done.y, done.printed, done.caveat) == (TABLE.x, TABLE.y, TABLE.printed, "Other models.")
    assert [(point.x, point.y) for point in done.series[0].points] == [("poet", 97.0), ("quarter", 80.0)]
    assert [one.outcome for one in done.claims] == ["holds", "not told"]
    assert done.rests_on == ["40 pairs of 25 prompts audited, 2 completions a prefix", "policy tiny, reward model tiny"]
    assert (done.steps, done.fingerprint) == ({"audit": 75.0}, "f1")
    assert Reproduction.model_validate_json(done.model_dump_json()) == done


def test_an_entry_whose_record_is_missing_or_has_no_folder_is_an_error_of_its_series(tmp_path):
    with pytest.raises(OutputError, match=r"series 'POET': .*audit\.json is missing"):
        reproduce_entry("poet", TABLE, sized(), "small", {"audit": tmp_path}, {}, "f1")
    with pytest.raises(ConfigError, match="series 'POET': the step audit has no folder"):
        reproduce_entry("poet", TABLE, sized(), "small", {}, {}, "f1")


def test_the_page_has_both_numbers_the_claims_and_what_they_rest_on(done):
    part = section(render_page(catalogue(), "small", {"poet/table-1": done}, {}), "Table 1 of poet")
    assert "![Consistency of two ways to cut.](poet/table-1.png)" in part
    assert "| series | method | in the paper | here |" in part
    assert "| POET | poet | 93.8 | 97.0 [92.0, 100.0] |\n| POET | quarter |  | 80.0 [75.0, 85.0] |" in part
    assert "In %." in part
    assert (
        "- POET keeps the order more often than a quarter: **holds**. 97.0 \\[92.0, 100.0\\] against "
        "80.0 \\[75.0, 85.0\\] %: the intervals lie apart.\n- It keeps 99 %: **not told**. 97.0 "
    ) in part
    assert "Caveat: Other models." in part
    assert "The paper's numbers were read in the authors' repository." in part
    assert (
        "Rests on: 40 pairs of 25 prompts audited, 2 completions a prefix; policy tiny, reward model tiny; 1 step, 1"
        in part
    )
    assert "Needs: SmolLM2-135M, no GPU. About 30 min of two CPU cores." in part


def test_the_summary_counts_outcomes_and_says_what_luck_would_do(done):
    page = render_page(catalogue(), "small", {"poet/table-1": done}, {})
    assert "| [Table 1 of poet](#table-1-of-poet) | done | 1 | 0 | 1 |" in page
    assert "2 claims were tried" in page
    assert "of 2 such claims 0.1 on average at most." in page  # 2 · 0.025 = 0.05
    nothing = render_page(catalogue(), "small", {}, {})
    assert "claims were tried" not in nothing


def test_luck_is_two_and_a_half_percent_a_claim(done):
    many = done.model_copy(update={"claims": done.claims * 40})
    assert "of 80 such claims 2.0 on average" in render_page(catalogue(), "small", {"poet/table-1": many}, {})


def test_what_was_not_done_says_why():
    drawing = Entry(id="figure-1", shows="How it works.", nothing="a drawing")
    large = Entry(id="table-2", shows="Eight billion parameters.")
    lost = Entry(id="figure-2a", shows="Entropy.")
    lines = {
        "poet/table-2": Sized(needs="8 H100", cannot="no machine here is large enough"),
        "poet/figure-2a": sized(),
    }
    page = render_page(
        catalogue(drawing, large, lost, lines=lines),
        "small",
        {},
        {"poet/figure-2a": "the *disk* is\nfull hf_abcdefghijk"},
    )
    assert "Nothing to redo: a drawing." in section(page, "Figure 1 of poet")
    assert "Not possible at this size: no machine here is large enough." in section(page, "Table 2 of poet")
    assert "Failed: the \\*disk\\* is full \\*\\*\\*" in section(page, "Figure 2a of poet")
    assert "Not in this run. Needs: SmolLM2-135M" in section(page, "Table 1 of poet")
    states = re.findall(r"^\| \[.*?\) \| ([^|]*) \|", page, re.MULTILINE)
    assert states == ["not in this run", "nothing to redo", "not possible at this size", "failed"]


def test_a_part_of_the_id_behind_the_number_is_in_the_heading():
    paper = catalogue().papers["poet"]
    assert heading(paper, TABLE.model_copy(update={"id": "figure-2a-left"})) == "Figure 2a left of poet"


def test_a_long_curve_is_shown_at_some_points_with_both_ends(done):
    points = [SeriesPoint(x=float(k), y=k / 100) for k in range(100)]
    long = done.model_copy(update={"series": [Series(label="POET", points=points)], "printed": [], "claims": []})
    part = section(render_page(catalogue(), "small", {"poet/table-1": long}, {}), "Table 1 of poet")
    rows = re.findall(r"^\| POET \| (\d+) \| ([\d.]+) \|$", part, re.MULTILINE)
    assert [int(x) for x, _ in rows] == [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99]
    assert "88 points of longer curves are left out." in part
    assert "in the paper" not in part


def test_a_series_without_numbers_says_why(done):
    gone = done.model_copy(update={"series": [Series(label="POET", points=[], missing=["no <b>pair</b>"])]})
    part = section(render_page(catalogue(), "small", {"poet/table-1": gone}, {}), "Table 1 of poet")
    assert "No number for:\n\n- POET: no &lt;b&gt;pair&lt;/b&gt;" in part


def test_text_of_strangers_is_no_markup(done):
    hostile = HOSTILE + " | [x](javascript:1) ![y](z) **b** <!--"
    bad = done.model_copy(
        update={
            "series": [
                Series(label="POET", points=[SeriesPoint(x=hostile, y=1.0)], missing=[f"{hostile}: no number"]),
            ],
            "rests_on": [hostile],
            "claims": [ClaimFound(says="A", outcome="not told", found=hostile)],
        }
    )
    lost = Entry(id="figure-2a", shows="Entropy.")
    page = render_page(
        catalogue(lost, lines={"poet/figure-2a": sized()}), "small", {"poet/table-1": bad}, {"poet/figure-2a": hostile}
    )
    assert "<" not in page
    assert "javascript:1" in page
    assert not re.search(r"(?<!\\)\]\((?!#|poet/table-1\.png)", page)
    assert not re.search("[\x00\u202e\u2066\ud800]", page)
    rows = [line for line in page.splitlines() if line.startswith("| POET")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [5, 5]
    page.encode("utf-8")


def test_the_page_and_its_pictures_are_written_side_by_side_and_again_the_same(done, tmp_path):
    other_size = done.model_copy(update={"size": "paper"})
    out = tmp_path / "out"
    page = write_pages(out, catalogue(), "small", [done, other_size], {})
    assert page == out / "papers.md"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == ["papers.md", "poet/table-1.png"]
    for link in re.findall(r"\]\((?!#)([^)]+)\)", page.read_text()):
        assert (out / link).is_file()
    picture, text = (out / "poet/table-1.png").read_bytes(), page.read_bytes()
    assert picture.startswith(b"\x89PNG")
    write_pages(out, catalogue(), "small", [done], {})
    assert ((out / "poet/table-1.png").read_bytes(), page.read_bytes()) == (picture, text)


def test_anchors_of_the_summary_are_those_of_the_headings(done):
    page = render_page(catalogue(), "small", {"poet/table-1": done}, {})
    titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors
