"""Every kept response token is read once, by the state before it, and nothing else is."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models_support import seen

from trainers.batches.tensors import PACKED, PADDED, Batch, Layout, packed, padded
from trainers.reading.examples import Example

SHAPES = st.lists(
    st.tuples(st.integers(1, 6), st.lists(st.integers(1, 6), min_size=1, max_size=4)), min_size=1, max_size=5
)


def example(prompt: list[int], *responses: list[int], name: str = "a") -> Example:
    return Example(name, *(np.array(prompt, np.int32), tuple(np.array(ids, np.int32) for ids in responses)))


def numbered(shapes: list[tuple[int, list[int]]]) -> list[Example]:
    """Examples of the given lengths in which no token occurs twice."""
    count = iter(range(1, 10_000))
    return [
        example([next(count) for _ in range(prompt)], *([next(count) for _ in range(n)] for n in responses))
        for prompt, responses in shapes
    ]


def histories(batch: Batch) -> list[list[int]]:
    """What each response token's state has seen, in the order of positions; itself the last."""
    width = batch.input_ids.shape[1]
    if batch.spans is None:
        visible = torch.ones((width, width)).tril().bool()
        positions = torch.arange(width).expand_as(batch.input_ids)
    else:
        visible, positions = seen(batch.spans), batch.position_ids
    found = []
    for place in batch.places.tolist():
        row, column = divmod(place, width)
        keys = visible[column].nonzero().flatten()
        assert positions[row, keys].tolist() == list(range(len(keys)))
        found.append(batch.input_ids[row, keys].tolist())
    return found


def test_a_packed_pair_is_one_row_in_which_the_prompt_stands_once() -> None:
    batch = packed([example([7, 8, 9], [1, 2, 3], [4, 5])])
    # The last token of each response is predicted, not read.
    assert batch.input_ids.tolist() == [[7, 8, 9, 1, 2, 4]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 3]]
    assert batch.spans == ((3, 2, 1),)
    # Both first tokens are decided by the prompt's last state.
    assert batch.places.tolist() == [2, 3, 4, 2, 5]
    assert batch.targets.tolist() == [1, 2, 3, 4, 5]
    assert batch.lengths == (3, 2)
    assert batch.prompt_ends.tolist() == [2]


def test_packed_pairs_stand_in_one_row_without_padding() -> None:
    batch = packed([example([7], [1], [2]), example([8, 9], [3, 4], [5])])
    # A response of one token leaves nothing to read.
    assert batch.input_ids.tolist() == [[7, 8, 9, 3]]
    assert batch.position_ids.tolist() == [[0, 0, 1, 2]]
    assert batch.spans == ((1, 0, 0), (2, 1, 0))
    assert batch.places.tolist() == [0, 0, 2, 3, 2]
    assert batch.targets.tolist() == [1, 2, 3, 4, 5]
    assert batch.prompt_ends.tolist() == [0, 2]
    assert batch.padding == 0


def test_a_padded_pair_is_two_rows() -> None:
    batch = padded([example([7, 8, 9], [1, 2, 3], [4, 5])])
    assert batch.input_ids.tolist() == [[7, 8, 9, 1, 2], [7, 8, 9, 4, 0]]
    assert (batch.position_ids, batch.spans) == (None, None)
    assert batch.places.tolist() == [2, 3, 4, 7, 8]
    assert batch.targets.tolist() == [1, 2, 3, 4, 5]
    assert batch.padding == pytest.approx(0.1)


@pytest.mark.parametrize("layout", [packed, padded])
@given(SHAPES)
def test_the_state_that_decides_a_token_has_seen_the_prompt_and_what_came_before_in_its_response(
    layout: Callable[..., Batch], shapes: list[tuple[int, list[int]]]
) -> None:
    examples = numbered(shapes)
    batch = layout(examples)
    assert histories(batch) == [
        [*one.prompt, *response[:at]] for one in examples for response in one.responses for at in range(len(response))
    ]


@pytest.mark.parametrize("layout", [packed, padded])
@given(SHAPES)
def test_the_tokens_read_are_the_kept_ones_counted_and_in_order(
    layout: Callable[..., Batch], shapes: list[tuple[int, list[int]]]
) -> None:
    examples = numbered(shapes)
    batch = layout(examples)
    responses = [response.tolist() for one in examples for response in one.responses]
    assert [part.tolist() for part in batch.targets.split(list(batch.lengths))] == responses
    assert batch.kept_tokens == len(batch.places) == sum(one.kept_tokens for one in examples)
    assert batch.counts == tuple(len(one.responses) for one in examples)
    prompts = [one.prompt.tolist() for one in examples]
    assert [part.tolist() for part in batch.prompt_targets.split(list(batch.prompt_lengths))] == [
        p[1:] for p in prompts
    ]
    read = batch.input_ids.flatten()
    assert read[batch.prompt_places].tolist() == [token for prompt in prompts for token in prompt[:-1]]
    assert read[batch.prompt_ends].tolist() == [prompt[-1] for prompt in prompts]


@pytest.mark.parametrize("layout", [PACKED, PADDED])
@given(SHAPES)
def test_a_layout_foretells_the_size_of_its_batch(layout: Layout, shapes: list[tuple[int, list[int]]]) -> None:
    examples = numbered(shapes)
    rows, widths = map(layout.rows, examples), list(map(layout.width, examples))
    shape = (sum(rows), max(widths)) if layout.pads else (1, sum(widths))
    assert layout.batch(examples).input_ids.shape == shape
    for one in examples:
        assert layout.tokens(one) == layout.batch([one]).input_ids.numel()


def test_a_packed_pair_reads_the_prompt_once_and_a_padded_one_twice() -> None:
    examples = numbered([(100, [20, 10])])
    assert packed(examples).read_tokens == 100 + 19 + 9
    assert padded(examples).read_tokens == 2 * 100 + 19 + 9


def test_a_batch_moves_with_all_its_tensors() -> None:
    moved = packed(numbered([(3, [2, 2])])).to(torch.device("meta"))
    tensors = [value for value in moved if isinstance(value, torch.Tensor)]
    assert len(tensors) == 7
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.lengths == (2, 2)
