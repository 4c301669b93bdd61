"""Rows come out of every format one by one; one broken row costs one row."""

import bz2
import gzip
import json

import datasets
import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.errors import SourceError
from transforms.sources.adapter import BadRow
from transforms.sources.files import ending_of
from transforms.sources.kinds.preference import PreferenceOptions
from transforms.sources.read import fingerprint, is_hub_id, read_rows

ROWS = [{"prompt": f"q{at}", "chosen": f"a{at} é", "rejected": "b"} for at in range(5)]
LINES = b"".join(orjson.dumps(row) + b"\n" for row in ROWS)


def options(path, **more):
    return PreferenceOptions(kind="preference", path=str(path), **more)


def read(path, **more):
    return list(read_rows(options(path, **more)))


def write_stream(path, table):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", LINES),
        ("x.ndjson", b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n\r\n")),
        ("x.json", LINES),
        ("x.json", b" " + orjson.dumps(ROWS, option=orjson.OPT_INDENT_2)),
        ("x.jsonl.gz", gzip.compress(LINES, mtime=0)),
        ("x.jsonl.bz2", bz2.compress(LINES)),
        ("x.JSONL.zst", pa.compress(LINES, "zstd", asbytes=True)),
        ("x.jsonl", LINES.rstrip(b"\n")),
    ],
)
def test_every_text_format_gives_the_same_rows(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name) == ROWS


def test_parquet_arrow_file_and_arrow_stream_give_the_same_rows(tmp_path):
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    write_stream(tmp_path / "s.arrow", table)
    with pa.ipc.new_file(tmp_path / "f.arrow", table.schema) as writer:
        writer.write_table(table)
    assert read(tmp_path / "x.parquet") == read(tmp_path / "s.arrow") == read(tmp_path / "f.arrow") == ROWS


def test_nested_rows_come_out_as_pyarrow_gives_them(tmp_path):
    rows = [
        {"m": [{"role": "u", "n": [1, None]}, None], "s": None},
        {"m": None, "s": {"a": "x"}},
        {"m": [], "s": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == rows


def test_a_table_with_two_columns_of_one_name_is_refused(tmp_path):
    table = pa.table([["p"], ["a"], ["b"], ["c"]], names=["prompt", "chosen", "rejected", "chosen"])
    pq.write_table(table, tmp_path / "x.parquet")
    write_stream(tmp_path / "x.arrow", table)
    for name in ("x.parquet", "x.arrow"):
        with pytest.raises(SourceError, match="two columns are called 'chosen', so which is meant cannot be told"):
            read(tmp_path / name)


def test_a_save_to_disk_folder_is_read_with_and_without_splits(tmp_path):
    one = datasets.Dataset.from_list(ROWS)
    one.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict({"train": one, "test": one.select([0])}).save_to_disk(tmp_path / "both")
    assert read(tmp_path / "one") == ROWS
    assert read(tmp_path / "both", split="test") == ROWS[:1]
    with pytest.raises(SourceError, match="has the splits train, test; expected split 'validation'"):
        read(tmp_path / "both", split="validation")


def test_a_folder_gives_its_data_files_in_the_order_of_names(tmp_path):
    (tmp_path / "b.jsonl").write_bytes(LINES)
    pq.write_table(pa.Table.from_pylist(ROWS[:1]), tmp_path / "a.parquet")
    (tmp_path / "dataset_info.json").write_text("{}")
    (tmp_path / "README.md").write_text("hello")
    assert read(tmp_path) == ROWS[:1] + ROWS


def test_any_fsspec_url_is_read():
    fsspec.filesystem("memory").pipe("/read_test/x.jsonl", LINES)
    assert read("memory://read_test/x.jsonl") == read("memory://read_test") == ROWS


def test_limit_takes_the_first_rows(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(LINES)
    assert read(tmp_path / "x.jsonl", limit=2) == ROWS[:2]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"prompt": "caf\xff"}', "not a JSON object: str is not valid UTF-8"),
        (b'{"prompt": ', "not a JSON object"),
        (b'{"score": NaN}', "not a JSON object"),
        (rb'{"prompt": "\ud800"}', "not a JSON object"),
        (b'["a"]', "expected a JSON object, found list"),
    ],
)
def test_a_broken_line_costs_one_row(tmp_path, line, error):
    (tmp_path / "x.jsonl").write_bytes(LINES + line + b"\n" + LINES)
    *before, bad = read(tmp_path / "x.jsonl", limit=6)
    assert before == ROWS and read(tmp_path / "x.jsonl")[6:] == ROWS
    assert isinstance(bad, BadRow) and bad.error.startswith(error)
    assert json.dumps(bad.row).isascii() and len(bad.row_hash) == 16


def test_a_line_beyond_the_limit_is_skipped_and_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr("transforms.sources.files.MAX_LINE_BYTES", 100)
    (tmp_path / "x.jsonl").write_bytes(b'{"a": "' + b"x" * 1000 + b'"}\n' + LINES)
    bad, *rest = read(tmp_path / "x.jsonl")
    assert (bad.error, rest) == ("the line is longer than 100 bytes", ROWS)


def test_broken_text_in_a_json_array_costs_one_row(tmp_path):
    (tmp_path / "x.json").write_bytes(b'[{"a": "x"}, {"a": "\\ud800"}, {"a": "caf\xff"}, 3, {"a": "y"}]')
    first, surrogate, latin, number, last = read(tmp_path / "x.json")
    assert (first, last) == ({"a": "x"}, {"a": "y"})
    assert all(isinstance(bad, BadRow) for bad in (surrogate, latin, number))


@pytest.mark.parametrize("text_type", [pa.string(), pa.large_string()])
def test_invalid_utf8_in_parquet_costs_one_row(tmp_path, text_type):
    raw = [b"fine", b"caf\xff", b"also fine"]
    binary = pa.large_binary() if text_type == pa.large_string() else pa.binary()
    texts = pa.Array.from_buffers(text_type, 3, pa.array(raw, binary).buffers())
    nested = pa.ListArray.from_arrays([0, 1, 2, 3], texts)
    pq.write_table(pa.table({"a": [1, 2, 3], "chosen": nested}), tmp_path / "x.parquet")
    first, bad, last = read(tmp_path / "x.parquet")
    assert (first, last) == ({"a": 1, "chosen": ["fine"]}, {"a": 3, "chosen": ["also fine"]})
    assert bad.row == {"a": 2, "chosen": ["caf\\xff"]}


def test_damaged_list_offsets_are_an_error_and_not_a_crash(tmp_path):
    offsets = pa.array([0, 900, 2], pa.int32()).buffers()[1]
    damaged = pa.Array.from_buffers(pa.list_(pa.int64()), 2, [None, offsets], children=[pa.array([1, 2])])
    write_stream(tmp_path / "x.arrow", pa.table({"chosen": damaged}))
    with pytest.raises(SourceError, match="cannot be read as arrow"):
        read(tmp_path / "x.arrow")


def test_an_arrow_stream_that_was_cut_between_batches_is_refused(tmp_path):
    write_stream(tmp_path / "x.arrow", pa.Table.from_pylist(ROWS))
    whole = (tmp_path / "x.arrow").read_bytes()
    (tmp_path / "x.arrow").write_bytes(whole[:-8])
    with pytest.raises(SourceError, match="cut short"):
        read(tmp_path / "x.arrow")


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.parquet", b"PAR1 no"), ("x.arrow", b"ARROW1 no"), ("x.jsonl.gz", b"no"), ("x.json", b"[1, 2")],
)
def test_a_file_of_another_format_is_one_clear_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"{name}: "):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("./nowhere.jsonl", "no such file or folder"),
        ("a/b/c", "write ./a/b/c for a local file or folder"),
        ("rows", "neither a Hub id"),
        ("memory://nowhere/at/all", "no such file or folder"),
        ("nosuch://x/y.jsonl", "cannot be read: ValueError"),
    ],
)
def test_a_missing_source_says_what_to_do(path, message):
    with pytest.raises(SourceError, match=message):
        read(path)


def test_an_empty_folder_and_an_unknown_ending_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match="a folder without data files"):
        read(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("a")
    with pytest.raises(SourceError, match=r"^README\.md: .*unknown format"):
        read("README.md")
    (tmp_path / "README.md").unlink()
    (tmp_path / "x.csv").write_text("a,b")
    with pytest.raises(SourceError, match="a file of unknown format"):
        read(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("path", "hub"),
    [
        ("openbmb/UltraFeedback", True),
        ("Skywork/Skywork-Reward-Preference-80K-v0.2", True),
        ("data/x.jsonl", False),
        ("./openbmb/UltraFeedback", False),
        ("/data/x", False),
        ("hf://datasets/a/b/x.parquet", False),
        ("a/b/c", False),
    ],
)
def test_a_bare_org_and_name_is_the_hub(path, hub):
    assert is_hub_id(path) is hub


def test_a_compressed_table_is_no_known_format():
    assert ending_of("x.parquet.gz") == ("", ".gz")


def test_the_fingerprint_is_of_content_and_not_of_names_or_dates(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(LINES)
    (tmp_path / "c.jsonl").write_bytes(LINES + LINES)
    one, same, other = (fingerprint(options(tmp_path / f"{name}.jsonl")) for name in "abc")
    assert one == same != other
    assert one.revision is None and len(one.fingerprint) == 64


def test_state_json_cannot_lead_out_of_its_folder(tmp_path):
    (tmp_path / "secret.arrow").write_bytes(b"x")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "state.json").write_text('{"_data_files": [{"filename": "../secret.arrow"}]}')
    with pytest.raises(SourceError, match=r"saved/secret\.arrow"):
        read(tmp_path / "saved")
