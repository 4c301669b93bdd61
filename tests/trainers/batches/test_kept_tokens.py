"""What a loss sees of a shard: prompt_ids + ids[:keep] of every pair, each once a pass, and not a token more."""

from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from models_support import VOCAB
from training_support import small_policy, trainer

import trainers.policies.preferences as preferences
from trainers.batches.tensors import PACKED, PADDED, Batch, Layout
from trainers.reading.examples import group_by_prompt, read_examples

DRAW = np.random.default_rng(3)
ROWS = [
    {
        "pair_id": f"pair-{number}",
        "prompt_ids": DRAW.integers(VOCAB, size=3 + number % 4).tolist(),
        "chosen_ids": (chosen := DRAW.integers(VOCAB, size=2 + number % 7).tolist()),
        "rejected_ids": (rejected := DRAW.integers(VOCAB, size=9 - number % 5).tolist()),
        "chosen_keep": 1 + number % len(chosen),
        "rejected_keep": len(rejected) if number % 3 else 1,
        "reward_chosen": float(number),
        "reward_rejected": -1.0,
    }
    for number in range(19)
]
# Several pairs of one prompt, so that responses of it are grouped for an objective of single ones.
for row in ROWS[1:4]:
    row["prompt_ids"] = ROWS[0]["prompt_ids"]
TABLE = pa.Table.from_pylist(ROWS)


@pytest.mark.parametrize("layout", [PACKED, PADDED], ids=["packed", "padded"])
@pytest.mark.parametrize("name", ["simpo", "rao"])
def test_the_kept_tokens_that_losses_see_in_a_pass_are_the_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout, name: str
) -> None:
    seen: Counter[bytes] = Counter()
    read = preferences.log_probs

    def note(model: Any, batch: Batch, **options: Any) -> Any:
        seen.update(_responses_with_prompts(batch))
        return read(model, batch, **options)

    pairs = read_examples(TABLE, where="t", rewards=("reward_chosen", "reward_rejected"))
    rows = pairs if name == "simpo" else group_by_prompt(pairs)
    references = None if name == "simpo" else _zeros(rows)
    run = trainer(tmp_path, small_policy(), rows, name, layout=layout, batch_tokens=40, references=references)
    monkeypatch.setattr(preferences, "log_probs", note)
    run.train()
    expected: Counter[bytes] = Counter()
    for row in ROWS:
        for side in ("chosen", "rejected"):
            expected[_key(row["prompt_ids"], row[f"{side}_ids"][: row[f"{side}_keep"]])] += 1
    assert seen == expected
    line = run.state.log_history[-2] if "train_loss" in run.state.log_history[-1] else run.state.log_history[-1]
    assert line["kept_tokens"] == sum(row["chosen_keep"] + row["rejected_keep"] for row in ROWS)


def _responses_with_prompts(batch: Batch) -> list[bytes]:
    """Each response's targets behind the input tokens that the state before its first token has read."""
    rows, width = batch.input_ids.shape
    flat = batch.input_ids.flatten()
    # Where each example's row or part of the row begins.
    begins = [0, *accumulate([width] * rows if batch.spans is None else map(sum, batch.spans))]
    found, lengths = [], list(batch.lengths)
    for places, targets in zip(batch.places.split(lengths), batch.targets.split(lengths), strict=True):
        first = int(places[0])
        prompt = flat[max(begin for begin in begins if begin <= first) : first + 1]
        assert flat[places[1:]].tolist() == targets[:-1].tolist()  # teacher forcing: the token before is the input
        found.append(_key(prompt.tolist(), targets.tolist()))
    return found


def _key(prompt: list[int], response: list[int]) -> bytes:
    return repr((prompt, response)).encode()


def _zeros(rows: Any) -> Any:
    return preferences.References([(0.0,) * len(row.responses) for row in rows], [0.0] * len(rows))
