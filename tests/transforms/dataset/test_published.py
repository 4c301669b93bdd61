"""Arrow shards as Parquet, byte for byte the same for the same rows, and the key of a content."""

import pyarrow as pa
import pyarrow.parquet as pq
from flows_support import manifest
from published_support import curated_rows

from transforms.dataset.published import content_key, public_manifest, shard_path, write_parquet
from transforms.dataset.shards import SplitWriter
from transforms.records.manifest import FileRecord, ReplicaRecord, SpendRecord
from transforms.tables.schema import CURATED


def shard(folder, rows):
    writer = SplitWriter(folder, CURATED, shard_rows=100, split="train")
    for row in rows:
        writer.write(row)
    [record] = writer.close()
    return folder.parent / record.path


def test_parquet_holds_the_rows_columns_and_features_of_the_shard(tmp_path):
    source = shard(tmp_path / "train", [curated_rows(["a", "b"])])
    write_parquet(source, tmp_path / "new" / "x.parquet")
    found = pq.read_table(tmp_path / "new" / "x.parquet")
    with pa.OSFile(str(source)) as raw:
        expected = pa.ipc.open_stream(raw).read_all()
    assert found.to_pylist() == expected.to_pylist()
    assert found.schema.names == CURATED.names
    assert found.schema.metadata[b"huggingface"] == expected.schema.metadata[b"huggingface"]


def test_equal_rows_give_equal_bytes_however_they_came(tmp_path):
    together = shard(tmp_path / "1" / "train", [curated_rows(["a", "b", "c"])])
    apart = shard(tmp_path / "2" / "train", [curated_rows(["a"]), curated_rows(["b", "c"])])
    for source, name in ((together, "x"), (apart, "y")):
        write_parquet(source, tmp_path / name)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_a_table_without_rows_is_a_file_with_columns(tmp_path):
    write_parquet(shard(tmp_path / "train", []), tmp_path / "x.parquet")
    found = pq.read_table(tmp_path / "x.parquet")
    assert (len(found), found.schema.names) == (0, CURATED.names)


def test_names_are_those_that_the_hub_reads_splits_from():
    assert shard_path("train", 0, 12, is_split=True) == "data/train-00000-of-00012.parquet"
    assert shard_path("dropped", 3, 4, is_split=False) == "dropped/dropped-00003-of-00004.parquet"


def key(rows="1", pages=("README.md",), **changes):
    files = [FileRecord(path=path, rows=0, sha256="any") for path in ("dataset/train/data-0.arrow", *pages)]
    return content_key(manifest().model_copy(update={"files": files, **changes}), {"train": rows})


def test_when_where_and_how_long_are_no_content():
    config = {"output": {"dir": "a", "test_size": 0}, "ledger": "x"}
    moved = {"output": {"dir": "b", "test_size": 0}, "ledger": None}
    other = {"seconds": {"load": 3.0}, "finished_at": "2027", "packages": {"polars": "3"}, "git_commit": "0"}
    assert key(config=config) == key(config=moved, **other)


def test_rows_recipe_pages_and_sources_are_content():
    base = key(config={"truncate": "poet"})
    assert base != key("2", config={"truncate": "poet"})
    assert base != key(config={"truncate": "ratio"})
    assert base != key(config={"truncate": "poet"}, pages=("README.md", "figures/funnel.png"))
    assert base != key(config={"truncate": "poet"}, name="other")


def test_how_many_replicas_made_it_and_where_is_no_content():
    alone = {"policy": {"model": "m", "data_parallel": 1}, "reward": None, "cluster": None, "report_to": []}
    spread = {"policy": {"model": "m", "data_parallel": 4}, "reward": None, "cluster": {"address": "ray://host:10001"}}
    assert key(config=alone) == key(config=spread)
    assert key(config=alone) != key(config=alone | {"policy": {"model": "n", "data_parallel": 1}})


def test_a_published_manifest_numbers_the_machines_of_replicas_and_names_none():
    nodes = ["alpha (GPU 0), process 7", "beta (GPU 0), process 7", "alpha (GPU 1), process 9", "beta, process 1"]
    replicas = [ReplicaRecord(name="policy-0", node=node) for node in nodes]
    spend = SpendRecord.nothing().model_copy(update={"replicas": tuple(replicas[:3])})
    other = SpendRecord.nothing().model_copy(update={"replicas": tuple(replicas[3:])})
    config = {"cluster": {"address": "ray://alpha:10001"}}
    found = public_manifest(manifest().model_copy(update={"completions": spend, "scores": other, "config": config}))
    assert [one.node for one in (*found.completions.replicas, *found.scores.replicas)] == [
        "machine 1 (GPU 0)",
        "machine 2 (GPU 0)",
        "machine 1 (GPU 1)",
        "machine 2",
    ]
    assert found.config["cluster"]["address"] == "ray://"
    assert "alpha" not in found.model_dump_json()
