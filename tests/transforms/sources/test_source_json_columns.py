"""Tables whose columns are JSON text (datasets' `Json` feature) give the rows that were put into them.

datasets makes such a column where rows do not all have the same fields: one message with one more key is enough.
"""

import json

import datasets
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from transforms.sources.adapter import BadRow
from transforms.sources.kinds import Source
from transforms.sources.kinds.preference import PreferenceOptions
from transforms.sources.load import load_batches
from transforms.sources.read import read_rows
from transforms.sources.tables import JsonColumns, rows_of


def answer(text, **more):
    return {"role": "assistant", "content": text, **more}


def rows(count=20):
    return [
        {"prompt": [{"role": "user", "content": f"q{at}"}], "chosen": [answer(f"a{at}")], "rejected": [answer("b")]}
        for at in range(count)
    ]


def one_key_more():
    found = rows()
    found[13]["chosen"][0]["weight"] = 1
    return found


def one_side_as_messages():
    found = [{"prompt": f"q{at}", "chosen": f'a "{at}"', "rejected": "b"} for at in range(20)]
    found[13]["chosen"] = [answer("a13")]
    return found


def calls():
    found = rows()
    for at in (3, 5):
        call = {"type": "function", "function": {"name": "f", "arguments": {f"x{at}": None, "y": [1, {"z": 1.5}]}}}
        found[at]["chosen"][0]["tool_calls"] = [call]
        found[at]["tools"] = [{"type": "function", "function": {"name": "f", "parameters": {f"x{at}": {}}}}]
    return found


ROWS = {"a key more": one_key_more, "a text and messages": one_side_as_messages, "calls": calls}


@pytest.fixture(params=ROWS)
def lines(request, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[request.param]()))
    return path


@pytest.fixture
def dataset(lines, tmp_path):
    datasets.disable_progress_bars()
    found = datasets.load_dataset("json", data_files=str(lines), split="train", cache_dir=str(tmp_path / "cache"))
    assert "Json" in str(found.features)
    return found


def load(path):
    options = TypeAdapter(Source).validate_python({"kind": "preference", "path": str(path)})
    (batch,) = load_batches(options)
    return batch


def read(path):
    return list(read_rows(PreferenceOptions(kind="preference", path=str(path))))


def same(found, expected):
    assert found.quarantined == expected.quarantined == []
    assert found.pairs.drop_columns("source_id").equals(expected.pairs.drop_columns("source_id"))
    assert found.columns.unread_values() == expected.columns.unread_values()


def test_parquet_gives_what_the_lines_give(lines, dataset, tmp_path):
    dataset.to_parquet(tmp_path / "x.parquet")
    same(load(tmp_path / "x.parquet"), load(lines))


def test_what_was_saved_to_disk_gives_what_the_lines_give(lines, dataset, tmp_path):
    dataset.save_to_disk(tmp_path / "saved", num_shards=2)
    same(load(tmp_path / "saved"), load(lines))


@pytest.mark.parametrize("kept", ["the features", "nothing", "the Arrow type"])
def test_a_table_that_lost_its_types_on_the_way_gives_it_too(lines, dataset, tmp_path, kept):
    table = dataset.data.table.combine_chunks()
    if kept != "the Arrow type":
        table = table.cast(pa.schema([pa.field(f.name, as_text(f.type)) for f in table.schema]))
    if kept == "the features":
        table = table.replace_schema_metadata(dataset.data.schema.metadata)
    else:
        table = table.replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "x.parquet", store_schema=kept == "the features")
    if kept == "nothing":  # what polars makes of a table
        pl.read_parquet(tmp_path / "x.parquet").write_parquet(tmp_path / "x.parquet")
    same(load(tmp_path / "x.parquet"), load(lines))


def as_text(kind):
    if isinstance(kind, pa.JsonType):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(as_text(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, as_text(field.type)) for field in kind])
    return kind


def test_four_thousand_rows_with_one_key_more_lose_none(tmp_path):
    found = rows(4001)
    found[2000]["chosen"][0]["weight"] = 1
    datasets.Dataset.from_list(found, on_mixed_types="use_json").to_parquet(tmp_path / "x.parquet")
    batches = list(load_batches(PreferenceOptions(kind="preference", path=str(tmp_path / "x.parquet"))))
    assert sum(len(batch.pairs) for batch in batches) == 4001
    assert [list(batch.columns.unread_values().items()) for batch in batches] == [[("chosen[].weight", 1)]]
    assert set(batches[0].pairs["chosen"].to_pylist()) == {f"a{at}" for at in range(4001)}


def test_a_struct_gives_calls_no_fields_of_other_rows_and_json_keeps_its_nulls(tmp_path):
    functions = [
        {"name": "f", "arguments": arguments} for arguments in ({"x": 1}, {"y": None, "z": [{"u": 1}, {"v": 2}]})
    ]
    found = [
        {"prompt": "q", "chosen": [answer("a", tool_calls=[{"function": one}])], "rejected": "b", "tools": [one]}
        for one in functions
    ]
    pq.write_table(pa.Table.from_pylist(found), tmp_path / "x.parquet")
    first, second = read(tmp_path / "x.parquet")
    assert first["tools"] == [functions[0]]
    assert first["chosen"][0]["tool_calls"] == [{"function": functions[0]}]
    # In a struct a null is what fills the row up: y cannot be told from one that was never there.
    assert second["tools"] == [{"name": "f", "arguments": {"z": [{"u": 1}, {"v": 2}]}}]
    datasets.Dataset.from_list(found, on_mixed_types="use_json").to_parquet(tmp_path / "y.parquet")
    assert [row["tools"] for row in read(tmp_path / "y.parquet")] == [[one] for one in functions]


@pytest.mark.parametrize(
    "texts",
    [
        ['"Quoted."', "Plain."],
        ['"Quoted."'] * 7,
        ['{"name": "Ann"}', '{"name": "Bob"}'],
        ['{"name": "Ann"}', '[{"role": "user", "content": "q"}]'],
        ["7", "8"],
        ["[1]", '"x"'],
        [None, None],
    ],
)
def test_texts_that_may_be_peoples_own_stay_what_they_are(texts):
    batch = pa.record_batch({"chosen": pa.array(texts, pa.string())})
    assert [row["chosen"] for row in rows_of(batch)] == texts


def test_a_column_of_texts_in_quotation_marks_is_unquoted_and_stays_so_for_the_file():
    columns = JsonColumns(pa.schema([("chosen", pa.string())]))
    nulls, quoted, one = ([None] * 3, [f'"a{at}"' for at in range(8)], ['"b"', "not JSON"])
    found = [
        [row["chosen"] for row in rows_of(pa.record_batch({"chosen": pa.array(texts, pa.string())}), columns)]
        for texts in (nulls, quoted, one)
    ]
    assert found == [nulls, [f"a{at}" for at in range(8)], ["b", "not JSON"]]


def test_a_value_that_is_no_json_costs_its_row():
    texts = pa.array(['{"a": 1}', "{broken", None]).cast(pa.json_())
    first, bad, last = rows_of(pa.record_batch({"x": texts, "n": pa.array([1, 2, 3])}))
    assert (first, last) == ({"x": {"a": 1}, "n": 1}, {"x": None, "n": 3})
    assert isinstance(bad, BadRow) and bad.row == {"x": "{broken", "n": 2}
    assert bad.error.startswith("a value of a Json column is no JSON: ")


def test_a_text_that_is_not_utf8_beside_a_json_column_costs_its_row_alone():
    raw = pa.array([b"fine", b"caf\xff"])
    texts = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    both = pa.ListArray.from_arrays([0, 1, 2], pa.array(['{"a": 1}', '{"a": 2}']).cast(pa.json_()))
    first, bad = rows_of(pa.record_batch({"t": texts, "x": both}))
    assert first == {"t": "fine", "x": [{"a": 1}]}
    assert isinstance(bad, BadRow) and bad.row["t"] == "caf\\xff"


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": 3}', b'{"info": {"features": {"x": [3, 4]}}}'])
def test_metadata_that_is_none_is_no_reason_to_fail(metadata):
    batch = pa.record_batch({"x": ["a"]}).replace_schema_metadata({b"huggingface": metadata})
    assert list(rows_of(batch)) == [{"x": "a"}]


def test_a_number_as_text_in_one_line_costs_that_line(tmp_path):
    lines = [{"prompt": f"q{at}", "chosen": "a", "rejected": "b", "chosen_score": at} for at in range(4)]
    lines[2]["chosen_score"] = "N/A"
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = load(tmp_path / "x.jsonl")
    assert found.pairs["chosen_score"].to_pylist() == [0.0, 1.0, 3.0]
    assert [line.row["prompt"] for line in found.quarantined] == ["q2"]


def test_texts_in_quotation_marks_stay_so_where_the_table_says_that_they_are_texts(tmp_path):
    rows = [{"prompt": f'"q{at}"', "chosen": f'"a{at}"', "rejected": f'"b{at}"'} for at in range(9)]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    (batch,) = load_batches(PreferenceOptions(kind="preference", path=str(tmp_path / "rows.parquet")))
    assert sorted(batch.pairs["chosen"].to_pylist()) == [row["chosen"] for row in rows]
