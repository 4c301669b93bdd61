"""Keeps that training asks for, and rows from the Hub that must be those of the manifest."""

import pyarrow as pa
import pytest

from flows.train import pairs as training_data
from flows.train.config import DatasetConfig
from flows.train.pairs import with_kept
from transforms.chat.tokens import TurnTokens
from transforms.errors import SchemaError, SourceError
from transforms.tables.schema import CURATED


def rows(*shapes, **columns):
    """CURATED rows of (prompt, chosen, rejected, keep) tokens."""
    content = []
    for number, (prompt, chosen, rejected, keep) in enumerate(shapes):
        row = {field.name: None for field in CURATED}
        for field in CURATED:
            if not field.nullable and pa.types.is_string(field.type):
                row[field.name] = field.name
            if not field.nullable and pa.types.is_boolean(field.type):
                row[field.name] = True
        row |= {"pair_id": f"pair-{number}", "prompt": [{"role": "user", "content": "x"}]}
        lengths = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        row |= {f"{part}_ids": list(range(3, 3 + length)) for part, length in lengths.items()}
        row |= {"chosen_keep": min(keep, chosen), "rejected_keep": min(keep, rejected)}
        content.append(row | columns)
    return pa.Table.from_pylist(content, schema=CURATED)


def keeps(table, kept, max_length=100, **options):
    found = with_kept(table, kept, max_length=max_length, where="unit", **options)
    sides = [found.table[f"{side}_keep"].to_pylist() for side in ("chosen", "rejected")]
    return list(zip(*sides, strict=True)), found.cut_by_context


TABLE = rows((4, 10, 7, 5), (2, 6, 9, 6))


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("truncated", [(5, 5), (6, 6)]),
        ("full", [(10, 7), (6, 9)]),
        ("poet", [(7, 7), (6, 6)]),
        (0.5, [(5, 3), (3, 4)]),
        (0.01, [(1, 1), (1, 1)]),
    ],
)
def test_the_same_shards_give_every_truncation(kept, expected):
    assert keeps(TABLE, kept) == (expected, 0)


LEAD = TurnTokens(leads=((3, 4),))


@pytest.mark.parametrize(("share", "expected"), [(0.5, [(6, 4), (4, 5)]), (0.01, [(3, 3), (3, 3)])])
def test_a_share_is_of_the_tokens_behind_what_the_template_writes_before_a_text(share, expected):
    # Behind two tokens there are 8 and 5, and 4 and 7.
    assert keeps(TABLE, share, around=LEAD) == (expected, 0)


def test_of_a_pair_the_shorter_beginning_counts_on_both_sides():
    assert keeps(rows((4, 10, 7, 5), rejected_ids=[3, *[9] * 6]), 0.5, around=LEAD) == ([(1 + 4, 1 + 3)], 0)
    assert keeps(rows((4, 10, 7, 5), rejected_ids=[9] * 7), 0.5, around=LEAD) == ([(5, 3)], 0)


def test_the_context_cuts_last_and_is_counted():
    assert keeps(TABLE, "full", max_length=10) == ([(6, 6), (6, 8)], 3)


def test_a_prompt_that_leaves_no_room_is_named():
    with pytest.raises(SchemaError, match=r"the prompt fills all 4 tokens that may be read, in 1 pairs: pair-0"):
        keeps(TABLE, "truncated", max_length=4)


def test_a_revision_of_a_folder_means_nothing():
    with pytest.raises(SourceError, match=r"\./run is a folder, so leave out revision 'main'"):
        training_data.find_run(DatasetConfig(path="./run", revision="main"))
