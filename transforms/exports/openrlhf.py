"""OpenRLHF's preferences, for `openrlhf.cli.train_dpo` and `openrlhf.cli.train_rm`.

    {"prompt": [{"role": "user", "content": "Name a river."}],
     "chosen": [{"role": "assistant", "content": "The Nile."}],
     "rejected": [{"role": "assistant", "content": "Paris."}]}

with `--data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected --data.apply_chat_template`, of
which the first is not the default. Source: the wheel of openrlhf 0.11.2, openrlhf/datasets/reward_dataset.py:
preprocess_data and RewardDataset, and openrlhf/datasets/utils.py:blending_datasets. It renders `data[prompt] +
data[chosen]` with the tokenizer's template, without tools or arguments; drops all other columns (`remove_columns`) but
would read `margin`; and writes the eos token over the last token of every sequence, whatever the template did.
"""

from typing import Any

from transforms.exports.pairs import Pair, beside


def openrlhf_row(pair: Pair) -> dict[str, Any]:
    """A line of the file, of a pair for which `why_not` without tools is None."""
    return {
        "prompt": list(pair.asked.turns),
        "chosen": [pair.chosen.turn],
        "rejected": [pair.rejected.turn],
        **beside(pair),
    }
