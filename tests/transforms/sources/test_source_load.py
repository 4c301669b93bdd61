"""Batches hold every row as a pair, a pair with a reason, or a quarantined row."""

import json

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from transforms.errors import SourceError
from transforms.sources.adapter import json_safe, row_hash
from transforms.sources.kinds import Source
from transforms.sources.load import OTHER_WAY, load_batches
from transforms.tables import schema


def write(path, rows):
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def load(path, kind="preference", *, batch_rows=4096, **more):
    options = TypeAdapter(Source).validate_python({"kind": kind, "path": str(path), **more})
    return list(load_batches(options, batch_rows=batch_rows))


def pairs(count):
    return [{"prompt": f"q{at}", "chosen": f"a{at}", "rejected": "b"} for at in range(count)]


def test_tables_keep_the_column_contracts(tmp_path):
    row = {
        "instruction": "Name three rivers.",
        "completions": [
            {"model": "m", "response": text, "overall_score": score} for text, score in (("a", 2), ("b", 1))
        ],
    }
    (batch,) = load(write(tmp_path / "x.jsonl", [row]), "ultrafeedback", label="uf", score="overall")
    schema.check(batch.pairs, schema.PAIRS, where="test")
    schema.check(batch.responses, schema.RESPONSES, where="test")
    (pair,) = batch.pairs.to_pylist()
    assert pair["prompt"] == [{"role": "user", "content": "Name three rivers."}]
    assert (pair["source"], pair["chosen"], pair["rejected"], pair["chosen_score"]) == ("uf", "a", "b", 2.0)
    assert batch.responses["prompt_id"].to_pylist() == [pair["pair_id"][:16]] * 2


def test_batches_are_bounded_and_count_every_raw_row(tmp_path):
    found = load(write(tmp_path / "x.jsonl", pairs(10)), batch_rows=4)
    assert [(batch.pairs.num_rows, batch.raw_rows) for batch in found] == [(4, 4), (4, 4), (2, 2)]
    assert all(batch.responses is None for batch in found)


def test_a_bad_row_is_quarantined_with_its_content_and_the_rest_goes_on(tmp_path):
    rows = [*pairs(2), {"prompt": "q", "chosen": "same", "rejected": "same"}, *pairs(1)]
    path = write(tmp_path / "x.jsonl", rows)
    path.write_bytes(path.read_bytes() + b'{"prompt": "caf\xff"}\n')
    (batch,) = load(path, label="mine")
    assert (batch.pairs.num_rows, batch.raw_rows, len(batch.quarantined)) == (3, 5, 2)
    same, broken = batch.quarantined
    assert (same.stage, same.source, same.row) == ("load", "mine", rows[2])
    assert same.source_id == row_hash(rows[2])
    assert same.error == "chosen and rejected are the same text; a pair needs two different responses"
    assert broken.row == '{"prompt": "caf\\xff"}'


def test_nan_scores_in_parquet_are_quarantined_as_strict_json(tmp_path):
    rows = [{**row, "chosen_score": float("nan")} for row in pairs(1)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    (batch,) = load(tmp_path / "x.parquet")
    (bad,) = batch.quarantined
    assert bad.error == "chosen_score is nan, expected a finite number or none"
    assert json.loads(json.dumps(bad.row, allow_nan=False))["chosen_score"] == "nan"


def test_a_five_megabyte_response_is_quarantined_and_shown_shortened(tmp_path):
    row = {"prompt": "q", "chosen": "x" * 5_000_000, "rejected": "b"}
    (batch,) = load(write(tmp_path / "x.jsonl", [row]))
    (bad,) = batch.quarantined
    assert bad.error == "chosen is 5,000,000 characters long, the limit is 1,000,000"
    assert bad.row["chosen"].endswith("… [4,980,000 more characters]")


def test_equal_scores_are_a_tie_with_a_reason(tmp_path):
    rows = [{**row, "chosen_score": 1, "rejected_score": at} for at, row in enumerate(pairs(3))]
    (batch,) = load(write(tmp_path / "x.jsonl", rows))
    assert batch.pairs["reason"].to_pylist() == [None, "tie", None]


def test_weight_marks_about_its_share_by_content_whatever_the_order(tmp_path):
    rows = pairs(2000)
    (batch,) = load(write(tmp_path / "x.jsonl", rows), weight=0.25)
    (turned,) = load(write(tmp_path / "y.jsonl", rows[::-1]), weight=0.25)
    reasons = dict(zip(batch.pairs["pair_id"].to_pylist(), batch.pairs["reason"].to_pylist(), strict=True))
    assert set(reasons.values()) == {None, "weight"}
    assert abs(list(reasons.values()).count(None) - 500) < 80
    assert reasons == dict(zip(turned.pairs["pair_id"].to_pylist(), turned.pairs["reason"].to_pylist(), strict=True))


def test_a_larger_weight_keeps_what_a_smaller_one_kept(tmp_path):
    path = write(tmp_path / "x.jsonl", pairs(300))
    kept = [load(path, weight=weight)[0].pairs["reason"].to_pylist() for weight in (0.3, 0.6)]
    assert all(more is None for less, more in zip(*kept, strict=True) if less is None)


def test_the_same_rows_have_the_same_ids_in_every_format(tmp_path):
    rows = pairs(3)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    (lines,), (table,) = load(write(tmp_path / "x.jsonl", rows)), load(tmp_path / "x.parquet")
    assert lines.pairs.equals(table.pairs)


def test_wrong_columns_are_named_with_the_kind_they_look_like(tmp_path):
    row = {"conversations": [], "chosen": {}, "rejected": {}}
    with pytest.raises(SourceError) as caught:
        load(write(tmp_path / "x.jsonl", [row]), "ultrafeedback")
    assert str(caught.value).endswith(
        "is not of kind ultrafeedback: missing columns: completions, instruction;"
        " found columns: chosen, conversations, rejected; it looks like kind sharegpt"
    )


def test_right_columns_with_other_content_are_refused_too(tmp_path):
    rows = [{"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"}]
    with pytest.raises(SourceError, match=r"its columns hold something else; .* kind hh_rlhf or preference"):
        load(write(tmp_path / "x.jsonl", rows), "skywork")


def test_columns_like_nothing_known_say_so(tmp_path):
    with pytest.raises(SourceError, match="looks like none of the known kinds"):
        load(write(tmp_path / "x.jsonl", [{"text": "a"}]), "shp")


def test_an_empty_source_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="no rows"):
        load(write(tmp_path / "x.jsonl", []))


def test_starter_rows_are_gathered_and_all_counted(tmp_path):
    rows = [
        {"prompt_id": f"p{at}", "split": "test", "prompt": [{"role": "user", "content": f"q{at}"}],
         "temperature": heat, "response": f"r{heat}", "finished": True}
        for heat in (0.2, 0.7, 1.1, 1.5) for at in range(3)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    first, rest = load(tmp_path / "x.parquet", "starter", batch_rows=2)
    assert (first.pairs.num_rows, rest.pairs.num_rows, first.raw_rows + rest.raw_rows) == (2, 1, 12)
    assert first.responses.num_rows == 8


def test_starter_without_the_asked_temperatures_is_an_error(tmp_path):
    rows = [
        {
            "prompt_id": "p",
            "split": "test",
            "prompt": [],
            "temperature": 0.5,
            "response": "r",
            "finished": True,
        }
    ]
    with pytest.raises(SourceError, match=r"have temperatures \[0\.5\], expected 0\.7 and 1\.1"):
        load(write(tmp_path / "x.jsonl", rows), "starter")


def test_a_row_that_nests_too_deep_does_not_stop_the_run(tmp_path):
    deep = b'{"prompt": "q", "chosen": "a", "extra": ' + b"[" * 900 + b"]" * 900 + b"}\n"
    path = write(tmp_path / "x.jsonl", pairs(1))
    path.write_bytes(path.read_bytes() + deep)
    (batch,) = load(path)
    assert (batch.pairs.num_rows, len(batch.quarantined)) == (1, 1)
    assert json.dumps(batch.quarantined[0].row)


def test_json_safe_escapes_what_json_and_utf8_cannot_hold():
    row = {"a": b"caf\xff", "b": "x\ud800", "c": (1, float("inf"), None, True), 7: "é\0"}
    assert json_safe(row) == {"a": "caf\\xff", "b": "x\\ud800", "c": [1, "inf", None, True], "7": "é\0"}


def side(text):
    return [{"role": "user", "content": "q"}, {"role": "assistant", "content": text}]


SIDES = {"chosen": side("a"), "rejected": side("b")}
# Layouts that say which side is chosen, with the names of their scores.
LABELLED = {
    "preference": ({"prompt": "q", "chosen": "a", "rejected": "b"}, "chosen-rating", "rejected-rating"),
    "skywork": (SIDES, "chosen_rating", "rejected_rating"),
    "hh_rlhf": (
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
        "reward_chosen", "reward_rejected",
    ),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "a"},
         "rejected": {"from": "gpt", "value": "b"}}, "chosen_score", "rejected_score",
    ),
    "ultrafeedback_binarized": (SIDES, "score_chosen", "score_rejected"),
    "rlhflow": (SIDES, "chosen_score", "rejected_score"),
    "distilabel": (SIDES | {"prompt_id": "p"}, "chosen_rating", "rejected_rating"),
    "argilla": (
        {"instruction": "q", "chosen_response": "a", "rejected_response": "b"}, "chosen_avg_rating",
        "rejected_avg_rating",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LABELLED)
def test_scores_that_say_the_other_way_than_the_label_are_counted_and_equal_ones_are_ties(tmp_path, kind):
    row, better, worse = LABELLED[kind]
    scores = [(2, 1), (1, 2), (1.5, "1.75"), (1, 1), (-1, -2), (1, None)]
    rows = [row | {better: one, worse: other} for one, other in scores]
    (batch,) = load(write(tmp_path / "x.jsonl", rows), kind)
    assert batch.columns.notes == {OTHER_WAY: 2}
    assert batch.pairs["reason"].to_pylist() == [None, None, None, "tie", None, None]
    assert batch.pairs["chosen"].to_pylist() == ["a"] * 6


def test_responses_whose_scores_say_the_other_way_are_counted_too(tmp_path):
    row = SIDES | {"all_generated_responses": ["a", "b"], "all_rm_scores": [0.1, 0.2]}
    (batch,) = load(write(tmp_path / "x.jsonl", [row]), "onpolicy")
    assert batch.columns.notes == {OTHER_WAY: 1}


def test_a_row_that_became_no_pair_has_no_scores_to_speak_of(tmp_path):
    rows = [{"prompt": "q", "chosen": "", "rejected": "b", "chosen_score": 1, "rejected_score": 2}, *pairs(1)]
    (batch,) = load(write(tmp_path / "x.jsonl", rows))
    assert (batch.columns.notes, len(batch.quarantined)) == ({}, 1)
