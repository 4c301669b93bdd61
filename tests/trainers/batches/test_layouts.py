"""A dataset is packed where the model can read it."""

from models_support import examples, llama

from trainers.batches.layouts import choose_layout
from trainers.batches.tensors import PACKED, PADDED


def test_whatever_the_lengths_pairs_are_packed() -> None:
    layout, reason = choose_layout(llama(), examples((40, 5, 6), (4, 20, 20)))
    assert layout is PACKED
    # 40 + 4 + 5 and 4 + 19 + 19 tokens; 2 · 45 and 2 · 23 in rows of their own.
    assert reason == "packed: 91 tokens in rows that share a prompt for 136 in single ones"


def test_a_model_that_cannot_read_packed_rows_is_padded_and_says_why() -> None:
    layout, reason = choose_layout(llama("flex_attention"), examples((40, 5, 6)))
    assert layout is PADDED
    assert "attention flex_attention takes no rows of many examples" in reason
