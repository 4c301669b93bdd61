"""What is gathered of a version's tables and its quarantine."""

import json

import pyarrow as pa
import pytest
from difference_support import dropped, frame, quarantined, row, unjudged
from polars.testing import assert_frame_equal

from transforms.errors import SchemaError
from transforms.tables.schema import CURATED
from transforms.versions.version_rows import COLUMNS, ROWS, version_rows


def read(folder, rows, lines=(), *, batch=3):
    """Rows and lines as a version's tables."""
    (folder / "quarantine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tables = {}
    for name, kept in (("train", True), ("dropped", False)):
        table = pa.Table.from_pylist([one for one in rows if (one["verdict"] == "keep") == kept], schema=CURATED)
        whole = table.select(list(COLUMNS))
        tables[name] = [whole.slice(start, batch) for start in range(0, max(len(whole), 1), batch)]
    return version_rows(tables, folder / "quarantine.jsonl")


def test_kept_dropped_and_quarantined_rows_are_all_there(tmp_path):
    rows = [*(row(number) for number in range(5)), dropped(7), unjudged(8, "tie")]
    found = read(tmp_path, rows, [quarantined(9)]).rows
    assert found.schema == ROWS
    assert dict(found["outcome"].value_counts().iter_rows()) == {"keep": 5, "drop": 2, "quarantine": 1}
    assert_frame_equal(found, read(tmp_path, rows, [quarantined(9)], batch=2).rows)


def test_ids_are_counted_and_the_other_columns_are_as_they_were(tmp_path):
    found = read(tmp_path, [row(1)]).rows
    assert_frame_equal(found, frame(row(1)))
    assert found.select("prompt_tokens", "chosen_tokens", "rejected_tokens").row(0) == (3, 6, 4)


def test_the_judged_row_stands_for_its_copies(tmp_path):
    rows = [row(1), unjudged(1, "duplicate", source_id="row-1b"), unjudged(1, "tie", source="two")]
    found = read(tmp_path, rows)
    assert found.rows["outcome"].to_list() == ["keep"]
    assert sorted(found.copies["reason"].to_list()) == ["duplicate", "tie"]


def test_a_row_that_no_pair_could_be_made_of_has_no_id(tmp_path):
    lines = [quarantined(1), quarantined(1), quarantined(2, stage="score", row={"pair_id": "ab"})]
    found = read(tmp_path, [row(0)], lines)
    bad = found.rows.filter(found.rows["outcome"] == "quarantine")
    assert sorted(bad.select("pair_id", "reason").rows(), key=str) == [("ab", "score"), (None, "load")]
    assert found.copies.height == 1


def test_the_order_of_rows_changes_nothing(tmp_path):
    rows = [*(row(number) for number in range(6)), *(dropped(number) for number in range(6, 9))]
    found = read(tmp_path, rows).rows
    assert_frame_equal(found, read(tmp_path, rows[::-1]).rows)


@pytest.mark.parametrize("line", ["{", "[]", '{"stage": "load"}'])
def test_a_line_that_is_no_quarantined_row_is_named(tmp_path, line):
    path = tmp_path / "quarantine.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(SchemaError, match=r"quarantine\.jsonl, line 1 is no quarantined row"):
        version_rows({}, path)
