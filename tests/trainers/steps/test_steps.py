"""Processes share a step without overlap, with as many micro-batches each."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from training_support import some_examples

from trainers.batches.tensors import PADDED
from trainers.steps.order import Order, batches_by_length
from trainers.steps.shares import Steps, share

EXAMPLES = some_examples(40)


def cut(rows: Sequence[int], batch_tokens: int = 60) -> list[list[int]]:
    batches = batches_by_length([EXAMPLES[row] for row in rows], PADDED, batch_tokens)
    return [[rows[index] for index in batch] for batch in batches]


@given(st.sets(st.integers(0, 39), min_size=1).map(sorted), st.integers(1, 5))
def test_every_example_counts_once_in_one_process_and_all_read_as_often(rows: list[int], processes: int) -> None:
    shares = [share(rows, cut, process=number, processes=processes) for number in range(processes)]
    counted = [row for part in shares for batch in part if batch.counts for row in batch.rows]
    assert sorted(counted) == rows
    assert len({len(part) for part in shares}) == 1
    assert all(batch.rows for part in shares for batch in part)


def test_a_process_without_an_example_reads_the_shortest_one_and_counts_nothing() -> None:
    shares = [share([3, 4], cut, process=number, processes=3) for number in range(3)]
    shortest = min((3, 4), key=lambda row: PADDED.width(EXAMPLES[row]))
    assert [(batch.rows, batch.counts) for batch in shares[2]] == [((shortest,), False)]


def test_steps_are_those_of_the_order_whoever_asks() -> None:
    order = Order(40, 16, epochs=1.5, seed=3)
    for process in range(2):
        steps = Steps(order, cut, process=process, processes=2)
        assert len(steps) == order.steps == 4
        assert [list(steps[number]["step"].rows) for number in range(4)] == list(order)
