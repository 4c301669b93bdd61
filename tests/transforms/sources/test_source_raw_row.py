"""The raw row behind a pair, whatever rows stand before it."""

import orjson
import pytest
from pydantic import TypeAdapter

from transforms.sources.kinds import Source
from transforms.sources.load import load_batches
from transforms.sources.raw_row import find_raw_row

VOTED = {"context": [{"role": "user", "content": "q"}], "response1": "a", "response2": "b", "overall_preference": -1}
POST = {
    "labels": 1,
    "score_A": 2,
    "score_B": 1,
    "score_ratio": 2,
    "history": "q",
    "human_ref_A": "a",
    "human_ref_B": "b",
}
RATED = {"prompt": "q", "helpfulness": 4, "response": "a"}


@pytest.mark.parametrize(
    ("kind", "rows", "wanted"),
    [
        ("helpsteer3", [VOTED | {"response1": None}, VOTED], VOTED),
        ("shp", [POST | {"human_ref_B": 3}, POST | {"history": None}, POST], POST),
        (
            "helpsteer2",
            [{"prompt": None, "response": "x", "helpfulness": 1}, RATED, RATED | {"response": "b", "helpfulness": 1}],
            {"prompt": "q", "rows": [RATED, RATED | {"response": "b", "helpfulness": 1}]},
        ),
    ],
)
def test_a_row_is_found_behind_rows_that_are_none(tmp_path, kind, rows, wanted):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    options = TypeAdapter(Source).validate_python({"kind": kind, "path": str(path)})
    (batch,) = load_batches(options)
    (pair_id,) = batch.pairs["pair_id"].to_pylist()
    assert find_raw_row(options, pair_id) == wanted
    assert find_raw_row(options, "0" * 32) is None
