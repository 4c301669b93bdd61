"""Training and held-out prompts: none is both, every one is in one part, and the files say the same prompts."""

import json
from pathlib import Path

import pytest
from flows_support import write_rows
from hypothesis import given
from hypothesis import strategies as st

from flows.rounds.prompts import part_of, write_prompts
from flows.versions.fingerprint import source_records
from transforms.errors import ConfigError
from transforms.sources.kinds import KINDS
from transforms.sources.prompts import load_prompts

OPTIONS = KINDS["prompts"].options


def source(path, rows, **options):
    return OPTIONS(kind="prompts", path=str(write_rows(path, rows)), **options)


def asks(*numbers):
    return [{"prompt": f"question {number}"} for number in numbers]


def written(folder, training, held_out, *, parts=1, max_held_out=None):
    records = source_records(training), source_records(held_out)
    return write_prompts(folder, training, held_out, records, parts=parts, max_held_out=max_held_out)


def ids(sources):
    found = [OPTIONS.model_validate(one) for one in sources]
    return [key for one in found for batch in load_prompts(one) for key in batch.prompts["prompt_id"].to_pylist()]


def texts(sources):
    rows = [json.loads(line) for one in sources for line in Path(one["path"]).read_text().splitlines()]
    return {row["prompt"][0]["content"] for row in rows}


def test_a_held_out_prompt_is_left_out_of_training_and_counted(tmp_path):
    training = [source(tmp_path / "a.jsonl", asks(0, 1, 2, 3, 3))]
    held = [source(tmp_path / "b.jsonl", asks(2, 3, 9))]
    found = written(tmp_path, training, held)
    assert texts(found.parts[0]) == {"question 0", "question 1"}
    assert texts(found.held_out) == {"question 2", "question 3", "question 9"}
    assert (found.record.found, found.record.overlap, found.record.parts, found.record.held) == (4, 2, [2], 3)
    assert found.record.training[0].raw_rows == 5


def test_one_source_can_be_both_and_the_first_by_id_are_held_out(tmp_path):
    both = [source(tmp_path / "a.jsonl", asks(*range(9)))]
    found = written(tmp_path, both, both, max_held_out=4)
    assert len(ids(found.held_out)) == 4
    assert max(ids(found.held_out)) < min(ids(found.parts[0]))
    assert len(ids(found.parts[0])) == 5


def test_parts_are_disjoint_have_every_prompt_and_do_not_know_what_else_is_there(tmp_path):
    many = [source(tmp_path / "a.jsonl", asks(*range(40)))]
    fewer = [source(tmp_path / "b.jsonl", asks(*range(30)))]
    held = [source(tmp_path / "c.jsonl", asks(99))]
    found = written(tmp_path, many, held, parts=3)
    parts = [set(ids(part)) for part in found.parts]
    assert [len(part) for part in parts] == found.record.parts
    assert len(set.union(*parts)) == sum(found.record.parts) == 40
    few = [set(ids(part)) for part in written(tmp_path, fewer, held, parts=3).parts]
    assert max(parts[0]) > min(
        parts[2]
    )  # of a part's prompts the first by id are taken, and they are no order of parts
    assert max(parts[2]) > min(parts[0])
    assert all(some < part for some, part in zip(few, parts, strict=True))


@given(st.text("0123456789abcdef", min_size=16, max_size=16), st.integers(1, 9))
def test_a_part_is_one_of_the_parts(prompt_id, parts):
    assert part_of(prompt_id, parts) in range(parts)
    assert part_of(prompt_id, 1) == 0


def test_files_have_the_same_bytes_whatever_the_order_of_the_rows(tmp_path):
    held = [source(tmp_path / "h.jsonl", asks(99))]
    one = written(
        tmp_path, [source(tmp_path / "a.jsonl", [row | {"id": row["prompt"]} for row in asks(1, 2, 3)])], held
    )
    before = (tmp_path / "prompts" / "part-1-1.jsonl").read_bytes()
    written(tmp_path, [source(tmp_path / "a.jsonl", [row | {"id": row["prompt"]} for row in asks(3, 1, 2)])], held)
    assert (tmp_path / "prompts" / "part-1-1.jsonl").read_bytes() == before
    assert len(texts(one.parts[0])) == 3


def test_what_a_prompt_says_beside_its_text_is_written_too(tmp_path):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    row = {
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}],
        "tools": [tool],
        "chat_template_kwargs": {"enable_thinking": False},
    }
    training = [source(tmp_path / "a.jsonl", [row])]
    [expected] = ids([training[0].model_dump()])
    found = written(tmp_path, training, [source(tmp_path / "b.jsonl", asks(1))])
    assert ids(found.parts[0]) == [expected]


def test_several_sources_keep_their_labels_and_licences(tmp_path):
    training = [
        source(tmp_path / "a.jsonl", asks(1, 2), label="../evil", license="mit"),
        source(tmp_path / "b.jsonl", asks(2, 3), label="b"),
    ]
    found = written(tmp_path, training, [source(tmp_path / "c.jsonl", asks(9))])
    assert [(one["label"], one.get("license")) for one in found.parts[0]] == [("../evil", "mit"), ("b", None)]
    assert texts(found.parts[0][1:]) == {"question 3"}  # the first that has a prompt keeps it
    assert {path.name for path in (tmp_path / "prompts").iterdir()} == {
        "part-1-1.jsonl",
        "part-1-2.jsonl",
        "held-out-1.jsonl",
    }


@pytest.mark.parametrize(
    ("training", "held", "parts", "message"),
    [
        (asks(1, 2), asks(1, 2), 1, r"2 training prompts, of which 2 are held out, in 1 parts of 0, and 2 held-out"),
        (asks(1), asks(2), 5, "in 5 parts of .*expected some in each"),
    ],
)
def test_where_nothing_is_left_the_counts_say_why(tmp_path, training, held, parts, message):
    sources = [source(tmp_path / "a.jsonl", training)], [source(tmp_path / "b.jsonl", held)]
    with pytest.raises(ConfigError, match=message):
        written(tmp_path, *sources, parts=parts)
