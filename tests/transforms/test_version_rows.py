"""What is read of a version, from a run's shards and from published Parquet."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from difference_support import dropped, frame, quarantined, row, unjudged, version_folder
from polars.testing import assert_frame_equal

from transforms.errors import SchemaError
from transforms.version_rows import ROWS, table_batches, version_rows


def tables(folder):
    """Files of a run's or a published folder by table."""
    return {
        "train": sorted([*folder.glob("dataset/train/*.arrow"), *folder.glob("data/train-*.parquet")]),
        "dropped": sorted([*folder.glob("dropped/*.arrow"), *folder.glob("dropped/*.parquet")]),
    }


def read(folder):
    return version_rows(tables(folder), folder / "quarantine.jsonl")


def test_a_run_and_its_published_form_give_the_same_rows(tmp_path):
    rows = [*(row(number) for number in range(5)), dropped(7), unjudged(8, "tie")]
    run = read(version_folder(tmp_path / "run", rows, [quarantined(9)]))
    published = read(version_folder(tmp_path / "published", rows, [quarantined(9)], published=True))
    assert_frame_equal(run.rows, published.rows)
    assert run.rows.schema == ROWS
    assert dict(run.rows["outcome"].value_counts().iter_rows()) == {"keep": 5, "drop": 2, "quarantine": 1}


def test_ids_are_counted_and_the_other_columns_are_as_they_were(tmp_path):
    found = read(version_folder(tmp_path / "run", [row(1)])).rows
    assert_frame_equal(found, frame(row(1)))
    assert found.select("prompt_tokens", "chosen_tokens", "rejected_tokens").row(0) == (3, 6, 4)


def test_the_judged_row_stands_for_its_copies(tmp_path):
    rows = [row(1), unjudged(1, "duplicate", source_id="row-1b"), unjudged(1, "tie", source="two")]
    found = read(version_folder(tmp_path / "run", rows))
    assert found.rows["outcome"].to_list() == ["keep"]
    assert sorted(found.copies["reason"].to_list()) == ["duplicate", "tie"]


def test_a_row_that_no_pair_could_be_made_of_has_no_id(tmp_path):
    lines = [quarantined(1), quarantined(1), quarantined(2, stage="score", row={"pair_id": "ab"})]
    found = read(version_folder(tmp_path / "run", [row(0)], lines))
    bad = found.rows.filter(found.rows["outcome"] == "quarantine")
    assert sorted(bad.select("pair_id", "reason").rows(), key=str) == [("ab", "score"), (None, "load")]
    assert found.copies.height == 1


def test_the_order_of_files_and_rows_changes_nothing(tmp_path):
    rows = [*(row(number) for number in range(6)), *(dropped(number) for number in range(6, 9))]
    found = read(version_folder(tmp_path / "a", rows)).rows
    assert_frame_equal(found, read(version_folder(tmp_path / "b", rows[::-1])).rows)


def test_a_table_of_another_release_is_refused_with_the_columns_it_lacks(tmp_path):
    pq.write_table(pa.table({"pair_id": ["a"], "verdict": ["keep"]}), tmp_path / "old.parquet")
    (tmp_path / "quarantine.jsonl").touch()
    with pytest.raises(SchemaError, match=r"old\.parquet lacks the columns source, source_id, .*curate again"):
        version_rows({"train": [tmp_path / "old.parquet"]}, tmp_path / "quarantine.jsonl")


@pytest.mark.parametrize("line", ["{", "[]", '{"stage": "load"}'])
def test_a_line_that_is_no_quarantined_row_is_named(tmp_path, line):
    path = tmp_path / "quarantine.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(SchemaError, match=r"quarantine\.jsonl, line 1 is no quarantined row"):
        version_rows({}, path)


def test_batches_hold_the_columns_asked_for(tmp_path):
    folder = version_folder(tmp_path / "run", [row(number) for number in range(5)])
    batches = [batch for path in tables(folder)["train"] for batch in table_batches(path, ["n", "pair_id"])]
    assert {name for batch in batches for name in batch.schema.names} == {"n", "pair_id"}
    assert sum(len(batch) for batch in batches) == 5
