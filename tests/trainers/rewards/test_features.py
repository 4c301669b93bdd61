"""Features of a batch are those of its sequences alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from trainers.rewards.features import length_batches, pad_right, prefix_features, sequence_features

SEQUENCES = [np.array(ids, dtype=np.int32) for ids in ([5, 9, 2], [7] * 11, [4], [3, 2, 2, 2, 2], [8, 0, 0])]
CPU = torch.device("cpu")


def test_a_batch_is_padded_on_the_right() -> None:
    batch = pad_right(SEQUENCES[:1] + SEQUENCES[2:3], CPU)
    assert batch.tolist() == [[5, 9, 2], [4, 0, 0]]


def test_batches_hold_neighbours_in_length_up_to_the_budget() -> None:
    assert length_batches([5, 1, 9, 2, 5], batch_tokens=10) == [[1, 3], [0, 4], [2]]


def test_a_sequence_over_the_budget_gets_a_batch_of_its_own() -> None:
    assert length_batches([50, 60], batch_tokens=10) == [[0], [1]]


@pytest.mark.parametrize("batch_tokens", [1, 12, 1000])
def test_padding_does_not_change_the_features(policy: Path, batch_tokens: int) -> None:
    backbone = AutoModel.from_pretrained(policy, dtype=torch.float32).eval()
    alone = torch.stack(
        [backbone(torch.tensor(ids[None], dtype=torch.long)).last_hidden_state[0, -1] for ids in SEQUENCES]
    )
    found = sequence_features(backbone, SEQUENCES, device=CPU, batch_tokens=batch_tokens)
    torch.testing.assert_close(found, alone.detach(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_tokens", [1, 12, 1000])
def test_prefixes_read_in_one_pass_are_those_read_alone(policy: Path, batch_tokens: int) -> None:
    backbone = AutoModel.from_pretrained(policy, dtype=torch.float32).eval()
    prefixes = [[3, 1], [11, 4, 4], [1], [], [2]]
    cut = [ids[:length] for ids, lengths in zip(SEQUENCES, prefixes, strict=True) for length in lengths]
    options = {"device": CPU, "batch_tokens": batch_tokens}
    found = prefix_features(backbone, SEQUENCES, prefixes, **options)
    torch.testing.assert_close(found, sequence_features(backbone, cut, **options), atol=1e-5, rtol=0)


def test_progress_ends_at_all_tokens(policy: Path) -> None:
    backbone = AutoModel.from_pretrained(policy, dtype=torch.float32).eval()
    told: list[tuple[str, int, int]] = []
    sequence_features(backbone, SEQUENCES, device=CPU, batch_tokens=12, progress=lambda *p: told.append(p), stage="x")
    assert told[-1] == ("x", 23, 23)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
