"""A dataset is packed where long prompts make it worth the mask, and where the model can read it."""

from models_support import examples, llama

from trainers.batches import PACKED, PADDED
from trainers.layouts import choose_layout


def test_long_prompts_are_packed_and_short_ones_are_not() -> None:
    assert choose_layout(llama(), examples((40, 5, 6), (30, 4, 9))).layout is PACKED
    assert choose_layout(llama(), examples((4, 20, 20), (4, 15, 15))).layout is PADDED


def test_a_model_that_cannot_read_packed_rows_is_padded_and_says_why() -> None:
    layout, reason = choose_layout(llama("flex_attention"), examples((40, 5, 6)))
    assert layout is PADDED
    assert "attention flex_attention takes no mask of its own" in reason
