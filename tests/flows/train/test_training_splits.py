"""Which pairs of a run are trained on: kept ones or all, in the run's own split or another."""

from pathlib import Path

import pyarrow as pa
import pytest
from flows_support import manifest
from hypothesis import given
from hypothesis import strategies as st

from flows.train.config import DatasetConfig
from flows.train.pairs import FoundRun, find_run, read_splits
from transforms.dataset.shards import SplitWriter, in_test_split
from transforms.tables.schema import CURATED

OTHERS = ["tie", "duplicate", "max_prompt_tokens"]
DROPPED = ["inconsistent", "undecided", "identical_after_cut", "min_kept_tokens", *OTHERS]
OWN_SIZE = 0.25


def ids(count: int, start: int) -> list[str]:
    """Pair ids of which two each have a prompt in common, evenly spread over all hashes."""
    return [f"{(start + at // 2) * 0x0F0F0F0F0F0F0F0F % 2**64:016x}{at:016x}" for at in range(count)]


def table(names: list[str], reasons: list[str | None]) -> pa.Table:
    content = []
    for name, reason in zip(names, reasons, strict=True):
        row = {field.name: None for field in CURATED}
        row |= {field.name: field.name for field in CURATED if not field.nullable and pa.types.is_string(field.type)}
        row |= {field.name: True for field in CURATED if not field.nullable and pa.types.is_boolean(field.type)}
        row |= {"pair_id": name, "reason": reason, "prompt": [{"role": "user", "content": name[:16]}]}
        row |= {f"{part}_ids": [3, 4] for part in ("prompt", "chosen", "rejected")}
        content.append(row | {"chosen_keep": 1, "rejected_keep": 1})
    return pa.Table.from_pylist(content, schema=CURATED)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FoundRun]:
    """A run of 20 kept pairs and two dropped ones a reason; one pair was dropped for the cut twice."""
    folder = tmp_path_factory.mktemp("run")
    kept = table(ids(20, 1), [None] * 20)
    dropped = [reason for reason in DROPPED for _ in range(2)]
    names = ids(len(dropped), 100)
    parts = {"dropped": table([*names, names[4]], [*dropped, "identical_after_cut"])}
    test = pa.array([in_test_split(name, OWN_SIZE) for name in kept["pair_id"].to_pylist()])
    parts |= {"dataset/test": kept.filter(test), "dataset/train": kept.filter(pa.compute.invert(test))}
    files = []
    for path, rows in parts.items():
        writer = SplitWriter(folder / path, CURATED, shard_rows=8, split=None)
        writer.write(rows)
        files += [
            record.model_copy(update={"path": f"{Path(path).parent}/{record.path}" if "/" in path else record.path})
            for record in writer.close()
        ]
    found = manifest()
    splits = {split: len(parts[f"dataset/{split}"]) for split in ("train", "test")}
    found = found.model_copy(
        update={
            "counts": found.counts.model_copy(update={"splits": splits}),
            "files": files,
            "config": {"output": {"test_size": OWN_SIZE}},
        }
    )
    (folder / "manifest.json").write_text(found.model_dump_json())
    return folder, find_run(DatasetConfig(path=str(folder)))


def read(run: tuple[Path, FoundRun], **changes: object) -> dict[str, list[str]]:
    folder, found = run
    found = found._replace(dataset=DatasetConfig(path=str(folder), **changes))
    return {split: rows["pair_id"].to_pylist() for split, rows in read_splits(found).items()}


def test_all_pairs_are_kept_ones_and_those_dropped_for_the_cut_each_once(run):
    plain, every = read(run), read(run, pairs="all")
    names = ids(2 * len(DROPPED), 100)
    of_the_cut = {name for at, name in enumerate(names) if DROPPED[at // 2] not in OTHERS}
    assert sorted(every["train"] + every["test"]) == sorted({*plain["train"], *plain["test"], *of_the_cut})
    assert set(plain["train"]) < set(every["train"])
    assert set(plain["test"]) <= set(every["test"])


def test_another_split_takes_whole_prompts_and_more_of_them_include_fewer(run):
    plain = read(run)
    more, fewer = (read(run, test_size=size) for size in (0.6, 0.1))
    assert set(fewer["test"]) < set(plain["test"]) < set(more["test"])
    for split in (more, fewer):
        assert sorted(split["train"] + split["test"]) == sorted(plain["train"] + plain["test"])


@given(st.floats(0, 0.99), st.sampled_from(["kept", "all"]))
def test_no_prompt_is_on_both_sides_of_any_split(run, size, pairs):
    split = read(run, test_size=size, pairs=pairs)
    assert not {name[:16] for name in split["train"]} & {name[:16] for name in split["test"]}


def test_the_held_out_prompts_of_all_pairs_are_in_no_training_data(run):
    test = {name[:16] for name in read(run, pairs="all", splits=["test"])["test"]}
    assert test
    for pairs in ("kept", "all"):
        assert list(read(run, pairs=pairs, splits=["train"])) == ["train"]
        assert not test & {name[:16] for name in read(run, pairs=pairs, splits=["train"])["train"]}


def test_what_decides_the_rows_includes_dropped_shards_where_they_are_read(run):
    folder, found = run
    every = found._replace(dataset=DatasetConfig(path=str(folder), pairs="all"))
    assert found.content["shards"] == []
    dropped = [file.sha256 for file in found.manifest.files if file.path.startswith("dropped/")]
    assert every.content["shards"] == dropped != []
