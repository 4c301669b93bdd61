"""Rows of RewardBench 2: several responses a prompt, nothing lost, nothing changed."""

import json

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError
from sources_support import likely

from transforms.errors import RowError, SourceError
from transforms.sources.best_of import load_best_of
from transforms.sources.kinds import KINDS, EvaluationSource, Source, rewardbench2
from transforms.sources.kinds.rewardbench2 import BestOf, RewardBench2Options, best_of
from transforms.sources.load import load_batches
from transforms.sources.pages import parsed_rows
from transforms.sources.rows import Fields

PLAIN, TIED = parsed_rows(rewardbench2.KIND)


def load(tmp_path, *rows, **options):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows))
    return load_best_of(RewardBench2Options(kind="rewardbench2", path=str(path), **options))


def test_a_row_is_a_prompt_with_right_and_wrong_responses_letter_for_letter():
    found = best_of(Fields(PLAIN | {"prompt": "\n\nHuman: 1?\n\nAssistant: ", "chosen": [" The Nile. \n"]}))
    assert found == BestOf(
        "12",
        "Factuality",
        (("user", "\n\nHuman: 1?\n\nAssistant: ", ""),),
        (" The Nile. \n",),
        ("The Nile, the Alps and the Po.", "Nile.", "Three rivers."),
    )
    assert best_of(Fields(TIED)).chosen == ("Red.", "Green.", "Violet.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": None}, "prompt is null, expected text"),
        ({"prompt": " "}, "prompt turn 0 (user) is whitespace only"),
        ({"chosen": []}, "chosen is an empty list, expected a list of responses"),
        ({"chosen": "The Nile."}, "chosen is the text 'The Nile.', expected a list of responses"),
        ({"rejected": ["a", "", "b"]}, "rejected[1] is empty"),
        ({"rejected": ["a", 7, "b"]}, "rejected[1] is int, expected text"),
        ({"num_correct": 2}, "num_correct is 2, and there are 1"),
        ({"num_incorrect": 2}, "num_incorrect is 2, and there are 3"),
        ({"total_completions": 5}, "total_completions is 5, and there are 4"),
        ({"subset": None}, "subset is null, expected a name"),
        ({"id": ""}, "id is the text '', expected the row's own"),
        (
            {"chosen": ["a", "b"], "num_correct": 2, "total_completions": 5},
            "chosen has 2 responses, expected one outside the subset Ties",
        ),
        ({"subset": "ties"}, "id is '12', expected ref:NUMBER or tied:NUMBER in the subset ties"),
        ({"subset": "Ties", "id": "tied:07"}, "id is 'tied:07', expected ref:NUMBER or tied:NUMBER"),
        ({"subset": "Ties", "id": "tied:7"}, "chosen has 1 response, expected several"),
    ],
)
def test_a_row_that_cannot_be_scored_says_why(changes, message):
    with pytest.raises(RowError) as found:
        best_of(Fields(PLAIN | changes))
    assert message in str(found.value)


def test_every_row_is_read_or_quarantined_with_its_reason(tmp_path):
    found = load(tmp_path, PLAIN, TIED, PLAIN | {"chosen": []}, b"{", TIED | {"prompt": "again"}, PLAIN)
    assert [row.source_id for row in found.rows] == ["12", "tied:7", "12"]
    assert [json.loads(orjson.dumps(raw))["id"] for raw in found.raw] == ["12", "tied:7", "12"]
    assert found.raw_rows == 6 == len(found.rows) + len(found.quarantined)
    errors = [row.error for row in found.quarantined]
    assert errors[0] == "chosen is an empty list, expected a list of responses"
    assert errors[2] == "a row before it has the id 'tied:7' too; expected one row of each in Ties"
    assert found.columns.unread == {"models": 3, "additional_metadata": 3}


def test_parquet_holds_the_same_rows(tmp_path):
    pq.write_table(pa.Table.from_pylist([PLAIN, TIED]), tmp_path / "test.parquet")
    found = load_best_of(RewardBench2Options(kind="rewardbench2", path=str(tmp_path / "test.parquet")))
    assert found.rows == load(tmp_path, PLAIN, TIED).rows


def test_limit_reads_fewer_and_what_is_for_pairs_is_refused(tmp_path):
    assert len(load(tmp_path, PLAIN, TIED, limit=1).rows) == 1
    for option in ({"weight": 0.5}, {"max_pairs_per_prompt": 1}):
        with pytest.raises(ValidationError, match="is for pairs, and rewardbench2 has rows of several responses"):
            RewardBench2Options(kind="rewardbench2", path="./x.jsonl", **option)


def test_rows_of_another_kind_are_named(tmp_path):
    pair = {"id": 1, "subset": "hep-go", "prompt": "q", "chosen": "a", "rejected": "b"}
    with pytest.raises(SourceError, match=r"is not of kind rewardbench2: .*; it looks like kind preference"):
        load(tmp_path, pair)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps(PLAIN))
    source = TypeAdapter(Source).validate_python({"kind": "preference", "path": str(path)})
    with pytest.raises(SourceError, match=r"is not of kind preference: .*; it looks like kind rewardbench2"):
        list(load_batches(source))


def test_no_kind_of_pairs_takes_its_rows_and_only_an_evaluation_takes_the_kind():
    assert likely(PLAIN) == likely(TIED) == []
    option = {"kind": "rewardbench2", "path": "./x.jsonl"}
    assert TypeAdapter(EvaluationSource).validate_python(option).split == "test"
    with pytest.raises(ValidationError):
        TypeAdapter(Source).validate_python(option)


def test_as_a_source_of_responses_right_ones_have_the_higher_score():
    options = RewardBench2Options(kind="rewardbench2", path="./x.jsonl")
    found = KINDS["rewardbench2"].adapt(Fields(TIED), options)
    assert (found.pairs, found.question.source_id) == ([], "tied:7")
    assert [(one.text, one.score) for one in found.responses] == [
        ("Red.", 1.0),
        ("Green.", 1.0),
        ("Violet.", 1.0),
        ("Brown.", 0.0),
        ("Pink.", 0.0),
    ]
