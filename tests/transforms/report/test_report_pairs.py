"""The table of pairs: which rows, in what order, and data that no browser can mistake for markup."""

import json
import re
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_support import HOSTILE, data_of, judged, manifest, rows, words

from transforms.report import pairs, render_report
from transforms.report import slices as slices_module
from transforms.report.pairs import MOST, PAGE, doubtful_first, pair_table, script_json


def with_pairs(**columns: list[Any]) -> pl.DataFrame:
    """As many of `rows()` as the columns are long, with these columns put in."""
    length = len(next(iter(columns.values())))
    frame = rows(length, 0) if length >= 10 else rows(10, 0).head(length)
    kinds = {name: frame.schema[name] for name in columns}
    return frame.with_columns(pl.Series(name, values, dtype=kinds[name]) for name, values in columns.items())


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_text_comes_back_from_the_json_as_it_was(data: Any) -> None:
    written = script_json(data)
    assert json.loads(written) == data
    assert re.fullmatch(r"[ -%\'-;=?-~]*", written)  # plain ASCII without &, < and >


def test_a_script_cannot_be_ended_by_a_source_or_an_id() -> None:
    hostile = HOSTILE.replace("\ud800", "") + "\u2028<!--"
    frame = rows().with_columns(pair_id=pl.lit(hostile), source=pl.lit(hostile), decided_by=pl.lit(hostile))
    page = render_report(manifest(), frame, [])
    data = data_of(page)
    assert len(data["rows"]) == 80
    assert data["rows"][0][0].startswith(
        "</script><script>alert(1)</script><img src=x onerror=alert(2)>[U+202E]gnp.exe"
    )
    assert page.count("</script>") == 2
    assert "\u2028" not in page


def test_an_id_that_a_shell_could_misread_gets_no_command() -> None:
    frame = with_pairs(pair_id=["00ff", "$(reboot)", "-h"])
    table = pair_table(manifest(**judged()), frame)
    assert table
    assert {row[0]: command for command, row in table.first} == {
        "00ff": "python -m flows.explain 'out/run 1' 00ff",
        "$(reboot)": None,
        "-h": None,
    }


def test_dropped_pairs_come_first_then_undecided_then_the_least_sure() -> None:
    frame = with_pairs(
        pair_id=["a", "b", "c", "d", "e", "f", "g"],
        verdict=["keep", "keep", "keep", "drop", "drop", "drop", "keep"],
        decided_by=["sampling", "undecided", "proxy", "sampling", None, "n_max", "uncut"],
        p_keep=[0.99, 0.6, None, 0.01, None, 0.3, None],
        expected=[None, None, 0.97, None, None, 0.9, None],
    )
    order = doubtful_first(frame)["pair_id"].to_list()
    assert order == ["d", "f", "e", "b", "c", "a", "g"]
    assert doubtful_first(frame.reverse())["pair_id"].to_list() == order


def test_at_most_2000_rows_are_shown_and_the_page_says_so() -> None:
    many = manifest(counts=manifest().counts.model_copy(update={"kept": 2400, "dropped": {"inconsistent": 100}}))
    page = render_report(many, rows(2400, 100), [])
    data = data_of(page)
    assert (len(data["rows"]), MOST) == (2000, 2000)
    assert [row[1] for row in data["rows"]] == ["drop"] * 100 + ["keep"] * 1900
    assert "2,000 of 2,500 pairs" in words(page)
    assert "All 80 pairs" in words(render_report(manifest(), rows(), []))


def test_pairs_that_are_read_a_few_at_a_time_are_the_same_pairs_in_the_same_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = rows(60, 20)
    whole = pair_table(manifest(), frame)
    monkeypatch.setattr(slices_module, "SLICE_ROWS", 7)
    monkeypatch.setattr(pairs, "MOST", 25)
    few = pair_table(manifest(), frame.lazy())
    assert whole
    assert few
    assert few.texts == whole.texts[:25]
    assert few.total == whole.total == 80


def test_the_first_page_stands_in_the_html_without_the_script() -> None:
    page = render_report(manifest(**judged()), rows(), [])
    table = page.split('id="pairs-table"')[1].split("</table>")[0]
    assert table.count("<tr>") == 1 + PAGE == 51
    assert "python -m flows.explain &#39;out/run 1&#39; " + f"{60:032x}" in table
    assert f"These are the first {PAGE}" in words(page)


def test_cells_are_written_once_for_html_and_script() -> None:
    frame = with_pairs(
        pair_id=["00"],
        verdict=["drop"],
        reason=["inconsistent"],
        decided_by=["n_max"],
        p_keep=[0.0312345678],
        expected=[0.8],
        consistency=[1 / 3],
        consistency_low=[0.1],
        consistency_high=[0.66],
        n=[9],
        chosen_tokens=[2000],
        chosen_keep=[1500],
        reward_chosen=[-1.256],
        reward_rejected=[float("nan")],
        audit=[True],
    )
    table = pair_table(manifest(), frame)
    assert table
    shown = dict(zip([column.label for column in table.columns], table.texts[0], strict=True))
    assert shown == {
        "pair": "00",
        "verdict": "drop",
        "reason": "order not kept by the cut",
        "decided by": "mean at n_max, audit",
        "P(keeps order)": "0.031",
        "consistency [95 %]": "33 % [10, 66]",
        "n": "9",
        "foretold": "0.800",
        "chosen kept / full": "1,500 / 2,000",
        "rejected kept / full": "10 / 10",
        "reward chosen": "−1.26",
        "reward rejected": "–",
        "source": "starter",
    }
    numbers = json.loads(table.json)["numbers"]
    assert numbers == [
        None,
        None,
        None,
        None,
        [0.031235],
        [0.333333],
        [9],
        [0.8],
        [0.75],
        [1.0],
        [-1.256],
        [None],
        None,
    ]


def test_columns_without_any_value_are_left_out_and_not_explained() -> None:
    page = render_report(manifest(sampled=False), rows(60, 20, sampled=False), [])
    data = data_of(page)
    assert "All 80 pairs: dropped ones first. Open" in words(page)
    assert "P(keeps order) is" not in page
    assert data["columns"] == ["pair", "verdict", "reason", "chosen kept / full", "rejected kept / full", "source"]


def test_a_frame_whose_new_columns_are_empty_of_type_is_read() -> None:
    frame = rows().with_columns(decided_by=None, p_keep=None, expected=None, audit=None)
    assert doubtful_first(frame)["verdict"].to_list() == ["drop"] * 20 + ["keep"] * 60


@pytest.mark.parametrize("name", pairs.COLUMNS_BY_NAME)
def test_every_column_of_the_table_is_one_that_the_rows_must_have(name: str) -> None:
    assert name in rows().columns
