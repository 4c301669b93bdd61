"""The output on disk: opened by datasets, equal bytes for equal rows, a version from content."""

from itertools import pairwise

import datasets
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.dataset.shards import ContentHash, SplitWriter, in_test_split, version_of, write_splits
from transforms.errors import SchemaError
from transforms.tables.schema import MESSAGE, TOKEN_IDS

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("prompt", pa.list_(MESSAGE)),
        pa.field("ids", TOKEN_IDS),
        pa.field("score", pa.float64()),
        pa.field("cut", pa.bool_()),
    ]
)


def rows(count, start=0):
    return [
        {
            "id": f"p{i}",
            "prompt": [{"role": "user", "content": "é" * (i % 3)}] * (i % 2 + 1),
            "ids": list(range(i % 5)),
            "score": None if i % 4 == 0 else i / 3,
            "cut": i % 2 == 0,
        }
        for i in range(start, start + count)
    ]


def table(records):
    return pa.Table.from_pylist(records, schema=SCHEMA)


def write(folder, records, *, shard_rows=4, cuts=()):
    writer = SplitWriter(folder / "train", SCHEMA, shard_rows=shard_rows, split="train")
    edges = [0, *cuts, len(records)]
    for start, end in pairwise(edges):
        writer.write(table(records[start:end]))
    return writer, writer.close()


def test_datasets_opens_the_shards_and_sees_the_rows(tmp_path):
    write(tmp_path, rows(10))
    write_splits(tmp_path, ["train"])
    loaded = datasets.load_from_disk(str(tmp_path))
    assert loaded["train"].to_list() == rows(10)
    assert (
        datasets.concatenate_datasets(
            [loaded["train"], datasets.Dataset.from_list(rows(2), features=loaded["train"].features)]
        ).num_rows
        == 12
    )


def test_shards_have_the_asked_number_of_rows_and_a_hash(tmp_path):
    _, files = write(tmp_path, rows(10), cuts=(3, 7))
    assert [(f.path, f.rows) for f in files] == [
        ("train/data-00000-of-00003.arrow", 4),
        ("train/data-00001-of-00003.arrow", 4),
        ("train/data-00002-of-00003.arrow", 2),
    ]
    assert all(len(f.sha256) == 64 for f in files)


def test_equal_rows_give_equal_bytes_however_they_were_handed_over(tmp_path):
    _, once = write(tmp_path / "a", rows(10))
    _, bits = write(tmp_path / "b", rows(10), cuts=(1, 2, 9))
    assert [f.sha256 for f in once] == [f.sha256 for f in bits]


def test_an_empty_split_is_still_a_dataset(tmp_path):
    write(tmp_path, [])
    assert datasets.load_from_disk(str(tmp_path / "train")).num_rows == 0


def test_a_table_of_another_shape_is_refused_by_name(tmp_path):
    writer = SplitWriter(tmp_path / "train", SCHEMA, shard_rows=4, split="train")
    with pytest.raises(SchemaError, match="missing columns: cut"):
        writer.write(table(rows(2)).drop_columns(["cut"]))


def digest(*tables):
    content = ContentHash(SCHEMA)
    for part in tables:
        content.update(part)
    return content.hexdigest()


@given(st.integers(0, 12), st.integers(0, 12))
@settings(deadline=None)
def test_the_content_hash_does_not_see_how_rows_are_batched(first, second):
    whole = table(rows(first + second))
    assert digest(whole) == digest(whole.slice(0, first), whole.slice(first))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "other"),
        ("prompt", [{"role": "user", "content": ""}]),
        ("ids", [0, 2]),
        ("score", 0.5),
        ("score", 0.0),
        ("cut", None),
    ],
)
def test_the_content_hash_sees_every_column(column, value):
    records = rows(3)
    changed = [*records[:2], {**records[2], column: value}]
    assert digest(table(records)) != digest(table(changed))


@pytest.mark.parametrize(
    ("column", "value"),
    [("score", 0.0), ("cut", False), ("ids", []), ("prompt", []), ("prompt", [{"role": "user", "content": ""}])],
)
def test_a_null_is_another_version_than_the_value_that_stands_in_its_place_on_disk(column, value):
    nothing = [{"role": "user", "content": None}] if value and column == "prompt" else None
    [one], [other] = ([{**rows(1)[0], column: found}] for found in (value, nothing))
    assert digest(table([one])) != digest(table([other]))


def test_moving_a_word_between_neighbouring_rows_changes_the_hash():
    one = [{**rows(1)[0], "id": "ab"}, {**rows(1)[0], "id": "c"}]
    two = [{**rows(1)[0], "id": "a"}, {**rows(1)[0], "id": "bc"}]
    assert digest(table(one)) != digest(table(two))


def test_the_version_depends_on_which_split_a_row_is_in():
    a, b = ContentHash(SCHEMA), ContentHash(SCHEMA)
    a.update(table(rows(2)))
    assert version_of({"train": a, "test": b}) != version_of({"train": b, "test": a})


def test_pairs_of_one_prompt_are_on_the_same_side_of_the_split():
    assert in_test_split("0000" + "0" * 12 + "f" * 16, 0.02)
    assert not in_test_split("ffff" + "0" * 12 + "0" * 16, 0.02)
    assert in_test_split("8" + "0" * 31, 0.51)
