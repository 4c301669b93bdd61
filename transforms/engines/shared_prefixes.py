"""Conversations that begin alike, read once up to where they part: completions of one prefix, responses to one prompt.

A group's common tokens go through the model once and leave its keys and values; every row of the group then reads its
own rest behind a copy of them. Eight completions of 128 tokens behind 250 common ones are 1,274 tokens to read, not
3,024.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from transforms.engines.batches import right_padded
from transforms.engines.common_beginnings import Group


def batches_of(groups: Sequence[Group], rows: Sequence[Sequence[int]], budget: int) -> Iterator[list[Group]]:
    """Groups of like length, as many together as stay within `budget` padded tokens, copies of what is shared included.

    A group that is larger than the budget is cut, and read in as many parts.
    """

    def rest(group: Group) -> int:
        return max(len(rows[row]) for row in group.rows) - group.common

    pieces = []
    for group in groups:
        size = max(1, budget // (group.common + rest(group)))
        pieces += [Group(group.rows[at : at + size], group.common) for at in range(0, len(group.rows), size)]
    pieces.sort(key=lambda group: (-group.common, -rest(group), group.rows))
    batch: list[Group] = []
    longest = behind = count = 0
    for piece in pieces:
        wider, deeper = max(longest, piece.common), max(behind, rest(piece))
        if batch and (count + len(piece.rows)) * (wider + deeper) > budget:
            yield batch
            batch, count, wider, deeper = [], 0, piece.common, rest(piece)
        batch.append(piece)
        longest, behind, count = wider, deeper, count + len(piece.rows)
    if batch:
        yield batch


def read_shared(
    model: Any, batch: Sequence[Group], rows: Sequence[Sequence[int]], pad: int, device: torch.device
) -> torch.Tensor:
    """What a sequence classifier gives of the rows of some groups, group by group, as its own output.

    Args:
        model: a transformers sequence classifier whose layers keep keys and values of all tokens.
        batch: the groups.
        rows: all token ids.
        pad: an id that no row ends in, set as the model's padding token.
        device: the model's.
    """
    counts = torch.tensor([len(group.rows) for group in batch], device=device)
    common = torch.tensor([group.common for group in batch], device=device)
    longest = int(common.max())
    # Padded on the left, so that what is read later lies right behind the prefix.
    prefixes, mask = (
        side.flip(1).to(device)
        for side in right_padded([list(rows[group.rows[0]][: group.common])[::-1] for group in batch], pad)
    )
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    with torch.inference_mode():
        cache = model.base_model(
            input_ids=prefixes, attention_mask=mask, position_ids=positions, use_cache=True
        ).past_key_values
        of_row = torch.repeat_interleave(torch.arange(len(batch), device=device), counts)
        cache.batch_select_indices(of_row)
        rests, own = (
            side.to(device)
            for side in right_padded([rows[row][group.common :] for group in batch for row in group.rows], pad)
        )
        places = common[of_row][:, None] + torch.arange(rests.shape[1], device=device)
        output = model(
            input_ids=rests,
            attention_mask=torch.cat([mask[of_row], own], dim=1),
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
        )
    if cache.get_seq_length() != longest + rests.shape[1]:
        message = f"its cache holds {cache.get_seq_length()} tokens, not {longest + rests.shape[1]}"
        raise ValueError(message)
    found: torch.Tensor = output.logits
    return found
