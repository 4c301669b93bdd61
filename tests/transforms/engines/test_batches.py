from hypothesis import given
from hypothesis import strategies as st

from transforms.engines.batches import longest_first, right_padded


def test_batches_hold_rows_of_like_length_within_the_budget():
    assert list(longest_first([3, 10, 4, 10, 1], 20)) == [[1, 3], [2, 0, 4]]
    assert list(longest_first([50, 2], 20)) == [[0], [1]]


@given(st.lists(st.integers(1, 60), max_size=30), st.integers(1, 100))
def test_every_row_is_in_one_batch_and_only_a_lone_row_overruns_the_budget(lengths, budget):
    batches = list(longest_first(lengths, budget))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget for batch in batches)


def test_padding_lies_behind_each_row_and_the_mask_marks_what_is_real():
    ids, mask = right_padded([[7, 8, 9], [5]], 4)
    assert ids.tolist() == [[7, 8, 9], [5, 4, 4]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
