"""TRL's preference dataset, conversational with an explicit prompt: DPOTrainer, RewardTrainer and their like.

    {"prompt": [{"role": "user", "content": "Name a river."}],
     "chosen": [{"role": "assistant", "content": "The Nile."}],
     "rejected": [{"role": "assistant", "content": "Paris."}]}

Source: trl 1.16.0, docs/source/dataset_formats.md ("Preference", "Tool calling") and
trl/trainer/dpo_trainer.py:DPOTrainer._prepare_dataset, read and run on these rows (tests/flows/export). It takes
`tools` as JSON text and `chat_template_kwargs` as a dict, reads neither token ids nor further columns
(`remove_unused_columns`, true by default, and `_set_signature_columns_if_needed`), and appends the template's
end-of-turn to every response. RewardTrainer would read a column `margin`: there is none here.
"""

import json
from typing import Any

from transforms.chat.conversation import Asked
from transforms.exports.pairs import Pair, beside


def trl_row(pair: Pair, *, structured: bool) -> dict[str, Any]:
    """A line of the file.

    Args:
        pair: one for which `why_not` with tools is None.
        structured: whether the run has structure, so that all rows of a file have the same columns.
    """
    return {
        "prompt": list(pair.asked.turns),
        "chosen": [pair.chosen.turn],
        "rejected": [pair.rejected.turn],
        **(for_the_template(pair.asked) if structured else {}),
        **beside(pair),
    }


def for_the_template(asked: Asked) -> dict[str, Any]:
    """`tools` and `chat_template_kwargs` as TRL takes them.

    Tools are text, for Arrow would give each schema the keys of all others. The arguments are never null: TRL unpacks
    them (`**example.get("chat_template_kwargs", {})`), which null ends with a TypeError.
    """
    return {
        "tools": json.dumps(list(asked.tools), ensure_ascii=False) if asked.tools else None,
        "chat_template_kwargs": dict(asked.kwargs),
    }
