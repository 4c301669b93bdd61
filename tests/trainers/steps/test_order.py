"""Steps are random, repeatable and can be asked for by number; batches are cut by length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.batches.tensors import PACKED, PADDED, Layout
from trainers.reading.examples import Example
from trainers.steps.order import PASS_COST, Order, batches_by_length


def of_lengths(*shapes: tuple[int, ...]) -> list[Example]:
    return [
        Example(str(i), np.ones(prompt, np.int32), tuple(np.ones(n, np.int32) for n in responses))
        for i, (prompt, *responses) in enumerate(shapes)
    ]


@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 3))
def test_every_example_is_seen_once_a_pass(examples: int, per_step: int, epochs: int) -> None:
    seen = [index for step in Order(examples, per_step, epochs) for index in step]
    for epoch in range(epochs):
        assert sorted(seen[epoch * examples : (epoch + 1) * examples]) == list(range(examples))
    assert len(seen) == epochs * examples


@given(st.integers(1, 40), st.integers(1, 50), st.floats(0.05, 2.5), st.integers(0, 3))
def test_the_rows_of_an_order_are_those_of_its_steps(examples: int, per_step: int, epochs: float, seed: int) -> None:
    order = Order(examples, per_step, epochs, seed)
    assert list(order.rows) == sorted({row for step in order for row in step})


def test_the_last_step_sees_what_is_left() -> None:
    order = Order(10, 4, epochs=1)
    assert [len(step) for step in order] == [4, 4, 2]
    assert len(order) == order.steps == 3


def test_a_step_reaches_into_the_next_pass() -> None:
    order = Order(10, 4, epochs=1.5)
    assert [len(step) for step in order] == [4, 4, 4, 3]


@pytest.mark.parametrize(
    ("order", "ends"),
    [
        (Order(10, 5, epochs=3), [2, 4, 6]),
        (Order(10, 4, epochs=3), [3, 5, 8]),  # 10, 20 and 30 examples are seen in the steps of 9 … 12, 17 … 20, 29 … 30
        (Order(10, 4, epochs=2.5), [3, 5]),  # half a pass has no end
        (Order(10, 4, epochs=0.5), []),
        (Order(3, 8, epochs=5), [1, 2]),  # passes of 3, 6, 9, 12 and 15 examples
    ],
)
def test_a_pass_ends_with_the_step_that_sees_the_last_of_its_examples(order: Order, ends: list[int]) -> None:
    assert order.pass_ends == ends


def test_a_run_that_goes_on_sees_what_the_straight_run_saw() -> None:
    straight = list(Order(50, 8, epochs=3, seed=5))
    assert [Order(50, 8, epochs=3, seed=5).step(number) for number in range(7, len(straight))] == straight[7:]


def test_seed_and_pass_change_the_order() -> None:
    orders = [tuple(Order(50, 50, seed=seed).step(0)) for seed in range(3)]
    orders += [tuple(Order(50, 50, epochs=2, seed=0).step(1))]
    assert len(set(orders)) == 4


def test_the_order_is_the_same_on_every_machine() -> None:
    assert Order(8, 8, seed=0).step(0) == [2, 4, 3, 6, 5, 0, 1, 7]


@pytest.mark.parametrize("number", [-1, 3])
def test_a_step_that_does_not_exist_is_refused(number: int) -> None:
    with pytest.raises(IndexError, match=rf"step {number} is not one of 0 … 2"):
        Order(10, 4).step(number)


def test_batches_hold_neighbours_in_length_the_longest_first() -> None:
    # 5 + 2 + 2 − 2 = 7, 15, 7 and 6 tokens: 20 without padding are the two of 7 and that of 6.
    examples = of_lengths((5, 2, 2), (11, 3, 3), (5, 2, 2), (4, 2, 2))
    assert batches_by_length(examples, PACKED, 20) == [[1], [3, 0, 2]]
    assert batches_by_length(examples, PACKED, 19) == [[1], [2], [3, 0]]


def test_examples_go_together_as_long_as_their_padding_costs_less_than_another_pass() -> None:
    # Widths 100 and 350, and one between whose difference to the first is the price of a pass, but for a token.
    price = int(3200 * PASS_COST)
    near, far = (of_lengths((99, 2), (99 + price + more, 2), (349, 2)) for more in (-1, 1))
    assert batches_by_length(near, PADDED, 3200) == [[2], [0, 1]]
    assert batches_by_length(far, PADDED, 3200) == [[2], [1], [0]]
    assert batches_by_length(far, PACKED, 3200) == [[0, 1, 2]]


def test_a_padded_pair_counts_twice() -> None:
    # Rows of 60 and 60 tokens: 2 · 60 alone, 4 · 60 together.
    examples = of_lengths((59, 2, 2), (59, 2, 2))
    assert batches_by_length(examples, PADDED, 240) == [[0, 1]]
    assert batches_by_length(examples, PADDED, 239) == [[1], [0]]


def test_an_example_over_the_budget_goes_alone() -> None:
    assert batches_by_length(of_lengths((50, 1, 1), (60, 1, 1)), PACKED, 10) == [[1], [0]]


@pytest.mark.parametrize("layout", [PACKED, PADDED])
@given(
    st.lists(st.lists(st.integers(1, 30), min_size=2, max_size=5).map(tuple), min_size=1, max_size=20),
    st.integers(1, 200),
)
def test_batches_are_a_partition_within_the_budget(layout: Layout, shapes: list[tuple[int, ...]], budget: int) -> None:
    examples = of_lengths(*shapes)
    batches = batches_by_length(examples, layout, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(examples)))
    for batch in batches:
        made = layout.batch([examples[index] for index in batch])
        assert len(batch) == 1 or made.input_ids.numel() <= budget


def test_rows_of_a_step_of_128_responses_pad_little() -> None:
    # Lengths spread like real ones: log-normal, a factor of e either way at two standard deviations.
    draw = np.random.default_rng(0)
    shapes = np.exp(draw.normal([5.0, 5.5], 0.5, size=(128, 2))).astype(int) + 1
    examples = of_lengths(*map(tuple, shapes))

    def padding(batches: list[list[int]]) -> float:
        made = [PADDED.batch([examples[index] for index in batch]) for batch in batches]
        return 1 - sum(batch.read_tokens for batch in made) / sum(batch.input_ids.numel() for batch in made)

    in_any_order = [list(range(start, start + 8)) for start in range(0, 128, 8)]
    assert padding(in_any_order) > 0.3
    assert padding(batches_by_length(examples, PADDED, 8192)) < 0.04
