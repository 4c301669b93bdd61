"""Which pairs are shown: alike from any order, of every kind."""

import polars as pl
import pytest

from transforms.report import Example, choose_examples
from transforms.report import slices as slices_module


def rows(kept: int, dropped: int) -> pl.DataFrame:
    """Kept pairs are consistent, dropped ones are not; every fourth of all has no cut side."""
    total = kept + dropped
    return pl.DataFrame(
        {
            "pair_id": [f"{i:032x}" for i in range(total)],
            "verdict": ["keep"] * kept + ["drop"] * dropped,
            "reason": [None] * kept + ["inconsistent"] * dropped,
            "consistency": [1.0] * kept + [0.0] * dropped,
            "chosen_cut": [i % 4 != 0 for i in range(total)],
            "rejected_cut": False,
        },
        schema_overrides={"reason": pl.String},
    )


def test_examples_are_chosen_alike_from_any_order_and_cover_kept_and_dropped() -> None:
    frame = rows(60, 20)
    chosen = choose_examples(frame, 8, seed=1)
    assert chosen == choose_examples(frame.reverse(), 8, seed=1)
    assert chosen != choose_examples(frame, 8, seed=2)
    picked = frame.filter(pl.col("pair_id").is_in(chosen))
    assert len(set(chosen)) == 8
    assert sorted(picked["verdict"].to_list()) == ["drop"] * 4 + ["keep"] * 4
    assert picked["chosen_cut"].sum() == 4


def test_a_duplicate_shows_only_the_pair_that_was_kept() -> None:
    twice = pl.concat([rows(10, 0), rows(10, 0).with_columns(verdict=pl.lit("drop"), reason=pl.lit("duplicate"))])
    assert sorted(choose_examples(twice)) == [f"{i:032x}" for i in range(10)]


def test_sorted_rows_that_are_read_a_few_at_a_time_give_the_same_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = rows(60, 20).head(60).with_columns(verdict=pl.lit("drop"), reason=pl.lit("duplicate"))
    frame = pl.concat([rows(60, 20), dropped]).sort("pair_id", "verdict")  # the kept one of two stands behind
    whole = choose_examples(frame, 8)
    for size in (1, 2, 7):
        monkeypatch.setattr(slices_module, "SLICE_ROWS", size)
        assert choose_examples(frame.lazy(), 8) == whole
    assert frame.filter(pl.col("pair_id").is_in(whole), verdict="keep").height == 4


def test_an_example_is_read_from_a_row_of_the_dataset() -> None:
    row = dict.fromkeys(Example.__dataclass_fields__) | {
        "chosen_ids": [1, 2, 3],
        "rejected_ids": [1],
    }
    made = Example.of(row)
    assert (made.chosen_tokens, made.rejected_tokens) == (3, 1)
